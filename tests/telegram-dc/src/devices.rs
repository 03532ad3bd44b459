//! The devices that accounts are signed in on, as tests and the demo see them.

use crate::Datacenter;
use crate::world::Standing;

/// What Telegram shows about a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Such as `Pixel 9`; what `initConnection` says.
    pub model: String,
    /// Such as `Android`.
    pub platform: String,
    /// The system's version; what `initConnection` says.
    pub system: String,
    /// The name that the application was registered with.
    pub app: String,
    /// The application's version; what `initConnection` says.
    pub app_version: String,
    /// Where it signed in from.
    pub ip: String,
    /// The country of that address.
    pub country: String,
    /// The region of that address.
    pub region: String,
}

impl DeviceInfo {
    /// A device of this model, about which nothing else is remarkable.
    #[must_use]
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            platform: "Linux".to_owned(),
            system: "Linux 6".to_owned(),
            app: "Simulated app".to_owned(),
            app_version: "1.0".to_owned(),
            ip: "127.0.0.1".to_owned(),
            country: "Nowhere".to_owned(),
            region: String::new(),
        }
    }
}

/// A device that an account is signed in on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// What other devices call it.
    pub hash: i64,
    /// What it is.
    pub device: DeviceInfo,
    /// When it signed in, in seconds since 1970.
    pub created: i32,
    /// When it was last heard of.
    pub active: i32,
}

impl Datacenter {
    /// Signs a user in on a new device elsewhere, which the account's other devices are
    /// told of; the hash they know it by.
    #[expect(clippy::must_use_candidate, reason = "it is called to add")]
    pub fn add_authorization(&self, user: i64, device: DeviceInfo) -> i64 {
        let now = self.shared.clock.unix();
        let mut world = self.shared.world();
        let (data, home) = (crate::random::bytes(), world.home(user));
        let key = world.keys.add(data, home, Standing::Fresh, now);
        if let Some(added) = world.keys.get_mut(key) {
            added.about = device;
        }
        world.sign_in(key, user);
        key
    }

    /// As [`Datacenter::provision_key`], of a device that says of itself from the beginning what the
    /// user's newest device does: the same program signs in elsewhere.
    #[must_use]
    pub fn provision_alike(&self, user: i64) -> [u8; 256] {
        let data = crate::random::bytes();
        let now = self.shared.clock.unix();
        let mut world = self.shared.world();
        let home = world.home(user);
        let newest = world.devices_of(user).into_iter().next();
        let newest = newest.and_then(|key| world.keys.get(key));
        let like = newest.map(|device| (device.about.clone(), device.api_id));
        let key = world.keys.add(data, home, Standing::Fresh, now);
        if let Some((added, (about, api_id))) = world.keys.get_mut(key).zip(like) {
            (added.about, added.api_id) = (about, api_id);
        }
        world.sign_in(key, user);
        data
    }

    /// Ends one device's authorisation, as if from another device: it is told 401
    /// `AUTH_KEY_UNREGISTERED`. Whether there was one with this hash.
    #[expect(clippy::must_use_candidate, reason = "it is called to end")]
    pub fn end_authorization(&self, user: i64, hash: i64) -> bool {
        self.shared.world().end_authorization(user, hash)
    }

    /// The devices that a user is signed in on, the newest first.
    #[must_use]
    pub fn authorizations(&self, user: i64) -> Vec<Authorization> {
        let world = self.shared.world();
        let signed_in = |key: &i64| world.keys.account(*key) == Some(user);
        let keys = world.devices_of(user).into_iter().filter(signed_in);
        keys.filter_map(|hash| {
            let device = world.keys.get(hash)?;
            Some(Authorization {
                hash,
                device: device.about.clone(),
                created: device.created,
                active: device.active,
            })
        })
        .collect()
    }
}
