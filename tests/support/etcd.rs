//! A real etcd for tests: one node, or a cluster with certificates as `policies/etcd` lays it out;
//! its nodes are killed, stopped and started again at will.
#![allow(
    dead_code,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "shared by test targets, of which none uses all of it; tests may panic and look around"
)]

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::certificates::{Authority, Certificate, Request};
use crate::openbao::{spawn_bound_to_us, wait_until};

/// Where Debian keeps it.
const PROGRAM: &str = "/usr/bin/etcd";

/// One etcd of one or more nodes, which keep their data over a kill. Ends with this value.
pub(crate) struct Etcd {
    nodes: Vec<Node>,
    authorities: HashMap<String, Authority>,
    layout: Value,
    directory: TempDir,
}

/// One process.
struct Node {
    address: Ipv4Addr,
    /// The ports for clients, for other nodes, and for health and metrics, which are never TLS.
    ports: [u16; 3],
    child: Option<Child>,
}

impl Etcd {
    /// Starts one node without TLS, which lets everybody do everything. Of the times of elections
    /// it only knows that it must wait for nobody: it serves in a moment.
    pub(crate) fn start() -> Self {
        Self::start_nodes(1)
    }

    /// Starts three nodes, which speak TLS with certificates as the layout says, and with etcd's
    /// own times of heartbeats and elections. Until the layout's users are made (`grants.rs`),
    /// every client with a certificate may do everything.
    pub(crate) fn start_cluster() -> Self {
        Self::start_nodes(3)
    }

