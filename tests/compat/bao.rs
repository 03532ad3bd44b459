//! The real `bao`, typed as people type it, at OpenBao and at the socket: what it prints and how it
//! ends is the same.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::openbao::{bao, wait_until};
use crate::pair::{Pair, Side};

/// In order: each line, and what it reads from its input.
const SAME: &[(&str, &str)] = &[
    ("kv get secret/app/db", ""),
    ("kv get -format=json -version=1 secret/app/db", ""),
    ("kv get -version=1 -field=password -mount=secret app/db", ""),
    ("kv get secret/app/gone", ""),
    ("kv get secret/app/destroyed", ""),
    ("kv get secret/app/none", ""),
    ("kv get secret/private/key", ""),
    ("kv get nomount/x", ""),
    ("kv put secret/app/new a=1 b=2", ""),
    ("kv put -cas=0 secret/app/new a=1", ""),
    ("kv put -cas=1 secret/app/new a=2 c=3", ""),
    ("kv patch secret/app/new b=5", ""),
    ("kv patch -method=rw secret/app/new b=6", ""),
    ("kv patch -method=patch -cas=4 secret/app/new b=7", ""),
    ("kv patch -method=patch -cas=4 secret/app/new b=7", ""),
    ("kv patch -remove-data=b secret/app/new", ""),
    ("kv get -format=json secret/app/new", ""),
    ("kv list secret/app", ""),
    ("kv list secret/nothing", ""),
    ("kv delete secret/app/new", ""),
    ("kv undelete -versions=6 secret/app/new", ""),
    ("kv delete -versions=1,2 secret/app/new", ""),
    ("kv rollback -version=3 secret/app/new", ""),
    ("kv destroy -versions=1 secret/app/new", ""),
    ("kv get -version=1 secret/app/new", ""),
    ("kv get legacy/app/db", ""),
    ("kv put legacy/app/x a=1", ""),
    ("kv list legacy/app", ""),
    ("kv delete legacy/app/x", ""),
    ("read secret/data/app/db", ""),
    ("read secret/data/app/db version=2", ""),
    (
        "write secret/data/app/w -",
        r#"{"data":{"a":"b"},"options":{"cas":0}}"#,
    ),
    (
        "patch secret/data/app/w -",
        r#"{"data":{"b":"c"},"options":{"cas":1}}"#,
    ),
    ("list secret/metadata/app", ""),
    ("delete secret/data/app/w", ""),
    ("write legacy/app/y a=1", ""),
    ("delete legacy/app/y", ""),
    (
        "write -field=plaintext transit/decrypt/mail ciphertext=x",
        "",
    ),
    ("list transit/keys", ""),
    ("token capabilities secret/data/private/key", ""),
    ("token renew", ""),
    ("lease renew nosuch/lease/abc", ""),
    ("lease lookup nosuch/lease/abc", ""),
];

/// These tell of the server or of the caller, so only the exit code is the same.
const ENDS_SO: &[(&str, i32)] = &[
    ("status", 0),
    ("status -format=json", 0),
    ("kv metadata get secret/app/db", 0),
    ("kv patch secret/app/nonexist b=5", 2),
    ("kv patch legacy/app/db a=1", 2),
    ("read legacy/app/db", 0),
    ("write transit/encrypt/mail plaintext=aGk=", 0),
    ("token lookup", 0),
    ("token capabilities secret/data/app/db", 0),
    ("secrets list", 0),
    ("lease revoke nosuch/lease/abc", 0),
];

