//! Who asks: an identity that a front end has already verified.

use std::fmt;

/// A verified identity. Front ends make it from their transport's evidence; the broker
/// never sees that evidence.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Caller {
    /// A Telegram account, known by its numeric id (never by a name, which can change).
    Telegram(TelegramUser),
    /// A local process, known by what the kernel says about the peer of a Unix socket.
    Unix(UnixPeer),
}

/// A Telegram account and where it spoke from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TelegramUser {
    /// The numeric user id.
    pub id: i64,
    /// The kind of chat the message was written in.
    pub chat: ChatKind,
}

/// The kind of chat a message came from, an input to the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChatKind {
    /// One to one.
    Private,
    /// A basic group or supergroup.
    Group,
}

impl ChatKind {
    /// The name policies use (`context.chat`).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Group => "group",
        }
    }
}

/// The peer of a Unix socket, as `SO_PEERCRED` and `/proc` attest it at connect.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UnixPeer {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Process id at connect.
    pub pid: i32,
    /// The executable's absolute path; `None` where the kernel would not tell.
    pub executable: Option<String>,
}

impl fmt::Display for Caller {
    /// The notation of group members in the configuration: `telegram:1001`, `uid:990`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Telegram(user) => write!(f, "telegram:{}", user.id),
            Self::Unix(peer) => write!(f, "uid:{}", peer.uid),
        }
    }
}
