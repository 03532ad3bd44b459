//! A job that reaches vaultgram by Telegram alone, as docs/ci.md has it: its bot sends what it signed.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use telegram_dc::{Chat, User};
use vaultgram::age::NewIdentity;

use crate::setting;
use crate::stage::{ALICE, BROKER, MALLORY, PASSWORD, PATIENCE, Stage};

const PAGE: &str = include_str!("../../docs/ci.md");
const CI: i64 = 7001;
/// How much is sent at once by who may send nothing.
const FLOOD: usize = 600;
const GROUP: i64 = 78;
const TOKEN: &str = "7001:of-the-bot";
const KEY: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
/// The page's `curl`: what is sent is put into a file, and updates come from one.
const CURL: &str = r#"#!/bin/sh
set -eu
case "$*" in *"$BOT_TOKEN"*) echo "the token is an argument" >&2; exit 1 ;; esac
read -r _ _ url
url=${url#\"}; url=${url%\"}
case $url in
"https://api.telegram.org/bot$BOT_TOKEN/sendMessage")
    for argument; do case $argument in text=*) printf %s "${argument#text=}" >"$FOLDER/sending" ;; esac; done
    mv "$FOLDER/sending" "$FOLDER/sent" ;;
"https://api.telegram.org/bot$BOT_TOKEN/getUpdates")
    if [ -e "$FOLDER/updates" ]; then cat "$FOLDER/updates"; else sleep 0.1; echo '{"ok":true,"result":[]}'; fi ;;
*) echo "asked for $url" >&2; exit 1 ;;
esac
"#;

fn block(mark: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("<!-- {mark} -->\n```")).unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    rest.split_once("\n```").unwrap().0
}

struct Ci {
    stage: Stage,
    key: PathBuf,
    identity: PathBuf,
}

impl Ci {
    async fn start() -> Self {
        let identity = NewIdentity::generate();
        let jobs = format!(
            "jobs = {{ shell = {{ accounts = [{CI}], age_keys = [\"{}\"] }} }}",
            identity.public
        );
        let mut stage = Stage::build(crate::stage::Setting {
            telegram: &jobs,
            ..setting()
        })
        .await;
        stage.dc.add_user(User::new(CI, "CI").bot(TOKEN));
        stage.dc.add_group(GROUP, "Builds", &[ALICE, BROKER, CI]);
        stage
            .bao
            .put("vaultgram/signing", &json!({"shell/2026": KEY}));
        stage.bao.put(
            "django/database",
            &json!({"user": "django", "password": PASSWORD}),
        );
        append(
            &stage.path("vaultgram.toml"),
            "[signing]\npath = \"secret/vaultgram/signing\"\n",
        );
        append(
            &stage.path("policy.cedar"),
            "@id(\"shell\") permit(principal == Job::\"shell:shell\", action == Action::\"read\", \
             resource in Path::\"secret/django\");\n",
        );
        let private = |name: &str, text: &[u8]| {
            let file = stage.path(name);
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
            file
        };
        let key = private("signing.key", KEY.as_bytes());
        let identity = private("identity.txt", identity.file.expose_secret());
        stage.start().await;
        Self {
            stage,
            key,
            identity,
        }
    }

    /// The bot sends this; what it is told of it in private.
    async fn sends(&self, text: &str) -> String {
        let dc = &self.stage.dc;
        dc.send(CI, Chat::Group(GROUP), text).unwrap();
        let (_, id) = text.split_once(" id=").unwrap();
        let about = format!("id={} ", id.split(' ').next().unwrap());
        let told = dc.wait_for(CI, Chat::User(BROKER), PATIENCE, |m| {
            m.text.contains(&about)
        });
        told.await
            .unwrap_or_else(|| panic!("no answer; log:\n{}", self.stage.log()))
            .text
    }

    fn sign(&self, arguments: &[&str]) -> String {
        let key = format!("shell/2026={}", self.key.display());
        let arguments = [&["sign"], arguments, &["--signing-key-file", &key]].concat();
        let ran = self.stage.vaultgram(&arguments).output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
        String::from_utf8(ran.stdout).unwrap()
    }

