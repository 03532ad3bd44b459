//! `vaultgram github`: what a runner of GitHub Actions gets to see, in which order, and what not.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::Ran;
use crate::served::{Served, fields};

/// Runs a step of a job.
fn step(served: &Served, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
    let mut command = served.vaultgram(&[&["github"], arguments].concat());
    command
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_ENV", served.path("env"))
        .env("GITHUB_OUTPUT", served.path("output"));
    for (name, value) in variables {
        command.env(name, value);
    }
    Ran::from(command.output().unwrap())
}

/// What the runner hides from now on.
fn masks(out: &str) -> BTreeSet<String> {
    let data = out
        .lines()
        .map(|line| line.strip_prefix("::add-mask::").unwrap());
    data.map(|data| data.replace("%25", "%")).collect()
}

/// The values in a command file, whose delimiters are taken out.
fn values(text: &str) -> Vec<(String, String)> {
    let mut rest = text;
    let mut found = vec![];
    while let Some((head, after)) = rest.split_once('\n') {
        let (name, delimiter) = head.split_once("<<").unwrap();
        assert!(
            delimiter.starts_with("ghadelimiter_") && delimiter.len() == 49,
            "{head}"
        );
        let (value, after) = after.split_once(&format!("\n{delimiter}\n")).unwrap();
        found.push((name.to_owned(), value.to_owned()));
        rest = after;
    }
    assert_eq!(rest, "");
    found
}

#[test]
fn values_are_hidden_and_then_handed_over() {
    let served = Served::start();
    served.put("app/db", &fields());
    served.file("env", "BEFORE=1");
    served.file("output", "");
    let ran = step(
        &served,
        &[
            "--env",
            "DB_PASSWORD=app/db#password",
            "--env",
            "DB_JSON=app/db#json",
            "--output",
            "db-user=app/db#user",
            "--output",
            "empty=app/db#empty",
        ],
        &[],
    );
    assert_eq!(ran.code, 66, "all or nothing: {ran:?}");
    assert_eq!(ran.out, "");
    assert_eq!(fs::read_to_string(served.path("env")).unwrap(), "BEFORE=1");

    let ran = step(
        &served,
        &[
            "--env",
            "DB_PASSWORD=app/db#password",
            "--env",
            "DB_JSON=app/db#json",
            "--output",
            "db-user=app/db#port",
        ],
        &[],
    );
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    let json = r#"{"empty":"","list":["leaf-secret",12.5,true]}"#;
    let expected = [
        "p<\"\\/ü😀& $HOME 'x' %0A",
        // As they stand in JSON, which outputs are handed on as.
        r#"p<\"\\/ü😀& $HOME 'x' %0A"#,
        r#"p\u003c\"\\/ü😀\u0026 $HOME 'x' %0A"#,
        r#"{\"empty\":\"\",\"list\":[\"leaf-secret\",12.5,true]}"#,
        "::add-mask::no",
        json,
        "leaf-secret",
        "12.5",
        "5432",
    ];
    assert_eq!(
        masks(&ran.out),
        expected.into_iter().map(str::to_owned).collect()
    );
    let env = fs::read_to_string(served.path("env")).unwrap();
    let env = env.strip_prefix("BEFORE=1\n").unwrap();
    let password = "p<\"\\/ü😀& $HOME 'x' %0A\n::add-mask::no\n";
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        values(env),
        [pair("DB_PASSWORD", password), pair("DB_JSON", json)]
    );
    let output = fs::read_to_string(served.path("output")).unwrap();
    assert_eq!(values(&output), [pair("db-user", "5432")]);
    assert!(!served.log().contains("leaf-secret"));
}

