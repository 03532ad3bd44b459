//! Files that are in memory alone, which a child inherits: nothing of them is left on a disk, and
//! they are gone with the last process that has them open.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::io::Errno;

/// A file in memory that holds `content`, and that every program started from here inherits.
pub(super) struct MemoryFile(File);

impl MemoryFile {
    /// `name` is for people who look into `/proc`.
    pub(super) fn new(name: &str, content: &[u8]) -> io::Result<Self> {
        let name = format!("vaultgram:{name}");
        let flags = MemfdFlags::ALLOW_SEALING;
        let file = match memfd_create(&name, flags | MemfdFlags::NOEXEC_SEAL) {
            // Linux before 6.3.
            Err(Errno::INVAL) => memfd_create(&name, flags)?,
            file => file?,
        };
        let file = File::from(file);
        file.write_all_at(content, 0)?;
        Ok(Self(file))
    }

    /// Nobody can change it from now on.
    pub(super) fn seal(&self) -> io::Result<()> {
        let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        Ok(fcntl_add_seals(&self.0, seals)?)
    }

    /// Puts `content` in place of what it held.
    pub(super) fn rewrite(&self, content: &[u8]) -> io::Result<()> {
        ftruncate(&self.0, 0)?;
        self.0.write_all_at(content, 0)
    }

    /// Where the child finds it.
    pub(super) fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.0.as_raw_fd())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_file_cannot_be_changed_and_an_open_one_can() {
        let file = MemoryFile::new("A", b"one").unwrap();
        file.rewrite(b"second").unwrap();
        file.rewrite(b"3").unwrap();
        assert_eq!(std::fs::read(file.path()).unwrap(), b"3");
        file.seal().unwrap();
        assert!(file.rewrite(b"four").is_err());
        assert!(std::fs::write(file.path(), "four").is_err());
        assert_eq!(std::fs::read(file.path()).unwrap(), b"3");
        let name = std::fs::read_link(file.path()).unwrap();
        assert!(name.to_str().unwrap().contains("vaultgram:A"), "{name:?}");
    }
}
