//! What went through the chat is forgotten, in both directions.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use serde_json::json;
use telegram_dc::Chat;
use vaultgram::age::NewIdentity;
use vaultgram::broker::ports::{Coordination, SystemClock};
use vaultgram::coordination::LocalStore;

use crate::needles::{self, Needles, value};
use crate::stage::{ALICE, BOB, BROKER, GROUP, PATIENCE, Stage};
use crate::{ALONE, Watch, plant, setting};

/// People who ask at the same time.
const CROWD: std::ops::Range<i64> = 20_000..20_064;

impl Watch {
    /// Asks in chat, and looks.
    async fn ask(&mut self, stage: &Stage, question: &str, expected: &str) {
        let answer = stage.ask(ALICE, question).await;
        // Without the values that are written.
        let what: String = question.chars().take_while(|sign| *sign != '=').collect();
        let start: String = answer.chars().take(300).collect();
        assert!(answer.contains(expected), "{what}: {start}");
        self.after(&what).await;
    }
}

/// A stage on which Alice has a key and a user on this host.
async fn build() -> Stage {
    let users = format!(
        "unix_users = {{ {ALICE} = {} }}",
        rustix::process::getuid().as_raw()
    );
    let mut setting = setting();
    setting.telegram = &users;
    setting.crowd = CROWD.collect();
    let stage = Stage::build(setting).await;
    let key = NewIdentity::generate();
    std::fs::write(stage.path("identity.txt"), key.file.expose_secret()).unwrap();
    let closed = PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(stage.path("identity.txt"), closed).unwrap();
    let kept = LocalStore::open(stage.path("state.redb"), Arc::new(SystemClock)).unwrap();
    let name = format!("keys/{ALICE}/{}", key.public);
    kept.put(&name, &[0; 8]).await.unwrap();
    stage
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(
    debug_assertions,
    ignore = "about the release build: cargo test --release --test memory"
)]
async fn what_was_answered_in_chat_is_forgotten() {
    let _alone = ALONE.lock().await;
    let mut stage = build().await;
    let mut needles = Needles::default();
    plant(&stage, &mut needles);
    stage.start().await;
    let mut watch = Watch::of(&stage, needles);

    for name in ["small", "odd", "three", "forty"] {
        watch
            .ask(&stage, &format!("/get_secret django/{name}"), "version 1")
            .await;
    }
    watch
        .ask(&stage, "/get_secret django/thirty", "sealed")
        .await;
    watch
        .ask(&stage, "/get_secret django/three wrapped", "waits in Vault")
        .await;
    watch
        .ask(&stage, "/get_secret django/odd sealed", "AGE ENCRYPTED")
        .await;
    watch
        .ask(&stage, "/get_secret django/thirty sealed", "sealed")
        .await;
    watch
        .ask(&stage, "/get_secret django/three#nothing", "it has")
        .await;

    for name in ["odd", "thirty"] {
        let question = format!("/get_secret django/{name} socket");
        let offer = stage.ask(ALICE, &question).await;
        watch.after(&question).await;
        let (_, code) = offer.rsplit_once("vaultgram collect ").expect(&offer);
        let collected = stage
            .vaultgram(&["collect", code.trim(), "--json"])
            .output()
            .unwrap();
        assert!(collected.status.success() && !collected.stdout.is_empty());
        watch.after(&format!("collecting {name}")).await;
    }

    let mut asked = tokio::task::JoinSet::new();
    let stage = Arc::new(stage);
    for person in CROWD {
        let stage = Arc::clone(&stage);
        asked.spawn(async move { stage.ask(person, "/get_secret django/forty").await });
    }
    for answer in asked.join_all().await {
        assert!(answer.contains("field39"), "{answer}");
    }
    watch.after("64 people at once").await;

    // What was missed is read again, the answers with it.
    stage.dc.drop_connections();
    watch
        .ask(&stage, "/get_secret django/small", "version 1")
        .await;
    watch.end();
}

