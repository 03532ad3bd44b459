//! Policies about jobs: what their tokens say decides, and not who set them going.

use vaultgram::domain::job::{CLAIMS, Job};
use vaultgram::domain::policy_load::SCHEMA;
use vaultgram::domain::{Caller, Decision};

use crate::{decide, load};

fn job(claims: &[(&'static str, &str)]) -> Caller {
    let claims = claims
        .iter()
        .map(|(name, text)| (*name, (*text).to_owned()));
    Caller::Job(Job {
        issuer: "github".to_owned(),
        subject: "repo:acme/web:ref:refs/heads/main".to_owned(),
        claims: claims.collect(),
    })
}

fn allowed(text: &str, caller: Caller) -> bool {
    let policy = load(text).unwrap();
    matches!(decide(&policy, caller, "web"), Decision::Allow(_))
}

#[test]
fn what_the_token_says_decides() {
    let policy = r#"permit(principal is Job, action == Action::"read", resource in Path::"secret")
        when { principal.issuer == "github" && principal has repository_id
            && principal.repository_id == "7" && principal has ref
            && principal.ref == "refs/heads/main" };"#;
    let (repository, main) = (("repository_id", "7"), ("ref", "refs/heads/main"));
    assert!(allowed(policy, job(&[repository, main])));
    for other in [
        &[repository][..],
        &[main],
        &[("repository_id", "8"), main],
        &[repository, ("ref", "refs/heads/x")],
    ] {
        assert!(!allowed(policy, job(other)), "{other:?}");
    }
    let Caller::Job(mut elsewhere) = job(&[repository, main]) else {
        unreachable!()
    };
    elsewhere.issuer = "gitlab".to_owned();
    assert!(!allowed(policy, Caller::Job(elsewhere)));
}

#[test]
fn one_job_can_be_named_by_issuer_and_subject() {
    let policy = r#"permit(
        principal == Job::"github:repo:acme/web:ref:refs/heads/main", action, resource);"#;
    assert!(allowed(policy, job(&[])));
    let Caller::Job(mut other) = job(&[]) else {
        unreachable!()
    };
    other.subject = "repo:acme/web:pull_request".to_owned();
    assert!(!allowed(policy, Caller::Job(other)));
    let wrong = load(r#"permit(principal == Job::"acme/web", action, resource);"#);
    assert!(wrong.err().unwrap()[0].contains("is not a job; write its issuer and subject"));
}

/// Whoever pushes to any repository sets jobs going: these are neither they nor in their groups.
#[test]
fn a_job_has_no_part_in_who_set_it_going() {
    for part in [r#"Group::"everyone""#, r#"Person::"alice""#] {
        let policy = format!("permit(principal in {part}, action, resource);");
        let actor = [
            ("actor_id", "1003"),
            ("actor", "alice"),
            ("user_id", "1003"),
        ];
        assert!(!allowed(&policy, job(&actor)), "{part}");
    }
}

#[test]
fn policies_can_speak_of_every_claim_and_of_no_other() {
    for name in CLAIMS {
        let policy = format!(
            "permit(principal is Job, action, resource)
             when {{ principal has {name} && principal.{name} == \"x\" }};"
        );
        assert!(allowed(&policy, job(&[(name, "x")])), "{name}");
        assert!(!allowed(&policy, job(&[(name, "y")])), "{name}");
    }
    let unknown = "permit(principal is Job, action, resource)
        when { principal has repositry_id && principal.repositry_id == \"7\" };";
    assert!(load(unknown).is_err(), "a misspelt name must not be taken");
    let known = SCHEMA.lines().filter(|line| line.contains("?: String,"));
    assert!(known.count() >= CLAIMS.len());
}
