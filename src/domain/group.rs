//! Groups of callers, as the configuration names them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use crate::domain::caller::is_unit;
use crate::domain::person::Account;
use crate::domain::{Caller, People, Person};

/// A member of a group: `telegram:1001`, `uid:990`, `github:583231`, `gid:27`, `unit:deploy.service`,
/// `person:alice` or `group:admins`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Member {
    /// An account of a person's.
    Account(Account),
    /// Every process in a Unix group, by id.
    Gid(u32),
    /// Every process of a systemd unit of the system's.
    Unit(String),
    /// Every account of a person.
    Person(String),
    /// All members of another group.
    Group(String),
}

impl FromStr for Member {
    type Err = GroupError;

    fn from_str(text: &str) -> Result<Self, GroupError> {
        if let Ok(account) = text.parse() {
            return Ok(Self::Account(account));
        }
        let member = match text.split_once(':') {
            Some(("gid", id)) => id.parse().ok().map(Self::Gid),
            Some(("unit", name)) => is_unit(name).then(|| Self::Unit(name.to_owned())),
            Some(("person", name)) => Some(Self::Person(name.to_owned())),
            Some(("group", name)) => Some(Self::Group(name.to_owned())),
            _ => None,
        };
        member.ok_or(GroupError::Member)
    }
}

/// The groups, resolved: who is in which, nested groups included; and the people in them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups {
    names: BTreeSet<String>,
    account: BTreeMap<Account, BTreeSet<String>>,
    gid: BTreeMap<u32, BTreeSet<String>>,
    unit: BTreeMap<String, BTreeSet<String>>,
    /// For each group, those that contain it, itself included.
    around: BTreeMap<String, BTreeSet<String>>,
    people: People,
    /// The group whose members look after what is everybody's.
    admins: Option<String>,
}

