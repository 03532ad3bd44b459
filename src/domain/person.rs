//! People: who stands behind the accounts that ask.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use crate::domain::Caller;
use crate::domain::job::is_issuer;

/// Longest name of a person, in bytes.
const MAX_NAME: usize = 64;

/// One person: by the name in the configuration's `[people]`, or by the only account there is,
/// as in `telegram:1001`. Neither can be taken for the other, as no name has a colon.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Person(String);

impl Person {
    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Longest name of an account at an issuer, in bytes.
const MAX_ID: usize = 512;

/// What belongs to one person: `telegram:1001`, `uid:1000` or, where jobs come from, `github:583231`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// A Telegram account by numeric id.
    Telegram(i64),
    /// A Unix user by id.
    Uid(u32),
    /// An account at an issuer of tokens: who sets jobs going there.
    Issuer {
        /// The issuer's name in the configuration.
        issuer: String,
        /// The account there, as its tokens name it.
        id: String,
    },
}

impl Account {
    /// The number in Telegram, where it is one there.
    #[must_use]
    pub fn telegram(&self) -> Option<i64> {
        match self {
            Self::Telegram(id) => Some(*id),
            Self::Uid(_) | Self::Issuer { .. } => None,
        }
    }
}

impl From<&Caller> for Account {
    fn from(caller: &Caller) -> Self {
        match caller {
            Caller::Telegram(user) => Self::Telegram(user.id),
            Caller::Unix(peer) => Self::Uid(peer.uid),
            Caller::Job(job) => Self::Issuer {
                issuer: job.issuer.clone(),
                id: job.account().to_owned(),
            },
        }
    }
}

impl FromStr for Account {
    type Err = PersonError;

    fn from_str(text: &str) -> Result<Self, PersonError> {
        let account = match text.split_once(':') {
            Some(("telegram", id)) => id.parse().ok().filter(|id| *id > 0).map(Self::Telegram),
            Some(("uid", id)) => id.parse().ok().map(Self::Uid),
            Some((issuer, id)) if is_issuer(issuer) && is_id(id) => Some(Self::Issuer {
                issuer: issuer.to_owned(),
                id: id.to_owned(),
            }),
            _ => None,
        };
        account.ok_or(PersonError::Account)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Telegram(id) => write!(f, "telegram:{id}"),
            Self::Uid(uid) => write!(f, "uid:{uid}"),
            Self::Issuer { issuer, id } => write!(f, "{issuer}:{id}"),
        }
    }
}

/// The people the configuration knows, and whose each account is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct People {
    names: BTreeSet<String>,
    accounts: BTreeMap<Account, Person>,
}

impl People {
    /// The people of `[people]`, and the `pairs` of a Telegram account and the Unix user it
    /// collects as.
    ///
    /// # Errors
    /// When a name is none, or an account would belong to two people.
    pub fn new(
        people: &BTreeMap<String, Vec<Account>>,
        pairs: &BTreeMap<i64, u32>,
    ) -> Result<Self, PersonError> {
        let mut found = Self {
            names: people.keys().cloned().collect(),
            ..Self::default()
        };
        for (name, accounts) in people {
            if !is_name(name) {
                return Err(PersonError::Name);
            }
            for account in accounts {
                let person = Person(name.clone());
                let before = found.accounts.insert(account.clone(), person);
                if let Some(before) = before.filter(|before| before.0 != *name) {
                    let account = account.clone();
                    return Err(PersonError::Twice(account, before, Person(name.clone())));
                }
            }
        }
        for (id, uid) in pairs {
            let shared = pairs.values().filter(|other| *other == uid).count() > 1;
            let (one, other) = (Account::Telegram(*id), Account::Uid(*uid));
            let owners = (found.accounts.get(&one), found.accounts.get(&other));
            let person = match owners {
                (Some(one), Some(other)) if one == other => continue,
                (Some(person), None) => person.clone(),
                (None, Some(person)) if !shared => person.clone(),
                (None, None) if !shared => Person(one.to_string()),
                (Some(_) | None, Some(_)) | (None, None) => {
                    return Err(PersonError::Apart(one, other));
                }
            };
            found.accounts.insert(one, person.clone());
            found.accounts.insert(other, person);
        }
        Ok(found)
    }

    /// Whose `account` is; in no entry, it is a person of its own.
    #[must_use]
    pub fn of(&self, account: &Account) -> Person {
        let known = self.accounts.get(account).cloned();
        known.unwrap_or_else(|| Person(account.to_string()))
    }

    /// The accounts of `person`.
    pub fn accounts(&self, person: &Person) -> impl Iterator<Item = Account> {
        let known = self.accounts.iter().filter(|(_, owner)| *owner == person);
        let known: BTreeSet<Account> = known.map(|(account, _)| account.clone()).collect();
        let own = person.0.parse().ok().filter(|own| self.of(own) == *person);
        known
            .into_iter()
            .chain(own)
            .collect::<BTreeSet<_>>()
            .into_iter()
    }

