//! The names policies speak of: a group, a person, a path, an account or a user that cannot exist is refused.
//!
//! Cedar's schema checks types only. A misspelt name in a `forbid` would never apply, and so
//! open what it was written to close.

use cedar_policy::EntityUid;

use crate::domain::group::Groups;
use crate::domain::job::is_issuer;
use crate::domain::policy::EntityTypes;
use crate::domain::{MountKind, Mounts, SecretPath};

/// What is wrong with the entity `uid`, if anything.
pub(in crate::domain) fn wrong(
    uid: &EntityUid,
    types: &EntityTypes,
    groups: &Groups,
    mounts: &Mounts,
) -> Option<String> {
    let (kind, name) = (uid.type_name(), uid.id().unescaped());
    if *kind == types.group {
        wrong_group(name, groups)
    } else if *kind == types.person {
        wrong_person(name, groups)
    } else if *kind == types.path {
        wrong_path(name, mounts)
    } else if *kind == types.telegram_user {
        // Compared as text: "+1001" and "01001" are numbers, but no caller is called that.
        let valid = name
            .parse::<i64>()
            .is_ok_and(|id| id > 0 && id.to_string() == name);
        (!valid).then(|| {
            format!("{uid} is not an account; write its number, like TelegramUser::\"1001\"")
        })
    } else if *kind == types.unix_peer {
        let valid = name.parse::<u32>().is_ok_and(|id| id.to_string() == name);
        (!valid).then(|| format!("{uid} is not a user; write its id, like UnixPeer::\"990\""))
    } else if *kind == types.job {
        let named = name.split_once(':');
        let valid = named.is_some_and(|(issuer, subject)| is_issuer(issuer) && !subject.is_empty());
        (!valid).then(|| {
            format!(
                "{uid} is not a job; write its issuer and subject, like \
                     Job::\"github:repo:acme/web:ref:refs/heads/main\""
            )
        })
    } else {
        None // the action: its names are in the schema
    }
}

fn wrong_group(name: &str, groups: &Groups) -> Option<String> {
    if groups.names().any(|known| known == name) {
        return None;
    }
    let known = known(groups.names());
    Some(format!("the group {name:?} is not in [groups]; {known}"))
}

fn wrong_person(name: &str, groups: &Groups) -> Option<String> {
    if groups.people().named(name).is_some() {
        return None;
    }
    let known = known(groups.people().names());
    Some(format!("the person {name:?} is not in [people]; {known}"))
}

fn known<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<String> = names.map(|name| format!("{name:?}")).collect();
    if names.is_empty() {
        return "it has none".to_owned();
    }
    format!("it has {}", names.join(", "))
}

/// What is wrong with a path of pipelines, which are called by one spelling only.
fn misspelt(path: &str) -> Option<String> {
    let names = path.match_indices('/').nth(1);
    let names = names.map_or(Some(path), |(end, _)| path.get(..end))?;
    let lower = names.to_ascii_lowercase();
    (names != lower).then(|| format!("owner and repository are in small letters, {lower:?}"))
}

fn wrong_path(name: &str, mounts: &Mounts) -> Option<String> {
    let wrong = match mounts.split(name) {
        Some((mount, _)) if mount == name => return None,
        Some((mount, path)) => match SecretPath::new(mount, path) {
            Err(error) => error.to_string(),
            Ok(_) if mounts.kind(mount) == Some(MountKind::Pipelines) => misspelt(path)?,
            Ok(_) => return None,
        },
        None => "it begins with no mount".to_owned(),
    };
    let known: Vec<String> = mounts.names().map(|name| format!("{name:?}")).collect();
    Some(format!(
        "the path {name:?} can never be asked for: {wrong}; the mounts are {}",
        known.join(", ")
    ))
}
