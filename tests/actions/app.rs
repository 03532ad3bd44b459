//! As a GitHub App: it proves who it is, and has a token for each repository.

use std::sync::Arc;

use vaultgram::actions::github::{Credentials, GitHub as Client};
use vaultgram::broker::ports::Pipelines;
use vaultgram::broker::ports::pipelines::{PipelineError, Repository, RunFilter};
use vaultgram::domain::SecretValue;

use crate::github::{AppKey, Details, Fault, GitHub};
use crate::setting::{Ahead, REPOSITORY, client_with, file, github, id, inputs, main, repository};

const TOKENS: &str = "POST /app/installations/4711/access_tokens";

/// A GitHub that knows an App, and a client that is it.
pub(crate) struct Setting {
    pub(crate) github: GitHub,
    pub(crate) client: Client,
    clock: Arc<Ahead>,
}

fn client_of(github: &GitHub, clock: &Arc<Ahead>, key: Vec<u8>) -> Client {
    let app = Credentials::App {
        id: "Iv23liHunter2".to_owned(),
        key: SecretValue::new(key),
    };
    client_with(github.url(), app, clock.clone())
}

pub(crate) async fn setting() -> Setting {
    let github = github().await;
    let key = AppKey::new();
    let clock = Arc::new(Ahead::default());
    let client = client_of(&github, &clock, key.pem.clone());
    let app = ("Iv23liHunter2".to_owned(), "vaultgram".to_owned(), key);
    github.world().app = Some(app);
    Setting {
        github,
        client,
        clock,
    }
}

impl Setting {
    async fn ask(&self, repository: &Repository) -> Result<usize, PipelineError> {
        let runs = self.client.runs(repository, &RunFilter::default()).await;
        runs.map(|runs| runs.len())
    }

    fn later(&self, seconds: i64) {
        self.clock.set(seconds);
        self.github.world().ahead = time::Duration::seconds(seconds);
    }
}

#[tokio::test]
async fn a_token_is_got_once_and_replaced_before_its_end() {
    let setting = setting().await;
    let other = Repository::new("acme/other").unwrap();
    setting.github.world().repo("acme/other");
    for _ in 0..3 {
        setting.ask(&repository()).await.unwrap();
    }
    assert_eq!(setting.github.calls(TOKENS).len(), 1);
    let wanted = serde_json::json!({"repositories": ["shop"]});
    assert_eq!(setting.github.calls(TOKENS)[0].body, wanted);
    setting.ask(&other).await.unwrap();
    assert_eq!(
        setting.github.calls(TOKENS).len(),
        2,
        "each is good for one repository"
    );
    setting.later(58 * 60);
    setting.ask(&repository()).await.unwrap();
    assert_eq!(setting.github.calls(TOKENS).len(), 2);
    setting.later(59 * 60 + 1);
    setting.ask(&repository()).await.unwrap();
    assert_eq!(setting.github.calls(TOKENS).len(), 3);
}

#[tokio::test]
async fn many_at_once_get_one_token() {
    let setting = setting().await;
    let repository = repository();
    let asks = (0..20).map(|_| setting.ask(&repository));
    for asked in futures_util::future::join_all(asks).await {
        asked.unwrap();
    }
    assert_eq!(setting.github.calls(TOKENS).len(), 1);
}

#[tokio::test]
async fn a_limit_is_that_of_the_installation() {
    let setting = setting().await;
    let other = Repository::new("acme/other").unwrap();
    let elsewhere = Repository::new("example/site").unwrap();
    setting.github.world().repo("acme/other");
    setting.github.world().repo("example/site");
    for repository in [&repository(), &other, &elsewhere] {
        setting.ask(repository).await.unwrap();
    }
    setting
        .github
        .fault("/actions/runs", Fault::Secondary(Some(600)));
    for repository in [&repository(), &other] {
        let asked = setting.ask(repository).await;
        assert!(
            matches!(asked, Err(PipelineError::RateLimited(_))),
            "{repository}: {asked:?}"
        );
    }
    let asked = setting.github.calls("acme/other/actions/runs").len();
    assert_eq!(asked, 1, "it is the same installation");
    assert_eq!(setting.ask(&elsewhere).await, Ok(0), "it is another one");
}

#[tokio::test]
async fn a_revoked_token_is_replaced_once() {
    let setting = setting().await;
    setting.ask(&repository()).await.unwrap();
    setting.github.world().installed.clear();
    setting.ask(&repository()).await.unwrap();
    assert_eq!(setting.github.calls(TOKENS).len(), 2);
    for _ in 0..9 {
        setting.github.fault("/actions/runs", Fault::Status(401));
    }
    assert_eq!(
        setting.ask(&repository()).await,
        Err(PipelineError::LoggedOut)
    );
    assert_eq!(setting.github.calls(TOKENS).len(), 3);
}

#[tokio::test]
async fn getting_a_token_is_tried_again() {
    let setting = setting().await;
    setting.github.fault("/installation", Fault::Status(502));
    setting.github.fault(TOKENS, Fault::Lost);
    setting.ask(&repository()).await.unwrap();
    assert_eq!(setting.github.calls(TOKENS).len(), 2);
}

#[tokio::test]
async fn where_the_app_is_not_installed_that_is_said() {
    let setting = setting().await;
    setting.github.world().repo(REPOSITORY).not_installed = true;
    let error = setting.ask(&repository()).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("installation of vaultgram's GitHub App"),
        "{error}"
    );
}

#[tokio::test]
async fn a_key_of_another_app_is_not_let_in_and_another_notation_is() {
    let setting = setting().await;
    let wrong = client_of(&setting.github, &setting.clock, AppKey::new().pem);
    let runs = wrong.runs(&repository(), &RunFilter::default()).await;
    assert_eq!(runs, Err(PipelineError::LoggedOut));
    let pkcs8 = setting.github.world().app.as_ref().unwrap().2.pkcs8.clone();
    let same = client_of(&setting.github, &setting.clock, pkcs8);
    assert!(
        same.runs(&repository(), &RunFilter::default())
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_run_of_the_app_is_found_by_its_name() {
    let setting = setting().await;
    setting.github.world().details = Details::Ignored;
    let client = &setting.client;
    let declared = client
        .workflow(&repository(), &file(), &main())
        .await
        .unwrap();
    let given = inputs(&declared);
    let run = client
        .dispatch(&repository(), &file(), &main(), &given)
        .await
        .unwrap();
    let run = client.run(&repository(), id(run.get())).await.unwrap();
    assert_eq!(run.actor.as_deref(), Some("vaultgram[bot]"));
    let lists = setting.github.calls("actor=vaultgram%5Bbot%5D");
    assert!(!lists.is_empty());
}
