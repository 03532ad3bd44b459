//! Secrets of the KV engines.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One version of a KV version 2 secret; `F` is how the side at hand holds the fields.
#[derive(Debug, Serialize, Deserialize)]
pub struct KvVersion<F> {
    /// The fields; null where the version is deleted or destroyed.
    pub data: F,
    /// What Vault says about this version.
    pub metadata: KvMetadata,
}

/// What Vault says about one version of a secret.
#[derive(Debug, Serialize, Deserialize)]
pub struct KvMetadata {
    /// When it was written, RFC 3339.
    pub created_time: String,
    /// What people noted beside the secret; null where that is nothing.
    pub custom_metadata: Option<Notes>,
    /// When it was deleted, RFC 3339; empty where it is not.
    pub deletion_time: String,
    /// Whether it is gone for good.
    pub destroyed: bool,
    /// Its number, from 1.
    pub version: u64,
}

/// What people noted beside a secret, by name.
pub type Notes = BTreeMap<String, String>;

/// What Vault says about a secret of KV version 2 and its versions.
#[derive(Debug, Serialize, Deserialize)]
pub struct KvHistory {
    /// Whether it is written only by who says over which version.
    pub cas_required: bool,
    /// When there was first anything of it, RFC 3339.
    pub created_time: String,
    /// The number of the newest version.
    pub current_version: u64,
    /// What people noted beside it; null where that is nothing.
    pub custom_metadata: Option<Notes>,
    /// After how long a version is deleted by itself, as `3h25m19s`.
    pub delete_version_after: String,
    /// How many versions are kept; 0 for as many as the mount keeps.
    pub max_versions: u64,
    /// The number of the oldest that was not dropped; 0 until any was.
    pub oldest_version: u64,
    /// When something of it last changed, RFC 3339.
    pub updated_time: String,
    /// The versions, by number.
    pub versions: BTreeMap<String, KvState>,
}

/// What became of one version.
#[derive(Debug, Serialize, Deserialize)]
pub struct KvState {
    /// When it was written, RFC 3339.
    pub created_time: String,
    /// When it was or will be deleted, RFC 3339; empty where it was not and will not be.
    pub deletion_time: String,
    /// Whether it is gone for good.
    pub destroyed: bool,
}

/// The names in a folder.
#[derive(Debug, Serialize, Deserialize)]
pub struct Keys {
    /// Sorted; those of folders end with a slash.
    pub keys: Vec<String>,
}
