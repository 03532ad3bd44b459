//! Every command has help with an example and a manual page, and shells can complete it.

use std::process::Command;

use clap::CommandFactory;
use vaultgram::cli::Arguments;

use crate::vaultgram;

/// The words of every command, those with commands below them first.
fn commands() -> Vec<Vec<String>> {
    fn below(command: &clap::Command, words: &[String], all: &mut Vec<Vec<String>>) {
        for command in command.get_subcommands() {
            let words = [words, &[command.get_name().to_owned()]].concat();
            all.push(words.clone());
            below(command, &words, all);
        }
    }
    let mut all = vec![];
    below(&Arguments::command(), &[], &mut all);
    all
}

#[test]
fn every_command_has_help_with_an_example() {
    let folder = tempfile::tempdir().unwrap();
    let all = commands();
    assert!(all.len() >= 25, "{all:?}");
    for words_of in &all {
        let words: Vec<&str> = words_of.iter().map(String::as_str).collect();
        let help = vaultgram(folder.path(), &[], &[&words[..], &["--help"]].concat());
        assert_eq!(help.code, 0, "{words:?}: {help:?}");
        let usage = format!("Usage: vaultgram {}", words.join(" "));
        assert!(help.out.contains(&usage), "{words:?}: {}", help.out);
        let leads_on = all
            .iter()
            .any(|other| other.len() > words.len() && other.starts_with(words_of));
        let (_, examples) = help.out.split_once("\nExamples:\n").unwrap_or_default();
        let example = format!("vaultgram {}", words.join(" "));
        assert!(
            leads_on || examples.contains(&example),
            "{words:?}: {}",
            help.out
        );
    }
}

#[test]
fn every_command_has_a_line_in_the_documentation() {
    let page = include_str!("../../docs/cli.md");
    for words in commands() {
        let command = format!("`vaultgram {}", words.join(" "));
        assert!(page.contains(&command), "{command}");
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let ran = vaultgram(folder.path(), &[], &["man", "--out", "."]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "", ""));
    for words in commands() {
        let name = format!("vaultgram-{}", words.join("-"));
        let page = std::fs::read_to_string(folder.path().join(format!("{name}.1")));
        let page = page.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(page.contains(&format!(".TH {name} 1")), "{name}: {page}");
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let shown = vaultgram(folder.path(), &[], &[&["man"], &words[..]].concat());
        assert_eq!((shown.code, shown.out), (0, page), "{name}");
    }
    let shown = vaultgram(folder.path(), &[], &["man"]);
    assert!(shown.out.contains(".TH vaultgram 1"), "{shown:?}");
    let ran = vaultgram(folder.path(), &[], &["man", "frobnicate"]);
    assert_eq!((ran.code, ran.out.as_str()), (64, ""), "{ran:?}");
    let ran = vaultgram(folder.path(), &[], &["man", "--out", "nowhere"]);
    assert!(
        ran.code == 73 && ran.err.contains("hint: name a folder"),
        "{ran:?}"
    );
}

#[test]
fn shells_complete_every_command() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = vaultgram(folder.path(), &[], &["completions", shell]);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{shell}");
        for words in commands() {
            assert!(ran.out.contains(&words[0]), "{shell}: {words:?}");
        }
    }
    let script = format!(
        "source <({} completions bash); COMP_WORDS=(vaultgram unw); COMP_CWORD=1; \
         _vaultgram vaultgram unw vaultgram; echo \"${{COMPREPLY[@]}}\"",
        env!("CARGO_BIN_EXE_vaultgram")
    );
    let bash = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8(bash.stdout).unwrap(), "unwrap\n");
    let ran = vaultgram(folder.path(), &[], &["completions", "tcsh"]);
    assert_eq!(ran.code, 64, "{ran:?}");
}
