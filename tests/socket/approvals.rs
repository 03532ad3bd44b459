//! Requests for approval on the socket, with no Telegram at all: users of the host ask, and users of
//! the host decide.

mod reasons;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use vaultgram::domain::People;
use vaultgram::domain::group::Groups;

use crate::support::{CODE, Server, own_uid, run, serve_to, skipped, text};

/// Who asks, who may agree, and who is neither.
const ASKER: u32 = 65531;
const LEAD: u32 = 65532;
const OTHER_LEAD: u32 = 65533;
const STRANGER: u32 = 65534;

const POLICY: &str = r#"
@id("django") @approvals("1") @approvers("leads") @reason("10") @grant("30m") @break_glass("15m")
permit (principal in Group::"askers", action == Action::"read", resource in Path::"secret/django");
@id("quick") @approvals("2") @approvers("leads")
permit (principal in Group::"askers", action == Action::"read", resource == Path::"secret/quick");
@id("coded") @approvals("1") @approvers("leads") @step_up("totp")
permit (principal in Group::"askers", action == Action::"read", resource == Path::"secret/coded");
@id("destroyed") @approvals("1") @approvers("leads") @reason("5")
permit (principal in Group::"askers", action == Action::"destroy", resource == Path::"secret/quick");
@id("free")
permit (principal in Group::"askers", action == Action::"read", resource == Path::"secret/free");
@id("why") @reason("10") @grant("30m") permit (principal in Group::"askers", action == Action::"read", resource in Path::"team/kv");
@id("nothing") @approvals("1") @approvers("leads")
permit (principal in Group::"askers", action == Action::"read", resource == Path::"secret/nothing");
"#;

/// A server for every user of the host; `None`, where only one of them can be played.
fn start() -> Option<Server> {
    if own_uid() != 0 {
        skipped("only root can become other users");
        return None;
    }
    let members = |uids: &[u32]| {
        let members = uids.iter().map(|uid| format!("uid:{uid}").parse());
        members.collect::<Result<Vec<_>, _>>().unwrap()
    };
    let groups = BTreeMap::from([
        ("askers".to_owned(), members(&[ASKER, LEAD])),
        ("leads".to_owned(), members(&[LEAD, OTHER_LEAD])),
    ]);
    let groups = Groups::new(&groups, People::default()).unwrap();
    let server = serve_to(POLICY, groups, |settings| settings.mode = 0o666);
    // The temporary folder is root's alone.
    let folder = server.path.parent().unwrap();
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
    Some(server)
}

/// What `uid` is answered.
async fn ask(
    server: &Server,
    uid: u32,
    method: &str,
    target: &str,
    body: Option<&str>,
) -> (u16, Value) {
    let mut command = server.client("curl");
    command.args(["--silent", "--write-out", "\n%{http_code}", "--request"]);
    command.arg(method).arg("--unix-socket").arg(&server.path);
    command.args(body.iter().flat_map(|body| ["--data", *body]));
    command
        .arg(format!("http://localhost/v1/{target}"))
        .uid(uid);
    let said = text(&run(&mut command).await.stdout);
    let (body, status) = said.rsplit_once('\n').unwrap();
    let json = serde_json::from_str(body).unwrap_or(Value::Null);
    (status.parse().unwrap(), json)
}

async fn read(server: &Server, uid: u32, path: &str) -> (u16, Value) {
    ask(server, uid, "GET", &format!("secret/data/{path}"), None).await
}

/// What [`ASKER`] is answered who asks for approval of `wanted`.
async fn request(server: &Server, wanted: &Value) -> (u16, Value) {
    let body = wanted.to_string();
    ask(server, ASKER, "POST", "vaultgram/requests", Some(&body)).await
}

/// Opens a request of [`ASKER`] to read `path`: its id.
async fn open(server: &Server, path: &str) -> String {
    let wanted = json!({"path": path, "reason": "fix the login"});
    let (status, said) = request(server, &wanted).await;
    assert_eq!(status, 200, "{said}");
    said["data"]["id"].as_str().unwrap().to_owned()
}

/// Has `uid` do `verb` to the request `id`.
async fn act(server: &Server, uid: u32, id: &str, verb: &str, body: &str) -> (u16, Value) {
    let target = format!("vaultgram/requests/{id}/{verb}");
    ask(server, uid, "POST", &target, Some(body)).await
}

