//! What is kept is what is read again.

use std::time::Duration;

use time::macros::datetime;

use super::*;
use crate::domain::caller::{ChatKind, TelegramUser, UnixPeer};
use crate::domain::person::Account;
use crate::domain::{Action, Caller, Delivery, Recipe, RequestId, SecretPath, Target};

const START: OffsetDateTime = datetime!(2026-01-01 12:00 UTC);

fn id(text: &str) -> ApprovalId {
    ApprovalId::read(text).unwrap()
}

fn request(caller: Caller, action: Action) -> Request {
    Request {
        id: RequestId::Message {
            chat: -5,
            message: 7,
        },
        caller,
        action,
        target: Target {
            path: SecretPath::new("secret", "a/b").unwrap(),
            field: Some("f".to_owned()),
            version: Some(3),
        },
    }
}

/// One that has everything.
fn full(request: Request) -> Approval {
    let later = START + Duration::from_hours(1);
    let vote = |account, step_up: Option<&str>| Vote {
        account,
        person: "bob".to_owned(),
        at: later,
        step_up: step_up.map(str::to_owned),
    };
    Approval {
        id: id("R7K2XQ"),
        request,
        requester: "alice".to_owned(),
        reason: "to fix it".to_owned(),
        opened: START,
        waits_until: later,
        extends: Some(id("222222")),
        asks: vec![Ask {
            policy: "two".to_owned(),
            approvals: 2,
            have: 1,
            approvers: vec!["leads".to_owned()],
            separate: true,
            review: Some("security".to_owned()),
            reviewed: true,
            step_up: Some("totp".to_owned()),
        }],
        votes: vec![
            vote(Account::Telegram(2), Some("totp")),
            vote(Account::Uid(3), None),
        ],
        state: State::Pending,
        since: later,
        grant: Some(Grant {
            since: START,
            until: later,
            once: true,
            warned: true,
        }),
        review: Some(Review::Open {
            reminded: START,
            reminders: 2,
        }),
        revision: 9,
    }
}

fn telegram(chat: ChatKind) -> Caller {
    Caller::Telegram(TelegramUser { id: 1, chat })
}

#[track_caller]
fn kept(approval: &Approval) {
    let bytes = write(approval).unwrap();
    assert_eq!(read(&bytes).as_ref(), Some(approval));
}

#[test]
fn whoever_asked_for_whatever_is_kept() {
    let text = |text: &str| Some(text.to_owned());
    let program = UnixPeer {
        groups: Some([27, 50].into()),
        executable: text("/usr/bin/app"),
        executable_sha256: text("00ff"),
        unit: text("app.service"),
        slice: text("app.slice"),
        container: text("0123"),
        pod: text("4567"),
        socket: text("app"),
        ..UnixPeer::known(990, 50, 7)
    };
    let bare = UnixPeer::known(990, 50, 7);
    let callers = [
        telegram(ChatKind::Private),
        telegram(ChatKind::Group),
        Caller::Unix(program),
        Caller::Unix(bare),
    ];
    for caller in callers {
        kept(&full(request(caller, Action::List)));
    }
    let (recipe, over) = (Recipe::Hex, Some(3));
    for action in [
        Action::Read(Delivery::Message),
        Action::Read(Delivery::Wrapped),
        Action::Read(Delivery::Sealed),
        Action::Read(Delivery::Socket),
        Action::List,
        Action::Versions,
        Action::Put { over: None },
        Action::Put { over },
        Action::Patch { over },
        Action::Delete,
        Action::Undelete,
        Action::Destroy,
        Action::Rotate { recipe, over },
        Action::Unwrap,
        Action::Invoke(Delivery::Wrapped),
    ] {
        kept(&full(request(telegram(ChatKind::Private), action)));
    }
    let mut plain = full(request(telegram(ChatKind::Private), Action::List));
    plain.request.id = RequestId::Connection(u128::MAX);
    plain.request.target.path = SecretPath::folder("secret", "").unwrap();
    (plain.request.target.field, plain.request.target.version) = (None, None);
    (plain.extends, plain.grant, plain.review) = (None, None, None);
    kept(&plain);
}

#[test]
fn whatever_became_of_it_is_kept() {
    let (by, at) = ("bob".to_owned(), START);
    let (reason, note) = ("not now".to_owned(), "a drill".to_owned());
    let mut approval = full(request(telegram(ChatKind::Private), Action::List));
    approval.review = Some(Review::Done {
        by: by.clone(),
        note,
        at,
    });
    for state in [
        State::Pending,
        State::Granted,
        State::Denied {
            by: by.clone(),
            reason,
        },
        State::Cancelled,
        State::Expired,
        State::Used,
        State::Revoked { by },
        State::Ended,
        State::Applied,
    ] {
        approval.state = state;
        kept(&approval);
    }
    for wrong in ["", "{}", "null", "[]"] {
        assert_eq!(read(wrong.as_bytes()), None);
    }
}
