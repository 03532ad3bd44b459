//! Any request somebody could send: it has an answer that is JSON and no fault of ours, and what the
//! store is asked for lies in the mounts that are served.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use time::OffsetDateTime;
use tokio::runtime::{Builder, Runtime};
use tokio_util::task::TaskTracker;
use vaultgram::age::AgeSealer;
use vaultgram::broker::ports::{
    AuditError, AuditSink, Claim, Coordination, CoordinationError, SecretStore, StoreError,
    StoreHealth, SystemClock, SystemRandom,
};
use vaultgram::broker::{ApprovalRules, Broker, Ports, Rules};
use vaultgram::domain::caller::UnixPeer;
use vaultgram::domain::group::Groups;
use vaultgram::domain::policy_load::PolicySource;
use vaultgram::domain::{
    AuditEntry, Field, MountKind, Mounts, Permit, Policy, Secret, SecretValue, VersionFacts,
};
use vaultgram::http::VaultApi;

static WORLD: LazyLock<(Runtime, VaultApi)> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_time().build();
    let api = VaultApi::new(broker(), TaskTracker::new(), Duration::from_secs(5));
    (runtime.expect("a runtime"), api)
});

fuzz_target!(|text: &[u8]| {
    let Some(request) = request(text) else {
        return;
    };
    let path = request.uri().path().to_owned();
    let (runtime, api) = &*WORLD;
    let reply = runtime.block_on(api.answer(request, &UnixPeer::known(1000, 1000, 7)));
    let status = reply.status().as_u16();
    assert!((200..600).contains(&status));
    // All that works here: a fault would be ours. Health has the status that was asked for.
    assert!(
        status != 500 || path == "/v1/sys/health",
        "{status} for {path}"
    );
    let body = runtime.block_on(reply.into_body().collect());
    let Ok(body) = body.map(|body| body.to_bytes());
    if !body.is_empty() && path != "/v1/sys/metrics" {
        let json: Value = serde_json::from_slice(&body).expect("every answer is JSON");
        let shaped = json.get("errors").is_some_and(Value::is_array) || json.get("data").is_some();
        assert!(status < 400 || shaped || path == "/v1/sys/health");
    }
});

/// `METHOD TARGET`, lines `NAME: VALUE`, an empty line and the body; `None` where hyper would not pass
/// it on.
fn request(text: &[u8]) -> Option<Request<Full<Bytes>>> {
    let end = text.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = text.split_at(end.unwrap_or(text.len()));
    let mut lines = head.split(|sign| *sign == b'\n');
    let mut words = lines.next()?.splitn(2, |sign| *sign == b' ');
    let (method, target) = (words.next()?, words.next()?);
    let mut request = Request::builder().method(method).uri(target);
    for line in lines.take(64) {
        let colon = line.iter().position(|sign| *sign == b':')?;
        let (name, value) = line.split_at(colon);
        request = request.header(name, value.get(1..)?.trim_ascii());
    }
    let body = Bytes::copy_from_slice(body.get(2..).unwrap_or_default());
    request.body(Full::new(body)).ok()
}

/// One that permits everything.
fn broker() -> Arc<Broker> {
    let mounts = vec![
        ("secret".to_owned(), MountKind::Kv2),
        ("team/kv".to_owned(), MountKind::Kv2),
        ("old".to_owned(), MountKind::Kv1),
        ("db".to_owned(), MountKind::Engine),
    ];
    let mounts = Mounts::of(mounts).expect("they are valid");
    let source = PolicySource {
        name: "fuzz".to_owned(),
        text: "permit(principal, action, resource);".to_owned(),
    };
    let policy = Policy::load(&[source], Groups::default(), &mounts);
    let rules = Rules {
        policy: policy.unwrap_or_else(|error| panic!("{error}")).into(),
        mounts,
        wrap_ttl: Duration::from_secs(60),
        unix_users: BTreeMap::new(),
        admins: BTreeSet::new(),
        approvals: ApprovalRules::default(),
    };
    let ports = Ports {
        store: Arc::new(Store),
        audit: Arc::new(Forgetful),
        coordination: Arc::new(Forgetful),
        sealer: Arc::new(AgeSealer),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        pipelines: None,
    };
    Arc::new(Broker::new(rules, ports))
}

