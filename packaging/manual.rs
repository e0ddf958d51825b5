//! Writes the man pages and the completions of the command line into a folder, for the packages:
//! `cargo run --example manual -- FOLDER`.

use std::{env, error::Error, fs, path::Path};

use clap_complete::{Shell, generate_to};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args().nth(1).ok_or("usage: manual FOLDER")?;
    let folder = Path::new(&folder);
    fs::create_dir_all(folder)?;
    let mut command = gatelodge::cli::command();
    clap_mangen::generate_to(command.clone(), folder)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut command, "gatelodge", folder)?;
    }
    Ok(())
}
