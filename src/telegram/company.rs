//! The other replicas, as `/status` tells of them.

use super::handler::Handler;
use crate::broker::ports::{ClusterView, Replica};
use crate::domain::signs::one_line;

impl Handler {
    /// Lines about replicas and their store; empty for who is always alone.
    pub(super) async fn company(&self) -> String {
        let view = self.broker.cluster().await;
        view.map(|view| described(&view)).unwrap_or_default()
    }
}

fn described(view: &ClusterView) -> String {
    let name = |it: &Replica| {
        let mark = if it.this { " (this one)" } else { "" };
        format!("{}{mark}", one_line(&it.name))
    };
    let names: Vec<_> = view.replicas.iter().map(name).collect();
    let answering = view.nodes.iter().filter(|node| node.said.is_ok()).count();
    let mut text = format!(
        "\nReplicas: {}\netcd: {answering} of {} servers answer",
        names.join(", "),
        view.nodes.len()
    );
    for worry in view.worries() {
        text.push_str("\nLook at this: ");
        text.push_str(&one_line(&worry));
    }
    text
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::broker::ports::{NodeFacts, StoreNode};

    #[test]
    fn replicas_are_named_and_worries_told() {
        let replica = |name: &str, this, version: &str| Replica {
            name: name.to_owned(),
            this,
            version: version.to_owned(),
            since: OffsetDateTime::UNIX_EPOCH,
            policy: String::new(),
            telegram: None,
            answered: 0,
            last: None,
            leases: 0,
        };
        let facts = NodeFacts {
            version: "3.4.23".to_owned(),
            leader: true,
            bytes: 1,
        };
        let node = StoreNode {
            endpoint: "https://etcd-1:2379".to_owned(),
            said: Ok(facts),
        };
        let view = ClusterView {
            replicas: vec![replica("a", false, "0.1.0"), replica("b", true, "0.2.0")],
            nodes: vec![node],
            alarms: vec![],
        };
        let text = "\nReplicas: a, b (this one)\netcd: 1 of 1 servers answer\n\
                    Look at this: the replicas have different versions";
        assert_eq!(described(&view), text);
    }
}
