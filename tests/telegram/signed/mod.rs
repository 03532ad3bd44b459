//! Commands that a job signs: what is answered to them, and what is nothing.

mod attacks;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use telegram_dc::{Chat, Draft, Message, User};
use vaultgram::age::{self, Identities, NewIdentity};
use vaultgram::broker::BrokerError;
use vaultgram::broker::ports::{Clock, Coordination, SystemClock};
use vaultgram::domain::group::{Groups, Member};
use vaultgram::domain::person::Account;
use vaultgram::domain::{
    Action, AuditEvent, Caller, Delivery, Job, Mounts, People, Request, RequestId, Subject,
};
use vaultgram::identity::{KeySource, Signatures};
use vaultgram::telegram::Signer;
use zeroize::Zeroizing;

use crate::company::Company;
use crate::replicas::by_claim;
use crate::support::{A_WHILE, ALICE, BOB, BROKER, MALLORY, TOKEN, VALUE, World, until};

/// The bot of a CI, another's, and the group that all of them are in.
const CI: i64 = 7001;
const OTHER: i64 = 7002;
const GROUP: i64 = 70;

const READ: &str = "/get_secret django/database";
const KEY: [u8; 32] = [7; 32];
const OTHER_KEY: [u8; 32] = [8; 32];

const POLICY: &str = r#"
@id("ci")
permit(principal == Job::"deploybot:deploybot", action == Action::"read", resource == Path::"secret/django/database");
@id("asks") @approvals("1") @approvers("leads") @grant("1h")
permit(principal == Job::"deploybot:deploybot", action == Action::"read", resource == Path::"secret/huge");
@id("says-why") @approvals("1") @approvers("leads") @reason("5")
permit(principal == Job::"deploybot:deploybot", action == Action::"read", resource == Path::"secret/why");
"#;

/// The keys as Vault has them.
struct Keys;

#[async_trait]
impl KeySource for Keys {
    async fn keys(&self) -> Result<BTreeMap<String, Zeroizing<Vec<u8>>>, String> {
        let key = |name: &str, key: &[u8]| {
            let text = format!("whsec_{}", STANDARD.encode(key));
            (name.to_owned(), Zeroizing::new(text.into_bytes()))
        };
        Ok([key("deploybot/1", &KEY), key("other/1", &OTHER_KEY)].into())
    }
}

/// What signatures are held against in a test.
pub(crate) fn signatures(clock: Arc<dyn Clock>, state: Arc<dyn Coordination>) -> Arc<Signatures> {
    Arc::new(Signatures::new(Arc::new(Keys), [].into(), clock, state))
}

async fn ci() -> World {
    let mut world = World::new().await;
    world
        .dc
        .add_user(User::new(CI, "CI").username("ci_bot").bot("7001:token"));
    let other = User::new(OTHER, "Other").username("other_bot");
    world.dc.add_user(other.bot("7002:token"));
    let all = [BROKER, CI, OTHER, ALICE, BOB, MALLORY];
    world.dc.add_supergroup(GROUP, "Builds", &all);
    for (owner, account) in [("deploybot", CI), ("other", OTHER)] {
        let signer = Signer {
            accounts: [account].into(),
            age_keys: vec![],
        };
        world.settings.signers.insert(owner.to_owned(), signer);
    }
    world.policy = POLICY;
    world.signs = true;
    let leads = vec![Member::Account(Account::Telegram(BOB))];
    let groups = Groups::new(&[("leads".to_owned(), leads)].into(), People::default());
    world.groups = groups.unwrap();
    world
}

/// A command that is signed, right unless a test changes something.
#[derive(Clone)]
struct Signed {
    command: String,
    id: String,
    time: i64,
    signature: String,
    key: String,
}

impl Signed {
    fn new(command: &str) -> Self {
        Self::at(command, SystemClock.now().unix_timestamp(), &KEY)
    }

