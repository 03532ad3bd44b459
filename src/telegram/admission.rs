//! Which messages are acted on: a pure rule over what Telegram says of a message.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::domain::caller::ChatKind;

/// Telegram's id for anonymous group administrators, one for all of them.
const ANONYMOUS_ADMIN: i64 = 1_087_968_824;
/// Telegram's own service account.
const TELEGRAM: i64 = 777_000;

/// What Telegram says of a message, without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Envelope {
    /// Who wrote it; `None` for a channel, an anonymous group, or nobody.
    pub(crate) sender: Option<i64>,
    /// The kind of chat; `None` for a broadcast channel.
    pub(crate) chat: Option<ChatKind>,
    /// When, in unix seconds by Telegram's clock.
    pub(crate) date: i64,
    /// We wrote it ourselves.
    pub(crate) outgoing: bool,
    /// It was changed after it was sent.
    pub(crate) edited: bool,
    /// Somebody else's words.
    pub(crate) forwarded: bool,
    /// A bot or a business connection wrote it in the sender's name.
    pub(crate) automatic: bool,
}

/// Who may command, and for how long a command counts.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// Numeric user ids. Empty: nobody.
    pub(crate) allowed: BTreeSet<i64>,
    /// Our own id.
    pub(crate) me: i64,
    /// Oldest command acted on.
    pub(crate) command_age: Duration,
}

/// What to do with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing at all.
    Ignore,
    /// Not on the list: what strangers get, in private chats only.
    Stranger {
        /// Who.
        user: i64,
    },
    /// From somebody on the list, but not simply written by them: edited, forwarded, or sent by
    /// a bot. Never acted on; but a secret in it must not stay.
    SecondHand {
        /// Who.
        user: i64,
        /// Where.
        chat: ChatKind,
    },
    /// From somebody on the list, but not from now.
    TooOld {
        /// Who.
        user: i64,
        /// Where.
        chat: ChatKind,
    },
    /// From somebody on the list, and by our clock not written yet: the clocks disagree, and
    /// nobody can tell how old it is.
    Ahead {
        /// Who.
        user: i64,
        /// Where.
        chat: ChatKind,
    },
    /// Act on it.
    Admit {
        /// Who.
        user: i64,
        /// Where.
        chat: ChatKind,
    },
}

