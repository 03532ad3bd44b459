//! Every command that asks a running vaultgram, over a real OpenBao.

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::Ran;
use crate::served::PATIENCE;
use crate::server::Server;

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[track_caller]
fn assert_ends(ran: &Ran, code: i32, said: &str) {
    assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{ran:?}");
    assert!(ran.err.contains(said), "{ran:?}");
}

#[test]
fn a_secret_is_written_changed_and_read() {
    let server = Server::shared();
    let said = server.good(&["put", "life/db", "--new", "user=django", "password=\\@home"]);
    assert_eq!(said, "secret/life/db is written, as version 1\n");
    assert_eq!(server.good(&["get", "life/db#password"]), "@home");

    let ran = server.piped(
        &["patch", "life/db", "password=-", "--remove", "user"],
        "a\nb\n",
    );
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "secret/life/db is changed, as version 2\n")
    );
    assert_eq!(
        server.good(&["get", "life/db", "-f", "json"]),
        "{\"password\":\"a\\nb\\n\"}\n"
    );

    server.file("fields.json", "{\"n\": {\"x\": 1.5}}\n");
    let put = [
        "put",
        "secret/life/db",
        "--from",
        "fields.json",
        "--cas",
        "2",
        "--json",
    ];
    let said = json_of(&server.good(&put));
    assert_eq!(
        (&said["path"], &said["version"]),
        (&json!("secret/life/db"), &json!(3))
    );
    assert!(
        said["created_time"].as_str().unwrap().starts_with("20"),
        "{said}"
    );
    assert_eq!(server.good(&["get", "life/db#n"]), "{\"x\":1.5}");
    assert_eq!(
        server.good(&["get", "life/db@1", "-f", "export", "--prefix", "DB_"]),
        "export DB_PASSWORD='@home'\nexport DB_USER='django'\n"
    );
}

#[test]
fn nobody_writes_over_what_they_did_not_see() {
    let server = Server::shared();
    server.good(&["put", "cas/a", "x=1"]);
    for arguments in [
        &["put", "cas/a", "--new", "x=2"][..],
        &["put", "cas/a", "--cas", "7", "x=2"],
        &["patch", "cas/a", "--cas", "7", "x=2"],
    ] {
        let ran = server.run(arguments);
        assert_ends(&ran, 75, "or exists already\nhint: look at it");
    }
    assert_eq!(server.good(&["get", "cas/a#x"]), "1");
    let ran = server.run(&["patch", "cas/nothing", "x=1"]);
    assert_ends(&ran, 66, "no secret at this path");
}

#[test]
fn versions_go_and_come_back() {
    let server = Server::shared();
    for value in ["x=1", "x=2", "x=3"] {
        server.good(&["put", "versions/a", value]);
    }
    let said = server.good(&["delete", "versions/a"]);
    assert_eq!(
        said,
        "secret/versions/a is deleted, if it was there; `vaultgram undelete secret/versions/a` brings it back\n"
    );
    let ran = server.run(&["get", "versions/a"]);
    assert_ends(&ran, 66, "version 3 of the secret is deleted");
    let said = json_of(&server.good(&["delete", "versions/a@2", "--json"]));
    assert_eq!(
        said,
        json!({"path": "secret/versions/a", "version": 2, "done": true})
    );
    let ran = server.run(&["destroy", "versions/a@1"]);
    assert_ends(&ran, 64, "hint: add --yes");
    let said = server.good(&["destroy", "versions/a@1", "--yes"]);
    assert!(said.ends_with("is destroyed, if it was there\n"), "{said}");

    let shown = server.good(&["versions", "versions/a"]);
    let states: Vec<_> = shown
        .lines()
        .map(|line| line.rsplit(' ').next().unwrap())
        .collect();
    assert_eq!(
        states,
        ["STATE", "deleted", "deleted", "destroyed"],
        "{shown}"
    );
    let said = json_of(&server.good(&["versions", "versions/a", "--limit", "1", "--json"]));
    assert_eq!(said["current"], 3);
    assert_eq!(said["versions"].as_array().unwrap().len(), 1);
    assert_eq!(said["versions"][0]["state"], "deleted");

    assert_eq!(
        server.good(&["undelete", "versions/a"]),
        "version 3 of secret/versions/a is back\n"
    );
    assert_eq!(server.good(&["get", "versions/a#x"]), "3");
    server.good(&["undelete", "versions/a@2"]);
    assert_eq!(server.good(&["get", "versions/a#x@2"]), "2");
    let ran = server.run(&["undelete", "versions/a"]);
    assert_ends(&ran, 66, "no version of secret/versions/a is deleted");
    let ran = server.run(&["versions", "versions/nothing"]);
    assert_ends(&ran, 66, "no secret at this path");
    // As Vault: there need be nothing.
    server.good(&["delete", "versions/nothing"]);
}

