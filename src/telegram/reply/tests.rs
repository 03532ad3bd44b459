//! Replies: what is hidden, what is told, and what is not.

use proptest::prelude::*;

use super::*;
use crate::broker::ports::StoreError;
use crate::domain::policy::{Denial, DenialReason};
use crate::domain::{Field, History, Lease, Mounts, Origin, SecretValue, VersionFacts};
use crate::telegram::command::Word;

fn secret(fields: &[(&str, &str)]) -> Secret {
    let fields = fields.iter().map(|(name, json)| Field {
        name: (*name).to_owned(),
        json: SecretValue::new(json.as_bytes().to_vec()),
    });
    let facts = VersionFacts {
        number: 3,
        ..VersionFacts::default()
    };
    Secret::of_version(fields.collect(), facts)
}

fn target() -> Target {
    let mounts = Mounts::new(vec!["secret".into()]).unwrap();
    mounts.parse("django/database").unwrap()
}

fn terms() -> Terms<'static> {
    Terms {
        delete_after: Duration::from_mins(1),
        vault: None,
        now: OffsetDateTime::UNIX_EPOCH,
        action: Action::List,
    }
}

fn reply(fields: &[(&str, &str)]) -> Reply {
    let outcome = Outcome::Released(secret(fields));
    Reply::outcome(&outcome, &target(), &terms()).unwrap()
}

/// The text with every spoiler replaced by blocks, cut by UTF-16 units as Telegram does.
fn covered(reply: &Reply) -> String {
    let mut units: Vec<u16> = reply.text.encode_utf16().collect();
    for entity in &reply.entities {
        let tl::enums::MessageEntity::Spoiler(spoiler) = entity else {
            panic!("only spoilers");
        };
        let start = usize::try_from(spoiler.offset).unwrap();
        let length = usize::try_from(spoiler.length).unwrap();
        units[start..start + length].fill(u16::try_from('█' as u32).unwrap());
    }
    String::from_utf16(&units).unwrap()
}

#[test]
fn hides_values_and_only_values() {
    let reply = reply(&[("user", "\"ann\""), ("port", "5432"), ("on", "{\"a\":[1]}")]);
    assert!(reply.secret);
    assert_eq!(
        reply.text,
        "🔑 secret/django/database (version 3)\nuser: ann\nport: 5432\non: {\"a\":[1]}\nDeleted in 60 s."
    );
    assert_eq!(
        covered(&reply),
        "🔑 secret/django/database (version 3)\nuser: ███\nport: ████\non: █████████\nDeleted in 60 s."
    );
}

