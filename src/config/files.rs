//! Reading files that decide access or hold secrets: capped, and refused where the wrong people
//! could change or read them.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// The most files in a folder of policies, whatever they are.
const MAX_ENTRIES: usize = 10_000;

/// What a file must be kept safe from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Guard {
    /// It decides who gets what: only its owner may change it, and that must be root or us.
    Change,
    /// It holds a secret: others may do nothing with it.
    Others,
    /// It holds the account itself: root or we own it, and nobody else may do anything with it.
    Owner,
    /// systemd, Docker or Kubernetes keeps it, in a folder and with modes of its own.
    None,
}

/// The content of the file at `path`; `None` when there is none.
///
/// # Errors
/// When it cannot be read, is over `limit` bytes, or is not guarded as it must be.
pub(super) fn read(
    path: &Path,
    limit: u64,
    guard: Guard,
) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
    let name = path.display();
    let own = rustix::process::geteuid().as_raw();
    let unreadable = |error: std::io::Error| {
        let owner = std::fs::metadata(path).ok().map(|metadata| metadata.uid());
        match owner.filter(|owner| error.kind() == ErrorKind::PermissionDenied && *owner != own) {
            Some(owner) => format!(
                "{name}: cannot be read: it belongs to user {owner}, and this is user {own}; run \
                 the command as that user (sudo -u '#{owner}'), or: chown {own} {name}"
            ),
            None => format!("{name}: cannot be read: {error}"),
        }
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    // Of the open file, so that what is looked at is what is read.
    let metadata = file.metadata().map_err(unreadable)?;
    if let Some(problem) = unsafe_because(path, &metadata, guard, own) {
        return Err(format!("{name}: {problem}"));
    }
    let mut bytes = Zeroizing::new(vec![]);
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        return Err(format!("{name}: is larger than {} KiB", limit >> 10));
    }
    Ok(Some(bytes))
}

/// As [`read`], of UTF-8 text.
///
/// # Errors
/// As [`read`], and when it is not UTF-8.
pub(super) fn read_text(
    path: &Path,
    limit: u64,
    guard: Guard,
) -> Result<Option<Zeroizing<String>>, String> {
    let Some(mut bytes) = read(path, limit, guard)? else {
        return Ok(None);
    };
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            Err(format!("{}: is not UTF-8 text", path.display()))
        }
    }
}

/// The policies in the folder at `path`, by name: every `*.cedar` but hidden ones, such as
/// editors keep beside what they edit. Links are followed: Kubernetes makes its folders of them.
///
/// # Errors
/// When it cannot be read, or others could put files into it.
pub(super) fn in_folder(path: &Path) -> Result<Vec<PathBuf>, String> {
    let name = path.display();
    let unreadable = |error: std::io::Error| format!("{name}: cannot be read: {error}");
    let metadata = path.metadata().map_err(unreadable)?;
    let own = rustix::process::geteuid().as_raw();
    // Kubernetes lets everybody write to its folders, and mounts them read-only.
    let read_only = rustix::fs::statvfs(path)
        .is_ok_and(|it| it.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
    if let Some(problem) = unsafe_because(path, &metadata, Guard::Change, own)
        && !read_only
    {
        return Err(format!("{name}: {problem}"));
    }
    let mut found = vec![];
    for entry in std::fs::read_dir(path)
        .map_err(unreadable)?
        .take(MAX_ENTRIES + 1)
    {
        found.push(entry.map_err(unreadable)?.path());
    }
    if found.len() > MAX_ENTRIES {
        return Err(format!("{name}: has more than {MAX_ENTRIES} files in it"));
    }
    found.retain(|path| {
        let hidden = path
            .file_name()
            .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        !hidden && path.extension().is_some_and(|it| it == "cedar")
    });
    found.sort();
    Ok(found)
}

/// Why a file with `metadata` is not guarded as it must be, to the user with the id `own`.
fn unsafe_because(path: &Path, metadata: &Metadata, guard: Guard, own: u32) -> Option<String> {
    let (name, mode, owner) = (path.display(), metadata.mode(), metadata.uid());
    match guard {
        Guard::Change if owner != 0 && owner != own => Some(format!(
            "belongs to user {owner}, who could change who gets what; run: chown root {name}"
        )),
        Guard::Change if mode & 0o022 != 0 => Some(format!(
            "others than its owner could change it; run: chmod go-w {name}"
        )),
        Guard::Others if mode & 0o007 != 0 => Some(format!(
            "holds a secret, and is open to everybody (in Kubernetes: defaultMode: 0440 on its volume, \
             and runAsUser and fsGroup for the pod); run: chmod o-rwx {name}"
        )),
        Guard::Owner if owner != 0 && owner != own => Some(format!(
            "holds a secret, and belongs to user {owner}; run: chown {own} {name}"
        )),
        Guard::Owner if mode & 0o077 != 0 => Some(format!(
            "holds a secret, and is open to others than its owner; run: chmod 600 {name}"
        )),
        Guard::Change | Guard::Others | Guard::Owner | Guard::None => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn who_could_change_or_read_it_matters() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "x").unwrap();
        let read = |mode, guard| {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            read(&path, 1, guard).map(|bytes| bytes.unwrap().to_vec())
        };
        for (mode, guard) in [
            (0o644, Guard::Change),
            (0o400, Guard::Change),
            (0o600, Guard::Others),
            (0o660, Guard::Others),
            (0o600, Guard::Owner),
            (0o444, Guard::None),
        ] {
            assert_eq!(read(mode, guard), Ok(b"x".to_vec()), "{mode:o} {guard:?}");
        }
        for (mode, guard, advice) in [
            (0o664, Guard::Change, "chmod go-w "),
            (0o646, Guard::Change, "chmod go-w "),
            (0o604, Guard::Others, "chmod o-rwx "),
            (0o602, Guard::Others, "chmod o-rwx "),
            (0o640, Guard::Owner, "chmod 600 "),
            (0o604, Guard::Owner, "chmod 600 "),
        ] {
            let error = read(mode, guard).unwrap_err();
            let advice = format!("{advice}{}", path.display());
            assert!(error.ends_with(&advice), "{mode:o} {guard:?}: {error}");
        }
    }

    #[test]
    fn only_root_and_we_may_own_what_decides() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let metadata = file.as_file().metadata().unwrap();
        let owner = metadata.uid();
        let secret = |own| unsafe_because(file.path(), &metadata, Guard::Owner, own);
        assert_eq!(secret(owner), None);
        if owner != 0 {
            let problem = secret(owner + 1).unwrap();
            assert!(problem.contains("run: chown "), "{problem}");
        }
        let problem = |own| unsafe_because(file.path(), &metadata, Guard::Change, own);
        assert_eq!(problem(owner), None);
        if owner == 0 {
            assert_eq!(problem(7), None, "root's");
        } else {
            let problem = problem(owner + 1).unwrap();
            assert!(problem.contains("run: chown root "), "{problem}");
        }
    }

    #[test]
    fn what_is_too_large_or_missing_is_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        assert_eq!(read(&path, 1, Guard::None), Ok(None));
        std::fs::write(&path, "xy").unwrap();
        assert!(read(&path, 2, Guard::None).is_ok());
        assert!(read(&path, 1, Guard::None).is_err());
    }
}
