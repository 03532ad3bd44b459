//! How an answer reaches the caller: part of the request and an input to the policy.

/// The way a secret is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// A message in the requester's private chat, hidden under a spoiler, deleted after a while.
    Message,
    /// A token of Vault's response wrapping, in such a message: the plaintext stays in Vault until
    /// the requester unwraps it, once.
    Wrapped,
    /// Encrypted to the requester's registered age keys.
    Sealed,
    /// On the Unix socket: at once to who asks there, and to who asks in Telegram when their Unix
    /// user collects it.
    Socket,
}

impl Delivery {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Message, Self::Wrapped, Self::Sealed, Self::Socket];

    /// The name policies (`context.delivery`) and people use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Wrapped => "wrapped",
            Self::Sealed => "sealed",
            Self::Socket => "socket",
        }
    }

    /// The delivery of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|delivery| delivery.name() == name)
    }
}
