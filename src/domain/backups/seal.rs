//! Copies that only somebody with a passphrase or a key can read: files of age
//! (<https://age-encryption.org/v1>), which `age` and `rage` open as well.

use std::{
    fmt,
    io::{self, Chain, Cursor, Read, Write},
    str::FromStr,
};

use age::{DecryptError, Decryptor, Encryptor, Identity, scrypt, secrecy::SecretString, x25519};

use crate::domain::secret::Secret;

/// What ends the name of a copy that everybody can read.
pub const PLAIN_END: &str = ".db";
/// What ends the name of one that is sealed.
pub const SEALED_END: &str = ".db.age";
/// How every file of age begins.
const BEGIN: &[u8] = b"age-encryption.org/v1\n";
/// 128 MiB for a moment: for passphrases that somebody types, where nothing else waits for memory.
pub const TYPED: u8 = 17;
/// 16 MiB, less than a password hash: within the server, for passphrases that nobody can guess.
pub const GENERATED: u8 = 14;
/// 1 GiB: nobody's file asks for more.
const HARDEST: u8 = 20;

/// For whom a copy is.
#[derive(Clone, Debug, Default)]
pub enum Seal {
    /// Everybody who has the file.
    #[default]
    None,
    /// Who knows this, at the cost of scrypt with `N` = 2 to the power of the number.
    Passphrase(Secret, u8),
    /// Who holds one of these keys.
    Recipients(Vec<String>),
}

/// Why a copy could not be sealed or opened.
#[derive(Debug)]
pub enum SealError {
    /// No public key of age.
    Recipient(String),
    /// No file with secret keys of age.
    Identity,
    /// The passphrase or the keys are not those that it was sealed to.
    Wrong,
    /// Cut short or changed.
    Broken,
    /// It asks for more work than any file of ours.
    Work,
    /// No key was given.
    Locked,
    Io(io::Error),
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recipient(text) => write!(f, "{text:?} is no public key of age (age1…)"),
            Self::Identity => f.write_str("holds no secret key of age (AGE-SECRET-KEY-1…)"),
            Self::Wrong => f.write_str("it was sealed to another passphrase or key"),
            Self::Broken => f.write_str("it is cut short or changed: take another copy"),
            Self::Work => f.write_str("its passphrase asks for too much work: open it with age"),
            Self::Locked => f.write_str(
                "it is sealed to a key: name the file with your secret key of age (--identity)",
            ),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SealError {}

impl From<io::Error> for SealError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<DecryptError> for SealError {
    fn from(error: DecryptError) -> Self {
        match error {
            DecryptError::NoMatchingKeys
            | DecryptError::DecryptionFailed
            | DecryptError::KeyDecryptionFailed => Self::Wrong,
            DecryptError::ExcessiveWork { .. } => Self::Work,
            DecryptError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                Self::Io(error)
            }
            // The rest says that the file is not as it was written.
            _ => Self::Broken,
        }
    }
}

impl Seal {
    /// Whether others than those who are meant can read it.
    pub const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// What ends the name of a copy.
    pub const fn end(&self) -> &'static str {
        match self {
            Self::None => PLAIN_END,
            Self::Passphrase(..) | Self::Recipients(_) => SEALED_END,
        }
    }

    /// Copies `from` to `to` and says how many bytes came out.
    ///
    /// # Errors
    /// [`SealError::Recipient`] for what is no key; else what reading or writing says.
    pub(super) fn write(
        &self,
        from: &mut impl Read,
        to: &mut impl Write,
    ) -> Result<u64, SealError> {
        let mut to = Counted { to, bytes: 0 };
        match self.encryptor()? {
            None => {
                io::copy(from, &mut to)?;
            }
            Some(encryptor) => {
                let mut sealing = encryptor.wrap_output(&mut to)?;
                io::copy(from, &mut sealing)?;
                sealing.finish()?;
            }
        }
        to.flush()?;
        Ok(to.bytes)
    }

    fn encryptor(&self) -> Result<Option<Encryptor>, SealError> {
        let made = match self {
            Self::None => return Ok(None),
            Self::Passphrase(secret, work) => {
                let mut recipient = scrypt::Recipient::new(passphrase(secret));
                recipient.set_work_factor(*work);
                Encryptor::with_recipients(std::iter::once(&recipient as _))
            }
            Self::Recipients(keys) => {
                let keys: Vec<x25519::Recipient> =
                    keys.iter().map(|key| recipient(key)).collect::<Result<_, _>>()?;
                Encryptor::with_recipients(keys.iter().map(|key| key as _))
            }
        };
        made.map(Some).map_err(|_| SealError::Recipient(String::new()))
    }
}

/// A public key of age.
///
/// # Errors
/// [`SealError::Recipient`] for anything else.
pub fn recipient(text: &str) -> Result<x25519::Recipient, SealError> {
    text.parse().map_err(|_| SealError::Recipient(text.to_owned()))
}

fn passphrase(secret: &Secret) -> SecretString {
    SecretString::from(secret.reveal().to_owned())
}

