//! What a KV version 2 mount tells without values: the names in a folder, the versions of a secret.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::broker::ports::StoreError;
use crate::domain::{History, SecretPath, Target, Version, VersionFacts, VersionState};
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
pub(super) struct Metadata(History);

fn parse(answer: &Answer) -> Option<Metadata> {
    #[derive(Deserialize)]
    struct Envelope {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        current_version: u64,
        oldest_version: u64,
        created_time: String,
        updated_time: String,
        cas_required: bool,
        max_versions: u64,
        delete_version_after: String,
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
    let mut versions = vec![];
    for (number, entry) in data.versions {
        let state = if entry.destroyed {
            VersionState::Destroyed
        } else if passed(&entry.deletion_time, answer.date)? {
            VersionState::Deleted
        } else {
            VersionState::Live
        };
        versions.push(Version {
            number: number.parse().ok()?,
            created: entry.created_time,
            deletion: entry.deletion_time,
            state,
        });
    }
    versions.sort_by_key(|version| Reverse(version.number));
    Some(Metadata(History {
        current: data.current_version,
        oldest: data.oldest_version,
        created: data.created_time,
        updated: data.updated_time,
        cas_required: data.cas_required,
        max_versions: data.max_versions,
        delete_version_after: data.delete_version_after,
        versions,
        notes: data.custom_metadata.into_iter().flatten().collect(),
    }))
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
    /// All there is to tell.
    pub(super) fn history(self) -> History {
        self.0
    }

    /// The newest version; 0 where there is metadata, but no version yet.
    pub(super) fn current(&self) -> u64 {
        self.0.current
    }

    /// The number of the version `target` means, which can be read.
    pub(super) fn live(&self, target: &Target) -> Result<u64, StoreError> {
        let version = match target.version {
            Some(version) => version,
            None if self.current() == 0 => return Err(StoreError::NotFound),
            None => self.current(),
        };
        match self.facts(version)? {
            (_, VersionState::Live) => Ok(version),
            (facts, VersionState::Deleted) => Err(StoreError::Deleted(facts)),
            (facts, VersionState::Destroyed) => Err(StoreError::Destroyed(facts)),
        }
    }

    /// Whether `version` can be undeleted.
    pub(super) fn undeletable(&self, version: u64) -> Result<(), StoreError> {
        match self.facts(version)? {
            (_, VersionState::Deleted) => Ok(()),
            (_, VersionState::Live) => Err(StoreError::NotDeleted { version }),
            (facts, VersionState::Destroyed) => Err(StoreError::Destroyed(facts)),
        }
    }

    /// Whether there is anything left of `version` to be removed.
    pub(super) fn destroyable(&self, version: u64) -> Result<(), StoreError> {
        match self.facts(version)? {
            (_, VersionState::Live | VersionState::Deleted) => Ok(()),
            (facts, VersionState::Destroyed) => Err(StoreError::Destroyed(facts)),
        }
    }

    fn facts(&self, number: u64) -> Result<(VersionFacts, VersionState), StoreError> {
        let mut versions = self.0.versions.iter();
        let found = versions.find(|version| version.number == number);
        let version = found.ok_or(StoreError::NoSuchVersion)?;
        let facts = VersionFacts {
            number,
            created: version.created.clone(),
            deletion: version.deletion.clone(),
            notes: self.0.notes.clone(),
        };
        Ok((facts, version.state))
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
