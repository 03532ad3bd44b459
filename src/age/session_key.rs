//! The key of the session at rest: one age identity, open or locked with a passphrase.

use std::io::{Read, Write};
use std::iter;

use ::age::armor::{ArmoredReader, ArmoredWriter, Format};
use ::age::secrecy::{ExposeSecret, SecretString};
use ::age::{DecryptError, Decryptor, Encryptor, scrypt, x25519};
use thiserror::Error;
use zeroize::Zeroizing;

/// How every age file begins.
const HEADER: &[u8] = b"age-encryption.org/v1\n";
/// And one in letters.
const ARMOR: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";
/// How a key begins.
const KEY: &str = "AGE-SECRET-KEY-1";

/// Work of a passphrase we set, as the power of two: a second and 256 MiB, as `age -p` has it.
const WORK: u8 = 18;
/// Most work done for a passphrase: each step doubles it, and a key file could ask for hours.
const MOST_WORK: u8 = 20;
/// A key file is some hundred bytes.
const MOST_KEY: u64 = 16 << 10;

/// What the session's file is encrypted to. Debug is missing on purpose.
pub struct SessionKey {
    identity: x25519::Identity,
    recipient: x25519::Recipient,
}

/// A key that waits for its passphrase: the age file that holds it.
pub struct LockedKey(Zeroizing<Vec<u8>>);

/// A key as it was found.
pub enum StoredKey {
    /// It can be used.
    Open(SessionKey),
    /// It needs a passphrase first.
    Locked(LockedKey),
}

/// Why a key cannot be used. The messages go after the name of the key's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyError {
    /// It is something else.
    #[error(
        "is no key: it must hold one line that begins with AGE-SECRET-KEY-1 (age-keygen makes \
         such), or that encrypted with a passphrase (age -p)"
    )]
    NoKey,
    /// Not the passphrase it was locked with.
    #[error("is locked with another passphrase")]
    WrongPassphrase,
    /// To try the passphrase would take hours, or all memory.
    #[error("asks for too much work (over 2^{MOST_WORK}); lock it anew with: age -p")]
    TooMuchWork,
}

/// Why something encrypted cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OpenError {
    /// It is not an age file at all.
    #[error("it is not encrypted")]
    NotEncrypted,
    /// It is sound, but for somebody else.
    #[error("it is encrypted to another key")]
    AnotherKey,
    /// It was cut off or changed.
    #[error("it was cut off or changed")]
    Damaged,
}

impl SessionKey {
    /// A new key, from the system's randomness.
    #[must_use]
    pub fn generate() -> Self {
        Self::of(x25519::Identity::generate())
    }

    fn of(identity: x25519::Identity) -> Self {
        let recipient = identity.to_public();
        Self {
            identity,
            recipient,
        }
    }

    /// The text of a key file, as `age-keygen` writes it.
    #[must_use]
    pub fn to_file(&self) -> Zeroizing<Vec<u8>> {
        let identity = self.identity.to_string();
        let text = format!(
            "# public key: {}\n{}\n",
            self.recipient,
            identity.expose_secret()
        );
        Zeroizing::new(text.into_bytes())
    }

    /// The text of a key file that needs `passphrase`, as `age -p -a` writes it. Takes a second.
    ///
    /// # Errors
    /// None that can be seen to happen: everything is in memory.
    pub fn to_locked_file(&self, passphrase: &str) -> std::io::Result<Zeroizing<Vec<u8>>> {
        let mut recipient = scrypt::Recipient::new(SecretString::from(passphrase.to_owned()));
        recipient.set_work_factor(WORK);
        let mut file = vec![];
        let encryptor = Encryptor::with_recipients(iter::once(&recipient as _))
            .map_err(std::io::Error::other)?;
        let armor = ArmoredWriter::wrap_output(&mut file, Format::AsciiArmor)?;
        let mut writer = encryptor.wrap_output(armor)?;
        writer.write_all(&self.to_file())?;
        writer.finish()?.finish()?;
        Ok(Zeroizing::new(file))
    }

