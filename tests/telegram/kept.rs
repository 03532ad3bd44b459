//! A store that keeps versions, as KV version 2 does.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use vaultgram::broker::ports::{
    SecretStore, Serving, StoreError, StoreHealth, Wrapped, WrappedFacts,
};
use vaultgram::domain::{
    Field, History, Permit, Secret, SecretValue, Version, VersionFacts, VersionState,
};

/// What a secret held: text fields, by version from 1; `None` where it is deleted.
type Versions = Vec<(BTreeMap<String, String>, VersionState)>;

/// Secrets in memory.
#[derive(Default)]
pub(crate) struct KeptStore {
    secrets: Mutex<BTreeMap<String, Versions>>,
    /// Codes of authenticators that were taken.
    codes: Mutex<Vec<String>>,
    /// Nothing is changed meanwhile.
    pub(crate) down: AtomicBool,
}

impl KeptStore {
    /// Writes a version, as somebody else.
    pub(crate) fn write(&self, path: &str, fields: &[(&str, &str)]) {
        let fields = fields
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        let mut secrets = self.secrets.lock().unwrap();
        let versions = secrets.entry(path.to_owned()).or_default();
        versions.push((fields.collect(), VersionState::Live));
    }

    /// The newest version's fields, and its number; 0 for none.
    pub(crate) fn newest(&self, path: &str) -> (usize, Vec<(String, String)>) {
        let secrets = self.secrets.lock().unwrap();
        let Some(versions) = secrets.get(path) else {
            return (0, vec![]);
        };
        let (fields, _) = versions.last().unwrap();
        (versions.len(), fields.clone().into_iter().collect())
    }

    /// What became of a version.
    pub(crate) fn state(&self, path: &str, version: usize) -> VersionState {
        self.secrets.lock().unwrap()[path][version - 1].1
    }

    fn up(&self) -> Result<(), StoreError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable);
        }
        Ok(())
    }

    fn mark(
        &self,
        permit: &Permit,
        version: Option<u64>,
        state: VersionState,
    ) -> Result<(), StoreError> {
        let mut secrets = self.secrets.lock().unwrap();
        let versions = secrets.get_mut(permit.target().path.path());
        let versions = versions.ok_or(StoreError::NotFound)?;
        let newest = versions.len();
        let place = version.map_or(newest, |version| usize::try_from(version).unwrap());
        let version = versions
            .get_mut(place - 1)
            .ok_or(StoreError::NoSuchVersion)?;
        version.1 = state;
        Ok(())
    }

    fn add(
        &self,
        permit: &Permit,
        fields: &[Field],
        over: Option<u64>,
        keep: bool,
    ) -> Result<VersionFacts, StoreError> {
        self.up()?;
        let mut secrets = self.secrets.lock().unwrap();
        let path = permit.target().path.path();
        let current = secrets.get(path).map_or(0, Vec::len) as u64;
        if over.is_some_and(|over| over != current) {
            return Err(StoreError::Conflict { current });
        }
        let mut all = match secrets.get(path).and_then(|versions| versions.last()) {
            Some((fields, _)) if keep => fields.clone(),
            None if keep => return Err(StoreError::NotFound),
            Some(_) | None => BTreeMap::new(),
        };
        for field in fields {
            let value = serde_json::from_slice(field.json.expose_secret()).unwrap();
            all.insert(field.name.clone(), value);
        }
        let versions = secrets.entry(path.to_owned()).or_default();
        versions.push((all, VersionState::Live));
        Ok(VersionFacts {
            number: current + 1,
            ..VersionFacts::default()
        })
    }
}

/// A token for whatever is to be wrapped.
pub(crate) fn wrapped(ttl: Duration) -> Wrapped {
    Wrapped {
        token: SecretValue::new(super::support::TOKEN.into()),
        accessor: "accessor".to_owned(),
        facts: WrappedFacts {
            path: String::new(),
            created: String::new(),
            ttl,
        },
    }
}

#[async_trait]
impl SecretStore for KeptStore {
    async fn wrap(&self, _: &Permit, ttl: Duration) -> Result<Wrapped, StoreError> {
        Ok(wrapped(ttl))
    }

    async fn read(&self, permit: &Permit) -> Result<Secret, StoreError> {
        let secrets = self.secrets.lock().unwrap();
        let versions = secrets.get(permit.target().path.path());
        let versions = versions.ok_or(StoreError::NotFound)?;
        let field = |(name, value): (&String, &String)| Field {
            name: name.clone(),
            json: SecretValue::new(serde_json::to_vec(value).unwrap()),
        };
        let fields = versions.last().unwrap().0.iter().map(field).collect();
        let facts = VersionFacts {
            number: versions.len() as u64,
            ..VersionFacts::default()
        };
        Ok(Secret::of_version(fields, facts))
    }

    async fn list(&self, permit: &Permit) -> Result<Vec<String>, StoreError> {
        let secrets = self.secrets.lock().unwrap();
        let folder = format!("{}/", permit.target().path.path());
        let names = secrets.keys().filter_map(|path| path.strip_prefix(&folder));
        let names: Vec<_> = names.map(str::to_owned).collect();
        if names.is_empty() {
            return Err(StoreError::NotFound);
        }
        Ok(names)
    }

    async fn history(&self, permit: &Permit) -> Result<History, StoreError> {
        let secrets = self.secrets.lock().unwrap();
        let versions = secrets.get(permit.target().path.path());
        let versions = versions.ok_or(StoreError::NotFound)?;
        let count = versions.len() as u64;
        let numbered = versions
            .iter()
            .zip(1..=count)
            .collect::<Vec<_>>()
            .into_iter()
            .rev();
        Ok(History {
            current: versions.len() as u64,
            versions: numbered
                .map(|((_, state), number)| Version {
                    number,
                    created: "2026-01-02T03:04:05.123456789Z".to_owned(),
                    deletion: String::new(),
                    state: *state,
                })
                .collect(),
            ..History::default()
        })
    }

    async fn put(
        &self,
        permit: &Permit,
        fields: &[Field],
        over: Option<u64>,
    ) -> Result<Option<VersionFacts>, StoreError> {
        self.add(permit, fields, over, false).map(Some)
    }

    async fn patch(
        &self,
        permit: &Permit,
        fields: &[Field],
        over: Option<u64>,
    ) -> Result<VersionFacts, StoreError> {
        self.add(permit, fields, over, true)
    }

    async fn delete(&self, permit: &Permit) -> Result<Option<u64>, StoreError> {
        self.up()?;
        let newest = self.history(permit).await?.current;
        let version = permit.target().version.unwrap_or(newest);
        self.mark(permit, Some(version), VersionState::Deleted)?;
        Ok(Some(version))
    }

    async fn undelete(&self, permit: &Permit, version: u64) -> Result<(), StoreError> {
        self.mark(permit, Some(version), VersionState::Live)
    }

    /// 123456 and 234567, each once and for everybody.
    async fn check_code(
        &self,
        _: &str,
        person: &str,
        code: &SecretValue,
    ) -> Result<bool, StoreError> {
        let code = String::from_utf8(code.expose_secret().to_vec()).unwrap();
        let entry = format!("{person} {code}");
        let mut taken = self.codes.lock().unwrap();
        let valid = matches!(&*code, "123456" | "234567") && !taken.contains(&entry);
        if valid {
            taken.push(entry);
        }
        Ok(valid)
    }

    async fn health(&self) -> StoreHealth {
        StoreHealth::Ready(Serving {
            version: "2.7.2".to_owned(),
            ..Serving::default()
        })
    }
}
