//! What needs the agreement of others, with the compiled program, a real OpenBao and people in chat.

use std::process::Command;

use serde_json::{Value, json};
use telegram_dc::{Chat, Draft, Message, User};

use crate::setting;
use crate::stage::{ALICE, BOB, BROKER, PASSWORD, PATIENCE, Stage};

/// Of the leads, as Bob is.
const CAROL: i64 = 1003;
/// The supergroup where requests are decided on.
const DESK: i64 = 88;

const POLICY: &str = r#"
@id("two-leads") @approvals("2") @approvers("leads") @reason("10") @grant("30m") @break_glass("15m")
permit(
    principal in Person::"alice",
    action == Action::"read",
    resource == Path::"secret/django/database"
);
@id("with-a-code") @approvals("1") @approvers("leads") @step_up("totp")
permit(principal in Person::"alice", action == Action::"read", resource == Path::"secret/payroll/key");
"#;

/// As any authenticator does: the key, and how many half minutes from now.
const TOTP: &str = "
import base64, hashlib, hmac, struct, sys, time
step = int(time.time()) // 30 + int(sys.argv[2])
digest = hmac.new(base64.b32decode(sys.argv[1]), struct.pack('>Q', step), hashlib.sha1).digest()
start = digest[-1] & 15
print('%06d' % ((struct.unpack('>I', digest[start:start + 4])[0] & 0x7fffffff) % 1000000), end='')
";

