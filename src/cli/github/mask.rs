//! What makes a runner hide values: `::add-mask::`, once for every line it could print.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// What a mask follows.
const COMMAND: &str = "::add-mask::";
/// What stands for a sign in a command.
const ESCAPES: &[&str] = &["%0A", "%0D", "%25"];
/// Deeper JSON is not taken apart.
const DEEPEST: usize = 64;
/// What is shorter stands in many lines that are no secret.
const SHORT: usize = 4;

/// What Go escapes beside what it must.
const GO: &[(char, &str)] = &[('<', r"\u003c"), ('>', r"\u003e"), ('&', r"\u0026")];

/// Everything a runner is to hide.
#[derive(Default)]
pub(in crate::cli) struct Masks(BTreeSet<Box<str>>);

/// The value is JSON that nests too deeply to be taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooDeep;

impl Masks {
    /// Hides each line of `value`, and of each leaf where it is JSON. A leaf can be JSON again, as
    /// an account's key in an object is.
    pub(super) fn hide(&mut self, value: &str) -> Result<(), TooDeep> {
        self.text(value, 0)
    }

    /// A text that stands `depth` levels down in JSON.
    fn text(&mut self, value: &str, depth: usize) -> Result<(), TooDeep> {
        let nested = value.trim_start().starts_with(['{', '[', '"']);
        let json: Option<&RawValue> = nested.then(|| serde_json::from_str(value).ok()).flatten();
        let Some(json) = json else {
            self.lines(value);
            return Ok(());
        };
        // What only holds JSON together stands in every log.
        let frame = |sign: char| "{}[],".contains(sign) || sign.is_whitespace();
        for line in value.lines().filter(|line| !line.chars().all(frame)) {
            self.lines(line);
        }
        self.leaves(json, depth)
    }

    fn leaves(&mut self, json: &RawValue, depth: usize) -> Result<(), TooDeep> {
        if depth > DEEPEST {
            return Err(TooDeep);
        }
        let text = json.get();
        if let Ok(object) = serde_json::from_str::<BTreeMap<String, &RawValue>>(text) {
            return object
                .values()
                .try_for_each(|leaf| self.leaves(leaf, depth + 1));
        }
        if let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(text) {
            return list
                .iter()
                .try_for_each(|leaf| self.leaves(leaf, depth + 1));
        }
        if let Ok(leaf) = serde_json::from_str::<String>(text) {
            let leaf = Zeroizing::new(leaf);
            self.text(&leaf, depth + 1)?;
            // As it stands in the JSON, in whatever order that is written anew.
            let inner = text
                .strip_prefix('"')
                .and_then(|text| text.strip_suffix('"'))
                .unwrap_or(text);
            if inner != *leaf {
                self.lines(inner);
            }
        } else if !matches!(text, "true" | "false" | "null") {
            self.lines(text);
        }
        Ok(())
    }

    fn lines(&mut self, text: &str) {
        // A runner takes no mask of blanks alone.
        let lines = text
            .split(['\r', '\n'])
            .filter(|line| !line.trim().is_empty());
        // A shell or YAML can take the blanks around it away.
        let lines = lines.flat_map(|line| [line, line.trim()]);
        for line in lines {
            self.0.insert(Box::from(line));
            self.in_json(line);
        }
    }

    /// `line` as it stands where it was put into JSON, as a whole job's outputs are; act writes `<`,
    /// `>` and `&` there as Go does.
    fn in_json(&mut self, line: &str) {
        let json = serde_json::to_string(line).map(Zeroizing::new);
        let json = json.as_deref().ok().map(String::as_str);
        let inner = json.and_then(|json| json.strip_prefix('"')?.strip_suffix('"'));
        let Some(inner) = inner else { return };
        let go = GO
            .iter()
            .fold(Zeroizing::new(inner.to_owned()), |text, (sign, escaped)| {
                Zeroizing::new(text.replace(*sign, escaped))
            });
        let other = [inner, go.as_str()];
        self.0
            .extend(other.into_iter().filter(|it| *it != line).map(Box::from));
    }

    /// Whether some are so short that they hide much else.
    pub(super) fn short(&self) -> bool {
        self.0.iter().any(|mask| mask.chars().count() < SHORT)
    }

    /// The commands for the runner.
    pub(super) fn commands(&self) -> Zeroizing<String> {
        let mut commands = Zeroizing::new(String::new());
        for mask in &self.0 {
            command(&mut commands, COMMAND, mask);
        }
        commands
    }

    /// The same for act, for which a command's name ends at the last `::`. Of what has such it takes
    /// an older form, whose end is `]`. `None` where something has both, or what it takes for an escape
    /// even where `%` is escaped: it undoes that in any order.
    pub(super) fn commands_for_act(&self) -> Option<Zeroizing<String>> {
        let mut commands = Zeroizing::new(String::new());
        for mask in &self.0 {
            if ESCAPES.iter().any(|escape| mask.contains(escape)) {
                return None;
            }
            let form = match (mask.contains("::"), mask.contains(']')) {
                (false, _) => COMMAND,
                (true, false) => "##[add-mask]",
                (true, true) => return None,
            };
            command(&mut commands, form, mask);
        }
        Some(commands)
    }
}

fn command(commands: &mut Zeroizing<String>, form: &str, mask: &str) {
    commands.push_str(form);
    commands.push_str(&escaped(mask));
    commands.push('\n');
}

