//! The session's file: owner only, written whole or not at all, locked against a second process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::SessionError;

/// A session is some kilobytes; this is where a file is certainly something else.
const MAX_SIZE: u64 = 16 * 1024 * 1024;

/// Takes the lock beside `path`. The session itself cannot carry it, for each write replaces
/// that file by another.
pub(super) fn lock(path: &Path) -> Result<File, SessionError> {
    let lock_path = beside(path, ".lock");
    let fail = |error| SessionError::Io {
        path: lock_path.clone(),
        error,
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&lock_path)
        .map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                SessionError::NoFolder(folder(path).to_owned())
            } else {
                fail(error)
            }
        })?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let read = file.take(16).read_to_string(&mut text);
            return Err(SessionError::InUse {
                path: path.to_owned(),
                owner: match (read, text.trim().parse::<u32>()) {
                    (Ok(_), Ok(pid)) => format!("pid {pid}"),
                    _ => "another process".to_owned(),
                },
            });
        }
        Err(TryLockError::Error(error)) => return Err(fail(error)),
    }
    file.set_len(0).map_err(fail)?;
    writeln!(file, "{}", std::process::id()).map_err(fail)?;
    Ok(file)
}

/// Reads the file, if it is for its owner's eyes only.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, SessionError> {
    let fail = |error| SessionError::Io {
        path: path.to_owned(),
        error,
    };
    let file = File::open(path).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            SessionError::Missing(path.to_owned())
        } else {
            fail(error)
        }
    })?;
    let metadata = file.metadata().map_err(fail)?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SessionError::Permissions {
            path: path.to_owned(),
            mode,
        });
    }
    if metadata.len() > MAX_SIZE {
        return Err(SessionError::Damaged {
            path: path.to_owned(),
            reason: format!("larger than {MAX_SIZE} bytes"),
        });
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(MAX_SIZE).read_to_end(&mut bytes).map_err(fail)?;
    Ok(bytes)
}

/// Replaces the file: after a crash there is the old one or the new one.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), SessionError> {
    let new_path = beside(path, ".new");
    let replace = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new_path)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new_path, path)?;
        File::open(folder(path))?.sync_all()
    };
    replace().map_err(|error| SessionError::Io {
        path: path.to_owned(),
        error,
    })
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
