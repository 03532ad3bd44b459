//! Secret values: the one type that may hold plaintext.

use zeroize::Zeroizing;

/// Plaintext. Wiped when dropped; no `Clone`, `Debug`, `Display` or serialization, so it
/// cannot slip into a log, an error or a snapshot.
///
/// ```compile_fail
/// # use vaultgram::domain::SecretValue;
/// println!("{:?}", SecretValue::new(b"hunter2".to_vec()));
/// ```
pub struct SecretValue(Zeroizing<Vec<u8>>);

impl SecretValue {
    /// Takes over `bytes`, which are wiped when this value is dropped.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The plaintext. Clippy bans this method: each use says with `#[expect]` why it is needed.
    #[must_use]
    pub fn expose_secret(&self) -> &[u8] {
        &self.0
    }
}

/// One version of a secret: named fields, and what Vault says about it.
pub struct Secret {
    /// The fields, in Vault's order.
    pub fields: Vec<Field>,
    /// The version read (KV v2 counts from 1).
    pub version: u64,
    /// When that version was written, RFC 3339, as Vault says it.
    pub created: String,
}

/// A named value of a secret.
pub struct Field {
    /// The field's name; not secret.
    pub name: String,
    /// The value as compact JSON text (a string keeps its quotes and escapes).
    pub json: SecretValue,
}

/// What Vault keeps of a secret's versions: no values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// The number of the newest version (KV v2 counts from 1).
    pub current: u64,
    /// The versions that Vault still knows, the newest first.
    pub versions: Vec<Version>,
}

/// One version of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Its number.
    pub number: u64,
    /// When it was written, RFC 3339, as Vault says it.
    pub created: String,
    /// Whether it can be read.
    pub state: VersionState,
}

/// What became of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionState {
    /// It can be read.
    Live,
    /// It can be undeleted.
    Deleted,
    /// It is gone for good.
    Destroyed,
}

impl VersionState {
    /// One word for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Deleted => "deleted",
            Self::Destroyed => "destroyed",
        }
    }
}

impl Secret {
    /// The names of the fields.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|field| field.name.as_str())
    }
}
