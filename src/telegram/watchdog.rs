//! Watches for new devices on the account: whoever signs in there reads every secret in its
//! chats. Each is logged, told to the admins and, where so set, closes the lock on chat.
//!
//! A bot has no devices, only its token; there this does nothing.
//!
//! Every replica looks, and closes the lock; one of them tells. Their own logins are known to each
//! other ([`own`]).
//!
//! Not being able to look does not close the lock by itself: it is mostly Telegram's own trouble,
//! and opening it again needs the host. It is logged, measured and shown by `doctor` and `/status`.

mod own;

pub use self::own::registration;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use grammers_tl_types as tl;
use metrics::{counter, gauge};
use tokio::time::{Instant, sleep_until};
use tracing::{error, info, warn};

use super::backoff::Backoff;
use super::call::CallError;
use super::handler::Handler;
use super::news::{Named, TELL};
use crate::broker::ports::{Coordination, CoordinationError};
use crate::domain::signs::one_line;
use crate::telemetry::metrics::{DEVICES_LOOKED_AT, NEW_DEVICES, NEW_DEVICES_UNTOLD};

/// One entry for each device we know, named by its hash.
const DEVICES: &str = "watchdog/devices/";
/// When logins of our own began, by Telegram's word: with another login all devices count as known,
/// unless a replica has watched them before.
const LOGIN: &str = "watchdog/login";
/// There while the admins were not shown the devices that our login found.
const UNSHOWN: &str = "watchdog/unshown";
/// What the entry of a device says until the admins are told of it.
const UNTOLD: &[u8] = b"untold";
/// Longest text shown of what a device says of itself, in characters.
const MAX_TEXT: usize = 64;
/// Devices shown in one message; there is no room for more.
const MAX_SHOWN: usize = 10;
/// Without a look for so long, we are blind.
const BLIND: Duration = Duration::from_mins(10);

const DEVICE: Named = Named {
    told: "telegram.new_device.told",
    untold: "telegram.new_device.untold",
};

type Device = tl::types::Authorization;

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
    #[error("Telegram's list of devices does not name our own")]
    NoCurrent,
}

/// What one process remembers from round to round.
struct Memory {
    /// Logged and counted, even where the state store did not take it.
    noticed: HashSet<i64>,
    /// Since when those are known that may be replicas which have not registered.
    unregistered: HashMap<i64, Instant>,
    /// The lock is to be closed, and was not yet.
    lock_due: bool,
    /// Not before this are the admins written to.
    tell_at: Instant,
    telling: Backoff,
    last_look: Instant,
    blind: bool,
}

impl Watchdog {
    /// Looks now and then, and at once on a hint, for as long as it is polled.
    pub(super) async fn run(&self) {
        let mut memory = Memory {
            noticed: HashSet::new(),
            unregistered: HashMap::new(),
            lock_due: false,
            tell_at: Instant::now(),
            telling: Backoff::new(Duration::from_secs(5), Duration::from_hours(1)),
            last_look: Instant::now(),
            blind: false,
        };
        loop {
            // Counted from the beginning of this round, so that none takes from the next.
            let mut next = Instant::now() + self.handler.settings.watchdog_interval;
            let mut hints = true;
            match self.round(&mut memory).await {
                // A lost connection is said by the connection already.
                Ok(()) | Err(RoundError::Call(CallError::Disconnected)) => {}
                Err(RoundError::Call(CallError::Refused(reason)))
                    if reason == "BOT_METHOD_INVALID" =>
                {
                    self.off();
                    return;
                }
                Err(error) => {
                    warn!(event = "telegram.watchdog.failed", %error);
                    if let RoundError::Call(CallError::Flood(wait)) = error {
                        next = next.max(Instant::now() + wait);
                        hints = false;
                    }
                }
            }
            self.mind_blindness(&mut memory);
            loop {
                let blind_at = memory.last_look + BLIND;
                tokio::select! {
                    () = sleep_until(next) => break,
                    () = self.handler.link.new_device.notified(), if hints => break,
                    () = sleep_until(blind_at), if !memory.blind => self.mind_blindness(&mut memory),
                }
            }
        }
    }

    /// Says what a bot's owner may expect in vain.
    fn off(&self) {
        let reason = "a bot has no devices";
        if self.handler.settings.lock_on_new_device {
            warn!(
                event = "telegram.watchdog.off",
                reason,
                hint = "lock_on_new_device has no effect here: a stolen token shows nowhere"
            );
        } else {
            info!(event = "telegram.watchdog.off", reason);
        }
    }

    fn mind_blindness(&self, memory: &mut Memory) {
        let blind = memory.last_look.elapsed() >= BLIND;
        self.handler.status.set_blind(blind);
        if blind && !memory.blind {
            error!(
                event = "telegram.watchdog.blind",
                minutes = BLIND.as_secs() / 60,
                hint =
                    "new devices on the account go unnoticed; look in Telegram: Settings, Devices"
            );
        }
        memory.blind = blind;
    }

