//! Lists, versions and changes in chat, and the confirmations before some of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use telegram_dc::Message;
use vaultgram::domain::VersionState;

use super::kept::KeptStore;
use super::support::{ALICE, BOB, BROKER, World};

/// Alice may do everything; Bob may list.
const POLICY: &str = r#"
permit(principal == TelegramUser::"1001", action, resource in Path::"secret");
permit(
    principal == TelegramUser::"1002",
    action == Action::"list",
    resource in Path::"secret"
);
"#;
const DENIED: &str = "You are not permitted to do this, or it does not exist.";
const STALE: &str =
    "Nothing waits for you under this code: it was used, ran out after two minutes, or never was.";
pub(crate) const KEY: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

impl World {
    /// With a store that keeps versions, and `django/database` in it.
    pub(crate) async fn keeping() -> Self {
        Self::new().await.kept()
    }

    pub(crate) fn kept(mut self) -> Self {
        let kept = KeptStore::default();
        kept.write(
            "django/database",
            &[("password", "old"), ("user", "django")],
        );
        self.kept = Some(Arc::new(kept));
        self.policy = POLICY;
        self
    }

    pub(crate) fn newest(&self, path: &str) -> (usize, Vec<(String, String)>) {
        self.kept.as_ref().unwrap().newest(path)
    }

    /// The answer to a command.
    pub(crate) async fn ask(&self, user: i64, text: &str) -> Message {
        let before = self.answers(user).last().map_or(0, |message| message.id);
        self.send(user, text);
        self.answer(user, |message| message.id > before).await
    }

    pub(crate) async fn says(&self, user: i64, text: &str, expected: &str) {
        let answer = self.ask(user, text).await.text;
        assert!(answer.contains(expected), "{text}: {answer}");
    }

    /// Alice confirms what she was asked.
    async fn confirms(&self, question: &str, expected: &str) {
        let confirm = format!("/confirm {}", code(question));
        self.says(ALICE, &confirm, expected).await;
    }
}

/// The code that a question asks for.
pub(crate) fn code(question: &str) -> String {
    let (_, rest) = question.split_once("/confirm ").expect(question);
    rest.chars().take(4).collect()
}

fn pairs(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    fields.iter().map(pair).collect()
}

#[tokio::test]
async fn folders_and_versions_are_shown() {
    let world = World::keeping().await;
    let kept = world.kept.as_ref().unwrap();
    kept.write("django/cache", &[("a", "b")]);
    kept.write("django/cache", &[("a", "c")]);
    let _process = world.start().await;
    let list = world.ask(BOB, "/list django").await;
    assert_eq!(list.text, "secret/django holds:\ncache\ndatabase");
    world
        .says(ALICE, "/list nothing", "no secret at this path")
        .await;
    world
        .says(
            ALICE,
            "/delete_secret django/cache@1",
            "Delete version 1 of secret/django/cache? The newest is version 2.",
        )
        .await;
    let versions = world.ask(ALICE, "/versions django/cache").await;
    assert_eq!(
        versions.text,
        "secret/django/cache is at version 2.\n   2  2026-01-02 03:04 UTC  live\n   1  2026-01-02 03:04 UTC  live"
    );
    assert_eq!(versions.entities.len(), 1, "letters of one width");
    for n in 0..1000 {
        kept.write(&format!("many/secret-{n}"), &[]);
    }
    let many = world.ask(ALICE, "/list many").await.text;
    assert!(
        many.ends_with(" more") && many.encode_utf16().count() <= 4096,
        "{many}"
    );
    let shown = many.lines().count() - 2;
    assert!(
        many.ends_with(&format!("\n… and {} more", 1000 - shown)),
        "{many}"
    );
}

#[tokio::test]
async fn a_new_secret_is_written_and_changed_at_once() {
    let world = World::keeping().await;
    let _process = world.start().await;
    let put = "/put_secret django/new user=me password=\"two words\"";
    world
        .says(ALICE, put, "secret/django/new is written as version 1.")
        .await;
    let fields = pairs(&[("password", "two words"), ("user", "me")]);
    assert_eq!(world.newest("django/new"), (1, fields));
    world
        .says(
            ALICE,
            "/patch_secret django/new user=you",
            "is written as version 2.",
        )
        .await;
    let fields = pairs(&[("password", "two words"), ("user", "you")]);
    assert_eq!(world.newest("django/new"), (2, fields));
    world
        .says(
            ALICE,
            "/patch_secret django/none user=you",
            "no secret at this path",
        )
        .await;
}

