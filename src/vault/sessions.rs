//! Which session a request is made with: vaultgram's own, or that of a token role.
//!
//! Who asks may go away at any moment. What makes or loses a token is therefore run to its end
//! on its own: cut short, it would leave a token in Vault that nobody ends.

use std::sync::Arc;

use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::broker::ports::StoreError;
use crate::vault::client::Client;
use crate::vault::login::{Login, Verdict};
use crate::vault::roles::Roles;
use crate::vault::session::Session;

/// All sessions.
pub(super) struct Sessions {
    pub(super) client: Arc<Client>,
    pub(super) login: Login,
    pub(super) roles: Roles,
    /// What is run to its end.
    pub(super) tasks: TaskTracker,
}

impl Sessions {
    /// The session of token role `role`; without one, our own.
    pub(super) async fn session(
        self: &Arc<Self>,
        role: Option<&str>,
    ) -> Result<Arc<Session>, StoreError> {
        match role {
            Some(role) => self.of_role(role).await,
            None => self.login.session(self.client.patience()).await,
        }
    }

    /// Vault refused `suspect`, the session of `role`, something: the one to ask again with, or
    /// `None` when `suspect` is healthy and the refusal was about the path.
    pub(super) async fn instead_of(
        self: &Arc<Self>,
        role: Option<&str>,
        suspect: Arc<Session>,
    ) -> Result<Option<Arc<Session>>, StoreError> {
        let this = self.clone();
        match role.map(ToOwned::to_owned) {
            Some(role) => {
                self.uncut(async move { this.confirm_role(&role, &suspect).await })
                    .await
            }
            None => {
                self.uncut(async move { this.confirm_own(&suspect).await })
                    .await
            }
        }
    }

    async fn confirm_own(&self, suspect: &Session) -> Result<Option<Arc<Session>>, StoreError> {
        match self.login.confirm(&self.client, suspect).await {
            Verdict::Healthy => Ok(None),
            Verdict::Replaced(session) => Ok(Some(session)),
            Verdict::Lost(problem) => Err(problem.into()),
        }
    }

    /// Runs `what` to its end, and waits for that as long as for one answer of Vault's.
    pub(super) async fn uncut<T: Send + 'static>(
        &self,
        what: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        match timeout(self.client.patience(), self.tasks.spawn(what)).await {
            Ok(Ok(result)) => result,
            // It takes too long, or we are stopping.
            Err(_) | Ok(Err(_)) => Err(StoreError::Unavailable),
        }
    }
}
