//! The session's file: owner only, written whole or not at all, locked against a second process.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::SessionError;

/// A session is some kilobytes; this is where a file is certainly something else.
const MAX_SIZE: u64 = 16 * 1024 * 1024;
/// Longest text of a lock that is read, in bytes.
const MAX_OWNER: u64 = 200;

/// The file that `path` leads to, there or not yet: by whatever links it is named, it has one lock,
/// and a write replaces it and not a link.
pub(super) fn real(path: &Path) -> Result<PathBuf, SessionError> {
    let resolved = match path.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => match path.read_link() {
            // A loop of links is another error, so this ends.
            Ok(target) => return real(&folder(path).join(target)),
            Err(_) => folder(path).canonicalize().map(|folder| {
                let name = path.file_name().unwrap_or_default();
                folder.join(name)
            }),
        },
        resolved => resolved,
    };
    resolved.map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            SessionError::NoFolder(folder(path).to_owned())
        } else {
            refused(path, error)
        }
    })
}

/// Takes the lock beside `path`. The session itself cannot carry it, for each write replaces
/// that file by another.
pub(super) fn lock(path: &Path) -> Result<File, SessionError> {
    let us = rustix::process::geteuid().as_raw();
    // First, or our lock would keep out whom the session belongs to.
    if let Ok(session) = path.metadata() {
        owned(path, session.uid(), us)?;
    } else if let Ok(folder_is) = folder(path).metadata()
        && folder_is.uid() != 0
    {
        owned(folder(path), folder_is.uid(), us)?;
    }
    let lock_path = beside(path, ".lock");
    let fail = |error| refused(&lock_path, error);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        // What it leads to would be emptied below.
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(&lock_path)
        .map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                SessionError::NoFolder(folder(path).to_owned())
            } else if lock_path.is_symlink() {
                fail(io::Error::other("is a link, and must not be; remove it"))
            } else {
                fail(error)
            }
        })?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let read = file.take(MAX_OWNER).read_to_string(&mut text);
            let owner = read.ok().and_then(|_| owner(&text));
            return Err(SessionError::InUse {
                path: path.to_owned(),
                owner: owner.unwrap_or_else(|| "another process".to_owned()),
            });
        }
        Err(TryLockError::Error(error)) => return Err(fail(error)),
    }
    file.set_len(0).map_err(fail)?;
    writeln!(file, "{} {}", std::process::id(), our_name()).map_err(fail)?;
    Ok(file)
}

/// What the system said, or whose file it is where that is why.
fn refused(path: &Path, error: io::Error) -> SessionError {
    let us = rustix::process::geteuid().as_raw();
    let there = [path, folder(path)].into_iter();
    let mut owners = there.filter_map(|path| Some((path, path.metadata().ok()?.uid())));
    match owners.find(|(_, owner)| *owner != us) {
        Some((path, owner)) if error.kind() == io::ErrorKind::PermissionDenied => {
            SessionError::Owner {
                path: path.to_owned(),
                owner,
                us,
            }
        }
        Some(_) | None => SessionError::Io {
            path: path.to_owned(),
            error,
        },
    }
}

/// What a lock's text says of who holds it: `pid 123 (vaultgram serve)`.
fn owner(text: &str) -> Option<String> {
    let (pid, name) = text.trim().split_once(' ')?;
    let pid: u32 = pid.parse().ok()?;
    let plain = name.chars().all(|c| is_plain(c) || c == ' ');
    Some(if plain && !name.is_empty() {
        format!("pid {pid} ({name})")
    } else {
        format!("pid {pid}")
    })
}

/// The program and its command. Later arguments are nobody's business.
fn our_name() -> String {
    let mut arguments = std::env::args_os().take(2).map(PathBuf::from);
    let program = arguments.next().unwrap_or_default();
    let program = program.file_name().unwrap_or_default();
    let command = arguments.next().unwrap_or_default();
    [program, command.as_os_str()]
        .into_iter()
        .filter_map(|word| word.to_str())
        .filter(|word| !word.is_empty() && word.chars().all(is_plain))
        .collect::<Vec<_>>()
        .join(" ")
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

/// Reads the file, if it is for its owner's eyes only.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, SessionError> {
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
    owned(path, metadata.uid(), rustix::process::geteuid().as_raw())?;
    if metadata.len() > MAX_SIZE {
        return Err(SessionError::Damaged {
            path: path.to_owned(),
            reason: format!("larger than {MAX_SIZE} bytes"),
        });
    }
    let mut bytes = Vec::new();
    file.take(MAX_SIZE).read_to_end(&mut bytes).map_err(fail)?;
    Ok(bytes)
}

/// What another user owns, they could have put there; and the next write would make it ours.
pub(super) fn owned(path: &Path, owner: u32, us: u32) -> Result<(), SessionError> {
    if owner == us {
        return Ok(());
    }
    Err(SessionError::Owner {
        path: path.to_owned(),
        owner,
        us,
    })
}

/// Replaces the file: after a crash there is the old one or the new one.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), SessionError> {
    let new_path = beside(path, ".new");
    let replace = || -> io::Result<()> {
        // One left behind by a crash could have another mode, or be a link.
        remove_if_there(&new_path)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
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

/// Removes the file, and what a crash left beside it, which has the same keys; for good also after
/// a power cut.
pub(super) fn remove(path: &Path) -> Result<(), SessionError> {
    let removed = || -> io::Result<()> {
        remove_if_there(&beside(path, ".new"))?;
        std::fs::remove_file(path)?;
        File::open(folder(path))?.sync_all()
    };
    removed().map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            SessionError::Missing(path.to_owned())
        } else {
            SessionError::Io {
                path: path.to_owned(),
                error,
            }
        }
    })
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
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
