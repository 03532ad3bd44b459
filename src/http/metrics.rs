//! Metrics, as they are scraped: what changes by itself is looked at then.

use metrics::gauge;

use crate::broker::ports::{ClusterView, Condition, StoreHealth, StoreNode};
use crate::broker::{Check, Health};
use crate::http::reply::{self, Reply};
use crate::http::vault_api::VaultApi;
use crate::telemetry::metrics::{
    CHAT_LOCKED, CHECKS, ETCD_QUORUM, ETCD_SERVERS, LEASES, REPLICAS, VAULT_CLOCK_DRIFT,
    VAULT_READY, VAULT_STATE, VAULT_TOKEN_LEFT, VAULT_TOKEN_TTL, render,
};

impl VaultApi {
    /// Whoever can connect may read them: there is nothing of anybody in them.
    pub(super) async fn metrics(&self) -> Reply {
        let broker = &self.asker.broker;
        let (health, cluster, locked) =
            tokio::join!(broker.health(), broker.cluster(), broker.chat_locked());
        checks(&health);
        store(&health.store);
        set(LEASES, broker.lease_count());
        // Taken for locked where nobody can tell: then nothing is answered in chat either.
        gauge!(CHAT_LOCKED).set(one_if(locked.unwrap_or(true)));
        if let Some(view) = cluster {
            replicas(&view);
        }
        reply::metrics(render())
    }
}

fn checks(health: &Health) {
    for Check {
        name, condition, ..
    } in &health.checks
    {
        for state in [Condition::Ok, Condition::Degraded, Condition::Down] {
            let is = one_if(state == *condition);
            gauge!(CHECKS, "check" => *name, "state" => state.name()).set(is);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds, far below 2^52")]
fn store(health: &StoreHealth) {
    for name in StoreHealth::NAMES {
        gauge!(VAULT_STATE, "state" => name).set(one_if(health.name() == name));
    }
    let (ready, drift, left, ttl) = match health {
        StoreHealth::Ready(serving) => {
            let for_ever = |life: Option<std::time::Duration>| {
                life.map_or(f64::INFINITY, |life| life.as_secs_f64())
            };
            let (left, ttl) = (for_ever(serving.token_left), for_ever(serving.token_ttl));
            (true, serving.drift as f64, left, ttl)
        }
        // What is not known now must not look like what was so before.
        StoreHealth::LoggedOut { .. }
        | StoreHealth::Sealed
        | StoreHealth::Uninitialized
        | StoreHealth::Unreachable { .. } => (false, f64::NAN, 0.0, f64::NAN),
    };
    gauge!(VAULT_READY).set(one_if(ready));
    gauge!(VAULT_CLOCK_DRIFT).set(drift);
    gauge!(VAULT_TOKEN_LEFT).set(left);
    gauge!(VAULT_TOKEN_TTL).set(ttl);
}

fn replicas(view: &ClusterView) {
    set(REPLICAS, view.replicas.len());
    let answering = view.nodes.iter().filter(|node| node.said.is_ok()).count();
    let silent = view.nodes.len() - answering;
    for (state, count) in [("answering", answering), ("silent", silent)] {
        gauge!(ETCD_SERVERS, "state" => state).set(u32::try_from(count).unwrap_or(u32::MAX));
    }
    let leads = |node: &StoreNode| node.said.as_ref().is_ok_and(|facts| facts.leader);
    let quorum = answering > silent && view.nodes.iter().any(leads);
    gauge!(ETCD_QUORUM).set(one_if(quorum));
}

fn set(name: &'static str, count: usize) {
    // Far below where a count is no longer exact.
    gauge!(name).set(u32::try_from(count).unwrap_or(u32::MAX));
}

fn one_if(so: bool) -> f64 {
    f64::from(u8::from(so))
}
