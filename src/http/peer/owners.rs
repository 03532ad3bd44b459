//! Whose a user id is: who runs containers without root has whole ranges of them, which the
//! administrator lists in `/etc/subuid`. They count as their owner's, who could else take the shares
//! of thousands.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

/// The most of the file that is looked at, in bytes.
const MAX_SIZE: u64 = 1 << 20;

/// Who owns which ids beyond their own.
#[derive(Debug, Default)]
pub(super) struct Owners(Vec<(Range<u32>, u32)>);

impl Owners {
    /// Reads a file such as `/etc/subuid`; where there is none, everybody is one user.
    pub(super) fn read(file: &Path) -> Self {
        let mut text = String::new();
        let read = File::open(file).and_then(|file| file.take(MAX_SIZE).read_to_string(&mut text));
        match read {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(
                    event = "socket.subuid_unreadable",
                    file = %file.display(),
                    %error,
                    hint = "subordinate user ids count as users of their own"
                );
                Self::default()
            }
            Ok(_) | Err(_) => Self::of(&text, |name| {
                let user = nix::unistd::User::from_name(name).ok().flatten();
                user.map(|user| user.uid.as_raw())
            }),
        }
    }

    /// Of lines `OWNER:FIRST:COUNT`; what is none is passed over, as newuidmap does.
    fn of(text: &str, uid_of: impl Fn(&str) -> Option<u32>) -> Self {
        let own = rustix::process::geteuid().as_raw();
        let ranges = text.lines().filter_map(|line| {
            let mut parts = line.split(':');
            let (owner, first, count) = (parts.next()?, parts.next()?, parts.next()?);
            let (first, count): (u32, u32) = (first.parse().ok()?, count.trim().parse().ok()?);
            let owner = owner.parse().ok().or_else(|| uid_of(owner))?;
            let range = first..first.checked_add(count)?;
            // What is kept for root and for us is for nobody else, and for all of us.
            let concerns_us = [0, own]
                .iter()
                .any(|uid| *uid == owner || range.contains(uid));
            (!concerns_us).then_some((range, owner))
        });
        Self(ranges.collect())
    }

    /// Who has what `uid` takes counted as theirs.
    pub(super) fn owner(&self, uid: u32) -> u32 {
        let mut ranges = self.0.iter();
        let found = ranges.find(|(range, _)| range.contains(&uid));
        found.map_or(uid, |(_, owner)| *owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subordinate_ids_are_their_owners() {
        let own = rustix::process::geteuid();
        let text = format!(
            "ann:100000:65536\n1002:165536:10\nroot:300000:65536\n{own}:400000:9\nnobody knows\n\
             gone:500000:9\nann:0:9\nann:x:9\nann:4294967295:9\n\nann:600000:1\n"
        );
        let owners = Owners::of(&text, |name| match name {
            "ann" => Some(1001),
            "root" => Some(0),
            _ => None,
        });
        for (uid, owner) in [
            (0, 0),
            (1001, 1001),
            (99_999, 99_999),
            (100_000, 1001),
            (165_535, 1001),
            (165_536, 1002),
            (165_546, 165_546),
            (300_000, 300_000),
            (400_000, 400_000),
            (500_000, 500_000),
            (600_000, 1001),
            (4_294_967_295, 4_294_967_295),
        ] {
            assert_eq!(owners.owner(uid), owner, "{uid}");
        }
    }

    #[test]
    fn without_a_file_everybody_is_one_user() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("subuid");
        assert_eq!(Owners::read(&file).owner(100_000), 100_000);
        std::fs::write(&file, "1001:100000:65536\n").unwrap();
        assert_eq!(Owners::read(&file).owner(100_000), 1001);
        std::fs::write(&file, b"\xff").unwrap();
        assert_eq!(Owners::read(&file).owner(100_000), 100_000);
    }
}