impl Groups {
    /// Resolves nesting.
    ///
    /// # Errors
    /// When a group names one that does not exist, or contains itself, or names nobody's name.
    pub fn new(groups: &BTreeMap<String, Vec<Member>>, people: People) -> Result<Self, GroupError> {
        let mut resolved = Self {
            names: groups.keys().cloned().collect(),
            people,
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
        let around = self.around.entry(group.to_owned()).or_default();
        around.insert(into.to_owned());
        for member in members {
            match member {
                Member::Account(account) => self.add_account(into, account.clone()),
                Member::Gid(gid) => {
                    self.gid.entry(*gid).or_default().insert(into.to_owned());
                }
                Member::Unit(unit) => {
                    let groups = self.unit.entry(unit.clone()).or_default();
                    groups.insert(into.to_owned());
                }
                Member::Person(name) => {
                    let person = self.people.named(name);
                    let person = person.ok_or_else(|| GroupError::Nobody(name.clone()))?;
                    let accounts: Vec<_> = self.people.accounts(&person).collect();
                    for account in accounts {
                        self.add_account(into, account);
                    }
                }
                Member::Group(inner) => self.add(into, inner, groups, trail)?,
            }
        }
        trail.pop();
        Ok(())
    }

    fn add_account(&mut self, into: &str, account: Account) {
        let groups = self.account.entry(account).or_default();
        groups.insert(into.to_owned());
    }

    /// The names of all groups, those without members included.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The names of the groups `caller` is in.
    pub fn of(&self, caller: &Caller) -> impl Iterator<Item = &str> {
        let mut names = vec![];
        match caller {
            Caller::Telegram(_) => names.extend(self.account.get(&caller.into())),
            // What a person may is not for whatever their pushing sets going.
            Caller::Job(_) => {}
            Caller::Unix(peer) => {
                names.extend(self.account.get(&caller.into()));
                names.extend(self.gid.get(&peer.gid));
                let groups = peer.groups.iter().flatten();
                names.extend(groups.filter_map(|gid| self.gid.get(gid)));
                names.extend(peer.unit.iter().filter_map(|unit| self.unit.get(unit)));
            }
        }
        let names: BTreeSet<&str> = names.into_iter().flatten().map(String::as_str).collect();
        names.into_iter()
    }

    /// The names of the groups that any account of `person` is in. Those it is in as a process,
    /// by Unix group or unit, are none of the person's.
    pub fn of_person(&self, person: &Person) -> impl Iterator<Item = &str> {
        let groups = self.people.accounts(person);
        let groups = groups.filter_map(|account| self.account.get(&account));
        let names: BTreeSet<&str> = groups.flatten().map(String::as_str).collect();
        names.into_iter()
    }

    /// The people who are in the group `name` by any account of theirs.
    #[must_use]
    pub fn people_in(&self, name: &str) -> BTreeSet<Person> {
        let members = self.account.iter();
        members
            .filter(|(_, groups)| groups.contains(name))
            .map(|(account, _)| self.people.of(account))
            .collect()
    }

    /// Who `caller` is.
    #[must_use]
    pub fn person(&self, caller: &Caller) -> Person {
        self.people.of(&caller.into())
    }

    /// Everybody who is known by name, and whose accounts are whose.
    #[must_use]
    pub fn people(&self) -> &People {
        &self.people
    }

    /// As they would be with `caller` in the group `name`, and so in those that contain it.
    #[must_use]
    pub fn with_member(&self, caller: &Caller, name: &str) -> Self {
        let mut groups = self.clone();
        for outer in self.around.get(name).into_iter().flatten() {
            groups.add_account(outer, caller.into());
        }
        groups
    }

    /// With the group whose members look after what is everybody's.
    ///
    /// # Errors
    /// When there is no such group.
    pub fn with_admins(self, name: &str) -> Result<Self, GroupError> {
        if !self.names.contains(name) {
            return Err(GroupError::Unknown(name.to_owned()));
        }
        Ok(Self {
            admins: Some(name.to_owned()),
            ..self
        })
    }

    /// Whether `caller` is in that group.
    #[must_use]
    pub fn is_admin(&self, caller: &Caller) -> bool {
        let admins = self.admins.as_deref();
        admins.is_some_and(|admins| self.of(caller).any(|name| name == admins))
    }

    /// The Telegram accounts in that group.
    #[must_use]
    pub fn telegram_admins(&self) -> BTreeSet<i64> {
        let Some(admins) = &self.admins else {
            return BTreeSet::new();
        };
        let within = self.account.iter();
        let within = within.filter(|(_, groups)| groups.contains(admins));
        within
            .filter_map(|(account, _)| account.telegram())
            .collect()
    }

    /// Whether somebody may be in the group `name` without our finding out.
    #[must_use]
    pub fn is_uncertain(&self, name: &str) -> bool {
        let mut uncertain = self.gid.values().chain(self.unit.values());
        uncertain.any(|groups| groups.contains(name))
    }
}

/// Why the groups cannot be resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupError {
    /// A member in no known notation. Not repeated: it may be a secret in the wrong place.
    Member,
    /// A member names a group that is not defined.
    Unknown(String),
    /// A member names a person who is not defined.
    Nobody(String),
    /// A group contains itself.
    Cycle(String),
}

