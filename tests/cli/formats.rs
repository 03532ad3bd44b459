//! The forms that values are printed in, read back by readers that are not ours.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use vaultgram::age::AgeSealer;
use vaultgram::broker::ports::Sealer;
use vaultgram::domain::SecretValue;

use crate::{Ran, vaultgram};

/// Python with the readers that `tests/requirements.txt` names.
fn python() -> PathBuf {
    let bao = crate::openbao::bao();
    bao.ancestors().nth(2).unwrap().join("venv/bin/python")
}

/// Prints secrets without a server: each is sealed, and opened again.
struct Printer {
    folder: tempfile::TempDir,
    key: String,
}

impl Printer {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ran = vaultgram(folder.path(), &[], &["keygen", "-i", "key"]);
        let (_, key) = ran.out.trim_end().rsplit_once("\n/register_key ").unwrap();
        let key = key.to_owned();
        Self { folder, key }
    }

    fn print(&self, fields: &Value, arguments: &[&str]) -> Ran {
        let json = SecretValue::new(fields.to_string().into_bytes());
        let sealed = AgeSealer
            .seal(&json, std::slice::from_ref(&self.key))
            .unwrap();
        std::fs::write(self.folder.path().join("sealed"), sealed).unwrap();
        let open = ["open", "-i", "key", "sealed"];
        let arguments: Vec<_> = open.iter().chain(arguments).copied().collect();
        vaultgram(self.folder.path(), &[], &arguments)
    }

    /// What is printed, in a file.
    fn file(&self, fields: &Value, arguments: &[&str]) -> PathBuf {
        let ran = self.print(fields, arguments);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
        let file = self.folder.path().join("printed");
        std::fs::write(&file, ran.out).unwrap();
        file
    }
}

/// What `command` prints, as JSON.
fn read(command: &mut Command) -> Value {
    let ran = command.stdin(Stdio::null()).output().unwrap();
    let (out, err) = (String::from_utf8(ran.stdout), String::from_utf8(ran.stderr));
    serde_json::from_str(&out.unwrap()).unwrap_or_else(|error| panic!("{error}: {err:?}"))
}

/// Many texts, most of them hard to write down; the same ones each time.
fn texts(pattern: &str) -> BTreeMap<String, String> {
    let mut runner = TestRunner::deterministic();
    let texts = proptest::collection::vec(pattern, 400).new_tree(&mut runner);
    let texts = texts.unwrap().current();
    let named = texts.into_iter().enumerate();
    named
        .map(|(number, text)| (format!("V{number}"), text))
        .collect()
}

#[test]
fn pyyaml_reads_our_yaml() {
    let printer = Printer::new();
    let hard = r#"[a-z'"\\$%#=: \t\n\r{}\[\],&*!|>@~<\u{0}\u{7f}\u{85}\u{a0}\u{2028}\u{feff}\u{fffe}\u{e0041}é😀-]{0,24}"#;
    let mut fields = json!(texts(hard));
    fields["nested"] =
        json!({"a": [1, -2.5, true, null, {"yes": "no", "\u{85}😀": "\u{1}"}], "b": {}});
    fields["on"] = json!("1e3");
    fields["~"] = json!("");
    let file = printer.file(&fields, &["--format", "yaml"]);
    let script = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1], encoding='utf-8', newline=''))))";
    let read = read(Command::new(python()).args(["-c", script]).arg(file));
    assert_eq!(read, fields);
}

