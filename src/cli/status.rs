//! `vaultgram status`: whether a running vaultgram can serve, whom it takes you for, and who else is
//! there.

use std::collections::BTreeMap;
use std::io::Write;

use clap::{Args, ValueEnum};
use hyper::StatusCode;
use serde::Serialize;

use crate::api::{Envelope, Health, HealthCheck, HealthReport, PeerInfo};
use crate::cli::cluster;
use crate::cli::common::Common;
use crate::cli::exit::{Exit, Failure};
use crate::cli::secret::not_understood;
use crate::cli::show;
use crate::domain::signs::one_line;

/// What the store's state is called when secrets can be read.
const READY: &str = "ready";
/// What the state is called of what is as it should be.
const WELL: &str = "ok";

/// What the policy is called when something is wrong with the one that should be in force.
const OUTDATED: &str = "outdated";

/// Arguments of `status`.
#[derive(Debug, Args)]
#[command(after_help = "\
What is said of you is what policies see: who asks is the kernel's word.

Examples:
  vaultgram status
  vaultgram status --json | jq -r .caller.uid
  vaultgram status --cluster
  vaultgram status --probe ready

Exit codes: 0 ready (--probe live: it answers), 69 not available or not ready, 75 try again, 77 denied.")]
pub struct StatusArgs {
    /// Show the replicas that share the state, and the etcd they share it in
    #[arg(long)]
    pub cluster: bool,
    /// Say only whether it answers (live), or can serve secrets (ready), as probes want to know
    #[arg(long, value_name = "WHAT", conflicts_with = "cluster")]
    pub probe: Option<Probe>,
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
}

/// What probes ask (docs/health.md).
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Probe {
    /// Whether it answers
    Live,
    /// Whether secrets can be served
    Ready,
}

impl Probe {
    /// Where that is asked, and what is said when it is so.
    fn place(self) -> (&'static str, &'static str) {
        match self {
            Self::Live => ("/healthz", "live"),
            Self::Ready => ("/readyz", "ready"),
        }
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    socket: &'a str,
    store: &'a str,
    store_version: &'a str,
    sealed: bool,
    policy: &'a str,
    state: Option<&'a str>,
    checks: &'a [HealthCheck],
    caller: &'a BTreeMap<String, String>,
}

/// Prints the state of things to `out`, in `color`.
///
/// # Errors
/// With the exit codes that `vaultgram status --help` lists.
pub async fn run(arguments: &StatusArgs, out: &mut dyn Write, color: bool) -> Result<(), Failure> {
    if arguments.cluster {
        return cluster::run(&arguments.common, out, color).await;
    }
    if let Some(probe) = arguments.probe {
        return run_probe(probe, &arguments.common, out).await;
    }
    let socket = arguments.common.socket()?;
    let health = socket.get("/v1/sys/health").await?;
    let health: Health = serde_json::from_slice(&health.body).map_err(|_| not_understood())?;
    let report = socket.get("/health").await?;
    // A job elsewhere is told nothing about the host.
    let told = report.status != StatusCode::FORBIDDEN;
    let report = told.then(|| serde_json::from_slice(&report.body));
    let report: Option<HealthReport> = report.transpose().map_err(|_| not_understood())?;
    let caller = socket.get("/v1/auth/token/lookup-self").await?;
    if caller.status != StatusCode::OK {
        return Err(caller.failure());
    }
    let caller: Envelope<PeerInfo> =
        serde_json::from_slice(&caller.body).map_err(|_| not_understood())?;
    let path = arguments.common.path().display().to_string();
    let printed = Printed {
        socket: &path,
        store: &health.store,
        store_version: &health.version,
        sealed: health.sealed,
        policy: &health.policy,
        state: report.as_ref().map(|report| report.state.as_str()),
        checks: report.as_ref().map_or(&[], |report| &report.checks),
        caller: &caller.data.meta,
    };
    if arguments.common.json {
        show::json(&printed, out)?;
    } else {
        show::write(described(&printed).as_bytes(), out)?;
    }
    if health.store == READY {
        return Ok(());
    }
    let what = format!(
        "vaultgram answers, but its store is {}",
        one_line(&health.store)
    );
    Err(Failure::new(Exit::Unavailable, what).hint("`vaultgram doctor` tells what is wrong"))
}

async fn run_probe(probe: Probe, common: &Common, out: &mut dyn Write) -> Result<(), Failure> {
    let (place, well) = probe.place();
    let answer = common.socket()?.get(place).await?;
    if answer.status != StatusCode::OK {
        let said = one_line(String::from_utf8_lossy(&answer.body).trim());
        return Err(Failure::new(Exit::Unavailable, said));
    }
    show::either(common.json, &serde_json::json!({"state": well}), well, out)
}

/// The state, and what is not as it should be.
fn health(state: &str, printed: &Printed<'_>) -> String {
    let ill = printed.checks.iter().filter(|check| check.state != WELL);
    let ill: Vec<_> = ill
        .map(|check| format!("{} {}", one_line(&check.name), one_line(&check.text)))
        .collect();
    if ill.is_empty() {
        return one_line(state);
    }
    format!("{}: {}", one_line(state), ill.join("; "))
}

fn described(printed: &Printed<'_>) -> String {
    let version = match printed.store_version {
        "" => String::new(),
        version => format!(" (version {})", one_line(version)),
    };
    let mut lines = vec![
        ("socket", one_line(printed.socket)),
        ("store", format!("{}{version}", one_line(printed.store))),
    ];
    if let Some(state) = printed.state {
        lines.push(("health", health(state, printed)));
    }
    if printed.policy == OUTDATED {
        let what = "older than its files, in which something is wrong; `vaultgram policy validate`";
        lines.push(("policy", what.to_owned()));
    }
    let caller = printed.caller.iter();
    lines.extend(caller.map(|(name, value)| (name.as_str(), one_line(value))));
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = lines
        .iter()
        .map(|(name, value)| format!("{name:width$}  {value}\n"));
    lines.collect()
}
