//! `vaultgram keygen` and `vaultgram open`: what comes out, and the codes they end with. The age
//! program is the independent witness.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use vaultgram::age::AgeSealer;
use vaultgram::broker::ports::Sealer;
use vaultgram::domain::SecretValue;

use crate::{Ran, vaultgram};

/// Makes a key with `vaultgram keygen`; its public half.
fn key(directory: &Path, file: &str) -> String {
    let ran = vaultgram(directory, &[], &["keygen", "-i", file]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let (_, key) = ran.out.trim_end().rsplit_once("\n/register_key ").unwrap();
    assert!(
        ran.out.contains(&format!("Your public key: {key}\n")),
        "{ran:?}"
    );
    key.to_owned()
}

fn sealed(json: &str, key: &str) -> String {
    let value = SecretValue::new(json.as_bytes().to_vec());
    AgeSealer.seal(&value, &[key.to_owned()]).unwrap()
}

/// Runs `program` with `input` on its standard input.
fn piped(directory: &Path, program: &str, arguments: &[&str], input: &str) -> Ran {
    let mut child = Command::new(program)
        .current_dir(directory)
        .env("HOME", directory)
        .env_remove("VAULTGRAM_IDENTITY")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // One that refuses its arguments reads nothing.
    drop(stdin.write_all(input.as_bytes()));
    drop(stdin);
    Ran::from(child.wait_with_output().unwrap())
}

fn open(directory: &Path, arguments: &[&str], input: &str) -> Ran {
    let arguments: Vec<_> = ["open"].iter().chain(arguments).copied().collect();
    piped(
        directory,
        env!("CARGO_BIN_EXE_vaultgram"),
        &arguments,
        input,
    )
}

#[test]
fn a_key_is_made_once_for_its_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let ran = piped(directory, env!("CARGO_BIN_EXE_vaultgram"), &["keygen"], "");
    assert_eq!(ran.code, 0, "{ran:?}");
    let file = directory.join(".config/vaultgram/identity.txt");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    let before = std::fs::read(&file).unwrap();
    let secret = String::from_utf8(before.clone()).unwrap();
    let secret = secret.lines().last().unwrap();
    assert!(secret.starts_with("AGE-SECRET-KEY-1") && !ran.out.contains(secret));
    let again = piped(directory, env!("CARGO_BIN_EXE_vaultgram"), &["keygen"], "");
    assert_eq!(again.code, 73, "{again:?}");
    assert!(
        again.err.contains("hint: you have a key there"),
        "{again:?}"
    );
    assert_eq!(std::fs::read(&file).unwrap(), before);
    let public = ran.out.trim_end().rsplit(' ').next().unwrap();
    let json = piped(
        directory,
        env!("CARGO_BIN_EXE_vaultgram"),
        &["keygen", "--json", "-i", "other"],
        "",
    );
    let said: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(said["identity"], "other");
    assert!(said["public_key"].as_str().unwrap().starts_with("age1"));
    let text = sealed("\"found at its default place\"", public);
    assert_eq!(
        open(directory, &[], &text).out,
        "found at its default place"
    );
}

#[test]
fn half_a_key_is_not_left_behind() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let program = env!("CARGO_BIN_EXE_vaultgram");
    // As a full disk does: the file can be made, and not be written.
    let script = format!("trap '' XFSZ; ulimit -f 0; exec {program} keygen -i key");
    let ran = piped(directory, "sh", &["-c", &script], "");
    assert_eq!(ran.code, 73, "{ran:?}");
    assert!(
        ran.err.contains("key: cannot create: File too large"),
        "{ran:?}"
    );
    assert!(!directory.join("key").exists());
    key(directory, "key");
}