    async fn round(&self, memory: &mut Memory) -> Result<(), RoundError> {
        let before = self.coordination.list(DEVICES).await?;
        // A login registers after it is among the devices: what is registered here is among them.
        let registered = self.coordination.list(own::OWN).await?;
        let (own, devices) = self.look().await?;
        let login = own.date_created;
        memory.last_look = Instant::now();
        // Exact far beyond what a unix time needs.
        #[expect(clippy::cast_precision_loss, reason = "a unix time")]
        gauge!(DEVICES_LOOKED_AT).set(self.handler.clock.now().unix_timestamp() as f64);
        let registered = registered.into_iter().map(|(entry, _)| entry);
        let entries = self.register(&own, &devices, registered.collect()).await?;
        let ours = own::among(&devices, &entries);
        if !self.login_is_known(login).await? {
            self.begin(login, &devices, &ours).await?;
        }
        let known: BTreeMap<_, _> = self.coordination.list(DEVICES).await?.into_iter().collect();
        let mut new = vec![];
        // Where nobody shares the state, no replica is to come.
        let shared = self.coordination.shared();
        for (key, device) in devices.iter().filter(|(key, _)| !known.contains_key(*key)) {
            if ours.contains(key) {
                // It stays known, should its replica be no more.
                self.coordination.swap(key, None, Some(b"")).await?;
            } else if !(shared && memory.may_register(device, &own)) {
                new.push((key, device));
            }
        }
        self.notice(&new, memory).await;
        let stored = self.store(&new, memory).await;
        if self.handler.on_duty().await {
            for (key, _) in before.iter().filter(|(key, _)| !devices.contains_key(key)) {
                self.coordination.delete(key).await?;
            }
            let told =
                |key: &String| known.contains_key(key) || new.iter().any(|(it, _)| *it == key);
            let devices: BTreeMap<_, _> = devices.iter().filter(|(key, _)| told(key)).collect();
            self.tell_all(login, &known, &devices, memory).await?;
        }
        stored
    }

    /// Our own device, and the others by their names in the state store.
    async fn look(&self) -> Result<(Device, BTreeMap<String, Device>), RoundError> {
        let request = tl::functions::account::GetAuthorizations {};
        let tl::enums::account::Authorizations::Authorizations(answer) =
            self.handler.link.invoke(&request).await?;
        let mut own = None;
        let mut devices = BTreeMap::new();
        for authorization in answer.authorizations {
            let tl::enums::Authorization::Authorization(device) = authorization;
            if device.current {
                own = Some(device);
            } else {
                devices.insert(key(device.hash), device);
            }
        }
        Ok((own.ok_or(RoundError::NoCurrent)?, devices))
    }

    /// Has the other replicas know our login, beside those with `entries`; those that are still
    /// there. The others are forgotten.
    async fn register(
        &self,
        own: &Device,
        devices: &BTreeMap<String, Device>,
        mut entries: BTreeSet<String>,
    ) -> Result<BTreeSet<String>, CoordinationError> {
        let entry = own::entry(own);
        if !entries.contains(&entry) {
            self.coordination.put(&entry, b"").await?;
        }
        let mut there: BTreeSet<String> = devices.values().map(own::entry).collect();
        there.insert(entry);
        for gone in entries.extract_if(.., |entry| !there.contains(entry)) {
            self.coordination.delete(&gone).await?;
        }
        Ok(entries)
    }

    async fn login_is_known(&self, login: i32) -> Result<bool, CoordinationError> {
        let stored = self.coordination.list(LOGIN).await?;
        let login = login.to_string();
        Ok(stored.iter().any(|(_, value)| value == login.as_bytes()))
    }

    /// All devices count as known from now on; but a burglar may have been here before us. Where
    /// other replicas watch already, whatever they do not know is new.
    async fn begin(
        &self,
        login: i32,
        devices: &BTreeMap<String, Device>,
        ours: &BTreeSet<&String>,
    ) -> Result<(), CoordinationError> {
        let login = login.to_string();
        let joins = !self.coordination.alone() && !ours.is_empty();
        if !joins {
            for (key, device) in devices {
                self.coordination.put(key, b"").await?;
                log(device, "telegram.device", false);
            }
            if !devices.is_empty() {
                self.coordination.put(UNSHOWN, b"").await?;
            }
            for (before, _) in self.coordination.list(LOGIN).await? {
                self.coordination.delete(&before).await?;
            }
        }
        let key = format!("{LOGIN}/{login}");
        self.coordination.put(&key, login.as_bytes()).await?;
        info!(
            event = "telegram.watchdog.began",
            devices = devices.len(),
            joins
        );
        Ok(())
    }

