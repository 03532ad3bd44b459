//! `/cluster`: the replicas, for people and dashboards; outside of Vault's API.

use hyper::StatusCode;

use crate::api::{ClusterReport, NodeReport, ReplicaReport};
use crate::broker::ports::{Replica, StoreNode};
use crate::domain::signs::one_line;
use crate::http::error::Refusal;
use crate::http::health::format;
use crate::http::reply::{self, Reply};
use crate::http::vault_api::VaultApi;

impl VaultApi {
    /// The replicas that live, and the store that they share.
    pub(super) async fn cluster(&self) -> Result<Reply, Refusal> {
        let broker = &self.asker.broker;
        let view = broker.cluster().await.ok_or_else(|| {
            let what = "this vaultgram is alone: [state.etcd] is not configured";
            Refusal::new(StatusCode::NOT_FOUND, what)
        })?;
        let report = ClusterReport {
            time: format(broker.now()),
            worries: view.worries(),
            replicas: view.replicas.into_iter().map(replica).collect(),
            nodes: view.nodes.into_iter().map(node).collect(),
        };
        Ok(reply::json(StatusCode::OK, &report))
    }
}

fn replica(replica: Replica) -> ReplicaReport {
    ReplicaReport {
        name: replica.name,
        this: replica.this,
        version: replica.version,
        since: format(replica.since),
        policy: replica.policy,
        telegram: replica.telegram,
        answered: replica.answered,
        last: replica.last,
        leases: replica.leases,
    }
}

fn node(node: StoreNode) -> NodeReport {
    let (facts, problem) = match node.said {
        Ok(facts) => (Some(facts), None),
        Err(problem) => (None, Some(one_line(&problem))),
    };
    NodeReport {
        endpoint: node.endpoint,
        leader: facts.as_ref().is_some_and(|facts| facts.leader),
        bytes: facts.as_ref().map_or(0, |facts| facts.bytes),
        version: facts.map(|facts| facts.version),
        problem,
    }
}
