//! Pages of a list.

use super::error::{Error, Field, Reason, Result};

/// Which part of a list is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    number: u32,
    size: u32,
}

impl Page {
    pub const DEFAULT_SIZE: u32 = 50;
    pub const MAX_SIZE: u32 = 200;

    /// Pages count from 1; a page holds 1 to 200 rows.
    ///
    /// # Errors
    /// [`Error::Invalid`] outside of these bounds.
    pub fn new(number: Option<u32>, size: Option<u32>) -> Result<Self> {
        let (number, size) = (number.unwrap_or(1), size.unwrap_or(Self::DEFAULT_SIZE));
        if number == 0 || number > 1_000_000 || !(1..=Self::MAX_SIZE).contains(&size) {
            const RULE: &str = "must be 1 or more, with a page_size of 1 to 200";
            return Err(Error::Invalid(Field::Page, Reason::Form(RULE)));
        }
        Ok(Self { number, size })
    }

    pub const fn number(self) -> u32 {
        self.number
    }

    pub const fn limit(self) -> u32 {
        self.size
    }

    pub const fn offset(self) -> u32 {
        (self.number - 1) * self.size
    }
}

/// One page and the length of the whole list.
#[derive(Clone, Debug)]
pub struct PageOf<T> {
    pub rows: Vec<T>,
    pub total: u64,
}

impl<T> PageOf<T> {
    /// `total` as SQLite counts.
    pub fn new(rows: Vec<T>, total: i64) -> Self {
        Self { rows, total: u64::try_from(total).unwrap_or(0) }
    }
}
