//! The auth keys that the datacenter knows, and who is signed in with them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::devices::DeviceInfo;
use crate::model::{Chat, Refusal};
use crate::mtproto::crypto::AuthKey;

/// How far a key has come in signing in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nobody is signed in.
    Fresh,
    /// The code was right, the password is still due.
    PasswordDue(i64),
    /// This account is signed in.
    SignedIn(i64),
    /// It was signed in until somebody ended it; every call gets this answer.
    Ended(Refusal),
}

/// A device's key.
pub(crate) struct Device {
    pub(crate) key: Arc<AuthKey>,
    /// The one datacenter that knows it.
    pub(crate) dc_id: i32,
    /// The key whose authorisation was carried over to this one.
    pub(crate) imported_from: Option<i64>,
    pub(crate) standing: Standing,
    /// The users and chats it has been told about, with their access hash.
    pub(crate) introduced: HashSet<Chat>,
    /// Its live connections, each with its session.
    pub(crate) links: Vec<(u64, i64)>,
    /// When it was made or, later, signed in.
    pub(crate) created: i32,
    /// When it last called.
    pub(crate) active: i32,
    pub(crate) api_id: i32,
    pub(crate) about: DeviceInfo,
    /// Signed in, and no other device has said that this is right.
    pub(crate) unconfirmed: bool,
    pub(crate) no_secret_chats: bool,
    pub(crate) no_calls: bool,
}

/// All keys.
#[derive(Default)]
pub(crate) struct Keys {
    devices: HashMap<i64, Device>,
}

impl Keys {
    /// Takes a new key and says its id.
    pub(crate) fn add(&mut self, data: [u8; 256], dc_id: i32, standing: Standing, now: i32) -> i64 {
        let key = Arc::new(AuthKey::new(data));
        let id = key.id();
        let device = Device {
            key,
            dc_id,
            imported_from: None,
            standing,
            introduced: HashSet::new(),
            links: Vec::new(),
            created: now,
            active: now,
            api_id: 0,
            about: DeviceInfo::new(""),
            unconfirmed: false,
            no_secret_chats: false,
            no_calls: false,
        };
        self.devices.insert(id, device);
        id
    }

    pub(crate) fn get(&self, id: i64) -> Option<&Device> {
        self.devices.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: i64) -> Option<&mut Device> {
        self.devices.get_mut(&id)
    }

    /// Forgets a key entirely.
    pub(crate) fn remove(&mut self, id: i64) -> Option<Device> {
        self.devices.remove(&id)
    }

    /// The account that a key is signed in as.
    pub(crate) fn account(&self, id: i64) -> Option<i64> {
        match self.devices.get(&id)?.standing {
            Standing::SignedIn(account) => Some(account),
            Standing::Fresh | Standing::PasswordDue(_) | Standing::Ended(_) => None,
        }
    }

    /// The keys that an account is signed in with.
    pub(crate) fn of_account(&self, account: i64) -> Vec<i64> {
        self.that(|device| device.standing == Standing::SignedIn(account))
    }

    /// The keys that could be signed in as this account if they knew its password.
    pub(crate) fn password_due(&self, account: i64) -> Vec<i64> {
        self.that(|device| device.standing == Standing::PasswordDue(account))
    }

    /// The key whose authorisation was carried over to this one.
    pub(crate) fn leader(&self, id: i64) -> Option<i64> {
        self.devices.get(&id)?.imported_from
    }

    /// The keys in other datacenters that this one's authorisation was carried over to.
    pub(crate) fn followers(&self, id: i64) -> Vec<i64> {
        self.that(|device| device.imported_from == Some(id))
    }

    fn that(&self, wanted: impl Fn(&Device) -> bool) -> Vec<i64> {
        let of = |(id, device): (&i64, &Device)| wanted(device).then_some(*id);
        self.devices.iter().filter_map(of).collect()
    }
}
