//! Names and values as people read them: nothing in them is invisible or moves other text.

use std::fmt::Write;

use crate::domain::Field;

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
    match serde_json::from_slice::<String>(json) {
        Ok(text) if !text.contains(is_hidden) => text,
        _ => escaped(&String::from_utf8_lossy(json)),
    }
}

/// The name of a field; as JSON, if it holds anything that could be taken for more than a name.
pub(super) fn name(name: &str) -> String {
    if name.contains(|c: char| c.is_control() || is_hidden(c)) {
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

/// JSON in which what cannot be seen is written as JSON escapes, so it means the same.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if is_hidden(c) {
            // All of these have four digits. Writing to a string does not fail.
            write!(text, "\\u{:04x}", u32::from(c)).unwrap_or_default();
        } else {
            text.push(c);
        }
    }
    text
}

/// Controls, marks of direction, and what takes no room at all.
fn is_hidden(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{61c}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}' => true,
        other => other.is_control(),
    }
}
