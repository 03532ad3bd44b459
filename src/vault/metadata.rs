//! What a KV version 2 mount tells without values: the names in a folder, the versions of a secret.

use std::collections::BTreeMap;

use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::broker::ports::StoreError;
use crate::domain::{History, SecretPath, Target, Version, VersionState};
use crate::vault::client::{Answer, Client};
use crate::vault::kv::{below, failed, refusal};
use crate::vault::mount::must_be_version_2;
use crate::vault::request::{Access, Method, Request};

/// Most names in a folder; more are an error.
const MAX_NAMES: usize = 10_000;

/// The names in the folder `path`, sorted.
pub(super) async fn list(
    client: &Client,
    access: &Access,
    path: &SecretPath,
) -> Result<Vec<String>, StoreError> {
    let request = Request::new(Method::List, &below(path, "metadata"));
    let answer = client
        .call(access, request)
        .await
        .map_err(|failure| failed(&failure))?;
    match answer.status {
        200 => names(&answer.body).ok_or(StoreError::Invalid),
        403 => Err(StoreError::Forbidden),
        404 => {
            must_be_version_2(client, access, path).await?;
            Err(StoreError::NotFound)
        }
        _ => Err(refusal(answer)),
    }
}

pub(super) fn names(body: &[u8]) -> Option<Vec<String>> {
    #[derive(Deserialize)]
    struct Envelope {
        data: Keys,
    }
    #[derive(Deserialize)]
    struct Keys {
        keys: Vec<String>,
    }
    let Envelope { data } = serde_json::from_slice(body).ok()?;
    let mut names = data.keys;
    names.sort_unstable();
    (names.len() <= MAX_NAMES).then_some(names)
}

/// Reads what Vault keeps of the versions of the secret at `path`.
pub(super) async fn read(
    client: &Client,
    access: &Access,
    path: &SecretPath,
) -> Result<Metadata, StoreError> {
    let request = Request::get(&below(path, "metadata"));
    let answer = client
        .call(access, request)
        .await
        .map_err(|failure| failed(&failure))?;
    match answer.status {
        200 => parse(&answer).ok_or(StoreError::Invalid),
        403 => Err(StoreError::Forbidden),
        404 => {
            must_be_version_2(client, access, path).await?;
            Err(StoreError::NotFound)
        }
        _ => Err(refusal(answer)),
    }
}

/// The versions of one secret.
pub(super) struct Metadata {
    /// The newest version; 0 where there is metadata, but no version yet.
    pub(super) current: u64,
    versions: BTreeMap<u64, Facts>,
    notes: BTreeMap<String, String>,
}

/// One version.
struct Facts {
    created: String,
    deleted: String,
    state: VersionState,
}

fn parse(answer: &Answer) -> Option<Metadata> {
    #[derive(Deserialize)]
    struct Envelope {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        current_version: u64,
        versions: BTreeMap<String, Entry>,
        custom_metadata: Option<BTreeMap<String, String>>,
    }
    #[derive(Deserialize)]
    struct Entry {
        created_time: String,
        deletion_time: String,
        destroyed: bool,
    }
    let Envelope { data } = serde_json::from_slice(&answer.body).ok()?;
    let mut versions = BTreeMap::new();
    for (number, entry) in data.versions {
        let state = if entry.destroyed {
            VersionState::Destroyed
        } else if passed(&entry.deletion_time, answer.date)? {
            VersionState::Deleted
        } else {
            VersionState::Live
        };
        let facts = Facts {
            created: entry.created_time,
            deleted: entry.deletion_time,
            state,
        };
        versions.insert(number.parse().ok()?, facts);
    }
    Some(Metadata {
        current: data.current_version,
        versions,
        notes: data.custom_metadata.unwrap_or_default(),
    })
}

/// Whether the moment `at`, if any, has passed for Vault: by its clock, since ours may differ.
/// `delete_version_after` gives living versions one that lies ahead.
fn passed(at: &str, answered: Option<OffsetDateTime>) -> Option<bool> {
    if at.is_empty() {
        return Some(false);
    }
    let at = OffsetDateTime::parse(at, &Rfc3339).ok()?;
    // The answer's date is cut to the second, and the deletion may have been in that second.
    Some(at.unix_timestamp() <= answered?.unix_timestamp())
}

impl Metadata {
    /// For people.
    pub(super) fn history(self) -> History {
        let version = |(number, facts): (u64, Facts)| Version {
            number,
            created: facts.created,
            state: facts.state,
        };
        History {
            current: self.current,
            versions: self.versions.into_iter().rev().map(version).collect(),
            notes: self.notes.into_iter().collect(),
        }
    }

    /// The number of the version `target` means, which can be read.
    pub(super) fn live(&self, target: &Target) -> Result<u64, StoreError> {
        let version = match target.version {
            Some(version) => version,
            None if self.current == 0 => return Err(StoreError::NotFound),
            None => self.current,
        };
        let facts = self.facts(version)?;
        match facts.state {
            VersionState::Live => Ok(version),
            VersionState::Deleted => Err(StoreError::Deleted {
                version,
                at: facts.deleted.clone(),
            }),
            VersionState::Destroyed => Err(StoreError::Destroyed { version }),
        }
    }

    /// Whether `version` can be undeleted.
    pub(super) fn undeletable(&self, version: u64) -> Result<(), StoreError> {
        match self.facts(version)?.state {
            VersionState::Deleted => Ok(()),
            VersionState::Live => Err(StoreError::NotDeleted { version }),
            VersionState::Destroyed => Err(StoreError::Destroyed { version }),
        }
    }

    /// Whether there is anything left of `version` to be removed.
    pub(super) fn destroyable(&self, version: u64) -> Result<(), StoreError> {
        match self.facts(version)?.state {
            VersionState::Live | VersionState::Deleted => Ok(()),
            VersionState::Destroyed => Err(StoreError::Destroyed { version }),
        }
    }

    fn facts(&self, version: u64) -> Result<&Facts, StoreError> {
        self.versions.get(&version).ok_or(StoreError::NoSuchVersion)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deletion_ahead_has_not_happened_and_one_in_this_second_has() {
        let answered = OffsetDateTime::from_unix_timestamp(1_800_000_000).ok();
        for (at, wanted) in [
            ("", Some(false)),
            ("2027-01-15T07:59:59.9Z", Some(true)),
            ("2027-01-15T08:00:00.999999999Z", Some(true)),
            ("2027-01-15T10:00:01+02:00", Some(false)),
            ("2027-01-15", None),
        ] {
            assert_eq!(passed(at, answered), wanted, "{at}");
        }
        assert_eq!(passed("2027-01-15T07:59:59Z", None), None);
    }

    #[test]
    fn names_are_sorted_and_too_many_are_an_error() {
        let found = names(br#"{"data":{"keys":["b","a/","a"]}}"#);
        let wanted = ["a", "a/", "b"].map(str::to_owned).to_vec();
        assert_eq!(found, Some(wanted));
        assert_eq!(names(br#"{"data":{"keys":[1]}}"#), None);
        for (count, fits) in [(MAX_NAMES, true), (MAX_NAMES + 1, false)] {
            let keys = vec![r#""n""#; count].join(",");
            let body = format!(r#"{{"data":{{"keys":[{keys}]}}}}"#);
            assert_eq!(names(body.as_bytes()).is_some(), fits, "{count}");
        }
    }
}
