//! One request concerning a secret, from any front end.

use std::fmt;

use crate::domain::{Action, Caller, Target};

/// Names one request, in the audit and in the coordination store.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RequestId {
    /// A Telegram message, which can be received more than once (a repeated update, a
    /// catch-up after a cut, another replica), so it must be claimed before it has an effect.
    Message {
        /// The chat, in Telegram's bot-API notation (negative for groups).
        chat: i64,
        /// The message's id within that chat.
        message: i32,
    },
    /// A pressed button, by Telegram's number for it. As with a message, every replica hears of
    /// it.
    Press(i64),
    /// A request on a connection: received once by nature; the number is random.
    Connection(u128),
}

impl RequestId {
    /// Whether it came by a chat: to every replica, and to nobody while chat is locked.
    #[must_use]
    pub fn is_of_chat(&self) -> bool {
        match self {
            Self::Message { .. } | Self::Press(_) => true,
            Self::Connection(_) => false,
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message { chat, message } => write!(f, "telegram-{chat}-{message}"),
            Self::Press(number) => write!(f, "telegram-press-{number}"),
            Self::Connection(random) => {
                // The form of a UUID, as Vault's `request_id` has it.
                let hex = format!("{random:032x}");
                for (position, digit) in hex.char_indices() {
                    if matches!(position, 8 | 12 | 16 | 20) {
                        f.write_str("-")?;
                    }
                    write!(f, "{digit}")?;
                }
                Ok(())
            }
        }
    }
}

/// A request by a verified caller. It holds no plaintext: values to write go beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its name.
    pub id: RequestId,
    /// Who asks.
    pub caller: Caller,
    /// What is to be done.
    pub action: Action,
    /// With what.
    pub target: Target,
}
