//! GitHub's limits, and what is asked without counting.

use std::time::{Duration, Instant};

use time::OffsetDateTime;
use vaultgram::broker::ports::Pipelines;
use vaultgram::broker::ports::pipelines::{PipelineError, RunFilter};

use crate::github::{Fault, job};
use crate::setting::{REPOSITORY, client, github, id, repository};

/// How many seconds the error says to wait.
fn wait(error: &PipelineError) -> i64 {
    let PipelineError::RateLimited(until) = error else {
        panic!("{error:?}")
    };
    (*until - OffsetDateTime::now_utc()).whole_seconds()
}

#[tokio::test]
async fn a_short_limit_is_waited_for() {
    for fault in [Fault::Spent(1), Fault::Secondary(Some(1))] {
        let github = github().await;
        let run = github
            .world()
            .begin(REPOSITORY, "deploy.yml", "main", "octocat", "push");
        github.fault("POST", fault.clone());
        let began = Instant::now();
        client(&github)
            .cancel(&repository(), id(run))
            .await
            .unwrap();
        assert!(began.elapsed() >= Duration::from_millis(900), "{fault:?}");
        let statuses: Vec<_> = github
            .calls("POST")
            .iter()
            .map(|call| call.status)
            .collect();
        assert_eq!(
            statuses,
            [403, 202],
            "{fault:?}: it was not done the first time"
        );
    }
}

#[tokio::test]
async fn a_long_limit_is_said_at_once_and_nothing_is_asked_meanwhile() {
    for (fault, seconds) in [
        (Fault::Spent(600), 590..=600),
        (Fault::Secondary(Some(120)), 110..=120),
        (Fault::Secondary(None), 50..=60),
    ] {
        let github = github().await;
        github.fault("GET", fault.clone());
        let client = client(&github);
        for _ in 0..3 {
            let began = Instant::now();
            let error = client
                .runs(&repository(), &RunFilter::default())
                .await
                .unwrap_err();
            assert!(seconds.contains(&wait(&error)), "{fault:?}: {error}");
            assert!(error.to_string().contains("ask again then"), "{error}");
            assert!(began.elapsed() < Duration::from_secs(2), "{fault:?}");
        }
        assert_eq!(github.calls("").len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn the_last_request_is_known_to_be_the_last() {
    let github = github().await;
    github.world().left = 1;
    let client = client(&github);
    client
        .runs(&repository(), &RunFilter::default())
        .await
        .unwrap();
    let error = client
        .runs(&repository(), &RunFilter::default())
        .await
        .unwrap_err();
    assert!(wait(&error) > 3000, "{error}");
    assert_eq!(github.calls("").len(), 1);
}

#[tokio::test]
async fn a_limit_that_never_ends_is_not_asked_for_ever() {
    let github = github().await;
    for _ in 0..100 {
        github.fault("GET", Fault::Secondary(Some(0)));
    }
    let error = client(&github)
        .runs(&repository(), &RunFilter::default())
        .await
        .unwrap_err();
    assert!(matches!(error, PipelineError::RateLimited(_)), "{error:?}");
    assert!(github.calls("").len() <= 4);
}

#[tokio::test]
async fn what_has_not_changed_costs_nothing() {
    let github = github().await;
    let run = github
        .world()
        .begin(REPOSITORY, "deploy.yml", "main", "octocat", "push");
    let client = client(&github);
    let first = client.run(&repository(), id(run)).await.unwrap();
    let left = github.world().left;
    for _ in 0..5 {
        assert_eq!(client.run(&repository(), id(run)).await.unwrap(), first);
    }
    assert_eq!(github.world().left, left);
    let statuses: Vec<_> = github.calls("GET").iter().map(|call| call.status).collect();
    assert_eq!(statuses, [200, 304, 304, 304, 304, 304]);
    github.world().advance(REPOSITORY, run, "in_progress", None);
    assert_ne!(client.run(&repository(), id(run)).await.unwrap(), first);
    assert_eq!(github.world().left, left - 1);
}

#[tokio::test]
async fn pages_that_have_not_changed_still_lead_on() {
    let github = github().await;
    let run = github
        .world()
        .begin(REPOSITORY, "deploy.yml", "main", "octocat", "push");
    // A hundred runs are more than is kept, as GitHub tells them; jobs are not.
    let jobs = (1..=150).map(|id| job(id, "test", "completed", Some("skipped"), &[]));
    github.world().run(REPOSITORY, run).jobs = jobs.collect();
    let client = client(&github);
    for _ in 0..2 {
        let jobs = client.jobs(&repository(), id(run)).await.unwrap();
        assert_eq!(jobs.len(), 150);
    }
    let statuses: Vec<_> = github.calls("GET").iter().map(|call| call.status).collect();
    assert_eq!(statuses, [200, 200, 304, 304]);
}
