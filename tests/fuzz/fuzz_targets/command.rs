//! Any text somebody could send: the parser must not panic, and what it understands must be what
//! was written.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use vaultgram::domain::caller::ChatKind;
use vaultgram::domain::{ApprovalId, Field, Mounts, Target};
use vaultgram::telegram::command::{Affair, Command, Mistake, parse, parse_reply};

static MOUNTS: LazyLock<Mounts> = LazyLock::new(|| {
    Mounts::new(vec!["secret".to_owned(), "team/kv".to_owned()]).expect("they are valid")
});

fuzz_target!(|text: &str| {
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
            Ok(Command::Approval(Affair::Ask(_, target, reason))) => {
                reads_back(&target);
                assert!(!reason.contains(['\n', '\t', '\r']));
            }
            Ok(_) => {}
            // A mistake is told to people, and never repeats what it is about.
            Err(mistake) => assert!(!mistake.to_string().is_empty()),
        }
    }
});

/// A target's text means the same target.
fn reads_back(target: &Target) {
    assert_eq!(MOUNTS.parse(&target.to_string()).as_ref(), Ok(target));
}

#[allow(clippy::disallowed_methods, reason = "the value is what is tested")]
fn is_a_json_string(field: &Field) {
    let json = field.json.expose_secret();
    let text = std::str::from_utf8(json).expect("it came from text");
    assert!(text.len() >= 2 && text.starts_with('"') && text.ends_with('"'));
    assert!(!text.chars().any(char::is_control), "controls are escaped");
}
