//! What is in the simulated GitHub, and how tests change it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::app::AppKey;
use super::shapes::hash;
use super::{Answer, Call, Fault};

/// How the server takes `return_run_details`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Details {
    /// It says which run it is.
    Told,
    /// It knows no such parameter.
    Unknown,
    /// It takes no notice.
    Ignored,
}

/// Everything.
pub(crate) struct World {
    pub(crate) url: String,
    pub(crate) repos: BTreeMap<String, Repo>,
    /// Personal tokens, and whose they are.
    pub(crate) tokens: BTreeMap<String, String>,
    /// The App: its id, name and key.
    pub(crate) app: Option<(String, String, AppKey)>,
    /// Tokens of installations: for which repository, until when.
    pub(crate) installed: BTreeMap<String, (String, OffsetDateTime)>,
    pub(crate) details: Details,
    /// How long it takes until a run is in lists.
    pub(crate) lag: time::Duration,
    /// Requests left, and when there are more.
    pub(crate) left: i64,
    pub(crate) reset: OffsetDateTime,
    /// By how much this clock is ahead of the system's.
    pub(crate) ahead: time::Duration,
    pub(crate) next_id: u64,
    /// The commit that is pushed to a branch at the moment at which something is started there.
    pub(crate) pushed: Option<Value>,
    pub(crate) faults: Vec<(String, Fault)>,
    pub(crate) calls: Vec<Call>,
}

/// A repository.
#[derive(Default)]
pub(crate) struct Repo {
    /// Workflows, by ref and file.
    pub(crate) files: BTreeMap<(String, String), String>,
    /// Commits, by ref.
    pub(crate) commits: BTreeMap<String, Value>,
    pub(crate) runs: Vec<Run>,
    /// Permissions that the token lacks.
    pub(crate) lacks: Option<&'static str>,
    /// The App is not installed there.
    pub(crate) not_installed: bool,
    /// Where it is now, if it was renamed.
    pub(crate) renamed: Option<String>,
}

/// A run.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) id: u64,
    pub(crate) file: String,
    pub(crate) branch: String,
    pub(crate) sha: String,
    pub(crate) actor: String,
    pub(crate) event: String,
    pub(crate) inputs: Value,
    pub(crate) status: String,
    pub(crate) conclusion: Option<String>,
    pub(crate) attempt: u64,
    pub(crate) created: OffsetDateTime,
    pub(crate) updated: OffsetDateTime,
    pub(crate) jobs: Vec<Value>,
    pub(crate) pending: Vec<Value>,
    pub(crate) reviews: Vec<Value>,
}

impl World {
    pub(crate) fn new(url: String) -> Self {
        Self {
            url,
            repos: BTreeMap::new(),
            tokens: BTreeMap::new(),
            app: None,
            installed: BTreeMap::new(),
            details: Details::Told,
            lag: time::Duration::ZERO,
            left: 5000,
            reset: OffsetDateTime::now_utc() + time::Duration::hours(1),
            ahead: time::Duration::ZERO,
            next_id: 1000,
            pushed: None,
            faults: vec![],
            calls: vec![],
        }
    }

