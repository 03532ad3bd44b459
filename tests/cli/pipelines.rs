//! What policy says of pipelines: explained and tested without starting any.

use tempfile::TempDir;

use crate::config::folder;
use crate::rules::explain;
use crate::vaultgram;

/// Alice may operate a repository's pipelines, within limits.
fn operated() -> TempDir {
    folder(
        "[telegram]\nallowed_users = [1001]\n[groups]\nleads = [\"telegram:1002\"]\n\
         [github]\nrepositories = [\"acme/shop\"]\n[socket]\n",
        r#"
@id("operate")
permit(principal == TelegramUser::"1001", action in Action::"operate", resource in Path::"github/acme/shop")
unless { context has ref && context.ref != "main" };

@id("observe")
permit(principal, action in Action::"observe", resource in Path::"github");

@id("production") @approvals("1") @approvers("leads")
forbid(principal, action == Action::"run", resource)
when { context.inputs.contains("environment=production") };

@id("forks")
forbid(principal, action in [Action::"approve_deployment", Action::"rerun"], resource)
when { context has event && context.event == "pull_request" };
"#,
    )
}

#[test]
fn what_is_done_with_pipelines_is_explained() {
    let directory = operated();
    let run = |line: &str| explain(directory.path(), &format!("--as telegram:1001 {line}"));
    let path = "github/acme/shop/deploy.yml";
    for (line, said) in [
        (
            format!("--run {path} --ref main --input colour=blue"),
            "allowed: telegram:1001 may run github/acme/shop/deploy.yml, ref main, colour=blue, private chat",
        ),
        (
            format!("--run {path} --ref main --input environment=production"),
            "needs approval: telegram:1001 may run",
        ),
        (format!("--run {path} --ref patch"), "with ref main"),
        (format!("--cancel-run {path}@7"), "allowed: "),
        (
            format!("--approve-deployment {path}#staging@7"),
            "allowed: ",
        ),
        (
            format!("--approve-deployment {path}#staging@7 --ref main --event push"),
            "ref main, event push, private chat",
        ),
        (
            format!("--approve-deployment {path}#staging@7 --ref next --event push"),
            "denied: ",
        ),
        (
            format!("--approve-deployment {path}#staging@7 --ref main --event pull_request"),
            "forbidden by forks",
        ),
        (
            format!("--rerun {path}@7 --ref main --event pull_request"),
            "forbidden by forks",
        ),
        (
            format!("--rerun {path}@7 --ref main --event push"),
            "allowed: ",
        ),
        (
            format!("--rerun {path}@7 --ref main"),
            "ref and event: say both",
        ),
        (
            format!("--run {path} --ref main --event push"),
            "event: is of what is done with a run",
        ),
        ("--watch github/acme/shop".to_owned(), "by observe"),
        (format!("--run {path}"), "ref: say at which branch or tag"),
        (
            format!("--run {path} --ref main --input colour"),
            "inputs: write NAME=TEXT",
        ),
        (
            format!("--run {path} --ref refs/heads/main"),
            "a ref is like main",
        ),
        (format!("--runs {path} --ref main"), "ref: is of run"),
    ] {
        let ran = run(&line);
        assert!(
            ran.out.contains(said) || ran.err.contains(said),
            "{line}: {} {}",
            ran.out,
            ran.err
        );
    }
}

#[test]
fn what_is_done_with_pipelines_is_tested() {
    let directory = operated();
    let cases = r#"
[[case]]
name = "production is agreed to"
as = "telegram:1001"
run = "github/acme/shop/deploy.yml"
ref = "main"
inputs = ["environment=production"]
expect = "approval"
by = ["operate", "production"]

[[case]]
name = "nobody else"
as = "telegram:1002"
rerun = "github/acme/shop/deploy.yml@7"
expect = "deny"
by = []

[[case]]
name = "a pull request does not go on"
as = "telegram:1001"
approve_deployment = "github/acme/shop/deploy.yml#staging@7"
ref = "main"
event = "pull_request"
expect = "deny"
by = ["forks"]
"#;
    std::fs::write(directory.path().join("t.toml"), cases).unwrap();
    let ran = vaultgram(directory.path(), &[], &["policy", "test", "t.toml"]);
    assert_eq!(ran.out, "3 cases, all as expected\n", "{}", ran.err);
}
