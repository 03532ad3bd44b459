//! Policies about pipelines: by repository, workflow, ref, commit and inputs.

use vaultgram::domain::caller::ChatKind;
use vaultgram::domain::{Action, Decision, PipelineAction, Policy, Request, RequestId};

use super::{NOW, load, mounts, telegram};

const COMMIT: &str = "9b1c3a59b1c3a59b1c3a59b1c3a59b1c3a59b1c3";

fn allows(policy: &Policy, action: PipelineAction, target: &str) -> bool {
    let request = Request {
        id: RequestId::Connection(1),
        caller: telegram(1001, ChatKind::Private),
        action: Action::Pipeline(action),
        target: mounts().parse(target).unwrap(),
    };
    matches!(policy.decide(&request, NOW), Decision::Allow(_))
}

fn runs(policy: &Policy, target: &str) -> bool {
    allows(policy, PipelineAction::Run, target)
}

#[test]
fn a_start_is_decided_by_its_workflow_ref_and_inputs() {
    let policy = load(
        r#"permit(principal in Group::"developers", action == Action::"run", resource in Path::"github/acme/shop")
           when { context.ref == "main" };
           forbid(principal, action == Action::"run", resource == Path::"github/acme/shop/deploy.yml")
           when { context.inputs.contains("environment=production") };"#,
    )
    .unwrap();
    // Each is a question of its own: no answer is taken for another's.
    for _ in 0..2 {
        assert!(runs(&policy, "github/acme/shop/deploy.yml#main"));
        assert!(runs(
            &policy,
            "github/acme/shop/deploy.yml#main?environment=staging"
        ));
        assert!(!runs(&policy, "github/acme/shop/deploy.yml#next"));
        assert!(!runs(
            &policy,
            "github/acme/shop/deploy.yml#main?a=b&environment=production"
        ));
        assert!(runs(
            &policy,
            "github/acme/shop/test.yml#main?environment=production"
        ));
        assert!(!runs(&policy, "github/acme/other/deploy.yml#main"));
    }
    for other in PipelineAction::ALL {
        let target = "github/acme/shop/deploy.yml@7";
        assert!(!allows(&policy, other, target), "{other:?}");
    }
}

#[test]
fn what_cannot_be_read_is_started_by_nobody() {
    let policy = load("permit(principal, action, resource);").unwrap();
    let at = |field: &str| format!("github/acme/shop/deploy.yml#{field}");
    assert!(runs(&policy, &at(&format!("main:{COMMIT}?a=b%20c"))));
    for field in [
        "refs/heads/main",
        "main?b=1&a=2",
        "main?a",
        "%6dain",
        "main:9b1c",
    ] {
        assert!(!runs(&policy, &at(field)), "{field}");
    }
    assert!(!runs(&policy, "github/acme/shop/deploy.yml"));
}

#[test]
fn a_commit_can_be_asked_for() {
    let text = format!(
        r#"permit(principal, action == Action::"run", resource)
           when {{ context has commit && context.commit == "{COMMIT}" }};"#
    );
    let policy = load(&text).unwrap();
    let target = "github/acme/shop/deploy.yml#main";
    assert!(runs(&policy, &format!("{target}:{COMMIT}")));
    assert!(!runs(&policy, target));
}

#[test]
fn what_is_done_with_a_run_is_decided_by_what_it_is_of() {
    let policy = load(
        r#"permit(principal, action == Action::"rerun", resource)
           when { context has event && context.event == "push" && context has ref && context.ref == "main" &&
                  context has commit };"#,
    )
    .unwrap();
    // Each is a question of its own: no answer is taken for another's.
    for _ in 0..2 {
        for (of, allowed) in [
            (format!("#main:{COMMIT}?event=push"), true),
            (format!("#main:{COMMIT}?event=pull_request"), false),
            (format!("#next:{COMMIT}?event=push"), false),
            ("#main?event=push".to_owned(), false),
            (format!("#main:{COMMIT}"), false),
            (String::new(), false),
        ] {
            let target = format!("github/acme/shop/deploy.yml{of}@7");
            assert_eq!(
                allows(&policy, PipelineAction::Rerun, &target),
                allowed,
                "{of}"
            );
        }
    }
}

#[test]
fn operating_is_not_writing_and_looking_is_neither() {
    let policy = |group: &str| {
        load(&format!(
            "permit(principal, action in Action::\"{group}\", resource);"
        ))
        .unwrap()
    };
    let (operate, write) = (policy("operate"), policy("write"));
    for (action, target) in [
        (PipelineAction::Run, "github/acme/shop/deploy.yml#main"),
        (PipelineAction::Rerun, "github/acme/shop/deploy.yml@7"),
        (PipelineAction::Cancel, "github/acme/shop/deploy.yml@7"),
        (
            PipelineAction::Approve,
            "github/acme/shop/deploy.yml#production@7",
        ),
        (
            PipelineAction::Deny,
            "github/acme/shop/deploy.yml#production@7",
        ),
    ] {
        assert!(allows(&operate, action, target), "{action:?}");
        assert!(!allows(&write, action, target), "{action:?}");
    }
    assert!(!allows(&operate, PipelineAction::Runs, "github/acme/shop"));
}

#[test]
fn a_spelling_that_never_comes_is_refused() {
    let text = "forbid(principal, action, resource == Path::\"github/Acme/Shop/Deploy.yml\");";
    let problems = load(text).err().unwrap();
    assert!(
        problems[0].contains("in small letters, \"acme/shop\""),
        "{problems:?}"
    );
    let text = text.replace("Acme/Shop", "acme/shop");
    assert!(load(&text).is_ok(), "a file may have any letters");
}
