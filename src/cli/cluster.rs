//! `vaultgram status --cluster`: the replicas that share one state, and the store they share it in.

use std::io::Write;

use hyper::StatusCode;

use crate::api::{ClusterReport, NodeReport, ReplicaReport};
use crate::cli::common::Common;
use crate::cli::exit::{Exit, Failure};
use crate::cli::secret::not_understood;
use crate::cli::show;
use crate::cli::table::{Look, Table};
use crate::domain::signs::one_line;

/// Prints who is there to `out`, in `color`.
///
/// # Errors
/// When nobody answers, or the one that does is always alone.
pub(super) async fn run(common: &Common, out: &mut dyn Write, color: bool) -> Result<(), Failure> {
    let answer = common.socket()?.get("/cluster").await?;
    if answer.status == StatusCode::NOT_FOUND {
        let what = "this vaultgram is alone: it shares its state with no other";
        return Err(Failure::new(Exit::Unavailable, what)
            .hint("several replicas share an etcd: [state.etcd], docs/scaling.md"));
    }
    if answer.status != StatusCode::OK {
        return Err(answer.failure());
    }
    let report: ClusterReport =
        serde_json::from_slice(&answer.body).map_err(|_| not_understood())?;
    if common.json {
        return show::json(&report, out);
    }
    show::write(described(&report, color).as_bytes(), out)
}

fn described(report: &ClusterReport, color: bool) -> String {
    let mut replicas = Table::new([
        "REPLICA", "VERSION", "SINCE", "POLICY", "TELEGRAM", "ANSWERED", "LAST", "LEASES",
    ]);
    for replica in &report.replicas {
        replicas.row(Look::Plain, row(replica));
    }
    let mut nodes = Table::new(["ETCD", "VERSION", "ROLE", "DATABASE"]);
    for node in &report.nodes {
        nodes.row(Look::Plain, node_row(node));
    }
    let mut text = format!("{}\n{}", replicas.text(color), nodes.text(color));
    for worry in &report.worries {
        text.push_str("\nlook at this: ");
        text.push_str(&one_line(worry));
    }
    if !report.worries.is_empty() {
        text.push('\n');
    }
    text
}

fn row(replica: &ReplicaReport) -> [String; 8] {
    let mark = if replica.this { " *" } else { "" };
    let or_none = |text: &Option<String>| text.as_deref().map_or("-".to_owned(), one_line);
    [
        format!("{}{mark}", one_line(&replica.name)),
        one_line(&replica.version),
        one_line(&replica.since),
        one_line(&replica.policy),
        or_none(&replica.telegram),
        replica.answered.to_string(),
        or_none(&replica.last),
        replica.leases.to_string(),
    ]
}

fn node_row(node: &NodeReport) -> [String; 4] {
    let role = match (&node.problem, node.leader) {
        (Some(problem), _) => one_line(problem),
        (None, true) => "leader".to_owned(),
        (None, false) => "follower".to_owned(),
    };
    let version = node.version.as_deref().map_or("-".to_owned(), one_line);
    let size = match node.version {
        Some(_) => format!("{} KiB", node.bytes / 1024),
        None => "-".to_owned(),
    };
    [one_line(&node.endpoint), version, role, size]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_and_servers_are_tables_and_worries_come_last() {
        let replica = |name: &str, this| ReplicaReport {
            name: name.to_owned(),
            this,
            version: "0.1.0".to_owned(),
            since: "2026-11-28T17:08:24Z".to_owned(),
            policy: "3f9a".to_owned(),
            telegram: this.then(|| "connected".to_owned()),
            answered: 7,
            last: this.then(|| "telegram-1001-5".to_owned()),
            leases: 1,
        };
        let node = |endpoint: &str, problem: Option<&str>| NodeReport {
            endpoint: endpoint.to_owned(),
            version: problem.is_none().then(|| "3.4.23".to_owned()),
            leader: problem.is_none(),
            bytes: 20_480,
            problem: problem.map(str::to_owned),
        };
        let mut report = ClusterReport {
            time: String::new(),
            replicas: vec![replica("a", true), replica("b", false)],
            nodes: vec![
                node("https://e1:2379", None),
                node("https://e2:2379", Some("timed out")),
            ],
            worries: vec![],
        };
        let text = "\
REPLICA  VERSION  SINCE                 POLICY  TELEGRAM   ANSWERED  LAST             LEASES
a *      0.1.0    2026-11-28T17:08:24Z  3f9a    connected  7         telegram-1001-5  1
b        0.1.0    2026-11-28T17:08:24Z  3f9a    -          7         -                1

ETCD             VERSION  ROLE       DATABASE
https://e1:2379  3.4.23   leader     20 KiB
https://e2:2379  -        timed out  -
";
        assert_eq!(described(&report, false), text);
        report
            .worries
            .push("1 of 2 etcd\nservers answer".to_owned());
        let worried = described(&report, false);
        let end = worried.strip_prefix(text).unwrap();
        assert!(end.starts_with("\nlook at this: 1 of 2 etcd"), "{end}");
        assert_eq!(end.lines().count(), 2);
    }
}
