//! `vaultgram get`: what it prints, where, and how it ends.

use std::path::Path;
use vaultgram::domain::Subject;

use clap::Parser;
use vaultgram::cli::exit::{Exit, Failure};
use vaultgram::cli::get::{self, GetArgs};

use crate::support::{PASSWORD, PASSWORD_JSON, ordinary, serve};

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    get: GetArgs,
}

async fn get(socket: &Path, arguments: &[&str], terminal: bool) -> Result<String, Failure> {
    let socket = ["get", "--socket", socket.to_str().unwrap()];
    let arguments = Arguments::try_parse_from(socket.iter().chain(arguments)).unwrap();
    let mut out = vec![];
    let result = get::run(&arguments.get, &mut out, terminal).await;
    let out = String::from_utf8(out).unwrap();
    if result.is_err() {
        assert_eq!(out, "", "nothing on standard output beside an error");
    }
    result.map(|()| out)
}

#[tokio::test(flavor = "multi_thread")]
async fn prints_one_value_as_it_is() {
    let server = ordinary();
    let get = async |address, terminal| get(&server.path, &[address], terminal).await.unwrap();
    assert_eq!(get("django/database#password", false).await, PASSWORD);
    assert_eq!(
        get("django/database#password", true).await,
        format!("{PASSWORD}\n")
    );
    assert_eq!(
        get("/secret/django/database#password@1", false).await,
        "old"
    );
    assert_eq!(
        get("secret/django/database#nested", false).await,
        r#"{"a":[1,{"b":null}]}"#
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn asks_only_for_the_field_it_prints() {
    let server = ordinary();
    get(&server.path, &["django/database#user"], false)
        .await
        .unwrap();
    let entries = server.audit.entries.lock().unwrap();
    let Subject::Secret { target, .. } = &entries[0].subject else {
        panic!("{:?}", entries[0]);
    };
    assert_eq!(target.field.as_deref(), Some("user"));
}

#[tokio::test(flavor = "multi_thread")]
async fn prints_all_fields_as_a_table_or_as_json() {
    let server = ordinary();
    let shown = get(&server.path, &["django/database"], true).await.unwrap();
    assert_eq!(
        shown,
        format!(
            "nested    {{\"a\":[1,{{\"b\":null}}]}}\nnumber    12345678901234567890.5\n\
             password  {PASSWORD}\nuser      django\n"
        )
    );
    let shown = get(&server.path, &["--json", "django/database"], true)
        .await
        .unwrap();
    assert_eq!(
        shown,
        format!(
            "{{\"path\":\"secret/django/database\",\"version\":2,\
             \"created_time\":\"2026-01-02T03:04:05.123456789Z\",\
             \"data\":{{\"nested\":{{\"a\":[1,{{\"b\":null}}]}},\"number\":12345678901234567890.5,\
             \"password\":{PASSWORD_JSON},\"user\":\"django\"}}}}\n"
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_have_their_exit_codes_and_say_what_to_do() {
    let server = ordinary();
    for (address, exit, said) in [
        ("nothing", Exit::NotFound, "no secret at this path"),
        ("django/database@9", Exit::NotFound, "no such version"),
        (
            "django/database#x",
            Exit::NotFound,
            "it has: nested, number",
        ),
        (
            "deleted",
            Exit::NotFound,
            "version 3 of the secret is deleted",
        ),
        (
            "destroyed",
            Exit::NotFound,
            "version 3 of the secret is destroyed",
        ),
        (
            "private/key",
            Exit::Denied,
            "error: permission denied\nhint: ask",
        ),
        ("forbidden", Exit::Denied, "its Vault policy"),
        ("sealed", Exit::Unavailable, "Vault is sealed"),
        ("unavailable", Exit::Unavailable, "cannot be reached"),
        ("a/../b", Exit::Usage, "relative paths"),
        ("a b", Exit::Usage, ""),
        ("a?version=1", Exit::Usage, ""),
        ("secret", Exit::Usage, "is a mount"),
    ] {
        let failure = get(&server.path, &[address], false).await.unwrap_err();
        assert_eq!(failure.exit, exit, "{address}: {failure}");
        assert!(failure.to_string().contains(said), "{address}: {failure}");
        assert!(failure.to_string().lines().count() <= 2, "{failure}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn says_when_nobody_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vaultgram.sock");
    let failure = get(&path, &["a"], false).await.unwrap_err();
    assert_eq!(failure.exit, Exit::Unavailable);
    assert!(
        failure.to_string().contains("hint: start vaultgram"),
        "{failure}"
    );

    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let failure = get(&path, &["a"], false).await.unwrap_err();
    assert_eq!(failure.exit, Exit::Unavailable);
    assert!(failure.to_string().contains("start it again"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_answer_is_worth_another_try() {
    let server = serve(&crate::support::own_policy(), |settings| {
        settings.timeouts.answer = std::time::Duration::from_millis(200);
    });
    let failure = get(&server.path, &["slow"], false).await.unwrap_err();
    assert_eq!(failure.exit, Exit::TryAgain, "{failure}");
}