#[test]
fn nothing_is_handed_over_that_is_not_hidden() {
    let served = Served::start();
    served.put(
        "app/db",
        &json!({"user": "ann", "nul": "x\u{0}y", "deep": "[".repeat(99) + &"]".repeat(99)}),
    );
    served.put("private/db", &json!({"user": "eve"}));
    served.file("env", "");
    served.file("output", "");
    std::os::unix::fs::symlink(served.path("env"), served.path("link")).unwrap();
    let link = served.path("link");
    let link = link.to_str().unwrap();
    let good = ["--env", "A=app/db#user"];
    for (arguments, variables, code, said) in [
        (
            &[][..],
            &[("GITHUB_ACTIONS", "")][..],
            64,
            "no job of GitHub Actions",
        ),
        (
            &["--env", "NODE_OPTIONS=app/db#user"],
            &[],
            64,
            "choose another name",
        ),
        (
            &["--env", "github_token=app/db#user"],
            &[],
            64,
            "the runner's own",
        ),
        (
            &["--output", "a b=app/db#user"],
            &[],
            64,
            "a name is made of",
        ),
        (
            &["--env", "B=private/db#user"],
            &[],
            77,
            "private/db: permission denied",
        ),
        (
            &["--env", "B=app/db#nul"],
            &[],
            65,
            "B: the value holds a NUL",
        ),
        (&["--secrets", ";"], &[], 64, "there is no secret"),
        (&["--env", "B=app/db#deep"], &[], 65, "nests too deeply"),
        (&[], &[("GITHUB_ENV", link)], 74, "cannot open"),
        (&[], &[("GITHUB_ENV", "/nowhere/env")], 74, "cannot open"),
        (
            &["--output", "b=app/db#user"],
            &[("GITHUB_OUTPUT", "/dev/null")],
            74,
            "regular file",
        ),
    ] {
        let ran = step(&served, &[&good[..], arguments].concat(), variables);
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (code, ""),
            "{arguments:?}: {ran:?}"
        );
        assert!(ran.err.contains(said), "{arguments:?}: {ran:?}");
        for file in ["env", "output"] {
            assert_eq!(
                fs::read_to_string(served.path(file)).unwrap(),
                "",
                "{arguments:?}"
            );
        }
    }
    let ran = step(&served, &[], &[]);
    assert!(
        ran.code == 64 && ran.err.contains("no secret is asked for"),
        "{ran:?}"
    );
    // Where the runner cannot be told what to hide, it is given nothing.
    let mut command = served.vaultgram(&[&["github"][..], &good].concat());
    command
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_ENV", served.path("env"))
        .stdout(fs::File::options().write(true).open("/dev/full").unwrap());
    assert_eq!(command.output().unwrap().status.code(), Some(73));
    assert_eq!(fs::read_to_string(served.path("env")).unwrap(), "");

    let ran = step(
        &served,
        &[&good[..], &["--force"]].concat(),
        &[("GITHUB_ACTIONS", "")],
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    let (mask, warning) = ran.out.split_once('\n').unwrap();
    assert_eq!(mask, "::add-mask::ann");
    assert!(
        warning.starts_with("::warning::a value has lines of less than four"),
        "{warning}"
    );
}

#[test]
fn what_act_could_not_hide_is_not_handed_over() {
    let served = Served::start();
    served.put("app/db", &json!({"escape": "100%0A", "colons": "a-b::c-d"}));
    served.file("env", "");
    let act = [("ACT", "true")];
    let ran = step(&served, &["--env", "A=app/db#escape"], &act);
    assert_eq!((ran.code, ran.out.as_str()), (65, ""), "{ran:?}");
    assert!(ran.err.contains("act could not hide"), "{ran:?}");
    assert_eq!(fs::read_to_string(served.path("env")).unwrap(), "");
    let ran = step(&served, &["--env", "A=app/db#colons"], &act);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "##[add-mask]a-b::c-d\n"),
        "{ran:?}"
    );
    // GitHub's own runner reads all of it.
    let ran = step(&served, &["--env", "A=app/db#escape"], &[]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "::add-mask::100%250A\n"),
        "{ran:?}"
    );
}