    fn start_nodes(count: u8) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/etcd/layout.json");
        let layout = std::fs::read_to_string(file).unwrap();
        let node = |number: u8| {
            let address = Ipv4Addr::new(127, 0, 1, number);
            // Held until all three are known, so that they differ.
            let held = [(); 3].map(|()| TcpListener::bind((address, 0)).unwrap());
            let ports = held.map(|listener| listener.local_addr().unwrap().port());
            Node {
                address,
                ports,
                child: None,
            }
        };
        let mut etcd = Self {
            nodes: (1..=count).map(node).collect(),
            authorities: HashMap::new(),
            layout: serde_json::from_str(&layout).unwrap(),
            directory: tempfile::tempdir().unwrap(),
        };
        if count > 1 {
            for name in etcd.layout["authorities"].as_array().unwrap() {
                let name = name.as_str().unwrap();
                let folder = etcd.path(name);
                let authority = Authority::new(folder, &format!("etcd {name}"));
                etcd.authorities.insert(name.to_owned(), authority);
            }
        }
        for node in 0..etcd.nodes.len() {
            etcd.spawn(node);
        }
        etcd.wait_until_healthy();
        etcd
    }

    /// `policies/etcd/layout.json`.
    pub(crate) fn layout(&self) -> &Value {
        &self.layout
    }

    /// Where clients reach each node: `https://127.0.1.1:PORT`, without TLS `http://…`.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        let addresses = self.sockets().into_iter();
        let urls = addresses.map(|socket| format!("{}://{socket}", self.scheme()));
        urls.collect()
    }

    /// The same as addresses.
    pub(crate) fn sockets(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.socket(0)).collect()
    }

    /// Where the other nodes reach each.
    pub(crate) fn peer_sockets(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.socket(1)).collect()
    }

    /// The file of the authority that clients trust.
    pub(crate) fn trust(&self) -> PathBuf {
        self.authorities["clients"].trust()
    }

    /// The file of the authority that nodes trust among themselves.
    pub(crate) fn peer_trust(&self) -> PathBuf {
        self.authorities["peers"].trust()
    }

    /// Issues a new certificate of the layout: `vault`, `vaultgram`, `root`.
    pub(crate) fn certificate(&self, file: &str) -> Certificate {
        self.issue(file, file, &self.authorities)
    }

    /// The same of an authority with the same name that nobody trusts.
    pub(crate) fn forged_certificate(&self, file: &str) -> Certificate {
        let wanted = self.described(file);
        let name = wanted["authority"].as_str().unwrap();
        let folder = self.path("forged");
        let authority = Authority::new(folder, &format!("etcd {name}"));
        self.issue(file, file, &HashMap::from([(name.to_owned(), authority)]))
    }

    /// kill -9.
    pub(crate) fn kill(&mut self, node: usize) {
        if let Some(mut child) = self.nodes[node].child.take() {
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }

    /// Starts a killed node again, on the same ports and data, and waits for nothing.
    pub(crate) fn restart(&mut self, node: usize) {
        assert!(self.nodes[node].child.is_none(), "kill it first");
        self.spawn(node);
    }

    /// SIGSTOP: its connections stand, and nothing answers.
    pub(crate) fn pause(&self, node: usize) {
        self.signal(node, Signal::STOP);
    }

    /// SIGCONT.
    pub(crate) fn resume(&self, node: usize) {
        self.signal(node, Signal::CONT);
    }

    /// The node that leads, once one does.
    pub(crate) fn leader(&self) -> usize {
        wait_until("etcd has a leader", || self.try_leader().is_some());
        self.try_leader().unwrap()
    }

    /// Waits until every node that runs (none must be paused) serves.
    pub(crate) fn wait_until_healthy(&self) {
        let running = || (0..self.nodes.len()).filter(|node| self.nodes[*node].child.is_some());
        wait_until("etcd is healthy", || {
            running().all(|node| self.healthy(node)) && self.try_leader().is_some()
        });
    }

    /// Whether the node serves, which takes a leader and so more than half of the nodes.
    pub(crate) fn healthy(&self, node: usize) -> bool {
        let answer = self.ask(node, "/health").unwrap_or_default();
        answer.contains(r#""health":"true""#)
    }

    /// The value of one of the node's metrics, as `etcd_server_proposals_committed_total`; of
    /// several with this name, their sum.
    pub(crate) fn metric(&self, node: usize, name: &str) -> Option<f64> {
        let found = self.metrics(node, name)?;
        Some(found.iter().map(|(_, value)| value).sum())
    }

    /// The values of the node's metrics with this name, each with its labels as they are written.
    pub(crate) fn metrics(&self, node: usize, name: &str) -> Option<Vec<(String, f64)>> {
        let text = self.ask(node, "/metrics")?;
        let found = text.lines().filter_map(|line| {
            let (named, value) = line.rsplit_once(' ')?;
            let (found, labels) = named.split_once('{').unwrap_or((named, ""));
            let value = value.parse().ok().filter(|_| found == name)?;
            Some((labels.to_owned(), value))
        });
        Some(found.collect())
    }

    /// What a node logged.
    pub(crate) fn log(&self, node: usize) -> String {
        std::fs::read_to_string(self.path(&format!("{node}/log"))).unwrap()
    }

    fn try_leader(&self) -> Option<usize> {
        (0..self.nodes.len()).find(|node| {
            let leads = self.metric(*node, "etcd_server_is_leader");
            self.nodes[*node].child.is_some() && leads == Some(1.0)
        })
    }

    fn described(&self, file: &str) -> &Value {
        let mut all = self.layout["certificates"].as_array().unwrap().iter();
        all.find(|one| one["file"] == file)
            .unwrap_or_else(|| panic!("the layout has no certificate {file}"))
    }

    fn issue(&self, file: &str, name: &str, by: &HashMap<String, Authority>) -> Certificate {
        let wanted = self.described(file);
        let list = |key: &str| {
            let names = wanted[key].as_array().unwrap().iter();
            let names: Vec<_> = names.map(|name| name.as_str().unwrap()).collect();
            names.join(",")
        };
        let addresses: Vec<_> = match wanted["addresses"].as_str().unwrap() {
            // And where they come from: each looks whether the other's certificate names it.
            "every node" => {
                let nodes = self.nodes.iter().map(|node| node.address);
                nodes.chain([Ipv4Addr::LOCALHOST]).collect()
            }
            "none" => vec![],
            other => panic!("addresses: {other}"),
        };
        let request = Request {
            common_name: wanted["common_name"].as_str().unwrap(),
            addresses: &addresses,
            key_usage: &list("key_usage"),
            extended_key_usage: &list("extended_key_usage"),
        };
        by[wanted["authority"].as_str().unwrap()].issue(name, &request)
    }

    fn scheme(&self) -> &'static str {
        if self.authorities.is_empty() {
            "http"
        } else {
            "https"
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn spawn(&mut self, number: usize) {
        let scheme = self.scheme();
        let url = |node: &Node, port: usize| format!("{scheme}://{}", node.socket(port));
        let names = self.nodes.iter().enumerate();
        let cluster: Vec<_> = names
            .map(|(number, node)| format!("{number}={}", url(node, 1)))
            .collect();
        let folder = self.path(&number.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        let node = &self.nodes[number];
        let mut flags = vec![
            ("name", number.to_string()),
            ("data-dir", folder.join("data").display().to_string()),
            // A kill loses nothing of what the kernel has.
            ("unsafe-no-fsync", "true".to_owned()),
            ("listen-client-urls", url(node, 0)),
            ("advertise-client-urls", url(node, 0)),
            ("listen-peer-urls", url(node, 1)),
            ("initial-advertise-peer-urls", url(node, 1)),
            ("initial-cluster", cluster.join(",")),
            ("listen-metrics-urls", format!("http://{}", node.socket(2))),
            ("logger", "zap".to_owned()),
            ("log-outputs", "stderr".to_owned()),
        ];
        if self.nodes.len() == 1 {
            flags.push(("heartbeat-interval", "10".to_owned()));
            flags.push(("election-timeout", "100".to_owned()));
        }
        if !self.authorities.is_empty() {
            for (file, names) in [
                ("server", ["cert-file", "key-file", "trusted-ca-file"]),
                (
                    "peer",
                    ["peer-cert-file", "peer-key-file", "peer-trusted-ca-file"],
                ),
            ] {
                let issued = self.issue(file, &format!("{file}-{number}"), &self.authorities);
                let authority = self.described(file)["authority"].as_str().unwrap();
                let trusted = self.authorities[authority].trust();
                let files = [issued.certificate, issued.key, trusted];
                flags.extend(
                    names
                        .into_iter()
                        .zip(files.map(|file| file.display().to_string())),
                );
            }
            let settings = self.layout["nodes"].as_object().unwrap().iter();
            flags.extend(settings.map(|(name, value)| {
                let value = value.as_str().unwrap();
                (name.as_str(), value.to_owned())
            }));
        }
        let pid = folder.join("pid");
        std::fs::remove_file(&pid).ok();
        let mut arguments = vec![
            "-c".to_owned(),
            r#"echo $$ >"$0"; exec "$@""#.to_owned(),
            pid.display().to_string(),
            PROGRAM.to_owned(),
        ];
        arguments.extend(
            flags
                .iter()
                .map(|(name, value)| format!("--{name}={value}")),
        );
        let child = spawn_bound_to_us(Path::new("/bin/sh"), &arguments, &folder.join("log"));
        self.nodes[number].child = Some(child);
        wait_until("etcd has its process", || {
            std::fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n'))
        });
    }

    fn signal(&self, node: usize, signal: Signal) {
        assert!(self.nodes[node].child.is_some(), "it runs");
        let pid = std::fs::read_to_string(self.path(&format!("{node}/pid"))).unwrap();
        let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// What the node answers on its port for health and metrics.
    fn ask(&self, node: usize, path: &str) -> Option<String> {
        let patience = Duration::from_secs(2);
        let mut stream = TcpStream::connect(self.nodes[node].socket(2)).ok()?;
        stream.set_read_timeout(Some(patience)).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for node in 0..self.nodes.len() {
            self.kill(node);
        }
    }
}

impl Node {
    fn socket(&self, port: usize) -> SocketAddr {
        SocketAddr::from((self.address, self.ports[port]))
    }
}