struct Counted<W> {
    to: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// What opens a sealed copy.
pub enum Key {
    Passphrase(Secret),
    Identities(Vec<x25519::Identity>),
}

/// The secret keys in a file as `age-keygen` writes it.
///
/// # Errors
/// [`SealError::Identity`] when there is none.
pub fn identities(text: &str) -> Result<Vec<x25519::Identity>, SealError> {
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Vec<_> = lines
        .map(|line| x25519::Identity::from_str(line).map_err(|_| SealError::Identity))
        .collect::<Result<_, _>>()?;
    if keys.is_empty() { Err(SealError::Identity) } else { Ok(keys) }
}

type Rewound<R> = Chain<Cursor<Vec<u8>>, R>;

/// A copy before it is read.
pub enum Opened<R: Read> {
    Plain(Rewound<R>),
    Sealed(Decryptor<Rewound<R>>),
}

impl<R: Read> Opened<R> {
    /// Looks at the beginning of a file.
    ///
    /// # Errors
    /// [`SealError::Broken`] for what begins like a sealed copy and does not go on like one.
    pub fn new(mut input: R) -> Result<Self, SealError> {
        let mut begin = Vec::with_capacity(BEGIN.len());
        input.by_ref().take(BEGIN.len() as u64).read_to_end(&mut begin)?;
        let is_sealed = begin == BEGIN;
        let input = Cursor::new(begin).chain(input);
        Ok(match is_sealed {
            true => Self::Sealed(Decryptor::new(input)?),
            false => Self::Plain(input),
        })
    }

    pub fn is_sealed(&self) -> bool {
        matches!(self, Self::Sealed(_))
    }

    pub fn wants_passphrase(&self) -> bool {
        matches!(self, Self::Sealed(decryptor) if decryptor.is_scrypt())
    }

    /// Writes it in clear.
    ///
    /// # Errors
    /// [`SealError::Wrong`] and [`SealError::Locked`] for a key that does not fit, or none;
    /// [`SealError::Broken`] when it is not whole: what was written by then is of no use.
    pub(super) fn write(self, key: Option<&Key>, to: &mut impl Write) -> Result<(), SealError> {
        let decryptor = match self {
            Self::Plain(mut input) => {
                io::copy(&mut input, to)?;
                return Ok(());
            }
            Self::Sealed(decryptor) => decryptor,
        };
        let mut reader = match key.ok_or(SealError::Locked)? {
            Key::Passphrase(secret) => {
                let mut identity = scrypt::Identity::new(passphrase(secret));
                identity.set_max_work_factor(HARDEST);
                decryptor.decrypt(std::iter::once(&identity as &dyn Identity))?
            }
            Key::Identities(keys) => {
                decryptor.decrypt(keys.iter().map(|key| key as &dyn Identity))?
            }
        };
        copy_whole(&mut reader, to)
    }
}

/// A sealed file that ends early, or was changed, fails while it is read: not the disk's fault.
fn copy_whole(reader: &mut impl Read, to: &mut impl Write) -> Result<(), SealError> {
    let mut block = vec![0; 64 * 1024];
    loop {
        match reader.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(&block[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Err(SealError::Broken),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(seal: &Seal, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let bytes = seal.write(&mut &text[..], &mut out).expect("sealed");
        assert_eq!(bytes, out.len() as u64);
        out
    }

    fn opened(bytes: &[u8], key: Option<&Key>) -> Result<Vec<u8>, SealError> {
        let mut out = Vec::new();
        Opened::new(bytes)?.write(key, &mut out)?;
        Ok(out)
    }

    const TEXT: &[u8] = b"SQLite format 3";

    #[test]
    fn what_is_not_sealed_is_handed_on_as_it_is() {
        for text in [TEXT, b"", b"age", &[7; 100_000]] {
            assert_eq!(opened(&sealed(&Seal::None, text), None).expect("opened"), text);
        }
    }

    #[test]
    fn a_passphrase_opens_what_it_sealed_and_nothing_else_does() {
        let word = |text: &str| Secret::new(text);
        let bytes = sealed(&Seal::Passphrase(word("a long walnut"), 4), TEXT);
        assert!(Opened::new(&bytes[..]).expect("a file").wants_passphrase());
        let open = |text: &str| opened(&bytes, Some(&Key::Passphrase(word(text))));
        assert_eq!(open("a long walnut").expect("opened"), TEXT);
        assert!(matches!(open("a short walnut"), Err(SealError::Wrong)));
        assert!(matches!(opened(&bytes, None), Err(SealError::Locked)));
    }

    #[test]
    fn each_of_several_keys_opens_what_was_sealed_to_all() {
        let keys = [x25519::Identity::generate(), x25519::Identity::generate()];
        let names = keys.iter().map(|key| key.to_public().to_string()).collect();
        let bytes = sealed(&Seal::Recipients(names), &[9; 200_000]);
        for key in keys {
            let key = Key::Identities(vec![key]);
            assert_eq!(opened(&bytes, Some(&key)).expect("opened"), [9; 200_000]);
        }
        let other = Key::Identities(vec![x25519::Identity::generate()]);
        assert!(matches!(opened(&bytes, Some(&other)), Err(SealError::Wrong)));
    }

    #[test]
    fn a_sealed_file_that_was_cut_or_changed_is_told_from_a_wrong_key() {
        let key = x25519::Identity::generate();
        let name = key.to_public().to_string();
        let bytes = sealed(&Seal::Recipients(vec![name]), &[9; 200_000]);
        let key = Key::Identities(vec![key]);
        let mut changed = bytes.clone();
        changed[150_000] ^= 1;
        for bad in [&bytes[..100_000], &bytes[..bytes.len() - 1], &bytes[..30], &changed] {
            assert!(matches!(opened(bad, Some(&key)), Err(SealError::Broken)), "{}", bad.len());
        }
    }
}
