//! `gatelodge openapi`.

use std::{fs, path::Path};

use clap::Args;

use super::{Failure, say, trouble};
use crate::http::documents;

#[derive(Args)]
pub struct OpenapiCommand {
    /// Which dialect's document.
    #[arg(long, default_value = "native")]
    dialect: String,
    /// Write all documents into the folder openapi/ of the working folder instead.
    #[arg(long)]
    write: bool,
}

pub fn run(command: &OpenapiCommand) -> Result<(), Failure> {
    if !command.write {
        return say(&document(&command.dialect)?);
    }
    fs::create_dir_all("openapi").map_err(trouble)?;
    for dialect in documents::dialects() {
        let path = Path::new("openapi").join(format!("{dialect}.json"));
        fs::write(&path, document(dialect)?).map_err(trouble)?;
        say(&format!("{} written\n", path.display()))?;
    }
    Ok(())
}

/// Made from the operations, for whoever changes one and builds without optimisation. A release
/// says what was committed, which a test holds to be the same: what makes documents is a
/// fifteenth of the program.
fn made(dialect: &str) -> Option<Result<String, Failure>> {
    if cfg!(debug_assertions) {
        return documents::generate(dialect).map(|made| made.map_err(trouble));
    }
    documents::committed(dialect).map(Ok)
}

fn document(dialect: &str) -> Result<String, Failure> {
    match made(dialect) {
        Some(text) => text,
        None => {
            let known: Vec<&str> = documents::dialects().collect();
            Err(Failure::No(format!("no document {dialect:?}; there are: {}", known.join(", "))))
        }
    }
}
