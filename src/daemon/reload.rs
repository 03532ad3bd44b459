//! Reads what decides who gets what again: when it changes, and on SIGHUP.
//!
//! A good set of policies, groups and people replaces the one in force in one step. A bad one
//! changes nothing: it is logged, counted, shown, and told to the administrators. Files are looked
//! at rather than watched, so that every way to replace them is noticed alike: written in place,
//! renamed into place, or a link that is turned to another folder, as Kubernetes does it.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::broker::Broker;
use crate::config::{self, ConfigError, HangsOn, RulesConfig};
use crate::daemon::notify::Notifier;
use crate::http::Attestor;
use crate::telemetry::metrics::{POLICY_OUTDATED, POLICY_RELOADS};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// What a file shows of its content without being read.
type Stamp = (u64, u64, u64, i64, i64, i64, i64);

/// How the files are that decide who gets what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen(BTreeMap<PathBuf, Option<Stamp>>);

impl Seen {
    /// Looks at what `file` names.
    pub(super) fn now(file: &std::path::Path) -> Self {
        Self::of(&config::watched(file))
    }

    /// Looks at `roots`, and into those that are folders.
    fn of(roots: &[PathBuf]) -> Self {
        let inside = roots.iter().flat_map(|root| config::policies_in(root));
        let all: Vec<PathBuf> = roots.iter().cloned().chain(inside).collect();
        let stamped = all.into_iter().map(|path| {
            let stamp = path.metadata().ok().map(|it| {
                let changed = (it.ctime(), it.ctime_nsec());
                let (written, nanoseconds) = (it.mtime(), it.mtime_nsec());
                (
                    it.dev(),
                    it.ino(),
                    it.size(),
                    written,
                    nanoseconds,
                    changed.0,
                    changed.1,
                )
            });
            (path, stamp)
        });
        Self(stamped.collect())
    }
}

/// What one round found.
struct Read {
    seen: Seen,
    roots: Vec<PathBuf>,
    rules: Result<RulesConfig, ConfigError>,
    /// A hash of each section that is not read again.
    others: BTreeMap<String, [u8; 32]>,
}

impl Read {
    /// Reads all there is. The look comes first, so that what is written meanwhile shows later.
    fn from(file: &std::path::Path) -> Self {
        let roots = config::watched(file);
        Self {
            seen: Seen::of(&roots),
            rules: RulesConfig::load(file),
            others: config::other_sections(file).unwrap_or_default(),
            roots,
        }
    }
}

/// Keeps the policy in force the one in the files.
pub(super) struct Reloader {
    file: PathBuf,
    broker: Arc<Broker>,
    attestor: Attestor,
    asked: Arc<Notify>,
    /// As at the start, which is what runs.
    hangs_on: HangsOn,
    others: BTreeMap<String, [u8; 32]>,
    /// Of what is in force.
    hash: String,
    roots: Vec<PathBuf>,
    seen: Seen,
    /// Seen once, and perhaps still being written.
    settling: Option<Seen>,
    /// The last problem, which is not said again.
    problem: Option<String>,
    /// The sections that were said to need a restart.
    waiting: Vec<String>,
}

impl Reloader {
    /// `seen`: how the files were before they were read for `hash` and `hangs_on`.
    pub(super) fn new(
        file: PathBuf,
        seen: Seen,
        (hash, hangs_on): (String, HangsOn),
        broker: Arc<Broker>,
        attestor: Attestor,
    ) -> Self {
        Self {
            others: config::other_sections(&file).unwrap_or_default(),
            roots: config::watched(&file),
            file,
            broker,
            attestor,
            asked: Arc::default(),
            hangs_on,
            hash,
            seen,
            settling: None,
            problem: None,
            waiting: vec![],
        }
    }

    /// The name of the policy in force.
    pub(super) fn hash(&self) -> &str {
        &self.hash
    }

    /// Asks for a round at once. However often before it begins, it is one.
    pub(super) fn asked(&self) -> Arc<Notify> {
        Arc::clone(&self.asked)
    }

