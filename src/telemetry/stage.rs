//! The stages of a request, each timed where it happens.

use tokio::time::Instant;

use crate::telemetry::metrics;

/// What a request goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Policy decides, grants and the lock on chat with it.
    Policy,
    /// The audit takes records.
    Audit,
    /// The request is claimed, so that no other replica answers it.
    Claim,
    /// An exchange with Vault, with the wait for its turn.
    Vault,
    /// A message is sent in Telegram, with all tries and waits.
    Message,
    /// An answer is sent on a socket or by HTTPS, until the kernel has all of it.
    Reply,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Self; 6] = [
        Self::Policy,
        Self::Audit,
        Self::Claim,
        Self::Vault,
        Self::Message,
        Self::Reply,
    ];

    /// Its name in metrics and traces.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Audit => "audit",
            Self::Claim => "claim",
            Self::Vault => "vault",
            Self::Message => "message",
            Self::Reply => "reply",
        }
    }
}

/// Does `work`, and notes how long it took.
pub async fn timed<T>(stage: Stage, work: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let done = work.await;
    metrics::stage(stage, began.elapsed());
    done
}
