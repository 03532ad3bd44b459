//! A connection for a moment: to sign in, or to see whether the session is accepted.

use std::sync::Arc;
use std::time::Duration;

use grammers_client::Client;
use grammers_mtsender::{ConnectionParams, NoRetries, SenderPool};
use grammers_tl_types::RemoteCall;
use tokio::time::timeout;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

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
/// When the proxy is not there, the connection ended under `work`, or `work` fails.
pub(super) async fn briefly<T, W>(
    session: &Arc<FileSession>,
    api_id: i32,
    reach: &Reach,
    work: impl FnOnce(Client) -> W + Send,
) -> Result<T, LoginError>
where
    T: Send + 'static,
    W: Future<Output = Result<T, LoginError>> + Send + 'static,
{
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
    // Tasks of their own, for grammers panics at answers it does not expect.
    let tasks = TaskTracker::new();
    let mut runner = AbortOnDropHandle::new(tasks.spawn(runner.run()));
    let work = AbortOnDropHandle::new(tasks.spawn(work(Client::new(handle.clone()))));
    let result = tokio::select! {
        result = work => result.unwrap_or(Err(LoginError::Unexpected)),
        _ = &mut runner => Err(LoginError::Unreachable),
    };
    handle.quit();
    result
}

/// One call.
///
/// # Errors
/// When Telegram refuses, or does not answer within `limit`.
pub(super) async fn invoke<R: RemoteCall>(
    client: &Client,
    request: &R,
    limit: Duration,
) -> Result<R::Return, LoginError> {
    let answer = timeout(limit, client.invoke(request)).await;
    Ok(answer.map_err(|_| LoginError::Unreachable)??)
}
