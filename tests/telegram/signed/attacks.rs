//! Commands that are signed, and not quite right: each is refused, on record, and tells nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use telegram_dc::{Chat, Draft};
use vaultgram::telegram::StrangerReply;

use super::{CI, GROUP, KEY, OTHER, OTHER_KEY, READ, Signed, ci};
use crate::support::{ALICE, MALLORY, TOKEN, World};

type Change = fn(&Signed) -> String;

/// What the CI's own bot sends that is not right, and what is on record of it.
const WRONG: [(Change, &str); 14] = [
    (|it| it.text().replace("database", "other"), "signature"),
    (
        |it| it.text().replace("/database", "/database sealed"),
        "signature",
    ),
    (|it| it.text().replace("django/", "django//"), "signature"),
    (
        |it| it.text().replace("get_secret", "request_secret"),
        "signature",
    ),
    (|it| it.text().replace("id=msg_", "id=msg-"), "signature"),
    (
        |it| {
            it.text()
                .replace(&format!("ts={}", it.time), &format!("ts={}", it.time + 1))
        },
        "signature",
    ),
    (
        |it| it.text().replace("deploybot/1", "deploybot/2"),
        "key_unknown",
    ),
    (
        |it| it.text().replace(&it.signature, "v1,AAAA"),
        "signature",
    ),
    (
        |it| {
            let half = it.signature.split_at(20).0;
            it.text().replace(&it.signature, half)
        },
        "signature",
    ),
    (|it| it.text().replace(" key=deploybot/1", ""), "malformed"),
    (|it| format!("{} x", it.text()), "malformed"),
    (
        |it| {
            let Signed {
                command,
                id,
                time,
                signature,
                key,
            } = it;
            format!("{command} key={key} id={id} ts={time} sig={signature}")
        },
        "malformed",
    ),
    (|it| Signed::at(READ, it.time - 301, &KEY).text(), "expired"),
    (|it| Signed::at(READ, it.time + 310, &KEY).text(), "not_yet"),
];

#[tokio::test]
async fn what_is_not_quite_right_is_refused_and_on_record() {
    let world = ci().await;
    let _process = world.start().await;
    let mut told = BTreeSet::new();
    for (number, (change, reason)) in WRONG.into_iter().enumerate() {
        world.post(CI, change(&Signed::new(READ)));
        let refused = |world: &World| world.refused().len() > number;
        world.until(reason, refused).await;
        assert_eq!(
            world.refused()[number],
            (format!("telegram:{CI}"), reason),
            "{number}"
        );
        let answered = |world: &World| world.answers(CI).len() > number;
        world.until("it says so", answered).await;
        if matches!(reason, "signature" | "key_unknown") {
            let text = world.answers(CI).pop().unwrap().text;
            told.insert(text.lines().nth(1).unwrap().to_owned());
        }
    }
    assert_eq!(
        told.len(),
        1,
        "an unknown key is not told from a wrong one: {told:?}"
    );
    assert_eq!(world.handed_over(), 0);
    // None of it used anything up.
    let signed = Signed::new(READ);
    world.post(CI, signed.text().replace("database", "other"));
    world.told_of(&signed).await;
    world.post(CI, signed.text());
    world.answer(CI, |m| m.text.contains(TOKEN)).await;
    world.is_kept_secret();
}

#[tokio::test]
async fn it_counts_once_and_only_from_its_own_account() {
    let world = ci().await;
    let _process = world.start().await;
    let mut records = 0;
    let mut is_refused = async |from: i64, reason: &'static str| {
        let refused = |world: &World| world.refused().len() > records;
        world.until(reason, refused).await;
        assert_eq!(
            world.refused()[records],
            (format!("telegram:{from}"), reason)
        );
        records += 1;
    };
    // Before its own bot has sent it, whoever else has it.
    let signed = Signed::new(READ);
    for user in [ALICE, MALLORY, OTHER] {
        world.post(user, signed.text());
        is_refused(user, "sender").await;
    }
    for user in [ALICE, MALLORY] {
        world.send(user, signed.text());
        is_refused(user, "sender").await;
    }
    for draft in [
        Draft::new(signed.text()).forwarded_from(CI),
        Draft::new(signed.text()).via_bot(OTHER),
    ] {
        world.post(CI, draft);
        is_refused(CI, "second_hand").await;
    }
    world.post(CI, Draft::new(signed.text()).age(Duration::from_secs(90)));
    is_refused(CI, "expired").await;
    let wrong = signed.text().replace("database", "other");
    let sent = world.dc.send(CI, Chat::Channel(GROUP), "nothing").unwrap();
    let id = sent.id_for(CI).unwrap();
    world
        .dc
        .edit(CI, Chat::Channel(GROUP), id, signed.text())
        .unwrap();
    is_refused(CI, "second_hand").await;
    assert_eq!(world.handed_over(), 0);

    let sent = world
        .dc
        .send(CI, Chat::Channel(GROUP), signed.text())
        .unwrap();
    let id = sent.id_for(CI).unwrap();
    world.answer(CI, |m| m.text.contains(TOKEN)).await;
    world
        .dc
        .edit(CI, Chat::Channel(GROUP), id, &*wrong)
        .unwrap();
    is_refused(CI, "second_hand").await;
    world.post(CI, signed.text());
    is_refused(CI, "replayed").await;
    world.send(CI, signed.text());
    is_refused(CI, "replayed").await;
    // Another's key, in the hands of one who may send something.
    let mut theirs = Signed::at(READ, signed.time, &OTHER_KEY);
    "other/1".clone_into(&mut theirs.key);
    world.post(CI, theirs.text());
    is_refused(CI, "sender").await;
    world.settles().await;
    assert_eq!(world.handed_over(), 1);
    for user in [ALICE, MALLORY, OTHER] {
        assert!(world.answers(user).is_empty(), "{user}");
    }
    world.is_kept_secret();
}

#[tokio::test]
async fn where_nobody_signs_it_is_a_strangers_message_as_any_other() {
    let mut world = ci().await;
    world.settings.signers.clear();
    let sentence = "This account does not talk to you.";
    world.settings.stranger_reply = StrangerReply::Sentence(sentence.to_owned());
    let _process = world.start().await;
    for _ in 0..3 {
        world.send(MALLORY, Signed::new(READ).text());
    }
    world.answer(MALLORY, |m| m.text == sentence).await;
    world.settles().await;
    assert_eq!(world.answers(MALLORY).len(), 1);
    assert!(world.refused().is_empty());
}
