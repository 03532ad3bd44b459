//! The Telegram account's session: datacenters and their keys, known peers, how far updates
//! have been read. Kept in memory and written to one file now and then.

mod file;
mod format;
mod pace;
mod summary;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::net::{Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use grammers_session::types::{
    ChannelState, DcOption, PeerAuth, PeerId, PeerInfo, UpdateState, UpdatesState,
};
use grammers_session::{BoxFuture, Session, SessionData};
use thiserror::Error;
use tokio::sync::Notify;
use zeroize::Zeroizing;

pub(super) use self::pace::pause_after;
pub use self::summary::{DcSummary, Summary};
use crate::age::{OpenError, SessionKey};

/// Most peers remembered. Every stranger who writes becomes a peer, so there must be an end.
const MAX_PEERS: usize = 20_000;

/// A session in one encrypted file, which no other process may use at the same time: two live
/// processes on one key make Telegram revoke it.
pub struct FileSession {
    path: PathBuf,
    key: SessionKey,
    /// Held for as long as this value lives.
    _lock: File,
    home_dc: AtomicI32,
    data: Mutex<Data>,
    /// Counts changes.
    changes: AtomicU64,
    /// Wakes the writer for a change that must not be lost.
    precious: Notify,
    /// The count at the last write; held while writing, for there is one temporary file.
    saved: Mutex<u64>,
}

/// What the file holds.
struct Data {
    home_dc: i32,
    dcs: BTreeMap<i32, Dc>,
    me: Option<i64>,
    peers: HashMap<PeerId, PeerInfo>,
    updates: UpdatesState,
}

/// A datacenter. The key is wiped when dropped, unlike grammers' own copies.
struct Dc {
    ipv4: SocketAddrV4,
    ipv6: SocketAddrV6,
    key: Option<Zeroizing<[u8; 256]>>,
}

/// A login made elsewhere: where the account lives and the key that is signed in there.
pub struct Login {
    /// The datacenter's id, from 1.
    pub dc: i32,
    /// Its address.
    pub address: SocketAddrV4,
    /// The authorization key.
    pub auth_key: [u8; 256],
    /// The signed-in account; `None` when the key is not signed in yet.
    pub user: Option<i64>,
}

/// Why a session cannot be used.
#[derive(Debug, Error)]
pub enum SessionError {
    /// There is no such file.
    #[error("there is no Telegram session at {0}; run: vaultgram login")]
    Missing(PathBuf),
    /// There is no such folder to keep it in.
    #[error(
        "there is no folder {0}, where the Telegram session is kept; create it (mkdir -m 700 {0}), \
         or name another in the configuration"
    )]
    NoFolder(PathBuf),
    /// Something is there that must not be overwritten.
    #[error("{0} exists already; remove it, or name another file")]
    Exists(PathBuf),
    /// Others may read it.
    #[error("others can read {path} (mode {mode:03o}); run: chmod 600 {path}")]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is somebody else's.
    #[error(
        "{path} belongs to user {owner}, and this is user {us}; run the command as that user \
         (sudo -u '#{owner}'), or: chown {us} {path}"
    )]
    Owner {
        /// The file.
        path: PathBuf,
        /// Its owner's id.
        owner: u32,
        /// Ours.
        us: u32,
    },
    /// Another process has it.
    #[error("the Telegram session {path} is in use by {owner}; stop that process first")]
    InUse {
        /// The file.
        path: PathBuf,
        /// `pid 123 (vaultgram serve)`, or a guess when the lock does not say.
        owner: String,
    },
    /// It is sound, but the key is not its own. It is left as it is.
    #[error(
        "{0} is encrypted to another key; give the session key it was made with (see [telegram] \
         session_key), or remove the file and run: vaultgram login"
    )]
    AnotherKey(PathBuf),
    /// It does not hold what it should. It is left as it is.
    #[error(
        "{path} is damaged ({reason}); restore it from a backup, or remove it and run: vaultgram login"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where, never what.
        reason: String,
    },
    /// Telegram no longer knows the key, and a new one would not be signed in.
    #[error("Telegram does not know this session's key any more")]
    KeyRefused,
    /// The file system said no.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
}

impl FileSession {
    /// Opens the session in `path` and locks it.
    ///
    /// # Errors
    /// See [`SessionError`]; the file is never changed by a failure.
    pub fn open(path: &Path, key: SessionKey) -> Result<Self, SessionError> {
        let path = &file::real(path)?;
        let lock = file::lock(path)?;
        let data = read(path, &key)?;
        Ok(Self::with(path, key, lock, data))
    }

    /// Makes a session file from a login made elsewhere.
    ///
    /// # Errors
    /// When the file exists, is in use or cannot be written.
    pub fn create(path: &Path, key: SessionKey, login: &Login) -> Result<Self, SessionError> {
        let mut data = Data::empty();
        data.home_dc = login.dc;
        data.dcs = BTreeMap::from([(
            login.dc,
            Dc {
                ipv4: login.address,
                ipv6: mapped(login.address),
                key: Some(Zeroizing::new(login.auth_key)),
            },
        )]);
        if let Some(id) = login.user {
            data.remember(&PeerInfo::User {
                id,
                auth: None,
                bot: None,
                is_self: Some(true),
            });
        }
        let session = Self::create_with(path, key, data)?;
        session.save()?;
        Ok(session)
    }

