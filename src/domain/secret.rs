//! Secret values: the one type that may hold plaintext.

use std::time::Duration;

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

/// A secret as it was read: named fields, and what Vault says about them.
pub struct Secret {
    /// The fields, in Vault's order.
    pub fields: Vec<Field>,
    /// Where they come from.
    pub origin: Origin,
    /// How old they are, where they were not read just now.
    pub age: Option<Age>,
}

/// Where a secret's fields come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// This version of KV version 2.
    Version(VersionFacts),
    /// KV version 1, or an engine that says no more than the fields.
    Plain,
    /// An engine made them for this request; they end with the lease.
    Leased(Lease),
}

/// What Vault says of a version beside its values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VersionFacts {
    /// Its number, counted from 1.
    pub number: u64,
    /// When it was written, RFC 3339, as Vault says it.
    pub created: String,
    /// When it was or will be deleted, likewise; empty where it was not and will not be.
    pub deletion: String,
    /// What people noted beside the secret (`custom_metadata`), sorted by name.
    pub notes: Vec<(String, String)>,
}

impl Origin {
    /// The lease, where there is one.
    #[must_use]
    pub fn lease(&self) -> Option<&Lease> {
        match self {
            Self::Leased(lease) => Some(lease),
            Self::Version(_) | Self::Plain => None,
        }
    }
}

/// Vault's promise that a dynamic secret holds for a time (`sys/leases`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Its name in Vault: the path it was made at, and a random part.
    pub id: String,
    /// How long it was granted for.
    pub duration: Duration,
    /// Whether it can be asked to last longer.
    pub renewable: bool,
    /// What people call it, once the broker looks after it.
    pub code: Option<String>,
}

/// How long ago a secret was read from Vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age {
    /// So long ago.
    pub since: Duration,
    /// Vault could not be asked whether it is still the newest.
    pub stale: bool,
}

/// A named value of a secret.
pub struct Field {
    /// The field's name; not secret.
    pub name: String,
    /// The value as compact JSON text (a string keeps its quotes and escapes).
    pub json: SecretValue,
}

/// What Vault keeps of a secret's versions: no values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    /// The number of the newest version (KV v2 counts from 1).
    pub current: u64,
    /// The number of the oldest that Vault has not dropped; 0 until it has dropped any.
    pub oldest: u64,
    /// When there was first anything of the secret, RFC 3339, as Vault says it.
    pub created: String,
    /// When something of it last changed, likewise.
    pub updated: String,
    /// Whether it is written only by who says over which version.
    pub cas_required: bool,
    /// How many versions are kept; 0 for as many as the mount keeps.
    pub max_versions: u64,
    /// After how long a version is deleted by itself, as Vault says it (`3h25m19s`).
    pub delete_version_after: String,
    /// The versions that Vault still knows, the newest first.
    pub versions: Vec<Version>,
    /// What people noted beside the secret (`custom_metadata`), sorted by name.
    pub notes: Vec<(String, String)>,
}

/// One version of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Its number.
    pub number: u64,
    /// When it was written, RFC 3339, as Vault says it.
    pub created: String,
    /// When it was or will be deleted, likewise; empty where it was not and will not be.
    pub deletion: String,
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
    /// A version of a KV version 2 secret, just read.
    #[must_use]
    pub fn of_version(fields: Vec<Field>, facts: VersionFacts) -> Self {
        Self {
            fields,
            origin: Origin::Version(facts),
            age: None,
        }
    }

    /// The version read, where there are versions.
    #[must_use]
    pub fn version(&self) -> Option<u64> {
        match &self.origin {
            Origin::Version(facts) => Some(facts.number),
            Origin::Plain | Origin::Leased(_) => None,
        }
    }

    /// The lease it ends with, where it has one.
    #[must_use]
    pub fn lease(&self) -> Option<&Lease> {
        self.origin.lease()
    }

    /// The names of the fields.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|field| field.name.as_str())
    }
}
