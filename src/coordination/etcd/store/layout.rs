//! Where everything stands in etcd.

use std::fmt;

/// One membership of a process in the company of replicas. A process that lost one has another one
/// later, under the next term, and what it claimed under the former is as that of one that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct MemberId {
    pub(super) process: [u8; 16],
    pub(super) term: u64,
}

impl MemberId {
    /// Is never a member.
    pub(super) const NOBODY: Self = Self {
        process: [0; 16],
        term: 0,
    };

    fn read(text: &str) -> Option<Self> {
        let (process, term) = text.split_once('.')?;
        let mut id = Self::NOBODY;
        hex::decode_to_slice(process, &mut id.process).ok()?;
        id.term = term.parse().ok()?;
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", hex::encode(self.process), self.term)
    }
}

/// The names of keys, all below one prefix.
#[derive(Debug, Clone)]
pub(super) struct Layout(String);

/// What a key is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place<'k> {
    /// A member's presence.
    Member(MemberId),
    /// An entry or a claim of the port, under its own name.
    State(&'k str),
    /// Nothing that is watched.
    Other,
}

impl Layout {
    pub(super) fn new(prefix: &str) -> Self {
        Self(prefix.to_owned())
    }

    /// What all keys start with.
    pub(super) fn everything(&self) -> &str {
        &self.0
    }

    /// The mark that the state was carried elsewhere.
    pub(super) fn moved(&self) -> String {
        format!("{}moved", self.0)
    }

    pub(super) fn members(&self) -> String {
        format!("{}members/", self.0)
    }

    pub(super) fn member(&self, id: MemberId) -> String {
        format!("{}members/{id}", self.0)
    }

    pub(super) fn session(&self, name: &str) -> String {
        format!("{}sessions/{name}", self.0)
    }

    pub(super) fn state(&self, key: &str) -> String {
        format!("{}state/{key}", self.0)
    }

    /// The port's own name of what stands at `key`, if it is the port's.
    pub(super) fn key<'k>(&self, key: &'k str) -> Option<&'k str> {
        match self.place(key) {
            Place::State(key) => Some(key),
            Place::Member(_) | Place::Other => None,
        }
    }

    /// What `key` is for.
    pub(super) fn place<'k>(&self, key: &'k str) -> Place<'k> {
        let Some(rest) = key.strip_prefix(&self.0) else {
            return Place::Other;
        };
        if let Some(key) = rest.strip_prefix("state/") {
            return Place::State(key);
        }
        let id = rest.strip_prefix("members/").and_then(MemberId::read);
        id.map_or(Place::Other, Place::Member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_it_named() {
        let layout = Layout::new("/vaultgram/");
        let id = MemberId {
            process: [0xAB; 16],
            term: 7,
        };
        assert_eq!(layout.place(&layout.member(id)), Place::Member(id));
        assert_eq!(layout.place(&layout.state("a/b")), Place::State("a/b"));
        assert_eq!(
            layout.place("/vaultgram/state/members/x"),
            Place::State("members/x")
        );
        for other in [
            layout.session("x").as_str(),
            "/other/state/x",
            "/vaultgram/members/7",
            "/vaultgram/members/00.7",
            "/vaultgram/members/ABABABABABABABABABABABABABABABAB.7",
        ] {
            assert_eq!(layout.place(other), Place::Other, "{other}");
        }
    }
}
