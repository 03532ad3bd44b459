//! A connection for a moment: to sign in, or to see whether the session is accepted.

use std::sync::Arc;
use std::time::Duration;

use grammers_client::Client;
use grammers_mtsender::{ConnectionParams, NoRetries, SenderPool};
use tokio::time::timeout;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::call::CallError;
use super::login::LoginError;
use super::proxy::Proxy;
use super::session::FileSession;

/// How Telegram is reached.
#[derive(Clone)]
pub struct Reach {
    /// The way there, where it is not a direct one.
    pub proxy: Option<Proxy>,
    /// How long one call may take.
    pub limit: Duration,
}

/// Runs `work` with a client on `session`.
///
/// # Errors
/// When the proxy is not there, or the connection ended under `work`.
pub(super) async fn briefly<T>(
    session: &Arc<FileSession>,
    api_id: i32,
    reach: &Reach,
    work: impl AsyncFnOnce(Client) -> T,
) -> Result<T, LoginError> {
    let proxy_url = match &reach.proxy {
        None => None,
        Some(proxy) => Some(proxy.url(reach.limit).await.map_err(LoginError::Proxy)?),
    };
    let SenderPool { runner, handle, .. } = SenderPool::with_configuration(
        Arc::clone(session),
        api_id,
        ConnectionParams {
            app_version: env!("CARGO_PKG_VERSION").to_owned(),
            retry_policy: Box::new(NoRetries),
            proxy_url,
            ..ConnectionParams::default()
        },
    );
    let mut runner = AbortOnDropHandle::new(TaskTracker::new().spawn(runner.run()));
    let result = tokio::select! {
        result = work(Client::new(handle.clone())) => Ok(result),
        _ = &mut runner => Err(LoginError::Unreachable),
    };
    handle.quit();
    result
}

/// Asks Telegram whether it accepts `session`; the account, as `@name` or by
/// its id.
///
/// # Errors
/// When it does not, or cannot be reached; the text says what to do.
pub async fn probe(
    session: &Arc<FileSession>,
    api_id: i32,
    reach: &Reach,
) -> Result<String, LoginError> {
    if session.user().is_none() {
        return Err(LoginError::NotSignedIn);
    }
    let asking = briefly(session, api_id, reach, async |client| client.get_me().await);
    let answer = timeout(reach.limit, asking)
        .await
        .map_err(|_| LoginError::Unreachable)??;
    let user = answer.map_err(|error| match CallError::from(error) {
        CallError::SignedOut(_) => LoginError::NotSignedIn,
        CallError::Flood(wait) => LoginError::Wait(wait),
        CallError::Refused(reason) | CallError::Server(reason) => LoginError::Refused(reason),
        CallError::Disconnected => LoginError::Unreachable,
    })?;
    Ok(match user.username() {
        Some(name) => format!("@{name}"),
        None => format!("user {}", user.id()),
    })
}
