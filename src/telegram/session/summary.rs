//! What a session holds, as far as people may see it: no keys, no access hashes.

use std::path::Path;

use super::{Data, FileSession, SessionError, read};
use crate::age::SessionKey;

/// What `vaultgram session show` shows of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The signed-in account's id; `None` before login.
    pub user: Option<i64>,
    /// The datacenter where the account lives.
    pub home_dc: i32,
    /// Every datacenter that is known, by its id.
    pub dcs: Vec<DcSummary>,
    /// How many people, groups and channels are remembered.
    pub peers: usize,
    /// How far updates have been read: `pts`, Telegram's count of events.
    pub pts: i32,
    /// And `qts`, the same for secret chats and bots.
    pub qts: i32,
    /// When the last update was, in seconds since 1970; 0: none was read yet.
    pub date: i32,
    /// In how many channels and large groups updates are read.
    pub channels: usize,
}

/// One datacenter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DcSummary {
    /// Its id, from 1.
    pub id: i32,
    /// Its address.
    pub address: String,
    /// Whether there is an authorization key for it.
    pub has_key: bool,
}

impl FileSession {
    /// What this session holds.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary::of(&self.data())
    }

    /// What the file holds, also while a process uses it: each write replaces it whole.
    ///
    /// # Errors
    /// As [`FileSession::open`], but for the lock.
    pub fn peek(path: &Path, key: &SessionKey) -> Result<Summary, SessionError> {
        read(path, key).map(|data| Summary::of(&data))
    }
}

impl Summary {
    fn of(data: &Data) -> Self {
        let dcs = data.dcs.iter().map(|(id, dc)| DcSummary {
            id: *id,
            address: dc.ipv4.to_string(),
            has_key: dc.key.is_some(),
        });
        Self {
            user: data.me,
            home_dc: data.home_dc,
            dcs: dcs.collect(),
            peers: data.peers.len(),
            pts: data.updates.pts,
            qts: data.updates.qts,
            date: data.updates.date,
            channels: data.updates.channels.len(),
        }
    }
}
