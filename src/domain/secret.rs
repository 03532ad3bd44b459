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

impl Secret {
    /// The names of the fields.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|field| field.name.as_str())
    }
}