    /// Keeps looking until `stop`.
    pub(super) async fn run(mut self, notifier: Arc<Notifier>, stop: CancellationToken) {
        gauge!(POLICY_OUTDATED).set(0.0);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.asked.notified() => {
                    notifier.reloading();
                    let said = self.round().await;
                    notifier.reloaded(&said);
                }
                () = sleep(LOOK) => if self.has_changed().await {
                    self.round().await;
                },
            }
        }
    }

    /// Whether the files changed, and then stayed as they are from one look to the next: what is
    /// still being written may be a policy with its end cut off.
    async fn has_changed(&mut self) -> bool {
        let roots = self.roots.clone();
        let Ok(now) = tokio::task::spawn_blocking(move || Seen::of(&roots)).await else {
            return false;
        };
        if now == self.seen {
            self.settling = None;
            return false;
        }
        let settled = self.settling.as_ref() == Some(&now);
        self.settling = Some(now);
        settled
    }

    /// Reads, and puts in force what is good; what came of it, in a line.
    async fn round(&mut self) -> String {
        let file = self.file.clone();
        let Ok(read) = tokio::task::spawn_blocking(move || Read::from(&file)).await else {
            return "Nothing was reloaded".to_owned();
        };
        self.settling = None;
        self.roots = read.roots;
        let rules = match read.rules {
            Ok(rules) => rules,
            Err(error) => {
                self.seen = read.seen;
                return self.keep(error.to_string());
            }
        };
        let differing = rules.hangs_on.differs(&self.hangs_on);
        if !differing.is_empty() {
            self.seen = read.seen;
            return self.keep(format!(
                "{}: {} changed, and the policy hangs on it; restart vaultgram",
                self.file.display(),
                differing.join(", ")
            ));
        }
        let (count, hashes) = (rules.policy.len(), rules.policy.speaks_of_hashes());
        if rules.hash == self.hash {
            self.broker.policy_is_current();
            count_round("unchanged");
        } else {
            // Before it is in force, so that no request lacks what it asks for.
            if hashes {
                self.attestor.with_hashes();
            }
            if let Err(error) = self.broker.replace_policy(rules.policy, &rules.hash).await {
                // Seen again at the next look, and so tried again.
                tracing::error!(event = "policy.not_recorded", %error);
                return "The policy was not reloaded: the audit cannot record it".to_owned();
            }
            tracing::info!(event = "policy.loaded", policies = count, hash = rules.hash);
            self.hash = rules.hash;
            count_round("loaded");
        }
        gauge!(POLICY_OUTDATED).set(0.0);
        self.seen = read.seen;
        self.problem = None;
        let others = self.need_restart(&read.others);
        format!("{count} policies in force{others}")
    }

    /// Says what is wrong, once, and leaves all as it is.
    fn keep(&mut self, problem: String) -> String {
        count_round("refused");
        gauge!(POLICY_OUTDATED).set(1.0);
        if self.problem.as_ref() != Some(&problem) {
            for problem in problem.lines() {
                tracing::error!(
                    event = "policy.refused",
                    problem,
                    hint = "the policy of before stays in force"
                );
            }
            self.problem = Some(problem.clone());
        }
        self.broker.keep_policy(problem);
        "The policy was not reloaded, something is wrong with it; see the log".to_owned()
    }

    /// Says which other sections changed since the start.
    fn need_restart(&mut self, others: &BTreeMap<String, [u8; 32]>) -> String {
        let names = others.keys().chain(self.others.keys());
        let changed = names.filter(|name| others.get(*name) != self.others.get(*name));
        let mut changed: Vec<String> = changed.map(|name| format!("[{name}]")).collect();
        changed.sort();
        changed.dedup();
        if changed.is_empty() {
            self.waiting = changed;
            return String::new();
        }
        let sections = changed.join(", ");
        if self.waiting != changed {
            tracing::warn!(
                event = "daemon.needs_restart",
                sections,
                hint = "only policies, groups and people are read again; restart vaultgram"
            );
            self.waiting = changed;
        }
        format!("; {sections} changed, which needs a restart")
    }
}

fn count_round(result: &'static str) {
    counter!(POLICY_RELOADS, "result" => result).increment(1);
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_way_to_replace_a_policy_shows() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("vaultgram.toml"), "[policy]\nfiles = [\"p\"]\n").unwrap();
        for version in ["v1", "v2"] {
            std::fs::create_dir_all(path("p").join(version)).unwrap();
            std::fs::write(path("p").join(version).join("a.cedar"), version).unwrap();
        }
        let turn = |to: &str| {
            symlink(to, path("p/..new")).unwrap();
            std::fs::rename(path("p/..new"), path("p/..data")).unwrap();
        };
        turn("v1");
        symlink("..data/a.cedar", path("p/a.cedar")).unwrap();
        let mut last = Seen::now(&path("vaultgram.toml"));
        let mut differs = |what: &str| {
            let now = Seen::now(&path("vaultgram.toml"));
            assert_ne!(now, last, "{what}");
            last = now.clone();
            assert_eq!(Seen::now(&path("vaultgram.toml")), now, "{what}");
        };
        turn("v2");
        differs("a link turned");
        std::fs::write(path("p/v2/a.cedar"), "v3").unwrap();
        differs("written in place, as long as before");
        std::fs::write(path("p/b.cedar~"), "x").unwrap();
        std::fs::rename(path("p/b.cedar~"), path("p/b.cedar")).unwrap();
        differs("renamed into place");
        std::fs::remove_file(path("p/b.cedar")).unwrap();
        differs("removed");
        std::fs::write(path("vaultgram.toml"), "[policy]\nfiles = [\"q\"]\n").unwrap();
        differs("the configuration");
        std::fs::write(path("q"), "").unwrap();
        differs("a file that was not there");
    }
}