#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(
    debug_assertions,
    ignore = "about the release build: cargo test --release --test memory"
)]
async fn what_people_wrote_is_forgotten() {
    let _alone = ALONE.lock().await;
    let mut stage = build().await;
    let mut needles = Needles::default();
    let mut new = |label: &str, len, escapes| {
        let value = value(len, escapes);
        needles.add(label, &value);
        value
    };
    let (plain, odd, long) = (
        new("plain", 32, false),
        new("odd", 32, true),
        new("long", 3000, false),
    );
    let (wrong, changed) = (new("wrong", 32, true), new("changed", 32, false));
    let absent = new("absent", 500, true);
    stage.start().await;
    let mut watch = Watch::of(&stage, needles);

    let quoted = |value: &str| serde_json::to_string(value).unwrap();
    let put = format!("/put_secret django/new plain={plain} odd={}", quoted(&odd));
    watch.ask(&stage, &put, "version 1").await;
    watch
        .ask(
            &stage,
            &format!("/put_secret django/long value={long}"),
            "version 1",
        )
        .await;
    watch
        .ask(
            &stage,
            &format!("/patch_secret django/new plain={changed}"),
            "version 2",
        )
        .await;
    let mistaken = format!("/put_secret django/no one={} two", quoted(&wrong));
    watch.ask(&stage, &mistaken, "").await;
    let nobodys = format!("/put_secret payroll/key one={}", quoted(&wrong));
    watch.ask(&stage, &nobodys, "not permitted").await;

    // While nobody listens: it is fetched afterwards.
    stage.dc.refuse(true);
    stage.dc.drop_connections();
    let put = format!("/put_secret django/absent value={}", quoted(&absent));
    stage.dc.send(ALICE, Chat::User(BROKER), put).unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    stage.dc.refuse(false);
    let written = stage
        .dc
        .wait_for(ALICE, Chat::User(BROKER), PATIENCE, |message| {
            !message.out && message.text.contains("django/absent is written")
        });
    assert!(written.await.is_some(), "{}", stage.log());
    watch
        .after("a command that came while nobody listened")
        .await;
    let kept = stage
        .bao
        .must("GET", "secret/data/django/new", &serde_json::Value::Null);
    assert_eq!(kept["data"]["data"], json!({"plain": changed, "odd": odd}));
    watch.end();
}

/// What was handed out, and then stood in a chat that is watched.
#[tokio::test(flavor = "multi_thread")]
#[cfg_attr(
    debug_assertions,
    ignore = "about the release build: cargo test --release --test memory"
)]
async fn what_was_pasted_in_a_chat_is_forgotten_once_it_was_found() {
    let _alone = ALONE.lock().await;
    let telegram = format!("admins = [{BOB}]\nwatched_chats = [-{GROUP}]\n");
    let mut setting = setting();
    setting.telegram = &telegram;
    let mut stage = Stage::build(setting).await;
    let mut needles = Needles::default();
    let pasted = [
        ("plain", 48, false),
        ("odd", 48, true),
        ("long", 3000, true),
    ];
    let pasted = pasted.map(|(name, len, escapes)| {
        let value = value(len, escapes);
        needles.add(name, &value);
        let path = format!("django/{name}");
        stage.bao.put(&path, &json!({ "value": value }));
        (path, value)
    });
    stage.start().await;
    stage.ask(BOB, "/help").await;
    let mut watch = Watch::of(&stage, needles);
    let team = Chat::Group(GROUP);
    let told = || {
        let mut chat = stage.chat(BOB);
        chat.retain(|message| !message.out && message.text.starts_with("A secret was leaked"));
        chat.len()
    };
    let mut found = 0;
    for (path, value) in &pasted {
        let read = stage.vaultgram(&["get", path, "--json"]).output().unwrap();
        assert!(read.status.success() && !read.stdout.is_empty());
        watch.after(&format!("{path} is read")).await;
        let texts = [
            ("as it is", value.clone()),
            ("in JSON", json!({ "value": value }).to_string()),
            (
                "in a line",
                format!("export TOKEN='{value}' # who needs it?"),
            ),
            ("in base64", format!("Basic {}", needles::encoded(value))),
        ];
        for (how, text) in texts.iter().filter(|(_, text)| text.len() < 4000) {
            stage.dc.send(ALICE, team, text.as_str()).unwrap();
            found += 1;
            stage.wait("Bob is told", || told() == found).await;
            assert!(
                stage
                    .dc
                    .history(ALICE, team)
                    .iter()
                    .all(|it| it.text != *text)
            );
            watch.after(&format!("{path} pasted {how}")).await;
        }
        // Edited into what was harmless.
        let sent = stage.dc.send(ALICE, team, "look:").unwrap();
        let id = sent.id_for(ALICE).unwrap();
        stage.dc.edit(ALICE, team, id, value.as_str()).unwrap();
        found += 1;
        stage.wait("Bob is told", || told() == found).await;
        watch.after(&format!("{path} edited into a message")).await;
    }
    assert!(found > pasted.len() * 3);
    watch.end();
}