#[track_caller]
fn refused(answer: &(u16, Value), status: u16, said: &str) {
    let error = answer.1["errors"][0].as_str().unwrap_or_default();
    assert_eq!(answer.0, status, "{answer:?}");
    assert!(error.contains(said), "{said:?}: {error}");
}

/// The ids of the requests that `uid` sees.
async fn listed(server: &Server, uid: u32, filter: &str) -> Vec<String> {
    let target = format!("vaultgram/requests?filter={filter}");
    let (status, said) = ask(server, uid, "GET", &target, None).await;
    assert_eq!(status, 200, "{said}");
    let all = said["data"]["requests"].as_array().unwrap();
    assert_eq!(said["data"]["total"], all.len());
    all.iter()
        .map(|entry| entry["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_opened_seen_and_granted() {
    let Some(server) = start() else { return };
    let path = "django/database";
    let unasked = read(&server, ASKER, path).await;
    refused(
        &unasked,
        403,
        "a reason of 10 characters or more; request it: vaultgram request",
    );
    assert_eq!(
        unasked.1["data"],
        json!({"because": "reason_needed", "characters": 10, "path": "secret/django/database",
            "action": "read", "delivery": "socket"})
    );
    let short = request(&server, &json!({"path": path, "reason": "because"})).await;
    refused(&short, 400, "say why, in 10 characters or more");

    let id = open(&server, path).await;
    let waits = read(&server, ASKER, path).await;
    refused(
        &waits,
        403,
        &format!("needs approval by 1 of leads: it is request {id}"),
    );
    let entry = &waits.1["data"]["request"];
    assert_eq!(waits.1["data"]["because"], "pending");
    assert_eq!(
        (
            &entry["id"],
            &entry["state"],
            &entry["requester"],
            &entry["reason"]
        ),
        (
            &json!(id),
            &json!("pending"),
            &json!("uid:65531"),
            &json!("fix the login")
        )
    );
    let again = json!({"path": path, "reason": "fix the login"}).to_string();
    let again = ask(&server, ASKER, "PUT", "vaultgram/requests", Some(&again)).await;
    refused(&again, 400, "this is requested already");
    assert_eq!(again.1["data"], json!({"because": "asked", "id": id}));

    let target = format!("vaultgram/requests/{}", id.to_lowercase());
    for (uid, status) in [(ASKER, 200), (LEAD, 200), (0, 200), (STRANGER, 404)] {
        assert_eq!(
            ask(&server, uid, "GET", &target, None).await.0,
            status,
            "{uid}"
        );
    }
    assert_eq!(listed(&server, ASKER, "mine").await, [id.as_str()]);
    assert_eq!(listed(&server, LEAD, "pending").await, [id.as_str()]);
    assert!(listed(&server, LEAD, "mine").await.is_empty());
    assert!(listed(&server, STRANGER, "all").await.is_empty());

    refused(
        &act(&server, ASKER, &id, "approve", "").await,
        403,
        "your own",
    );
    refused(
        &act(&server, STRANGER, &id, "approve", "").await,
        404,
        "no such request",
    );
    refused(
        &act(&server, 0, &id, "approve", "").await,
        403,
        "none of those who may decide",
    );
    let (status, said) = act(&server, LEAD, &id, "approve", "{}").await;
    assert_eq!(
        (status, &said["data"]["state"]),
        (200, &json!("granted")),
        "{said}"
    );
    assert_eq!(said["data"]["votes"][0]["person"], "uid:65532");
    let late = act(&server, OTHER_LEAD, &id, "approve", "").await;
    refused(&late, 403, "granted already");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_granted_is_used_extended_and_taken_back() {
    let Some(server) = start() else { return };
    let path = "django/database";
    let id = open(&server, path).await;
    assert_eq!(act(&server, LEAD, &id, "approve", "").await.0, 200);
    let (status, said) = read(&server, ASKER, path).await;
    assert_eq!(
        (status, &said["data"]["data"]["user"]),
        (200, &json!("django"))
    );
    // It is the asker's alone.
    assert_eq!(read(&server, LEAD, path).await.0, 403);
    let again = request(&server, &json!({"path": path, "reason": "fix the login"})).await;
    assert_eq!(again.1["data"], json!({"because": "granted", "id": id}));

    let more = act(
        &server,
        ASKER,
        &id,
        "extend",
        r#"{"reason":"it still runs"}"#,
    )
    .await;
    assert_eq!(
        (more.0, &more.1["data"]["extends"]),
        (200, &json!(id)),
        "{more:?}"
    );
    let more = more.1["data"]["id"].as_str().unwrap();
    assert_eq!(
        act(&server, ASKER, more, "cancel", "").await.1["data"]["state"],
        "cancelled"
    );
    let revoked = act(&server, LEAD, &id, "revoke", "").await;
    assert_eq!(revoked.1["data"]["by"], "uid:65532");
    assert_eq!(read(&server, ASKER, path).await.0, 403);
    let again = act(&server, LEAD, &id, "revoke", "").await;
    refused(&again, 403, "uid:65532 revoked it");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_reason_a_plain_read_opens_the_request() {
    let Some(server) = start() else { return };
    let waits = read(&server, ASKER, "quick").await;
    refused(
        &waits,
        403,
        "which waits for that since just now; ask again once it is granted",
    );
    let id = waits.1["data"]["request"]["id"].as_str().unwrap();
    refused(
        &read(&server, ASKER, "quick").await,
        403,
        "which still waits for that",
    );
    let (status, said) = act(&server, LEAD, id, "approve", "").await;
    assert_eq!((status, &said["data"]["state"]), (200, &json!("pending")));
    assert_eq!(said["data"]["asks"][0]["have"], 1);
    refused(
        &act(&server, LEAD, id, "approve", "").await,
        403,
        "you approved this request already",
    );
    let denied = act(&server, OTHER_LEAD, id, "deny", r#"{"reason":"not today"}"#).await;
    assert_eq!(
        (denied.0, &denied.1["data"]["why"]),
        (200, &json!("not today"))
    );
    refused(
        &act(&server, LEAD, id, "approve", "").await,
        403,
        "uid:65533 denied it (not today)",
    );

    // Several versions are one request, and the advice has the action in it.
    let body = Some(r#"{"versions":[1,2]}"#);
    let destroy = ask(&server, ASKER, "POST", "secret/destroy/quick", body).await;
    refused(
        &destroy,
        403,
        "vaultgram request secret/quick --action destroy --reason TEXT",
    );

    // The real client of others says what to do.
    let mut bao = server.client(crate::support::tool("bin/bao"));
    let ran = run(bao.args(["kv", "get", "secret/quick"]).uid(ASKER)).await;
    assert_eq!(ran.status.code(), Some(2));
    let said = text(&ran.stderr);
    assert!(
        said.contains("this needs approval by 2 of leads: it is request"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_glass_is_broken_and_looked_at() {
    let Some(server) = start() else { return };
    let broken = |path: &str, reason: &str| json!({"path": path, "reason": reason}).to_string();
    let body = broken("django/database", "production is down");
    let (status, said) = ask(&server, ASKER, "POST", "vaultgram/break-glass", Some(&body)).await;
    assert_eq!(
        (status, &said["data"]["state"]),
        (200, &json!("granted")),
        "{said}"
    );
    assert_eq!(said["data"]["broken_glass"], true);
    assert_eq!(read(&server, ASKER, "django/database").await.0, 200);
    let id = said["data"]["id"].as_str().unwrap();
    assert_eq!(listed(&server, LEAD, "pending").await, [id]);
    let note = r#"{"note":"it was down indeed"}"#;
    refused(
        &act(&server, ASKER, id, "reviewed", note).await,
        403,
        "your own",
    );
    refused(
        &act(&server, LEAD, id, "reviewed", "{}").await,
        400,
        "say why, in 10",
    );
    let (status, said) = act(&server, LEAD, id, "reviewed", note).await;
    assert_eq!(
        (status, &said["data"]["review"]["by"]),
        (200, &json!("uid:65532")),
        "{said}"
    );
    refused(
        &act(&server, LEAD, id, "reviewed", note).await,
        403,
        "reviewed this already",
    );

    let body = broken("quick", "production is down");
    let closed = ask(&server, ASKER, "POST", "vaultgram/break-glass", Some(&body)).await;
    refused(&closed, 403, "policy lets nobody break the glass");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vote_carries_a_code_that_nobody_repeats() {
    let Some(server) = start() else { return };
    let id = open(&server, "coded").await;
    let bare = act(&server, LEAD, &id, "approve", "").await;
    refused(&bare, 403, "needs a code of your authenticator");
    assert_eq!(bare.1["data"], json!({"because": "code_needed"}));
    for unfit in [
        format!(r#"{{"code":{CODE}}}"#),
        format!(r#"{{"totp":"{CODE}"}}"#),
        format!(r#"{{"code":"{CODE}","more":1}}"#),
        format!(r#"{{"code":"x{CODE}"}}"#),
    ] {
        let answer = act(&server, LEAD, &id, "approve", &unfit).await;
        refused(&answer, 400, "the digits of a code");
        assert!(!answer.1.to_string().contains(CODE), "{answer:?}");
    }
    let wrong = act(&server, LEAD, &id, "approve", r#"{"code":"135790"}"#).await;
    refused(&wrong, 403, "not the code your authenticator shows");
    let right = format!(r#"{{"code":"{CODE}"}}"#);
    let (status, said) = act(&server, LEAD, &id, "approve", &right).await;
    assert_eq!(
        (status, &said["data"]["state"]),
        (200, &json!("granted")),
        "{said}"
    );
    assert_eq!(said["data"]["votes"][0]["code"], true);
    assert!(!said.to_string().contains(CODE));
    let audit = format!("{:?}", server.audit.entries.lock().unwrap());
    assert!(audit.contains(&id) && !audit.contains(CODE));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_is_said() {
    let Some(server) = start() else { return };
    let requests = "vaultgram/requests";
    for (body, status, said) in [
        ("", 400, "say what is wanted"),
        ("[]", 400, "not what is expected"),
        (r#"{"reason":"fix the login"}"#, 400, "missing field `path`"),
        (r#"{"path":"quick","cas":1}"#, 400, "unknown field"),
        (r#"{"path":"a/../b"}"#, 400, "path: "),
        (
            r#"{"path":"quick","action":"eat"}"#,
            400,
            "action: one of read",
        ),
        (
            r#"{"path":"quick","delivery":"message"}"#,
            400,
            "delivery: socket or wrapped",
        ),
        (
            r#"{"path":"quick","action":"versions","delivery":"socket"}"#,
            400,
            "only what is read",
        ),
        (r#"{"path":"quick","action":"invoke"}"#, 400, ""),
        (
            r#"{"path":"quick","reason":"two\nlines"}"#,
            400,
            "on one line of at most 500",
        ),
        (r#"{"path":"free"}"#, 400, "this needs no approval"),
        (r#"{"path":"private"}"#, 403, "permission denied"),
        (
            r#"{"path":"quick","delivery":"wrapped","reason":"x"}"#,
            200,
            "",
        ),
    ] {
        let answer = ask(&server, ASKER, "POST", requests, Some(body)).await;
        refused(&answer, status, said);
    }
    let nothing = request(&server, &json!({"path": "nothing"})).await;
    assert_eq!(nothing, (404, json!({"errors": []})));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_method_path_or_query_is_said() {
    let Some(server) = start() else { return };
    for (method, target, body, status, said) in [
        (
            "DELETE",
            "requests",
            None,
            405,
            "vaultgram takes GET, POST, PUT here",
        ),
        ("GET", "break-glass", None, 405, "takes POST, PUT here"),
        (
            "GET",
            "requests?filter=none",
            None,
            400,
            "mine, pending or all",
        ),
        (
            "GET",
            "requests?limit=3",
            None,
            400,
            "unknown query parameter",
        ),
        ("GET", "requests", Some("{}"), 400, "send no request body"),
        ("GET", "requests/R7K2XQ", None, 404, "no such request"),
        (
            "GET",
            "requests/R7K2XQ/approve",
            None,
            405,
            "takes POST, PUT here",
        ),
        ("POST", "requests/R7K2XQ", Some("{}"), 405, "takes GET here"),
        ("POST", "requests/R7K2XQ/eat", Some("{}"), 404, "no handler"),
        (
            "POST",
            "requests/R7K2XQ/cancel",
            Some("{}"),
            404,
            "no such request",
        ),
        (
            "POST",
            "requests/R7K2XQ/deny",
            Some(r#"{"note":"x"}"#),
            400,
            "say reason",
        ),
        (
            "POST",
            "requests/R7K2XQ/reviewed",
            Some(r#"{"reason":"x"}"#),
            400,
            "say note",
        ),
        (
            "POST",
            "requests/R7K2XQ/revoke",
            Some(r#"{"reason":"x"}"#),
            400,
            "say nothing",
        ),
        (
            "POST",
            "requests/R7K2XQ/deny",
            Some(r#"{"code":"1"}"#),
            400,
            "unknown field",
        ),
    ] {
        let answer = ask(&server, ASKER, method, &format!("vaultgram/{target}"), body).await;
        refused(&answer, status, said);
    }
}
