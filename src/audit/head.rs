//! The `.head` file beside the audit: how far it was known to be on disk.
//!
//! It lets a start check only what came after, and shows when the end of the audit was
//! removed. It is written after each sync of the audit, so it is never ahead of it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Bytes in the file, always: overwritten in place within one sector, so never half written.
const LENGTH: usize = 160;

/// The last record known to be on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Its number.
    pub(super) seq: u64,
    /// The audit's length in bytes, up to its end.
    pub(super) size: u64,
    /// Its hash, in hexadecimal.
    pub(super) hash: String,
}

/// `path` with `suffix` after its last character.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Reads the head of the audit at `audit`. `None`: there is none.
///
/// # Errors
/// When it cannot be read, or is not a head.
pub(super) fn read(audit: &Path) -> io::Result<Option<Head>> {
    let file = match File::open(beside(audit, ".head")) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if file.metadata()?.len() == 0 {
        return Ok(None); // created, then the power went before the first head
    }
    let damaged = |_| {
        let text = format!(
            "{} is damaged; move it away, then check the audit with `vaultgram audit verify`",
            beside(audit, ".head").display()
        );
        io::Error::new(io::ErrorKind::InvalidData, text)
    };
    let (mut bytes, mut again) = ([0; LENGTH], [0; LENGTH]);
    file.read_exact_at(&mut bytes, 0).map_err(damaged)?;
    // A read can meet a write half way, so two reads must agree.
    loop {
        file.read_exact_at(&mut again, 0).map_err(damaged)?;
        if bytes == again {
            break;
        }
        bytes = again;
    }
    let head = serde_json::from_slice(&bytes).map_err(|error| damaged(error.into()))?;
    Ok(Some(head))
}

/// The file, open for writing.
#[derive(Debug)]
pub(super) struct HeadFile(File);

impl HeadFile {
    /// Opens, and if need be creates, the head file of the audit at `audit`.
    pub(super) fn open(audit: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(beside(audit, ".head"))?;
        Ok(Self(file))
    }

    /// Replaces what it says. Not synced: an older head is a true head too.
    pub(super) fn write(&self, head: &Head) -> io::Result<()> {
        let json = serde_json::to_string(head)?;
        let text = format!("{json:<width$}\n", width = LENGTH - 1);
        self.0.write_all_at(text.as_bytes(), 0)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
