//! Collecting what was asked for in chat: once, in time, by the right user, and while policy says
//! yes.

use clap::Parser;
use serde_json::json;
use vaultgram::broker::ports::{Clock, Coordination, SystemClock};
use vaultgram::cli::collect::{self, CollectArgs};
use vaultgram::cli::exit::{Exit, Failure};
use vaultgram::domain::{AuditEvent, Caller};

use crate::support::{PASSWORD, Server, own_uid, serve};

const POLICY: &str = r#"permit (principal == TelegramUser::"1001", action == Action::"read",
    resource in Path::"secret") unless { resource in Path::"secret/private" };"#;

/// Puts an offer, as the chat's side does.
async fn offer(server: &Server, code: &str, target: &str, uid: u32, seconds: i64) {
    let expires = SystemClock.now().unix_timestamp() + seconds;
    let offer = json!({"chat": 1001, "message": 7, "user": 1001, "group": false,
        "target": target, "uid": uid, "expires": expires});
    let (key, value) = (format!("offers/{code}"), offer.to_string());
    let put = server.coordination.put(&key, value.as_bytes());
    put.await.unwrap();
}

async fn status(server: &Server, code: &str) -> (u16, String) {
    let reply = server.post(&format!("/v1/vaultgram/collect/{code}")).await;
    (reply.status, reply.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works_once_in_the_envelope_of_a_read() {
    let server = serve(POLICY, |_| {});
    offer(&server, "R7K2XY", "secret/django/database@1", own_uid(), 60).await;
    let target = "/v1/vaultgram/collect/r7k2xy";
    let wrong = server.get(target).await;
    assert_eq!(wrong.status, 405);
    assert!(wrong.head.contains("allow: post"), "{}", wrong.head);
    let reply = server.post(target).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let answer = reply.json();
    assert_eq!(answer["data"]["data"], json!({"password": "old"}));
    assert_eq!(answer["data"]["metadata"]["version"], 1);
    assert_eq!(server.post(target).await.status, 404);

    let entries = server.audit.entries.lock().unwrap();
    assert_eq!(entries.len(), 2);
    assert!(
        entries
            .iter()
            .all(|entry| matches!(&entry.caller, Caller::Telegram(user) if user.id == 1001))
    );
    let AuditEvent::Collected { uid, .. } = entries[1].event else {
        panic!("{:?}", entries[1]);
    };
    assert_eq!(uid, own_uid());
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_the_answer_is_the_same() {
    let server = serve(POLICY, |_| {});
    offer(&server, "USEDAA", "secret/django/database", own_uid(), 60).await;
    assert_eq!(status(&server, "USEDAA").await.0, 200);
    offer(
        &server,
        "ANTHER",
        "secret/django/database",
        own_uid() + 1,
        60,
    )
    .await;
    offer(&server, "EXPRED", "secret/django/database", own_uid(), -1).await;
    offer(&server, "UNCNFG", "\u{7f}", own_uid(), 60).await;
    let unknown = status(&server, "UNKNWN").await;
    assert_eq!(unknown.0, 404);
    assert!(
        unknown.1.contains("nothing is waiting for you"),
        "{unknown:?}"
    );
    for code in [
        "USEDAA",
        "ANTHER",
        "EXPRED",
        "UNCNFG",
        "a/b",
        "-",
        &"A".repeat(4000),
    ] {
        assert_eq!(status(&server, code).await, unknown, "{code}");
    }
    assert!(
        server
            .coordination
            .0
            .lock()
            .unwrap()
            .contains_key("offers/ANTHER"),
        "who may not have it does not use it up"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_decides_again() {
    let server = serve(POLICY, |_| {});
    offer(&server, "REFSED", "secret/private/key", own_uid(), 60).await;
    let denied = status(&server, "REFSED").await;
    assert!(
        denied.0 == 403 && denied.1.contains("permission denied"),
        "{denied:?}"
    );
}

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    collect: CollectArgs,
}

async fn collected(server: &Server, arguments: &[&str]) -> Result<String, Failure> {
    let socket = ["collect", "--socket", server.path.to_str().unwrap()];
    let arguments = Arguments::try_parse_from(socket.iter().chain(arguments)).unwrap();
    let mut out = vec![];
    let result = collect::run(&arguments.collect, &mut out, false).await;
    result.map(|()| String::from_utf8(out).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_prints_as_get_does() {
    let server = serve(POLICY, |_| {});
    let database = "secret/django/database";
    offer(
        &server,
        "AAAAAA",
        &format!("{database}#password"),
        own_uid(),
        60,
    )
    .await;
    assert_eq!(collected(&server, &["AAAAAA"]).await.unwrap(), PASSWORD);
    offer(&server, "BBBBBB", database, own_uid(), 60).await;
    let table = collected(&server, &["bbbbbb"]).await.unwrap();
    assert!(table.contains("\nuser      django\n"), "{table}");
    offer(&server, "CCCCCC", &format!("{database}@1"), own_uid(), 60).await;
    let printed = collected(&server, &["CCCCCC", "--json"]).await.unwrap();
    assert!(
        printed.ends_with("\"data\":{\"password\":\"old\"}}\n"),
        "{printed}"
    );
    let failure = collected(&server, &["CCCCCC"]).await.unwrap_err();
    assert_eq!(failure.exit, Exit::NotFound);
    assert!(failure.what.contains("nothing is waiting"), "{failure}");
    offer(&server, "DDDDDD", "secret/deleted", own_uid(), 60).await;
    let failure = collected(&server, &["DDDDDD"]).await.unwrap_err();
    assert_eq!(
        failure.what,
        "version 3 of the secret is deleted; /undelete PATH@3 brings it back"
    );
    for wrong in ["", "a b", "../x", "é"] {
        assert!(Arguments::try_parse_from(["collect", wrong]).is_err());
    }
}
