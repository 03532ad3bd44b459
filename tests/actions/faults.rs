//! Everything that goes wrong on the way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use vaultgram::actions::github::Credentials;
use vaultgram::broker::ports::Pipelines;
use vaultgram::broker::ports::pipelines::{Inputs, PipelineError, RunFilter};

use crate::github::{Fault, GitHub};
use crate::setting::{
    Ahead, REPOSITORY, TOKEN, client, client_with, file, github, id, inputs, main, repository,
    secret,
};

const GET: &str = "GET /repos/acme/shop/contents";

#[tokio::test]
async fn what_can_be_asked_again_is() {
    for fault in [
        Fault::Status(500),
        Fault::Status(502),
        Fault::Status(503),
        Fault::Dropped,
        Fault::Lost,
        Fault::Slow(Duration::from_secs(3)),
    ] {
        let github = github().await;
        github.fault(GET, fault.clone());
        let declared = client(&github)
            .workflow(&repository(), &file(), &main())
            .await;
        assert_eq!(declared.map(|it| it.inputs.len()), Ok(2), "{fault:?}");
        assert_eq!(github.calls(GET).len(), 2, "{fault:?}");
    }
}

#[tokio::test]
async fn after_a_few_tries_it_is_given_up() {
    let github = github().await;
    for _ in 0..10 {
        github.fault(GET, Fault::Status(503));
    }
    let error = client(&github)
        .workflow(&repository(), &file(), &main())
        .await
        .unwrap_err();
    assert_eq!(error, PipelineError::Unavailable);
    assert_eq!(github.calls(GET).len(), 4);
}

