//! What etcd has to do, as its nodes count it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Sub;

use crate::etcd::Etcd;

/// What etcd had to do so far, or in some time, or for something.
#[derive(Debug, Clone, Default)]
pub(crate) struct Load {
    /// Calls of clients that are over, by their names, on all nodes.
    calls: BTreeMap<String, f64>,
    /// What clients said on streams that go on, by the streams' names, on all nodes.
    said: BTreeMap<String, f64>,
    /// What the nodes agreed on.
    writes: f64,
}

impl Load {
    /// So far.
    pub(crate) fn of(etcd: &Etcd) -> Self {
        let sum = |metric: &str, unary: bool| {
            let mut sums = BTreeMap::new();
            let nodes = 0..etcd.sockets().len();
            let found = nodes.flat_map(|node| etcd.metrics(node, metric).unwrap_or_default());
            for (labels, value) in found {
                if labels.contains("grpc_type=\"unary\"") == unary {
                    let (_, method) = labels.split_once("grpc_method=\"").unwrap();
                    let (method, _) = method.split_once('"').unwrap();
                    *sums.entry(method.to_owned()).or_default() += value;
                }
            }
            sums
        };
        tokio::task::block_in_place(|| Self {
            calls: sum("grpc_server_handled_total", true),
            said: sum("grpc_server_msg_received_total", false),
            writes: etcd
                .metric(0, "etcd_server_proposals_committed_total")
                .unwrap(),
        })
    }

    /// For each of `of`.
    pub(crate) fn per(&self, of: f64) -> Self {
        let each = |all: &BTreeMap<String, f64>| {
            let each = all.iter().map(|(name, value)| (name.clone(), value / of));
            each.collect()
        };
        Self {
            calls: each(&self.calls),
            said: each(&self.said),
            writes: self.writes / of,
        }
    }
}

impl Sub for &Load {
    type Output = Load;

    fn sub(self, before: &Load) -> Load {
        let since = |now: &BTreeMap<String, f64>, then: &BTreeMap<String, f64>| {
            let since = |(name, value): (&String, &f64)| {
                let before = then.get(name).copied().unwrap_or_default();
                (name.clone(), value - before)
            };
            now.iter().map(since).collect()
        };
        Load {
            calls: since(&self.calls, &before.calls),
            said: since(&self.said, &before.said),
            writes: self.writes - before.writes,
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |all: &BTreeMap<String, f64>| {
            let sum: f64 = all.values().sum();
            let some = all.iter().filter(|(_, value)| **value >= 0.005);
            let some: Vec<_> = some
                .map(|(name, value)| format!("{name} {value:.2}"))
                .collect();
            (sum, some.join(", "))
        };
        let ((calls, which), (said, where_)) = (named(&self.calls), named(&self.said));
        let writes = self.writes;
        write!(
            f,
            "{calls:.2} calls ({which}), {writes:.2} writes, {said:.2} messages on streams ({where_})"
        )
    }
}
