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
    for (dialect, _) in documents::DOCUMENTS {
        let path = Path::new("openapi").join(format!("{dialect}.json"));
        fs::write(&path, document(dialect)?).map_err(trouble)?;
        say(&format!("{} written\n", path.display()))?;
    }
    Ok(())
}

fn document(dialect: &str) -> Result<String, Failure> {
    match documents::generate(dialect) {
        Some(text) => text.map_err(trouble),
        None => {
            let known: Vec<&str> = documents::DOCUMENTS.iter().map(|(name, _)| *name).collect();
            Err(Failure::No(format!("no document {dialect:?}; there are: {}", known.join(", "))))
        }
    }
}
