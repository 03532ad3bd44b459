//! A file with secrets in it: for its owner alone, and always whole, the old one or the new.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags, fchmod, fsync, open, openat, renameat, unlinkat};
use rustix::io::Errno;
use zeroize::Zeroizing;

/// Its owner reads and writes it; nobody else does anything.
const MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Where a file is to be.
pub(in crate::cli) struct Target {
    folder: PathBuf,
    name: OsString,
}

impl Target {
    /// `None` where `path` cannot be a file.
    pub(in crate::cli) fn new(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_owned();
        let folder = match path.parent()? {
            folder if folder.as_os_str().is_empty() => PathBuf::from("."),
            folder => folder.to_owned(),
        };
        Some(Self { folder, name })
    }

    /// Makes the file hold `content`. Whether it held something else before.
    pub(in crate::cli) fn write(&self, content: &[u8]) -> io::Result<bool> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = open(&self.folder, flags, Mode::empty())?;
        if self.holds(&folder, content)? {
            return Ok(false);
        }
        let mut temporary = OsString::from(".");
        temporary.push(&self.name);
        temporary.push(format!(".{:016x}", rand::random::<u64>()));
        let written = write_new(&folder, &temporary, content)
            .and_then(|()| Ok(renameat(&folder, &temporary, &folder, &self.name)?));
        if let Err(error) = written {
            // Half a file is none; where it cannot be removed, it is still its owner's alone.
            unlinkat(&folder, &temporary, AtFlags::empty()).ok();
            return Err(error);
        }
        fsync(&folder)?;
        Ok(true)
    }

    /// Whether the file is there with this content; then it is closed to others, too.
    fn holds(&self, folder: &OwnedFd, content: &[u8]) -> io::Result<bool> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(folder, &self.name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(false),
            Err(Errno::LOOP) => return Err(io::Error::other("it is a symbolic link")),
            Err(error) => return Err(error.into()),
        };
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let mut held = Zeroizing::new(Vec::with_capacity(content.len() + 1));
        (&file)
            .take(content.len() as u64 + 1)
            .read_to_end(&mut held)?;
        if *held != content {
            return Ok(false);
        }
        fchmod(&file, MODE)?;
        Ok(true)
    }
}

fn write_new(folder: &OwnedFd, name: &OsStr, content: &[u8]) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(folder, name, flags, MODE)?;
    // Whatever the umask is.
    fchmod(&file, MODE)?;
    let mut file = File::from(file);
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn write(path: &Path, content: &str) -> io::Result<bool> {
        Target::new(path).unwrap().write(content.as_bytes())
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn names(folder: &Path) -> Vec<OsString> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn a_file_is_replaced_whole_and_only_when_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.conf");
        assert!(write(&path, "one").unwrap());
        assert_eq!(
            (fs::read_to_string(&path).unwrap().as_str(), mode(&path)),
            ("one", 0o600)
        );
        let first = fs::metadata(&path).unwrap().ino();
        assert!(!write(&path, "one").unwrap());
        assert_eq!(fs::metadata(&path).unwrap().ino(), first, "left alone");

        let reader = fs::File::open(&path).unwrap();
        for other in ["on", "one more", ""] {
            assert!(write(&path, other).unwrap(), "{other}");
            assert_eq!(fs::read_to_string(&path).unwrap(), other);
        }
        assert_eq!(
            io::read_to_string(reader).unwrap(),
            "one",
            "who reads is not disturbed"
        );
        assert_eq!(names(folder.path()), ["app.conf"], "nothing is left behind");
    }

    #[test]
    fn others_are_shut_out_of_what_was_open_to_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.conf");
        for content in ["one", "two"] {
            fs::write(&path, "one").unwrap();
            fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
            write(&path, content).unwrap();
            assert_eq!(mode(&path), 0o600, "{content}");
        }
    }

    #[test]
    fn only_a_regular_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        let link = folder.path().join("link");
        symlink(&precious, &link).unwrap();
        let dangling = folder.path().join("dangling");
        symlink(folder.path().join("nowhere"), &dangling).unwrap();
        let socket = folder.path().join("socket");
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        let inner = folder.path().join("folder");
        fs::create_dir(&inner).unwrap();
        for (path, said) in [
            (&link, "symbolic link"),
            (&dangling, "symbolic link"),
            (&socket, ""),
            (&inner, "no regular file"),
        ] {
            let error = write(path, "x").unwrap_err().to_string();
            assert!(error.contains(said), "{}: {error}", path.display());
        }
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
        assert!(link.is_symlink() && !folder.path().join("nowhere").exists());
        assert_eq!(names(folder.path()).len(), 5, "nothing is left behind");
        assert!(write(&folder.path().join("missing/x"), "x").is_err());
        for path in ["/", "..", "a/.."] {
            assert!(Target::new(Path::new(path)).is_none(), "{path}");
        }
    }
}
