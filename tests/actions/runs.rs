//! Runs and their jobs: watched, run again, stopped, agreed to.

use time::OffsetDateTime;
use vaultgram::broker::ports::Pipelines;
use vaultgram::broker::ports::pipelines::{
    Outcome, PipelineError, Review, RunFilter, State, WorkflowFile,
};

use crate::github::{job, pending};
use crate::setting::{REPOSITORY, client, file, github, id, main, repository};

#[tokio::test]
async fn a_run_is_followed_from_its_beginning_to_its_end() {
    let github = github().await;
    let number = github
        .world()
        .begin(REPOSITORY, "deploy.yml", "main", "octocat", "push");
    let client = client(&github);
    let run = client.run(&repository(), id(number)).await.unwrap();
    assert_eq!(
        (run.state, run.path.as_str()),
        (State::Queued, ".github/workflows/deploy.yml")
    );
    assert_eq!(
        (run.branch.as_deref(), run.actor.as_deref()),
        (Some("main"), Some("octocat"))
    );
    assert_eq!((run.event.as_str(), run.attempt), ("push", 1));
    assert!(
        run.url
            .ends_with(&format!("/acme/shop/actions/runs/{number}"))
    );
    for (status, conclusion, state) in [
        ("pending", None, State::Queued),
        ("waiting", None, State::Waiting),
        ("in_progress", None, State::Running),
        ("completed", Some("success"), State::Done(Outcome::Success)),
        ("completed", Some("failure"), State::Done(Outcome::Failure)),
        (
            "completed",
            Some("startup_failure"),
            State::Done(Outcome::Failure),
        ),
        (
            "completed",
            Some("timed_out"),
            State::Done(Outcome::TimedOut),
        ),
        ("completed", Some("splendid"), State::Done(Outcome::Unknown)),
        ("completed", None, State::Done(Outcome::Unknown)),
        ("levitating", None, State::Queued),
    ] {
        github
            .world()
            .advance(REPOSITORY, number, status, conclusion);
        let run = client.run(&repository(), id(number)).await.unwrap();
        assert_eq!(run.state, state, "{status} {conclusion:?}");
    }
    let error = client.run(&repository(), id(1)).await.unwrap_err();
    assert_eq!(error, PipelineError::NotFound("run"));
}

#[tokio::test]
async fn runs_are_listed_page_by_page_and_not_without_end() {
    let github = github().await;
    for number in 0..350 {
        let branch = if number % 2 == 0 { "main" } else { "next" };
        github
            .world()
            .begin(REPOSITORY, "deploy.yml", branch, "octocat", "push");
    }
    let client = client(&github);
    let all = client
        .runs(&repository(), &RunFilter::default())
        .await
        .unwrap();
    assert_eq!(all.len(), 300);
    assert!(
        all.is_sorted_by(|one, other| one.id > other.id),
        "the newest first"
    );
    assert_eq!(github.calls("/actions/runs").len(), 3);
    let filter = RunFilter {
        branch: Some(main()),
        workflow: Some(file()),
        ..RunFilter::default()
    };
    let some = client.runs(&repository(), &filter).await.unwrap();
    assert_eq!(some.len(), 175);
    assert_eq!(github.calls("/workflows/deploy.yml/runs").len(), 2);
    let few = RunFilter {
        limit: 3,
        ..RunFilter::default()
    };
    assert_eq!(client.runs(&repository(), &few).await.unwrap(), all[..3]);
}

#[tokio::test]
async fn each_part_of_a_filter_counts() {
    let github = github().await;
    let mut world = github.world();
    let wanted = world.begin(REPOSITORY, "deploy.yml", "main", "octocat", "push");
    world.advance(REPOSITORY, wanted, "completed", Some("failure"));
    world.begin(
        REPOSITORY,
        "deploy.yml",
        "next",
        "monalisa",
        "workflow_dispatch",
    );
    let old = world.begin(
        REPOSITORY,
        "other.yml",
        "next",
        "monalisa",
        "workflow_dispatch",
    );
    world.run(REPOSITORY, old).created -= time::Duration::days(2);
    drop(world);
    let client = client(&github);
    let nothing = RunFilter::default;
    for filter in [
        RunFilter {
            branch: Some(main()),
            ..nothing()
        },
        RunFilter {
            actor: Some("octocat".to_owned()),
            ..nothing()
        },
        RunFilter {
            event: Some("push".to_owned()),
            ..nothing()
        },
        RunFilter {
            status: Some("failure".to_owned()),
            ..nothing()
        },
    ] {
        let runs = client.runs(&repository(), &filter).await.unwrap();
        let found: Vec<_> = runs.iter().map(|run| run.id.get()).collect();
        assert_eq!(found, [wanted], "{filter:?}");
    }
    let since = Some(OffsetDateTime::now_utc() - time::Duration::days(1));
    let recent = client
        .runs(&repository(), &RunFilter { since, ..nothing() })
        .await
        .unwrap();
    assert_eq!(recent.len(), 2);
    let workflow = Some(WorkflowFile::new("none.yml").unwrap());
    let none = client
        .runs(
            &repository(),
            &RunFilter {
                workflow,
                ..nothing()
            },
        )
        .await;
    assert_eq!(none, Err(PipelineError::NotFound("workflow")));
}

