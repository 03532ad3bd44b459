//! What metrics and `doctor` say while things go wrong, and that the socket serves meanwhile.

use std::time::Duration;

use telegram_dc::{Chat, Fault, Revocation};

use crate::serving;
use crate::stage::{ALICE, BROKER, PASSWORD, Stage};

/// The running vaultgram's metrics, fetched as a scraper does it.
pub(crate) fn metrics(stage: &Stage) -> String {
    fetch(stage, "/v1/sys/metrics?format=prometheus").1
}

/// Status and body of a `GET` on the socket.
pub(crate) fn fetch(stage: &Stage, target: &str) -> (String, String) {
    let ran = std::process::Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "60"])
        .args(["--write-out", "%{http_code} %{content_type}", "--output"])
        .arg(stage.path("body"))
        .arg("--unix-socket")
        .arg(stage.path("vaultgram.sock"))
        .arg(format!("http://localhost{target}"))
        .output()
        .unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let body = std::fs::read_to_string(stage.path("body")).unwrap();
    (String::from_utf8(ran.stdout).unwrap(), body)
}

fn has(text: &str, line: &str) -> bool {
    text.lines().any(|found| found == line)
}

fn doctor(stage: &Stage) -> (i32, String) {
    let ran = stage.vaultgram(&["doctor"]).output().unwrap();
    let said = String::from_utf8([ran.stdout, ran.stderr].concat()).unwrap();
    (ran.status.code().unwrap(), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_session_ends_telegram_and_the_socket_serves_on() {
    let mut stage = serving().await;
    let connected = "vaultgram_telegram_state{state=\"connected\"} 1";
    assert!(has(&metrics(&stage), connected), "{}", metrics(&stage));

    stage.dc.revoke(BROKER, Revocation::Revoked);
    signed_out_and_serving(&mut stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_in_two_processes_ends_telegram_for_both_and_the_socket_serves_on() {
    let mut stage = serving().await;
    let second = stage.path("second");
    std::fs::create_dir(&second).unwrap();
    for name in [
        "vaultgram.toml",
        "policy.cedar",
        "telegram.session",
        "session.key",
    ] {
        std::fs::copy(stage.path(name), second.join(name)).unwrap();
    }
    let log = std::fs::File::create(second.join("log")).unwrap();
    let mut command = stage.vaultgram(&["serve"]);
    command.env("VAULTGRAM_CONFIG", second.join("vaultgram.toml"));
    let mut other = command.stderr(log).spawn().unwrap();
    let signed_out = || {
        let log = std::fs::read_to_string(second.join("log")).unwrap();
        log.contains("telegram.signed_out") && log.contains("AUTH_KEY_DUPLICATED")
    };
    stage.wait("the second says it", signed_out).await;
    other.kill().unwrap();
    other.wait().unwrap();
    signed_out_and_serving(&mut stage).await;
    assert!(stage.log().contains("AUTH_KEY_DUPLICATED"));
}

/// Telegram does not accept the session: that is said everywhere, and the rest goes on.
async fn signed_out_and_serving(stage: &mut Stage) {
    let connected = "vaultgram_telegram_state{state=\"connected\"} 1";
    let signed_out = "vaultgram_telegram_state{state=\"signed_out\"} 1";
    stage
        .wait("the metrics say it", || has(&metrics(stage), signed_out))
        .await;
    assert!(!has(&metrics(stage), connected), "{}", metrics(stage));
    let read = stage.vaultgram(&["get", "django/database#password"]);
    let read = { read }.output().unwrap();
    assert_eq!(read.stdout, PASSWORD.as_bytes(), "{read:?}");
    let (code, said) = doctor(stage);
    assert_eq!(code, 69, "{said}");
    let line = said.lines().find(|line| line.starts_with("FAIL"));
    let line = line.unwrap_or_default();
    assert!(
        line.contains("telegram")
            && line.contains("`vaultgram logout --local` and `vaultgram login`"),
        "{said}"
    );
    // Said once, and Telegram is left in peace.
    let calls = stage.dc.count("users.getUsers") + stage.dc.count("updates.getState");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let log = stage.log();
    assert_eq!(log.matches("telegram.signed_out").count(), 1, "{log}");
    let later = stage.dc.count("users.getUsers") + stage.dc.count("updates.getState");
    assert_eq!(calls, later);
    assert_eq!(stage.dc.connections(), 0);

    // What doctor advises can be done at once.
    let removed = { stage.vaultgram(&["logout", "--local", "--yes"]) }.output();
    assert!(removed.unwrap().status.success());
    assert!(!stage.path("telegram.session").exists());

    let broker = stage.broker.take().unwrap();
    broker.terminate();
    assert_eq!(broker.exit().await.code(), Some(0), "{}", stage.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_and_explain_and_name_nobody() {
    let stage = serving().await;
    stage.ask(ALICE, "/get_secret django/database").await;
    stage.ask(ALICE, "/help").await;
    let get = "vaultgram_telegram_commands_total{command=\"get_secret\",answer=\"private\"} 1";
    stage
        .wait("the commands are counted", || has(&metrics(&stage), get))
        .await;
    stage
        .wait("the deletion is announced", || {
            has(&metrics(&stage), "vaultgram_telegram_deletions_pending 1")
        })
        .await;
    let (status, text) = fetch(&stage, "/v1/sys/metrics?format=prometheus");
    assert!(status.starts_with("200 text/plain"), "{status}");
    assert!(has(&text, "vaultgram_vault_ready 1"), "{text}");
    let number = ALICE.to_string();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        // A value may come to that number.
        let labels = line.split_once('{').and_then(|it| it.1.rsplit_once('}'));
        assert!(labels.is_none_or(|it| !it.0.contains(&number)), "{line}");
        let name = line.split(['{', ' ']).next().unwrap();
        let parts = ["_bucket", "_sum", "_count"];
        let whole = parts.iter().find_map(|part| name.strip_suffix(part));
        let mut names = [Some(name), whole].into_iter().flatten();
        let explained = names.any(|name| text.contains(&format!("# HELP {name} ")));
        assert!(name.is_empty() || explained, "{line}");
    }
    for target in ["/v1/sys/metrics", "/v1/sys/metrics?format=json"] {
        let (status, body) = fetch(&stage, target);
        assert!(status.starts_with("400"), "{status}");
        assert!(body.contains("sys/metrics?format=prometheus"), "{body}");
    }
    tokio::task::block_in_place(|| stage.bao.seal());
    stage
        .wait("the sealed Vault shows", || {
            has(&metrics(&stage), "vaultgram_vault_ready 0")
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_wait_shows_and_no_reply_is_lost() {
    let stage = serving().await;
    stage.dc.fault(
        "messages.sendMessage",
        Fault::error(420, "FLOOD_WAIT_10"),
        1,
    );
    stage.dc.send(ALICE, Chat::User(BROKER), "/help").unwrap();
    stage
        .wait("the wait shows", || {
            metrics(&stage).lines().any(|line| {
                let wait = line.strip_prefix("vaultgram_telegram_flood_wait_seconds ");
                wait.is_some_and(|wait| (1..=10).contains(&wait.parse::<u32>().unwrap()))
            })
        })
        .await;
    for _ in 0..4 {
        stage.dc.send(ALICE, Chat::User(BROKER), "/help").unwrap();
    }
    stage
        .wait("the queue shows", || {
            has(&metrics(&stage), "vaultgram_telegram_replies_waiting 5")
        })
        .await;
    stage
        .wait("all are answered", || {
            stage.chat(ALICE).iter().filter(|m| !m.out).count() == 5
        })
        .await;
    stage
        .wait("the queue is empty", || {
            let text = metrics(&stage);
            has(&text, "vaultgram_telegram_replies_waiting 0")
                && has(&text, "vaultgram_telegram_flood_wait_seconds 0")
        })
        .await;
    let retried = "vaultgram_telegram_calls_retried_total{reason=\"flood\"} 1";
    assert!(has(&metrics(&stage), retried), "{}", metrics(&stage));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_cannot_be_sent_within_an_hour_is_counted_and_logged() {
    let stage = serving().await;
    let flood = Fault::error(420, "FLOOD_WAIT_7200");
    stage.dc.fault("messages.sendMessage", flood, 1);
    stage
        .dc
        .send(ALICE, Chat::User(BROKER), "/get_secret django/database")
        .unwrap();
    stage
        .wait("it is counted", || {
            let text = metrics(&stage);
            has(&text, "vaultgram_telegram_replies_lost_total 1")
                && has(&text, "vaultgram_telegram_replies_late_total 1")
        })
        .await;
    assert!(
        stage.log().contains("telegram.reply_failed"),
        "{}",
        stage.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_very_long_history_hides_is_logged() {
    let mut stage = serving().await;
    stage.ask(ALICE, "/help").await;
    let broker = stage.broker.take().unwrap();
    broker.terminate();
    broker.exit().await;
    // More than twenty pages, and Telegram only has the history left.
    for _ in 0..2010 {
        let chat = Chat::User(BROKER);
        stage.dc.send(ALICE, chat, "no command").unwrap();
    }
    stage.dc.forget_updates(BROKER);
    stage.start().await;
    stage
        .wait("the history is read", || {
            stage.log().contains("telegram.recovery.done")
        })
        .await;
    let log = stage.log();
    assert!(log.contains("telegram.recovery.cut"), "{log}");
    assert!(stage.ask(ALICE, "/help").await.contains("/get_secret"));
}
