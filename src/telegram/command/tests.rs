//! What people may write, and what comes of it.

mod approval;

use std::fmt::Write;

use proptest::prelude::*;

use super::*;
use crate::domain::SecretValue;

fn mounts() -> Mounts {
    Mounts::new(vec!["secret".into(), "team".into()]).unwrap()
}

fn read(text: &str) -> Result<Command, Mistake> {
    let parsed = parse(text, Some("vault_bot"), ChatKind::Private, &mounts());
    parsed.expect("a command").command
}

fn mistake(text: &str) -> Mistake {
    read(text)
        .err()
        .unwrap_or_else(|| panic!("{text} is accepted"))
}

#[expect(clippy::disallowed_methods, reason = "the value is what is tested")]
fn text(value: &SecretValue) -> String {
    serde_json::from_slice(value.expose_secret()).unwrap()
}

/// The fields of a command that writes.
fn written(line: &str) -> Result<Vec<(String, String)>, Mistake> {
    let command = read(line)?;
    let (Command::Put(_, fields) | Command::Patch(_, fields)) = &command else {
        panic!("not a command that writes: {}", short(&command))
    };
    let pair = |field: &Field| (field.name.clone(), text(&field.json));
    Ok(fields.iter().map(pair).collect())
}

/// What a command comes to, in short.
fn short(command: &Command) -> String {
    match command {
        Command::Start => "start".into(),
        Command::Help => "help".into(),
        Command::Status => "status".into(),
        Command::Read(target, delivery) => format!("read {target} {}", delivery.name()),
        Command::List(target) => format!("list {target}"),
        Command::Versions(target) => format!("versions {target}"),
        Command::Put(target, fields) => format!("put {target} {}", fields.len()),
        Command::Patch(target, fields) => format!("patch {target} {}", fields.len()),
        Command::Delete(target) => format!("delete {target}"),
        Command::Undelete(target) => format!("undelete {target}"),
        Command::Rotate(target, recipe) => format!("rotate {target} {}", recipe.name()),
        Command::Destroy(target) => format!("destroy {target}"),
        Command::Invoke(target, delivery, fields) => {
            format!("invoke {target} {} {}", delivery.name(), fields.len())
        }
        Command::Leases => "leases".into(),
        Command::Watches => "watches".into(),
        Command::KeepLease(code, time) => format!("keep {code} {}", time.as_secs()),
        Command::RevokeLease(code) => format!("revoke {code}"),
        Command::GetKeys => "get_keys".into(),
        Command::RegisterKey(key) => format!("register {key}"),
        Command::Keys => "keys".into(),
        Command::ForgetKey(KeyName::Number(number)) => format!("forget number {number}"),
        Command::ForgetKey(KeyName::Key(key)) => format!("forget {key}"),
        Command::Pipeline(wish) => format!("{wish:?}"),
        Command::Approval(affair) => approval::about(affair),
        Command::Confirm(code) => format!("confirm {code}"),
        Command::Cancel(code) => format!("cancel {code}"),
    }
}

#[test]
fn each_command_is_read() {
    for (line, expected) in [
        ("/start", "start"),
        ("/start from_a_link", "start"),
        ("/help", "help"),
        ("/status", "status"),
        ("/get_secret a/b#c@2", "read secret/a/b#c@2 message"),
        ("  /get_secret \n team/a ", "read team/a message"),
        ("/get_secret a wrapped", "read secret/a wrapped"),
        ("/get_secret@Vault_Bot a", "read secret/a message"),
        ("/list", "list secret"),
        ("/list django", "list secret/django"),
        ("/versions a", "versions secret/a"),
        ("/put_secret a b=c", "put secret/a 1"),
        ("/put_secret a\nb=c\nd=e", "put secret/a 2"),
        ("/patch_secret a b=c", "patch secret/a 1"),
        ("/delete_secret a", "delete secret/a"),
        ("/delete_secret a@2", "delete secret/a@2"),
        ("/undelete a@2", "undelete secret/a@2"),
        ("/rotate a#b", "rotate secret/a#b password"),
        ("/rotate a#b hex", "rotate secret/a#b hex"),
        ("/destroy_secret a@2", "destroy secret/a@2"),
        ("/invoke team/a", "invoke team/a message 0"),
        ("/invoke team/a#b c=d e=f", "invoke team/a#b message 2"),
        ("/invoke team/a sealed c=d", "invoke team/a sealed 1"),
        ("/invoke team/a\nsocket\nc=d", "invoke team/a socket 1"),
        ("/invoke team/a wrapped=d", "invoke team/a message 1"),
        ("/leases", "leases"),
        ("/keep_lease k7q2 8h", "keep K7Q2 28800"),
        ("/revoke_lease oOil", "revoke 0011"),
        ("/get_keys", "get_keys"),
        ("/register_key age1abc", "register age1abc"),
        ("/keys", "keys"),
        ("/forget_key 2", "forget number 2"),
        ("/forget_key age1abc", "forget age1abc"),
        ("/confirm r7k2", "confirm R7K2"),
        ("/cancel oOil", "cancel 0011"),
    ] {
        let command = read(line).unwrap_or_else(|mistake| panic!("{line}: {mistake}"));
        assert_eq!(short(&command), expected, "{line}");
    }
}

