//! YAML: a line for each field, and its value as JSON, which is YAML too.
//!
//! But for two things: a sign that JSON may write as a pair of escapes has one escape in YAML, and
//! some signs that may stand in JSON as they are end a line there, or are refused.

use std::fmt::Write;

use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::cli::show::Values;
use crate::domain::signs::is_invisible;

pub(super) fn write(values: &Values<'_>, text: &mut Vec<u8>) {
    if values.0.is_empty() {
        text.extend_from_slice(b"{}\n");
    }
    for (name, value) in &values.0 {
        text.extend_from_slice(quoted(name).as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(translated(value).as_bytes());
        text.push(b'\n');
    }
}

/// The same value on one line, its strings in YAML's quotes, its numbers as they are.
fn translated(value: &RawValue) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(2 * value.get().len() + 16));
    let mut rest = value.get();
    while let Some((before, string)) = rest.split_once('"') {
        compact(before, &mut text);
        let (string, after) = string_and_rest(string);
        text.push_str(&quoted(&string));
        rest = after;
    }
    compact(rest, &mut text);
    text
}

/// What is between strings, without white space; a space after a colon, as YAML wants it.
fn compact(json: &str, text: &mut String) {
    for sign in json.chars().filter(|sign| !sign.is_ascii_whitespace()) {
        text.push(sign);
        if sign == ':' || sign == ',' {
            text.push(' ');
        }
    }
}

/// The string whose first quote stood before `json`, and what follows its last.
fn string_and_rest(json: &str) -> (Zeroizing<String>, &str) {
    let mut escaped = false;
    let end = json.find(|sign| {
        let ends = sign == '"' && !escaped;
        escaped = sign == '\\' && !escaped;
        ends
    });
    let (string, rest) = json.split_at(end.unwrap_or(json.len()));
    let string = Zeroizing::new(format!("\"{string}\""));
    // It was JSON before it was taken apart.
    let string = serde_json::from_str(&string).unwrap_or_default();
    (
        Zeroizing::new(string),
        rest.strip_prefix('"').unwrap_or(rest),
    )
}

fn quoted(text: &str) -> Zeroizing<String> {
    let mut quoted = Zeroizing::new(String::with_capacity(2 * text.len() + 2));
    quoted.push('"');
    for sign in text.chars() {
        match sign {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            _ if is_invisible(sign) || matches!(sign, '\u{fffe}' | '\u{ffff}') => {
                // Writing to a String cannot fail.
                write!(quoted, "\\U{:08X}", u32::from(sign)).unwrap_or_default();
            }
            _ => quoted.push(sign),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use crate::cli::format::Format;
    use crate::cli::format::tests::printed;

    #[test]
    fn each_field_has_a_line() {
        let json = r#"{"a":"x\ny","b":{ "c" : [1.50, 12345678901234567890.5,
            "\ud83d\ude00\u0085é\"\\"], "d:,": null },"e e":true}"#;
        let shown = "\"a\": \"x\\ny\"\n\
             \"b\": {\"c\": [1.50, 12345678901234567890.5, \"😀\\U00000085é\\\"\\\\\"], \"d:,\": null}\n\
             \"e e\": true\n";
        assert_eq!(printed(json, Format::Yaml, "").unwrap(), shown);
        assert_eq!(printed("{}", Format::Yaml, "").unwrap(), "{}\n");
    }
}
