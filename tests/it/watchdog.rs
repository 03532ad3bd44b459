//! A new device on the account: noticed, told once, and, where so set, chat stays locked until
//! it is unlocked on the host.

use std::process::Output;

use telegram_dc::{Chat, DeviceInfo, Fault};

use crate::metrics::metrics;
use crate::setting;
use crate::stage::{ALICE, BOB, BROKER, PASSWORD, Stage};

const GET: &str = "/get_secret django/database";

/// Alice is an admin; at most so often is looked.
async fn watched(more: &str, interval: &str) -> Stage {
    let telegram = format!("admins = [{ALICE}]\nwatchdog_interval = \"{interval}\"\n{more}");
    let mut setting = setting();
    setting.telegram = &telegram;
    let mut stage = Stage::build(setting).await;
    stage
        .dc
        .add_authorization(BROKER, DeviceInfo::new("Known Phone"));
    stage.start().await;
    let began = || stage.log().contains("telegram.watchdog.began");
    stage.wait("the watchdog has begun", began).await;
    // Else it would be told in the middle of a test, or be taken for the answer to Alice.
    let shown = || {
        let chat = stage.chat(ALICE);
        chat.iter().any(|m| m.text.contains("has a new login"))
    };
    stage.wait("the devices are shown to Alice", shown).await;
    // The broker knows how to address those who wrote to it.
    stage.ask(ALICE, "/help").await;
    stage.ask(BOB, "/help").await;
    stage
}

/// What the broker wrote to somebody about devices.
fn told(stage: &Stage, person: i64) -> Vec<String> {
    let chat = stage.chat(person).into_iter();
    chat.filter(|m| !m.out && m.text.contains("new device signed in to vaultgram"))
        .map(|m| m.text)
        .collect()
}

fn run(stage: &Stage, command: &str) -> Output {
    tokio::task::block_in_place(|| stage.vaultgram(&[command]).output().unwrap())
}

