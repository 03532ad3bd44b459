//! Every delivery once, from the question in the chat to the value in a person's hands.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use grammers_tl_types::enums::MessageEntity;
use vaultgram::age::NewIdentity;
use vaultgram::broker::ports::{Coordination, SystemClock};
use vaultgram::coordination::LocalStore;

use crate::openbao::bao;
use crate::setting;
use crate::stage::{ALICE, PASSWORD, Stage};

/// Permitted what Alice is.
const CAROL: i64 = 1003;
/// Carol's user on this host.
const CAROLS_UID: u32 = 65534;

const WRAPPED: &str = "/get_secret django/database wrapped";
const SEALED: &str = "/get_secret django/database sealed";
const SOCKET: &str = "/get_secret django/database socket";

fn said(output: &Output) -> String {
    let all = [output.stdout.clone(), output.stderr.clone()].concat();
    String::from_utf8(all).unwrap()
}

/// What of the last answer to Alice stands under a spoiler, or in a block.
fn part(stage: &Stage, spoiler: bool) -> String {
    let message = stage.chat(ALICE).into_iter().rfind(|m| !m.out).unwrap();
    let units: Vec<u16> = message.text.encode_utf16().collect();
    let place = message.entities.iter().find_map(|entity| {
        if let MessageEntity::Spoiler(it) = entity
            && spoiler
        {
            Some((it.offset, it.length))
        } else if let MessageEntity::Pre(it) = entity
            && !spoiler
        {
            Some((it.offset, it.length))
        } else {
            None
        }
    });
    let (offset, length) = place.unwrap_or_else(|| panic!("{message:?}"));
    let (offset, length) = (usize::try_from(offset), usize::try_from(length));
    let (offset, length) = (offset.unwrap(), length.unwrap());
    String::from_utf16(&units[offset..offset + length]).unwrap()
}

/// Runs the command of an answer as a person does, who then pastes the token.
fn unwrap(stage: &Stage, command: &str, token: &str) -> Output {
    let folder = bao().parent().unwrap().to_owned();
    let mut shell = Command::new("bash")
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", folder.display()))
        .env("HOME", stage.directory.path())
        .env("BAO_ADDR", stage.bao.address())
        // What somebody may have set for other work.
        .env("BAO_TOKEN", "another")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = shell.stdin.take().unwrap();
    writeln!(stdin, "{token}").unwrap();
    drop(stdin);
    shell.wait_with_output().unwrap()
}

fn audit(stage: &Stage) -> String {
    std::fs::read_to_string(stage.path("audit.jsonl")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn wrapped_is_unwrapped_once_with_the_command_of_the_answer() {
    let stage = crate::serving().await;
    let answer = stage.ask(ALICE, WRAPPED).await;
    assert!(!answer.contains(PASSWORD), "{answer}");
    let (token, command) = (part(&stage, true), part(&stage, false));
    assert!(!command.contains(&token));

    let body = serde_json::json!({ "token": token });
    let made = stage.bao.must("POST", "sys/wrapping/lookup", &body);
    assert_eq!(
        made["data"]["creation_path"], "secret/data/django/database",
        "Vault wrapped its own answer: the plaintext never left it"
    );
    let facts = stage.bao.must("POST", "auth/token/lookup", &body);
    let accessor = facts["data"]["accessor"].as_str().unwrap();
    let audit = audit(&stage);
    assert!(
        audit.contains(accessor) && !audit.contains(&token),
        "{audit}"
    );

    let first = unwrap(&stage, &command, &token);
    let shown = said(&first);
    assert!(
        first.status.success() && shown.contains(PASSWORD),
        "{shown}"
    );
    let second = unwrap(&stage, &command, &token);
    assert!(!second.status.success() && !said(&second).contains(PASSWORD));
    let field = stage
        .ask(ALICE, "/get_secret django/database#password wrapped")
        .await;
    assert!(field.contains("ask without #field"), "{field}");
}

/// A stage on which Alice has a key registered; its file is `identity.txt`.
async fn with_key() -> Stage {
    let mut stage = Stage::build(setting()).await;
    let key = NewIdentity::generate();
    std::fs::write(stage.path("identity.txt"), key.file.expose_secret()).unwrap();
    let closed = PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(stage.path("identity.txt"), closed).unwrap();
    let kept = LocalStore::open(stage.path("state.redb"), Arc::new(SystemClock)).unwrap();
    let name = format!("keys/{ALICE}/{}", key.public);
    kept.put(&name, &[0; 8]).await.unwrap();
    drop(kept);
    stage.start().await;
    stage
}

/// Runs `program` with `input` in the stage's folder.
fn piped(stage: &Stage, mut command: Command, input: &str) -> Output {
    let mut child = command
        .current_dir(stage.directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn sealed_is_opened_with_the_key_by_us_and_by_age() {
    let stage = with_key().await;
    let answer = stage.ask(ALICE, SEALED).await;
    assert!(!answer.contains(PASSWORD), "{answer}");
    let expected = serde_json::json!({"username": "django", "password": PASSWORD});
    let ours = piped(
        &stage,
        stage.vaultgram(&["open", "-i", "identity.txt", "--json"]),
        &answer,
    );
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&ours.stdout).unwrap(),
        expected
    );
    let mut age = Command::new("age");
    age.args(["-d", "-i", "identity.txt"]);
    let age = piped(&stage, age, &part(&stage, false));
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&age.stdout).unwrap(),
        expected
    );

    let field = stage
        .ask(ALICE, "/get_secret django/database#password sealed")
        .await;
    let field = piped(
        &stage,
        stage.vaultgram(&["open", "-i", "identity.txt"]),
        &field,
    );
    assert_eq!(said(&field), PASSWORD);

    let long = "x".repeat(20_000);
    stage
        .bao
        .put("django/long", &serde_json::json!({ "key": long }));
    let refused = stage.ask(ALICE, "/get_secret django/long").await;
    assert!(
        refused.contains("/get_secret secret/django/long sealed"),
        "{refused}"
    );
    stage.ask(ALICE, "/get_secret django/long sealed").await;
    let document = stage
        .chat(ALICE)
        .into_iter()
        .rev()
        .find_map(|message| message.document);
    let document = document.unwrap();
    std::fs::write(stage.path(&document.name), &document.bytes).unwrap();
    let open = ["open", "-i", "identity.txt", "long.age"];
    assert_eq!(said(&piped(&stage, stage.vaultgram(&open), "")), long);
    assert!(
        !audit(&stage).contains("AGE"),
        "a sealed answer is not kept"
    );

    let without = stage.ask(crate::stage::BOB, SEALED).await;
    assert!(without.contains("not permitted"), "{without}");
}

