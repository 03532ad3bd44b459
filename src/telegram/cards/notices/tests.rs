//! Who sees a card and who is written what, of every state that a request can be in.

use time::OffsetDateTime;
use time::macros::datetime;

use super::*;
use crate::domain::approval::Vote;
use crate::domain::caller::{ChatKind, TelegramUser, UnixPeer};
use crate::domain::person::Account;
use crate::domain::{Action, ApprovalId, Delivery, Job, SecretPath, Target};
use crate::telegram::Signer;
use crate::telegram::reply::Reply;

const START: OffsetDateTime = datetime!(2026-01-01 12:00 UTC);
const DESK: i64 = -100;

/// Alice, who has two accounts, asks; Bob and a stranger may decide, Dan administers.
const ALICE: [i64; 2] = [1, 11];
const BOB: i64 = 2;
const DAN: i64 = 4;
const STRANGER: i64 = 9;
/// The account that sends what the job `deploybot` signed.
const CI: i64 = 70;

fn told() -> Told {
    Told {
        requester: ALICE.into(),
        approvers: [BOB, STRANGER].into(),
        admins: [DAN, STRANGER].into(),
    }
}

fn settings(chat: Option<i64>) -> Settings {
    let signer = Signer {
        accounts: [CI].into(),
        age_keys: vec![],
    };
    Settings {
        approvals_chat: chat,
        signers: [("deploybot".to_owned(), signer)].into(),
        ..Settings::new(1, [ALICE[0], ALICE[1], BOB, DAN].into())
    }
}

fn in_state(state: State) -> ApprovalInfo {
    let chat = ChatKind::Private;
    ApprovalInfo {
        id: ApprovalId::read("R7K2XQ").unwrap(),
        requester: "alice".to_owned(),
        caller: Caller::Telegram(TelegramUser { id: ALICE[0], chat }),
        in_chat: true,
        action: Action::Read(Delivery::Message),
        target: Target {
            path: SecretPath::new("secret", "app").unwrap(),
            field: None,
            version: None,
        },
        reason: String::new(),
        opened: START,
        waits_until: START + Duration::from_hours(24),
        state,
        since: START,
        grant: None,
        review: None,
        extends: None,
        votes: vec![],
        asks: vec![],
        revision: 1,
    }
}

fn granted(once: bool, warned: bool, span: Duration) -> ApprovalInfo {
    ApprovalInfo {
        grant: Some(Grant {
            since: START,
            until: START + span,
            once,
            warned,
        }),
        votes: vec![Vote {
            account: Account::Telegram(2),
            person: "bob".to_owned(),
            at: START,
            step_up: None,
        }],
        ..in_state(State::Granted)
    }
}

fn broken(reminders: u32) -> ApprovalInfo {
    let reminded = START;
    ApprovalInfo {
        review: Some(Review::Open {
            reminded,
            reminders,
        }),
        ..granted(false, true, SHORT)
    }
}

/// What is written to whom, in the desk's chat or without one.
fn said(approval: &ApprovalInfo, chat: Option<i64>) -> Vec<(i64, String)> {
    let (told, settings) = (told(), settings(chat));
    let places = places(approval, &told, &settings, false);
    let notices = notices(approval, &told, &settings, &places);
    notices.into_iter().map(|it| (it.to, it.text)).collect()
}

/// As [`said`], where it is one thing to the account that asked.
#[track_caller]
fn to_alice(approval: &ApprovalInfo) -> String {
    let [(to, text)] = &said(approval, Some(DESK))[..] else {
        panic!("{:?}", said(approval, Some(DESK)));
    };
    assert_eq!(*to, ALICE[0]);
    text.clone()
}

#[test]
fn a_card_stands_in_the_chat_for_it_or_with_those_who_decide_and_are_listened_to() {
    let at = |approval: &ApprovalInfo, chat, refuses| {
        let places = places(approval, &told(), &settings(chat), refuses);
        places.into_iter().collect::<Vec<_>>()
    };
    let pending = in_state(State::Pending);
    assert_eq!(at(&pending, Some(DESK), false), [DESK]);
    assert_eq!(at(&pending, Some(DESK), true), [DESK, BOB]);
    assert_eq!(at(&pending, None, false), [BOB]);
    assert_eq!(at(&broken(0), Some(DESK), false), [DESK, DAN]);
    assert_eq!(at(&broken(0), None, false), [BOB, DAN]);
}

#[test]
fn what_was_over_before_anybody_saw_it_is_no_news() {
    for state in [State::Pending, State::Granted] {
        assert!(is_news(&in_state(state)));
    }
    for state in [State::Cancelled, State::Expired, State::Ended] {
        assert!(!is_news(&in_state(state)));
    }
    let ended = ApprovalInfo {
        state: State::Ended,
        ..broken(0)
    };
    assert!(is_news(&ended), "somebody must look at it");
}

