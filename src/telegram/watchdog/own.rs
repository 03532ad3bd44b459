//! Logins of vaultgram itself: each replica has one, which the others see among the account's devices.
//!
//! Telegram tells nobody the hash of its own device, so a replica registers what it and the others
//! see alike: when its login began, by Telegram's word, and what it says of itself. Only replicas can
//! write that into the state store. A stranger who says the same of itself began at another second;
//! where two devices fit one entry, neither is taken for ours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use grammers_tl_types as tl;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::{Device, Memory};
use crate::telegram::brief::{Reach, briefly, invoke};
use crate::telegram::login::LoginError;
use crate::telegram::session::FileSession;

/// One entry for each login of ours.
pub(super) const OWN: &str = "watchdog/own/";
/// How long a device that says of itself what we do has to register, before it is taken for a
/// stranger: a replica that is signed in, and then started.
const REGISTERS_WITHIN: Duration = Duration::from_mins(1);

/// What a method for people says to a bot.
const NOT_FOR_BOTS: &str = "BOT_METHOD_INVALID";

/// The entry of a device, were it ours.
pub(super) fn entry(device: &Device) -> String {
    let mut hasher = Sha256::new();
    for text in [&device.device_model, &device.platform, &device.app_name] {
        hasher.update(text);
        hasher.update([0]);
    }
    hasher.update(device.api_id.to_be_bytes());
    let digest = hasher.finalize();
    let digest = digest.iter().take(16).map(|byte| format!("{byte:02x}"));
    let digest: String = digest.collect();
    format!("{OWN}{}-{digest}", device.date_created)
}

/// Where in the state store replicas look for the login of `session`; `None` for a bot, which has no
/// devices. Nothing need stand there.
///
/// # Errors
/// When the session is not accepted, or Telegram cannot be reached.
pub async fn registration(
    session: &Arc<FileSession>,
    api_id: i32,
    reach: &Reach,
) -> Result<Option<String>, LoginError> {
    let limit = reach.limit;
    let asking = briefly(session, api_id, reach, move |client| async move {
        let request = tl::functions::account::GetAuthorizations {};
        invoke(&client, &request, limit).await
    });
    let found = match asking.await {
        Ok(tl::enums::account::Authorizations::Authorizations(found)) => found,
        Err(LoginError::Refused(reason)) if reason == NOT_FOR_BOTS => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut devices = found.authorizations.into_iter();
    let own = devices.find_map(|device| {
        let tl::enums::Authorization::Authorization(device) = device;
        device.current.then_some(device)
    });
    own.map(|own| Some(entry(&own)))
        .ok_or(LoginError::Unexpected)
}

/// The names of those devices that are ours, by the entries of our logins.
pub(super) fn among<'d>(
    devices: &'d BTreeMap<String, Device>,
    entries: &BTreeSet<String>,
) -> BTreeSet<&'d String> {
    let mut fitting: BTreeMap<String, Vec<&String>> = BTreeMap::new();
    for (key, device) in devices {
        fitting.entry(entry(device)).or_default().push(key);
    }
    fitting.retain(|entry, keys| keys.len() == 1 && entries.contains(entry));
    fitting.into_values().flatten().collect()
}

impl Memory {
    /// Whether `device` may be a replica of ours that has not registered yet.
    pub(super) fn may_register(&mut self, device: &Device, own: &Device) -> bool {
        let says = |device: &Device| {
            (
                device.api_id,
                device.device_model.clone(),
                device.platform.clone(),
                device.app_name.clone(),
            )
        };
        if says(device) != says(own) {
            return false;
        }
        let now = Instant::now();
        let since = self.unregistered.entry(device.hash).or_insert(now);
        now < *since + REGISTERS_WITHIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(hash: i64, created: i32, model: &str) -> Device {
        Device {
            current: false,
            official_app: false,
            password_pending: false,
            encrypted_requests_disabled: false,
            call_requests_disabled: false,
            unconfirmed: false,
            hash,
            device_model: model.to_owned(),
            platform: "Linux".to_owned(),
            system_version: String::new(),
            api_id: 1,
            app_name: String::new(),
            app_version: String::new(),
            date_created: created,
            date_active: created,
            ip: String::new(),
            country: String::new(),
            region: String::new(),
        }
    }

    #[test]
    fn only_what_registered_is_ours_and_of_two_alike_neither() {
        let mut devices = BTreeMap::from([
            ("a".to_owned(), device(1, 100, "vaultgram")),
            ("b".to_owned(), device(2, 101, "vaultgram")),
            ("c".to_owned(), device(3, 100, "Pixel")),
        ]);
        let registered = BTreeSet::from([entry(&device(0, 100, "vaultgram"))]);
        let ours = among(&devices, &registered);
        assert_eq!(ours.into_iter().collect::<Vec<_>>(), ["a"]);
        devices.insert("d".to_owned(), device(4, 100, "vaultgram"));
        assert!(among(&devices, &registered).is_empty());
    }
}
