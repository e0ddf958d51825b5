//! The real program, run to its end in a folder of its own.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use super::house::{cheap, gatelodge};

/// How one run ended.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    #[track_caller]
    pub fn succeeded(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// The document that it printed, and nothing else.
    #[track_caller]
    pub fn json(self) -> Value {
        let out = self.succeeded();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// The one line of a refusal, without the program's name.
    #[track_caller]
    pub fn refused(self) -> String {
        self.failed(1)
    }

    /// The one line of what is in the way, without the program's name.
    #[track_caller]
    pub fn in_trouble(self) -> String {
        self.failed(2)
    }

    #[track_caller]
    fn failed(self, code: i32) -> String {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{}", self.err);
        assert_eq!(self.err.lines().count(), 1, "{}", self.err);
        let line = self.err.trim_end().strip_prefix("gatelodge: ");
        line.unwrap_or_else(|| panic!("{}", self.err)).to_owned()
    }
}

pub fn run_with_input(folder: &Path, arguments: &[&str], input: &str) -> Ran {
    let mut command = program(folder);
    command.args(arguments);
    ran(command, input)
}

/// The program in `folder`, with cheap hashes.
pub fn program(folder: &Path) -> Command {
    let mut command = gatelodge();
    command.current_dir(folder).envs(cheap());
    command
}

/// Runs it to its end.
pub fn ran(mut command: Command, input: &str) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    let mut stdin = child.stdin.take().expect("its input");
    // A program that asks for nothing may be gone before it is told anything.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("an end");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let code = output.status.code().expect("an exit code");
    Ran { code, out: text(output.stdout), err: text(output.stderr) }
}

pub fn run(folder: &Path, arguments: &[&str]) -> Ran {
    run_with_input(folder, arguments, "")
}

pub fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// The password that was printed.
#[track_caller]
pub fn generated(out: &str) -> String {
    let line = out.lines().find_map(|line| line.strip_prefix("Password: "));
    line.unwrap_or_else(|| panic!("no password: {out}")).to_owned()
}

/// The program in `folder`, obeying permissions: root writes wherever it likes, unless it gives
/// that up.
pub fn obeying(folder: &Path) -> Command {
    let usual = program(folder);
    if std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(folder).expect("a folder")) != 0 {
        return usual;
    }
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-dac_override,-dac_read_search", "--"]);
    command.arg(usual.get_program()).current_dir(folder).envs(cheap());
    command
}