#[tokio::test]
async fn nobody_waits_longer_than_the_patience() {
    let github = github().await;
    for _ in 0..4 {
        github.fault("GET", Fault::Slow(Duration::from_mins(1)));
    }
    let began = Instant::now();
    let error = client(&github)
        .runs(&repository(), &RunFilter::default())
        .await
        .unwrap_err();
    assert_eq!(error, PipelineError::Unavailable);
    assert!(
        began.elapsed() < Duration::from_secs(7),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn what_changes_something_is_asked_once() {
    for (fault, error) in [
        (Fault::Status(502), PipelineError::Unclear),
        (Fault::Dropped, PipelineError::Unclear),
        (Fault::Lost, PipelineError::Unclear),
        (Fault::Slow(Duration::from_secs(3)), PipelineError::Unclear),
        (Fault::Huge(5 << 20), PipelineError::Unclear),
    ] {
        let github = github().await;
        let run = github
            .world()
            .begin(REPOSITORY, "deploy.yml", "main", "octocat", "push");
        github.fault("POST", fault.clone());
        let cancelled = client(&github).cancel(&repository(), id(run)).await;
        assert_eq!(cancelled, Err(error), "{fault:?}");
        assert_eq!(github.calls("POST").len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    let url = github().await.url();
    let token = Credentials::Token(secret(TOKEN));
    let client = client_with(url, token, Arc::new(Ahead::default()));
    let cancelled = client.cancel(&repository(), id(1)).await;
    assert_eq!(cancelled, Err(PipelineError::Unavailable));
    let run = client
        .dispatch(&repository(), &file(), &main(), &Inputs::default())
        .await;
    assert_eq!(run, Err(PipelineError::Unavailable));
}

#[tokio::test]
async fn answers_that_are_none_are_not_believed() {
    for fault in [Fault::Huge(5 << 20), Fault::Garbage] {
        let github = github().await;
        github.fault("GET", fault.clone());
        let runs = client(&github)
            .runs(&repository(), &RunFilter::default())
            .await;
        assert_eq!(runs, Err(PipelineError::Invalid), "{fault:?}");
    }
}

#[tokio::test]
async fn who_lacks_a_permission_is_told_which() {
    let github = github().await;
    let run = github
        .world()
        .begin(REPOSITORY, "deploy.yml", "main", "octocat", "push");
    github.world().repo(REPOSITORY).lacks = Some("actions=write");
    let client = client(&github);
    let error = client.cancel(&repository(), id(run)).await.unwrap_err();
    assert_eq!(
        error,
        PipelineError::Forbidden(Some("actions=write".to_owned()))
    );
    let error = client
        .runs(&repository(), &RunFilter::default())
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("needs the permission actions=write"),
        "{error}"
    );
    github.world().tokens.clear();
    let error = client
        .runs(&repository(), &RunFilter::default())
        .await
        .unwrap_err();
    assert_eq!(error, PipelineError::LoggedOut);
}

#[tokio::test]
async fn a_renamed_repository_is_followed() {
    let github = github().await;
    let mut world = github.world();
    let files = world.repo(REPOSITORY).files.clone();
    world.repo("acme/store").files = files;
    world.repo(REPOSITORY).renamed = Some("acme/store".to_owned());
    drop(world);
    let client = client(&github);
    let declared = client
        .workflow(&repository(), &file(), &main())
        .await
        .unwrap();
    let given = inputs(&declared);
    let run = client
        .dispatch(&repository(), &file(), &main(), &given)
        .await
        .unwrap();
    let mut world = github.world();
    let runs: Vec<_> = world
        .repo("acme/store")
        .runs
        .iter()
        .map(|run| run.id)
        .collect();
    assert_eq!(runs, [run.get()]);
}

#[tokio::test]
async fn a_redirect_leads_nowhere_else_and_takes_no_token_there() {
    let github = github().await;
    let elsewhere = GitHub::start().await;
    let port = elsewhere.url();
    let port = port.rsplit(':').next().unwrap();
    for location in [
        format!("{}/repos/acme/shop/actions/runs", elsewhere.url()),
        format!("//127.0.0.1:{port}/repos"),
        format!("http://me@{}/repos", &github.url()["http://".len()..]),
        format!("https://{}/repos", &github.url()["http://".len()..]),
        String::new(),
    ] {
        github.fault("GET", Fault::Moved(302, location.clone()));
        let runs = client(&github)
            .runs(&repository(), &RunFilter::default())
            .await;
        assert_eq!(
            runs.map(|it| it.len()),
            Err(PipelineError::Moved),
            "{location}"
        );
    }
    assert!(elsewhere.calls("").is_empty());
    // What would make a reading of a writing is not followed either.
    github.fault("POST", Fault::Moved(302, format!("{}/user", github.url())));
    let cancelled = client(&github).cancel(&repository(), id(1)).await;
    assert_eq!(cancelled, Err(PipelineError::Moved));
    for _ in 0..9 {
        github.fault("GET", Fault::Moved(301, format!("{}/user", github.url())));
    }
    let runs = client(&github)
        .runs(&repository(), &RunFilter::default())
        .await;
    assert_eq!(runs, Err(PipelineError::Moved), "in circles");
}

#[tokio::test]
async fn an_enterprise_server_is_spoken_to_below_its_path() {
    let github = github().await;
    let address = format!("{}/api/v3/", github.url());
    let token = Credentials::Token(secret(TOKEN));
    let client = client_with(address, token, Arc::new(Ahead::default()));
    let declared = client
        .workflow(&repository(), &file(), &main())
        .await
        .unwrap();
    let given = inputs(&declared);
    client
        .dispatch(&repository(), &file(), &main(), &given)
        .await
        .unwrap();
    let calls = github.calls("");
    assert!(
        calls
            .iter()
            .all(|call| call.target.starts_with("/api/v3/repos/acme/shop/"))
    );
    let elsewhere = format!("{}/admin", github.url());
    github.fault("GET", Fault::Moved(301, elsewhere));
    let runs = client.runs(&repository(), &RunFilter::default()).await;
    assert_eq!(runs, Err(PipelineError::Moved));
}
