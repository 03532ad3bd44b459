//! What jobs are written back, which programs read: the first line says which request it is about, and
//! in one word what came of it.

use super::{Builder, Document, MAX_LENGTH, Reply, SECRET_MARK, Terms};
use crate::broker::ports::Wrapped;
use crate::broker::{ApprovalInfo, Outcome, Sealed, Waiting};
use crate::domain::Target;
use crate::domain::span::spoken;

impl Reply {
    /// As a job is told it: about the request `id`, of which `came`.
    pub(in crate::telegram) fn tagged(self, id: &str, came: &str) -> Self {
        Self {
            text: format!("id={id} {came}\n{}", self.text),
            ..self
        }
    }

    /// What came of a read by a job.
    pub(in crate::telegram) fn to_job(
        id: &str,
        outcome: &Outcome,
        target: &Target,
        terms: &Terms<'_>,
    ) -> Self {
        match outcome {
            Outcome::Wrapped(wrapped) => job_wrapped(id, wrapped, target, terms),
            Outcome::Sealed(sealed) => job_sealed(id, sealed, target, terms),
            Outcome::Denied(denial) => Self::denied(denial.reason).tagged(id, "denied"),
            Outcome::NeedsApproval(Waiting::Opened(approval) | Waiting::Known(approval)) => {
                Self::job_waits(id, approval)
            }
            Outcome::NeedsApproval(waiting @ Waiting::ReasonNeeded { .. }) => {
                Self::needs_approval(waiting, terms.action, target).tagged(id, "failed")
            }
            Outcome::Interrupted => Self::interrupted().tagged(id, "failed"),
            // The broker does none of this for a job in chat.
            Outcome::Released(_)
            | Outcome::Offered(_)
            | Outcome::Listed(_)
            | Outcome::Versions(_)
            | Outcome::Written(_)
            | Outcome::Deleted(_)
            | Outcome::Undeleted(_)
            | Outcome::Destroyed(_)
            | Outcome::Operated(_)
            | Outcome::Runs(_)
            | Outcome::Watching(_)
            | Outcome::Duplicate => Self::broken().tagged(id, "failed"),
        }
    }

    /// It waits for others, or they agreed already.
    pub(in crate::telegram) fn job_waits(id: &str, approval: &ApprovalInfo) -> Self {
        let name = &approval.id;
        if approval.grant.is_some() {
            let text = format!("Request {name} is granted: send /get_secret, signed anew.");
            return Self::plain(text).tagged(id, "granted");
        }
        let text = format!(
            "Request {name} waits for approval: send /get_secret again, signed anew, until it is \
             granted."
        );
        Self::plain(text).tagged(id, "waits")
    }
}

/// A token that unwraps the secret, once.
fn job_wrapped(id: &str, wrapped: &Wrapped, target: &Target, terms: &Terms<'_>) -> Reply {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the delivery: the token goes into the message for its requester"
    )]
    let token = wrapped.token.expose_secret();
    let mut message = Builder::default();
    message.plain(&format!("{SECRET_MARK}id={id} wrapped\n"));
    message.hidden(&String::from_utf8_lossy(token));
    let lasts = terms.delete_after.min(wrapped.facts.ttl);
    message.plain(&format!(
        "\nunwraps {target} in Vault, once, for {}. Deleted in {}.",
        spoken(wrapped.facts.ttl),
        spoken(lasts)
    ));
    Reply {
        guarded: true,
        lasts: Some(lasts),
        ..message.into_copied()
    }
}

/// The secret, encrypted: as text where it fits, else as a file.
fn job_sealed(id: &str, sealed: &Sealed, target: &Target, terms: &Terms<'_>) -> Reply {
    let head = format!("{SECRET_MARK}id={id} sealed\n");
    let end = format!("{target}. Deleted in {}.", spoken(terms.delete_after));
    let mut message = Builder::default();
    message.plain(&head);
    message.preformatted(sealed.text.trim_end());
    message.plain("\n");
    message.plain(&end);
    let mut document = None;
    if message.length > MAX_LENGTH {
        message = Builder::default();
        message.plain(&head);
        message.plain(&end);
        document = Some(Document {
            name: "answer.age".to_owned(),
            bytes: sealed.text.clone().into_bytes(),
        });
    }
    Reply {
        guarded: true,
        lease: sealed.origin.lease().and_then(|lease| lease.code.clone()),
        document,
        ..message.into_copied()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use time::OffsetDateTime;

    use super::*;
    use crate::domain::{Action, Delivery, Mounts, Origin, Secret, VersionFacts};

    fn target() -> Target {
        let mounts = Mounts::new(vec!["secret".into()]).unwrap();
        mounts.parse("a/b").unwrap()
    }

    fn told(outcome: &Outcome) -> Reply {
        let terms = Terms {
            delete_after: Duration::from_mins(1),
            vault: None,
            now: OffsetDateTime::UNIX_EPOCH,
            action: Action::Read(Delivery::Sealed),
        };
        Reply::to_job("m1", outcome, &target(), &terms)
    }

    fn sealed(length: usize) -> Reply {
        told(&Outcome::Sealed(Sealed {
            text: "x".repeat(length),
            origin: Origin::Version(VersionFacts::default()),
            age: None,
            keys: 1,
        }))
    }

    #[test]
    fn what_is_sealed_is_a_file_where_it_is_too_long() {
        let short = sealed(9);
        assert!(
            short
                .text
                .starts_with("🔑 id=m1 sealed\nxxxxxxxxx\nsecret/a/b.")
        );
        assert!(short.secret && short.guarded && short.document.is_none());
        let long = sealed(MAX_LENGTH);
        assert!(!long.text.contains("xx") && long.secret);
        assert_eq!(long.document.unwrap().bytes.len(), MAX_LENGTH);
    }

    #[test]
    fn plaintext_is_nothing_that_can_be_told() {
        let secret = Secret::of_version(vec![], VersionFacts::default());
        let told = told(&Outcome::Released(secret));
        assert_eq!(
            told.text,
            "id=m1 failed\nvaultgram failed; tell an operator."
        );
    }
}