    fn audit(&self) -> Vec<Value> {
        let audit = std::fs::read_to_string(self.stage.path("audit.jsonl")).unwrap();
        audit
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn append(file: &Path, text: &str) {
    let before = std::fs::read_to_string(file).unwrap();
    std::fs::write(file, before + text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_without_a_way_to_vaultgram_asks_as_the_page_says() {
    let ci = Ci::start().await;
    let (stage, folder) = (&ci.stage, ci.stage.directory.path());
    let tools = stage.path("tools");
    std::fs::create_dir(&tools).unwrap();
    std::fs::write(tools.join("curl"), CURL).unwrap();
    std::fs::set_permissions(tools.join("curl"), PermissionsExt::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink(stage.program(), tools.join("vaultgram")).unwrap();
    let script = Command::new("sh")
        .args(["-c", block("run: chat")])
        .env_clear()
        .env(
            "PATH",
            format!("{}:/usr/local/bin:/usr/bin:/bin", tools.display()),
        )
        .env("FOLDER", folder)
        .env("BOT_TOKEN", TOKEN)
        .env("CHAT", format!("-{GROUP}"))
        .env("KEY_FILE", &ci.key)
        .env("AGE_KEY_FILE", &ci.identity)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    stage
        .wait("it is sent", || stage.path("sent").exists())
        .await;
    let sent = std::fs::read_to_string(stage.path("sent")).unwrap();
    let told = ci.sends(&sent).await;
    let updates = json!({"ok": true, "result": [
        {"update_id": 4, "message": {"message_id": 1, "text": "hello"}},
        {"update_id": 5, "edited_message": {"message_id": 1, "text": "hello"}},
        {"update_id": 6, "message": {"message_id": 2, "text": told}},
    ]});
    std::fs::write(stage.path("coming"), updates.to_string()).unwrap();
    std::fs::rename(stage.path("coming"), stage.path("updates")).unwrap();
    let ran = tokio::task::block_in_place(|| script.wait_with_output().unwrap());
    assert!(ran.status.success(), "{ran:?}");
    let printed = String::from_utf8(ran.stdout).unwrap();
    assert_eq!(
        printed.trim_end(),
        block("output: chat"),
        "{:?}",
        ran.stderr
    );

    // By itself a sealed answer, and what led to it, tells nobody anything.
    let group = stage.dc.history(ALICE, Chat::Group(GROUP));
    assert!(
        !group
            .iter()
            .any(|m| m.text.contains("AGE ENCRYPTED") || m.text.contains(PASSWORD))
    );
    let (audit, log) = (ci.audit(), stage.log());
    let sealed = audit
        .iter()
        .find(|entry| entry["event"] == "sealed")
        .unwrap();
    assert_eq!(
        (&sealed["issuer"], &sealed["caller"]),
        (&json!("shell"), &json!("shell:shell"))
    );
    for secret in [PASSWORD, KEY, TOKEN] {
        assert!(!log.contains(secret) && !format!("{audit:?}").contains(secret));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_unwrapped_in_vault_and_a_command_counts_once_across_a_restart() {
    let mut ci = Ci::start().await;
    let message = ci.sign(&["django/database"]);
    let told = ci.sends(message.trim_end()).await;
    let (_, rest) = told
        .split_once(" wrapped\n")
        .unwrap_or_else(|| panic!("{told}"));
    let token = rest.lines().next().unwrap();
    let unwrapped = tokio::task::block_in_place(|| {
        ci.stage
            .bao
            .must("POST", "sys/wrapping/unwrap", &json!({"token": token}))
    });
    assert_eq!(
        unwrapped["data"]["data"]["password"], PASSWORD,
        "{unwrapped}"
    );

    ci.stage.broker.take().unwrap().kill();
    ci.stage.start().await;
    let before = ci.stage.chat(CI).len();
    ci.stage
        .dc
        .send(CI, Chat::Group(GROUP), message.trim_end())
        .unwrap();
    ci.stage
        .wait("it is refused", || ci.stage.chat(CI).len() > before)
        .await;
    let told = ci.stage.chat(CI).pop().unwrap().text;
    assert!(told.contains("refused\nthis was used before"), "{told}");
    let refused = ci.audit().pop().unwrap();
    assert_eq!(
        (&refused["event"], &refused["reason"], &refused["from"]),
        (
            &json!("proof_refused"),
            &json!("replayed"),
            &json!("telegram:7001")
        ),
        "{refused}"
    );
    let request = ci.sign(&[
        "django/database",
        "--delivery",
        "sealed",
        "--reason",
        "  run 7\ndeploys ",
    ]);
    assert!(
        request.starts_with("/request_secret django/database sealed run 7 deploys id="),
        "{request}"
    );
    let told = ci.sends(request.trim_end()).await;
    assert!(told.contains(" failed\n"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_a_stranger_fills_no_log_and_keeps_nobody_waiting() {
    let ci = Ci::start().await;
    let message = ci.sign(&["django/database"]);
    let message = message.trim_end();
    for _ in 0..FLOOD {
        let dc = &ci.stage.dc;
        dc.send(MALLORY, Chat::User(BROKER), message).unwrap();
    }
    // Which its sender may send, whoever else did.
    let told = ci.sends(message).await;
    assert!(told.contains(" wrapped\n"), "{told}");
    let logged = ci.stage.log().matches("telegram.signed_refused").count();
    assert!((1..FLOOD / 2).contains(&logged), "{logged}");
    let all = || {
        let audit = std::fs::read_to_string(ci.stage.path("audit.jsonl")).unwrap();
        audit.matches("\"event\":\"proof_refused\"").count() == logged
    };
    ci.stage.wait("what is logged is on record", all).await;
    let said = ci.stage.chat(MALLORY);
    assert!(said.iter().all(|it| it.text == message), "{said:?}");
}