    /// First of all the lock, which is what helps.
    async fn notice(&self, new: &[(&String, &Device)], memory: &mut Memory) {
        let unseen = |device: &&Device| !memory.noticed.contains(&device.hash);
        let unseen: Vec<_> = new
            .iter()
            .map(|(_, device)| *device)
            .filter(unseen)
            .collect();
        let lock = self.handler.settings.lock_on_new_device;
        memory.lock_due |= lock && !unseen.is_empty();
        if memory.lock_due {
            match self.handler.broker.lock_chat().await {
                Ok(()) => memory.lock_due = false,
                Err(error) => error!(event = "telegram.lock_failed", %error),
            }
        }
        for device in unseen {
            counter!(NEW_DEVICES).increment(1);
            log(device, "telegram.new_device", lock && !memory.lock_due);
            memory.noticed.insert(device.hash);
            memory.telling.reset();
            memory.tell_at = Instant::now();
        }
    }

    /// Remembers the new ones, unless the lock they call for is open.
    async fn store(&self, new: &[(&String, &Device)], memory: &Memory) -> Result<(), RoundError> {
        if !memory.lock_due {
            for (key, _) in new {
                // Another replica may have told of it already.
                self.coordination.swap(key, None, Some(UNTOLD)).await?;
            }
        }
        Ok(())
    }

    /// Writes to all admins at once of whatever they were not told.
    async fn tell_all(
        &self,
        login: i32,
        known: &BTreeMap<String, Vec<u8>>,
        devices: &BTreeMap<&String, &Device>,
        memory: &mut Memory,
    ) -> Result<(), RoundError> {
        if Instant::now() < memory.tell_at {
            return Ok(());
        }
        let untold = |key: &String| known.get(key).is_none_or(|value| value == UNTOLD);
        let mut due: Vec<(&str, bool, String, i64)> = Vec::new();
        for (key, device) in devices.iter().filter(|(key, _)| untold(key)) {
            due.push((key, false, self.text(device), device.hash));
        }
        if !self.coordination.list(UNSHOWN).await?.is_empty() {
            due.push((UNSHOWN, true, found(devices), login.into()));
        }
        if due.is_empty() {
            return Ok(());
        }
        let deadline = Instant::now() + TELL;
        let telling = due
            .iter()
            .map(|(_, _, text, id)| self.handler.tell_admins(text, *id, deadline, DEVICE));
        let told = join_all(telling).await;
        let mut all = true;
        for ((key, once, ..), told) in due.iter().zip(told) {
            match (told, once) {
                (true, true) => self.coordination.delete(key).await?,
                // The next process must lock again, if this one could not.
                (true, false) if memory.lock_due => {}
                (true, false) => self.coordination.put(key, b"").await?,
                (false, _) => {
                    counter!(NEW_DEVICES_UNTOLD).increment(1);
                    all = false;
                }
            }
        }
        if all {
            memory.telling.reset();
        } else {
            memory.tell_at = Instant::now() + memory.telling.next();
        }
        Ok(())
    }

    fn text(&self, device: &Device) -> String {
        let locked = if self.handler.settings.lock_on_new_device {
            "\n\nChat is locked until an administrator runs `vaultgram unlock` on the host."
        } else {
            ""
        };
        format!(
            "A new device signed in to vaultgram's account: {}.\nIf it is nobody's you know, end \
             it in Telegram: Settings, Devices.{locked}",
            line(device)
        )
    }
}

/// A device in the log.
fn log(device: &Device, name: &'static str, locked: bool) {
    warn!(
        event = name,
        model = shown(&device.device_model),
        platform = shown(&device.platform),
        app = shown(&device.app_name),
        country = shown(&device.country),
        ip = shown(&device.ip),
        locked,
        hint = "if it is nobody's you know, end it in Telegram: Settings, Devices"
    );
}

/// What the admins are shown after a new login.
fn found(devices: &BTreeMap<&String, &Device>) -> String {
    let mut text = "vaultgram has a new login. Also signed in to its account:".to_owned();
    for device in devices.values().take(MAX_SHOWN) {
        text.push_str("\n- ");
        text.push_str(&line(device));
    }
    let more = devices.len().saturating_sub(MAX_SHOWN);
    if more > 0 {
        text.push_str("\n- and ");
        text.push_str(&more.to_string());
        text.push_str(" more");
    }
    text.push_str("\nEnd what is nobody's you know in Telegram: Settings, Devices.");
    text
}

fn line(device: &Device) -> String {
    format!(
        "{} ({}), {}, {}, {}",
        shown(&device.device_model),
        shown(&device.platform),
        shown(&device.app_name),
        shown(&device.country),
        shown(&device.ip),
    )
}

/// A device's name in the state store.
fn key(hash: i64) -> String {
    format!("{DEVICES}{hash:016x}")
}

/// What a device says of itself is whatever its owner wants to be read.
fn shown(text: &str) -> String {
    let short: String = one_line(text).chars().take(MAX_TEXT).collect();
    if short.is_empty() {
        "?".to_owned()
    } else {
        short
    }
}
