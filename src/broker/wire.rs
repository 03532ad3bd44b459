//! Who asked for what, as it is kept in the coordination store.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::caller::{ChatKind, TelegramUser, UnixPeer};
use crate::domain::job::{Job, claim};
use crate::domain::{
    Action, Caller, Delivery, PipelineAction, Recipe, RequestId, SecretPath, Target,
};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::broker) enum StoredId {
    Message(i64, i32),
    Press(i64),
    /// In hexadecimal.
    Connection(String),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::broker) enum StoredCaller {
    Telegram {
        id: i64,
        group: bool,
    },
    Unix {
        uid: u32,
        gid: u32,
        pid: i32,
        groups: Option<BTreeSet<u32>>,
        executable: Option<String>,
        executable_sha256: Option<String>,
        unit: Option<String>,
        slice: Option<String>,
        container: Option<String>,
        pod: Option<String>,
        socket: Option<String>,
    },
    Job {
        issuer: String,
        subject: String,
        claims: BTreeMap<String, String>,
    },
}

#[derive(Serialize, Deserialize)]
pub(in crate::broker) struct StoredAction {
    name: String,
    delivery: Option<String>,
    recipe: Option<String>,
    over: Option<u64>,
}

#[derive(Serialize, Deserialize)]
pub(in crate::broker) struct StoredTarget {
    mount: String,
    path: String,
    field: Option<String>,
    version: Option<u64>,
}

impl StoredId {
    pub(in crate::broker) fn id(self) -> Option<RequestId> {
        Some(match self {
            Self::Message(chat, message) => RequestId::Message { chat, message },
            Self::Press(number) => RequestId::Press(number),
            Self::Connection(number) => {
                RequestId::Connection(u128::from_str_radix(&number, 16).ok()?)
            }
        })
    }
}

impl From<RequestId> for StoredId {
    fn from(id: RequestId) -> Self {
        match id {
            RequestId::Message { chat, message } => Self::Message(chat, message),
            RequestId::Press(number) => Self::Press(number),
            RequestId::Connection(number) => Self::Connection(format!("{number:032x}")),
        }
    }
}

impl StoredCaller {
    pub(in crate::broker) fn caller(self) -> Caller {
        match self {
            Self::Telegram { id, group } => Caller::Telegram(TelegramUser {
                id,
                chat: if group {
                    ChatKind::Group
                } else {
                    ChatKind::Private
                },
            }),
            Self::Unix {
                uid,
                gid,
                pid,
                groups,
                executable,
                executable_sha256,
                unit,
                slice,
                container,
                pod,
                socket,
            } => Caller::Unix(UnixPeer {
                uid,
                gid,
                pid,
                groups,
                executable,
                executable_sha256,
                unit,
                slice,
                container,
                pod,
                socket,
            }),
            Self::Job {
                issuer,
                subject,
                claims,
            } => Caller::Job(Job {
                issuer,
                subject,
                // One that no version knows any more decides nothing.
                claims: claims
                    .into_iter()
                    .filter_map(|(name, text)| Some((claim(&name)?, text)))
                    .collect(),
            }),
        }
    }
}

impl From<Caller> for StoredCaller {
    fn from(caller: Caller) -> Self {
        match caller {
            Caller::Telegram(user) => Self::Telegram {
                id: user.id,
                group: user.chat == ChatKind::Group,
            },
            Caller::Unix(peer) => Self::Unix {
                uid: peer.uid,
                gid: peer.gid,
                pid: peer.pid,
                groups: peer.groups,
                executable: peer.executable,
                executable_sha256: peer.executable_sha256,
                unit: peer.unit,
                slice: peer.slice,
                container: peer.container,
                pod: peer.pod,
                socket: peer.socket,
            },
            Caller::Job(job) => Self::Job {
                issuer: job.issuer,
                subject: job.subject,
                claims: job
                    .claims
                    .into_iter()
                    .map(|(name, text)| (name.to_owned(), text))
                    .collect(),
            },
        }
    }
}

impl StoredAction {
    pub(in crate::broker) fn action(self) -> Option<Action> {
        let delivery = self.delivery.as_deref().and_then(Delivery::named);
        let over = self.over;
        Some(match self.name.as_str() {
            "read" => Action::Read(delivery?),
            "list" => Action::List,
            "versions" => Action::Versions,
            "put" => Action::Put { over },
            "patch" => Action::Patch { over },
            "delete" => Action::Delete,
            "undelete" => Action::Undelete,
            "destroy" => Action::Destroy,
            "rotate" => Action::Rotate {
                recipe: self.recipe.as_deref().and_then(Recipe::named)?,
                over,
            },
            "unwrap" => Action::Unwrap,
            "invoke" => Action::Invoke(delivery?),
            name => Action::Pipeline(PipelineAction::named(name)?),
        })
    }
}

impl From<Action> for StoredAction {
    fn from(action: Action) -> Self {
        let over = match action {
            Action::Put { over } | Action::Patch { over } | Action::Rotate { over, .. } => over,
            Action::Read(_)
            | Action::List
            | Action::Versions
            | Action::Delete
            | Action::Undelete
            | Action::Destroy
            | Action::Unwrap
            | Action::Invoke(_)
            | Action::Pipeline(_) => None,
        };
        Self {
            name: action.name().to_owned(),
            delivery: action.delivery().map(|it| it.name().to_owned()),
            recipe: action.recipe().map(|it| it.name().to_owned()),
            over,
        }
    }
}

impl StoredTarget {
    pub(in crate::broker) fn target(self) -> Option<Target> {
        let path = if self.path.is_empty() {
            SecretPath::folder(&self.mount, "")
        } else {
            SecretPath::new(&self.mount, &self.path)
        };
        Some(Target {
            path: path.ok()?,
            field: self.field,
            version: self.version,
        })
    }
}

impl From<Target> for StoredTarget {
    fn from(target: Target) -> Self {
        Self {
            mount: target.path.mount().to_owned(),
            path: target.path.path().to_owned(),
            field: target.field,
            version: target.version,
        }
    }
}
