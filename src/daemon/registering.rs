//! Has the replicas that share a state know a login that was just made: to them it is a device on
//! the account, and they alarm people of one that is nobody's.

use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::broker::ports::{Clock, SystemClock};
use crate::cli::exit::{Exit, Failure};
use crate::config::StateConfig;
use crate::daemon::signals::unless_stopped;
use crate::daemon::state::State;
use crate::daemon::{load_account, login, terminal};
use crate::telegram::{self, FileSession, Reach};

/// Registers the login of `session` where `config` names a state that is shared, and says so. That
/// it cannot is no failure: the service does the same when it starts.
pub(super) async fn register(
    config: &Path,
    session: &Arc<FileSession>,
    api_id: i32,
    reach: &Reach,
) {
    match unless_stopped(Box::pin(try_to(config, session, api_id, reach))).await {
        Ok(false) => {}
        Ok(true) => terminal::say("the other replicas know this login\n"),
        Err(failure) => terminal::say(&format!(
            "the other replicas do not know this login yet ({}); start vaultgram within a minute, or they \
             take it for a stranger's\n",
            failure.what
        )),
    }
}

/// Whether there is anybody to register with.
async fn try_to(
    config: &Path,
    session: &Arc<FileSession>,
    api_id: i32,
    reach: &Reach,
) -> Result<bool, Failure> {
    let Some(shared @ StateConfig::Etcd(_)) = load_account(config)?.0.state else {
        return Ok(false);
    };
    let entry = telegram::registration(session, api_id, reach).await;
    let Some(entry) = entry.map_err(login::failure)? else {
        return Ok(false);
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let state = State::open(shared, Some(session), &clock)?;
    let putting = async {
        state.ready().await?;
        let put = state.port().put(&entry, b"").await;
        put.map_err(|error| Failure::new(Exit::Unavailable, error))
    };
    let put = tokio::select! {
        put = putting => put,
        () = state.run(CancellationToken::new()) => {
            Err(Failure::new(Exit::Unavailable, "the state store is closed"))
        }
    };
    // Or the service, should it start now, would wait until etcd finds out by itself.
    state.close().await.ok();
    put.map(|()| true)
}