#[test]
fn each_mistake_says_what_to_write() {
    for (line, said) in [
        (
            "/get_secret",
            "The path is missing: /get_secret django/database",
        ),
        ("/get_secret a b", "message, wrapped, sealed, socket"),
        ("/get_secret a wrapped c", "more than /get_secret takes"),
        ("/get_secret ../a", "\"..\" part"),
        ("/list a b", "more than /list takes; as in: /list django"),
        ("/versions", "path is missing: /versions"),
        ("/versions a#b", "without #field: /versions"),
        ("/versions a@2", "no @version: /versions"),
        ("/put_secret", "path is missing: /put_secret"),
        ("/put_secret a", "at least one key=value: /put_secret"),
        ("/put_secret a#b c=d", "without #field"),
        ("/put_secret a@2 c=d", "no @version"),
        ("/patch_secret a", "at least one key=value: /patch_secret"),
        ("/delete_secret a#b", "without #field"),
        (
            "/rotate",
            "A field is missing: /rotate django/database#password",
        ),
        (
            "/rotate a",
            "A field is missing: /rotate django/database#password",
        ),
        ("/rotate a#b@2", "no @version"),
        ("/rotate a#b dice", "password, alphanumeric, hex, pin"),
        ("/destroy_secret a", "which version: /destroy_secret"),
        ("/destroy_secret a#b@2", "without #field"),
        ("/destroy_secret", "path is missing"),
        ("/invoke", "path is missing: /invoke pki/issue/web"),
        ("/invoke a@2 c=d", "no @version"),
        ("/invoke a hidden c=d", "not key=value"),
        ("/invoke a sealed wrapped", "not key=value"),
        ("/keep_lease", "code is missing (/leases lists them)"),
        ("/keep_lease K7Q2", "for how long, such as 30m"),
        ("/keep_lease K7Q2 soon", "/keep_lease K7Q2 8h"),
        ("/keep_lease K7Q2 8h now", "more than /keep_lease takes"),
        ("/revoke_lease", "code is missing"),
        ("/register_key", "public key is missing: /register_key age1"),
        ("/forget_key", "/keys lists them"),
        ("/confirm", "The code is missing: /confirm R7K2"),
        ("/cancel a b", "more than /cancel takes"),
        ("/frobnicate", "/help lists them"),
        ("/putsecret a b=c", "Did you mean /put_secret? As in: /put"),
        ("/Put a b=c", "Did you mean /put_secret? As in: /put"),
        ("/PATCH a b=c", "Did you mean /patch_secret? As in: /patch"),
    ] {
        let said_now = mistake(line).to_string();
        assert!(said_now.contains(said), "{line}: {said_now}");
    }
}

#[test]
fn what_is_no_command_for_us_is_left_alone() {
    for (line, private, group) in [
        ("/help", true, true),
        ("/help@vault_bot", true, true),
        ("/help@other_bot", false, false),
        ("/help@", false, false),
        ("/unknown", true, false),
        ("/put a b=c", true, true),
        ("/Patch_secret a b=c", true, true),
        ("/put", true, false),
        ("/patchnotes https://x/?v=2", true, false),
        ("/put@other_bot a b=c", false, false),
        ("/put_secret a b=c", true, true),
        ("/GET_SECRET a", true, false),
        ("/", true, false),
        ("get_secret a", false, false),
        ("please /get_secret a", false, false),
        ("", false, false),
        (" \n", false, false),
    ] {
        for (chat, expected) in [(ChatKind::Private, private), (ChatKind::Group, group)] {
            let parsed = parse(line, Some("vault_bot"), chat, &mounts());
            assert_eq!(parsed.is_some(), expected, "{line:?} {chat:?}");
        }
    }
    assert!(parse("/help@x", None, ChatKind::Private, &mounts()).is_none());
}

