//! The simulated GitHub with a repository in it, and a client of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use time::OffsetDateTime;
use vaultgram::actions::github::{Credentials, GitHub as Client, Settings};
use vaultgram::broker::ports::Clock;
use vaultgram::broker::ports::pipelines::{
    Declared, GitRef, Inputs, Repository, RunId, WorkflowFile, check,
};
use vaultgram::domain::SecretValue;

use crate::github::GitHub;

/// The token of the account `deployer`.
pub(crate) const TOKEN: &str = "github_pat_11AAAAAAA0hunter2hunter2hunter2";
pub(crate) const REPOSITORY: &str = "acme/shop";
pub(crate) const WORKFLOW: &str = "
on:
  workflow_dispatch:
    inputs:
      version: { required: true }
      colour: { type: choice, options: [blue, green], default: blue }
";

/// A clock that is ahead of the system's by as much as tests say.
#[derive(Default)]
pub(crate) struct Ahead(AtomicI64);

impl Ahead {
    pub(crate) fn set(&self, seconds: i64) {
        self.0.store(seconds, Ordering::SeqCst);
    }
}

impl Clock for Ahead {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc() + time::Duration::seconds(self.0.load(Ordering::SeqCst))
    }
}

/// GitHub with a workflow in `acme/shop`, and the token of `deployer`.
pub(crate) async fn github() -> GitHub {
    let github = GitHub::start().await;
    let mut world = github.world();
    world.tokens.insert(TOKEN.to_owned(), "deployer".to_owned());
    let files = &mut world.repo(REPOSITORY).files;
    files.insert(
        ("main".to_owned(), "deploy.yml".to_owned()),
        WORKFLOW.to_owned(),
    );
    drop(world);
    github
}

pub(crate) fn secret(text: &str) -> SecretValue {
    SecretValue::new(text.as_bytes().to_vec())
}

/// A client with `credentials`.
pub(crate) fn client_with(
    address: String,
    credentials: Credentials,
    clock: Arc<dyn Clock>,
) -> Client {
    let settings = Settings {
        address,
        credentials,
        request_timeout: Duration::from_secs(2),
        patience: Duration::from_secs(5),
    };
    Client::new(settings, clock).unwrap()
}

/// A client with the token of `deployer`.
pub(crate) fn client(github: &GitHub) -> Client {
    let credentials = Credentials::Token(secret(TOKEN));
    client_with(github.url(), credentials, Arc::new(Ahead::default()))
}

pub(crate) fn repository() -> Repository {
    Repository::new(REPOSITORY).unwrap()
}

pub(crate) fn file() -> WorkflowFile {
    WorkflowFile::new("deploy.yml").unwrap()
}

pub(crate) fn main() -> GitRef {
    GitRef::new("main").unwrap()
}

pub(crate) fn id(number: u64) -> RunId {
    RunId::new(number).unwrap()
}

/// `version=v1`, as `declared` takes it.
pub(crate) fn inputs(declared: &Declared) -> Inputs {
    check(declared, &[("version".to_owned(), "v1".to_owned())]).unwrap()
}
