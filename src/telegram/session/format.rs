//! The session's notation, JSON, which is encrypted before it goes into the file.

use std::collections::{BTreeMap, HashMap};
use std::net::{SocketAddrV4, SocketAddrV6};

use grammers_session::types::{
    ChannelKind, ChannelState, PeerAuth, PeerId, PeerInfo, UpdatesState,
};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{Data, Dc};

/// Counts changes of the notation.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    home_dc: i32,
    dcs: Vec<StoredDc>,
    me: Option<i64>,
    peers: Vec<StoredPeer>,
    updates: StoredUpdates,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredDc {
    id: i32,
    ipv4: SocketAddrV4,
    ipv6: SocketAddrV6,
    key: Option<KeyText>,
}

/// A key in hexadecimal.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
struct KeyText(String);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum StoredPeer {
    User {
        id: i64,
        hash: Option<i64>,
        bot: Option<bool>,
    },
    Chat {
        id: i64,
    },
    Channel {
        id: i64,
        hash: Option<i64>,
        kind: Option<StoredKind>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredKind {
    Broadcast,
    Megagroup,
    Gigagroup,
    Community,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredUpdates {
    pts: i32,
    qts: i32,
    date: i32,
    seq: i32,
    /// Channel id and pts.
    channels: Vec<(i64, i32)>,
}

/// The bytes of a session.
///
/// # Errors
/// None that can be seen to happen: these types have no map with keys other than strings.
pub(super) fn encode(data: &Data) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let stored = Stored {
        version: VERSION,
        home_dc: data.home_dc,
        dcs: data
            .dcs
            .iter()
            .map(|(id, dc)| StoredDc {
                id: *id,
                ipv4: dc.ipv4,
                ipv6: dc.ipv6,
                key: dc
                    .key
                    .as_ref()
                    .map(|key| KeyText(hex::encode(key.as_slice()))),
            })
            .collect(),
        me: data.me,
        peers: data.peers.values().map(StoredPeer::from).collect(),
        updates: StoredUpdates {
            pts: data.updates.pts,
            qts: data.updates.qts,
            date: data.updates.date,
            seq: data.updates.seq,
            channels: data
                .updates
                .channels
                .iter()
                .map(|channel| (channel.id, channel.pts))
                .collect(),
        },
    };
    Ok(Zeroizing::new(serde_json::to_vec(&stored)?))
}

/// Reads the bytes of a session. The error says where it is wrong, never what is there.
pub(super) fn decode(bytes: &[u8]) -> Result<Data, String> {
    let stored: Stored = serde_json::from_slice(bytes)
        .map_err(|error| format!("at line {} column {}", error.line(), error.column()))?;
    if stored.version != VERSION {
        return Err(format!("version {} is unknown", stored.version));
    }
    let mut dcs = BTreeMap::new();
    for dc in stored.dcs {
        let key = dc.key.map(|key| decode_key(&key.0)).transpose()?;
        dcs.insert(
            dc.id,
            Dc {
                ipv4: dc.ipv4,
                ipv6: dc.ipv6,
                key,
            },
        );
    }
    let mut peers = HashMap::new();
    for peer in stored.peers {
        let (id, info) = peer.into_info(stored.me).ok_or("a peer id out of range")?;
        peers.insert(id, info);
    }
    Ok(Data {
        home_dc: stored.home_dc,
        dcs,
        me: stored.me,
        peers,
        updates: UpdatesState {
            pts: stored.updates.pts,
            qts: stored.updates.qts,
            date: stored.updates.date,
            seq: stored.updates.seq,
            channels: stored
                .updates
                .channels
                .into_iter()
                .map(|(id, pts)| ChannelState { id, pts })
                .collect(),
        },
    })
}

/// The id of a peer that [`decode`] will accept. One with a number of a range that grammers does
/// not know yet would make the whole file unreadable.
pub(super) fn readable(peer: &PeerInfo) -> Option<PeerId> {
    match peer {
        PeerInfo::User { id, .. } => PeerId::user(*id),
        PeerInfo::Chat { id } => PeerId::chat(*id),
        PeerInfo::Channel { id, .. } => PeerId::channel(*id),
    }
}

fn decode_key(text: &str) -> Result<Zeroizing<[u8; 256]>, String> {
    let mut key = Zeroizing::new([0; 256]);
    hex::decode_to_slice(text, key.as_mut_slice())
        .map_err(|_| "a key that is not 256 bytes".to_owned())?;
    Ok(key)
}

impl From<&PeerInfo> for StoredPeer {
    fn from(info: &PeerInfo) -> Self {
        match info {
            PeerInfo::User { id, auth, bot, .. } => Self::User {
                id: *id,
                hash: auth.map(PeerAuth::hash),
                bot: *bot,
            },
            PeerInfo::Chat { id } => Self::Chat { id: *id },
            PeerInfo::Channel { id, auth, kind } => Self::Channel {
                id: *id,
                hash: auth.map(PeerAuth::hash),
                kind: kind.map(|kind| match kind {
                    ChannelKind::Broadcast => StoredKind::Broadcast,
                    ChannelKind::Megagroup => StoredKind::Megagroup,
                    ChannelKind::Gigagroup => StoredKind::Gigagroup,
                    ChannelKind::Community => StoredKind::Community,
                }),
            },
        }
    }
}

impl StoredPeer {
    fn into_info(self, me: Option<i64>) -> Option<(PeerId, PeerInfo)> {
        let auth = |hash: Option<i64>| hash.map(PeerAuth::from_hash);
        Some(match self {
            Self::User { id, hash, bot } => (
                PeerId::user(id)?,
                PeerInfo::User {
                    id,
                    auth: auth(hash),
                    bot,
                    is_self: Some(Some(id) == me),
                },
            ),
            Self::Chat { id } => (PeerId::chat(id)?, PeerInfo::Chat { id }),
            Self::Channel { id, hash, kind } => (
                PeerId::channel(id)?,
                PeerInfo::Channel {
                    id,
                    auth: auth(hash),
                    kind: kind.map(|kind| match kind {
                        StoredKind::Broadcast => ChannelKind::Broadcast,
                        StoredKind::Megagroup => ChannelKind::Megagroup,
                        StoredKind::Gigagroup => ChannelKind::Gigagroup,
                        StoredKind::Community => ChannelKind::Community,
                    }),
                },
            ),
        })
    }
}
