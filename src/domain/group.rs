//! Groups of callers, as the configuration names them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use crate::domain::Caller;

/// A member of a group: `telegram:1001`, `uid:990` or `group:admins`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Member {
    /// A Telegram account by numeric id.
    Telegram(i64),
    /// A Unix user by id.
    Uid(u32),
    /// All members of another group.
    Group(String),
}

impl FromStr for Member {
    type Err = GroupError;

    fn from_str(text: &str) -> Result<Self, GroupError> {
        let member = match text.split_once(':') {
            Some(("telegram", id)) => id.parse().ok().filter(|id| *id > 0).map(Self::Telegram),
            Some(("uid", id)) => id.parse().ok().map(Self::Uid),
            Some(("group", name)) => Some(Self::Group(name.to_owned())),
            _ => None,
        };
        member.ok_or(GroupError::Member)
    }
}

/// The groups, resolved: who is in which, nested groups included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups {
    names: BTreeSet<String>,
    telegram: BTreeMap<i64, BTreeSet<String>>,
    uid: BTreeMap<u32, BTreeSet<String>>,
}

impl Groups {
    /// Resolves nesting.
    ///
    /// # Errors
    /// When a group names one that does not exist, or contains itself.
    pub fn new(groups: &BTreeMap<String, Vec<Member>>) -> Result<Self, GroupError> {
        let mut resolved = Self {
            names: groups.keys().cloned().collect(),
            ..Self::default()
        };
        for name in groups.keys() {
            resolved.add(name, name, groups, &mut vec![])?;
        }
        Ok(resolved)
    }

    /// Puts the members of `group` into `into`, following nested groups along `trail`.
    fn add(
        &mut self,
        into: &str,
        group: &str,
        groups: &BTreeMap<String, Vec<Member>>,
        trail: &mut Vec<String>,
    ) -> Result<(), GroupError> {
        if trail.iter().any(|name| name == group) {
            return Err(GroupError::Cycle(group.to_owned()));
        }
        let members = groups
            .get(group)
            .ok_or_else(|| GroupError::Unknown(group.to_owned()))?;
        trail.push(group.to_owned());
        for member in members {
            match member {
                Member::Telegram(id) => {
                    self.telegram
                        .entry(*id)
                        .or_default()
                        .insert(into.to_owned());
                }
                Member::Uid(uid) => {
                    self.uid.entry(*uid).or_default().insert(into.to_owned());
                }
                Member::Group(inner) => self.add(into, inner, groups, trail)?,
            }
        }
        trail.pop();
        Ok(())
    }

    /// The names of all groups, those without members included.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The names of the groups `caller` is in.
    pub fn of(&self, caller: &Caller) -> impl Iterator<Item = &str> {
        let names = match caller {
            Caller::Telegram(user) => self.telegram.get(&user.id),
            Caller::Unix(peer) => self.uid.get(&peer.uid),
        };
        names.into_iter().flatten().map(String::as_str)
    }
}

/// Why the groups cannot be resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupError {
    /// A member in no known notation. Not repeated: it may be a secret in the wrong place.
    Member,
    /// A member names a group that is not defined.
    Unknown(String),
    /// A group contains itself.
    Cycle(String),
}

impl fmt::Display for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member => write!(
                f,
                "is not \"telegram:1001\", \"uid:990\" or \"group:admins\"; write it like one of these"
            ),
            Self::Unknown(name) => {
                write!(f, "the group \"{name}\" is not defined; add it to [groups]")
            }
            Self::Cycle(name) => write!(
                f,
                "the group \"{name}\" contains itself; remove it from the chain"
            ),
        }
    }
}

impl std::error::Error for GroupError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::caller::{ChatKind, TelegramUser};

    fn groups(definition: &[(&str, &[&str])]) -> Result<Groups, GroupError> {
        let mut groups = BTreeMap::new();
        for (name, members) in definition {
            let members = members
                .iter()
                .map(|m| m.parse())
                .collect::<Result<_, _>>()?;
            groups.insert((*name).to_owned(), members);
        }
        Groups::new(&groups)
    }

    #[test]
    fn nested_members_are_in_every_group_above() {
        let groups = groups(&[
            ("admins", &["telegram:1"]),
            ("all", &["group:admins", "uid:5"]),
        ])
        .unwrap();
        let admin = Caller::Telegram(TelegramUser {
            id: 1,
            chat: ChatKind::Private,
        });
        assert_eq!(groups.of(&admin).collect::<Vec<_>>(), ["admins", "all"]);
        let other = Caller::Telegram(TelegramUser {
            id: 5,
            chat: ChatKind::Private,
        });
        assert_eq!(groups.of(&other).count(), 0, "a uid is not a Telegram id");
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(
            groups(&[("a", &["group:b"])]),
            Err(GroupError::Unknown("b".into()))
        );
        assert_eq!(
            groups(&[("a", &["group:b"]), ("b", &["group:a"])]),
            Err(GroupError::Cycle("a".into()))
        );
        for member in [
            "alice",
            "telegram:",
            "telegram:@alice",
            "telegram:0",
            "telegram:-5",
            "uid:-1",
            "gid:5",
        ] {
            assert_eq!(groups(&[("a", &[member])]), Err(GroupError::Member));
        }
    }
}
