//! The worked examples: each decides as its cases say, and the guide shows them as they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_example_decides_as_its_cases_say() {
    let mut tested = 0;
    for entry in fs::read_dir(root().join("policies/examples")).unwrap() {
        let folder = entry.unwrap().path();
        let ran = Command::new(env!("CARGO_BIN_EXE_vaultgram"))
            .env_clear()
            .current_dir(&folder)
            .args(["policy", "test", "tests.toml"])
            .output()
            .unwrap();
        let said = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
        assert!(ran.status.success(), "{}: {said}", folder.display());
        assert!(said.ends_with("all as expected\n"), "{said}");
        tested += 1;
    }
    assert_eq!(tested, 5);
}

/// What follows each `<!-- policies/examples/… -->` in the guide, with that path.
fn shown(guide: &str) -> Vec<(String, String)> {
    let parts = guide.split("<!-- policies/examples/").skip(1);
    let shown = parts.map(|part| {
        let (path, rest) = part.split_once(" -->\n```").unwrap();
        let (_, rest) = rest.split_once('\n').unwrap();
        let (block, _) = rest.split_once("\n```").unwrap();
        (format!("policies/examples/{path}"), format!("{block}\n"))
    });
    shown.collect()
}

#[test]
fn the_guide_shows_the_examples_as_they_are() {
    let shown = shown(&read("docs/policy.md"));
    for (path, block) in &shown {
        match path.strip_suffix(" (beginning)") {
            Some(path) => assert!(read(path).starts_with(block), "{path} differs"),
            None => assert_eq!(&read(path), block, "{path} differs"),
        }
    }
    let mut files = vec![];
    policies(&root().join("policies/examples"), &mut files);
    for file in files {
        let path = file.strip_prefix(root()).unwrap().display().to_string();
        let found = shown.iter().any(|(shown, _)| *shown == path);
        assert!(found, "{path} is not in the guide");
    }
}

fn policies(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            policies(&path, found);
        } else if path.extension().is_some_and(|it| it == "cedar") {
            found.push(path);
        }
    }
}