async fn restart(stage: &mut Stage) {
    let broker = stage.broker.take().unwrap();
    broker.terminate();
    broker.exit().await;
    stage.start().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_device_is_told_to_the_admins_once_and_locks_nothing_unasked() {
    let mut stage = watched("", "1s").await;
    assert!(told(&stage, ALICE).is_empty(), "the first one was known");
    let looked = stage.dc.count("account.getAuthorizations");
    stage
        .dc
        .add_authorization(BROKER, DeviceInfo::new("Burglar's Pixel"));
    stage
        .wait("Alice is told", || told(&stage, ALICE).len() == 1)
        .await;
    assert!(told(&stage, ALICE)[0].contains("Burglar's Pixel"));
    assert!(stage.log().contains("telegram.new_device"));
    let counted = "vaultgram_telegram_new_devices_total 1";
    assert!(metrics(&stage).lines().any(|line| line == counted));
    // What `doctor` judges by whether the watchdog is blind.
    let at = |line: &str| {
        let at = line.strip_prefix("vaultgram_telegram_devices_looked_at_timestamp_seconds ")?;
        at.parse::<i64>().ok()
    };
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let looked_at = metrics(&stage).lines().find_map(at);
    assert!(looked_at.is_some_and(|at| now - at < 60), "{looked_at:?}");
    assert!(stage.ask(ALICE, GET).await.contains(PASSWORD));

    restart(&mut stage).await;
    let looked_again = || stage.dc.count("account.getAuthorizations") > looked + 4;
    stage.wait("it looks again", looked_again).await;
    assert_eq!(told(&stage, ALICE).len(), 1, "told once");
    assert!(told(&stage, BOB).is_empty(), "Bob is no admin");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_chat_stays_locked_until_the_host_unlocks_it() {
    // Only Telegram's own word brings it up before a minute is over.
    let mut stage = watched("lock_on_new_device = true", "45s").await;
    let began = std::time::Instant::now();
    stage
        .dc
        .add_authorization(BROKER, DeviceInfo::new("Burglar's Pixel"));
    stage
        .wait("it is noticed", || stage.log().contains("Burglar's Pixel"))
        .await;
    assert!(began.elapsed().as_secs() < 35, "{:?}", began.elapsed());
    for _ in 0..2 {
        for (person, question) in [(ALICE, GET), (BOB, GET), (ALICE, "/nonsense")] {
            let answer = stage.ask(person, question).await;
            assert!(answer.contains("vaultgram unlock"), "{answer}");
            assert!(!answer.contains(PASSWORD), "{answer}");
        }
        let status = stage.ask(ALICE, "/status").await;
        assert!(
            status.contains("connected as") && status.contains("Locked"),
            "{status}"
        );
        assert!(stage.ask(BOB, "/help").await.contains("/get_secret"));
        let read = stage.vaultgram(&["get", "django/database#password"]);
        let read = { read }.output().unwrap();
        assert_eq!(read.stdout, PASSWORD.as_bytes(), "the socket serves");
        let locked = "vaultgram_telegram_locked 1";
        assert!(metrics(&stage).lines().any(|line| line == locked));
        let doctor = String::from_utf8(run(&stage, "doctor").stdout).unwrap();
        assert!(
            doctor.contains("FAIL  telegram") && doctor.contains("vaultgram unlock"),
            "{doctor}"
        );
        restart(&mut stage).await;
    }
    let unlock = run(&stage, "unlock");
    assert!(unlock.status.success(), "{unlock:?}");
    assert!(String::from_utf8_lossy(&unlock.stdout).contains("unlocked"));
    assert!(stage.log().contains("socket.chat_unlocked"));
    assert!(stage.ask(ALICE, GET).await.contains(PASSWORD));
    let again = run(&stage, "unlock");
    assert!(String::from_utf8_lossy(&again.stdout).contains("was not locked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_holds_back_a_secret_that_is_waiting_to_be_sent() {
    let stage = watched("lock_on_new_device = true", "1s").await;
    let flood = Fault::error(420, "FLOOD_WAIT_8");
    let before = stage.dc.count("messages.sendMessage");
    stage.dc.fault("messages.sendMessage", flood, 1);
    stage.dc.send(ALICE, Chat::User(BROKER), GET).unwrap();
    stage
        .wait("the secret has to wait", || {
            stage.dc.count("messages.sendMessage") > before
        })
        .await;
    stage
        .dc
        .add_authorization(BROKER, DeviceInfo::new("Burglar's Pixel"));
    let locked = |m: &telegram_dc::Message| !m.out && m.text.starts_with("Locked");
    stage
        .wait("the answer", || stage.chat(ALICE).iter().any(locked))
        .await;
    assert!(!stage.chat(ALICE).iter().any(|m| m.text.contains(PASSWORD)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_devices_that_a_login_finds_are_shown_to_the_admins_once() {
    let mut stage = watched("", "1s").await;
    let shown = |stage: &Stage| {
        let chat = stage.chat(ALICE).into_iter();
        chat.filter(|m| !m.out && m.text.contains("has a new login"))
            .map(|m| m.text)
            .collect::<Vec<_>>()
    };
    stage
        .wait("Alice is shown them", || shown(&stage).len() == 1)
        .await;
    assert!(shown(&stage)[0].contains("Known Phone"));
    assert!(stage.log().contains("telegram.device"));
    let looked = stage.dc.count("account.getAuthorizations");
    restart(&mut stage).await;
    stage
        .wait("it looks again", || {
            stage.dc.count("account.getAuthorizations") > looked + 4
        })
        .await;
    assert_eq!(shown(&stage).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_who_could_not_be_told_is_told_later_and_a_flood_wait_is_obeyed() {
    let stage = watched("lock_on_new_device = true", "1s").await;
    let refused = Fault::error(400, "USER_IS_BLOCKED");
    stage.dc.fault("messages.sendMessage", refused, 1);
    stage
        .dc
        .add_authorization(BROKER, DeviceInfo::new("Burglar's Pixel"));
    stage
        .wait("Alice is told in the end", || {
            told(&stage, ALICE).len() == 1
        })
        .await;
    let untold = "vaultgram_telegram_new_devices_untold_total 1";
    let shown = metrics(&stage);
    assert!(shown.lines().any(|line| line == untold), "{shown}");

    let flood = Fault::error(420, "FLOOD_WAIT_5");
    stage.dc.fault("account.getAuthorizations", flood, 1);
    let waits = || stage.log().contains("telegram.watchdog.failed");
    stage.wait("it has to wait", waits).await;
    let looked = stage.dc.count("account.getAuthorizations");
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(stage.dc.count("account.getAuthorizations"), looked);
    let again = || stage.dc.count("account.getAuthorizations") > looked;
    stage.wait("it looks again", again).await;
}