#[tokio::test]
async fn jobs_say_where_they_are_and_what_failed() {
    let github = github().await;
    let number = github
        .world()
        .begin(REPOSITORY, "deploy.yml", "main", "octocat", "push");
    let steps = [
        ("Check out", "completed", Some("success")),
        ("Deploy", "completed", Some("failure")),
        ("Clean up", "in_progress", None),
    ];
    let mut jobs = vec![job(1, "deploy", "in_progress", None, &steps)];
    jobs.extend((2..=150).map(|id| job(id, "test", "completed", Some("skipped"), &[])));
    github.world().run(REPOSITORY, number).jobs = jobs;
    let jobs = client(&github)
        .jobs(&repository(), id(number))
        .await
        .unwrap();
    assert_eq!(jobs.len(), 150);
    assert_eq!(
        (jobs[0].name.as_str(), jobs[0].state),
        ("deploy", State::Running)
    );
    assert_eq!(jobs[0].failed_steps, ["Deploy"]);
    assert_eq!(jobs[0].step.as_deref(), Some("Clean up"));
    assert_eq!(jobs[149].state, State::Done(Outcome::Skipped));
    assert!(jobs[149].completed > jobs[149].started);
}

#[tokio::test]
async fn a_run_is_stopped_and_run_again_when_it_can_be() {
    let github = github().await;
    let number = github
        .world()
        .begin(REPOSITORY, "deploy.yml", "main", "octocat", "push");
    let (client, repository, run) = (client(&github), repository(), id(number));
    let early = client.rerun(&repository, run, false).await.unwrap_err();
    assert!(early.to_string().contains("already running"), "{early}");
    client.cancel(&repository, run).await.unwrap();
    let late = client.cancel(&repository, run).await.unwrap_err();
    assert!(matches!(&late, PipelineError::Conflict(_)), "{late:?}");
    assert!(late.to_string().contains("that is completed"), "{late}");
    client.rerun(&repository, run, true).await.unwrap();
    assert_eq!(client.run(&repository, run).await.unwrap().attempt, 2);
    github
        .world()
        .advance(REPOSITORY, number, "completed", Some("success"));
    client.rerun(&repository, run, false).await.unwrap();
    let verbs: Vec<_> = github
        .calls("POST")
        .iter()
        .map(|call| call.status)
        .collect();
    assert_eq!(verbs, [403, 202, 409, 201, 201]);
    assert_eq!(
        github.calls("POST /repos/acme/shop/actions/runs")[3]
            .target
            .rsplit('/')
            .next(),
        Some("rerun-failed-jobs")
    );
    let none = client.cancel(&repository, id(1)).await;
    assert_eq!(none, Err(PipelineError::NotFound("run")));
}

#[tokio::test]
async fn what_waits_is_agreed_to_once() {
    let github = github().await;
    let number = github
        .world()
        .begin(REPOSITORY, "deploy.yml", "main", "octocat", "push");
    github.world().run(REPOSITORY, number).pending =
        vec![pending(5, "production", true), pending(6, "staging", false)];
    let (client, repository, run) = (client(&github), repository(), id(number));
    let waits = client.pending_deployments(&repository, run).await.unwrap();
    assert_eq!(
        (waits[0].environment_id, waits[0].environment.as_str()),
        (5, "production")
    );
    assert_eq!((waits[0].may_approve, waits[1].may_approve), (true, false));
    assert_eq!(waits[0].reviewers, ["octocat", "@justice-league"]);
    assert_eq!(waits[0].wait_minutes, 30);
    let review = |environments: &[u64], approve| Review {
        environments: environments.to_vec(),
        approve,
        comment: "R7K2 by two".to_owned(),
    };
    client
        .review_deployment(&repository, run, &review(&[5], true))
        .await
        .unwrap();
    let again = client
        .review_deployment(&repository, run, &review(&[5], true))
        .await;
    assert!(matches!(again, Err(PipelineError::Refused(words)) if words.contains("No pending")));
    client
        .review_deployment(&repository, run, &review(&[6], false))
        .await
        .unwrap();
    let none = client
        .review_deployment(&repository, run, &review(&[], true))
        .await;
    assert!(matches!(none, Err(PipelineError::Refused(_))));
    let reviews = github.world().run(REPOSITORY, number).reviews.clone();
    let states: Vec<_> = reviews
        .iter()
        .map(|it| it["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["approved", "rejected"]);
    assert_eq!(reviews[0]["comment"], "R7K2 by two");
}