    /// Encrypts `plain`, as one binary age file.
    ///
    /// # Errors
    /// None that can be seen to happen: everything is in memory.
    pub fn encrypt(&self, plain: &[u8]) -> std::io::Result<Vec<u8>> {
        ::age::encrypt(&self.recipient, plain).map_err(std::io::Error::other)
    }

    /// Opens what [`SessionKey::encrypt`] made.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn decrypt(&self, file: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        if !file.starts_with(HEADER) {
            // A piece of the header is all that is left of a file that was cut off.
            let cut = !file.is_empty() && HEADER.starts_with(file);
            return Err(if cut {
                OpenError::Damaged
            } else {
                OpenError::NotEncrypted
            });
        }
        let open = || -> Result<_, DecryptError> {
            let mut reader =
                Decryptor::new_buffered(file)?.decrypt(iter::once(&self.identity as _))?;
            // With room for all of it from the start, so that growing leaves no copies behind.
            let mut plain = Zeroizing::new(Vec::with_capacity(file.len()));
            reader.read_to_end(&mut plain)?;
            Ok(plain)
        };
        open().map_err(|error| match error {
            DecryptError::NoMatchingKeys => OpenError::AnotherKey,
            DecryptError::DecryptionFailed
            | DecryptError::ExcessiveWork { .. }
            | DecryptError::InvalidHeader
            | DecryptError::InvalidMac
            | DecryptError::Io(_)
            | DecryptError::KeyDecryptionFailed
            | DecryptError::UnknownFormat
            | _ => OpenError::Damaged,
        })
    }
}

impl StoredKey {
    /// Reads a key file: comments, and one key; or an age file locked with a passphrase.
    ///
    /// # Errors
    /// [`KeyError::NoKey`]; nothing of the content is repeated.
    pub fn read(file: &[u8]) -> Result<Self, KeyError> {
        if file.starts_with(HEADER) || file.starts_with(ARMOR) {
            let locked = Decryptor::new_buffered(ArmoredReader::new(file));
            return match locked {
                Ok(locked) if locked.is_scrypt() => {
                    Ok(Self::Locked(LockedKey(Zeroizing::new(file.to_vec()))))
                }
                Ok(_) | Err(_) => Err(KeyError::NoKey),
            };
        }
        plain(file).map(Self::Open)
    }
}

impl LockedKey {
    /// Tries a passphrase. Takes about a second, on the calling thread.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn unlock(&self, passphrase: &str) -> Result<SessionKey, KeyError> {
        let mut identity = scrypt::Identity::new(SecretString::from(passphrase.to_owned()));
        identity.set_max_work_factor(MOST_WORK);
        let open = || -> Result<_, DecryptError> {
            let locked = Decryptor::new_buffered(ArmoredReader::new(self.0.as_slice()))?;
            let reader = locked.decrypt(iter::once(&identity as _))?;
            let mut file = Zeroizing::new(Vec::with_capacity(self.0.len()));
            reader.take(MOST_KEY).read_to_end(&mut file)?;
            Ok(file)
        };
        let file = open().map_err(|error| match error {
            DecryptError::ExcessiveWork { .. } => KeyError::TooMuchWork,
            DecryptError::DecryptionFailed
            | DecryptError::NoMatchingKeys
            | DecryptError::KeyDecryptionFailed => KeyError::WrongPassphrase,
            DecryptError::InvalidHeader
            | DecryptError::InvalidMac
            | DecryptError::Io(_)
            | DecryptError::UnknownFormat
            | _ => KeyError::NoKey,
        })?;
        plain(&file)
    }
}

