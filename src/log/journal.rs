//! The journal of systemd, spoken to directly, so that each field of a line can be asked for:
//! `journalctl -u gatelodge GATELODGE_EVENT=login_failure`.

use std::{
    env, fs, io,
    os::{
        linux::fs::MetadataExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    path::Path,
};

use super::{Field, Level};

const SOCKET: &str = "/run/systemd/journal/socket";
const PREFIX: &str = "GATELODGE_";

/// A way to the journal.
pub struct Journal {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl Journal {
    /// `None`, unless stderr goes there: then systemd names its device and inode in `JOURNAL_STREAM`
    /// (systemd.exec, "Environment Variables Set or Propagated by the Service Manager").
    pub fn of_stderr() -> Option<Self> {
        let stream = env::var("JOURNAL_STREAM").ok()?;
        let stderr = fs::metadata("/proc/self/fd/2").ok()?;
        (stream == format!("{}:{}", stderr.st_dev(), stderr.st_ino()))
            .then(|| Self::at(Path::new(SOCKET)).ok())
            .flatten()
    }

    fn at(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // A journal that is slow loses a line; no request waits for it.
        socket.set_nonblocking(true)?;
        Ok(Self { socket, address: SocketAddr::from_pathname(path)? })
    }

    /// Whether it took the line.
    pub fn take(&self, level: Level, kind: &str, fields: &[(&str, Field<'_>)], line: &str) -> bool {
        let mut entry = Vec::with_capacity(512);
        put(&mut entry, "MESSAGE", line);
        put(&mut entry, "SYSLOG_IDENTIFIER", "gatelodge");
        put(&mut entry, "PRIORITY", priority(level));
        put(&mut entry, "GATELODGE_EVENT", kind);
        for (name, field) in fields {
            let value = match field {
                Field::Word(word) => word.to_string(),
                Field::Number(number) => number.to_string(),
                Field::Text(text) => (*text).to_owned(),
            };
            put(&mut entry, &format!("{PREFIX}{}", name.to_ascii_uppercase()), &value);
        }
        self.socket.send_to_addr(&entry, &self.address).is_ok()
    }
}

/// As syslog numbers them (RFC 5424, section 6.2.1).
const fn priority(level: Level) -> &'static str {
    match level {
        Level::Error => "3",
        Level::Warn => "4",
        Level::Info => "6",
    }
}

/// The form with a length, which no value can break out of ("Native Journal Protocol").
fn put(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend_from_slice(name.as_bytes());
    entry.push(b'\n');
    entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What arrives, as names and values.
    fn read(mut entry: &[u8]) -> Vec<(String, String)> {
        let mut found = Vec::new();
        while let Some(end) = entry.iter().position(|byte| *byte == b'\n') {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
            let (name, rest) = (text(&entry[..end]), &entry[end + 1..]);
            let length = u64::from_le_bytes(rest[..8].try_into().expect("a length"));
            let (value, rest) = rest[8..].split_at(usize::try_from(length).expect("a length"));
            found.push((name, text(value)));
            entry = rest.strip_prefix(b"\n").expect("an end");
        }
        found
    }

    #[test]
    fn a_line_arrives_with_its_fields_and_no_value_makes_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let there = UnixDatagram::bind(&path).expect("a socket");
        let journal = Journal::at(&path).expect("a way");
        let evil = "ann\nPRIORITY=0\nMESSAGE=all is well";
        let fields = [("user", Field::Text(evil)), ("ms", Field::Number(7))];
        assert!(journal.take(Level::Warn, "login_failure", &fields, "warn login_failure"));
        let mut bytes = [0; 2048];
        let length = there.recv(&mut bytes).expect("an entry");
        let wanted = [
            ("MESSAGE", "warn login_failure"),
            ("SYSLOG_IDENTIFIER", "gatelodge"),
            ("PRIORITY", "4"),
            ("GATELODGE_EVENT", "login_failure"),
            ("GATELODGE_USER", evil),
            ("GATELODGE_MS", "7"),
        ];
        let found = read(&bytes[..length]);
        assert!(found.iter().map(|(n, v)| (n.as_str(), v.as_str())).eq(wanted), "{found:?}");
        drop(there);
        assert!(!journal.take(Level::Info, "say", &[], "nobody listens"), "stderr has to do");
    }
}