    /// A new session that is not signed in, for `login` to fill; it knows Telegram's own
    /// datacenters. Nothing is written before the first [`FileSession::save`].
    ///
    /// # Errors
    /// As [`FileSession::create`].
    pub fn create_empty(path: &Path, key: SessionKey) -> Result<Self, SessionError> {
        Self::create_with(path, key, Data::empty())
    }

    fn create_with(path: &Path, key: SessionKey, data: Data) -> Result<Self, SessionError> {
        let path = &file::real(path)?;
        let lock = file::lock(path)?;
        if path.exists() {
            return Err(SessionError::Exists(path.to_owned()));
        }
        let session = Self::with(path, key, lock, data);
        session.changed();
        Ok(session)
    }

    fn with(path: &Path, key: SessionKey, lock: File, data: Data) -> Self {
        Self {
            path: path.to_owned(),
            key,
            _lock: lock,
            home_dc: AtomicI32::new(data.home_dc),
            data: Mutex::new(data),
            changes: AtomicU64::new(0),
            precious: Notify::new(),
            saved: Mutex::new(0),
        }
    }

    /// Writes what changed since the last time, if anything did. Blocks on the disk. Returns
    /// the size of what was written, in bytes.
    ///
    /// # Errors
    /// When the file cannot be written; the change is kept for the next time.
    pub fn save(&self) -> Result<usize, SessionError> {
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = self.changes.load(Ordering::Acquire);
        if changes == *saved {
            return Ok(0);
        }
        let failed = |error| SessionError::Io {
            path: self.path.clone(),
            error,
        };
        let plain = format::encode(&self.data()).map_err(failed)?;
        let bytes = self.key.encrypt(&plain).map_err(failed)?;
        file::write(&self.path, &bytes)?;
        *saved = changes;
        Ok(bytes.len())
    }

    /// Removes the session's file, whether or not its key is known. No process may be using it.
    ///
    /// # Errors
    /// When there is none, it is in use, or it cannot be removed.
    pub fn remove(path: &Path) -> Result<(), SessionError> {
        let path = &file::real(path)?;
        let _lock = file::lock(path)?;
        file::remove(path)
    }

    /// Removes the file of this session, which ends with it.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn forget(&self) -> Result<(), SessionError> {
        // Counted as saved, so that nobody writes it again.
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        *saved = self.changes.load(Ordering::Acquire);
        file::remove(&self.path)
    }

    /// Returns once something changed that must not be lost: a sign-in, a datacenter's key.
    pub(super) async fn precious(&self) {
        self.precious.notified().await;
    }

    /// The signed-in account's id; `None` before login.
    #[must_use]
    pub fn user(&self) -> Option<i64> {
        self.data().me
    }

    /// How to address a user as far as is known, which may be not at all.
    pub(crate) fn access_hash(&self, user: PeerId) -> Option<i64> {
        self.data()
            .peers
            .get(&user)
            .and_then(PeerInfo::auth)
            .map(PeerAuth::hash)
    }

    /// Remembers peers, with one lock for all of them.
    pub(crate) fn remember(&self, peers: impl Iterator<Item = PeerInfo>) {
        let mut data = self.data();
        let mut changed = false;
        let me = data.me;
        for peer in peers {
            changed |= data.remember(&peer);
        }
        let signed_in = data.me != me;
        drop(data);
        if signed_in {
            self.changed_for_good();
        } else if changed {
            self.changed();
        }
    }

    /// How far updates have been read.
    pub(crate) fn read_until(&self) -> UpdatesState {
        self.data().updates.clone()
    }

    /// Sets how far updates have been read.
    pub(crate) fn set_read_until(&self, state: UpdatesState) {
        let mut data = self.data();
        if data.updates != state {
            data.updates = state;
            drop(data);
            self.changed();
        }
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        // Nothing under this lock leaves the data half changed.
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// For what cannot be had again from the server.
    fn changed_for_good(&self) {
        self.changed();
        self.precious.notify_one();
    }
}

/// Reads and opens the file.
fn read(path: &Path, key: &SessionKey) -> Result<Data, SessionError> {
    let bytes = file::read(path)?;
    let damaged = |reason| SessionError::Damaged {
        path: path.to_owned(),
        reason,
    };
    let plain = key.decrypt(&bytes).map_err(|error| match error {
        OpenError::AnotherKey => SessionError::AnotherKey(path.to_owned()),
        OpenError::NotEncrypted | OpenError::Damaged => damaged(error.to_string()),
    })?;
    format::decode(&plain).map_err(damaged)
}