#[test]
fn a_random_value_is_written_and_not_shown() {
    let server = Server::shared();
    server.good(&["put", "rotate/a", "pin=old", "user=u"]);
    let rotate = ["rotate", "rotate/a#pin", "--recipe", "pin", "--yes"];
    let said = server.good(&rotate);
    assert_eq!(said, "secret/rotate/a has a new random pin, as version 2\n");
    let pin = server.good(&["get", "rotate/a#pin"]);
    assert!(
        pin.len() == 8 && pin.bytes().all(|digit| digit.is_ascii_digit()),
        "{pin}"
    );
    assert_eq!(server.good(&["get", "rotate/a#user"]), "u");
    let said = json_of(&server.good(&["rotate", "rotate/a#pin", "--json"]));
    assert_eq!(said["version"], 3);
    let ran = server.run(&["rotate", "rotate/a#nothing", "--yes"]);
    assert_ends(&ran, 66, "the secret has no such field\n");
    assert_ends(
        &server.run(&["rotate", "rotate/a"]),
        64,
        "hint: name it: PATH#field",
    );
    let ran = server.run(&["rotate", "rotate/a#pin", "--recipe", "x"]);
    assert_ends(
        &ran,
        64,
        "[possible values: password, alphanumeric, hex, pin]",
    );
}

#[test]
fn names_are_listed() {
    let server = Server::shared();
    for path in ["list/a", "list/b/c", "list/b/d/e"] {
        server.good(&["put", path, "x=1"]);
    }
    assert_eq!(server.good(&["list", "list"]), "a\nb/\n");
    assert_eq!(
        server.good(&["list", "secret/list/", "-r"]),
        "a\nb/c\nb/d/e\n"
    );
    let said = json_of(&server.good(&["list", "list", "--json"]));
    assert_eq!(said, json!({"path": "secret/list/", "names": ["a", "b/"]}));
    for arguments in [&["list"][..], &["list", "secret"]] {
        let all = server.good(arguments);
        assert!(all.lines().any(|name| name == "list/"), "{all}");
    }
    assert_ends(
        &server.run(&["list", "list/nothing"]),
        66,
        "there is nothing in secret/list/nothing/",
    );
    assert_ends(&server.run(&["list", "private"]), 77, "permission denied");
}

#[test]
fn a_secret_goes_through_a_token_once() {
    let server = Server::shared();
    server.good(&["put", "wrap/a", "x=hunter2"]);
    let token = server.good(&["wrap", "wrap/a", "--ttl", "90s"]);
    let ran = server.piped(&["unwrap"], &token);
    assert_eq!(
        (ran.code, ran.out.as_str(), ran.err.as_str()),
        (0, "hunter2", "")
    );
    assert_ends(
        &server.piped(&["unwrap"], &token),
        64,
        "wrapping token is not valid or does not exist\nhint: it was used before",
    );
    let said = json_of(&server.good(&["wrap", "wrap/a", "--json"]));
    assert_eq!(said["creation_path"], "secret/data/wrap/a");
    let ran = server.piped(&["unwrap", "--json"], said["token"].as_str().unwrap());
    assert_eq!(json_of(&ran.out)["data"], json!({"x": "hunter2"}));
    assert_ends(
        &server.piped(&["unwrap"], "two words"),
        64,
        "this is no token",
    );
    assert_ends(&server.run(&["wrap", "private/a"]), 77, "permission denied");
}