#[test]
fn prints_one_value_as_it_is_and_several_as_a_table() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let key = key(directory, "key");
    let open = |json: &str, more: &[&str]| {
        let arguments: Vec<_> = ["-i", "key"].iter().chain(more).copied().collect();
        let ran = open(directory, &arguments, &sealed(json, &key));
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
        ran.out
    };
    assert_eq!(open(r#""p<\"\\\/ü\u00e9\n""#, &[]), "p<\"\\/üé\n");
    assert_eq!(open("1.50", &[]), "1.50");
    assert_eq!(open(r#"{"password":"x"}"#, &[]), "x");
    assert_eq!(open(r#"{"b":"x","a":[1]}"#, &[]), "a  [1]\nb  x\n");
    assert_eq!(
        open(r#"{"b":"x","a":1.50}"#, &["--json"]),
        "{\"b\":\"x\",\"a\":1.50}\n"
    );
}

#[test]
fn a_value_cannot_steer_the_terminal_it_is_shown_on() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let key = key(directory, "key");
    let at_a_terminal = |json: &str| {
        std::fs::write(directory.join("sealed"), sealed(json, &key)).unwrap();
        let command = format!("{} open -i key sealed", env!("CARGO_BIN_EXE_vaultgram"));
        let arguments = ["-qec", &command, "/dev/null"];
        let ran = piped(directory, "script", &arguments, "");
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.out.replace("\r\n", "\n")
    };
    assert_eq!(at_a_terminal(r#""-----BEGIN\nx\n""#), "-----BEGIN\nx\n\n");
    let screen = at_a_terminal(r#""\u001b]0;x\u0007hunter2""#);
    assert!(!screen.contains('\u{1b}'), "{screen:?}");
    let shown = r#""\u001b]0;x\u0007hunter2""#;
    assert!(
        screen.contains(shown) && screen.contains("note: printed as JSON"),
        "{screen}"
    );
    let raw = open(directory, &["-i", "key", "sealed"], "");
    assert_eq!(
        (raw.out.as_str(), raw.err.as_str()),
        ("\u{1b}]0;x\u{7}hunter2", "")
    );
}

#[test]
fn age_itself_opens_what_vaultgram_sealed_and_the_other_way_round() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let ours = key(directory, "ours");
    let age = piped(
        directory,
        "age",
        &["-d", "-i", "ours"],
        &sealed("\"hunter2\"", &ours),
    );
    assert_eq!((age.code, age.out.as_str()), (0, "\"hunter2\""), "{age:?}");

    let made = piped(directory, "age-keygen", &["-o", "theirs"], "");
    assert_eq!(made.code, 0, "{made:?}");
    let public = piped(directory, "age-keygen", &["-y", "theirs"], "");
    let text = sealed("\"hunter2\"", public.out.trim());
    assert_eq!(open(directory, &["-i", "theirs"], &text).out, "hunter2");

    let binary = ["-r", &ours, "-o", "file.age"];
    assert_eq!(piped(directory, "age", &binary, "\"hunter3\"").code, 0);
    let ran = open(directory, &["-i", "ours", "file.age"], "");
    assert_eq!(ran.out, "hunter3", "{ran:?}");
}

#[test]
fn says_what_is_wrong_and_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let own = key(directory, "own");
    key(directory, "other");
    let text = sealed("\"hunter2\"", &own);
    std::fs::write(directory.join("empty"), "# nothing\n").unwrap();
    std::fs::write(
        directory.join("wide"),
        std::fs::read(directory.join("own")).unwrap(),
    )
    .unwrap();
    for (file, mode) in [("empty", 0o600), ("wide", 0o640)] {
        let mode = PermissionsExt::from_mode(mode);
        std::fs::set_permissions(directory.join(file), mode).unwrap();
    }
    let large = "x".repeat((8 << 20) + 1);
    for (arguments, input, code, said) in [
        (
            &["-i", "other"][..],
            text.as_str(),
            65,
            "not sealed to your key\nhint: other holds none",
        ),
        (
            &["-i", "own"],
            &text.replacen('\n', "\n?", 1),
            65,
            "damaged\nhint: copy the whole",
        ),
        (
            &["-i", "own"],
            "hello",
            65,
            "no sealed answer\nhint: give the whole message",
        ),
        (&["-i", "own"], &large, 65, "larger than"),
        (&["-i", "own", "missing"], "", 66, "missing: cannot read"),
        (
            &["-i", "missing"],
            &text,
            66,
            "hint: name your identity file with -i",
        ),
        (&["-i", "empty"], &text, 78, "no age identity"),
        (&["-i", "wide"], &text, 77, "hint: chmod 600 wide"),
        (&["--frobnicate"], "", 64, "Usage:"),
    ] {
        let ran = open(directory, arguments, input);
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (code, ""),
            "{arguments:?}: {ran:?}"
        );
        assert!(ran.err.contains(said), "{arguments:?}: {ran:?}");
    }
}