impl Data {
    fn empty() -> Self {
        let known = SessionData::default();
        let dcs = known.dc_options.into_iter();
        Self {
            home_dc: known.home_dc,
            dcs: dcs.map(|(id, option)| (id, Dc::from(&option))).collect(),
            me: None,
            peers: HashMap::new(),
            updates: UpdatesState::default(),
        }
    }

    /// Adds what is known of a peer; `false` when it was all known before, or is no peer.
    fn remember(&mut self, peer: &PeerInfo) -> bool {
        let Some(id) = format::readable(peer) else {
            return false;
        };
        if self.peers.get(&id) == Some(peer) {
            return false;
        }
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(&id) {
            // Forgetting a user costs one more call when they write again.
            let me = self.me.and_then(PeerId::user);
            self.peers
                .retain(|id, info| Some(*id) == me || !matches!(info, PeerInfo::User { .. }));
        }
        if let PeerInfo::User {
            id,
            is_self: Some(true),
            ..
        } = peer
        {
            self.me = Some(*id);
        }
        let known = self.peers.entry(id).or_insert_with(|| peer.clone());
        known.extend_info(peer);
        true
    }
}

impl From<&DcOption> for Dc {
    fn from(option: &DcOption) -> Self {
        Self {
            ipv4: option.ipv4,
            ipv6: option.ipv6,
            key: option.auth_key.map(Zeroizing::new),
        }
    }
}

/// An IPv4 address in IPv6 notation, as grammers fills the gap.
fn mapped(address: SocketAddrV4) -> SocketAddrV6 {
    let ip: Ipv6Addr = address.ip().to_ipv6_mapped();
    SocketAddrV6::new(ip, address.port(), 0, 0)
}

impl Session for FileSession {
    type Error = SessionError;

    fn home_dc_id(&self) -> Result<i32, SessionError> {
        Ok(self.home_dc.load(Ordering::Acquire))
    }

    fn set_home_dc_id(&self, dc_id: i32) -> BoxFuture<'_, Result<(), SessionError>> {
        Box::pin(async move {
            self.home_dc.store(dc_id, Ordering::Release);
            self.data().home_dc = dc_id;
            self.changed_for_good();
            Ok(())
        })
    }

    fn dc_option(&self, dc_id: i32) -> Result<Option<DcOption>, SessionError> {
        Ok(self.data().dcs.get(&dc_id).map(|dc| DcOption {
            id: dc_id,
            ipv4: dc.ipv4,
            ipv6: dc.ipv6,
            auth_key: dc.key.as_deref().copied(),
        }))
    }

    /// Refuses to replace the home datacenter's key of a signed-in account. grammers answers
    /// "unknown key" with a silent key exchange; to accept its result would be to forget the
    /// login, and to go on as nobody.
    fn set_dc_option(&self, option: &DcOption) -> BoxFuture<'_, Result<(), SessionError>> {
        let id = option.id;
        let new = Dc::from(option);
        Box::pin(async move {
            let mut data = self.data();
            let signed_in = data.me.is_some() && id == data.home_dc;
            if let Some(old) = data.dcs.get(&id) {
                if signed_in && old.key.is_some() && old.key != new.key {
                    return Err(SessionError::KeyRefused);
                }
                if old.key == new.key && old.ipv4 == new.ipv4 && old.ipv6 == new.ipv6 {
                    return Ok(());
                }
            }
            data.dcs.insert(id, new);
            drop(data);
            self.changed_for_good();
            Ok(())
        })
    }

    /// Also answers for [`PeerId::self_user`]: without that grammers never asks for the
    /// update state, and does not reconnect after a cut.
    fn peer(&self, peer: PeerId) -> BoxFuture<'_, Result<Option<PeerInfo>, SessionError>> {
        Box::pin(async move {
            let data = self.data();
            let id = if peer == PeerId::self_user() {
                data.me.and_then(PeerId::user)
            } else {
                Some(peer)
            };
            Ok(id.and_then(|id| data.peers.get(&id).cloned()))
        })
    }

    fn cache_peer(&self, peer: PeerInfo) -> BoxFuture<'_, Result<(), SessionError>> {
        Box::pin(async move {
            self.remember(std::iter::once(peer));
            Ok(())
        })
    }

    fn updates_state(&self) -> BoxFuture<'_, Result<UpdatesState, SessionError>> {
        Box::pin(async move { Ok(self.read_until()) })
    }

    fn set_update_state(&self, update: UpdateState) -> BoxFuture<'_, Result<(), SessionError>> {
        Box::pin(async move {
            let mut state = self.read_until();
            match update {
                UpdateState::All(all) => state = all,
                UpdateState::Primary { pts, date, seq } => {
                    (state.pts, state.date, state.seq) = (pts, date, seq);
                }
                UpdateState::Secondary { qts } => state.qts = qts,
                UpdateState::Channel { id, pts } => {
                    state.channels.retain(|channel| channel.id != id);
                    state.channels.push(ChannelState { id, pts });
                }
            }
            self.set_read_until(state);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
