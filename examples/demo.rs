//! `make demo`: the main job on this machine, as a transcript. Real OpenBao, a real broker
//! process, a simulated Telegram; on a terminal you can then chat with the broker yourself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a demonstration prints, and ends by panicking where it cannot go on"
)]

#[path = "../tests/support/openbao.rs"]
mod openbao;
#[path = "../tests/support/stage.rs"]
mod stage;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use grammers_tl_types::enums::MessageEntity;
use serde_json::json;
use telegram_dc::{Chat, Event};
use tokio::io::{AsyncBufReadExt, BufReader};

use stage::{ALICE, BOB, BROKER, MALLORY, Setting, Stage};

/// How long the demo leaves the answer in the chat.
const DELETE_AFTER: Duration = Duration::from_secs(5);

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        tokio::select! {
            () = demo() => {}
            // Dropping the demo ends the servers and removes their files.
            _ = tokio::signal::ctrl_c() => println!("\nstopped"),
        }
    });
    // Reading from a terminal cannot be cancelled, and must not hold up the end.
    runtime.shutdown_background();
}

async fn demo() {
    step("starting OpenBao, a simulated Telegram datacenter and vaultgram");
    let mut stage = Stage::build(Setting {
        program: program(),
        telegram: &format!("delete_after = \"{}s\"", DELETE_AFTER.as_secs()),
        audit: "",
        crowd: vec![],
        log: "vaultgram=info",
        plain_token: false,
    })
    .await;
    let secret =
        json!({"host": "db.internal", "username": "django", "password": "correct-horse-battery"});
    tokio::task::block_in_place(|| stage.bao.put("django/database", &secret));
    stage.start().await;
    println!(
        "  OpenBao       {} holds secret/django/database",
        stage.bao.address()
    );
    println!(
        "  Telegram      {} (simulated, MTProto 2.0)",
        stage.dc.address()
    );
    println!("  vaultgram     vaultgram.sock, and a Telegram account");
    println!(
        "  Alice may read secret/django, Bob is known but permitted nothing, Mallory is a stranger"
    );

    step("an allowed person asks in Telegram");
    say(&stage, ALICE, "/get_secret django/database").await;

    step("somebody whom no policy permits, and a stranger");
    say(&stage, BOB, "/get_secret django/database").await;
    say(&stage, MALLORY, "/get_secret django/database").await;

    step("the same secret on the Unix socket: curl, bao, and our own client");
    let shell = |line: &str| shell(&stage, line);
    shell(
        "curl --silent --unix-socket vaultgram.sock http://localhost/v1/secret/data/django/database",
    );
    shell("BAO_ADDR=unix://$PWD/vaultgram.sock bao kv get secret/django/database");
    shell("vaultgram get django/database#password");

    step("the answer in Telegram deletes itself for both sides");
    let gone = || {
        let chat = stage.chat(ALICE);
        !chat
            .iter()
            .any(|message| message.text.contains("correct-horse-battery"))
    };
    stage.wait("the answer is deleted", gone).await;
    let left = stage.chat(ALICE);
    println!(
        "  Alice's chat now holds {} message: {}",
        left.len(),
        left.first().unwrap().text
    );

    step("secrets are changed in chat too; the message with the value is deleted at once");
    say(
        &stage,
        ALICE,
        "/put_secret django/cache url=redis://cache password=x",
    )
    .await;
    let asked = say(&stage, ALICE, "/rotate django/cache#password").await;
    say(&stage, ALICE, &confirmation(&asked)).await;
    say(&stage, ALICE, "/versions django/cache").await;

    step("what Telegram must not see is sealed to the key of who asks");
    shell("vaultgram keygen -i alice.key");
    let file = std::fs::read_to_string(stage.path("alice.key")).unwrap();
    let key = file
        .split_whitespace()
        .find(|word| word.starts_with("age1"));
    let register = format!("/register_key {}", key.unwrap());
    let asked = say(&stage, ALICE, &register).await;
    say(&stage, ALICE, &confirmation(&asked)).await;
    let sealed = say(&stage, ALICE, "/get_secret django/database sealed").await;
    std::fs::write(stage.path("answer.txt"), sealed).unwrap();
    shell("vaultgram open -i alice.key answer.txt");

    step("every decision and outcome is in the audit, chained by hashes");
    shell("head -n 2 audit.jsonl");
    shell("vaultgram audit verify audit.jsonl");

    if std::io::stdin().is_terminal() {
        chat(&stage).await;
    }
    let broker = stage.broker.take().unwrap();
    broker.terminate();
    let status = broker.exit().await;
    step(&format!(
        "stopped: vaultgram {status}; servers and files are removed"
    ));
}

