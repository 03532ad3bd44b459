//! How an answer reaches the caller: part of the request and an input to the policy.

/// The way a secret is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// A message in the requester's private chat, hidden under a spoiler, deleted after a while.
    Message,
    /// The answer to a request on the Unix socket.
    Socket,
}

impl Delivery {
    /// The name policies use (`context.delivery`).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Socket => "socket",
        }
    }
}