#[tokio::test]
async fn what_exists_is_replaced_only_when_confirmed() {
    let world = World::keeping().await;
    let _process = world.start().await;
    let question = world.ask(ALICE, "/put_secret django/database a=b").await;
    assert!(
        question.text.contains("exists, at version 1"),
        "{}",
        question.text
    );
    assert!(!question.text.contains("a=b") && question.buttons.is_empty());
    assert_eq!(world.newest("django/database").0, 1);
    let confirm = format!("/confirm {}", code(&question.text).to_lowercase());
    world
        .says(ALICE, &confirm, "is written as version 2.")
        .await;
    assert_eq!(world.newest("django/database"), (2, pairs(&[("a", "b")])));
    assert_eq!(world.ask(ALICE, &confirm).await.text, STALE);

    // Somebody else is faster.
    let question = world
        .ask(ALICE, "/put_secret django/database c=d")
        .await
        .text;
    world
        .kept
        .as_ref()
        .unwrap()
        .write("django/database", &[("by", "another")]);
    world.confirms(&question, "at version 3 by now").await;
    assert_eq!(
        world.newest("django/database"),
        (3, pairs(&[("by", "another")]))
    );
}

#[tokio::test]
async fn a_deletion_is_of_the_version_that_was_shown() {
    let world = World::keeping().await;
    let kept = world.kept.as_ref().unwrap();
    let _process = world.start().await;
    let question = world
        .ask(ALICE, "/delete_secret django/database")
        .await
        .text;
    assert!(
        question.contains("Delete version 1, the newest,"),
        "{question}"
    );
    kept.write("django/database", &[("newer", "one")]);
    let done = "Version 1 of secret/django/database is deleted; /undelete secret/django/database@1";
    world.confirms(&question, done).await;
    let states = || [1, 2].map(|version| kept.state("django/database", version));
    assert_eq!(states(), [VersionState::Deleted, VersionState::Live]);
    world
        .says(ALICE, "/undelete django/database", "PATH@N")
        .await;
    assert_eq!(states(), [VersionState::Deleted, VersionState::Live]);
    world
        .says(ALICE, "/undelete secret/django/database@1", "Version 1 of")
        .await;
    assert_eq!(states(), [VersionState::Live, VersionState::Live]);
    world
        .says(
            ALICE,
            "/delete_secret django/none",
            "no secret at this path",
        )
        .await;
}

#[tokio::test]
async fn a_rotation_changes_one_field_and_tells_nobody_its_value() {
    let world = World::keeping().await;
    let _process = world.start().await;
    let question = world
        .ask(ALICE, "/rotate django/database#password hex")
        .await
        .text;
    assert!(
        question.contains("database#password by a random value (hex)"),
        "{question}"
    );
    let answer = world
        .ask(ALICE, &format!("/confirm {}", code(&question)))
        .await;
    assert_eq!(
        answer.text,
        "secret/django/database#password has a new random value, written as version 2."
    );
    let (_, fields) = world.newest("django/database");
    assert_eq!(fields[1], ("user".to_owned(), "django".to_owned()));
    assert_eq!(fields[0].1.len(), 64);
    assert!(
        world
            .answers(ALICE)
            .iter()
            .all(|answer| !answer.text.contains(&fields[0].1))
    );
}

#[tokio::test]
async fn a_rotation_is_of_the_version_that_was_shown() {
    let world = World::keeping().await;
    let _process = world.start().await;
    let question = world
        .ask(ALICE, "/rotate django/database#password")
        .await
        .text;
    let kept = world.kept.as_ref().unwrap();
    kept.write("django/database", &[("password", "by another")]);
    world
        .says(
            ALICE,
            &format!("/confirm {}", code(&question)),
            "The secret is at version 2 by now; look at it (/versions), then ask again.",
        )
        .await;
    let fields = pairs(&[("password", "by another")]);
    assert_eq!(world.newest("django/database"), (2, fields));
}

#[tokio::test]
async fn a_field_that_is_not_there_is_not_rotated() {
    let world = World::keeping().await;
    let _process = world.start().await;
    let refused = "The secret has no such field.";
    world
        .says(ALICE, "/rotate django/database#pasword", refused)
        .await;
    let question = world.ask(ALICE, "/rotate django/database#user").await.text;
    let kept = world.kept.as_ref().unwrap();
    kept.write("django/database", &[("password", "by another")]);
    world.confirms(&question, refused).await;
    assert_eq!(world.newest("django/database").0, 2);
}

#[tokio::test]
async fn a_code_is_for_its_owner_for_two_minutes_and_can_be_let_go() {
    let world = World::keeping().await;
    let _process = world.start().await;
    let ask = "/delete_secret django/database";
    let mine = world.ask(ALICE, ask).await.text;
    let confirm = format!("/confirm {}", code(&mine));
    for (user, text) in [
        (BOB, confirm.as_str()),
        (BOB, "/confirm ZZZZ"),
        (ALICE, "/cancel ZZZZ"),
    ] {
        assert_eq!(world.ask(user, text).await.text, STALE);
    }
    let other = world.ask(ALICE, ask).await.text;
    let cancel = format!("/cancel {}", code(&other));
    world
        .says(ALICE, &cancel, "Cancelled; nothing was changed.")
        .await;
    world.confirms(&other, STALE).await;
    // Time passes, also for Telegram, or the command itself would be too old.
    world.clock.0.store(121, Ordering::SeqCst);
    world.dc.clock_skew(121);
    assert_eq!(world.ask(ALICE, &confirm).await.text, STALE);
    assert_eq!(
        world.kept.as_ref().unwrap().state("django/database", 1),
        VersionState::Live
    );
}

