//! The only place that asks the machine for the time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rusqlite::{
    ToSql,
    types::{FromSql, FromSqlResult, ToSqlOutput, ValueRef},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A moment in milliseconds since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since 1970 UTC.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// From whole seconds since 1970 UTC, saturating.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970 UTC, as JWT claims want them (RFC 7519, section 2).
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The same moment without its fraction of a second.
    pub const fn whole_seconds(self) -> Self {
        Self::from_seconds(self.seconds())
    }

    /// This moment moved on by `span`, saturating.
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This moment moved back by `span`, saturating.
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The calendar's view; moments outside the calendar become 1970.
    pub fn to_calendar(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    /// From the calendar.
    pub fn from_calendar(moment: OffsetDateTime) -> Self {
        Self(i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX))
    }

    /// Day and minute for people of any language, such as `2026-01-31 17:05 UTC`.
    pub fn minute_text(self) -> String {
        let text = self.whole_seconds().text();
        text.get(..16).unwrap_or_default().replace('T', " ") + " UTC"
    }

    /// Day and second for the name of a file, such as `20260131T170559Z`.
    pub fn stamp(self) -> String {
        self.whole_seconds().text().replace(['-', ':'], "")
    }

    /// RFC 3339, UTC.
    pub fn text(self) -> String {
        self.to_calendar().format(&Rfc3339).unwrap_or_default()
    }
}

impl ToSql for Timestamp {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.into())
    }
}

impl FromSql for Timestamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(Self)
    }
}

/// Real time, or a time that tests set.
#[derive(Clone, Debug)]
pub enum Clock {
    Real(Instant),
    Fixed(Arc<AtomicI64>),
}

impl Clock {
    #[allow(clippy::disallowed_methods, reason = "the one place that may")]
    pub fn real() -> Self {
        Self::Real(Instant::now())
    }

    /// Stands still at `moment` until [`Clock::advance`].
    pub fn fixed(moment: Timestamp) -> Self {
        Self::Fixed(Arc::new(AtomicI64::new(moment.millis())))
    }

    /// Moves a fixed clock on; a real one cannot be moved.
    pub fn advance(&self, span: Duration) {
        if let Self::Fixed(millis) = self {
            let step = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
            millis.fetch_add(step, Ordering::SeqCst);
        }
    }

    /// Now, by the calendar.
    #[allow(clippy::disallowed_methods, reason = "the one place that may")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::Real(_) => match SystemTime::now().duration_since(UNIX_EPOCH) {
                Ok(since) => Timestamp(0).plus(since),
                Err(before) => Timestamp(0).minus(before.duration()),
            },
            Self::Fixed(millis) => Timestamp(millis.load(Ordering::SeqCst)),
        }
    }

    /// As [`Clock::ticks`], and goes on while the machine sleeps, where the system counts that.
    pub fn steady(&self) -> Duration {
        match self {
            #[cfg(target_os = "linux")]
            Self::Real(_) => since_boot().unwrap_or_else(|| self.ticks()),
            _ => self.ticks(),
        }
    }

    /// Time that never jumps, since some moment in the past: windows and buckets use it, so that
    /// a corrected wall clock neither locks people out nor lets guessers in.
    pub fn ticks(&self) -> Duration {
        match self {
            Self::Real(start) => start.elapsed(),
            Self::Fixed(millis) => {
                Duration::from_millis(u64::try_from(millis.load(Ordering::SeqCst)).unwrap_or(0))
            }
        }
    }
}

/// `CLOCK_BOOTTIME`.
#[cfg(target_os = "linux")]
fn since_boot() -> Option<Duration> {
    // SAFETY: timespec is plain data, for which zeros are a value.
    let mut time: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a timespec of ours.
    let told = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).ok().filter(|_| told == 0)?;
    Some(Duration::new(seconds, u32::try_from(time.tv_nsec).ok()?))
}