/// Has one secret everywhere, and takes every parameter.
struct Store;

/// What the store is asked for is what there can be.
fn check(permit: &Permit) {
    let path = &permit.target().path;
    assert!(["secret", "team/kv", "old", "db"].contains(&path.mount()));
    let segments = path.path().split('/').filter(|_| !path.path().is_empty());
    for segment in segments {
        assert!(!["", ".", ".."].contains(&segment), "{path}");
        assert!(
            segment.bytes().all(|sign| sign.is_ascii_graphic()),
            "{path}"
        );
    }
}

fn secret() -> Secret {
    let field = Field {
        name: "key".to_owned(),
        json: SecretValue::new(b"\"value\"".to_vec()),
    };
    Secret::of_version(vec![field], VersionFacts::default())
}

#[async_trait]
impl SecretStore for Store {
    async fn read(&self, permit: &Permit) -> Result<Secret, StoreError> {
        check(permit);
        Ok(secret())
    }

    async fn invoke(&self, permit: &Permit, _: &[Field]) -> Result<Secret, StoreError> {
        check(permit);
        Ok(secret())
    }

    async fn list(&self, permit: &Permit) -> Result<Vec<String>, StoreError> {
        check(permit);
        Ok(vec!["a".to_owned(), "b/".to_owned()])
    }

    async fn put(
        &self,
        permit: &Permit,
        fields: &[Field],
        _: Option<u64>,
    ) -> Result<Option<VersionFacts>, StoreError> {
        check(permit);
        assert!(!fields.is_empty());
        Ok(Some(VersionFacts::default()))
    }

    async fn delete(&self, permit: &Permit) -> Result<Option<u64>, StoreError> {
        check(permit);
        Ok(permit.target().version)
    }

    async fn undelete(&self, permit: &Permit, _: u64) -> Result<(), StoreError> {
        check(permit);
        Ok(())
    }

    async fn destroy(&self, permit: &Permit, _: u64) -> Result<(), StoreError> {
        check(permit);
        Ok(())
    }

    async fn health(&self) -> StoreHealth {
        StoreHealth::Sealed
    }
}

/// Keeps nothing, and says that it did.
struct Forgetful;

#[async_trait]
impl AuditSink for Forgetful {
    async fn record_all(&self, _: Vec<AuditEntry>) -> Result<(), AuditError> {
        Ok(())
    }
}

#[async_trait]
impl Coordination for Forgetful {
    async fn claim(&self, _: &str, _: OffsetDateTime) -> Result<Claim, CoordinationError> {
        Ok(Claim::Ours)
    }

    async fn finish(&self, _: &str) -> Result<(), CoordinationError> {
        Ok(())
    }

    async fn put(&self, _: &str, _: &[u8]) -> Result<(), CoordinationError> {
        Ok(())
    }

    async fn delete(&self, _: &str) -> Result<(), CoordinationError> {
        Ok(())
    }

    async fn get(&self, _: &str) -> Result<Option<Vec<u8>>, CoordinationError> {
        Ok(None)
    }

    async fn swap(
        &self,
        _: &str,
        expected: Option<&[u8]>,
        _: Option<&[u8]>,
    ) -> Result<bool, CoordinationError> {
        Ok(expected.is_none())
    }

    async fn list(&self, _: &str) -> Result<Vec<(String, Vec<u8>)>, CoordinationError> {
        Ok(vec![])
    }

    async fn inherit(&self, _: &str) -> Result<Vec<(String, Vec<u8>)>, CoordinationError> {
        Ok(vec![])
    }
}