/// The code in an answer.
fn code(answer: &str) -> String {
    let (_, code) = answer
        .rsplit_once("vaultgram collect ")
        .unwrap_or_else(|| panic!("{answer}"));
    code.trim().to_owned()
}

/// Collects with curl as Carol's user: the status, and what it got.
fn as_carol(stage: &Stage, code: &str) -> (String, String) {
    let ran = Command::new("curl")
        .args([
            "--silent",
            "--request",
            "POST",
            "--write-out",
            "\n%{http_code}",
        ])
        .arg("--unix-socket")
        .arg(stage.path("vaultgram.sock"))
        .arg(format!("http://localhost/v1/vaultgram/collect/{code}"))
        .current_dir("/")
        .uid(CAROLS_UID)
        .output()
        .unwrap();
    let said = said(&ran);
    let (body, status) = said.rsplit_once('\n').unwrap();
    (status.to_owned(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_is_collected_once_and_by_the_right_user_only() {
    let own = rustix::process::getuid();
    let users = format!(
        "unix_users = {{ {ALICE} = {}, {CAROL} = {CAROLS_UID} }}",
        own.as_raw()
    );
    let mut setting = setting();
    setting.telegram = &users;
    setting.crowd = vec![CAROL];
    let mut stage = Stage::build(setting).await;
    let file = stage.path("vaultgram.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        config.replace("[socket]", "[socket]\nmode = \"0666\""),
    )
    .unwrap();
    let open = PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(stage.directory.path(), open).unwrap();
    stage.start().await;

    let answer = stage.ask(ALICE, SOCKET).await;
    assert!(!answer.contains(PASSWORD), "{answer}");
    let alices = code(&answer);
    let collect = |code: &str| {
        stage
            .vaultgram(&["collect", code, "--json"])
            .output()
            .unwrap()
    };
    let refused = if own.is_root() {
        let (status, body) = as_carol(&stage, &alices);
        assert_eq!(status, "404", "{body}");
        Some(body)
    } else {
        None // Only root can become somebody else.
    };
    let collected = collect(&alices);
    assert!(collected.status.success(), "{}", said(&collected));
    let printed: serde_json::Value = serde_json::from_slice(&collected.stdout).unwrap();
    assert_eq!(printed["data"]["password"], PASSWORD);
    let again = collect(&alices);
    assert_eq!(again.status.code(), Some(66), "{}", said(&again));
    assert!(said(&again).contains("nothing is waiting for you"));

    let carols = code(
        &stage
            .ask(CAROL, "/get_secret django/database#username socket")
            .await,
    );
    assert_eq!(collect(&carols).status.code(), Some(66), "another's");
    if let Some(refused) = refused {
        let (status, body) = as_carol(&stage, &carols);
        assert!(
            status == "200" && body.contains(r#""data":{"username":"django"}"#),
            "{body}"
        );
        assert_eq!(as_carol(&stage, &carols), ("404".to_owned(), refused));
    }
    let audit = audit(&stage);
    assert!(
        audit.contains("\"collected\"") && !audit.contains(PASSWORD),
        "{audit}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_can_permit_one_delivery_and_no_other() {
    let mut stage = Stage::build(setting()).await;
    let policy = "permit(principal in Group::\"developers\", action == Action::\"read\", \
                  resource in Path::\"secret/django\") when { context.delivery == \"wrapped\" };";
    std::fs::write(stage.path("policy.cedar"), policy).unwrap();
    stage.start().await;
    for question in ["/get_secret django/database", SEALED, SOCKET] {
        let answer = stage.ask(ALICE, question).await;
        assert!(answer.contains("not permitted"), "{question}: {answer}");
    }
    let answer = stage.ask(ALICE, WRAPPED).await;
    assert!(answer.contains("waits in Vault"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_held_a_secret_is_emptied_by_telegram_itself() {
    let mut setting = setting();
    setting.telegram = "history_ttl = \"1w\"";
    let mut stage = Stage::build(setting).await;
    stage.start().await;
    stage.ask(ALICE, "/get_secret django/database").await;
    let set = || stage.log().contains("telegram.history_ttl");
    stage.wait("the second net is spread", set).await;
    stage.ask(ALICE, "/help").await;
    let kept = stage.chat(ALICE).into_iter().rfind(|message| !message.out);
    assert_eq!(kept.unwrap().ttl_period, Some(7 * 24 * 60 * 60));
}
