//! The `[groups]` and `[people]` sections.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::config::Problems;
use crate::domain::People;
use crate::domain::group::Groups;

/// A section's entries, as they are written.
type Entries = BTreeMap<String, Vec<String>>;

pub(super) fn typed(
    groups: &Entries,
    people: &Entries,
    unix_users: &BTreeMap<i64, u32>,
    problems: &mut Problems,
) -> Option<Groups> {
    let members = read("[groups]", "member", groups, problems);
    let accounts = read("[people]", "account", people, problems);
    let people = People::new(&accounts, unix_users)
        .map_err(|error| problems.push(format!("[people]: {error}")))
        .ok()?;
    Groups::new(&members, people)
        .map_err(|error| problems.push(format!("[groups]: {error}")))
        .ok()
}

fn read<T: FromStr<Err: fmt::Display>>(
    section: &str,
    noun: &str,
    entries: &Entries,
    problems: &mut Problems,
) -> BTreeMap<String, Vec<T>> {
    let mut found: BTreeMap<String, Vec<T>> = BTreeMap::new();
    for (name, texts) in entries {
        let entry = found.entry(name.clone()).or_default();
        for (index, text) in texts.iter().enumerate() {
            match text.parse() {
                Ok(one) => entry.push(one),
                Err(error) => {
                    problems.push(format!("{section} {name}: {noun} {} {error}", index + 1));
                }
            }
        }
    }
    found
}
