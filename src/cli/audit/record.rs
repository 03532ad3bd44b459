//! A record as it is read back: its fields, and a line about it for people.

use std::fmt::Write;

use serde_json::{Map, Value};

use crate::domain::signs::one_line;

/// Longest line for people, in characters.
const MAX_LINE: usize = 400;

/// A record's fields.
pub(super) struct Record(pub(super) Map<String, Value>);

impl Record {
    /// Reads a line; `None`: it is no record.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        let record = Self(serde_json::from_slice(line).ok()?);
        let known = record.0.get("seq")?.is_u64() && record.0.get("time")?.is_string();
        known.then_some(record)
    }

    /// A field of text; empty where there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// A field that is a number.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.0.get(name).and_then(Value::as_i64)
    }

    /// A field as text, whatever it is; lists with spaces between. Empty where there is none.
    pub(super) fn shown(&self, name: &str) -> String {
        self.0.get(name).map(shown).unwrap_or_default()
    }

    /// What was asked for: `secret/app#password@3`, a key, or a lease.
    pub(super) fn target(&self) -> String {
        let mut text = self.text("path").to_owned();
        // Writing to a String cannot fail.
        if let Some(field) = self.0.get("field").and_then(Value::as_str) {
            write!(text, "#{field}").ok();
        }
        if let Some(version) = self.number("version") {
            write!(text, "@{version}").ok();
        }
        for name in ["lease", "key"] {
            if text.is_empty() {
                self.text(name).clone_into(&mut text);
            }
        }
        text
    }

    /// Whether it went well; `None` where nothing is said of that.
    pub(super) fn went_well(&self) -> Option<bool> {
        match self.text("event") {
            "failed" => Some(false),
            "decided" => self.0.get("allowed").and_then(Value::as_bool),
            _ => None,
        }
    }

    /// One line for people, which moves no terminal.
    pub(super) fn line(&self) -> String {
        let about = [self.text("action"), &self.target()].join(" ");
        let mut about = about.trim().to_owned();
        let reason = self.text("reason");
        let more = match (self.text("event"), self.went_well()) {
            (_, Some(false)) if !reason.is_empty() => format!("refused: {reason}"),
            (_, Some(true)) => format!("allowed by {}", self.shown("policies")),
            ("checkpoint", _) => format!("signed by {}", self.text("key")),
            ("continued", _) => format!("after {}", self.text("previous")),
            _ => String::new(),
        };
        if self.text("event") == "checkpoint" {
            about.clear();
        }
        if !more.is_empty() && !about.is_empty() {
            about.push_str(": ");
        }
        let line = format!(
            "{}  {:>7}  {:<18}  {:<14}  {about}{more}",
            self.text("time"),
            self.shown("seq"),
            self.text("event"),
            self.text("caller"),
        );
        let line = spaced(&line);
        if line.chars().count() > MAX_LINE {
            return line.chars().take(MAX_LINE).chain(['…']).collect();
        }
        line
    }
}

/// What is above lines for people.
pub(super) fn head() -> String {
    format!(
        "{:<24}  {:>7}  {:<18}  {:<14}  ABOUT",
        "TIME", "SEQ", "EVENT", "CALLER"
    )
}

/// As [`one_line`], but that spaces stay.
fn spaced(line: &str) -> String {
    let parts: Vec<String> = line.split(' ').map(one_line).collect();
    parts.join(" ").trim_end().to_owned()
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(shown).collect::<Vec<_>>().join(" "),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(json: &str) -> String {
        Record::read(json.as_bytes()).unwrap().line()
    }

    #[test]
    fn a_line_says_who_what_and_how_it_went() {
        let decided = line(
            r#"{"seq":1,"time":"2026-11-21T08:15:00.500Z","event":"decided","allowed":true,"policies":["a","b"],"caller":"telegram:1001","action":"read","path":"secret/app","field":"x","version":2}"#,
        );
        assert_eq!(
            decided,
            "2026-11-21T08:15:00.500Z        1  decided             telegram:1001   read \
             secret/app#x@2: allowed by a b"
        );
        let denied = line(
            r#"{"seq":2,"time":"t","event":"decided","allowed":false,"reason":"not_permitted","path":"p","caller":"c"}"#,
        );
        assert!(denied.ends_with("p: refused: not_permitted"), "{denied}");
        let checkpoint = line(r#"{"seq":3,"time":"t","event":"checkpoint","key":"abc"}"#);
        assert!(checkpoint.ends_with("signed by abc"), "{checkpoint}");
    }

    #[test]
    fn a_line_moves_no_terminal_and_ends() {
        let text =
            r#"{"seq":1,"time":"t","event":"failed","reason":"x","path":"a\u001b[31mb\nc\u202ed"}"#;
        assert!(
            line(text).contains("a [31mb c d: refused"),
            "{}",
            line(text)
        );
        let long = format!(
            r#"{{"seq":1,"time":"t","event":"done","path":"{}"}}"#,
            "x".repeat(9999)
        );
        assert_eq!(line(&long).chars().count(), MAX_LINE + 1);
        for text in ["", "{}", "[]", r#"{"seq":"1","time":"t"}"#] {
            assert!(Record::read(text.as_bytes()).is_none(), "{text}");
        }
    }
}
