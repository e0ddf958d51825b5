//! The program `gatelodge`: see `gatelodge --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    gatelodge::cli::main()
}
