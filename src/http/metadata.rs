//! What is told of versions beside their values.

use hyper::StatusCode;

use crate::api::{Envelope, KvHistory, KvMetadata, KvState, Notes};
use crate::broker::ports::StoreError;
use crate::broker::{BrokerError, Outcome};
use crate::domain::{Action, Caller, History, RequestId, Target, VersionFacts, VersionState};
use crate::http::ask::NoAnswer;
use crate::http::error::Refusal;
use crate::http::read::request;
use crate::http::reply::{self, Reply};
use crate::http::vault_api::VaultApi;

impl VaultApi {
    /// The versions of a secret.
    pub(super) async fn metadata(
        &self,
        id: RequestId,
        target: Target,
        caller: &Caller,
    ) -> Result<Reply, Refusal> {
        let name = id.to_string();
        let request = request(id, Action::Versions, target, caller);
        let outcome = self.asker.ask(request, vec![], None).await?;
        let Outcome::Versions(history) = outcome else {
            return Err(Refusal::broken());
        };
        let document = Envelope::new(name, document(history));
        Ok(reply::json(StatusCode::OK, &document))
    }
}

/// What is told of one version.
pub(super) fn of(version: &VersionFacts, destroyed: bool) -> KvMetadata {
    KvMetadata {
        created_time: version.created.clone(),
        custom_metadata: noted(version.notes.clone()),
        deletion_time: version.deletion.clone(),
        destroyed,
        version: version.number,
    }
}

/// What is told of a version that is deleted or destroyed, where that is why there is no answer.
pub(super) fn of_gone(none: &NoAnswer) -> Option<KvMetadata> {
    let NoAnswer::Failed(BrokerError::Store(error)) = none else {
        return None;
    };
    if let StoreError::Deleted(version) = error {
        return Some(of(version, false));
    }
    if let StoreError::Destroyed(version) = error {
        return Some(of(version, true));
    }
    None
}

fn document(history: History) -> KvHistory {
    let versions = history.versions.into_iter().map(|version| {
        let state = KvState {
            created_time: version.created,
            deletion_time: version.deletion,
            destroyed: version.state == VersionState::Destroyed,
        };
        (version.number.to_string(), state)
    });
    KvHistory {
        cas_required: history.cas_required,
        created_time: history.created,
        current_version: history.current,
        custom_metadata: noted(history.notes),
        delete_version_after: history.delete_version_after,
        max_versions: history.max_versions,
        oldest_version: history.oldest,
        updated_time: history.updated,
        versions: versions.collect(),
    }
}

/// As Vault has it: null where nothing is noted.
fn noted(notes: Vec<(String, String)>) -> Option<Notes> {
    (!notes.is_empty()).then(|| notes.into_iter().collect())
}
