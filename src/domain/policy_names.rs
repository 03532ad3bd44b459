//! The names policies speak of: a group, a path, an account or a user that cannot exist is refused.
//!
//! Cedar's schema checks types only. A misspelt name in a `forbid` would never apply, and so
//! open what it was written to close.

use cedar_policy::EntityUid;

use crate::domain::group::Groups;
use crate::domain::policy::EntityTypes;
use crate::domain::{Mounts, SecretPath};

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
    } else {
        None // the action: its names are in the schema
    }
}

fn wrong_group(name: &str, groups: &Groups) -> Option<String> {
    if groups.names().any(|known| known == name) {
        return None;
    }
    let known: Vec<String> = groups.names().map(|name| format!("{name:?}")).collect();
    let known = if known.is_empty() {
        "it has none".to_owned()
    } else {
        format!("it has {}", known.join(", "))
    };
    Some(format!("the group {name:?} is not in [groups]; {known}"))
}

fn wrong_path(name: &str, mounts: &Mounts) -> Option<String> {
    let wrong = match mounts.split(name) {
        Some((mount, _)) if mount == name => return None,
        Some((mount, path)) => SecretPath::new(mount, path).err()?.to_string(),
        None => "it begins with no mount".to_owned(),
    };
    let known: Vec<String> = mounts.names().map(|name| format!("{name:?}")).collect();
    Some(format!(
        "the path {name:?} can never be asked for: {wrong}; the mounts are {}",
        known.join(", ")
    ))
}