/// As the data of a workflow command. Line ends are in no mask.
fn escaped(line: &str) -> Zeroizing<String> {
    Zeroizing::new(line.replace('%', "%25"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cli::github::runner::{self, text};

    fn masks(value: &str) -> BTreeSet<String> {
        let mut masks = Masks::default();
        masks.hide(value).unwrap();
        runner::masks(&masks.commands())
    }

    fn set(masks: &[&str]) -> BTreeSet<String> {
        masks.iter().map(|mask| (*mask).to_owned()).collect()
    }

    #[test]
    fn every_line_and_every_leaf_is_hidden() {
        assert_eq!(masks(""), set(&[]));
        assert_eq!(masks(" \n\t"), set(&[]));
        assert_eq!(masks("hunter2"), set(&["hunter2"]));
        assert_eq!(masks("100%0A::add-mask::x"), set(&["100%0A::add-mask::x"]));
        assert_eq!(
            masks("-----A\r\nb\r\n\n c\n"),
            set(&["-----A", "b", " c", "c"])
        );
        assert_eq!(masks("{not json"), set(&["{not json"]));
        assert_eq!(
            masks(r#"{"a":"x\ny\"","n":[1.50,true,null,{"b":"ü😀"}]}"#),
            set(&[
                r#"{"a":"x\ny\"","n":[1.50,true,null,{"b":"ü😀"}]}"#,
                r#"{\"a\":\"x\\ny\\\"\",\"n\":[1.50,true,null,{\"b\":\"ü😀\"}]}"#,
                "x",
                "y\"",
                r#"y\""#,
                r#"x\ny\""#,
                r#"x\\ny\\\""#,
                "1.50",
                "ü😀"
            ])
        );
        assert_eq!(
            masks("{\n  \"a\": [\n    \"secret\"\n  ]\n}\n"),
            set(&[
                "    \"secret\"",
                r#"    \"secret\""#,
                "  \"a\": [",
                r#"  \"a\": ["#,
                "\"a\": [",
                r#"\"a\": ["#,
                "\"secret\"",
                r#"\"secret\""#,
                "secret"
            ]),
            "brackets alone hide nothing"
        );
    }

    #[test]
    fn a_value_is_hidden_as_it_stands_in_json_too() {
        assert_eq!(
            masks("a\"<b\\\nc"),
            set(&["a\"<b\\", r#"a\"<b\\"#, r#"a\"\u003cb\\"#, "c"])
        );
    }

    #[test]
    fn act_is_told_in_a_form_that_it_reads() {
        let told = |value| {
            let mut masks = Masks::default();
            masks.hide(value).unwrap();
            masks.commands_for_act().map(|told| told.to_string())
        };
        let said = "::add-mask::b]\n##[add-mask]50%25::x\n";
        let mut lines: Vec<_> = said.lines().collect();
        let all = told("50%::x\nb]").unwrap();
        let mut found: Vec<_> = all.lines().collect();
        lines.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, lines);
        for unfit in ["a::b]", "a%0A", "a%25b", "%0D"] {
            assert_eq!(told(unfit), None, "{unfit}");
        }
    }

    #[test]
    fn json_in_json_is_taken_apart() {
        let key = serde_json::json!({"id": "acc-1", "key": "-----A\nb64\n", "empty": "{}"});
        let secret = serde_json::json!({"account": key.to_string(), "again": key.to_string()});
        let masks = masks(&secret.to_string());
        for part in ["acc-1", "-----A", "b64", r"-----A\nb64\n", &key.to_string()] {
            assert!(masks.contains(part), "{part} in {masks:?}");
        }
        assert!(!masks.contains("{}"), "brackets alone hide nothing");
    }

    #[test]
    fn what_cannot_be_taken_apart_is_refused() {
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        let mut masks = Masks::default();
        assert_eq!(masks.hide(&nested(64)), Ok(()));
        assert_eq!(masks.hide(&nested(100_000)), Err(TooDeep));
        let inner = serde_json::json!([nested(63)]).to_string();
        assert_eq!(masks.hide(&inner), Ok(()));
        let inner = serde_json::json!([nested(64)]).to_string();
        assert_eq!(masks.hide(&inner), Err(TooDeep), "both count together");
    }

    #[test]
    fn short_masks_are_known() {
        for (value, short) in [
            ("abc", true),
            ("abcd", false),
            ("", false),
            ("long\nx", true),
        ] {
            let mut masks = Masks::default();
            masks.hide(value).unwrap();
            assert_eq!(masks.short(), short, "{value}");
        }
    }

    proptest! {
        #[test]
        fn a_runner_prints_no_line_of_a_value(value in text()) {
            let masks = masks(&value);
            for line in value.split(['\r', '\n']).filter(|line| !line.trim().is_empty()) {
                prop_assert!(masks.contains(line), "{line:?} in {masks:?}");
            }
        }

        #[test]
        fn a_runner_prints_no_leaf_of_json_in_json(
            leaf in text(),
            layers in proptest::collection::vec(any::<bool>(), 0..6),
        ) {
            let wrap = |json: serde_json::Value, as_text| if as_text {
                serde_json::json!({"a": json.to_string()})
            } else {
                serde_json::json!([json, 1])
            };
            let json = layers.into_iter().fold(serde_json::json!([leaf]), wrap);
            let masks = masks(&json.to_string());
            for line in leaf.split(['\r', '\n']).filter(|line| !line.trim().is_empty()) {
                prop_assert!(masks.contains(line), "{line:?} in {masks:?}");
            }
        }

        #[test]
        fn a_runner_prints_no_leaf(leaf in text()) {
            let json = serde_json::json!({"a": [{"b": leaf}]}).to_string();
            let masks = masks(&json);
            prop_assert!(masks.contains(&json));
            for line in leaf.split(['\r', '\n']).filter(|line| !line.trim().is_empty()) {
                prop_assert!(masks.contains(line), "{line:?} in {masks:?}");
            }
        }
    }
}
