//! `vaultgram render`: files from templates, and what is run when they change.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::time::Instant;

use crate::served::{PATIENCE, Served, fields, wait_for};

const TEMPLATE: &str = "\
[database]
user = {{ secret('app/db#user') }}
port = {{ secret('secret/app/db#port') }}
{% set db = secret('app/db') -%}
password = {{ db.password | tojson }}
{% for leaf in db.json.list %}{{ leaf }};{% endfor %}
";

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_file_holds_what_the_template_asks_for_and_is_its_owners_alone() {
    let served = Served::start();
    served.put("app/db", &fields());
    let template = served.file("app.j2", TEMPLATE);
    let template = template.to_str().unwrap();
    let out = served.path("app.conf");
    let hook = [
        "--",
        "sh",
        "-c",
        "echo \"$0 $*\" >>ran; echo hook",
        "a  b",
        "c",
    ];
    let arguments = [&["render", template, "--out", "app.conf"], &hook[..]].concat();

    let ran = served.run(&arguments);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "app.conf: written\n"),
        "{ran:?}"
    );
    let expected = "[database]\nuser = ann\nport = 5432\n\
                    password = \"p\\u003c\\\"\\\\/ü😀\\u0026 $HOME \\u0027x\\u0027 %0A\\n::add-mask::no\\n\"\n\
                    leaf-secret;12.5;true;\n";
    assert_eq!(fs::read_to_string(&out).unwrap(), expected);
    assert_eq!(mode(&out), 0o600);
    assert_eq!(served.reads(), 2, "one for each way to the secret");
    assert_eq!(
        fs::read_to_string(served.path("ran")).unwrap(),
        "a  b c\n",
        "no shell"
    );

    // Nothing changes: nothing is written, nothing runs.
    let ran = served.run(&arguments);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "app.conf: unchanged\n"),
        "{ran:?}"
    );
    assert_eq!(fs::read_to_string(served.path("ran")).unwrap(), "a  b c\n");

    let ran = served.run(&["render", template, "--check"]);
    let said = format!("{template}: all is there; it reads secret/app/db\n");
    assert_eq!((ran.code, ran.out), (0, said));
    let ran = served.run(&["render", template, "--check", "--json"]);
    assert_eq!(ran.out, "{\"reads\":[\"secret/app/db\"]}\n");

    served.put(
        "app/db",
        &json!({"user": "eve", "port": 1, "password": "", "json": {"list": []}}),
    );
    let failing = [
        "render", template, "--out", "app.conf", "--json", "--", "sh", "-c", "exit 3",
    ];
    let ran = served.run(&failing);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (74, "{\"out\":\"app.conf\",\"changed\":true}\n")
    );
    assert!(ran.err.contains("exit status: 3"), "{ran:?}");
    assert!(fs::read_to_string(&out).unwrap().contains("user = eve\n"));
}

#[test]
fn nothing_is_written_when_something_is_wrong() {
    let served = Served::start();
    served.put("app/db", &fields());
    served.put("private/db", &json!({"user": "eve"}));
    served.file("app.conf", "before");
    for (template, code, said) in [
        (
            "{{ secret('app/none#x') }}",
            66,
            "t.j2:1: app/none: there is no secret",
        ),
        (
            "\n{{ secret('app/db#none') }}",
            66,
            "t.j2:2: app/db: the secret has no such field",
        ),
        (
            "{{ secret('private/db#user') }}",
            77,
            "t.j2:1: private/db: permission denied",
        ),
        ("{{ secret('app/db').none }}", 65, "t.j2:1: undefined value"),
        (
            "{{ secret('app/db#user') | nothing }}",
            65,
            "t.j2:1: unknown filter",
        ),
        (
            "{{ secret('#') }}",
            65,
            "t.j2:1: what secret() is given is no address",
        ),
        (
            "{{ secret('app/db#json').list[0] | int }}",
            65,
            "t.j2:1: invalid operation",
        ),
        ("{% include 'x' %}", 65, "t.j2:1: "),
        ("{% if %}", 65, "t.j2:1: syntax error"),
    ] {
        served.file("t.j2", template);
        for last in [&["--out", "app.conf"][..], &["--check"]] {
            let ran = served.run(&[&["render", "t.j2"], last].concat());
            assert_eq!(
                (ran.code, ran.out.as_str()),
                (code, ""),
                "{template}: {ran:?}"
            );
            assert!(ran.err.contains(said), "{template}: {ran:?}");
            assert!(!ran.err.contains("leaf-secret"), "{ran:?}");
        }
        assert_eq!(
            fs::read_to_string(served.path("app.conf")).unwrap(),
            "before"
        );
    }
    served.file("t.j2", "{{ secret('app/db#user') }}");
    fs::write(served.path("binary"), b"\xff").unwrap();
    std::os::unix::fs::symlink(served.path("app.conf"), served.path("link")).unwrap();
    for (arguments, code, said) in [
        (&["t.j2"][..], 64, "--out"),
        (
            &["t.j2", "--out", "x", "--check"],
            64,
            "cannot be used with",
        ),
        (&["none.j2", "--check"], 66, "none.j2: No such file"),
        (&["binary", "--check"], 65, "not UTF-8"),
        (&["t.j2", "--out", "link"], 73, "symbolic link"),
        (&["t.j2", "--out", "."], 64, "must end with a file's name"),
        (&["t.j2", "--out", "-"], 64, "name a file"),
        (&["t.j2", "--out", "/tmp"], 73, "regular file"),
        (&["t.j2", "--out", "none/x"], 73, "No such file"),
        (
            &["t.j2", "--out", "new", "--", "no-such-program"],
            74,
            "no-such-program: No such file",
        ),
    ] {
        let ran = served.run(&[&["render"], arguments].concat());
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        assert!(ran.err.contains(said), "{arguments:?}: {ran:?}");
    }
    assert_eq!(
        fs::read_to_string(served.path("app.conf")).unwrap(),
        "before"
    );
}