async fn stage() -> Stage {
    let mut setting = setting();
    setting.telegram = "approvals_chat = -1000000000088";
    setting.crowd = vec![CAROL];
    let mut stage = Stage::build(setting).await;
    stage.dc.add_user(User::new(CAROL, "Carol"));
    let all = [BROKER, ALICE, BOB, CAROL];
    stage.dc.add_supergroup(DESK, "Requests", &all);
    for person in [ALICE, BOB, CAROL] {
        stage.dc.send(person, Chat::User(BROKER), "hello").unwrap();
    }
    let file = stage.path("vaultgram.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    let people = "[people]\nalice = [\"telegram:1001\"]\nbob = [\"telegram:1002\"]\n\
                  carol = [\"telegram:1003\"]\n[groups]\nleads = [\"person:bob\", \"person:carol\"]\n";
    std::fs::write(&file, config.replace("[groups]\n", people)).unwrap();
    std::fs::write(stage.path("policy.cedar"), POLICY).unwrap();
    stage.start().await;
    stage
}

impl Stage {
    fn cards(&self, id: &str) -> Vec<Message> {
        let mut cards = self.dc.history(BOB, Chat::Channel(DESK));
        cards.retain(|it| it.text.starts_with(&format!("📋 Request {id} ")));
        cards
    }

    /// Waits until the one card of a request says this.
    async fn shows(&self, id: &str, expected: &str) -> Message {
        let shown = || {
            let cards = self.cards(id);
            cards.len() == 1 && cards[0].text.contains(expected)
        };
        self.wait(&format!("the card of {id} says {expected}"), shown)
            .await;
        self.cards(id).pop().unwrap()
    }

    async fn told(&self, person: i64, expected: &str) -> String {
        let chat = Chat::User(BROKER);
        let told = self.dc.wait_for(person, chat, PATIENCE, |it| {
            !it.out && it.text.contains(expected)
        });
        let told = told.await;
        told.unwrap_or_else(|| panic!("not told {expected}; log:\n{}", self.log()))
            .text
    }

    async fn request(&self, text: &str) -> String {
        let answer = self.ask(ALICE, text).await;
        let (_, name) = answer
            .split_once("equest ")
            .unwrap_or_else(|| panic!("{answer}"));
        name.chars().take(6).collect()
    }

    fn reply(&self, person: i64, card: &Message, text: &str) {
        let reply = Draft::new(text).reply_to(card.id);
        self.dc.send(person, Chat::Channel(DESK), reply).unwrap();
    }

    async fn restart(&mut self) {
        self.broker.take().unwrap().kill();
        self.start().await;
    }

    /// The names of what the audit has of a request.
    fn steps(&self, id: &str) -> Vec<String> {
        let audit = std::fs::read_to_string(self.path("audit.jsonl")).unwrap();
        let entries = audit
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        let about = entries.filter(|entry| entry["approval"] == id);
        about
            .map(|entry| entry["event"].as_str().unwrap().to_owned())
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_decided_and_ended_across_crashes() {
    let mut stage = stage().await;
    let refused = stage.ask(ALICE, "/get_secret django/database").await;
    assert!(
        refused.contains("/request_secret secret/django/database REASON"),
        "{refused}"
    );
    let id = stage
        .request("/request_secret django/database fix the import")
        .await;
    let card = stage.shows(&id, "Why: fix the import").await;
    assert!(
        card.text.contains("Who: alice (telegram:1001)"),
        "{}",
        card.text
    );

    let kept = || {
        let log = stage.log();
        let mut lines = log.lines();
        lines.any(|line| line.contains("telegram.card\"") && line.contains(&id))
    };
    stage.wait("the card's number is kept", kept).await;

    // While it waits, and after a vote.
    stage.restart().await;
    stage.reply(BOB, &card, "approve");
    stage.shows(&id, "Approved by: bob").await;
    stage.restart().await;
    stage.reply(BOB, &card, "approve");
    stage.told(BOB, "You approved this request already").await;
    let voted = stage.ask(CAROL, &format!("/approve {id}")).await;
    assert!(voted.contains("is granted"), "{voted}");
    stage.shows(&id, "Approved by: bob, carol").await;
    stage.told(ALICE, "Send: /get_secret").await;
    let secret = stage.ask(ALICE, "/get_secret django/database").await;
    assert!(secret.contains(PASSWORD), "{secret}");
    stage.restart().await;
    stage.shows(&id, "✅ is granted").await;
    stage.ask(CAROL, &format!("/revoke {id}")).await;
    stage.shows(&id, "is revoked by carol").await;
    stage.told(ALICE, "was revoked by carol").await;
    let refused = stage.ask(ALICE, "/get_secret django/database").await;
    assert!(refused.contains("This needs approval"), "{refused}");
    let expected = [
        "approval_opened",
        "voted",
        "voted",
        "granted",
        "grant_revoked",
    ];
    assert_eq!(stage.steps(&id), expected);
    let granted = stage.chat(ALICE);
    let granted = granted.iter().filter(|it| it.text.contains("✅ Request"));
    assert_eq!(granted.count(), 1, "told once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_says_why() {
    let stage = stage().await;
    let id = stage
        .request("/request_secret django/database fix the import")
        .await;
    let card = stage.shows(&id, "waits for approval").await;
    stage.reply(CAROL, &card, "deny not before the release");
    stage.shows(&id, "is denied by carol").await;
    let told = stage.told(ALICE, "is denied by carol").await;
    assert!(told.ends_with(": not before the release"), "{told}");
    let refused = stage.ask(ALICE, "/get_secret django/database").await;
    assert!(!refused.contains(PASSWORD), "{refused}");
    assert_eq!(stage.steps(&id), ["approval_opened", "denied_by_approver"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_glass_is_had_at_once_and_looked_at() {
    let stage = stage().await;
    let command = "/break_glass django/database nobody answers and the site is down";
    let answer = stage.ask(ALICE, command).await;
    assert!(
        answer.contains(PASSWORD) && answer.contains("You broke the glass ("),
        "{answer}"
    );
    let (_, id) = answer.split_once("the glass (").unwrap();
    let id = id.get(..6).unwrap();
    let card = stage.shows(id, "the glass is broken").await;
    let refused = stage
        .ask(ALICE, &format!("/reviewed {id} all is well now"))
        .await;
    assert!(refused.contains("your own"), "{refused}");
    stage.reply(BOB, &card, "reviewed the site is up again");
    stage.shows(id, "Reviewed by bob").await;
    assert_eq!(stage.steps(id), ["break_glass", "reviewed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vote_with_a_code_is_checked_by_openbao_and_does_not_stay() {
    let stage = stage().await;
    let key = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";
    tokio::task::block_in_place(|| {
        stage
            .bao
            .must("POST", "sys/mounts/totp", &json!({"type": "totp"}));
        let made = json!({"key": key, "issuer": "Test", "account_name": "bob", "period": 30});
        stage.bao.must("POST", "totp/keys/bob", &made);
        let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/policies/vault/broker.hcl");
        let rules = std::fs::read_to_string(rules).unwrap();
        let codes = "\npath \"totp/code/*\" { capabilities = [\"update\"] }\n";
        stage.bao.policy("vaultgram-broker", &(rules + codes));
    });
    let id = stage.request("/request_secret payroll/key").await;
    stage.shows(&id, "approve CODE").await;
    for (person, command, expected) in [
        (BOB, format!("/approve {id}"), "needs a code"),
        (BOB, format!("/approve {id} 000000"), "not the code"),
        (
            CAROL,
            format!("/approve {id} 000000"),
            "no authenticator of carol",
        ),
    ] {
        let answer = stage.ask(person, &command).await;
        assert!(answer.contains(expected), "{command}: {answer}");
    }
    let code = Command::new("python3")
        .args(["-c", TOTP, key, "0"])
        .output()
        .unwrap();
    let code = String::from_utf8(code.stdout).unwrap();
    let answer = stage.ask(BOB, &format!("/approve {id} {code}")).await;
    assert!(answer.contains("is granted"), "{answer}");
    stage
        .wait("the codes are gone from the chat", || {
            stage
                .chat(BOB)
                .iter()
                .all(|it| !it.text.contains(&code) && !it.text.contains("000000"))
        })
        .await;
    let secret = stage.ask(ALICE, "/get_secret payroll/key").await;
    assert!(secret.contains("payroll"), "{secret}");
    let log = stage.log();
    assert!(!log.contains(&code), "{log}");
    let audit = std::fs::read_to_string(stage.path("audit.jsonl")).unwrap();
    assert!(!audit.contains(&code), "{audit}");
}