    /// The names in `[people]`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The person called `name` in `[people]`.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<Person> {
        self.names.contains(name).then(|| Person(name.to_owned()))
    }
}

fn is_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic())
}

fn is_name(text: &str) -> bool {
    let sign = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=MAX_NAME).contains(&text.len())
        && text.chars().all(sign)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

/// Why the people cannot be told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PersonError {
    /// A name that is none. Not repeated: it may be a secret in the wrong place.
    Name,
    /// An account in no known notation. Not repeated either.
    Account,
    /// An account in two entries.
    Twice(Account, Person, Person),
    /// Two accounts that are one person here, and not there.
    Apart(Account, Account),
}

impl fmt::Display for PersonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => write!(
                f,
                "a name has 1 to {MAX_NAME} letters, digits, \"-\", \"_\" and \".\", and begins \
                 with a letter or digit"
            ),
            Self::Account => write!(
                f,
                "is not \"telegram:1001\", \"uid:1000\" or \"github:583231\"; write it like one of these"
            ),
            Self::Twice(account, one, other) => write!(
                f,
                "{account} is in \"{one}\" and in \"{other}\"; an account belongs to one person"
            ),
            Self::Apart(one, other) => write!(
                f,
                "{one} and {other} are one person by [telegram] unix_users, and not by what else \
                 is said of them; put all accounts of a person into one entry of [people]"
            ),
        }
    }
}

impl std::error::Error for PersonError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn people(entries: &[(&str, &[&str])], pairs: &[(i64, u32)]) -> Result<People, PersonError> {
        let mut people = BTreeMap::new();
        for (name, accounts) in entries {
            let accounts = accounts.iter().map(|account| account.parse());
            people.insert((*name).to_owned(), accounts.collect::<Result<_, _>>()?);
        }
        People::new(&people, &pairs.iter().copied().collect())
    }

    #[test]
    fn accounts_are_people_by_entry_by_pair_or_by_themselves() {
        let people = people(
            &[
                ("alice", &["telegram:1", "uid:5"]),
                ("carol", &["telegram:3"]),
                ("dan", &[]),
            ],
            &[(1, 5), (2, 6), (3, 7)],
        );
        let people = people.unwrap();
        let of = |account: &str| people.of(&account.parse().unwrap()).to_string();
        for (account, person) in [
            ("telegram:1", "alice"),
            ("uid:5", "alice"),
            ("telegram:2", "telegram:2"),
            ("uid:6", "telegram:2"),
            ("uid:7", "carol"),
            ("uid:2", "uid:2"),
        ] {
            assert_eq!(of(account), person, "{account}");
            let accounts: Vec<_> = people.accounts(&Person(person.to_owned())).collect();
            assert!(accounts.contains(&account.parse().unwrap()), "{account}");
        }
        let none = people.accounts(&people.named("dan").unwrap()).count();
        assert_eq!(none, 0);
        assert_eq!(
            people.accounts(&Person("uid:6".to_owned())).count(),
            0,
            "it is telegram:2"
        );
        assert_eq!(people.named("telegram:2"), None);
    }

    #[test]
    fn nobody_is_two_people() {
        let account = |text: &str| text.parse::<Account>().unwrap();
        let person = |name: &str| Person(name.to_owned());
        assert_eq!(
            people(&[("a", &["uid:5"]), ("b", &["uid:5"])], &[]),
            Err(PersonError::Twice(
                account("uid:5"),
                person("a"),
                person("b")
            ))
        );
        let apart = |id, uid| Err(PersonError::Apart(Account::Telegram(id), Account::Uid(uid)));
        let two: &[(&str, &[&str])] = &[("a", &["telegram:1"]), ("b", &["uid:5"])];
        assert_eq!(people(two, &[(1, 5)]), apart(1, 5));
        assert_eq!(people(&[], &[(1, 5), (2, 5)]), apart(1, 5));
        let one: &[(&str, &[&str])] = &[("a", &["telegram:1", "uid:5"])];
        assert_eq!(people(one, &[(1, 5), (2, 5)]), apart(2, 5));
        let both: &[(&str, &[&str])] = &[("a", &["telegram:1", "telegram:2"])];
        assert!(people(both, &[(1, 5), (2, 5)]).is_ok());
    }

    #[test]
    fn names_and_accounts_are_read_strictly() {
        let long = "a".repeat(65);
        for name in ["", "telegram:1", "-a", "a b", "é", &long] {
            assert_eq!(
                people(&[(name, &[])], &[]),
                Err(PersonError::Name),
                "{name}"
            );
        }
        for account in [
            "alice",
            "telegram:0",
            "telegram:@a",
            "uid:-1",
            "gid:5",
            "unit:a.service",
        ] {
            assert_eq!(people(&[("a", &[account])], &[]), Err(PersonError::Account));
        }
    }
}