impl fmt::Display for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member => write!(
                f,
                "is not \"telegram:1001\", \"uid:990\", \"github:583231\", \"gid:27\", \
                 \"unit:deploy.service\", \"person:alice\" or \"group:admins\"; write it like one of these"
            ),
            Self::Unknown(name) => {
                write!(f, "the group \"{name}\" is not defined; add it to [groups]")
            }
            Self::Nobody(name) => {
                write!(f, "nobody is called \"{name}\"; add them to [people]")
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
    use crate::domain::caller::{ChatKind, TelegramUser, UnixPeer};

    fn groups(definition: &[(&str, &[&str])]) -> Result<Groups, GroupError> {
        let accounts = ["telegram:1", "uid:5"].map(|account| account.parse().unwrap());
        let people = BTreeMap::from([("alice".to_owned(), accounts.to_vec())]);
        let people = People::new(&people, &BTreeMap::from([(1, 5)])).unwrap();
        let mut groups = BTreeMap::new();
        for (name, members) in definition {
            let members = members
                .iter()
                .map(|m| m.parse())
                .collect::<Result<_, _>>()?;
            groups.insert((*name).to_owned(), members);
        }
        Groups::new(&groups, people)
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
    fn a_process_is_in_the_groups_of_its_user_its_groups_and_its_unit() {
        let groups = groups(&[
            ("user", &["uid:5"]),
            ("staff", &["gid:50"]),
            ("deploy", &["unit:deploy.service"]),
            ("all", &["group:staff", "uid:5"]),
        ])
        .unwrap();
        let of = |peer: &UnixPeer| {
            let caller = Caller::Unix(peer.clone());
            let names = groups.of(&caller).map(str::to_owned);
            names.collect::<Vec<_>>()
        };
        let mut peer = UnixPeer::known(6, 50, 1);
        assert_eq!(of(&peer), ["all", "staff"], "the primary group counts");
        peer.gid = 6;
        assert!(of(&peer).is_empty());
        peer.groups = Some(BTreeSet::from([6, 50]));
        peer.unit = Some("deploy.service".to_owned());
        assert_eq!(of(&peer), ["all", "deploy", "staff"]);
        peer.unit = Some("deploy.scope".to_owned());
        peer.groups = None;
        assert!(of(&peer).is_empty());
        for (name, uncertain) in [
            ("user", false),
            ("staff", true),
            ("deploy", true),
            ("all", true),
        ] {
            assert_eq!(groups.is_uncertain(name), uncertain, "{name}");
        }
    }

    #[test]
    fn a_person_is_a_member_by_whatever_way() {
        let groups = groups(&[
            ("ops", &["person:alice"]),
            ("chat", &["telegram:1"]),
            ("staff", &["gid:50"]),
        ])
        .unwrap();
        let chat = Caller::Telegram(TelegramUser {
            id: 1,
            chat: ChatKind::Private,
        });
        let peer = |uid| Caller::Unix(UnixPeer::known(uid, 50, 1));
        assert_eq!(groups.of(&chat).collect::<Vec<_>>(), ["chat", "ops"]);
        assert_eq!(groups.of(&peer(5)).collect::<Vec<_>>(), ["ops", "staff"]);
        let alice = groups.person(&chat);
        assert_eq!((alice.name(), &groups.person(&peer(5))), ("alice", &alice));
        assert_eq!(
            groups.of_person(&alice).collect::<Vec<_>>(),
            ["chat", "ops"]
        );
        let members = |name| {
            let names = groups.people_in(name);
            names.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(members("ops"), ["alice"], "by two accounts");
        assert!(members("staff").is_empty(), "nobody is one by a Unix group");
        let other = groups.person(&peer(6));
        assert_eq!(
            (other.name(), groups.of_person(&other).count()),
            ("uid:6", 0)
        );
    }

    #[test]
    fn nobody_is_an_admin_unless_a_group_says_so() {
        let groups = groups(&[("ops", &["person:alice", "gid:50"]), ("none", &[])]).unwrap();
        let peer = |uid, gid| Caller::Unix(UnixPeer::known(uid, gid, 1));
        assert!(!groups.is_admin(&peer(5, 1)) && groups.telegram_admins().is_empty());
        let none = groups.clone().with_admins("none").unwrap();
        assert!(!none.is_admin(&peer(5, 1)) && none.telegram_admins().is_empty());
        let ops = groups.clone().with_admins("ops").unwrap();
        assert!(ops.is_admin(&peer(5, 1)) && ops.is_admin(&peer(6, 50)));
        assert!(!ops.is_admin(&peer(6, 1)));
        assert_eq!(ops.telegram_admins(), BTreeSet::from([1]));
        assert_eq!(
            groups.with_admins("op"),
            Err(GroupError::Unknown("op".into()))
        );
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
        assert_eq!(
            groups(&[("a", &["person:bob"])]),
            Err(GroupError::Nobody("bob".into()))
        );
        for member in [
            "alice",
            "telegram:",
            "telegram:@alice",
            "telegram:0",
            "telegram:-5",
            "uid:-1",
            "gid:staff",
            "unit:deploy",
            "unit:user@.service",
        ] {
            assert_eq!(groups(&[("a", &[member])]), Err(GroupError::Member));
        }
    }
}