#[test]
fn what_may_carry_values_is_known_even_when_it_cannot_be_read() {
    for (line, carries) in [
        ("/put_secret", true),
        ("/put_secret a \"", true),
        ("/patch_secret ../a b=c", true),
        ("/Put_Secret a b=c", true),
        ("/put", true),
        ("/patchsecret a b=c", true),
        ("/get_secret a", false),
        ("/get_secret a=b", false),
        ("/get_secret a b=c", true),
        ("/get_secret a b c", false),
        ("/save a b=c", true),
        ("/save=c", false),
        ("/start a=b", false),
        ("/unknown", false),
    ] {
        let parsed = parse(line, None, ChatKind::Private, &mounts()).unwrap();
        assert_eq!(parsed.sensitive, carries, "{line}");
    }
    let group = parse("/get_secret a b=c", None, ChatKind::Group, &mounts());
    assert!(!group.unwrap().sensitive, "it may be meant for another bot");
    let long = format!("/put_secret a b={}", "x".repeat(5000));
    let parsed = parse(&long, None, ChatKind::Private, &mounts()).unwrap();
    assert!(parsed.sensitive);
    assert_eq!(parsed.command.err(), Some(Mistake::TooLong));
}

#[test]
fn a_private_key_must_not_stay() {
    for (line, private, group) in [
        (
            "/register_key AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQ",
            true,
            true,
        ),
        (
            "/register_key age-secret-key-1qqqqqqqqqqqqqqqqqqq",
            true,
            true,
        ),
        (
            "/get_secret a AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQ",
            true,
            true,
        ),
        (
            "/help@other_bot AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQ",
            true,
            false,
        ),
        (
            "# created: today\nAGE-SECRET-KEY-PQ-1QQQQQQQQQQQQQQQQQQQ",
            true,
            false,
        ),
        ("/register_key age1qq", false, false),
        ("it begins with AGE-SECRET-KEY-, does it?", false, false),
        ("AGE-SECRET-KEY-1… is what it looks like", false, false),
    ] {
        for (chat, expected) in [(ChatKind::Private, private), (ChatKind::Group, group)] {
            let parsed = parse(line, Some("vault_bot"), chat, &mounts());
            let seen = parsed.is_some_and(|parsed| {
                assert_eq!(parsed.sensitive, parsed.command.is_err(), "{line}");
                parsed.command.err() == Some(Mistake::PrivateKey)
            });
            assert_eq!(seen, expected, "{line} {chat:?}");
        }
    }
    // Vault may keep one.
    let line = "/put_secret sops key=AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQ";
    assert_eq!(written(line).unwrap().len(), 1);
    let shown = mistake("AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQ").to_string();
    assert!(
        !shown.contains("1QQ") && shown.contains("/register_key age1"),
        "{shown}"
    );
}

#[test]
fn length_is_counted_as_telegram_does() {
    let command = "/put_secret a b=";
    let room = MAX_LENGTH - command.len();
    for (value, fits) in [
        ("a".repeat(room), true),
        ("a".repeat(room + 1), false),
        ("𝒂".repeat(room / 2), true),
        ("𝒂".repeat(room / 2 + 1), false),
    ] {
        let read = written(&format!("{command}{value}"));
        assert_eq!(read.is_ok(), fits);
        assert_eq!(read.err(), (!fits).then_some(Mistake::TooLong));
    }
}