#[test]
fn a_watched_file_follows_its_secrets() {
    let served = Served::start();
    served.put("app/db", &json!({"user": "ann", "other": "1"}));
    served.put("app/switch", &json!({"on": false}));
    served.put("app/more", &json!({"key": "k1"}));
    served.file(
        "t.j2",
        "{{ secret('app/db#user') }}{% if secret('app/switch#on') %} {{ secret('app/more#key') }}{% endif %}\n",
    );
    let mut child = served
        .vaultgram(&[
            "render",
            "t.j2",
            "--out",
            "app.conf",
            "--watch=1s",
            "--",
            "sh",
            "-c",
            "cat app.conf >>seen",
        ])
        .spawn()
        .unwrap();
    let seen = served.path("seen");
    wait_for(&seen, |text| text == "ann\n");
    served.put("app/db", &json!({"user": "eve", "other": "1"}));
    wait_for(&seen, |text| text == "ann\neve\n");
    // A secret that was not asked for before.
    served.put("app/switch", &json!({"on": true}));
    wait_for(&seen, |text| text.ends_with("eve\neve k1\n"));
    served.put("app/more", &json!({"key": "k2"}));
    wait_for(&seen, |text| text.ends_with("eve k1\neve k2\n"));
    // What does not change the file runs nothing.
    served.put("app/db", &json!({"user": "eve", "other": "2"}));
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert_eq!(
        fs::read_to_string(&seen).unwrap(),
        "ann\neve\neve k1\neve k2\n"
    );
    assert_eq!(mode(&served.path("app.conf")), 0o600);
    assert_eq!(child.try_wait().unwrap(), None);
    kill(&child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

fn kill(child: &Child) {
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
}

#[test]
fn a_signal_leaves_no_draft_behind() {
    let served = Served::start();
    served.put("app/db", &json!({"user": "ann"}));
    // Large enough that writing it takes a while.
    served.file(
        "t.j2",
        "{% set user = secret('app/db#user') %}{% for i in range(20000) %}{{ user * 100 }}{% endfor %}",
    );
    std::fs::create_dir(served.path("out")).unwrap();
    let names = || -> Vec<String> {
        let entries = fs::read_dir(served.path("out")).unwrap();
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
        entries
            .map(|entry| name(entry).into_string().unwrap())
            .collect()
    };
    for _ in 0..5 {
        let mut child = served
            .vaultgram(&["render", "t.j2", "--out", "out/app.conf", "--watch"])
            .spawn()
            .unwrap();
        let start = Instant::now();
        while names().is_empty() {
            assert!(start.elapsed() < PATIENCE, "{:?}", child.try_wait());
        }
        kill(&child);
        let status = child.wait().unwrap();
        assert_eq!(
            (names(), status.code()),
            (vec!["app.conf".to_owned()], Some(0))
        );
        assert_eq!(
            fs::metadata(served.path("out/app.conf")).unwrap().len(),
            6_000_000
        );
        fs::remove_file(served.path("out/app.conf")).unwrap();
    }
}