#[test]
fn a_file_is_for_its_owner_alone() {
    let served = Served::start();
    let password = fields()["password"].as_str().unwrap().to_owned();
    served.put("app/db", &fields());
    served.file("env", "");
    let temporary = served.path("temp");
    fs::create_dir(&temporary).unwrap();
    let variables = [("RUNNER_TEMP", temporary.to_str().unwrap())];
    let wanted = ["--file", "DB_FILE=app/db#password"];
    let ran = step(&served, &wanted, &variables);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    assert!(masks(&ran.out).contains("::add-mask::no"), "{ran:?}");
    let (folder, file) = (
        temporary.join("vaultgram"),
        temporary.join("vaultgram/DB_FILE"),
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), password);
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&file)), (0o700, 0o600));
    let env = values(&fs::read_to_string(served.path("env")).unwrap());
    let named = ("DB_FILE".to_owned(), file.to_str().unwrap().to_owned());
    assert_eq!(env, [named]);

    // A folder that others can write to is not used; nor is a link.
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let ran = step(&served, &wanted, &variables);
    assert!(
        ran.code == 73 && ran.err.contains("may write there"),
        "{ran:?}"
    );
    fs::remove_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink("/tmp", &folder).unwrap();
    let ran = step(&served, &wanted, &variables);
    assert!(ran.code == 73 && ran.out.is_empty(), "{ran:?}");
    let ran = step(&served, &wanted, &[]);
    assert!(
        ran.code == 64 && ran.err.contains("RUNNER_TEMP is not set"),
        "{ran:?}"
    );
    let ran = step(&served, &["--file", "PATH=app/db#user"], &variables);
    assert_eq!(ran.code, 64, "{ran:?}");
}

#[test]
fn what_was_written_for_vault_action_works() {
    let served = Served::start();
    served.put(
        "ci/aws",
        &json!({"accessKey": "AKIA-1", "secretKey": "hidden-2"}),
    );
    served.put("ci/db", &json!({"user": "annette", "tls.key": "hidden-3"}));
    served.put("data/odd", &json!({"x": "hidden-4"}));
    served.file("env", "");
    served.file("output", "");
    let secrets = "
        secret/data/ci/aws accessKey | AWS_ACCESS_KEY_ID ;
        secret/data/ci/aws secretKey ;
        ci/db \"tls.key\" | KEY ; secret/data/ci/db * | db_ ;
        secret/data/data/odd x";
    let ran = step(&served, &["--secrets", secrets], &[]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    let hidden = ["AKIA-1", "annette", "hidden-2", "hidden-3", "hidden-4"];
    assert_eq!(
        masks(&ran.out),
        hidden.into_iter().map(str::to_owned).collect()
    );
    let written = |file| values(&fs::read_to_string(served.path(file)).unwrap());
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    };
    let variables = [
        ("AWS_ACCESS_KEY_ID", "AKIA-1"),
        ("SECRETKEY", "hidden-2"),
        ("KEY", "hidden-3"),
        ("DB_TLS__KEY", "hidden-3"),
        ("DB_USER", "annette"),
        ("X", "hidden-4"),
    ];
    assert_eq!(written("env"), pairs(&variables));
    let outputs = [
        ("AWS_ACCESS_KEY_ID", "AKIA-1"),
        ("secretKey", "hidden-2"),
        ("KEY", "hidden-3"),
        ("db_tls__key", "hidden-3"),
        ("db_user", "annette"),
        ("x", "hidden-4"),
    ];
    assert_eq!(written("output"), pairs(&outputs));
    assert_eq!(served.reads(), 3, "one for each secret");

    for (secrets, code, said) in [
        (
            "ci/db user\nci/db x",
            64,
            "--secrets, line 2, column 1: a ; or | is missing",
        ),
        ("ci/db user; ci/db *", 64, "USER is given twice"),
        ("ci/none x", 66, "secret/ci/none: there is no secret"),
        ("ci/db none", 66, "ci/db: the secret has no such field"),
        (
            "secret x",
            64,
            "secret: \"secret\" is a mount, not a secret",
        ),
        ("private/db *", 77, "private/db: permission denied"),
    ] {
        let before = fs::read_to_string(served.path("env")).unwrap();
        let ran = step(&served, &["--secrets", secrets], &[]);
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (code, ""),
            "{secrets}: {ran:?}"
        );
        assert!(ran.err.contains(said), "{secrets}: {ran:?}");
        assert_eq!(fs::read_to_string(served.path("env")).unwrap(), before);
    }
}