#[test]
fn readers_of_env_files_agree_on_ours() {
    let printer = Printer::new();
    let plain = json!(texts(
        "[a-zA-Z0-9\"`%#=: \\t{}\\[\\],&*!|>@~<()?;/+^é😀\u{2028}-]{0,24}"
    ));
    let file = printer.file(&plain, &["--format", "dotenv"]);
    let script = "import json, sys, dotenv; print(json.dumps(dotenv.dotenv_values(sys.argv[1])))";
    let python = read(Command::new(python()).args(["-c", script]).arg(&file));
    assert_eq!(python, plain);
    let script =
        "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if k[:1] == 'V'}))";
    let run = format!("set -a; . \"$1\"; exec python3 -c \"{script}\"");
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &run, "sh"])
        .arg(&file)
        .env_clear()
        .env("PATH", "/usr/bin:/bin");
    assert_eq!(read(&mut shell), plain);

    for value in ["it's", "a\\b", "$HOME", "two\nlines", "\r"] {
        let ran = printer.print(&json!({"a": format!("hunter2{value}")}), &["-f", "dotenv"]);
        assert_eq!((ran.code, ran.out.as_str()), (65, ""), "{ran:?}");
        assert!(ran.err.contains("hint: use --format export"), "{ran:?}");
        assert!(!ran.err.contains("hunter2"), "{ran:?}");
    }
}

#[test]
fn a_runner_hides_what_goes_into_its_file() {
    let printer = Printer::new();
    let fields = json!({"key": "-----A\nb%\n", "json": {"x": "leaf"}});
    let refused = printer.print(&fields, &["-f", "github"]);
    assert_eq!(
        (refused.code, refused.out.as_str()),
        (64, ""),
        "{refused:?}"
    );
    assert!(
        refused.err.contains("no job of GitHub Actions"),
        "{refused:?}"
    );
    assert!(!refused.err.contains("leaf"), "{refused:?}");

    let arguments = ["open", "-i", "key", "sealed", "-f", "github"];
    let job = [("GITHUB_ACTIONS", "true")];
    let ran = vaultgram(printer.folder.path(), &job, &arguments);
    assert_eq!(ran.code, 0, "{ran:?}");
    let hidden: Vec<_> = ran
        .err
        .lines()
        .filter(|line| !line.starts_with("::warning::"))
        .collect();
    assert_eq!(
        hidden,
        [
            "::add-mask::-----A",
            "::add-mask::b%25",
            "::add-mask::leaf",
            "::add-mask::{\"x\":\"leaf\"}",
            "::add-mask::{\\\"x\\\":\\\"leaf\\\"}"
        ]
    );
    let (name, rest) = ran.out.split_once("<<ghadelimiter_").unwrap();
    let (id, rest) = rest.split_once('\n').unwrap();
    assert_eq!(name, "JSON");
    let end = format!("\nghadelimiter_{id}\n");
    let (value, rest) = rest.split_once(end.as_str()).unwrap();
    assert_eq!(value, "{\"x\":\"leaf\"}");
    assert!(
        rest.starts_with("KEY<<ghadelimiter_") && rest.contains("\n-----A\nb%\n\nghadelimiter_"),
        "{rest}"
    );
    let runner = [&arguments[..], &["--prefix", "GITHUB_"]].concat();
    let ran = vaultgram(printer.folder.path(), &job, &runner);
    assert_eq!((ran.code, ran.out.as_str()), (64, ""), "{ran:?}");
}

#[test]
fn what_cannot_be_printed_so_is_refused_with_advice() {
    let printer = Printer::new();
    let two = json!({"a-b": "x", "a.b": "y"});
    for (fields, arguments, code, said) in [
        (
            &two,
            &["-f", "raw"][..],
            64,
            "hint: name one with #: a-b, a.b",
        ),
        (
            &two,
            &["-f", "export"],
            64,
            "two fields would become the variable A_B",
        ),
        (
            &two,
            &["-f", "export", "--names", "as-is"],
            64,
            "hint: --prefix and --names",
        ),
        (&json!({"a": "\u{0}"}), &["-f", "export"], 65, "zero byte"),
        (
            &json!("x"),
            &["-f", "yaml"],
            65,
            "hint: print it with --format raw",
        ),
        (&two, &["-f", "yaml", "--json"], 64, "cannot be used with"),
        (
            &two,
            &["-f", "xml"],
            64,
            "possible values: table, raw, json",
        ),
    ] {
        let ran = printer.print(fields, arguments);
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (code, ""),
            "{arguments:?}: {ran:?}"
        );
        assert!(ran.err.contains(said), "{arguments:?}: {ran:?}");
    }
    let ran = printer.print(&json!({"a": "\u{1b}\n"}), &["-f", "raw"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "\u{1b}\n"));
}