#[tokio::test]
async fn a_confirmation_that_found_no_vault_can_be_given_again() {
    let world = World::keeping().await;
    let _process = world.start().await;
    let kept = world.kept.as_ref().unwrap();
    for (ask, done) in [
        ("/put_secret django/database a=b", "written as version 2"),
        ("/delete_secret django/database", "Version 2 of"),
    ] {
        let question = world.ask(ALICE, ask).await.text;
        let confirm = format!("/confirm {}", code(&question));
        kept.down.store(true, Ordering::SeqCst);
        let answer = world.ask(ALICE, &confirm).await.text;
        assert!(answer.contains("Vault cannot be reached"), "{answer}");
        assert!(answer.contains("the question still stands"), "{answer}");
        assert!(answer.contains(&confirm), "{answer}");
        // The same message once more is not another.
        world.dc.repeat_update(BROKER);
        world.quiet().await;
        kept.down.store(false, Ordering::SeqCst);
        world.says(ALICE, &confirm, done).await;
        assert_eq!(world.ask(ALICE, &confirm).await.text, STALE);
    }
}

#[tokio::test]
async fn a_person_has_only_so_many_questions() {
    let world = World::keeping().await;
    let _process = world.start().await;
    for _ in 0..5 {
        world
            .says(ALICE, "/delete_secret django/database", "/confirm")
            .await;
    }
    world
        .says(ALICE, "/delete_secret django/database", "5 questions wait")
        .await;
}

#[tokio::test]
async fn whoever_may_not_is_not_even_asked() {
    let world = World::keeping().await;
    let _process = world.start().await;
    for text in [
        "/versions django/database",
        "/put_secret django/database a=b",
        "/put_secret django/none a=b",
        "/patch_secret django/database a=b",
        "/delete_secret django/database",
        "/delete_secret django/none",
        "/undelete django/database",
        "/rotate django/database#password",
        "/get_keys",
    ] {
        assert_eq!(world.ask(BOB, text).await.text, DENIED, "{text}");
    }
    assert_eq!(world.newest("django/database").0, 1);
    assert_eq!(world.newest("django/none").0, 0);
}

#[tokio::test]
async fn a_confirmation_is_received_twice_and_done_once() {
    let world = World::keeping().await;
    let _process = world.start().await;
    let question = world
        .ask(ALICE, "/rotate django/database#password")
        .await
        .text;
    world.confirms(&question, "version 2").await;
    world.dc.repeat_update(BROKER);
    world.quiet().await;
    let last = world.answers(ALICE).pop().unwrap();
    assert!(last.text.contains("version 2"), "{}", last.text);
    assert_eq!(world.newest("django/database").0, 2);
}

#[tokio::test]
async fn keys_are_registered_and_forgotten_when_confirmed() {
    let world = World::keeping().await;
    let _process = world.start().await;
    world.says(ALICE, "/keys", "You have no key").await;
    world
        .says(ALICE, "/register_key age1nonsense", "not a public age key")
        .await;
    let question = world.ask(ALICE, &format!("/register_key {KEY}")).await.text;
    world.says(ALICE, "/keys", "You have no key").await;
    world.confirms(&question, "The key is registered").await;
    world
        .says(ALICE, "/keys", &format!("1. {KEY} (since 20"))
        .await;
    world.says(BOB, "/keys", "You have no key").await;
    for name in ["2", "0", "age1other"] {
        world
            .says(ALICE, &format!("/forget_key {name}"), "no such key")
            .await;
    }
    let question = world.ask(ALICE, "/forget_key 1").await.text;
    assert!(question.contains(KEY), "{question}");
    world.confirms(&question, "The key is forgotten").await;
    world.says(ALICE, "/keys", "You have no key").await;
}

#[tokio::test]
async fn administrators_get_the_accounts_keys() {
    let mut world = World::keeping().await;
    world.admins.insert(ALICE);
    world
        .kept
        .as_ref()
        .unwrap()
        .write("telegram", &[("api_hash", "0123")]);
    let _process = world.start().await;
    let answer = world.ask(ALICE, "/get_keys").await;
    assert!(answer.text.contains("secret/telegram") && answer.text.contains("0123"));
    assert!(!answer.entities.is_empty(), "hidden");
    assert_eq!(world.ask(BOB, "/get_keys").await.text, DENIED);
}
