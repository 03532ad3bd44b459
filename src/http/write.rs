//! What is changed: secrets written, in whole or in part, and versions deleted, brought back and
//! destroyed.

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderMap};

use crate::api::Envelope;
use crate::broker::{BrokerError, Outcome};
use crate::domain::{Action, Caller, Field, RequestId, Target};
use crate::http::ask::NoAnswer;
use crate::http::body::Write;
use crate::http::error::Refusal;
use crate::http::metadata;
use crate::http::read::request;
use crate::http::reply::{self, Reply};
use crate::http::route::VersionVerb;
use crate::http::vault_api::VaultApi;

/// What a PATCH must be.
const MERGE_PATCH: &str = "application/merge-patch+json";

impl VaultApi {
    /// Writes a secret whole.
    pub(super) async fn put(
        &self,
        id: RequestId,
        target: Target,
        write: Write,
        caller: &Caller,
    ) -> Result<Reply, Refusal> {
        let name = id.to_string();
        let action = Action::Put { over: write.over };
        let request = request(id, action, target, caller);
        let outcome = self.asker.ask(request, write.fields, None).await?;
        written(name, outcome)
    }

    /// Writes a secret of a mount that keeps no versions.
    pub(super) async fn put_plain(
        &self,
        id: RequestId,
        target: Target,
        fields: Vec<Field>,
        caller: &Caller,
    ) -> Result<Reply, Refusal> {
        if fields.is_empty() {
            // Vault's words.
            return Err(Refusal::bad_request("missing data fields"));
        }
        self.put(id, target, Write { fields, over: None }, caller)
            .await
    }

    /// Writes some fields of a secret.
    pub(super) async fn patch(
        &self,
        id: RequestId,
        target: Target,
        write: Write,
        caller: &Caller,
    ) -> Result<Reply, Refusal> {
        let name = id.to_string();
        let action = Action::Patch { over: write.over };
        let request = request(id, action, target, caller);
        match self.asker.ask(request, write.fields, None).await {
            Ok(outcome) => written(name, outcome),
            Err(none) => {
                let gone = metadata::of_gone(&none).ok_or(none)?;
                let document = Envelope::new(name, gone);
                Ok(reply::json(StatusCode::NOT_FOUND, &document))
            }
        }
    }

    /// Deletes the newest version; where there are no versions, the secret. What is deleted
    /// already, or never was there, is as good as deleted: so says Vault.
    pub(super) async fn delete(
        &self,
        id: RequestId,
        target: Target,
        caller: &Caller,
    ) -> Result<Reply, Refusal> {
        let request = request(id, Action::Delete, target, caller);
        match self.asker.ask(request, vec![], None).await {
            Err(NoAnswer::Failed(BrokerError::Store(error))) if error.nothing_to_do() => {
                Ok(reply::done())
            }
            asked => Ok(asked.map(|_| reply::done())?),
        }
    }

    /// Does something to each of `versions`.
    pub(super) async fn change_versions(
        &self,
        id: RequestId,
        verb: VersionVerb,
        target: Target,
        versions: Vec<u64>,
        caller: &Caller,
    ) -> Result<Reply, Refusal> {
        let (action, path) = (action(verb), target.path);
        let asked = self
            .asker
            .change_versions(id, caller.clone(), action, path, versions);
        asked.await?;
        Ok(reply::done())
    }
}

/// What it is to the broker.
pub(super) fn action(verb: VersionVerb) -> Action {
    match verb {
        VersionVerb::Delete => Action::Delete,
        VersionVerb::Undelete => Action::Undelete,
        VersionVerb::Destroy => Action::Destroy,
    }
}

/// The new version; where there are none, nothing.
pub(super) fn written(name: String, outcome: Outcome) -> Result<Reply, Refusal> {
    let Outcome::Written(new) = outcome else {
        return Err(Refusal::broken());
    };
    let Some(version) = new else {
        return Ok(reply::done());
    };
    let document = Envelope::new(name, metadata::of(&version, false));
    Ok(reply::json(StatusCode::OK, &document))
}

/// Refuses a PATCH that is of another kind than Vault knows.
pub(super) fn must_be_merge_patch(headers: &HeaderMap) -> Result<(), Refusal> {
    let given = headers.get(CONTENT_TYPE);
    let given = given
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let kind = given.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case(MERGE_PATCH) {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        format!("PATCH requires Content-Type of {MERGE_PATCH}, provided {kind}"),
    ))
}
