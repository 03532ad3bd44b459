//! Holds the house rules of `src/lib.rs` against the code.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Which rooms each room may use. `lib.rs` explains; the two must agree.
const MAY_USE: &[(&str, &[&str])] = &[
    ("api", &[]),
    ("domain", &[]),
    (
        "broker",
        &["domain", "telemetry::metrics", "telemetry::stage"],
    ),
    (
        "telegram",
        &[
            "broker",
            "domain",
            "age",
            "identity",
            "telemetry::metrics",
            "telemetry::stage",
        ],
    ),
    (
        "http",
        &[
            "broker",
            "domain",
            "api",
            "identity",
            // As `identity` is of jobs: whether it is GitHub that tells something.
            "actions::deliveries",
            "actions::webhook",
            "telemetry::metrics",
            "telemetry::stage",
        ],
    ),
    (
        "vault",
        &[
            "domain",
            "broker::ports",
            "memory",
            "telemetry::metrics",
            "telemetry::stage",
        ],
    ),
    (
        "coordination",
        &["domain", "broker::ports", "telemetry::metrics"],
    ),
    (
        "actions",
        &["domain", "broker::ports", "telemetry::metrics"],
    ),
    ("age", &["domain", "broker::ports"]),
    (
        "identity",
        &["domain", "broker::ports", "telemetry::metrics"],
    ),
    ("audit", &["domain", "broker::ports", "telemetry::metrics"]),
    ("config", &["domain", "age"]),
    (
        "cli",
        &[
            "api",
            "age",
            "audit::key",
            "audit::posted",
            "audit::series",
            "audit::verify",
            "coordination::key",
            "domain",
        ],
    ),
    ("telemetry", &[]),
    ("memory", &[]),
    ("daemon", &["*"]),
    ("main", &["cli", "daemon", "memory", "telemetry"]),
];

