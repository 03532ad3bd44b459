//! Secrets on standard output: a table for people, one value byte for byte, or JSON.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Deserialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::cli::client;
use crate::cli::exit::{Exit, Failure};

/// A secret's fields, borrowed from the JSON they came in.
#[derive(Deserialize)]
pub(super) struct Values<'b>(#[serde(borrow)] pub(super) BTreeMap<String, &'b RawValue>);

/// How values are printed when not as JSON: one value as it is (with a newline on a `terminal`),
/// several as a table.
pub(super) fn values(values: &Values<'_>, terminal: bool, text: &mut Vec<u8>) {
    match values.0.values().next() {
        Some(value) if values.0.len() == 1 => single(value, terminal, text),
        _ => table(values, text),
    }
}

/// One value as it is.
pub(super) fn single(value: &RawValue, terminal: bool, text: &mut Vec<u8>) {
    text.extend_from_slice(plain(value).as_bytes());
    if terminal {
        text.push(b'\n');
    }
}

/// `name  value` in two columns. What would disturb the table or the terminal stays JSON.
pub(super) fn table(values: &Values<'_>, text: &mut Vec<u8>) {
    let values = &values.0;
    let names: Vec<String> = values.keys().map(|name| client::printable(name)).collect();
    let width = names.iter().map(|name| name.chars().count()).max();
    let width = width.unwrap_or(0);
    for (name, value) in names.iter().zip(values.values()) {
        text.extend_from_slice(format!("{name:width$}  ").as_bytes());
        let shown = plain(value);
        if shown.contains(char::is_control) {
            text.extend_from_slice(value.get().as_bytes());
        } else {
            text.extend_from_slice(shown.as_bytes());
        }
        text.push(b'\n');
    }
}

/// A string without quotes and escapes; anything else as JSON.
fn plain(value: &RawValue) -> Zeroizing<String> {
    match serde_json::from_str(value.get()) {
        Ok(text) => Zeroizing::new(text),
        Err(_) => Zeroizing::new(value.get().to_owned()),
    }
}

/// Writes it all.
pub(super) fn write(text: &[u8], out: &mut dyn Write) -> Result<(), Failure> {
    out.write_all(text)
        .and_then(|()| out.flush())
        .map_err(|error| {
            Failure::new(
                Exit::CannotCreate,
                format!("cannot write the value: {error}"),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(json: &str) -> String {
        let values_: Values<'_> = serde_json::from_str(json).unwrap();
        let mut text = vec![];
        values(&values_, false, &mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_table_keeps_its_lines_and_the_terminal_its_state() {
        let text = shown(r#"{"a":"one","lines":"x\ny","n":1.50,"esc\u001b[31m":"\u001b[31mred"}"#);
        assert_eq!(
            text,
            "a         one\nesc [31m  \"\\u001b[31mred\"\nlines     \"x\\ny\"\nn         1.50\n"
        );
    }

    #[test]
    fn one_value_is_printed_as_it_is() {
        assert_eq!(shown(r#"{"a":"x\ny\u001b"}"#), "x\ny\u{1b}");
        assert_eq!(shown("{}"), "");
    }
}
