//! The replicas that share one state, and the store they share it in.

use async_trait::async_trait;
use time::OffsetDateTime;

/// Who else is there. Answers within seconds, also where nobody else does.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// Everything that is known now.
    async fn view(&self) -> ClusterView;
}

/// Replicas and store. Nothing of anybody is in it, and no secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterView {
    /// The replicas that live, by name; empty where the store does not answer.
    pub replicas: Vec<Replica>,
    /// The servers of the store, as configured.
    pub nodes: Vec<StoreNode>,
    /// What the store itself finds alarming (etcd: `NOSPACE node-1`).
    pub alarms: Vec<String>,
}

/// A replica, by its own word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// Its name, as configured.
    pub name: String,
    /// It is the one that was asked.
    pub this: bool,
    /// Vaultgram's version.
    pub version: String,
    /// Since when it runs.
    pub since: OffsetDateTime,
    /// Names the set of policies in force there; all should have the same.
    pub policy: String,
    /// How its connection to Telegram is, where it has one.
    pub telegram: Option<String>,
    /// Messages that it answered.
    pub answered: u64,
    /// The last of them.
    pub last: Option<String>,
    /// Leases of dynamic secrets that it looks after.
    pub leases: u64,
}

/// A server of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreNode {
    /// Its address, as configured.
    pub endpoint: String,
    /// What it says of itself, or why it says nothing.
    pub said: Result<NodeFacts, String>,
}

/// What a server of the store says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFacts {
    /// Its version.
    pub version: String,
    /// It leads.
    pub leader: bool,
    /// How much its database takes on its disk, in bytes.
    pub bytes: u64,
}

impl ClusterView {
    /// What an operator should look at, a line each.
    #[must_use]
    pub fn worries(&self) -> Vec<String> {
        let mut worries = vec![];
        let answering = self.nodes.iter().filter(|node| node.said.is_ok()).count();
        if answering < self.nodes.len() {
            let all = self.nodes.len();
            worries.push(format!("{answering} of {all} etcd servers answer"));
        }
        let leads = |node: &StoreNode| node.said.as_ref().is_ok_and(|facts| facts.leader);
        if !self.nodes.is_empty() && !self.nodes.iter().any(leads) {
            worries.push("no etcd server that answers leads".to_owned());
        }
        worries.extend(self.alarms.iter().map(|alarm| format!("etcd: {alarm}")));
        let differs = |of: fn(&Replica) -> &str| {
            let mut each = self.replicas.iter().map(of);
            each.next().is_some_and(|first| each.any(|it| it != first))
        };
        if differs(|replica| &replica.policy) {
            worries.push("the replicas have different policies in force".to_owned());
        }
        if differs(|replica| &replica.version) {
            worries.push("the replicas have different versions".to_owned());
        }
        worries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(name: &str, policy: &str, version: &str) -> Replica {
        Replica {
            name: name.to_owned(),
            this: false,
            version: version.to_owned(),
            since: OffsetDateTime::UNIX_EPOCH,
            policy: policy.to_owned(),
            telegram: None,
            answered: 0,
            last: None,
            leases: 0,
        }
    }

    fn node(leader: bool) -> StoreNode {
        StoreNode {
            endpoint: "https://etcd-1:2379".to_owned(),
            said: Ok(NodeFacts {
                version: "3.4.23".to_owned(),
                leader,
                bytes: 1,
            }),
        }
    }

    #[test]
    fn what_is_as_it_should_be_worries_nobody() {
        let view = ClusterView {
            replicas: vec![replica("a", "1", "0.1"), replica("b", "1", "0.1")],
            nodes: vec![node(true), node(false)],
            alarms: vec![],
        };
        assert_eq!(view.worries(), [""; 0]);
        assert_eq!(ClusterView::default().worries(), [""; 0]);
    }

    #[test]
    fn each_difference_and_each_alarm_is_told() {
        let silent = StoreNode {
            endpoint: "https://etcd-2:2379".to_owned(),
            said: Err("connection refused".to_owned()),
        };
        let view = ClusterView {
            replicas: vec![replica("a", "1", "0.1"), replica("b", "2", "0.2")],
            nodes: vec![node(false), silent],
            alarms: vec!["NOSPACE etcd-1".to_owned()],
        };
        let worries = [
            "1 of 2 etcd servers answer",
            "no etcd server that answers leads",
            "etcd: NOSPACE etcd-1",
            "the replicas have different policies in force",
            "the replicas have different versions",
        ];
        assert_eq!(view.worries(), worries);
    }
}
