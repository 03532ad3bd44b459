//! Secrets on standard output: a table for people, one value byte for byte, or JSON.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::cli::exit::{Exit, Failure};
use crate::domain::signs;

/// A secret's fields, borrowed from the JSON they came in.
#[derive(Deserialize)]
pub(super) struct Values<'b>(#[serde(borrow)] pub(super) BTreeMap<String, &'b RawValue>);

/// What a person is told of a value that a terminal would not show as it is.
const ESCAPED: &str = "note: printed as JSON, for it holds signs that cannot be seen; a pipe or a file gets it byte for byte";

/// How values are printed when not as JSON: one value as it is, several as a table.
pub(super) fn values(values: &Values<'_>, terminal: bool, text: &mut Vec<u8>) {
    match values.0.values().next() {
        Some(value) if values.0.len() == 1 => single(value, terminal, text),
        _ => table(values, text),
    }
}

/// One value as it is. A `terminal` gets a newline after it, and nothing that would disturb it.
pub(super) fn single(value: &RawValue, terminal: bool, text: &mut Vec<u8>) {
    let shown = plain(value);
    if !terminal {
        text.extend_from_slice(shown.as_bytes());
        return;
    }
    if disturbs(&shown) {
        text.extend_from_slice(escaped(value).as_bytes());
        // Where that cannot be said, the quotes say it.
        drop(writeln!(io::stderr(), "{ESCAPED}"));
    } else {
        text.extend_from_slice(shown.as_bytes());
    }
    text.push(b'\n');
}

/// Whether a terminal would do more with `text` than show its lines.
fn disturbs(text: &str) -> bool {
    let moves = |sign: char| signs::is_invisible(sign) && !matches!(sign, '\n' | '\t');
    text.split("\r\n").any(|part| part.contains(moves))
}

fn escaped(value: &RawValue) -> Zeroizing<String> {
    Zeroizing::new(signs::escaped(value.get()))
}

/// `name  value` in two columns. What would disturb the table or the terminal is JSON.
pub(super) fn table(values: &Values<'_>, text: &mut Vec<u8>) {
    let values = &values.0;
    let names: Vec<String> = values.keys().map(|key| name(key)).collect();
    let width = names.iter().map(|name| name.chars().count()).max();
    let width = width.unwrap_or(0);
    for (name, value) in names.iter().zip(values.values()) {
        text.extend_from_slice(format!("{name:width$}  ").as_bytes());
        let shown = plain(value);
        if shown.contains(signs::is_invisible) {
            text.extend_from_slice(escaped(value).as_bytes());
        } else {
            text.extend_from_slice(shown.as_bytes());
        }
        text.push(b'\n');
    }
}

fn name(name: &str) -> String {
    if name.contains(signs::is_invisible) {
        signs::escaped(&serde_json::Value::from(name).to_string())
    } else {
        name.to_owned()
    }
}

/// A string without quotes and escapes; anything else as JSON.
pub(super) fn plain(value: &RawValue) -> Zeroizing<String> {
    match serde_json::from_str(value.get()) {
        Ok(text) => Zeroizing::new(text),
        Err(_) => Zeroizing::new(value.get().to_owned()),
    }
}

/// Tells what the answer says of itself, beside the values.
pub(super) fn warnings(warnings: Option<&[String]>) {
    for warning in warnings.unwrap_or_default() {
        // Where it cannot be said, `--json` has it.
        drop(writeln!(
            io::stderr(),
            "warning: {}",
            signs::escaped(warning)
        ));
    }
}

/// Prints `what` as one line of JSON.
pub(super) fn json(what: &impl Serialize, out: &mut dyn Write) -> Result<(), Failure> {
    let text = serde_json::to_string(what).map_err(|error| Failure::new(Exit::Software, error))?;
    line(&text, out)
}

/// Prints `what` as JSON where that is asked for, else `text` for people.
pub(super) fn either(
    json: bool,
    what: &impl Serialize,
    text: &str,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    if json {
        return self::json(what, out);
    }
    line(text, out)
}

/// Prints a line for people.
pub(super) fn line(text: &str, out: &mut dyn Write) -> Result<(), Failure> {
    write(format!("{text}\n").as_bytes(), out)
}

/// Writes it all.
pub(super) fn write(text: &[u8], out: &mut dyn Write) -> Result<(), Failure> {
    out.write_all(text)
        .and_then(|()| out.flush())
        .map_err(|error| {
            Failure::new(
                Exit::CannotCreate,
                format!("cannot write to standard output: {error}"),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(json: &str, terminal: bool) -> String {
        let values_: Values<'_> = serde_json::from_str(json).unwrap();
        let mut text = vec![];
        values(&values_, terminal, &mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_table_keeps_its_lines_and_the_terminal_its_state() {
        let json = r#"{"a":"one","lines":"x\ny","n":1.50,"esc\u001b[31m":"\u001b[31mred"}"#;
        assert_eq!(
            shown(json, false),
            r#"a                one
"esc\u001b[31m"  "\u001b[31mred"
lines            "x\ny"
n                1.50
"#
        );
        let bidi = "{\"a\":\"one\u{202e}\",\"b\u{200b}\":[\"\u{9b}\"]}";
        let escaped = "a          \"one\\u202e\"\n\"b\\u200b\"  [\"\\u009b\"]\n";
        assert_eq!(shown(bidi, false), escaped);
        assert_eq!(shown(bidi, true), escaped);
    }

    #[test]
    fn one_value_is_printed_as_it_is() {
        assert_eq!(shown(r#"{"a":"x\ny\u001b"}"#, false), "x\ny\u{1b}");
        assert_eq!(shown("{\"a\":[\"\u{202e}\"]}", false), "[\"\u{202e}\"]");
        assert_eq!(shown("{}", false), "");
    }

    #[test]
    fn one_value_leaves_a_terminal_as_it_was() {
        for (json, seen) in [
            (
                r#"{"a":"-----BEGIN\nx\r\n\ty-----\n"}"#,
                "-----BEGIN\nx\r\n\ty-----\n\n",
            ),
            (
                r#"{"a":"\u001b]0;title\u0007"}"#,
                "\"\\u001b]0;title\\u0007\"\n",
            ),
            (r#"{"a":"shown\rhidden"}"#, "\"shown\\rhidden\"\n"),
            ("{\"a\":\"x\u{202e}y\"}", "\"x\\u202ey\"\n"),
            ("{\"a\":[\"\u{9b}31m\"]}", "[\"\\u009b31m\"]\n"),
        ] {
            assert_eq!(shown(json, true), seen, "{json}");
        }
    }
}
