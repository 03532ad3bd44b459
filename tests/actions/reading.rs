//! Workflows and commits.

use serde_json::json;
use vaultgram::broker::ports::Pipelines;
use vaultgram::broker::ports::pipelines::{
    GitRef, InputKind, PipelineError, Repository, WorkflowFile,
};

use crate::github::commit;
use crate::setting::{REPOSITORY, client, file, github, main, repository};

#[tokio::test]
async fn the_inputs_of_a_workflow_are_those_at_the_ref() {
    let github = github().await;
    let old = ("refs/tags/v1".to_owned(), "deploy.yml".to_owned());
    let text = "on: { workflow_dispatch: { inputs: { force: { type: boolean } } } }";
    github
        .world()
        .repo(REPOSITORY)
        .files
        .insert(old, text.to_owned());
    let client = client(&github);
    let declared = client
        .workflow(&repository(), &file(), &main())
        .await
        .unwrap();
    let names: Vec<_> = declared
        .inputs
        .iter()
        .map(|input| input.name.as_str())
        .collect();
    assert_eq!(names, ["version", "colour"]);
    let tag = GitRef::new("refs/tags/v1").unwrap();
    let declared = client.workflow(&repository(), &file(), &tag).await.unwrap();
    assert_eq!(declared.inputs[0].kind, InputKind::Boolean);
    let calls = github.calls("GET /repos");
    assert!(
        calls[1]
            .target
            .ends_with("/contents/.github/workflows/deploy.yml?ref=refs%2Ftags%2Fv1")
    );
    let accept = (
        "accept".to_owned(),
        "application/vnd.github.raw+json".to_owned(),
    );
    assert!(calls[0].headers.contains(&accept), "{:?}", calls[0].headers);
}

#[tokio::test]
async fn what_is_not_there_or_no_workflow_is_said() {
    let github = github().await;
    let client = client(&github);
    let other = WorkflowFile::new("other.yml").unwrap();
    let elsewhere = Repository::new("acme/none").unwrap();
    for error in [
        client
            .workflow(&repository(), &other, &main())
            .await
            .unwrap_err(),
        client
            .workflow(&elsewhere, &file(), &main())
            .await
            .unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(
            text.contains("no such workflow") && text.contains("may not see it"),
            "{text}"
        );
    }
    let key = ("main".to_owned(), "other.yml".to_owned());
    for (text, says) in [
        ("on: push".to_owned(), "workflow_dispatch under on"),
        ("on: [".to_owned(), "not YAML"),
        (" ".repeat((512 << 10) + 1), "larger than 512 KiB"),
    ] {
        github
            .world()
            .repo(REPOSITORY)
            .files
            .insert(key.clone(), text);
        let error = client
            .workflow(&repository(), &other, &main())
            .await
            .unwrap_err();
        assert!(matches!(error, PipelineError::Workflow(_)), "{error:?}");
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn a_commit_is_told_in_short() {
    let github = github().await;
    let message = "Fix the till\u{202e}\n\nIt lost coins.";
    let commits = [("main", commit("main", message, "Monalisa"))];
    for (branch, commit) in commits {
        github
            .world()
            .repo(REPOSITORY)
            .commits
            .insert(branch.to_owned(), commit);
    }
    let client = client(&github);
    let commit = client.commit(&repository(), &main()).await.unwrap();
    assert_eq!(
        (commit.subject.as_str(), commit.author.as_str()),
        ("Fix the till", "Monalisa")
    );
    assert_eq!(
        (commit.sha.len(), commit.login.as_deref()),
        (40, Some("octocat"))
    );
    let none = GitRef::new("none").unwrap();
    let error = client.commit(&repository(), &none).await.unwrap_err();
    assert!(
        error.to_string().contains("no such branch, tag or commit"),
        "{error}"
    );
}

#[tokio::test]
async fn a_commit_of_nobody_github_knows_can_be_read() {
    let github = github().await;
    let client = client(&github);
    for (nobody, name) in [(json!(null), json!({})), (json!({}), json!(null))] {
        let mut change = commit("main", "Fix the till", "Monalisa");
        change["author"] = nobody;
        change["commit"]["author"] = name;
        github
            .world()
            .repo(REPOSITORY)
            .commits
            .insert("main".to_owned(), change);
        let commit = client.commit(&repository(), &main()).await.unwrap();
        assert_eq!((commit.login, commit.author.as_str()), (None, ""));
    }
}
