//! A workflow is started once, and its run is found.

use std::time::Duration;

use serde_json::json;
use vaultgram::actions::github::GitHub as Client;
use vaultgram::broker::ports::Pipelines;
use vaultgram::broker::ports::pipelines::{GitRef, Inputs, PipelineError, RunId};

use crate::github::{Details, Fault, GitHub};
use crate::setting::{REPOSITORY, client, file, github, inputs, main, repository};

const POST: &str = "POST /repos/acme/shop/actions/workflows/deploy.yml/dispatches";

async fn start(client: &Client) -> Result<RunId, PipelineError> {
    let declared = client
        .workflow(&repository(), &file(), &main())
        .await
        .unwrap();
    client
        .dispatch(&repository(), &file(), &main(), &inputs(&declared))
        .await
}

/// The runs there are.
fn runs(github: &GitHub) -> Vec<u64> {
    let mut world = github.world();
    world
        .repo(REPOSITORY)
        .runs
        .iter()
        .map(|run| run.id)
        .collect()
}

#[tokio::test]
async fn github_says_which_run_it_is() {
    let github = github().await;
    let run = start(&client(&github)).await.unwrap();
    assert_eq!(runs(&github), [run.get()]);
    let calls = github.calls(POST);
    assert_eq!(calls.len(), 1);
    let wanted = json!({"ref": "main", "return_run_details": true,
        "inputs": {"version": "v1", "colour": "blue"}});
    assert_eq!(calls[0].body, wanted);
    assert_eq!(
        github.world().run(REPOSITORY, run.get()).inputs,
        wanted["inputs"]
    );
}

#[tokio::test]
async fn where_it_does_not_say_the_run_is_found() {
    for details in [Details::Unknown, Details::Ignored] {
        let github = github().await;
        let mut world = github.world();
        world.details = details;
        world.lag = time::Duration::milliseconds(1500);
        // As it was before, and as it is in between.
        let old = world.begin(
            REPOSITORY,
            "deploy.yml",
            "main",
            "deployer",
            "workflow_dispatch",
        );
        world.run(REPOSITORY, old).created -= time::Duration::hours(1);
        drop(world);
        let client = client(&github);
        let (run, others) = tokio::join!(start(&client), async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            let mut world = github.world();
            let dispatch = "workflow_dispatch";
            [
                world.begin(REPOSITORY, "deploy.yml", "main", "octocat", dispatch),
                world.begin(REPOSITORY, "deploy.yml", "next", "deployer", dispatch),
                world.begin(REPOSITORY, "other.yml", "main", "deployer", dispatch),
                world.begin(REPOSITORY, "deploy.yml", "main", "deployer", "push"),
            ]
        });
        let run = run.unwrap().get();
        assert!(run != old && !others.contains(&run), "{details:?}");
        assert_eq!(runs(&github).len(), 6, "{details:?}: started once");
        let posts = if details == Details::Unknown { 2 } else { 1 };
        assert_eq!(github.calls(POST).len(), posts, "{details:?}");
    }
}

#[tokio::test]
async fn two_runs_that_could_be_ours_are_neither() {
    let github = github().await;
    github.world().details = Details::Ignored;
    github.world().lag = time::Duration::seconds(1);
    let client = client(&github);
    let (run, _) = tokio::join!(start(&client), async {
        while runs(&github).is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut world = github.world();
        world.lag = time::Duration::ZERO;
        world.begin(
            REPOSITORY,
            "deploy.yml",
            "main",
            "deployer",
            "workflow_dispatch",
        )
    });
    assert_eq!(run, Err(PipelineError::RunUnknown));
    assert_eq!(github.calls(POST).len(), 1);
}

#[tokio::test]
async fn a_lost_answer_is_looked_for_and_nothing_is_started_again() {
    let github = github().await;
    github.fault(POST, Fault::Lost);
    let run = start(&client(&github)).await.unwrap();
    assert_eq!(runs(&github), [run.get()]);
    assert_eq!(github.calls(POST).len(), 1);
    github.fault(POST, Fault::Slow(Duration::from_secs(4)));
    let run = start(&client(&github)).await.unwrap();
    assert_eq!((runs(&github).len(), runs(&github)[1]), (2, run.get()));
    assert_eq!(github.calls(POST).len(), 2);
}

#[tokio::test]
async fn what_was_perhaps_never_begun_is_said_to_be_unclear() {
    for fault in [Fault::Dropped, Fault::Status(502), Fault::Status(500)] {
        let github = github().await;
        github.fault(POST, fault.clone());
        let error = start(&client(&github)).await.unwrap_err();
        assert_eq!(error, PipelineError::Unclear, "{fault:?}");
        assert!(error.to_string().contains("nobody knows"));
        assert_eq!(github.calls(POST).len(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_refusal_is_told_in_githubs_words() {
    let github = github().await;
    let client = client(&github);
    let next = GitRef::new("next").unwrap();
    let none = Inputs::default();
    let error = client
        .dispatch(&repository(), &file(), &next, &none)
        .await
        .unwrap_err();
    assert_eq!(
        error,
        PipelineError::Refused("No ref found for: next".to_owned())
    );
    let key = ("main".to_owned(), "deploy.yml".to_owned());
    github
        .world()
        .repo(REPOSITORY)
        .files
        .insert(key, "on: push".to_owned());
    let error = client
        .dispatch(&repository(), &file(), &main(), &none)
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("does not have 'workflow_dispatch'"),
        "{error}"
    );
    assert!(runs(&github).is_empty());
}

#[tokio::test]
async fn two_at_once_have_a_run_each() {
    let github = github().await;
    github.world().details = Details::Ignored;
    let client = client(&github);
    let (one, other) = tokio::join!(start(&client), start(&client));
    let mut found = [one.unwrap().get(), other.unwrap().get()];
    found.sort_unstable();
    assert_eq!(runs(&github), found);
}