#[test]
fn unescapes_strings_but_not_those_telegram_would_change() {
    for (json, text) in [
        (r#""a\"b\\c""#, ": a\"b\\c\n"),
        (r#""q\u00e9\ud83d\ude00""#, ": qé😀\n"),
        (r#""a\nb""#, ":\na\nb\n"),
        (r#""a\rb""#, ": \"a\\rb\"\n"),
        (r#""a\u0000b""#, ": \"a\\u0000b\"\n"),
        (r#""a\tb""#, ": a\tb\n"),
        ("\"a\u{202e}b\"", ": \"a\\u202eb\"\n"),
        (r#""a\u200bb""#, ": \"a\\u200bb\"\n"),
        (
            "[\"\u{2066}\u{feff}\",\"\u{85}é\"]",
            ": [\"\\u2066\\ufeff\",\"\\u0085é\"]\n",
        ),
        (r#""""#, ": (empty)\n"),
        ("null", ": null\n"),
    ] {
        let text_sent = reply(&[("f", json)]).text;
        assert!(text_sent.contains(text), "{json}: {text_sent:?}");
    }
}

#[test]
fn refuses_what_does_not_fit_and_says_what_to_do() {
    let long = format!("\"{}\"", "x".repeat(4100));
    let one = reply(&[("key", &long)]);
    assert!(
        !one.secret
            && one
                .text
                .contains("/get_secret secret/django/database sealed")
    );
    let two = reply(&[("key", &long), ("user", "\"ann\"")]);
    assert!(
        !two.secret && two.text.contains("#field, or") && two.text.ends_with("It has: key, user")
    );
    assert!(!two.text.contains("xxx") && !two.text.contains("ann"));
    let fields: Vec<(String, &str)> = (0..=MAX_FIELDS).map(|n| (format!("f{n}"), "1")).collect();
    let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (n.as_str(), *v)).collect();
    assert!(!reply(&fields).secret);
    assert!(reply(&fields[1..]).secret);
}

#[test]
fn fills_a_message_to_its_last_unit() {
    let frame = reply(&[("k", "\"x\"")]).text.encode_utf16().count() - 1;
    for (length, fits) in [(MAX_LENGTH - frame, true), (MAX_LENGTH - frame + 1, false)] {
        let value = format!("\"{}\"", "x".repeat(length));
        assert_eq!(reply(&[("k", &value)]).secret, fits, "{length}");
    }
}

#[test]
fn a_refusal_is_always_the_same() {
    let said = |reason| {
        let denial = Denial {
            reason,
            policies: vec!["p".into()],
        };
        Reply::outcome(&Outcome::Denied(denial), &target(), &terms())
            .unwrap()
            .text
    };
    for reason in [
        DenialReason::NotPermitted,
        DenialReason::Forbidden,
        DenialReason::EvaluationFailed,
    ] {
        assert_eq!(said(reason), DENIED);
    }
    assert!(said(DenialReason::ChatLocked).contains("vaultgram unlock"));
    assert!(Reply::outcome(&Outcome::Duplicate, &target(), &terms()).is_none());
}

#[test]
fn what_tells_of_a_secret_is_guarded_and_what_was_done_is_told() {
    let history = History {
        current: 1,
        ..History::default()
    };
    for (outcome, guarded) in [
        (Outcome::Released(secret(&[])), true),
        (Outcome::Listed(vec![]), true),
        (Outcome::Versions(history), true),
        (Outcome::Written(None), false),
        (Outcome::Deleted(Some(2)), false),
        (Outcome::Undeleted(2), false),
        (Outcome::Interrupted, false),
    ] {
        let reply = Reply::outcome(&outcome, &target(), &terms()).unwrap();
        assert_eq!(reply.guarded, guarded, "{}", reply.text);
    }
    for (error, guarded) in [
        (BrokerError::NoSuchField(vec!["a".into()]), true),
        (StoreError::NotFound.into(), true),
        (StoreError::Conflict { current: 3 }.into(), true),
        (StoreError::Unclear.into(), false),
        (BrokerError::DoneUnrecorded, false),
    ] {
        assert_eq!(Reply::failed(&error).guarded, guarded, "{error}");
    }
}

#[test]
fn a_failure_says_what_to_do_about_it_in_chat() {
    let facts = VersionFacts {
        number: 3,
        ..VersionFacts::default()
    };
    for (error, wanted) in [
        (
            StoreError::Deleted(facts).into(),
            "Version 3 of the secret is deleted; /undelete PATH@3 brings it back.",
        ),
        (
            BrokerError::NoKey,
            "You have no key registered to seal to; send /register_key age1…",
        ),
        (
            BrokerError::UnknownLease,
            "You have no such lease; /leases lists yours.",
        ),
    ] {
        assert_eq!(Reply::failed(&error).text, wanted);
    }
}

#[test]
fn what_has_nothing_to_list_is_a_sentence() {
    let history = History::default();
    for (outcome, text) in [
        (
            Outcome::Listed(vec![]),
            "secret/django/database holds nothing.",
        ),
        (
            Outcome::Versions(history),
            "secret/django/database has no version yet; /put_secret writes the first.",
        ),
    ] {
        let reply = Reply::outcome(&outcome, &target(), &terms()).unwrap();
        assert_eq!(reply.text, text);
        assert!(reply.entities.is_empty(), "Telegram refuses an empty one");
    }
}

#[test]
fn help_names_every_command() {
    for word in Word::ALL.into_iter().filter(|word| *word != Word::Start) {
        let name = format!("/{}", word.name());
        let ends = |rest: &str| !rest.starts_with(|c: char| c == '_' || c.is_alphanumeric());
        assert!(HELP.split(&name).skip(1).any(ends), "{name}");
    }
}

#[test]
fn a_lease_is_told_with_what_can_be_done_with_it() {
    let lease = |renewable| Lease {
        id: "db/creds/app/x".to_owned(),
        duration: Duration::from_hours(1),
        renewable,
        code: Some("K7Q2".to_owned()),
    };
    let leased = |renewable| {
        let mut secret = secret(&[("password", "\"hunter2\"")]);
        secret.origin = Origin::Leased(lease(renewable));
        Reply::outcome(&Outcome::Released(secret), &target(), &terms()).unwrap()
    };
    let reply = leased(true);
    assert!(reply.text.contains("database (lease K7Q2, for 60 min)\n"));
    assert!(
        reply
            .text
            .ends_with(": /leases, /keep_lease K7Q2 8h, /revoke_lease K7Q2")
    );
    assert_eq!(reply.lease.as_deref(), Some("K7Q2"));
    let reply = leased(false);
    assert!(!reply.text.contains("/keep_lease") && reply.text.contains("/revoke_lease K7Q2"));

    let sealed = crate::broker::Sealed {
        text: "x".to_owned(),
        origin: Origin::Leased(lease(true)),
        age: None,
        keys: 1,
    };
    let reply = Reply::outcome(&Outcome::Sealed(sealed), &target(), &terms()).unwrap();
    assert!(
        reply
            .text
            .contains("(lease K7Q2, for 60 min), sealed to your key")
    );
    assert_eq!(reply.lease.as_deref(), Some("K7Q2"));
}

#[test]
fn an_answer_of_nothing_says_so() {
    let mut nothing = secret(&[]);
    nothing.origin = Origin::Plain;
    let reply = Reply::outcome(&Outcome::Released(nothing), &target(), &terms()).unwrap();
    assert_eq!(
        reply.text,
        "secret/django/database: done, and nothing to say."
    );
    assert!(!reply.secret);
}

#[test]
fn failures_read_as_sentences() {
    let reply = Reply::failed(&BrokerError::Store(StoreError::NotFound));
    assert_eq!(reply.text, "There is no secret at this path.");
    let reply = Reply::failed(&BrokerError::NoKey);
    assert!(
        reply.text.ends_with("/register_key age1…"),
        "{}",
        reply.text
    );
}

#[test]
fn a_list_of_fields_always_fits() {
    let short: Vec<String> = (0..5000).map(|n| format!("field{n}")).collect();
    let long = vec!["x".repeat(5000), "y".to_owned()];
    for (names, shown) in [(short, "it has: field0, field1, "), (long, "it has: …")] {
        let text = Reply::failed(&BrokerError::NoSuchField(names.clone())).text;
        assert!(text.contains(shown) && text.ends_with('…'), "{text}");
        assert!(text.encode_utf16().count() <= MAX_LENGTH);
        let names: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
        let all = reply(&names);
        assert!(!all.secret && all.text.encode_utf16().count() <= MAX_LENGTH);
    }
}

#[test]
fn a_name_is_always_one_line_and_as_it_reads() {
    let names = ["user: ann\nkey", "a\u{202e}b", "a\tb", "\u{2028}", "é 😀"];
    let shown = [
        r#""user: ann\nkey""#,
        r#""a\u202eb""#,
        r#""a\tb""#,
        r#""\u2028""#,
        "é 😀",
    ];
    for (name, shown) in names.into_iter().zip(shown) {
        let answer = reply(&[(name, "\"hunter2\"")]);
        assert_eq!(
            answer.text.lines().nth(1),
            Some(format!("{shown}: hunter2").as_str())
        );
        assert!(covered(&answer).contains(": ███████\n"));
        let missing = Reply::failed(&BrokerError::NoSuchField(vec![name.to_owned()]));
        assert!(missing.text.ends_with(&format!("it has: {shown}.")));
    }
}

#[test]
fn a_random_id_names_one_part_of_one_answer() {
    let id = |message, part| random_id(&RequestId::Message { chat: 5, message }, part);
    assert_eq!(id(1, Part::Answer), id(1, Part::Answer));
    assert_ne!(id(1, Part::Answer), id(2, Part::Answer));
    assert_ne!(id(1, Part::Answer), id(1, Part::Notice));
}

proptest! {
    /// No character of a value is ever outside a spoiler, whatever is in it.
    #[test]
    fn values_are_always_covered(values in proptest::collection::vec(".{0,40}", 1..6)) {
        let json: Vec<String> = values.iter().map(|v| serde_json::to_string(v).unwrap()).collect();
        let fields: Vec<(&str, &str)> = json.iter().map(|v| ("f", v.as_str())).collect();
        let shown = covered(&reply(&fields));
        for line in shown.lines().filter(|line| line.starts_with("f:")) {
            let value = line.trim_start_matches("f:").trim_start();
            prop_assert!(value == "(empty)" || value.chars().all(|c| c == '█'), "{}", line);
        }
    }
}
