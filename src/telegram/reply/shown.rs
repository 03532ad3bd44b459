//! Names and values as people read them: nothing in them is invisible or moves other text.

use std::time::Duration;

use crate::broker::ports::Serving;
use crate::domain::signs::{escaped, is_invisible};
use crate::domain::span::spoken;
use crate::domain::{Age, Field, Origin};
use crate::telegram::reply::leases;

/// Longest list of names, in bytes, which are never fewer than Telegram's UTF-16 units.
const MAX_LIST: usize = 1024;

/// The value of a field: a string as it is, anything else as JSON. Telegram silently changes
/// control characters, and some others change how their surroundings read, so a string with
/// such is shown as JSON too.
pub(super) fn value(field: &Field) -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the delivery: the value goes into the message for its requester"
    )]
    let json = field.json.expose_secret();
    let is_hidden = |c: char| is_invisible(c) && !matches!(c, '\n' | '\t');
    match serde_json::from_slice::<String>(json) {
        Ok(text) if !text.contains(is_hidden) => text,
        _ => escaped(&String::from_utf8_lossy(json)),
    }
}

/// What is to be known of a secret beside its path: ` (version 7, 12 minutes old)`.
pub(super) fn source(origin: &Origin, age: Option<Age>) -> String {
    let mut facts = vec![];
    match origin {
        Origin::Version(version) => facts.push(format!("version {}", version.number)),
        Origin::Leased(lease) => facts.push(leases::beside(lease)),
        Origin::Plain => {}
    }
    if let Some(age) = age
        && (age.stale || age.since >= Duration::from_secs(1))
    {
        facts.push(format!("{} old", spoken(age.since)));
        if age.stale {
            facts.push("Vault does not answer".to_owned());
        }
    }
    if facts.is_empty() {
        return String::new();
    }
    format!(" ({})", facts.join(", "))
}

/// A secret store that serves.
pub(super) fn serving(serving: &Serving) -> String {
    let token = match serving.token_left {
        Some(left) => format!("token for {}", spoken(left)),
        None => "token without end".to_owned(),
    };
    let leases = match serving.leases {
        0 => String::new(),
        1 => ", 1 lease".to_owned(),
        leases => format!(", {leases} leases"),
    };
    let warning = serving.drift_warning();
    let warning = warning.map_or_else(String::new, |warning| format!("\n{warning}"));
    format!(
        "ready (version {}), {token}{leases}{warning}",
        serving.version
    )
}

/// The name of a field; as JSON, if it holds anything that could be taken for more than a name.
pub(super) fn name(name: &str) -> String {
    if name.contains(is_invisible) {
        escaped(&serde_json::Value::from(name).to_string())
    } else {
        name.to_owned()
    }
}

/// Names in a row, as many as a message has room for.
pub(super) fn names<'a>(all: impl IntoIterator<Item = &'a str>) -> String {
    let mut list = String::new();
    for one in all {
        let separator = if list.is_empty() { "" } else { ", " };
        let shown = name(one);
        if list.len() + separator.len() + shown.len() > MAX_LIST {
            list.push_str(separator);
            list.push('…');
            break;
        }
        list.push_str(separator);
        list.push_str(&shown);
    }
    list
}