#[test]
fn mounts_without_versions_and_engines_are_told_apart() {
    let server = Server::shared();
    assert_eq!(
        server.good(&["put", "legacy/a", "x=1"]),
        "legacy/a is written\n"
    );
    assert_eq!(server.good(&["get", "legacy/a#x"]), "1");
    assert_eq!(server.good(&["list", "legacy"]), "a\n");
    for (arguments, said) in [
        (
            &["put", "legacy/a", "--cas", "1", "x=2"][..],
            "hint: leave --cas",
        ),
        (&["patch", "legacy/a", "x=2"], "keeps no versions"),
        (&["versions", "legacy/a"], "keeps no versions"),
        (&["delete", "legacy/a"], "hint: add --yes"),
        (
            &["put", "transit/keys/k", "x=2"],
            "hint: `vaultgram invoke`",
        ),
        (&["put", "a@1", "x=2"], "hint: leave @"),
        (&["put", "a#x", "x=2"], "hint: leave #"),
        (&["put", "a"], "Usage:"),
        (&["put", "a", "hunter2"], "parameter 1 has no name"),
    ] {
        let ran = server.run(arguments);
        assert_ends(&ran, 64, said);
        assert!(!ran.err.contains("hunter2"), "{ran:?}");
    }
    assert_eq!(
        server.good(&["delete", "legacy/a", "--yes"]),
        "legacy/a is deleted\n"
    );
    let encrypted = server.good(&["invoke", "transit/encrypt/k#ciphertext", "plaintext=eA=="]);
    assert!(encrypted.starts_with("vault:v1:"), "{encrypted}");
    let text = format!("ciphertext={encrypted}");
    let decrypt = ["invoke", "transit/decrypt/k", &text, "-f", "dotenv"];
    assert_eq!(server.good(&decrypt), "PLAINTEXT='eA=='\n");
}

#[test]
fn leases_have_json_and_a_table() {
    let server = Server::shared();
    assert_eq!(server.good(&["leases"]), "there are no leases\n");
    assert_eq!(server.good(&["leases", "--json"]), "{\"leases\":[]}\n");
    assert_ends(
        &server.run(&["leases", "revoke", "ABCD", "--json"]),
        77,
        "{\"error\":{",
    );
}

#[test]
fn status_says_who_asks_and_whether_secrets_can_be_had() {
    let server = Server::start();
    let uid = rustix::process::getuid().as_raw().to_string();
    let said = json_of(&server.good(&["status", "--json"]));
    assert_eq!(
        (&said["store"], &said["sealed"]),
        (&json!("ready"), &json!(false))
    );
    assert_eq!(said["caller"]["uid"], json!(uid));
    let shown = server.good(&["status"]);
    assert!(
        shown
            .lines()
            .any(|line| line.starts_with("store") && line.contains("  ready (version ")),
        "{shown}"
    );
    let ran = server.run(&["status", "--cluster"]);
    assert_eq!(ran.code, 69, "{ran:?}");
    assert!(
        ran.err.contains("is alone") && ran.err.contains("[state.etcd]"),
        "{ran:?}"
    );
    assert_eq!(server.good(&["status", "--probe", "live"]), "live\n");
    assert_eq!(server.good(&["status", "--probe", "ready"]), "ready\n");
    server.bao().seal();
    // It notices within seconds.
    let start = Instant::now();
    let mut ran = server.run(&["status"]);
    while ran.code == 0 && start.elapsed() < PATIENCE {
        ran = server.run(&["status"]);
    }
    assert_eq!(ran.code, 69, "{ran:?}");
    assert!(
        ran.err
            .contains("its store is sealed\nhint: `vaultgram doctor`"),
        "{ran:?}"
    );
    assert_eq!(server.good(&["status", "--probe", "live"]), "live\n");
    let ran = server.run(&["status", "--probe", "ready"]);
    assert_eq!(ran.code, 69, "{ran:?}");
    assert!(
        ran.err.starts_with("error: not ready vault: sealed"),
        "{ran:?}"
    );
}

