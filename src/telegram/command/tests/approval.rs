//! What people may write about requests for approval.

use proptest::prelude::*;

use super::*;

#[expect(clippy::disallowed_methods, reason = "the code is what is tested")]
pub(super) fn about(affair: &Affair) -> String {
    match affair {
        Affair::Ask(action, target, reason) => {
            let delivery = action.delivery().map_or("", Delivery::name);
            format!("ask {} {target} {delivery} {reason}", action.name())
        }
        Affair::Show(id) => format!("show {id}"),
        Affair::Mine => "mine".into(),
        Affair::List(filter) => format!("list {filter:?}"),
        Affair::Cancel(id) => format!("cancel request {id}"),
        Affair::Extend(id, reason) => format!("extend {id} {reason}"),
        Affair::Approve(id, None) => format!("approve {id}"),
        Affair::Approve(id, Some(code)) => {
            let code = String::from_utf8(code.expose_secret().to_vec()).unwrap();
            format!("approve {id} {code}")
        }
        Affair::Deny(id, reason) => format!("deny {id} {reason}"),
        Affair::Revoke(id) => format!("revoke grant {id}"),
        Affair::BreakGlass(target, delivery, reason) => {
            format!("break {target} {} {reason}", delivery.name())
        }
        Affair::Review(id, note) => format!("review {id} {note}"),
    }
}

#[test]
fn each_affair_is_read() {
    for (line, expected) in [
        ("/cancel r7koxl", "cancel request R7K0X1"),
        ("/request_secret a", "ask read secret/a message "),
        (
            "/request_secret team/a#b@2 sealed  fix\nthe import",
            "ask read team/a#b@2 sealed fix the import",
        ),
        ("/request r7k2xq", "show R7K2XQ"),
        ("/request status r7k2xq", "show R7K2XQ"),
        ("/request rotate", "show R0TATE"),
        (
            "/request rotate a#b it leaked",
            "ask rotate secret/a#b  it leaked",
        ),
        (
            "/request invoke team/a socket now",
            "ask invoke team/a socket now",
        ),
        ("/request list a", "ask list secret/a  "),
        ("/requests", "mine"),
        ("/admin_list", "list Pending"),
        ("/admin_list pending", "list Pending"),
        ("/admin_list all", "list All"),
        ("/extend r7k2xq still at it", "extend R7K2XQ still at it"),
        ("/extend R7K2XQ", "extend R7K2XQ "),
        ("/approve r7k2xq", "approve R7K2XQ"),
        ("/approve R7K2XQ 123456", "approve R7K2XQ 123456"),
        ("/approve R7K2XQ 123 456", "approve R7K2XQ 123456"),
        ("/deny R7K2XQ not  today", "deny R7K2XQ not today"),
        ("/revoke R7K2XQ", "revoke grant R7K2XQ"),
        (
            "/break_glass a wrapped pay day is today",
            "break secret/a wrapped pay day is today",
        ),
        ("/reviewed R7K2XQ all well", "review R7K2XQ all well"),
    ] {
        let command = read(line).unwrap_or_else(|mistake| panic!("{line}: {mistake}"));
        assert_eq!(short(&command), expected, "{line}");
    }
}

#[test]
fn each_mistake_about_requests_says_what_to_write() {
    for (line, said) in [
        ("/request_secret", "The path is missing: /request_secret"),
        ("/request_secret ../a why", "\"..\" part"),
        ("/break_glass", "The path is missing: /break_glass"),
        ("/request", "request is missing (/requests lists yours)"),
        ("/request R7K2", "named by 6 letters and digits"),
        ("/request status R7K2XQ now", "more than /request takes"),
        ("/request steal a because", "What can be done: read, list,"),
        ("/admin_list some", "comes pending or all"),
        ("/extend", "The request is missing"),
        ("/approve", "The request is missing"),
        ("/approve K7Q2", "as in: /approve R7K2XQ"),
        ("/approve R7K2XQ yes", "/approve R7K2XQ 123456"),
        ("/approve R7K2XQ 12345", "6 to 8 digits"),
        ("/approve R7K2XQ 123456789", "6 to 8 digits"),
        ("/deny R7K2XQ", "Say why, for others to read: /deny R7K2XQ"),
        ("/reviewed R7K2XQ", "Say why, for others to read: /reviewed"),
        ("/revoke R7K2XQ now", "more than /revoke takes"),
    ] {
        let said_now = mistake(line).to_string();
        assert!(said_now.contains(said), "{line}: {said_now}");
    }
}

#[test]
fn a_reply_to_a_card_votes_and_talk_does_not() {
    let id = ApprovalId::read("R7K2XQ").unwrap();
    let replied = |text: &str| {
        let parsed = parse_reply(text, &id, ChatKind::Group, &mounts())?;
        let said = match &parsed.command {
            Ok(command) => short(command),
            Err(mistake) => mistake.to_string(),
        };
        Some((said, parsed.sensitive))
    };
    for (text, expected, sensitive) in [
        ("approve", "approve R7K2XQ", false),
        (" Approve. ", "approve R7K2XQ", false),
        ("APPROVE 123 456", "approve R7K2XQ 123456", true),
        ("deny: not today", "deny R7K2XQ not today", false),
        ("Reviewed all well", "review R7K2XQ all well", false),
    ] {
        let expected = Some((expected.to_owned(), sensitive));
        assert_eq!(replied(text), expected, "{text}");
    }
    for text in ["approve if you must", "deny"] {
        let (said, sensitive) = replied(text).unwrap();
        assert!(said.contains("R7K2XQ") && !sensitive, "{said}");
    }
    for text in ["", "yes", "approved", "denying this is wrong", "I approve"] {
        assert_eq!(replied(text), None, "{text}");
    }
}

#[test]
fn a_code_does_not_stay_in_the_chat() {
    for (line, sensitive) in [
        ("/approve R7K2XQ", false),
        ("/approve R7K2XQ 123456", true),
        ("/approve R7K2XQ 123", true),
        ("/deny R7K2XQ 123456", false),
    ] {
        let parsed = parse(line, None, ChatKind::Group, &mounts()).unwrap();
        assert_eq!(parsed.sensitive, sensitive, "{line}");
    }
}

proptest! {
    #[test]
    fn a_reason_is_one_line_and_a_code_is_digits(
        word in "(request_secret|request|extend|approve|deny|break_glass|reviewed)",
        rest in "[R7K2XQ a-c0-9#@\n\t😀]{0,40}",
    ) {
        if let Ok(command) = read(&format!("/{word} {rest}")) {
            let told = short(&command);
            prop_assert!(!told.contains(['\n', '\t']), "{}", told);
            let code = told.strip_prefix("approve ").and_then(|it| it.split_once(' '));
            prop_assert!(code.is_none_or(|(_, code)| code.bytes().all(|it| it.is_ascii_digit())));
        }
    }
}
