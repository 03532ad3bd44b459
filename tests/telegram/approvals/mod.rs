//! Requests for approval in chat: asked for, shown on a card, decided on, granted and taken back.

mod replicas;
mod telling;

use std::sync::atomic::Ordering;
use std::time::Duration;

use telegram_dc::{Chat, Draft, Message, User};
use vaultgram::broker::ports::Coordination;
use vaultgram::domain::caller::{ChatKind, TelegramUser};
use vaultgram::domain::group::{Groups, Member};
use vaultgram::domain::person::Account;
use vaultgram::domain::{Caller, People};

use crate::support::{A_WHILE, ALICE, BOB, BROKER, MALLORY, World};

/// Of the leads, and of security.
const CAROL: i64 = 1003;
/// An administrator, and in no group.
const DAN: i64 = 1004;
/// The supergroup where requests are decided on.
const DESK: i64 = 80;
const DESK_ID: i64 = -1_000_000_000_080;
/// The same for a bot: a small group.
const SMALL: i64 = 70;

/// What each path costs.
const POLICY: &str = r#"
@id("one") @approvals("1") @approvers("leads") @grant("1h") @reason("5")
permit(principal, action, resource == Path::"secret/one");
@id("two") @approvals("2") @approvers("leads") @reason("5")
permit(principal, action, resource == Path::"secret/two");
@id("free-reason") @approvals("1") @approvers("leads")
permit(principal, action, resource == Path::"secret/open");
@id("code") @approvals("1") @approvers("leads") @step_up("totp") @once("true")
permit(principal, action, resource == Path::"secret/code");
@id("glass") @approvals("2") @approvers("leads") @break_glass("15m")
permit(principal, action, resource == Path::"secret/glass");
@id("why") @reason("5") @grant("30m")
permit(principal, action, resource == Path::"secret/why");
"#;

async fn at(mut world: World, chat: Option<i64>) -> World {
    for (id, name) in [(CAROL, "Carol"), (DAN, "Dan")] {
        world.dc.add_user(User::new(id, name));
    }
    let all = [BROKER, ALICE, BOB, CAROL, DAN, MALLORY];
    world.dc.add_supergroup(DESK, "Desk", &all);
    world.dc.add_group(SMALL, "Desk", &all);
    world.settings.allowed_users = [ALICE, BOB, CAROL, DAN].into();
    world.admins = [DAN].into();
    world.settings.approvals_chat = chat;
    // What waits for a long time here is moved by the clock, not by a wait.
    world.settings.command_age = Duration::from_hours(12);
    let mut world = world.kept();
    world.policy = POLICY;
    world.groups = groups(&[BOB, CAROL]);
    let kept = world.kept.as_ref().unwrap();
    for path in ["one", "two", "open", "code", "glass", "why"] {
        kept.write(path, &[("password", "hunter2")]);
    }
    // So that they can be written to.
    for user in [ALICE, BOB, CAROL, DAN] {
        world.send(user, "hello");
    }
    world
}

fn groups(leads: &[i64]) -> Groups {
    let members = leads
        .iter()
        .map(|id| Member::Account(Account::Telegram(*id)))
        .collect();
    Groups::new(&[("leads".to_owned(), members)].into(), People::default()).unwrap()
}

async fn desk() -> World {
    at(World::new().await, Some(DESK_ID)).await
}

impl World {
    /// Asks for approval, and gives the request's name.
    async fn request(&self, user: i64, text: &str) -> String {
        let answer = self.ask(user, text).await.text;
        let (_, name) = answer.split_once("equest ").expect(&answer);
        name.chars().take(6).collect()
    }

    /// Alice asks for approval of `path`: the request's name, and its card.
    async fn waiting(&self, path: &str) -> (String, Message) {
        let text = format!("/request_secret {path} fix the import");
        let id = self.request(ALICE, &text).await;
        let card = self.shows(&id, "waits for approval").await;
        (id, card)
    }

    /// Somebody votes for a request, and is answered this.
    async fn approves(&self, user: i64, id: &str, answer: &str) {
        self.says(user, &format!("/approve {id}"), answer).await;
    }

    /// What the broker wrote into the approvals chat.
    fn desk(&self) -> Vec<Message> {
        let mut messages = self.dc.history(BOB, Chat::Channel(DESK));
        messages.retain(|it| it.from == telegram_dc::Sender::User(BROKER));
        messages
    }

