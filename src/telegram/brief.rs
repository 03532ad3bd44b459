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

/// Runs `work` with a client on `session`. `None`: the connection ended under it.
pub(super) async fn briefly<T>(
    session: &Arc<FileSession>,
    api_id: i32,
    proxy: Option<String>,
    work: impl AsyncFnOnce(Client) -> T,
) -> Option<T> {
    let SenderPool { runner, handle, .. } = SenderPool::with_configuration(
        Arc::clone(session),
        api_id,
        ConnectionParams {
            app_version: env!("CARGO_PKG_VERSION").to_owned(),
            retry_policy: Box::new(NoRetries),
            proxy_url: proxy,
            ..ConnectionParams::default()
        },
    );
    let mut runner = AbortOnDropHandle::new(TaskTracker::new().spawn(runner.run()));
    let result = tokio::select! {
        result = work(Client::new(handle.clone())) => Some(result),
        _ = &mut runner => None,
    };
    handle.quit();
    result
}

/// The URL of `proxy` for [`briefly`]; `None` where there is none.
pub(super) async fn proxy_url(
    proxy: Option<&Proxy>,
    limit: Duration,
) -> Result<Option<String>, LoginError> {
    match proxy {
        None => Ok(None),
        Some(proxy) => proxy.url(limit).await.map(Some).map_err(LoginError::Proxy),
    }
}

/// Asks Telegram whether it accepts `session`, within `limit`; the account, as `@name` or by
/// its id.
///
/// # Errors
/// When it does not, or cannot be reached; the text says what to do.
pub async fn probe(
    session: &Arc<FileSession>,
    api_id: i32,
    proxy: Option<&Proxy>,
    limit: Duration,
) -> Result<String, LoginError> {
    if session.user().is_none() {
        return Err(LoginError::NotSignedIn);
    }
    let proxy = proxy_url(proxy, limit).await?;
    let asking = briefly(session, api_id, proxy, async |client| client.get_me().await);
    let answer = timeout(limit, asking)
        .await
        .ok()
        .flatten()
        .ok_or(LoginError::Unreachable)?;
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
