//! The replicas, as this one sees them: what it tells of itself, and what the others do.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::broker::Broker;
use crate::broker::ports::{Cluster, ClusterView, NodeFacts, Part, Replica, StoreNode};
use crate::coordination::etcd::{self, EtcdClient, EtcdStore};
use crate::telegram;

/// How often this replica tells of itself: each time is a write.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Signs of the name of a set of policies that people are shown.
const SHOWN: usize = 12;

/// What a replica tells the others of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Facts {
    name: String,
    version: String,
    since: i64,
    policy: String,
    telegram: Option<String>,
    answered: u64,
    last: Option<String>,
    leases: u64,
}

/// The replicas that share a store in etcd.
pub(super) struct Replicas {
    store: Arc<EtcdStore>,
    etcd: Arc<EtcdClient>,
    name: String,
    since: OffsetDateTime,
}

impl Replicas {
    /// Those of `store`, this one by `name`, which runs `since` then.
    pub(super) fn new(
        store: &Arc<EtcdStore>,
        etcd: &Arc<EtcdClient>,
        name: String,
        since: OffsetDateTime,
    ) -> Self {
        let replicas = Self {
            store: Arc::clone(store),
            etcd: Arc::clone(etcd),
            name,
            since,
        };
        replicas.describe(&replicas.facts());
        replicas
    }

    /// Tells the others of this replica, as often as something has changed, until `stop`.
    pub(super) async fn keep_telling(
        &self,
        broker: &Broker,
        status: Option<&telegram::Status>,
        stop: CancellationToken,
    ) {
        let mut told = None;
        loop {
            let answers = broker.answers();
            let facts = Facts {
                policy: broker.policy_name(),
                telegram: status.map(|status| status.look().text),
                answered: answers.count,
                last: answers.last.map(|id| id.to_string()),
                leases: u64::try_from(broker.lease_count()).unwrap_or(u64::MAX),
                ..self.facts()
            };
            if told.as_ref() != Some(&facts) {
                self.describe(&facts);
                told = Some(facts);
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(TELL_EVERY) => {}
            }
        }
    }

    /// What is known of this one from the start.
    fn facts(&self) -> Facts {
        Facts {
            name: self.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            since: self.since.unix_timestamp(),
            policy: String::new(),
            telegram: None,
            answered: 0,
            last: None,
            leases: 0,
        }
    }

    fn describe(&self, facts: &Facts) {
        // A struct of texts and numbers cannot fail to be written.
        self.store
            .describe(serde_json::to_vec(facts).unwrap_or_default());
    }
}

#[async_trait]
impl Cluster for Replicas {
    async fn view(&self) -> ClusterView {
        let nodes = self.etcd.look().await;
        let troubles = |(endpoint, said): &(String, Result<_, String>)| {
            let said: Result<&etcd::NodeFacts, _> = said.as_ref();
            let troubles = said.map(|facts| facts.troubles.clone()).unwrap_or_default();
            let troubles = troubles.into_iter();
            troubles
                .map(|trouble| format!("{trouble} at {endpoint}"))
                .collect::<Vec<_>>()
        };
        let alarms = nodes.iter().flat_map(troubles).collect();
        let members = self.store.members().into_iter();
        let replicas = members.filter_map(|member| replica(&member.facts, member.this));
        let mut replicas: Vec<_> = replicas.collect();
        replicas.sort_by(|one, other| one.name.cmp(&other.name));
        ClusterView {
            replicas,
            alarms,
            nodes: nodes.into_iter().map(node).collect(),
        }
    }
}

/// A replica by what it told; none where another version told it otherwise.
fn replica(facts: &[u8], this: bool) -> Option<Replica> {
    let facts: Facts = serde_json::from_slice(facts).ok()?;
    Some(Replica {
        name: facts.name,
        this,
        version: facts.version,
        since: OffsetDateTime::from_unix_timestamp(facts.since).ok()?,
        policy: facts.policy.chars().take(SHOWN).collect(),
        telegram: facts.telegram,
        answered: facts.answered,
        last: facts.last,
        leases: facts.leases,
    })
}

fn node((endpoint, said): (String, Result<etcd::NodeFacts, String>)) -> StoreNode {
    let said = said.map(|facts| NodeFacts {
        version: facts.version,
        leader: facts.leads,
        bytes: facts.bytes,
    });
    StoreNode { endpoint, said }
}
