//! How a runner of GitHub Actions reads what a step writes, by its source: for tests.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

/// Texts that break what is careless with lines, escapes and delimiters.
pub(super) fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        8 => any::<String>(),
        4 => "[ -~]{0,20}",
        16 => proptest::sample::select(vec![
            "",
            "\n",
            "\r",
            "\r\n",
            "%0A",
            "%0D",
            "%25",
            "%",
            "::add-mask::x",
            "::set-output name=a::b",
            "##[add-mask]x",
            "::",
            "<<",
            "=",
            "A<<EOF",
            "EOF",
            "ghadelimiter_",
            "\u{2028}",
            "\u{85}",
            "\u{feff}",
            "😀",
            "e\u{301}",
            " ",
            "\t",
            "{",
            "\"",
            "\\",
            "null",
        ])
        .prop_map(str::to_owned),
        1 => Just("x%\n".repeat(64 * 1024 / 3)),
    ];
    proptest::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

/// The variables in a command file: `NAME=VALUE`, or `NAME<<DELIMITER`, whichever comes first in a
/// line. `None` where the runner fails the step.
pub(super) fn variables(text: &str) -> Option<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let mut rest = text;
    while let Some((line, _)) = read_line(&mut rest) {
        if line.is_empty() {
            continue;
        }
        let (equals, heredoc) = (line.find('='), line.find("<<"));
        match (equals, heredoc) {
            (Some(equals), heredoc) if heredoc.is_none_or(|heredoc| equals < heredoc) => {
                let (name, value) = line.split_once('=')?;
                found.insert(name.to_owned(), value.to_owned());
            }
            (_, Some(_)) => {
                let (name, delimiter) = line.split_once("<<")?;
                if name.is_empty() || delimiter.is_empty() {
                    return None;
                }
                let value = rest;
                let mut end = 0;
                loop {
                    let (line, newline) = read_line(&mut rest)?;
                    if line == delimiter {
                        break;
                    }
                    if !newline {
                        return None;
                    }
                    end = value.len() - rest.len() - 1;
                }
                found.insert(name.to_owned(), value.get(..end)?.to_owned());
            }
            (_, None) => return None,
        }
    }
    Some(found)
}

/// The next line, and whether a newline ended it.
fn read_line<'t>(rest: &mut &'t str) -> Option<(&'t str, bool)> {
    if rest.is_empty() {
        return None;
    }
    let (line, after, newline) = match rest.split_once('\n') {
        Some((line, after)) => (line, after, true),
        None => (*rest, "", false),
    };
    *rest = after;
    Some((line, newline))
}

/// What a runner hides once it has seen `output`, in which all must be for that.
pub(super) fn masks(output: &str) -> BTreeSet<String> {
    // Its reader of lines ends one at \r, too.
    let lines = output.split(['\r', '\n']).filter(|line| !line.is_empty());
    let data = lines.map(|line| {
        let command = line.trim_start().strip_prefix("::").expect("a command");
        let (name, data) = command.split_once("::").expect("a command");
        assert_eq!(name, "add-mask");
        assert!(!data.trim().is_empty(), "warned of, and not taken");
        data.replace("%0D", "\r")
            .replace("%0A", "\n")
            .replace("%25", "%")
    });
    data.collect()
}