    pub(crate) fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc() + self.ahead
    }

    /// A repository, made where there is none.
    pub(crate) fn repo(&mut self, name: &str) -> &mut Repo {
        self.repos.entry(name.to_owned()).or_default()
    }

    /// A run of `repository`.
    pub(crate) fn run(&mut self, repository: &str, id: u64) -> &mut Run {
        let runs = &mut self.repo(repository).runs;
        runs.iter_mut().find(|run| run.id == id).unwrap()
    }

    /// Begins a run, as whoever.
    pub(crate) fn begin(
        &mut self,
        repository: &str,
        file: &str,
        branch: &str,
        actor: &str,
        event: &str,
    ) -> u64 {
        self.next_id += 1;
        let (id, now) = (self.next_id, self.now());
        let commit = self.repo(repository).commits.get(branch);
        let sha = commit.and_then(|it| it["sha"].as_str()).map(str::to_owned);
        self.repo(repository).runs.push(Run {
            id,
            file: file.to_owned(),
            branch: branch.to_owned(),
            sha: sha.unwrap_or_else(|| hash(branch)),
            actor: actor.to_owned(),
            event: event.to_owned(),
            inputs: json!({}),
            status: "queued".to_owned(),
            conclusion: None,
            attempt: 1,
            created: now,
            updated: now,
            jobs: vec![],
            pending: vec![],
            reviews: vec![],
        });
        id
    }

    /// How a run is from now on.
    pub(crate) fn advance(&mut self, repository: &str, id: u64, status: &str, how: Option<&str>) {
        let now = self.now();
        let run = self.run(repository, id);
        status.clone_into(&mut run.status);
        run.conclusion = how.map(str::to_owned);
        run.updated = now;
    }

    /// The answer to `call`, if it gets one, and after how long.
    pub(crate) fn answer(
        &mut self,
        call: &Call,
        fault: Option<Fault>,
    ) -> (Option<Answer>, Duration) {
        let at_once = Duration::ZERO;
        match fault {
            None => (Some(self.limited(call)), at_once),
            Some(Fault::Slow(wait)) => (Some(self.limited(call)), wait),
            Some(Fault::Lost) => {
                self.limited(call);
                (None, at_once)
            }
            Some(Fault::Dropped) => (None, at_once),
            Some(Fault::Status(status)) => (Some(Answer::says(status, "fault")), at_once),
            Some(Fault::Says(status, words)) => (Some(Answer::says(status, words)), at_once),
            Some(Fault::Spent(seconds)) => {
                self.left = 0;
                self.reset = self.now() + time::Duration::seconds(seconds);
                (Some(self.limited(call)), at_once)
            }
            Some(Fault::Secondary(seconds)) => {
                let words = "You have exceeded a secondary rate limit. Please wait a few minutes.";
                let mut answer = Answer::says(403, words);
                if let Some(seconds) = seconds {
                    answer.headers.push(("retry-after", seconds.to_string()));
                }
                (Some(answer), at_once)
            }
            Some(Fault::Moved(status, location)) => {
                let mut answer = Answer::says(status, "Moved Permanently");
                answer.headers.push(("location", location));
                (Some(answer), at_once)
            }
            Some(Fault::Huge(size)) => (Some(Answer::json(200, &json!("x".repeat(size)))), at_once),
            Some(Fault::Garbage) => {
                let mut answer = Answer::says(200, "");
                answer.body = b"<html>Unicorn!</html>".to_vec();
                (Some(answer), at_once)
            }
        }
    }

    /// The answer within the rate limit.
    fn limited(&mut self, call: &Call) -> Answer {
        if self.left == 0 && self.now() >= self.reset {
            self.left = 5000;
            self.reset = self.now() + time::Duration::hours(1);
        }
        let mut answer = if self.left == 0 {
            Answer::says(403, "API rate limit exceeded for user ID 1.")
        } else {
            self.left -= 1;
            let answer = self.route(call);
            let kept = call
                .headers
                .iter()
                .find(|(name, _)| name == "if-none-match");
            let etag = answer.headers.iter().find(|(name, _)| *name == "etag");
            match (kept, etag) {
                (Some((_, kept)), Some((_, etag))) if kept == etag => {
                    self.left += 1;
                    Answer::plain(304)
                }
                _ => answer,
            }
        };
        let reset = self.reset.unix_timestamp();
        for (name, value) in [("limit", 5000), ("remaining", self.left), ("reset", reset)] {
            let name = match name {
                "limit" => "x-ratelimit-limit",
                "remaining" => "x-ratelimit-remaining",
                _ => "x-ratelimit-reset",
            };
            answer.headers.push((name, value.to_string()));
        }
        answer
            .headers
            .push(("x-github-request-id", "0400:1F2:3".to_owned()));
        answer
    }
}
