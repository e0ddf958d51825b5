//! Secrets on their way in: one line each of standard input, or typed at a terminal that does not
//! show them. Never an argument: those stand in the list of processes and in the shell's history.

use std::io::{self, IsTerminal, Read};

use zeroize::Zeroizing;

use super::{Failure, trouble};
use crate::domain::secret::Secret;

/// In bytes: a mistaken file should not fill the memory.
const LIMIT: u64 = 16 * 1024;
/// What Ctrl-C sends.
const INTERRUPT: u8 = 3;

/// Whether somebody sits there who can be asked.
pub fn can_ask() -> bool {
    io::stdin().is_terminal()
}

/// One secret for each name in `wanted`, in that order. At a terminal each is asked for twice.
///
/// # Errors
/// [`Failure::No`] for too few lines, and when the two differ.
pub fn read(wanted: &[&str]) -> Result<Vec<Secret>, Failure> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    if can_ask() {
        return wanted.iter().map(|name| typed_twice(name)).collect();
    }
    let mut text = Zeroizing::new(String::new());
    io::stdin().lock().take(LIMIT).read_to_string(&mut text).map_err(trouble)?;
    let lines: Vec<Secret> = text.lines().take(wanted.len()).map(Secret::new).collect();
    if lines.len() < wanted.len() {
        return Err(Failure::No("standard input has too few lines".to_owned()));
    }
    Ok(lines)
}

/// One secret that is known already, so that it is asked for once.
///
/// # Errors
/// [`Failure::No`] when standard input has no line.
pub fn ask(name: &str) -> Result<Secret, Failure> {
    if can_ask() {
        return typed(&format!("{name}: "));
    }
    let line = read(&[name])?.pop();
    line.ok_or_else(|| Failure::No("standard input has too few lines".to_owned()))
}

fn typed_twice(name: &str) -> Result<Secret, Failure> {
    let first = typed(&format!("{name}: "))?;
    let again = typed(&format!("{name} again: "))?;
    if first.reveal() != again.reveal() {
        return Err(Failure::No("the two are not the same; nothing was changed".to_owned()));
    }
    Ok(first)
}

fn typed(prompt: &str) -> Result<Secret, Failure> {
    let quiet = Quiet::begin().map_err(trouble)?;
    eprint!("{prompt}");
    let line = line().map_err(trouble)?;
    drop(quiet);
    let stopped = || Failure::No("stopped; nothing was changed".to_owned());
    let line = line.ok_or_else(stopped)?;
    let text = str::from_utf8(&line).map_err(trouble)?;
    Ok(Secret::new(text.trim_end_matches('\r')))
}

/// What was typed; `None` when somebody would rather not.
fn line() -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let mut line = Zeroizing::new(Vec::new());
    // The input is buffered: single bytes cost nothing, and two of them end a line.
    for byte in io::stdin().lock().take(LIMIT).bytes() {
        match byte? {
            b'\n' => return Ok(Some(line)),
            INTERRUPT => return Ok(None),
            byte => line.push(byte),
        }
    }
    Ok(None)
}

/// A terminal that does not show what is typed, until this is dropped.
struct Quiet {
    before: libc::termios,
}

impl Quiet {
    fn begin() -> io::Result<Self> {
        // SAFETY: termios is plain data, for which zeros are a value.
        let mut before: libc::termios = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a termios of ours.
        if unsafe { libc::tcgetattr(libc::STDIN_FILENO, &raw mut before) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let mut quiet = before;
        // Ctrl-C would end the process and leave the terminal mute: here it ends the line.
        quiet.c_lflag &= !(libc::ECHO | libc::ISIG);
        quiet.c_cc[libc::VEOL] = INTERRUPT;
        set(&quiet)?;
        Ok(Self { before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // The line's end was not shown either.
        eprintln!();
        let _ = set(&self.before);
    }
}

fn set(attributes: &libc::termios) -> io::Result<()> {
    // SAFETY: the pointer is to a termios that lives through the call.
    match unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, attributes) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
