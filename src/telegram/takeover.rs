//! Whose a message is, of the replicas that all see it; and what is done again when that one ends.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{error, warn};

use super::backoff::Backoff;
use super::command::{Affair, Command, Mistake};
use super::handler::Handler;
use crate::broker::ports::CoordinationError;
use crate::broker::{PipelineWish, Whose};
use crate::domain::RequestId;

/// How long whoever does not know a code leaves the message to whoever does.
const FOR_OTHERS: Duration = Duration::from_secs(1);

impl Handler {
    /// Takes a request for this process, unless another has it, or it is done. While the state store
    /// is away nobody can tell whose it is, so nobody answers it: it is tried again for `patience`,
    /// and then given up. An error where there are no others who could answer. With `to_its_end`, a
    /// request that another has is waited for as long.
    pub(super) async fn take(
        &self,
        id: &RequestId,
        patience: Duration,
        to_its_end: bool,
    ) -> Result<Whose, CoordinationError> {
        let deadline = Instant::now() + patience;
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            let failed = match self.broker.hold(id).await {
                Ok(Whose::Anothers) if to_its_end => None,
                Ok(whose) => return Ok(whose),
                Err(failed) if !self.broker.has_company() => return Err(failed),
                Err(failed) => Some(failed),
            };
            let wait = backoff.next();
            if Instant::now() + wait >= deadline {
                if let Some(error) = failed {
                    error!(event = "telegram.command_given_up", request = %id, %error);
                }
                return Ok(Whose::Anothers);
            }
            if let Some(error) = failed {
                warn!(event = "telegram.claim_failed", request = %id, %error);
            }
            sleep(wait).await;
        }
    }

    /// Leaves what is asked under `code` to the replica that keeps it, where this one does not: its
    /// values are in memory only.
    pub(super) async fn leave_to_others(&self, user: i64, code: &str) {
        if !self.pending.has(user, code) && self.broker.has_company() {
            sleep(FOR_OTHERS).await;
        }
    }
}

/// Whether doing `command` twice changes nothing, or is told so; of what the broker is asked, it
/// decides. The answer is the same message, however often it is sent.
pub(super) fn may_repeat(command: &Result<Command, Mistake>) -> bool {
    match command {
        Err(_) => true,
        Ok(command) => match command {
            Command::Start
            | Command::Help
            | Command::Status
            | Command::Read(..)
            | Command::List(_)
            | Command::Versions(_)
            | Command::Leases
            | Command::Watches
            | Command::GetKeys
            | Command::Keys
            // Questions, which change nothing.
            | Command::RegisterKey(_)
            | Command::ForgetKey(_)
            | Command::Delete(_)
            | Command::Rotate(..)
            | Command::Destroy(_)
            | Command::Cancel(_) => true,
            Command::Put(..)
            | Command::Patch(..)
            | Command::Undelete(_)
            | Command::Invoke(..)
            | Command::KeepLease(..)
            | Command::RevokeLease(_)
            | Command::Confirm(_) => false,
            Command::Pipeline(wish) => match wish {
                PipelineWish::Run(..)
                | PipelineWish::Runs(_)
                | PipelineWish::Rerun(_)
                | PipelineWish::Approve(..) => true,
                PipelineWish::Cancel(_) | PipelineWish::Deny(..) | PipelineWish::Watch(..) => false,
            },
            Command::Approval(affair) => match affair {
                Affair::Ask(..)
                | Affair::Show(_)
                | Affair::Mine
                | Affair::List(_)
                | Affair::Cancel(_)
                | Affair::Extend(..)
                | Affair::Approve(_, None)
                | Affair::Deny(..)
                | Affair::Revoke(_)
                | Affair::Review(..) => true,
                // A code is good once, and this one may have been used.
                Affair::Approve(_, Some(_)) | Affair::BreakGlass(..) => false,
            },
        },
    }
}