    fn at(command: &str, time: i64, key: &[u8]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let id = format!("msg_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let signed = hmac::sign(&key, format!("{id}.{time}.{command}").as_bytes());
        Self {
            command: command.to_owned(),
            id,
            time,
            signature: format!("v1,{}", STANDARD.encode(signed)),
            key: "deploybot/1".to_owned(),
        }
    }

    fn text(&self) -> String {
        let Self {
            command,
            id,
            time,
            signature,
            key,
        } = self;
        format!("{command} id={id} ts={time} sig={signature} key={key}")
    }
}

impl World {
    fn post(&self, user: i64, draft: impl Into<Draft>) {
        self.dc.send(user, Chat::Channel(GROUP), draft).unwrap();
    }

    /// What the CI's bot is told of `signed`, which it sends.
    async fn asked(&self, signed: &Signed) -> Message {
        self.post(CI, signed.text());
        self.told_of(signed).await
    }

    async fn told_of(&self, signed: &Signed) -> Message {
        let about = format!("id={} ", signed.id);
        self.answer(CI, |m| m.text.contains(&about)).await
    }

    /// The proofs on record that were none: from whom, and why.
    fn refused(&self) -> Vec<(String, &'static str)> {
        let all = self.audit.all.lock().unwrap();
        let refused = all.iter().filter_map(|entry| {
            let AuditEvent::ProofRefused { reason, .. } = entry.event else {
                return None;
            };
            let Subject::Proof { kind, from } = &entry.subject else {
                panic!("{entry:?}")
            };
            assert_eq!(*kind, "chat");
            Some((from.clone(), reason))
        });
        refused.collect()
    }

    /// What was handed over, by record.
    fn handed_over(&self) -> usize {
        let all = self.audit.all.lock().unwrap();
        let handed = all.iter().filter(|entry| {
            matches!(
                entry.event,
                AuditEvent::Released(_) | AuditEvent::Wrapped { .. } | AuditEvent::Sealed { .. }
            )
        });
        handed.count()
    }

    /// Bob is answered, and so was whatever came before.
    async fn settles(&self) {
        self.quiet().await;
        tokio::time::sleep(A_WHILE).await;
    }