/// Libraries the rules may use: they are pure.
const DOMAIN_LIBRARIES: &[&str] = &[
    "std",
    "time",
    "jiff",
    "zeroize",
    "sha2",
    "cedar_policy",
    "percent_encoding",
    "miette",
    "proptest",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("target") {
                rust_files(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The room a file of `src` belongs to.
fn room(file: &Path) -> String {
    let relative = file.strip_prefix(root().join("src")).unwrap();
    let first = relative
        .components()
        .next()
        .unwrap()
        .as_os_str()
        .to_str()
        .unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The code of a file without comments.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let lines = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// What follows each `crate::` (or `vaultgram::`) in `code`, one entry per path, with braces
/// of `use crate::{a, b::c}` opened.
fn uses(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for prefix in ["crate::", "vaultgram::"] {
        for (start, _) in code.match_indices(prefix) {
            let rest = &code[start + prefix.len()..];
            let paths: Vec<&str> = match rest.strip_prefix('{') {
                Some(list) => list
                    .split('}')
                    .next()
                    .unwrap()
                    .split(',')
                    .map(str::trim)
                    .collect(),
                None => vec![rest],
            };
            for path in paths
                .into_iter()
                .filter(|path| path.starts_with(char::is_alphabetic))
            {
                let end = path.find(|c: char| !(c.is_alphanumeric() || "_:".contains(c)));
                found.insert(
                    path[..end.unwrap_or(path.len())]
                        .trim_end_matches(':')
                        .to_owned(),
                );
            }
        }
    }
    found
}

#[test]
fn rooms_use_only_what_the_map_allows() {
    let mut files = vec![];
    rust_files(&root().join("src"), &mut files);
    assert!(files.len() > 20, "the walk finds the code");
    let mut crossings = vec![];
    for file in &files {
        let room = room(file);
        if room == "lib" {
            continue;
        }
        let (_, allowed) = MAY_USE
            .iter()
            .find(|(name, _)| *name == room)
            .unwrap_or_else(|| panic!("{} is in no room of the map", file.display()));
        for used in uses(&code(file)) {
            let mine = used == room || used.starts_with(&format!("{room}::"));
            let may = allowed.iter().any(|allowed| {
                *allowed == "*" || used == *allowed || used.starts_with(&format!("{allowed}::"))
            });
            if !mine && !may {
                crossings.push(format!("{}: {room} may not use {used}", file.display()));
            }
        }
    }
    assert!(crossings.is_empty(), "{}", crossings.join("\n"));
}

#[test]
fn the_rules_are_pure() {
    let mut files = vec![];
    rust_files(&root().join("src/domain"), &mut files);
    for file in files {
        for line in code(&file)
            .lines()
            .filter(|line| line.trim_start().starts_with("use "))
        {
            let library = line.trim_start()[4..].split("::").next().unwrap();
            let own = ["crate", "super"].contains(&library);
            let allowed = own || DOMAIN_LIBRARIES.contains(&library);
            assert!(
                allowed,
                "{}: the rules may not use {library}",
                file.display()
            );
        }
        let text = code(&file);
        for effect in [
            "tokio", "std::fs", "std::net", "std::env", "std::io", "tracing", "serde",
        ] {
            assert!(
                !text.contains(effect),
                "{}: the rules may not use {effect}",
                file.display()
            );
        }
    }
}

#[test]
fn every_file_says_what_lives_there() {
    let mut files = vec![];
    for directory in ["src", "tests", "benches", "examples"] {
        rust_files(&root().join(directory), &mut files);
    }
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let first = text.lines().next().unwrap_or_default();
        assert!(
            first.starts_with("//! "),
            "{}: begin with a //! line",
            file.display()
        );
        let lines = text.lines().count();
        assert!(
            lines <= 500,
            "{}: {lines} lines are two things",
            file.display()
        );
    }
}

#[test]
fn main_is_thin() {
    let lines = fs::read_to_string(root().join("src/main.rs"))
        .unwrap()
        .lines()
        .count();
    assert!(lines <= 60, "main.rs has {lines} lines");
}

#[test]
fn every_dependency_is_used() {
    for (manifest, directories) in [
        ("Cargo.toml", &["src", "tests", "benches", "examples"][..]),
        ("tests/telegram-dc/Cargo.toml", &["tests/telegram-dc"]),
    ] {
        let mut files = vec![];
        for directory in directories {
            rust_files(&root().join(directory), &mut files);
        }
        let code: String = files.iter().map(|file| code(file)).collect();
        let text = fs::read_to_string(root().join(manifest)).unwrap();
        let mut inside = false;
        for line in text.lines() {
            if line.starts_with('[') {
                inside = line.ends_with("dependencies]") && !line.contains("workspace");
            } else if inside && line.contains('=') && !line.starts_with('#') {
                let name = line
                    .split([' ', '.', '='])
                    .next()
                    .unwrap()
                    .replace('-', "_");
                assert!(
                    code.contains(&format!("{name}::")),
                    "{manifest}: {name} is not used"
                );
            }
        }
    }
}

#[test]
fn every_dependency_has_its_reason() {
    for manifest in ["Cargo.toml", "tests/telegram-dc/Cargo.toml"] {
        let text = fs::read_to_string(root().join(manifest)).unwrap();
        let mut inside = false;
        for line in text.lines() {
            if line.starts_with('[') {
                // The workspace's table only fixes versions; reasons stand where they are used.
                inside = line.ends_with("dependencies]") && !line.contains("workspace");
            } else if inside && line.contains('=') && !line.starts_with('#') {
                assert!(
                    line.contains(" # "),
                    "{manifest}: give the reason for: {line}"
                );
            }
        }
    }
}

#[test]
fn the_map_in_lib_rs_agrees() {
    let map = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    for (room, allowed) in MAY_USE {
        let row = map
            .lines()
            .find(|line| line.starts_with(&format!("//! | `{room}` |")))
            .unwrap_or_else(|| panic!("lib.rs has no row for {room}"));
        let listed = row.trim_end_matches('|').rsplit('|').next().unwrap();
        let listed: BTreeSet<&str> = listed.split('`').skip(1).step_by(2).collect();
        let allowed: BTreeSet<&str> = allowed
            .iter()
            .copied()
            .filter(|used| *used != "*")
            .collect();
        assert_eq!(listed, allowed, "lib.rs and this test disagree on {room}");
    }
}

/// What nothing names is not built, and nobody sees that it is wrong.
#[test]
fn every_file_is_part_of_the_program() {
    let mut files = vec![];
    rust_files(&root().join("src"), &mut files);
    let all: Vec<String> = files.iter().map(|file| code(file)).collect();
    let all = all.join("\n");
    for file in files {
        let stem = file.file_stem().unwrap().to_str().unwrap();
        let name = match stem {
            "lib" | "main" => continue,
            "mod" => file.parent().unwrap().file_name().unwrap(),
            _ => file.file_name().unwrap(),
        };
        let name = name.to_str().unwrap().trim_end_matches(".rs");
        let folder = file.parent().unwrap();
        let above = if stem == "mod" {
            folder.parent().unwrap()
        } else {
            folder
        };
        let parents = [
            above.join("mod.rs"),
            above.with_extension("rs"),
            above.join("lib.rs"),
        ];
        let named = parents
            .iter()
            .filter(|parent| parent.exists())
            .any(|parent| code(parent).contains(&format!("mod {name};")));
        let by_path = all.contains(&format!("\"{name}.rs\""));
        assert!(named || by_path, "{}: nothing names it", file.display());
    }
}

/// Output is pasted into documents by hand; until then something stands in its place.
#[test]
fn no_document_holds_a_placeholder() {
    let mut files = vec![root().join("README.md")];
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        files.push(entry.unwrap().path());
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "md"));
    assert!(files.len() > 10, "the walk finds the documents");
    let mut found = vec![];
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            let between = line
                .trim()
                .strip_prefix('@')
                .and_then(|it| it.strip_suffix('@'));
            let marked = between
                .is_some_and(|it| !it.is_empty() && it.chars().all(|c| c.is_ascii_uppercase()));
            let mut words = line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            if marked || words.any(|word| word.ends_with("_OUTPUT")) {
                found.push(format!("{}:{}: {line}", file.display(), number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