    fn cards(&self, id: &str) -> Vec<Message> {
        let mut cards = self.desk();
        cards.retain(|it| it.text.starts_with(&format!("📋 Request {id} ")));
        cards
    }

    /// Waits until the one card of a request says this.
    async fn shows(&self, id: &str, expected: &str) -> Message {
        self.until(expected, |world| {
            let cards = world.cards(id);
            cards.len() == 1 && cards[0].text.contains(expected)
        })
        .await;
        self.cards(id).pop().unwrap()
    }

    /// Waits until somebody is written this.
    async fn told(&self, user: i64, expected: &str) -> String {
        self.answer(user, |it| it.text.contains(expected))
            .await
            .text
    }

    fn post_to_desk(&self, user: i64, draft: impl Into<Draft>) {
        self.dc.send(user, Chat::Channel(DESK), draft).unwrap();
    }

    /// The clock goes on by so much.
    fn later(&self, seconds: i64) {
        self.clock.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

fn caller(id: i64) -> Caller {
    let chat = ChatKind::Private;
    Caller::Telegram(TelegramUser { id, chat })
}

#[tokio::test]
async fn two_agree_and_it_is_had_until_it_is_revoked() {
    let world = desk().await;
    let _process = world.start().await;
    world
        .says(
            ALICE,
            "/get_secret two",
            "/request_secret secret/two REASON",
        )
        .await;
    let (id, card) = world.waiting("two").await;
    for line in [
        "Who: telegram:1001\nWhat: read secret/two\nWhy: fix the import\nFor: 60 min\n",
        "Policy two wants: 2 of leads; so far 0\n",
        &format!("/deny {id} REASON"),
    ] {
        assert!(card.text.contains(line), "{}", card.text);
    }
    assert!(card.buttons.is_empty(), "people have none");

    world.post_to_desk(BOB, Draft::new("Approve").reply_to(card.id));
    world
        .shows(&id, "so far 1\nApproved by: telegram:1002")
        .await;
    world
        .until("a short answer", |world| {
            let said = |it: &Message| it.text.starts_with(&format!("Your vote for {id} counts."));
            world.desk().iter().any(said)
        })
        .await;
    world.post_to_desk(BOB, Draft::new("approve").reply_to(card.id));
    world.told(BOB, "You approved this request already").await;
    world.approves(CAROL, &id, "is granted").await;
    world.shows(&id, "✅ is granted").await;
    let told = world.told(ALICE, "✅ Request").await;
    assert!(
        told.contains("by telegram:1002, telegram:1003, until")
            && told.ends_with("Send: /get_secret secret/two"),
        "{told}"
    );
    world.says(ALICE, "/get_secret two", "hunter2").await;
    world.send(ALICE, &*format!("/revoke {id}"));
    // The answer and the notice come in any order.
    world.told(ALICE, "is revoked").await;
    world.told(ALICE, "was revoked by").await;
    world.shows(&id, "❌ is revoked by telegram:1001").await;
    world
        .says(ALICE, "/get_secret two", "This needs approval")
        .await;
    assert!(world.desk().iter().all(|it| !it.text.contains("hunter2")));
}

#[tokio::test]
async fn a_reason_that_is_enough_is_granted_at_once() {
    let world = desk().await;
    let _process = world.start().await;
    let how = "This needs a reason. Say why, in 5 characters or more, and it is granted at once: \
               /request_secret secret/why REASON";
    world.says(ALICE, "/get_secret why", how).await;
    let answer = world.ask(ALICE, "/request_secret why fix the import").await;
    let (begin, next) = answer.text.split_once(". ").unwrap();
    assert!(begin.contains(" is granted automatically, until "));
    assert_eq!(next, "Send: /get_secret secret/why");
    let id = begin.split(' ').nth(1).unwrap();
    let card = world.shows(id, "✅ is granted automatically").await;
    assert!(card.text.contains("Why: fix the import\nHolds until: "));
    for asked in ["Policy", "/approve", "Approved by"] {
        assert!(!card.text.contains(asked), "{}", card.text);
    }
    world.says(ALICE, "/get_secret why", "hunter2").await;
    let longer = format!("/extend {id} it takes longer");
    let said = format!(" is granted automatically: {id} holds until ");
    world.says(ALICE, &longer, &said).await;
    world.send(ALICE, &*format!("/revoke {id}"));
    // The answer and the notice come in any order.
    world.told(ALICE, "is revoked").await;
    world.told(ALICE, "was revoked by").await;
    world.shows(id, "❌ is revoked by telegram:1001").await;
    world
        .says(ALICE, "/get_secret why", "This needs a reason")
        .await;
}

#[tokio::test]
async fn votes_that_nobody_simply_wrote_do_not_count() {
    let world = desk().await;
    let _process = world.start().await;
    let (id, card) = world.waiting("one").await;
    let vote = || Draft::new("approve").reply_to(card.id);
    let command = format!("/approve {id}");
    for draft in [
        vote().forwarded_from(CAROL),
        vote().via_bot(7),
        vote().sent_as(DESK),
        vote().age(Duration::from_hours(13)),
        Draft::new(&command).forwarded_from(CAROL),
        Draft::new(&command).via_bot(7),
        Draft::new(&command).sent_as(DESK),
    ] {
        world.post_to_desk(BOB, draft);
    }
    world.post_to_desk(MALLORY, vote());
    world.post_to_desk(MALLORY, &*command);
    let edited = world.dc.send(BOB, Chat::Channel(DESK), "hm").unwrap();
    let edited = edited.id_for(BOB).unwrap();
    world
        .dc
        .edit(BOB, Chat::Channel(DESK), edited, &*command)
        .unwrap();
    // To something else than the card it is talk.
    world.post_to_desk(BOB, Draft::new("approve").reply_to(edited));
    world.post_to_desk(BOB, "approve");
    // Neither who asked, nor who is not asked.
    world.post_to_desk(ALICE, vote());
    world.told(ALICE, "This request is your own").await;
    world
        .says(DAN, &command, "none of those who may decide")
        .await;
    world.quiet().await;
    tokio::time::sleep(A_WHILE).await;
    world.shows(&id, "so far 0").await;
    world.says(BOB, &command, "is granted").await;
    world.shows(&id, "✅ is granted").await;
}

#[tokio::test]
async fn a_denial_ends_it_and_says_why() {
    let world = desk().await;
    let _process = world.start().await;
    let (id, card) = world.waiting("two").await;
    world.post_to_desk(BOB, Draft::new("deny").reply_to(card.id));
    world.told(BOB, "Say why, for others to read").await;
    world.post_to_desk(CAROL, Draft::new("deny: not before noon").reply_to(card.id));
    let card = world.shows(&id, "❌ is denied by telegram:1003").await;
    assert!(card.text.contains("not before noon") && !card.text.contains("/deny"));
    let told = world.told(ALICE, "is denied by").await;
    assert!(told.ends_with("telegram:1003: not before noon"), "{told}");
    let over = "This request is over: telegram:1003 denied it";
    world.approves(BOB, &id, over).await;
    let kept = world.coordination.get(&format!("cards/{id}")).await;
    let kept = String::from_utf8(kept.unwrap().unwrap()).unwrap();
    assert!(
        kept.contains("\"settled\":1"),
        "it is forgotten some day: {kept}"
    );
}

#[tokio::test]
async fn lists_show_each_their_own() {
    let world = desk().await;
    let _process = world.start().await;
    let (mine, _) = world.waiting("one").await;
    // Policy asks for no reason, so asking for the secret is enough.
    let asked = world.request(BOB, "/get_secret open").await;
    world.shows(&asked, "waits for approval").await;
    let list = world.ask(ALICE, "/requests").await.text;
    assert!(
        list.contains(&format!("{mine}  pending  0 of 1  read secret/one  "))
            && !list.contains(&asked),
        "{list}"
    );
    let list = world.ask(CAROL, "/admin_list").await.text;
    assert!(list.contains(&mine) && list.contains(&asked) && list.contains("telegram:1001"));
    world
        .says(ALICE, &format!("/request {asked}"), "no such request")
        .await;
    world
        .says(
            ALICE,
            &format!("/request status {mine}"),
            "Why: fix the import",
        )
        .await;
    world.says(DAN, "/status", "Requests: 2 waiting").await;
    let status = world.ask(ALICE, "/status").await.text;
    assert!(!status.contains("Requests"), "{status}");
    world
        .says(BOB, &format!("/cancel {mine}"), "somebody else's")
        .await;
    world
        .says(ALICE, &format!("/cancel {mine}"), "is cancelled")
        .await;
    world.shows(&mine, "is cancelled by who asked").await;
    world
        .says(
            ALICE,
            "/request list secret/none fix it",
            "or it does not exist",
        )
        .await;
}

#[tokio::test]
async fn a_code_is_checked_once_and_does_not_stay() {
    let world = desk().await;
    let _process = world.start().await;
    let id = world.request(ALICE, "/request_secret code").await;
    let card = world.shows(&id, "approve CODE").await;
    assert!(card.text.contains("For: 60 min, for one use\n"));
    world.post_to_desk(BOB, Draft::new("approve").reply_to(card.id));
    world.told(BOB, "needs a code of your authenticator").await;
    world
        .says(
            BOB,
            &format!("/approve {id} 999999"),
            "not the code your authenticator shows",
        )
        .await;
    world
        .says(BOB, &format!("/approve {id} 123 456"), "is granted")
        .await;
    world
        .until("the codes are gone", |world| {
            let chat = world.dc.history(BOB, Chat::User(BROKER));
            chat.iter()
                .all(|it| !it.text.contains("123 456") && !it.text.contains("999999"))
        })
        .await;
    world.shows(&id, "✅ is granted").await;
}

#[tokio::test]
async fn broken_glass_is_loud_until_somebody_has_looked() {
    let world = desk().await;
    let process = world.start().await;
    world
        .says(
            ALICE,
            "/break_glass one nobody answers me",
            "nobody break the glass",
        )
        .await;
    let answer = world
        .ask(ALICE, "/break_glass glass nobody answers me")
        .await
        .text;
    assert!(
        answer.contains("hunter2") && answer.contains("You broke the glass ("),
        "{answer}"
    );
    let (_, id) = answer.split_once("the glass (").unwrap();
    let id = id.get(..6).unwrap();
    let card = world.shows(id, "went ahead without approval").await;
    assert!(
        card.text.contains("Why: nobody answers me"),
        "{}",
        card.text
    );
    world.told(DAN, "went ahead without approval").await;
    world
        .says(DAN, "/status", "1 with broken glass to review")
        .await;
    world
        .says(ALICE, &format!("/reviewed {id} all is well"), "your own")
        .await;
    world.later(3700);
    process.broker.tend_approvals().await.unwrap();
    let nags = |world: &World| {
        let nag = |it: &Message| it.text.contains("nobody has looked at it");
        let desk = world.desk().iter().filter(|it| nag(it)).count();
        (desk, world.answers(DAN).iter().filter(|it| nag(it)).count())
    };
    world.until("it nags", |world| nags(world) == (1, 1)).await;
    world.post_to_desk(
        BOB,
        Draft::new("reviewed the import is fixed").reply_to(card.id),
    );
    world.shows(id, "Reviewed by telegram:1002").await;
    world.later(3700);
    process.broker.tend_approvals().await.unwrap();
    world.quiet().await;
    assert_eq!(nags(&world), (1, 1));
    assert!(
        world
            .answers(ALICE)
            .iter()
            .all(|it| !it.text.contains("nobody has looked"))
    );
}

#[tokio::test]
async fn what_time_does_is_told() {
    let world = desk().await;
    let process = world.start().await;
    let (late, _) = world.waiting("two").await;
    let (id, _) = world.waiting("one").await;
    world.approves(BOB, &id, "is granted").await;
    world.told(ALICE, "✅ Request").await;
    world.later(56 * 60);
    process.broker.tend_approvals().await.unwrap();
    world
        .told(
            ALICE,
            &format!("To have it for longer: /extend {id} REASON"),
        )
        .await;
    let more = world
        .request(ALICE, &format!("/extend {id} still at it"))
        .await;
    world
        .shows(&more, &format!("for longer than {id} was granted"))
        .await;
    world.approves(CAROL, &more, "is granted").await;
    world.told(ALICE, &format!("{id} holds for longer")).await;
    world.later(24 * 3600);
    process.broker.tend_approvals().await.unwrap();
    world.shows(&late, "nobody decided in time").await;
    world
        .told(ALICE, &format!("Request {late} for secret/two expired"))
        .await;
    world.shows(&id, "✅ was granted, and ended").await;
}