/// The binary beside this example.
fn program() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let program = here.ancestors().nth(2).unwrap().join("vaultgram");
    assert!(
        program.exists(),
        "build it first: cargo build --bins (make demo does)"
    );
    program
}

fn step(what: &str) {
    println!("\n── {what}");
}

fn name(person: i64) -> &'static str {
    match person {
        ALICE => "Alice",
        BOB => "Bob",
        MALLORY => "Mallory",
        _ => "vaultgram",
    }
}

fn show(from: i64, text: &str) {
    for (position, line) in text.lines().enumerate() {
        let who = if position == 0 { name(from) } else { "" };
        println!(
            "  {who:>9} {} {line}",
            if position == 0 { '›' } else { ' ' }
        );
    }
}

/// The command that confirms what vaultgram asks about.
fn confirmation(asked: &str) -> String {
    let start = asked.find("/confirm ").unwrap();
    let words: Vec<_> = asked[start..].split_whitespace().take(2).collect();
    words.join(" ")
}

/// Sends `text` as `person`; shows and returns the answer, if one comes.
async fn say(stage: &Stage, person: i64, text: &str) -> String {
    let chat = Chat::User(BROKER);
    let sent = stage
        .dc
        .send(person, chat, text)
        .unwrap()
        .id_for(person)
        .unwrap();
    show(person, text);
    // Silence is what a stranger gets; this long without an answer is silence.
    let patience = Duration::from_secs(if person == MALLORY { 2 } else { 30 });
    let answer = stage.dc.wait_for(person, chat, patience, |message| {
        !message.out && message.id > sent
    });
    let Some(message) = answer.await else {
        println!("            (no answer)");
        return String::new();
    };
    show(BROKER, &message.text);
    let hidden = |entity: &MessageEntity| matches!(entity, MessageEntity::Spoiler(_));
    if message.entities.iter().any(hidden) {
        println!("            (the values are under a spoiler until Alice taps them)");
    }
    message.text
}

/// Runs a command as a person would type it, in the broker's folder.
fn shell(stage: &Stage, line: &str) {
    println!("  $ {line}");
    let tools = openbao::bao();
    let programs = [
        tools.parent().unwrap(),
        stage.program().parent().unwrap(),
        Path::new("/usr/bin"),
        Path::new("/bin"),
    ];
    let ran = Command::new("/bin/sh")
        .args(["-c", line])
        .current_dir(stage.directory.path())
        .env("PATH", std::env::join_paths(programs).unwrap())
        .env("VAULTGRAM_SOCKET", "vaultgram.sock")
        .output()
        .unwrap();
    for line in String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).lines() {
        println!("  {line}");
    }
    assert!(ran.status.success(), "{line}: {}", ran.status);
}

/// Lets the user write to the broker as any of the people.
async fn chat(stage: &Stage) {
    step("your turn");
    println!("  Write to vaultgram, for example: /get_secret django/database#username");
    println!("  /as alice, /as bob, /as mallory change who you are; an empty line or Ctrl-D ends.");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut events = stage.dc.subscribe();
    let mut person = ALICE;
    loop {
        tokio::select! {
            line = lines.next_line() => match line.ok().flatten().as_deref().map(str::trim) {
                None | Some("") => return,
                Some("/as alice") => person = ALICE,
                Some("/as bob") => person = BOB,
                Some("/as mallory") => person = MALLORY,
                Some(text) => {
                    show(person, text);
                    if let Err(refusal) = stage.dc.send(person, Chat::User(BROKER), text) {
                        println!("  Telegram refuses: {refusal}");
                    }
                }
            },
            event = events.recv() => match event {
                Some(Event::New { account, message }) if account != BROKER && !message.out => {
                    show(BROKER, &message.text);
                }
                Some(Event::Deleted { account, .. }) if account == BROKER => {
                    println!("            (vaultgram deleted a message for both sides)");
                }
                Some(_) => {}
                None => return,
            }
        }
    }
}
