//! Commands as people write them.

use crate::domain::caller::ChatKind;

/// Longest message that is read, in UTF-16 code units: what Telegram's own apps can send.
const MAX_LENGTH: usize = 4096;

/// What somebody wants. No `Debug`: the text is theirs.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// `/start`: say hello.
    Start,
    /// `/help`: say what can be asked.
    Help,
    /// `/status`: say how things are.
    Status,
    /// `/get_secret PATH[#field][@version]`.
    GetSecret(String),
    /// `/get_secret` with more text than a message can have.
    TooLong,
    /// A `/word` that means nothing here.
    Unknown,
}

impl Command {
    /// The name in logs.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Help => "help",
            Self::Status => "status",
            Self::GetSecret(_) => "get_secret",
            Self::TooLong => "too_long",
            Self::Unknown => "unknown",
        }
    }
}

/// Reads a message. `None` when it is no command for us: talk, a command for another bot
/// (`/help@other_bot`), or in a group one that we do not know. `username` is our own.
pub(crate) fn parse(text: &str, username: Option<&str>, chat: ChatKind) -> Option<Command> {
    let text = text.trim();
    let word = text.split_whitespace().next()?;
    let argument = text.strip_prefix(word).unwrap_or_default().trim_start();
    let word = word.strip_prefix('/')?;
    let name = match word.split_once('@') {
        Some((name, to)) if username.is_some_and(|me| me.eq_ignore_ascii_case(to)) => name,
        Some(_) => return None,
        None => word,
    };
    let command = match name {
        "start" => Command::Start,
        "help" => Command::Help,
        "status" => Command::Status,
        "get_secret" if is_too_long(text) => Command::TooLong,
        "get_secret" => Command::GetSecret(argument.to_owned()),
        _ => match chat {
            ChatKind::Private => Command::Unknown,
            ChatKind::Group => return None,
        },
    };
    Some(command)
}

fn is_too_long(text: &str) -> bool {
    text.encode_utf16().nth(MAX_LENGTH).is_some()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str, chat: ChatKind) -> Option<String> {
        let command = parse(text, Some("vault_bot"), chat)?;
        if let Command::GetSecret(argument) = &command {
            return Some(format!("get {argument}"));
        }
        Some(command.name().to_owned())
    }

    #[test]
    fn reads_commands() {
        for (text, private, group) in [
            ("/start", Some("start"), Some("start")),
            ("/help", Some("help"), Some("help")),
            ("/status", Some("status"), Some("status")),
            (
                "/get_secret a/b#c@2",
                Some("get a/b#c@2"),
                Some("get a/b#c@2"),
            ),
            ("  /get_secret \n a ", Some("get a"), Some("get a")),
            ("/get_secret", Some("get "), Some("get ")),
            ("/get_secret a b", Some("get a b"), Some("get a b")),
            ("/get_secret@vault_bot a", Some("get a"), Some("get a")),
            (
                "/get_secret@Vault_Bot a@3",
                Some("get a@3"),
                Some("get a@3"),
            ),
            ("/get_secret@other_bot a", None, None),
            ("/help@", None, None),
            ("/get_secrets a", Some("unknown"), None),
            ("/get_secreta/b", Some("unknown"), None),
            ("/GET_SECRET a", Some("unknown"), None),
            ("/", Some("unknown"), None),
            ("get_secret a", None, None),
            ("please /get_secret a", None, None),
            ("", None, None),
            (" \n", None, None),
        ] {
            assert_eq!(
                name(text, ChatKind::Private).as_deref(),
                private,
                "{text:?}"
            );
            assert_eq!(name(text, ChatKind::Group).as_deref(), group, "{text:?}");
        }
    }

    #[test]
    fn without_a_username_nothing_is_addressed_to_us() {
        assert!(parse("/help@x", None, ChatKind::Private).is_none());
    }

    #[test]
    fn refuses_what_is_too_long_and_counts_as_telegram_does() {
        let command = "/get_secret ";
        let room = MAX_LENGTH - command.len();
        for (text, fits) in [
            ("a".repeat(room), true),
            ("a".repeat(room + 1), false),
            ("𝒂".repeat(room / 2), true),
            ("𝒂".repeat(room / 2 + 1), false),
            ("a".repeat(1 << 20), false),
        ] {
            let parsed = parse(&format!("{command}{text}"), None, ChatKind::Private).unwrap();
            assert_eq!(matches!(parsed, Command::GetSecret(_)), fits);
            assert_eq!(matches!(parsed, Command::TooLong), !fits);
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_needs_a_slash(text in "\\PC{0,60}") {
            let parsed = parse(&text, Some("x"), ChatKind::Private);
            prop_assert!(parsed.is_none() || text.trim_start().starts_with('/'));
        }
    }
}
