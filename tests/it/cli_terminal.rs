//! The command line at a terminal: secrets are asked for and not shown.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::{FromRawFd, OwnedFd},
    process::Child,
};

use super::{
    house::PASSWORD,
    program::{folder, program, run, run_with_input},
};

/// A program whose input, output and errors are one terminal.
struct Seat {
    child: Child,
    terminal: File,
    seen: String,
}

impl Seat {
    fn at(mut command: std::process::Command) -> Self {
        let (mut ours, mut theirs) = (0, 0);
        let none = std::ptr::null_mut();
        // SAFETY: two places for descriptors; the rest is asked not to be filled.
        let made = unsafe {
            libc::openpty(&raw mut ours, &raw mut theirs, none, none.cast(), none.cast())
        };
        assert_eq!(made, 0, "a terminal");
        // SAFETY: both were just made and belong to nobody else.
        let (ours, theirs) = unsafe { (OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) };
        let again = || theirs.try_clone().expect("a descriptor");
        let child = command.stdin(again()).stdout(again()).stderr(again()).spawn();
        // The command holds the terminal open too; at its end ours must see the end.
        drop(command);
        Self { child: child.expect("the program"), terminal: File::from(ours), seen: String::new() }
    }

    /// Reads until the program has written `text`.
    fn until(&mut self, text: &str) {
        let mut bytes = [0; 256];
        while !self.seen.ends_with(text) {
            let count = self.terminal.read(&mut bytes).unwrap_or(0);
            assert!(count > 0, "it ended with {:?}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }

    fn type_in(&mut self, text: &str) {
        self.terminal.write_all(text.as_bytes()).expect("a terminal");
    }

    /// The exit code and all that was to be seen.
    fn end(mut self) -> (i32, String) {
        let mut bytes = [0; 256];
        // Linux reports an error where the other side is gone.
        while let Ok(count @ 1..) = self.terminal.read(&mut bytes) {
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        (self.child.wait().expect("an end").code().expect("a code"), self.seen)
    }
}

#[test]
fn a_password_is_asked_for_twice_and_not_shown() {
    let home = folder();
    run_with_input(home.path(), &["user", "add", "ann", "--password-stdin"], PASSWORD).succeeded();
    let seat = |arguments: &[&str]| {
        let mut command = program(home.path());
        command.args(arguments);
        Seat::at(command)
    };
    let mut set = seat(&["user", "set-password", "ann"]);
    set.until("New password: ");
    set.type_in("Chestnut-tree-8\n");
    set.until("New password again: ");
    set.type_in("Chestnut-tree-8\n");
    let (code, seen) = set.end();
    assert_eq!(code, 0, "{seen}");
    assert!(!seen.contains("Chestnut") && seen.contains("ann has another password"), "{seen}");

    let mut differing = seat(&["user", "set-pin", "ann"]);
    differing.until("New PIN: ");
    differing.type_in("48151623\n");
    differing.until("New PIN again: ");
    differing.type_in("48151624\n");
    let (code, seen) = differing.end();
    assert!(code == 1 && seen.contains("the two are not the same"), "{seen}");
    assert!(!seen.contains("4815"), "{seen}");

    for stop in ["half a pass\u{3}", "\u{4}"] {
        let mut stopped = seat(&["user", "add", "bob"]);
        stopped.until("Password: ");
        stopped.type_in(stop);
        let (code, seen) = stopped.end();
        assert!(code == 1 && seen.contains("stopped; nothing was changed"), "{seen}");
        assert!(!seen.contains("half"), "{seen}");
    }
    assert_eq!(run(home.path(), &["user", "list"]).succeeded().lines().count(), 1);
}

#[test]
fn a_restore_shows_what_changes_and_asks() {
    let home = folder();
    run_with_input(home.path(), &["user", "add", "ann", "--password-stdin"], PASSWORD).succeeded();
    let sealed = ["backup", "--passphrase", "copy.db.age"];
    run_with_input(home.path(), &sealed, "a long walnut tree\n").succeeded();
    run(home.path(), &["user", "add", "bob", "--generate"]).succeeded();
    let restore = |answer: &str| {
        let mut command = program(home.path());
        command.args(["restore", "copy.db.age"]);
        let mut seat = Seat::at(command);
        seat.until("Passphrase: ");
        seat.type_in("a long walnut tree\n");
        seat.until("Write yes: ");
        seat.type_in(answer);
        seat.end()
    };
    let names = || run(home.path(), &["user", "list", "--json"]).json();
    let (code, seen) = restore("y\n");
    assert_eq!(code, 1);
    assert!(
        seen.contains("bob is gone, made since") && seen.contains("nothing was changed"),
        "{seen}"
    );
    assert!(!seen.contains("walnut"), "{seen}");
    assert_eq!(names().as_array().expect("a list").len(), 2);
    let (code, seen) = restore("yes\n");
    assert_eq!(code, 0, "{seen}");
    assert_eq!(names().as_array().expect("a list").len(), 1);
}