    /// No value stands anywhere, nor does a token but in the chat with the bot.
    fn is_kept_secret(&self) {
        for user in [ALICE, BOB, MALLORY, OTHER] {
            for chat in [Chat::Channel(GROUP), Chat::User(BROKER)] {
                let seen = self.dc.history(user, chat);
                let told = |m: &Message| m.text.contains(VALUE) || m.text.contains(TOKEN);
                assert!(!seen.iter().any(told), "{user}: {seen:?}");
            }
        }
        assert!(!self.answers(CI).iter().any(|m| m.text.contains(VALUE)));
    }
}

fn deploybot() -> Caller {
    Caller::Job(Job {
        issuer: "deploybot".to_owned(),
        subject: "deploybot".to_owned(),
        claims: [].into(),
    })
}

#[tokio::test]
async fn a_signed_command_is_answered_in_private_with_a_token() {
    let mut world = ci().await;
    world.settings.delete_after = Duration::from_secs(2);
    let process = world.start().await;
    let signed = Signed::new(READ);
    let told = world.asked(&signed).await;
    let head = format!("🔑 id={} wrapped\n{TOKEN}\n", signed.id);
    assert!(told.text.starts_with(&head), "{}", told.text);
    assert_eq!(told.entities.len(), 1, "under a spoiler");
    let noticed = |world: &World| {
        let group = world.dc.history(ALICE, Chat::Channel(GROUP));
        group
            .iter()
            .any(|m| m.text.contains("in your private chat"))
    };
    world.until("the group is told", noticed).await;
    world.is_kept_secret();
    assert_eq!(
        world.store.reads.load(Ordering::SeqCst),
        0,
        "it is not read here"
    );
    {
        let audit = world.audit.all.lock().unwrap();
        assert!(audit.iter().all(|entry| entry.caller == deploybot()));
        assert!(matches!(audit[0].id, RequestId::Message { .. }));
    }
    assert_eq!(world.handed_over(), 1);
    let gone = |world: &World| !world.answers(CI).iter().any(|m| m.text.contains(TOKEN));
    world.until("the token is gone", gone).await;

    // In private it is the same, and to our name too.
    let signed = Signed::new("/get_secret@vault_broker django/database wrapped");
    world.send(CI, signed.text());
    assert!(world.told_of(&signed).await.text.contains(TOKEN));

    // The broker itself would not show it in plain.
    for delivery in [Delivery::Message, Delivery::Socket] {
        let request = Request {
            id: RequestId::Message {
                chat: 1,
                message: delivery as i32,
            },
            caller: deploybot(),
            action: Action::Read(delivery),
            target: Mounts::new(vec!["secret".into()])
                .unwrap()
                .parse("django/database")
                .unwrap(),
        };
        let done = process.broker.handle(request).await;
        assert!(
            matches!(done, Err(BrokerError::PlainInChat)),
            "{delivery:?}"
        );
    }
    process.stop().await;
}

#[tokio::test]
async fn what_is_sealed_opens_with_the_key_that_is_configured() {
    let mut world = ci().await;
    let process = world.start().await;
    let signed = Signed::new("/get_secret django/database#password sealed");
    let told = world.asked(&signed).await.text;
    let head = format!("id={} failed\nYou have no key registered", signed.id);
    assert!(told.starts_with(&head), "{told}");
    process.stop().await;

    let key = NewIdentity::generate();
    let owner = world.settings.signers.get_mut("deploybot").unwrap();
    owner.age_keys.push(key.public.clone());
    let _process = world.start().await;
    let signed = Signed::new("/get_secret django/database#password sealed");
    let told = world.asked(&signed).await;
    assert!(
        told.text
            .starts_with(&format!("🔑 id={} sealed\n", signed.id))
    );
    let key = Identities::read(key.file.expose_secret(), || Err("none".into())).unwrap();
    let opened = age::open(told.text.as_bytes(), &key).unwrap();
    assert_eq!(opened.expose_secret(), format!("\"{VALUE}\"").as_bytes());
    world.is_kept_secret();
}

#[tokio::test]
async fn nothing_is_shown_in_plain_and_nothing_else_is_done() {
    let world = ci().await;
    let _process = world.start().await;
    for (command, expected) in [
        (
            "/get_secret django/database message",
            "failed\nA job is sent no plaintext in chat",
        ),
        (
            "/get_secret django/database socket",
            "failed\nA job is sent no plaintext in chat",
        ),
        (
            "/get_secret django/database mail",
            "failed\nAfter the path comes",
        ),
        ("/get_secret payroll/key", "denied\nYou are not permitted"),
        ("/get_secret no/such", "denied\nYou are not permitted"),
        ("/get_secret why", "failed\nThis needs approval. Say why"),
    ] {
        let signed = Signed::new(command);
        let told = world.asked(&signed).await.text;
        let expected = format!("id={} {expected}", signed.id);
        assert!(told.starts_with(&expected), "{command}: {told}");
    }
    // Without a signature a bot is a stranger, and so is who signs anything else.
    let put = Signed::new("/put_secret django/database a=b");
    for text in [READ.to_owned(), put.text(), "/help".to_owned()] {
        world.post(CI, text);
    }
    let before = world.answers(CI).len();
    world.settles().await;
    assert_eq!((world.answers(CI).len(), world.handed_over()), (before, 0));
    assert_eq!(world.store.reads.load(Ordering::SeqCst), 0);
    assert!(world.refused().is_empty());
    world.is_kept_secret();
}

#[tokio::test]
async fn while_chat_is_locked_nothing_is_used_up() {
    let world = ci().await;
    let process = world.start().await;
    world.coordination.put("locks/chat", b"").await.unwrap();
    let signed = Signed::new(READ);
    let told = world.asked(&signed).await.text;
    assert!(
        told.starts_with(&format!("id={} failed\nLocked", signed.id)),
        "{told}"
    );
    let target = Mounts::new(vec!["secret".into()]).unwrap();
    let request = Request {
        id: RequestId::Message {
            chat: 1,
            message: 1,
        },
        caller: deploybot(),
        action: Action::Read(Delivery::Wrapped),
        target: target.parse("django/database").unwrap(),
    };
    let done = process.broker.handle(request).await;
    assert!(matches!(done, Ok(vaultgram::broker::Outcome::Denied(_))));
    world.coordination.delete("locks/chat").await.unwrap();
    world.post(CI, signed.text());
    world.answer(CI, |m| m.text.contains(TOKEN)).await;
}

#[tokio::test]
async fn what_others_must_approve_is_had_once_they_did() {
    let mut world = ci().await.kept();
    world.policy = POLICY;
    for path in ["huge", "why"] {
        world
            .kept
            .as_ref()
            .unwrap()
            .write(path, &[("password", VALUE)]);
    }
    world.settings.approvals_chat = Some(-1_000_000_000_070);
    let _process = world.start().await;
    let ask = "/get_secret huge";
    let first = Signed::new(ask);
    let told = world.asked(&first).await.text;
    let head = format!("id={} waits\nRequest ", first.id);
    let (_, name) = told.split_once(&head).unwrap();
    let name: String = name.chars().take(6).collect();
    let again = Signed::new(ask);
    let told = world.asked(&again).await.text;
    assert!(
        told.starts_with(&format!("id={} waits\nRequest {name} ", again.id)),
        "{told}"
    );
    let card = |m: &Message| m.text.contains("Who: deploybot:deploybot");
    let waiting = world
        .dc
        .wait_for(BOB, Chat::Channel(GROUP), crate::support::SOON, card);
    assert!(waiting.await.is_some(), "a card");
    world
        .says(BOB, &format!("/approve {name}"), "is granted")
        .await;
    let told = world
        .answer(CI, |m| m.text.contains("✅ Request"))
        .await
        .text;
    assert!(
        told.ends_with("Send the command again, signed anew."),
        "{told}"
    );
    // What waited is not taken from who saw it, and what is asked anew is had.
    world.post(CI, first.text());
    let replayed = |world: &World| world.refused().len() == 1;
    world.until("a replay", replayed).await;
    let signed = Signed::new(ask);
    assert!(world.asked(&signed).await.text.contains(TOKEN));
    assert_eq!(world.handed_over(), 1);

    // Where policy wants to know why, that is signed too.
    let signed = Signed::new("/request_secret why the import of May");
    let told = world.asked(&signed).await.text;
    assert!(
        told.starts_with(&format!("id={} waits\n", signed.id)),
        "{told}"
    );
    world.is_kept_secret();
}

#[tokio::test]
async fn of_several_replicas_one_answers() {
    let (world, company) = (ci().await, Company::new());
    let two = [world.replica(&company).await, world.replica(&company).await];
    let all: Vec<_> = (0..20).map(|_| Signed::new(READ)).collect();
    for signed in &all {
        world.post(CI, signed.text());
    }
    for signed in &all {
        assert!(world.told_of(signed).await.text.contains(TOKEN));
    }
    // At the same time in two chats, as two messages.
    let twice = Signed::new(READ);
    world.post(CI, twice.text());
    world.send(CI, twice.text());
    let refused = |world: &World| world.refused().len() == 1;
    world.until("the other is a replay", refused).await;
    world.settles().await;
    assert_eq!(world.answers(CI).len(), all.len() + 2);
    assert_eq!(world.handed_over(), all.len() + 1);

    // Whoever has it ends: what it may have done is not done again.
    world.audit.slow.store(true, Ordering::SeqCst);
    let begun = world.audit.begun.load(Ordering::SeqCst);
    let signed = Signed::new(READ);
    world.post(CI, signed.text());
    until("it is begun", || {
        world.audit.begun.load(Ordering::SeqCst) > begun
    })
    .await;
    let (dead, _other) = by_claim(&company, two);
    dead.kill().await;
    let told = world.told_of(&signed).await.text;
    assert!(told.contains("interrupted"), "{told}");
    world.settles().await;
    assert_eq!(world.answers(CI).len(), all.len() + 3);
}
