//! Clients of Vault that know nothing of vaultgram: the real `bao`, hvac and curl.

use crate::support::{PASSWORD, ordinary, own_uid, run, text, tool};

#[tokio::test(flavor = "multi_thread")]
async fn bao_prints_a_secret() {
    let server = ordinary();
    let shown = server.bao(&["kv", "get", "secret/django/database"]).await;
    let stdout = text(&shown.stdout);
    assert!(shown.status.success(), "{shown:?}");
    for line in [
        "secret/data/django/database",
        "created_time       2026-01-02T03:04:05.123456789Z",
        "version            2",
        "nested      map[a:[1 map[b:<nil>]]]",
        &format!("password    {PASSWORD}"),
    ] {
        assert!(stdout.contains(line), "{line} in {stdout}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bao_reads_a_field_a_version_and_json() {
    let server = ordinary();
    for (arguments, expected) in [
        (vec!["-field=password", "secret/django/database"], PASSWORD),
        (
            vec!["-field=number", "secret/django/database"],
            "12345678901234567890.5",
        ),
        (
            vec!["-version=1", "-field=password", "secret/django/database"],
            "old",
        ),
        (
            vec!["-mount=secret", "-field=user", "django/database"],
            "django",
        ),
    ] {
        let shown = server.bao(&[&["kv", "get"], &arguments[..]].concat()).await;
        assert_eq!(text(&shown.stdout), expected, "{shown:?}");
    }
    let arguments = ["kv", "get", "-format=json", "secret/django/database"];
    let shown: serde_json::Value =
        serde_json::from_slice(&server.bao(&arguments).await.stdout).unwrap();
    assert_eq!(shown["data"]["data"]["password"], PASSWORD);
    assert_eq!(
        shown["data"]["data"]["nested"]["a"][1]["b"],
        serde_json::Value::Null
    );
    assert_eq!(shown["data"]["metadata"]["version"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn bao_understands_every_refusal() {
    let server = ordinary();
    for (path, expected) in [
        ("secret/nothing", "No value found at secret/data/nothing"),
        ("secret/private/key", "permission denied"),
        ("secret/forbidden", "its Vault policy must allow it"),
        ("elsewhere/key", "preflight capability check returned 403"),
        ("secret/a b", "400"),
    ] {
        let shown = server.bao(&["kv", "get", path]).await;
        assert_eq!(shown.status.code(), Some(2), "{path}: {shown:?}");
        assert!(text(&shown.stderr).contains(expected), "{path}: {shown:?}");
        assert_eq!(text(&shown.stdout), "", "{path}");
    }
    let shown = server.bao(&["kv", "put", "secret/a", "b=c"]).await;
    assert_eq!(shown.status.code(), Some(2));
    assert!(
        text(&shown.stderr).contains("permission denied"),
        "{shown:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bao_shows_the_metadata_of_what_is_gone() {
    let server = ordinary();
    let shown = server.bao(&["kv", "get", "secret/deleted"]).await;
    let stdout = text(&shown.stdout);
    assert!(
        stdout.contains("deletion_time      2026-02-03T04:05:06.7Z"),
        "{shown:?}"
    );
    assert!(
        stdout.contains("created_time       2026-01-02T03:04:05.123456789Z"),
        "{shown:?}"
    );
    assert!(stdout.contains("version            3"), "{shown:?}");
    let shown = server.bao(&["kv", "get", "secret/destroyed"]).await;
    assert!(
        text(&shown.stdout).contains("destroyed          true"),
        "{shown:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bao_looks_up_who_it_is() {
    let server = ordinary();
    let shown = run(server
        .client(tool("bin/bao"))
        .env("BAO_TOKEN", "any")
        .args(["token", "lookup", "-format=json"]))
    .await;
    let shown: serde_json::Value =
        serde_json::from_slice(&shown.stdout).unwrap_or_else(|_| panic!("{shown:?}"));
    assert_eq!(shown["data"]["display_name"], format!("uid:{}", own_uid()));
    let executable = std::fs::canonicalize(tool("bin/bao")).unwrap();
    assert_eq!(
        shown["data"]["meta"]["executable"],
        executable.to_str().unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bao_is_not_given_a_plain_answer_to_a_wrap_request() {
    let server = ordinary();
    let arguments = ["kv", "get", "-wrap-ttl=60s", "secret/django/database"];
    let shown = server.bao(&arguments).await;
    assert_eq!(shown.status.code(), Some(2));
    // The policy lets it read with delivery "socket", not "wrapped".
    assert!(
        text(&shown.stderr).contains("permission denied"),
        "{shown:?}"
    );
    assert_eq!(server.decisions(), 1);
    let arguments = ["kv", "get", "-namespace=team", "secret/django/database"];
    let shown = server.bao(&arguments).await;
    assert_eq!(shown.status.code(), Some(2));
    assert!(text(&shown.stderr).contains("one namespace"), "{shown:?}");
    assert_eq!(server.decisions(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn bao_may_name_the_namespace_that_is_served() {
    let server = ordinary();
    let read = async |namespace: &str| {
        let namespace = format!("-namespace={namespace}");
        let arguments = [
            "kv",
            "get",
            "-field=user",
            &namespace,
            "secret/django/database",
        ];
        server.bao(&arguments).await.status.code()
    };
    // As OpenBao calls the outermost.
    assert_eq!(read("root").await, Some(0));
    assert_eq!(read("team/x").await, Some(2));
    server.store.namespace.set("team/x".to_owned()).unwrap();
    assert_eq!(read("team/x").await, Some(0));
    assert_eq!(read("root").await, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn hvac_reads_and_understands() {
    let server = ordinary();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/socket/hvac_client.py");
    let shown = run(server
        .client(tool("venv/bin/python"))
        .arg(script)
        .arg(&server.path))
    .await;
    let got: serde_json::Value =
        serde_json::from_slice(&shown.stdout).unwrap_or_else(|_| panic!("{shown:?}"));
    assert_eq!(got["data"]["data"]["password"], PASSWORD);
    assert_eq!(got["data"]["metadata"]["version"], 2);
    assert_eq!(got["old"]["password"], "old");
    assert_eq!(got["missing"], "InvalidPath");
    assert_eq!(got["denied"], "Forbidden");
    assert_eq!(got["deleted"]["metadata"]["version"], 3);
    assert_eq!(got["write"], "Forbidden");
    assert_eq!(got["authenticated"], true);
    assert_eq!(got["self"], format!("uid:{}", own_uid()));
    assert_eq!(got["sealed"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_gets_the_body_as_it_is() {
    let server = ordinary();
    let shown = run(server
        .client("curl")
        .args(["--silent", "--show-error", "--fail", "--unix-socket"])
        .arg(&server.path)
        .arg("http://localhost/v1/secret/data/django/database?field=nested"))
    .await;
    let stdout = text(&shown.stdout);
    assert!(
        stdout.contains(
            r#""data":{"data":{"nested":{"a":[1,{"b":null}]}},"metadata":{"created_time""#
        ),
        "{shown:?}"
    );
}