#[test]
fn values_are_what_was_written() {
    for (values, expected) in [
        ("a=b", vec![("a", "b")]),
        ("a=b=c", vec![("a", "b=c")]),
        (r"a=C:\new", vec![("a", r"C:\new")]),
        ("a=it's", vec![("a", "it's")]),
        (r#"a="""#, vec![("a", "")]),
        (r#"a="two words" b=c"#, vec![("a", "two words"), ("b", "c")]),
        (
            "a=\"two\nlines\"\nb=c",
            vec![("a", "two\nlines"), ("b", "c")],
        ),
        (r#"a="\"\\\n\u2014\u0001""#, vec![("a", "\"\\\n—\u{1}")]),
        ("a=1 \t b=😀\r\n", vec![("a", "1"), ("b", "😀")]),
        ("пароль=ключ", vec![("пароль", "ключ")]),
    ] {
        let read = written(&format!("/put_secret p {values}"));
        let read = read.unwrap_or_else(|mistake| panic!("{values}: {mistake}"));
        let expected: Vec<_> = expected
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        assert_eq!(read, expected, "{values}");
    }
}

#[test]
fn what_may_not_be_what_was_typed_is_refused() {
    let odd = |part, sign| ValueMistake::Odd { part, sign };
    for (values, expected) in [
        ("a=“two words”", odd(1, '“')),
        ("a=“b”", odd(1, '“')),
        ("a=b”", odd(1, '”')),
        ("a=\"it’s\"", odd(1, '’')),
        ("x=y a=b\u{a0}c=d", odd(2, '\u{a0}')),
        ("a=\"b\u{a0}c\"", odd(1, '\u{a0}')),
        ("a\u{a0}=b", odd(1, '\u{a0}')),
        ("a=b—c", odd(1, '—')),
        ("a=b\u{200b}", odd(1, '\u{200b}')),
        ("a", ValueMistake::NoPair(1)),
        ("a=b c", ValueMistake::NoPair(2)),
        ("a =b", ValueMistake::NoPair(1)),
        ("a=b c d=e", ValueMistake::NoPair(2)),
        ("a= b", ValueMistake::Empty(1)),
        ("a=", ValueMistake::Empty(1)),
        ("=b", ValueMistake::Name(1)),
        ("a#b=c", ValueMistake::Name(1)),
        ("a=b a=c", ValueMistake::Twice(2)),
        ("a=\"b", ValueMistake::Open(1)),
        ("a=\"b\\\"", ValueMistake::Open(1)),
        ("a=\"b\"c", ValueMistake::Quote(1)),
        ("a=b\"c", ValueMistake::Quote(1)),
        (r#"a="\t""#, ValueMistake::Escape(1)),
        (r#"a="\u12""#, ValueMistake::Escape(1)),
        (r#"a="\ud800""#, ValueMistake::Escape(1)),
    ] {
        let mistake = mistake(&format!("/put_secret p {values}"));
        assert_eq!(mistake, Mistake::Value(expected), "{values}");
    }
    let fields = |count| {
        let pairs = (0..count).map(|n| format!("k{n}=v"));
        pairs.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        written(&format!("/put_secret p {}", fields(90)))
            .unwrap()
            .len(),
        90
    );
    let many = mistake(&format!("/put_secret p {}", fields(91)));
    assert_eq!(many, Mistake::Value(ValueMistake::TooMany));
}

#[test]
fn advice_repeats_no_value() {
    let shown = mistake("/put_secret p a=“hunter2”").to_string();
    assert!(
        shown.contains("the sign “") && shown.contains("\\u201c"),
        "{shown}"
    );
    assert!(!shown.contains("hunter2"));
    let shown = mistake("/put_secret p a=hun\u{a0}ter2").to_string();
    assert!(
        shown.contains("U+00A0") && !shown.contains("ter2"),
        "{shown}"
    );
    // Of four digits, an escape could not mean it.
    let shown = mistake("/put_secret p a=b\u{e0067}").to_string();
    assert!(
        shown.contains("U+E0067") && shown.contains("on the host"),
        "{shown}"
    );
}

/// As a careful person writes any value.
fn quoted(value: &str) -> String {
    let mut text = String::from("\"");
    for sign in value.chars() {
        match sign {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            ' '..='~' => text.push(sign),
            other => {
                let mut units = [0; 2];
                match other.encode_utf16(&mut units) {
                    [unit] => write!(text, "\\u{unit:04x}").unwrap(),
                    // Nothing odd is up there.
                    _ => text.push(other),
                }
            }
        }
    }
    text + "\""
}

proptest! {
    #[test]
    fn never_panics_and_needs_a_slash(line in "\\PC{0,60}") {
        let parsed = parse(&line, Some("x"), ChatKind::Private, &mounts());
        prop_assert!(parsed.is_none() || line.trim_start().starts_with('/'));
    }

    #[test]
    fn never_panics_at_values(values in "[a-c=\"\\\\nu0-2“\u{a0} \n😀]{0,40}") {
        drop(read(&format!("/put_secret p {values}")));
    }

    /// Without quotes: accepted as it stands, or not at all.
    #[test]
    fn a_bare_value_is_taken_as_it_stands(value in "\\PC{1,30}") {
        if let Ok(fields) = written(&format!("/patch_secret p key={value}"))
            && !value.starts_with('"')
        {
            let first = value.split([' ', '\n', '\t', '\r']).next().unwrap_or_default();
            prop_assert_eq!(fields[0].1.as_str(), first);
        }
    }

    /// In quotes, there is a way to write everything.
    #[test]
    fn every_value_can_be_written(values in proptest::collection::vec(any::<String>(), 1..4)) {
        let pairs = values.iter().enumerate();
        let pairs: Vec<_> = pairs.map(|(n, value)| format!("k{n}={}", quoted(value))).collect();
        let line = format!("/put_secret p {}", pairs.join(" "));
        prop_assume!(line.encode_utf16().count() <= MAX_LENGTH);
        let fields = written(&line);
        prop_assert!(fields.is_ok(), "{:?}", fields);
        let read: Vec<_> = fields.unwrap_or_default().into_iter().map(|(_, value)| value).collect();
        prop_assert_eq!(read, values);
    }
}