/// Judges a message at `now` (unix seconds). Anything unclear is ignored.
pub(crate) fn admit(message: &Envelope, rules: &Rules, now: i64) -> Verdict {
    let (Some(user), Some(chat)) = (message.sender, message.chat) else {
        return Verdict::Ignore;
    };
    if message.outgoing || user == rules.me || matches!(user, ANONYMOUS_ADMIN | TELEGRAM) {
        return Verdict::Ignore;
    }
    if !rules.allowed.contains(&user) {
        return match chat {
            ChatKind::Private if !message.edited => Verdict::Stranger { user },
            ChatKind::Private | ChatKind::Group => Verdict::Ignore,
        };
    }
    if message.edited || message.forwarded || message.automatic {
        return Verdict::SecondHand { user, chat };
    }
    if now.abs_diff(message.date) <= rules.command_age.as_secs() {
        Verdict::Admit { user, chat }
    } else if message.date > now {
        Verdict::Ahead { user, chat }
    } else {
        Verdict::TooOld { user, chat }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn rules(allowed: &[i64]) -> Rules {
        Rules {
            allowed: allowed.iter().copied().collect(),
            me: 1,
            command_age: Duration::from_mins(1),
        }
    }

    fn plain() -> Envelope {
        Envelope {
            sender: Some(7),
            chat: Some(ChatKind::Private),
            date: NOW,
            outgoing: false,
            edited: false,
            forwarded: false,
            automatic: false,
        }
    }

    #[test]
    fn admits_who_is_listed() {
        for chat in [ChatKind::Private, ChatKind::Group] {
            let message = Envelope {
                chat: Some(chat),
                ..plain()
            };
            let verdict = admit(&message, &rules(&[7]), NOW);
            assert_eq!(verdict, Verdict::Admit { user: 7, chat });
        }
    }

    #[test]
    fn a_stranger_is_a_stranger_in_private_and_nothing_in_a_group() {
        for allowed in [&[][..], &[8], &[-7], &[70]] {
            let verdict = admit(&plain(), &rules(allowed), NOW);
            assert_eq!(verdict, Verdict::Stranger { user: 7 });
            let message = Envelope {
                chat: Some(ChatKind::Group),
                ..plain()
            };
            assert_eq!(admit(&message, &rules(allowed), NOW), Verdict::Ignore);
        }
    }

    #[test]
    fn a_stranger_is_told_the_same_whatever_the_message() {
        for (forwarded, automatic, date) in
            [(true, false, NOW), (false, true, NOW), (false, false, 0)]
        {
            let message = Envelope {
                date,
                forwarded,
                automatic,
                ..plain()
            };
            let verdict = admit(&message, &rules(&[]), NOW);
            assert_eq!(verdict, Verdict::Stranger { user: 7 });
        }
    }

    #[test]
    fn nothing_is_done_for_what_was_not_simply_written() {
        let (user, chat) = (7, ChatKind::Private);
        for flags in [
            [true, false, false],
            [false, true, false],
            [false, false, true],
        ] {
            let [edited, forwarded, automatic] = flags;
            let message = Envelope {
                edited,
                forwarded,
                automatic,
                ..plain()
            };
            let verdict = admit(&message, &rules(&[7]), NOW);
            assert_eq!(verdict, Verdict::SecondHand { user, chat }, "{flags:?}");
        }
        let edited = Envelope {
            edited: true,
            ..plain()
        };
        assert_eq!(admit(&edited, &rules(&[]), NOW), Verdict::Ignore);
    }

    #[test]
    fn ignores_what_is_nobodys_message() {
        let all = rules(&[1, 7, ANONYMOUS_ADMIN, TELEGRAM]);
        for message in [
            Envelope {
                sender: None,
                ..plain()
            },
            Envelope {
                chat: None,
                ..plain()
            },
            Envelope {
                outgoing: true,
                ..plain()
            },
            Envelope {
                sender: Some(1),
                ..plain()
            },
            Envelope {
                sender: Some(ANONYMOUS_ADMIN),
                ..plain()
            },
            Envelope {
                sender: Some(TELEGRAM),
                ..plain()
            },
        ] {
            assert_eq!(admit(&message, &all, NOW), Verdict::Ignore, "{message:?}");
        }
    }

    #[test]
    fn a_command_counts_for_its_age_and_no_longer() {
        let (user, chat) = (7, ChatKind::Private);
        let admitted = Verdict::Admit { user, chat };
        let too_old = Verdict::TooOld { user, chat };
        let ahead = Verdict::Ahead { user, chat };
        for (ago, expected) in [
            (0, admitted),
            (60, admitted),
            (61, too_old),
            (i64::MAX, too_old),
            (-60, admitted),
            (-61, ahead),
            (i64::MIN, ahead),
        ] {
            let message = Envelope {
                date: NOW.saturating_sub(ago),
                ..plain()
            };
            let verdict = admit(&message, &rules(&[7]), NOW);
            assert_eq!(verdict, expected, "{ago}");
        }
    }

    proptest! {
        /// Whatever Telegram claims: to be admitted takes a listed id and no mark against it.
        #[test]
        fn nobody_else_is_ever_admitted(
            sender in proptest::option::of(prop_oneof![0..10i64, any::<i64>()]),
            group in proptest::option::of(any::<bool>()),
            date in prop_oneof![NOW - 100..NOW + 100, any::<i64>()],
            flags in any::<[bool; 4]>(),
        ) {
            let [outgoing, edited, forwarded, automatic] = flags;
            let chat = group.map(|group| if group { ChatKind::Group } else { ChatKind::Private });
            let message = Envelope { sender, chat, date, outgoing, edited, forwarded, automatic };
            let verdict = admit(&message, &rules(&[1, 2, 3]), NOW);
            let may = matches!(sender, Some(2 | 3)) && flags == [false; 4] && chat.is_some();
            let ignores = matches!(
                verdict,
                Verdict::Ignore | Verdict::Stranger { .. } | Verdict::SecondHand { .. }
            );
            prop_assert_eq!(ignores, !may);
        }
    }
}
