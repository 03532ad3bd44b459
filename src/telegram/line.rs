//! The line to Telegram: grammers' connection, with calls and updates that leave no trace in it.
//!
//! grammers' own pool reads into a buffer that keeps what came, decrypted, until as much comes
//! again. Here MTProto is wrapped ([`Forgetful`]), which grammers' sender hands that buffer to.
//! Besides, a key that Telegram does not know ends the session here; it is never replaced.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::{Arc, Mutex, PoisonError};

use grammers_mtproto::mtp::Encrypted;
use grammers_mtproto::transport::Full;
use grammers_mtsender::{ConnectionParams, InvocationError, ReadError, Sender, ServerAddr};
use grammers_session::Session;
use grammers_session::types::DcOption;
use grammers_session::updates::UpdatesLike;
use grammers_tl_types as tl;
use tokio::sync::{mpsc, oneshot};

use super::call::CallError;
use super::forgetful::Forgetful;
use super::session::FileSession;

/// A request, and where its answer goes.
pub(super) struct Call {
    pub(super) body: Vec<u8>,
    pub(super) answer: oneshot::Sender<Result<Vec<u8>, CallError>>,
}

/// Calls that are made and not yet sent.
pub(super) type Queue = Arc<Mutex<VecDeque<Call>>>;

/// One end of a line that is to be made.
pub(super) struct Line {
    /// The account's keys, and where its datacenter is.
    pub(super) session: Arc<FileSession>,
    /// The application's id.
    pub(super) api_id: i32,
    /// The way there, if not straight.
    pub(super) proxy: Option<String>,
    /// What is called.
    pub(super) calls: mpsc::UnboundedReceiver<Call>,
    /// What comes unasked.
    pub(super) updates: mpsc::Sender<UpdatesLike>,
}

impl Line {
    /// Connects and serves until nobody can call any more; dropped, it hangs up.
    ///
    /// # Errors
    /// When the connection is not made, or lost, or the session is not accepted.
    pub(super) async fn run(self) -> Result<(), CallError> {
        let Self {
            session,
            api_id,
            proxy,
            mut calls,
            updates,
        } = self;
        let dc = session.home_dc_id().map_err(session_error)?;
        let dc = session.dc_option(dc).map_err(session_error)?;
        let dc = dc.ok_or(InvocationError::InvalidDc)?;
        let key = dc.auth_key.ok_or_else(|| {
            CallError::SignedOut("the session has no key for its datacenter".to_owned())
        })?;
        let address = SocketAddr::V4(dc.ipv4);
        let address = match proxy {
            Some(proxy) => ServerAddr::Proxied { address, proxy },
            None => ServerAddr::Tcp { address },
        };
        let queue = Queue::default();
        let mtp = Forgetful::new(Encrypted::build().finish(key), Arc::clone(&queue), updates);
        let connecting = Sender::connect(Full::new(), mtp, address).await;
        let mut sender = connecting.map_err(InvocationError::Io)?;
        let tl::enums::Config::Config(config) = sender.invoke(&introduction(api_id)).await?;
        learn_addresses(&session, &config).await?;
        loop {
            tokio::select! {
                // May be dropped half-way: what was read or written so far is kept.
                step = sender.step() => drop(step.map_err(lost)?),
                call = calls.recv() => match call {
                    Some(call) => {
                        queue.lock().unwrap_or_else(PoisonError::into_inner).push_back(call);
                    }
                    None => return Ok(()),
                },
            }
        }
    }
}

/// Why the line is gone. What cannot be read there refuses nothing: the next one may do better.
fn lost(error: ReadError) -> CallError {
    match error {
        ReadError::Deserialize(_) => CallError::Disconnected,
        ReadError::Io(_) | ReadError::Transport(_) => InvocationError::from(error).into(),
    }
}

/// Who we are, as grammers would say it.
fn introduction(
    api_id: i32,
) -> tl::functions::InvokeWithLayer<tl::functions::InitConnection<tl::functions::help::GetConfig>> {
    let usual = ConnectionParams::default();
    tl::functions::InvokeWithLayer {
        layer: tl::LAYER,
        query: tl::functions::InitConnection {
            api_id,
            device_model: usual.device_model,
            system_version: usual.system_version,
            app_version: env!("CARGO_PKG_VERSION").to_owned(),
            system_lang_code: usual.system_lang_code,
            lang_pack: String::new(),
            lang_code: usual.lang_code,
            proxy: None,
            params: None,
            query: tl::functions::help::GetConfig {},
        },
    }
}

/// Keeps where Telegram says that its datacenters are, for the next connection.
async fn learn_addresses(
    session: &FileSession,
    config: &tl::types::Config,
) -> Result<(), CallError> {
    for tl::enums::DcOption::Option(told) in &config.dc_options {
        if !told.r#static || told.media_only || told.tcpo_only {
            continue;
        }
        let Ok(port) = u16::try_from(told.port) else {
            continue;
        };
        let known = session.dc_option(told.id).map_err(session_error)?;
        let mut dc = known.unwrap_or_else(|| nowhere(told.id));
        match told.ip_address.parse() {
            Ok(IpAddr::V4(ip)) => dc.ipv4 = SocketAddrV4::new(ip, port),
            Ok(IpAddr::V6(ip)) => dc.ipv6 = SocketAddrV6::new(ip, port, 0, 0),
            Err(_) => continue,
        }
        session.set_dc_option(&dc).await.map_err(session_error)?;
    }
    Ok(())
}

/// A datacenter of which nothing is known yet.
fn nowhere(id: i32) -> DcOption {
    DcOption {
        id,
        ipv4: SocketAddrV4::new([0; 4].into(), 0),
        ipv6: SocketAddrV6::new([0; 16].into(), 0, 0, 0),
        auth_key: None,
    }
}

fn session_error(error: impl std::error::Error + Send + Sync + 'static) -> CallError {
    CallError::from(InvocationError::Session(Box::new(error)))
}

#[cfg(test)]
mod tests {
    use grammers_mtproto::mtp::DeserializeError;
    use grammers_mtproto::transport;

    use super::*;

    #[test]
    fn what_cannot_be_read_on_the_line_is_no_refusal() {
        // Also said of more updates than may wait.
        let error = lost(ReadError::Deserialize(
            DeserializeError::MessageBufferTooSmall,
        ));
        assert_eq!(error, CallError::Disconnected);
        let unknown_key = transport::Error::BadStatus { status: 404 };
        let error = lost(ReadError::Transport(unknown_key));
        assert!(matches!(error, CallError::SignedOut(_)), "{error}");
    }
}
