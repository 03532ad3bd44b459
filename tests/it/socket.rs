//! What local programs get on the Unix socket.

use std::process::Command;

use crate::openbao::bao;
use crate::serving;
use crate::stage::PASSWORD;

#[tokio::test(flavor = "multi_thread")]
async fn the_real_bao_and_our_own_client_read_the_same() {
    let stage = serving().await;
    let address = format!("unix://{}", stage.path("vaultgram.sock").display());
    let bao = |arguments: &[&str]| {
        let ran = Command::new(bao())
            .env_clear()
            .env("HOME", stage.directory.path())
            .env("BAO_ADDR", &address)
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
        (ran.status.code().unwrap(), said)
    };
    let field = ["kv", "get", "-field=password", "secret/django/database"];
    assert_eq!(bao(&field), (0, PASSWORD.to_owned()));
    let (code, said) = bao(&["kv", "get", "secret/payroll/key"]);
    assert!(code == 2 && said.contains("permission denied"), "{said}");
    let (code, said) = bao(&["kv", "get", "secret/django/nothing"]);
    assert!(code == 2 && said.contains("No value found"), "{said}");

    for (arguments, code, expected) in [
        (&["get", "django/database#password"][..], 0, PASSWORD),
        (
            &["get", "secret/django/database@1", "--json"],
            0,
            "\"username\":\"django\"",
        ),
        (&["get", "payroll/key"], 77, "denied"),
        (&["get", "django/nothing"], 66, "no secret"),
        (
            &["get", "django/database#port"],
            66,
            "it has: password, username",
        ),
        (&["get", "../x"], 64, "relative paths"),
    ] {
        let ran = stage.vaultgram(arguments).output().unwrap();
        let said = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
        assert_eq!(ran.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}