#[test]
fn a_job_is_told_where_it_asked() {
    let job = |in_chat, owner: &str| {
        let caller = Caller::Job(Job {
            issuer: owner.to_owned(),
            subject: owner.to_owned(),
            claims: [].into(),
        });
        let approval = ApprovalInfo {
            caller,
            in_chat,
            ..granted(false, false, SHORT)
        };
        said(&approval, Some(DESK))
    };
    let told = job(true, "deploybot");
    assert_eq!(told[0].0, CI);
    assert!(told[0].1.ends_with("Send the command again, signed anew."));
    assert_eq!(told.len(), 1);
    assert_eq!(job(true, "other"), []);
    // Over HTTPS it waits for an answer, and only its person hears of it.
    assert!(
        job(false, "deploybot")
            .iter()
            .all(|(to, _)| ALICE.contains(to))
    );
}

#[test]
fn a_jobs_card_links_to_its_run() {
    let claims = [
        ("iss", "https://token.actions.githubusercontent.com"),
        ("repository", "acme/web"),
        ("run_id", "30"),
    ];
    let claims = claims.map(|(name, text)| (name, text.to_owned()));
    let card = ApprovalInfo {
        caller: Caller::Job(Job {
            issuer: "github".to_owned(),
            subject: "repo:acme/web".to_owned(),
            claims: claims.into(),
        }),
        ..in_state(State::Pending)
    };
    let text = Reply::card(&card, None).text;
    let line = "\nRun: https://github.com/acme/web/actions/runs/30\n";
    assert!(text.contains(line), "{text}");
    let text = Reply::card(&in_state(State::Pending), None).text;
    assert!(!text.contains("Run:"), "{text}");
}

#[test]
fn who_asked_is_told_what_became_of_it() {
    let by = || "bob".to_owned();
    let denied = |reason: &str| {
        let reason = reason.to_owned();
        to_alice(&in_state(State::Denied { by: by(), reason }))
    };
    let of_it = "Request R7K2XQ for secret/app";
    assert_eq!(
        denied("not now"),
        format!("{of_it} is denied by bob: not now")
    );
    assert_eq!(denied(""), format!("{of_it} is denied by bob"));
    assert!(to_alice(&in_state(State::Expired)).starts_with(&format!("{of_it} expired")));
    let revoked = to_alice(&in_state(State::Revoked { by: by() }));
    assert!(
        revoked.contains("was revoked by bob, 12:00 UTC"),
        "{revoked}"
    );
    for state in [State::Pending, State::Cancelled, State::Used, State::Ended] {
        assert_eq!(said(&in_state(state), Some(DESK)), []);
    }
    assert_eq!(said(&broken(0), Some(DESK)), [], "it is in their answer");
}

#[test]
fn who_asked_is_told_of_a_grant_and_of_its_end() {
    let hour = Duration::from_hours(1);
    let fresh = to_alice(&granted(false, false, hour));
    assert!(
        fresh.contains("until 13:00 UTC. Send: /get_secret secret/app"),
        "{fresh}"
    );
    let once = to_alice(&granted(true, false, hour));
    assert!(once.contains("until 13:00 UTC, for one use."), "{once}");
    assert_eq!(
        said(&granted(false, true, SHORT), None).len(),
        1,
        "it has just begun"
    );
    for (once, end) in [
        (false, "/extend R7K2XQ REASON"),
        (true, "ends at 13:00 UTC."),
    ] {
        let said = said(&granted(once, true, hour), None);
        assert_eq!(said.len(), 2);
        assert!(said[1].1.ends_with(end), "{said:?}");
    }
    let first = ApprovalId::read("222222").unwrap();
    let more = |state| ApprovalInfo {
        state,
        extends: Some(first.clone()),
        ..granted(false, false, hour)
    };
    assert_eq!(said(&more(State::Granted), None), [], "not yet");
    assert!(to_alice(&more(State::Applied)).contains("222222 holds for longer"));
}

#[test]
fn of_a_program_each_account_of_its_person_is_told() {
    let program = ApprovalInfo {
        caller: Caller::Unix(UnixPeer::known(1000, 1000, 7)),
        ..in_state(State::Expired)
    };
    let told: Vec<i64> = said(&program, None).into_iter().map(|(to, _)| to).collect();
    assert_eq!(told, ALICE);
}

#[test]
fn others_are_reminded_of_broken_glass_and_by_another_notice_each_time() {
    let reminded = |approval: &ApprovalInfo, chat| {
        let said = said(approval, chat);
        said.into_iter().map(|(to, _)| to).collect::<Vec<_>>()
    };
    assert_eq!(reminded(&broken(1), Some(DESK)), [DESK, DAN]);
    assert_eq!(reminded(&broken(1), None), [BOB, DAN]);
    let dan_broke_it = ApprovalInfo {
        caller: Caller::Telegram(TelegramUser {
            id: DAN,
            chat: ChatKind::Private,
        }),
        ..broken(1)
    };
    assert_eq!(reminded(&dan_broke_it, None), [BOB]);
    let names = |reminders| {
        let (approval, told, settings) = (broken(reminders), told(), settings(None));
        let places = places(&approval, &told, &settings, false);
        let notices = notices(&approval, &told, &settings, &places);
        notices.iter().map(Notice::name).collect::<Vec<_>>()
    };
    assert_eq!(names(2), ["reminder-2/2", "reminder-2/4"]);
}
