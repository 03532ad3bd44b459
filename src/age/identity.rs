//! Private keys, in the files that `age-keygen` writes and `vaultgram keygen` writes too.

use std::io::Read;

use age::secrecy::{ExposeSecret, SecretString};
use age::{DecryptError, IdentityFile};
use thiserror::Error;
use zeroize::Zeroizing;

use super::open::{decryptor, is_sealed};
use crate::domain::SecretValue;

/// Largest identity file that is read, in bytes; a key takes about 190.
pub const MAX_FILE: usize = 64 << 10;

/// Private keys. No `Debug`.
pub struct Identities(Vec<Box<dyn age::Identity + Send + Sync>>);

/// Why an identity file cannot be used. Nothing of the file is repeated.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdentityError {
    /// A line that is neither a key nor a comment, or bytes that are no text.
    #[error("it holds something other than age identities (AGE-SECRET-KEY-1…) and comments")]
    NotIdentities,
    /// No key at all.
    #[error("it holds no age identity (AGE-SECRET-KEY-1…)")]
    Empty,
    /// An age file that no passphrase opens.
    #[error("it is encrypted, but not with a passphrase")]
    NotPassphrase,
    /// The passphrase does not open it.
    #[error("the passphrase is wrong, or the file is damaged")]
    WrongPassphrase,
    /// No passphrase was given.
    #[error("its passphrase cannot be asked for: {0}")]
    NoPassphrase(String),
}

impl Identities {
    /// Reads the text of an identity file. Where it is protected by a passphrase, `ask` is called
    /// for that.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn read(
        file: &[u8],
        ask: impl FnOnce() -> Result<String, String>,
    ) -> Result<Self, IdentityError> {
        if !is_sealed(file) {
            return Self::plain(file);
        }
        let decryptor = decryptor(file).map_err(|_| IdentityError::NotIdentities)?;
        if !decryptor.is_scrypt() {
            return Err(IdentityError::NotPassphrase);
        }
        let passphrase = ask().map_err(IdentityError::NoPassphrase)?;
        let passphrase = age::scrypt::Identity::new(SecretString::from(passphrase));
        let key: &dyn age::Identity = &passphrase;
        let wrong = |_: DecryptError| IdentityError::WrongPassphrase;
        let reader = decryptor.decrypt(std::iter::once(key)).map_err(wrong)?;
        let mut plain = Zeroizing::new(Vec::with_capacity(MAX_FILE + 1));
        let read = reader.take(MAX_FILE as u64 + 1).read_to_end(&mut plain);
        read.map_err(|_| IdentityError::WrongPassphrase)?;
        Self::plain(&plain)
    }

    fn plain(file: &[u8]) -> Result<Self, IdentityError> {
        let file = IdentityFile::from_buffer(file).map_err(|_| IdentityError::NotIdentities)?;
        let keys = file.into_identities();
        let keys = keys.map_err(|_| IdentityError::NotIdentities)?;
        if keys.is_empty() {
            return Err(IdentityError::Empty);
        }
        Ok(Self(keys))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.0.iter().map(|key| &**key as &dyn age::Identity)
    }
}

/// A private key that was just made.
pub struct NewIdentity {
    /// Its file.
    pub file: SecretValue,
    /// Its public key.
    pub public: String,
}

impl NewIdentity {
    /// Makes a private key.
    #[must_use]
    pub fn generate() -> Self {
        let key = age::x25519::Identity::generate();
        let public = key.to_public().to_string();
        let secret = key.to_string();
        let file = format!("# public key: {public}\n{}\n", secret.expose_secret());
        Self {
            file: SecretValue::new(file.into_bytes()),
            public,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// From age's own documentation.
    const KEY: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

    fn count(file: &str) -> Result<usize, IdentityError> {
        Identities::read(file.as_bytes(), || panic!("no passphrase")).map(|all| all.0.len())
    }

    #[test]
    fn reads_what_age_keygen_writes() {
        let written = format!("# created: 2026-01-02T03:04:05Z\r\n# public key: age1\r\n{KEY}\r\n");
        assert_eq!(count(&written), Ok(1));
        assert_eq!(count(&format!("{KEY}\n\n# second\n{KEY}")), Ok(2));
        assert_eq!(count("# nothing\n"), Err(IdentityError::Empty));
        for wrong in ["hunter2", "age1qqq", &format!("{KEY}x")] {
            assert_eq!(count(wrong), Err(IdentityError::NotIdentities), "{wrong}");
        }
    }

    #[test]
    fn a_passphrase_opens_it_and_no_other_does() {
        let mut recipient = age::scrypt::Recipient::new(SecretString::from("correct".to_owned()));
        recipient.set_work_factor(2);
        let recipients = std::iter::once(&recipient as &dyn age::Recipient);
        let encryptor = age::Encryptor::with_recipients(recipients).unwrap();
        let mut file = vec![];
        let mut writer = encryptor.wrap_output(&mut file).unwrap();
        writer.write_all(KEY.as_bytes()).unwrap();
        writer.finish().unwrap();
        let read = |answer: Result<&str, &str>| {
            let answer = answer.map(str::to_owned).map_err(str::to_owned);
            Identities::read(&file, || answer).map(|all| all.0.len())
        };
        assert_eq!(read(Ok("correct")), Ok(1));
        assert_eq!(read(Ok("wrong")), Err(IdentityError::WrongPassphrase));
        let missing = IdentityError::NoPassphrase("no terminal".to_owned());
        assert_eq!(read(Err("no terminal")), Err(missing));
    }
}