/// The one key among the lines of `file`.
fn plain(file: &[u8]) -> Result<SessionKey, KeyError> {
    let text = std::str::from_utf8(file).map_err(|_| KeyError::NoKey)?;
    let mut lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    match (lines.next(), lines.next()) {
        (Some(line), None) if line.starts_with(KEY) => line
            .parse()
            .map(SessionKey::of)
            .map_err(|_| KeyError::NoKey),
        _ => Err(KeyError::NoKey),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(file: &[u8]) -> Result<SessionKey, KeyError> {
        match StoredKey::read(file)? {
            StoredKey::Open(key) => Ok(key),
            StoredKey::Locked(_) => panic!("it is not locked"),
        }
    }

    fn locked(file: &[u8]) -> LockedKey {
        match StoredKey::read(file).unwrap_or_else(|error| panic!("{error}")) {
            StoredKey::Locked(key) => key,
            StoredKey::Open(_) => panic!("it is not locked"),
        }
    }

    #[test]
    fn a_key_survives_its_file() {
        let key = SessionKey::generate();
        let again = open(&key.to_file()).ok().unwrap();
        let file = key.encrypt(b"hello").unwrap();
        assert!(!file.windows(5).any(|part| part == b"hello"));
        assert_eq!(again.decrypt(&file).unwrap().as_slice(), b"hello");
    }

    #[test]
    fn a_locked_key_opens_with_its_passphrase_only() {
        let key = SessionKey::generate();
        let file = key.to_locked_file("correct horse").unwrap();
        assert!(!String::from_utf8_lossy(&file).contains(KEY));
        let locked = locked(&file);
        let error = locked.unlock("wrong").err().unwrap();
        assert_eq!(error, KeyError::WrongPassphrase);
        let again = locked.unlock("correct horse").ok().unwrap();
        let secret = key.encrypt(b"hello").unwrap();
        assert_eq!(again.decrypt(&secret).unwrap().as_slice(), b"hello");
    }

    #[test]
    fn a_key_that_asks_for_hours_is_refused_at_once() {
        let mut recipient = scrypt::Recipient::new(SecretString::from("x".to_owned()));
        recipient.set_work_factor(1);
        let file = ::age::encrypt(&recipient, &SessionKey::generate().to_file()).unwrap();
        let end = file.windows(3).position(|part| part == b" 1\n").unwrap();
        let greedy = [&file[..end], b" 40\n", &file[end + 3..]].concat();
        let error = locked(&greedy).unlock("x").err().unwrap();
        assert_eq!(error, KeyError::TooMuchWork);
    }

    #[test]
    fn what_is_no_key_is_not_repeated() {
        let key = SessionKey::generate();
        let two = [key.to_file().as_slice(), key.to_file().as_slice()].concat();
        let to_somebody = key.encrypt(&key.to_file()).unwrap();
        for bad in [
            b"".as_slice(),
            b"hunter2",
            b"AGE-SECRET-KEY-1hunter2",
            b"\xff",
            b"age-encryption.org/v1\n",
            &two,
            &to_somebody,
        ] {
            let error = open(bad).err().unwrap();
            assert_eq!(error, KeyError::NoKey);
            assert!(!error.to_string().contains("hunter"));
        }
    }

    #[test]
    fn a_file_cut_anywhere_or_for_another_is_told_apart() {
        let key = SessionKey::generate();
        let file = key.encrypt(b"hello").unwrap();
        for length in 1..file.len() {
            let error = key.decrypt(&file[..length]).err().unwrap();
            assert_eq!(error, OpenError::Damaged, "{length}");
        }
        let other = SessionKey::generate().decrypt(&file).err().unwrap();
        assert_eq!(other, OpenError::AnotherKey);
        for plain in [b"".as_slice(), b"{\"version\":1}"] {
            let error = key.decrypt(plain).err().unwrap();
            assert_eq!(error, OpenError::NotEncrypted);
        }
        let mut changed = file.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(key.decrypt(&changed).err(), Some(OpenError::Damaged));
    }
}