#[test]
fn an_error_can_be_json_too() {
    let server = Server::shared();
    let ran = server.run(&["get", "private/key", "--json"]);
    assert_eq!((ran.code, ran.out.as_str()), (77, ""), "{ran:?}");
    let said = json_of(&ran.err);
    assert_eq!(said["error"]["exit"], 77);
    assert_eq!(said["error"]["what"], "permission denied");
    assert!(
        said["error"]["hint"]
            .as_str()
            .unwrap()
            .contains("ask an operator"),
        "{said}"
    );
}

#[test]
fn the_socket_is_found_as_clients_of_vault_find_theirs() {
    let server = Server::shared();
    let address = server.address();
    for name in ["BAO_ADDR", "VAULT_ADDR"] {
        let mut command = server.command(&["status"]);
        command.env_remove("VAULTGRAM_SOCKET").env(name, &address);
        assert!(command.output().unwrap().status.success(), "{name}");
    }
    let mut command = server.command(&["status"]);
    command.env("BAO_ADDR", "unix:///nowhere");
    assert!(
        command.output().unwrap().status.success(),
        "VAULTGRAM_SOCKET counts for more"
    );
}

#[test]
fn a_person_is_asked_before_something_goes() {
    let server = Server::shared();
    server.good(&["put", "ask/a", "x=1"]);
    let ran = server.at_a_terminal("put ask/a x=2", "n\n");
    assert_eq!(ran.code, 130, "{ran:?}");
    let question = "Replace all fields of secret/ask/a, which is at version 1? [y/N]";
    assert!(
        ran.out.contains(question) && ran.out.contains("nothing is changed"),
        "{ran:?}"
    );
    assert_eq!(server.at_a_terminal("put ask/a x=2", "y\n").code, 0);
    assert_eq!(server.good(&["get", "ask/a#x"]), "2");
    let new = server.at_a_terminal("put ask/new x=1", "");
    assert!(new.code == 0 && !new.out.contains("[y/N]"), "{new:?}");

    let ran = server.at_a_terminal("destroy ask/a@1", "\n");
    assert!(
        ran.code == 130 && ran.out.contains("This cannot be undone."),
        "{ran:?}"
    );
    assert_eq!(server.at_a_terminal("rotate ask/a#x", "no\n").code, 130);
    assert_eq!(server.at_a_terminal("delete ask/a", "y\n").code, 0);
    let ran = server.run(&["get", "ask/a"]);
    assert_ends(&ran, 66, "version 2 of the secret is deleted");
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let server = Server::shared();
    server.good(&["put", "color/a/b", "x=1"]);
    let list = ["list", "color"];
    assert_eq!(server.good(&list), "a/\n");
    let shown = server.good(&["list", "color", "--color", "always"]);
    assert_eq!(shown, "\u{1b}[1ma/\u{1b}[0m\n");
    let ran = server.at_a_terminal("list color", "");
    assert!(ran.out.contains("\u{1b}[1ma/"), "{ran:?}");
    let ran = server.at_a_terminal("list color --color never", "");
    assert!(
        ran.out.contains("a/") && !ran.out.contains('\u{1b}'),
        "{ran:?}"
    );
    let ran = server.at_a_terminal("get color/nothing", "");
    assert!(ran.out.contains("\u{1b}[1m\u{1b}[31merror:"), "{ran:?}");
    let err = server.run(&["get", "color/nothing"]).err;
    assert!(err.starts_with("error: "), "{err:?}");
}
