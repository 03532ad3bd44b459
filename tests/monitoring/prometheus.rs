//! Prometheus, Alertmanager and promtool, as Debian has them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

use serde_json::Value;

use crate::openbao::{bao, free_port, spawn_bound_to_us, wait_until};
use crate::{project, world::World};

/// How often Prometheus scrapes and evaluates.
const INTERVAL: &str = "1s";

/// One of the programs that `make tools` installs.
pub(crate) fn program(name: &str) -> PathBuf {
    let program = bao().with_file_name(name);
    let missing = format!("{} is missing; run: make tools", program.display());
    assert!(program.exists(), "{missing}");
    program
}

pub(crate) fn promtool(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(program("promtool"))
        .args(arguments)
        .current_dir(project("monitoring/rules"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// A server that scrapes a [`World`]. Ends with this value.
pub(crate) struct Prometheus {
    address: String,
    _children: Vec<Child>,
}

impl Prometheus {
    /// One that scrapes `world`.
    pub(crate) fn start(world: &World) -> Self {
        Self::start_with(world, "", vec![])
    }

    /// One that also evaluates the project's rules, where trouble need not last: every `for` is a
    /// second, and no expression is changed. It has an Alertmanager tell `hook` at once.
    pub(crate) fn start_with_alerts(world: &World, hook: &str) -> Self {
        let rules = crate::text("monitoring/rules/vaultgram.yml");
        let hurried = rules.lines().map(|line| match line.split_once("for: ") {
            Some((before, _)) => format!("{before}for: 1s\n"),
            None => format!("{line}\n"),
        });
        let folder = world.stage.directory.path();
        std::fs::write(folder.join("rules.yml"), hurried.collect::<String>()).unwrap();
        let config = format!(
            "route: {{receiver: hook, group_by: [alertname], group_wait: 0s, group_interval: 1s}}\n\
             receivers: [{{name: hook, webhook_configs: [{{url: \"{hook}\"}}]}}]\n"
        );
        std::fs::write(folder.join("alertmanager.yml"), config).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let child = run(
            folder,
            "alertmanager",
            &[
                format!("--config.file={}/alertmanager.yml", folder.display()),
                format!("--storage.path={}/alertmanager", folder.display()),
                format!("--web.listen-address={address}"),
                "--cluster.listen-address=".to_owned(),
            ],
        );
        wait_until("Alertmanager is ready", || {
            get(&format!("http://{address}/-/ready"), &[]).is_some()
        });
        let alerting = format!(
            "rule_files: [rules.yml]\nalerting: {{alertmanagers: [{{static_configs: [{{targets: [\"{address}\"]}}]}}]}}\n"
        );
        Self::start_with(world, &alerting, vec![child])
    }

    fn start_with(world: &World, alerting: &str, mut children: Vec<Child>) -> Self {
        let folder = world.stage.directory.path();
        let (target, tls) = (&world.metrics, &world.scraper);
        let config = format!(
            "global: {{scrape_interval: {INTERVAL}, scrape_timeout: {INTERVAL}, evaluation_interval: {INTERVAL}}}\n\
             scrape_configs:\n  - job_name: vaultgram\n    scheme: https\n    tls_config:\n      \
             ca_file: {}\n      cert_file: {}\n      key_file: {}\n    \
             static_configs: [{{targets: [\"{target}\"]}}]\n{alerting}",
            world.authority.display(),
            tls.certificate.display(),
            tls.key.display(),
        );
        std::fs::write(folder.join("prometheus.yml"), config).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let child = run(
            folder,
            "prometheus",
            &[
                format!("--config.file={}/prometheus.yml", folder.display()),
                format!("--storage.tsdb.path={}/prometheus", folder.display()),
                format!("--web.listen-address={address}"),
            ],
        );
        children.push(child);
        let prometheus = Self {
            address,
            _children: children,
        };
        wait_until("Prometheus scrapes vaultgram", || {
            let found = prometheus.query("up{job=\"vaultgram\"}");
            found.is_some_and(|found| found.iter().any(|value| *value > 0.0))
        });
        prometheus
    }

    /// The values that `expression` has now; `None` where it cannot be evaluated.
    pub(crate) fn query(&self, expression: &str) -> Option<Vec<f64>> {
        let url = format!("http://{}/api/v1/query", self.address);
        let query = format!("query={expression}");
        let answer = get(&url, &["--data-urlencode", &query])?;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let found = answer["data"]["result"].as_array()?;
        let value = |found: &Value| found["value"][1].as_str().unwrap().parse().unwrap();
        Some(found.iter().map(value).collect())
    }
}

fn run(folder: &Path, name: &str, arguments: &[String]) -> Child {
    let log = folder.join(format!("{name}.log"));
    spawn_bound_to_us(&program(name), arguments, &log)
}

/// What a `GET` with these further arguments of curl is answered; `None` where it fails.
fn get(url: &str, arguments: &[&str]) -> Option<String> {
    let ran = Command::new("curl")
        .args(["--silent", "--fail", "--max-time", "10", "--get"])
        .args(arguments)
        .arg(url)
        .output()
        .unwrap();
    let text = String::from_utf8(ran.stdout).unwrap();
    ran.status.success().then_some(text)
}
