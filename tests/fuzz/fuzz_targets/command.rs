//! Any text somebody could send: the parser must not panic, and what it understands must be what
//! was written; a value that leaked is found in it, whatever stands around.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use vaultgram::domain::caller::ChatKind;
use vaultgram::domain::leak::{Key, Owner, Watchlist, pieces};
use vaultgram::domain::{Action, ApprovalId, Field, Mounts, SecretValue, Target};
use vaultgram::telegram::command::{Affair, Command, Mistake, parse, parse_reply};

static MOUNTS: LazyLock<Mounts> = LazyLock::new(|| {
    Mounts::new(vec!["secret".to_owned(), "team/kv".to_owned()]).expect("they are valid")
});

const LEAKED: &str = "Tr0ub4dor&3-\u{3a9}mega";
const OWNER: Owner = Owner {
    release: 7,
    field: 3,
};

static WATCHED: LazyLock<Watchlist> = LazyLock::new(|| {
    let mut list = Watchlist::new(Key::new([0x5a; 48]));
    list.add(LEAKED.as_bytes(), OWNER).expect("it is long enough");
    list
});

fuzz_target!(|text: &str| {
    let pasted = format!("{text} {LEAKED}{text}");
    assert!(WATCHED.find(&pasted).contains(&OWNER), "it is found");
    assert!(pieces(text).into_iter().all(|piece| !piece.is_empty()));
    let id = ApprovalId::read("R7K2XQ").expect("it is one");
    for chat in [ChatKind::Private, ChatKind::Group] {
        if let Some(vote) = parse_reply(text, &id, chat, &MOUNTS) {
            assert!(matches!(vote.command, Ok(Command::Approval(_)) | Err(_)));
        }
        let Some(parsed) = parse(text, Some("vault_bot"), chat, &MOUNTS) else {
            continue;
        };
        let private_key = matches!(parsed.command, Err(Mistake::PrivateKey));
        assert!(
            private_key || text.trim_start().starts_with('/'),
            "only commands are read"
        );
        match parsed.command {
            Ok(Command::Read(target, _) | Command::Delete(target) | Command::Undelete(target)) => {
                reads_back(&target);
            }
            Ok(Command::Rotate(target, _)) => {
                assert!(target.field.is_some());
                reads_back(&target);
            }
            Ok(Command::Put(target, fields) | Command::Patch(target, fields)) => {
                reads_back(&target);
                assert!(!fields.is_empty());
                fields.iter().for_each(is_a_json_string);
            }
            Ok(Command::Approval(affair)) => is_understood(affair),
            Ok(_) => {}
            // A mistake is told to people, and never repeats what it is about.
            Err(mistake) => assert!(!mistake.to_string().is_empty()),
        }
    }
});

fn is_understood(affair: Affair) {
    match affair {
        Affair::Ask(action, target, reason) => {
            if action == Action::List {
                let folder = MOUNTS.parse_folder(&target.to_string());
                assert_eq!(folder.as_ref(), Ok(&target));
            } else {
                reads_back(&target);
            }
            is_a_sentence(&reason);
        }
        Affair::BreakGlass(target, _, reason) => {
            reads_back(&target);
            is_a_sentence(&reason);
        }
        Affair::Extend(_, words) => is_a_sentence(&words),
        Affair::Deny(_, words) | Affair::Review(_, words) => {
            assert!(!words.is_empty());
            is_a_sentence(&words);
        }
        Affair::Approve(_, Some(code)) => is_a_code(&code),
        Affair::Approve(_, None)
        | Affair::Show(_)
        | Affair::Mine
        | Affair::List(_)
        | Affair::Cancel(_)
        | Affair::Revoke(_) => {}
    }
}

fn is_a_sentence(words: &str) {
    assert!(!words.contains(['\n', '\t', '\r']) && words.trim() == words);
}

/// A target's text means the same target.
fn reads_back(target: &Target) {
    assert_eq!(MOUNTS.parse(&target.to_string()).as_ref(), Ok(target));
}

#[allow(clippy::disallowed_methods, reason = "the value is what is tested")]
fn is_a_code(code: &SecretValue) {
    let code = code.expose_secret();
    assert!((6..=8).contains(&code.len()) && code.iter().all(u8::is_ascii_digit));
}

#[allow(clippy::disallowed_methods, reason = "the value is what is tested")]
fn is_a_json_string(field: &Field) {
    let json = field.json.expose_secret();
    let text = std::str::from_utf8(json).expect("it came from text");
    assert!(text.len() >= 2 && text.starts_with('"') && text.ends_with('"'));
    assert!(!text.chars().any(char::is_control), "controls are escaped");
}