#[test]
fn the_real_bao_prints_the_same() {
    let pair = Pair::start();
    let mut wrong = vec![];
    for (line, input) in SAME {
        let [real, ours] = [Side::Real, Side::Ours].map(|side| typed(&pair, side, line, input));
        if settled(&real) != settled(&ours) {
            wrong.push(format!(
                "{line}\n--- OpenBao\n{real:?}\n--- vaultgram\n{ours:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    for (line, code) in ENDS_SO {
        for side in [Side::Real, Side::Ours] {
            let ended = typed(&pair, side, line, "");
            assert_eq!(ended.0, *code, "{side:?} {line}: {ended:?}");
        }
    }
    for side in [Side::Real, Side::Ours] {
        leases(&pair, side);
        unwrapping(&pair, side);
    }
    pair.real.seal();
    pair.behind.seal();
    wait_until("both are sealed", || {
        [Side::Real, Side::Ours]
            .iter()
            .all(|side| typed(&pair, *side, "status", "").0 == 2)
    });
}

fn leases(pair: &Pair, side: Side) {
    let issue = "write -format=json pki/issue/web common_name=x.example.org ttl=10m";
    let lease = told(&typed(pair, side, issue, ""), "/lease_id");
    for (line, code) in [
        (format!("lease lookup {lease}"), 0),
        (format!("lease renew -increment=20m {lease}"), 2),
        (format!("lease revoke -sync {lease}"), 0),
        (format!("lease revoke {lease}"), 0),
        (format!("lease lookup {lease}"), 2),
    ] {
        let ended = typed(pair, side, &line, "");
        assert_eq!(ended.0, code, "{side:?} {line}: {ended:?}");
    }
}

fn unwrapping(pair: &Pair, side: Side) {
    let wrapped = "kv get -wrap-ttl=60s -format=json secret/app/other";
    let token = || told(&typed(pair, side, wrapped, ""), "/wrap_info/token");
    let first = token();
    for (line, code) in [
        (format!("write sys/wrapping/lookup token={first}"), 0),
        (format!("unwrap -format=json {first}"), 0),
        (format!("unwrap {first}"), 2),
    ] {
        let ended = typed(pair, side, &line, "");
        assert_eq!(ended.0, code, "{side:?} {line}: {ended:?}");
    }
    // Who has no token of his own shows the wrapping token for it.
    let second = token();
    let line = format!("unwrap -format=json {second}");
    let mut command = command(pair, side, &line);
    let ran = command.env_remove("BAO_TOKEN").output().unwrap();
    let out = String::from_utf8(ran.stdout).unwrap();
    let answer: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{side:?}: {out}"));
    assert_eq!(answer["data"]["data"]["a"], "b", "{side:?}");
}

/// The exit code, the output, and what is said beside it.
type Ended = (i32, String, String);

fn command(pair: &Pair, side: Side, line: &str) -> Command {
    let (address, token) = pair.address(side);
    let home = pair.directory.path().join(format!("{side:?}"));
    std::fs::create_dir_all(&home).unwrap();
    let mut command = Command::new(bao());
    command
        .env_clear()
        .env("BAO_ADDR", address)
        .env("HOME", home)
        .args(line.split(' '))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(token) = token {
        command.env("BAO_TOKEN", token);
    }
    command
}

fn typed(pair: &Pair, side: Side, line: &str, input: &str) -> Ended {
    let mut child = command(pair, side, line).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let ended = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        ended.status.code().unwrap(),
        text(ended.stdout),
        text(ended.stderr),
    )
}

fn told(ended: &Ended, pointer: &str) -> String {
    let answer: Value = serde_json::from_str(&ended.1).unwrap_or_else(|_| panic!("{ended:?}"));
    answer
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap()
        .to_owned()
}

/// Without times, ids and addresses, and the room these take.
fn settled((code, out, err): &Ended) -> (i32, Vec<String>) {
    let word = |word: &str| {
        // In a map that is printed: map[created_time:…].
        if let Some((name, time)) = word.split_once("_time:") {
            return format!("{name}_time:{}", time.len() > 4);
        }
        let bare = word.trim_matches(['"', ',']);
        if bare.starts_with("20") && bare.ends_with('Z') && bare.contains('T') {
            return "TIME".to_owned();
        }
        if bare.len() == 36 && bare.matches('-').count() == 4 {
            return "ID".to_owned();
        }
        if let Some((_, path)) = bare
            .strip_prefix("http://")
            .and_then(|url| url.split_once('/'))
        {
            return path.to_owned();
        }
        word.to_owned()
    };
    let words = out.split_whitespace().chain(err.split_whitespace());
    (*code, words.map(word).collect())
}
