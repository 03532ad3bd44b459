//! Watches for new devices on the account: whoever signs in there reads every secret in its
//! chats. Each is logged, told to the admins and, where so set, closes the lock on chat.
//!
//! A bot has no devices, only its token; there this does nothing.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use grammers_session::types::PeerId;
use grammers_tl_types as tl;
use metrics::counter;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::call::CallError;
use super::handler::Handler;
use super::outbox::input_peer;
use super::reply::Reply;
use crate::broker::ports::{Coordination, CoordinationError};
use crate::telemetry::metrics::NEW_DEVICES;

/// One entry for each device we know, named by its hash.
const DEVICES: &str = "watchdog/devices/";
/// When our own login began, by Telegram's word: with another login all devices count as known.
const LOGIN: &str = "watchdog/login";
/// How long one round waits until an admin is told; the next round goes on.
const TELL: Duration = Duration::from_secs(20);
/// Longest text shown of what a device says of itself, in characters.
const MAX_TEXT: usize = 64;

/// Looks at the account's devices.
pub(super) struct Watchdog {
    pub(super) coordination: Arc<dyn Coordination>,
    pub(super) handler: Arc<Handler>,
}

/// Why a round came to nothing; the next may do better.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Coordination(#[from] CoordinationError),
}

impl Watchdog {
    /// Looks now and then, and at once on a hint, for as long as it is polled.
    pub(super) async fn run(&self) {
        let mut noticed = HashSet::new();
        loop {
            match self.round(&mut noticed).await {
                // A lost connection is said by the connection already.
                Ok(()) | Err(RoundError::Call(CallError::Disconnected)) => {}
                Err(RoundError::Call(CallError::Refused(reason)))
                    if reason == "BOT_METHOD_INVALID" =>
                {
                    info!(
                        event = "telegram.watchdog.off",
                        reason = "a bot has no devices"
                    );
                    return;
                }
                Err(error) => warn!(event = "telegram.watchdog.failed", %error),
            }
            tokio::select! {
                () = sleep(self.handler.settings.watchdog_interval) => {}
                () = self.handler.link.new_device.notified() => {}
            }
        }
    }

    async fn round(&self, noticed: &mut HashSet<i64>) -> Result<(), RoundError> {
        let request = tl::functions::account::GetAuthorizations {};
        let tl::enums::account::Authorizations::Authorizations(answer) =
            self.handler.link.invoke(&request).await?;
        let mut login = 0;
        let mut devices = BTreeMap::new();
        for authorization in answer.authorizations {
            let tl::enums::Authorization::Authorization(device) = authorization;
            if device.current {
                login = device.date_created;
            } else {
                devices.insert(key(device.hash), device);
            }
        }
        if !self.login_is_known(login).await? {
            for key in devices.keys() {
                self.coordination.put(key, b"").await?;
            }
            let login = login.to_string();
            self.coordination.put(LOGIN, login.as_bytes()).await?;
            info!(event = "telegram.watchdog.began", devices = devices.len());
        }
        let known = self.coordination.list(DEVICES).await?;
        for (key, _) in &known {
            if devices.remove(key).is_none() {
                self.coordination.delete(key).await?;
            }
        }
        for (key, device) in devices {
            if !noticed.contains(&device.hash) {
                self.notice(&device).await?;
                noticed.insert(device.hash);
            }
            if self.tell(&device).await {
                self.coordination.put(&key, b"").await?;
            }
        }
        Ok(())
    }

    async fn login_is_known(&self, login: i32) -> Result<bool, CoordinationError> {
        let stored = self.coordination.list(LOGIN).await?;
        let login = login.to_string();
        Ok(stored.iter().any(|(_, value)| value == login.as_bytes()))
    }

    /// First of all the lock, which is what helps.
    async fn notice(&self, device: &tl::types::Authorization) -> Result<(), CoordinationError> {
        let lock = self.handler.settings.lock_on_new_device;
        if lock {
            self.handler.broker.lock_chat().await?;
        }
        counter!(NEW_DEVICES).increment(1);
        warn!(
            event = "telegram.new_device",
            model = shown(&device.device_model),
            platform = shown(&device.platform),
            app = shown(&device.app_name),
            country = shown(&device.country),
            ip = shown(&device.ip),
            locked = lock,
            hint = "if it is nobody's you know, end it in Telegram: Settings, Devices"
        );
        Ok(())
    }

    /// Tells every admin; whether nobody is left to be told.
    async fn tell(&self, device: &tl::types::Authorization) -> bool {
        let locked = if self.handler.settings.lock_on_new_device {
            "\n\nChat is locked until an administrator runs `vaultgram unlock` on the host."
        } else {
            ""
        };
        let text = format!(
            "A new device signed in to vaultgram's account: {} ({}), {}, {}, {}.\nIf it is \
             nobody's you know, end it in Telegram: Settings, Devices.{locked}",
            shown(&device.device_model),
            shown(&device.platform),
            shown(&device.app_name),
            shown(&device.country),
            shown(&device.ip),
        );
        let mut all = true;
        for admin in &self.handler.settings.admins {
            let Some(id) = PeerId::user(*admin) else {
                continue;
            };
            // Contacts, and anybody for a bot, can be named without a hash.
            let peer = input_peer(id, self.handler.session.access_hash(id).unwrap_or(0));
            // The same in every round and after every restart, so that nobody is told twice.
            let random_id = device.hash ^ admin.rotate_left(32);
            let sending =
                self.handler
                    .outbox
                    .send(peer, Reply::plain(text.clone()), None, random_id);
            match timeout(TELL, sending).await {
                Ok(sent) => match sent.result {
                    Ok(_) => debug!(event = "telegram.new_device.told", user = *admin),
                    Err(error) => {
                        warn!(event = "telegram.new_device.untold", user = *admin, %error);
                        all &= !error.may_pass();
                    }
                },
                Err(_) => all = false,
            }
        }
        all
    }
}

/// A device's name in the state store.
fn key(hash: i64) -> String {
    format!("{DEVICES}{hash:016x}")
}

/// What a device says of itself is whatever its owner wants to be read.
fn shown(text: &str) -> String {
    let printable = text.chars().filter(|c| !c.is_control());
    let short: String = printable.take(MAX_TEXT).collect();
    if short.is_empty() {
        "?".to_owned()
    } else {
        short
    }
}
