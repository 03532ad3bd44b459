//! `key=value` words: what is accepted is exactly what was written, and what a phone may have
//! changed on the way is refused.
//!
//! A value ends at the next space or line. In double quotes it can hold both, and `\"`, `\\`, `\n`
//! and `\u2014` (four hexadecimal digits) mean the sign they name; outside quotes a backslash is a
//! backslash.

use std::collections::BTreeSet;
use std::str::Chars;

use super::mistake::ValueMistake;
use super::{is_space, split_word};
use crate::domain::secret_path::check_field;
use crate::domain::signs::is_invisible;
use crate::domain::{Field, SecretValue};

/// Most fields of one command: what a reply can show again.
pub(super) const MAX_FIELDS: usize = 90;

/// Reads all of `text`.
pub(super) fn fields(text: &str) -> Result<Vec<Field>, ValueMistake> {
    let mut fields = vec![];
    let mut names = BTreeSet::new();
    let mut rest = text;
    while !rest.is_empty() {
        let part = fields.len() + 1;
        if part > MAX_FIELDS {
            return Err(ValueMistake::TooMany);
        }
        let (name, value) = rest.split_once('=').ok_or(ValueMistake::NoPair(part))?;
        if name.contains(is_space) {
            return Err(ValueMistake::NoPair(part));
        }
        plain(name, part)?;
        let name = check_field(name).map_err(|_| ValueMistake::Name(part))?;
        if !names.insert(name.clone()) {
            return Err(ValueMistake::Twice(part));
        }
        let json;
        (json, rest) = match value.strip_prefix('"') {
            Some(quoted) => in_quotes(quoted, part)?,
            None => bare(value, part)?,
        };
        fields.push(Field { name, json });
    }
    Ok(fields)
}

/// A value without quotes, and what follows it.
fn bare(text: &str, part: usize) -> Result<(SecretValue, &str), ValueMistake> {
    let (value, rest) = split_word(text);
    if value.is_empty() {
        return Err(ValueMistake::Empty(part));
    }
    plain(value, part)?;
    if value.contains('"') {
        return Err(ValueMistake::Quote(part));
    }
    let mut json = Json::with_room_for(value);
    value.chars().for_each(|sign| json.push(sign));
    Ok((json.finish(), rest))
}

/// A value after its opening quote, and what follows it.
fn in_quotes(text: &str, part: usize) -> Result<(SecretValue, &str), ValueMistake> {
    let mut json = Json::with_room_for(text);
    let mut signs = text.chars();
    loop {
        match signs.next().ok_or(ValueMistake::Open(part))? {
            '"' => break,
            '\\' => json.push(escape(&mut signs).ok_or(ValueMistake::Escape(part))?),
            sign if is_odd(sign) => return Err(ValueMistake::Odd { part, sign }),
            sign => json.push(sign),
        }
    }
    let rest = signs.as_str();
    if !rest.is_empty() && !rest.starts_with(is_space) {
        return Err(ValueMistake::Quote(part));
    }
    Ok((json.finish(), rest.trim_start_matches(is_space)))
}

/// What an escape means; `None` for one that means nothing.
fn escape(signs: &mut Chars<'_>) -> Option<char> {
    match signs.next()? {
        'n' => Some('\n'),
        'u' => {
            let mut number = 0;
            for _ in 0..4 {
                number = number * 16 + signs.next()?.to_digit(16)?;
            }
            char::from_u32(number)
        }
        sign @ ('"' | '\\') => Some(sign),
        _ => None,
    }
}

/// Refuses what may not be what was typed.
fn plain(text: &str, part: usize) -> Result<(), ValueMistake> {
    match text.chars().find(|sign| is_odd(*sign)) {
        Some(sign) => Err(ValueMistake::Odd { part, sign }),
        None => Ok(()),
    }
}

/// What clients write in place of `"`, `'`, `--`, `...`, `<<`, `>>` and a space, and what cannot
/// be seen.
fn is_odd(sign: char) -> bool {
    match sign {
        ' ' | '\n' | '\t' | '\r' => false,
        '\u{2018}'..='\u{201f}'
        | '«'
        | '»'
        | '‹'
        | '›'
        | '–'
        | '—'
        | '…'
        | '\u{fffc}'
        | '\u{fffd}' => true,
        other => other.is_whitespace() || is_invisible(other),
    }
}

/// The text of a JSON string, which is never grown, so that no half of it is left behind.
struct Json(Vec<u8>);

impl Json {
    fn with_room_for(text: &str) -> Self {
        // One byte can take six as an escape.
        let mut json = Vec::with_capacity(6 * text.len() + 2);
        json.push(b'"');
        Self(json)
    }

    fn push(&mut self, sign: char) {
        match sign {
            '"' => self.0.extend_from_slice(b"\\\""),
            '\\' => self.0.extend_from_slice(b"\\\\"),
            '\n' => self.0.extend_from_slice(b"\\n"),
            '\t' => self.0.extend_from_slice(b"\\t"),
            sign if sign < ' ' => {
                self.0
                    .extend_from_slice(format!("\\u{:04x}", u32::from(sign)).as_bytes());
            }
            sign => self
                .0
                .extend_from_slice(sign.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }

    fn finish(mut self) -> SecretValue {
        self.0.push(b'"');
        SecretValue::new(self.0)
    }
}
