//! What is kept, for whom, for how long; and that nothing wrong ever comes of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use vaultgram::broker::ports::{SecretStore, StoreError, StoreHealth};
use vaultgram::domain::{
    Action, Age, Delivery, Field, History, Lease, MountKind, Mounts, Origin, Permit, Secret,
    SecretPath, Target, Version, VersionFacts, VersionState,
};
use vaultgram::vault::{Cached, Store};

use crate::openbao::OpenBao;
use crate::world::{World, app_role, error, field, fields, permit_by, settings};

const TERMS: &str = r#"@cache("1m") @stale("10m") permit(principal, action, resource);"#;

/// A store that counts, and answers what it is told to.
struct Fake {
    calls: Mutex<Vec<&'static str>>,
    version: Mutex<u64>,
    /// What comes of the next calls.
    failures: Mutex<VecDeque<Option<StoreError>>>,
    /// How long an answer takes.
    takes: Mutex<Duration>,
    origin: Mutex<Option<Origin>>,
    /// What it says of every version.
    told: Mutex<VersionFacts>,
    /// Whether nobody knows of a change whether it was done.
    unclear: Mutex<bool>,
    /// How far the time is ahead of the real one.
    passed: Arc<Mutex<Duration>>,
}

impl Fake {
    fn calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    fn facts(&self, number: u64) -> VersionFacts {
        let told = self.told.lock().unwrap().clone();
        VersionFacts { number, ..told }
    }

    fn advance(&self, by: Duration) {
        *self.passed.lock().unwrap() += by;
    }

    fn fails(&self, error: &StoreError, times: usize) {
        let mut failures = self.failures.lock().unwrap();
        failures.extend(std::iter::repeat_n(Some(error.clone()), times));
    }

    async fn called(&self, what: &'static str) -> Result<u64, StoreError> {
        self.calls.lock().unwrap().push(what);
        // What was so when it was asked.
        let version = *self.version.lock().unwrap();
        let takes = *self.takes.lock().unwrap();
        sleep(takes).await;
        match self.failures.lock().unwrap().pop_front() {
            Some(Some(error)) => Err(error),
            Some(None) | None => Ok(version),
        }
    }
}

#[async_trait]
impl SecretStore for Fake {
    async fn read(&self, permit: &Permit) -> Result<Secret, StoreError> {
        let newest = self.called("read").await?;
        let number = permit.target().version.unwrap_or(newest);
        let secret = Secret::of_version(vec![field("n", &number.to_string())], self.facts(number));
        let origin = self.origin.lock().unwrap().clone();
        Ok(Secret {
            origin: origin.unwrap_or(secret.origin),
            ..secret
        })
    }

    async fn history(&self, _: &Permit) -> Result<History, StoreError> {
        let current = self.called("history").await?;
        let versions = (1..=current).rev().map(|number| Version {
            number,
            created: self.facts(number).created,
            deletion: String::new(),
            // The first is deleted as soon as there is a second.
            state: if number == 1 && current > 1 {
                VersionState::Deleted
            } else {
                VersionState::Live
            },
        });
        Ok(History {
            current,
            versions: versions.collect(),
            notes: self.facts(0).notes,
            ..History::default()
        })
    }

    async fn put(
        &self,
        _: &Permit,
        _: &[Field],
        _: Option<u64>,
    ) -> Result<Option<VersionFacts>, StoreError> {
        self.calls.lock().unwrap().push("put");
        let mut version = self.version.lock().unwrap();
        *version += 1;
        if *self.unclear.lock().unwrap() {
            return Err(StoreError::Unclear);
        }
        Ok(None)
    }

    async fn health(&self) -> StoreHealth {
        StoreHealth::Unreachable {
            reason: String::new(),
        }
    }
}

fn kept() -> (Arc<Fake>, Cached) {
    let fake = Arc::new(Fake {
        calls: Mutex::default(),
        version: Mutex::new(1),
        failures: Mutex::default(),
        takes: Mutex::default(),
        origin: Mutex::default(),
        told: Mutex::default(),
        unclear: Mutex::default(),
        passed: Arc::default(),
    });
    let mounts = vec![
        ("secret".to_owned(), MountKind::Kv2),
        ("engine".to_owned(), MountKind::Engine),
    ];
    let passed = Arc::clone(&fake.passed);
    let now = move || Instant::now() + *passed.lock().unwrap();
    let mounts = Mounts::of(mounts).unwrap();
    let cached = Cached::with_time(Arc::clone(&fake) as _, mounts, Box::new(now));
    (fake, cached)
}

fn target(mount: &str, version: Option<u64>) -> Target {
    Target {
        path: SecretPath::new(mount, "app").unwrap(),
        field: None,
        version,
    }
}

fn read_by(policy: &str, mount: &str, version: Option<u64>) -> Permit {
    let action = Action::Read(Delivery::Socket);
    permit_by(policy, action, target(mount, version))
}

/// The value, and the age in seconds with whether it is stale.
fn seen(secret: Result<Secret, StoreError>) -> (String, Option<(u64, bool)>) {
    let secret = secret.unwrap_or_else(|error| panic!("{error}"));
    let age = secret
        .age
        .map(|Age { since, stale }| (since.as_secs(), stale));
    (fields(&secret)[0].1.clone(), age)
}

#[tokio::test]
async fn an_answer_is_kept_for_its_time_and_asked_after_when_half_of_it_is_over() {
    let (fake, cached) = kept();
    let permit = read_by(TERMS, "secret", None);
    assert_eq!(seen(cached.read(&permit).await), ("1".into(), None));
    assert_eq!(fake.calls(), ["read"]);

    fake.advance(Duration::from_secs(29));
    assert_eq!(
        seen(cached.read(&permit).await),
        ("1".into(), Some((29, false)))
    );
    assert!(fake.calls().is_empty());

    fake.advance(Duration::from_secs(2));
    let kept = seen(cached.read(&permit).await);
    assert_eq!(kept, ("1".into(), Some((0, false))));
    assert_eq!(fake.calls(), ["history"]);
    fake.advance(Duration::from_secs(20));
    let kept = seen(cached.read(&permit).await);
    assert_eq!(kept, ("1".into(), Some((20, false))));
    assert!(fake.calls().is_empty());

    // However often it was confirmed: whether Vault still lets us read it shows in reading it.
    fake.advance(Duration::from_secs(10));
    assert_eq!(seen(cached.read(&permit).await), ("1".into(), None));
    assert_eq!(fake.calls(), ["read"]);
}

#[tokio::test]
async fn what_is_no_longer_so_is_read_again() {
    let (fake, cached) = kept();
    let (newest, first) = (
        read_by(TERMS, "secret", None),
        read_by(TERMS, "secret", Some(1)),
    );
    assert_eq!(seen(cached.read(&newest).await).0, "1");
    assert_eq!(seen(cached.read(&first).await).0, "1");
    // A version is kept apart from the newest.
    assert_eq!(fake.calls(), ["read", "read"]);
    *fake.version.lock().unwrap() = 2;
    fake.advance(Duration::from_secs(31));
    assert_eq!(seen(cached.read(&newest).await), ("2".into(), None));
    assert_eq!(fake.calls(), ["history", "read"]);
    // It is deleted by now, and Vault says so itself.
    let deleted = StoreError::Deleted(fake.facts(1));
    fake.failures.lock().unwrap().push_back(None);
    fake.fails(&deleted, 1);
    assert_eq!(error(cached.read(&first).await), deleted);
    assert_eq!(fake.calls(), ["history", "read"]);
    // And then nothing of it is kept.
    fake.fails(&StoreError::Unavailable, 1);
    assert_eq!(error(cached.read(&first).await), StoreError::Unavailable);
}

#[tokio::test]
async fn a_number_that_says_another_thing_is_another_version() {
    let (fake, cached) = kept();
    let permit = read_by(TERMS, "secret", None);
    assert_eq!(seen(cached.read(&permit).await).0, "1");
    for change in [
        |told: &mut VersionFacts| told.created = "T".to_owned(),
        |told: &mut VersionFacts| told.notes.push(("a".to_owned(), "b".to_owned())),
    ] {
        change(&mut fake.told.lock().unwrap());
        fake.advance(Duration::from_secs(31));
        assert_eq!(seen(cached.read(&permit).await), ("1".into(), None));
    }
    assert_eq!(fake.calls(), ["read", "history", "read", "history", "read"]);
}

#[tokio::test]
async fn nothing_is_kept_without_its_policys_word_nor_of_an_engine() {
    let (fake, cached) = kept();
    let silent = read_by("permit(principal, action, resource);", "secret", None);
    let engine = read_by(TERMS, "engine", None);
    for permit in [&silent, &engine] {
        for _ in 0..2 {
            assert_eq!(seen(cached.read(permit).await), ("1".into(), None));
        }
        assert_eq!(fake.calls(), ["read", "read"]);
    }
    // Not even where a KV mount is not what it is said to be.
    *fake.origin.lock().unwrap() = Some(Origin::Leased(Lease {
        id: "database/creds/app/x".into(),
        duration: Duration::from_mins(1),
        renewable: true,
        code: None,
    }));
    let permit = read_by(TERMS, "secret", None);
    for _ in 0..2 {
        assert_eq!(seen(cached.read(&permit).await), ("1".into(), None));
    }
    assert_eq!(fake.calls(), ["read", "read"]);
}

#[tokio::test]
async fn what_one_token_role_was_given_is_nothing_for_another() {
    let (fake, cached) = kept();
    for role in ["developers", "operators"] {
        let policy = format!(r#"@vault_role("{role}") {TERMS}"#);
        let permit = read_by(&policy, "secret", None);
        assert_eq!(seen(cached.read(&permit).await), ("1".into(), None));
        assert_eq!(seen(cached.read(&permit).await).1, Some((0, false)));
    }
    assert_eq!(fake.calls(), ["read", "read"]);
}

#[tokio::test]
async fn many_who_ask_at_once_are_one_question() {
    let (fake, cached) = kept();
    let permit = read_by(TERMS, "secret", None);
    *fake.takes.lock().unwrap() = Duration::from_millis(100);
    // A failure is everybody's too: else each would ask a Vault in trouble after the other.
    fake.fails(&StoreError::Unavailable, 1);
    for (failed, calls) in [(true, 1), (false, 1)] {
        let all = (0..64).map(|_| cached.read(&permit));
        let answers = futures_util::future::join_all(all).await;
        assert!(answers.iter().all(|answer| answer.is_err() == failed));
        assert_eq!(fake.calls().len(), calls);
    }
}

#[tokio::test]
async fn a_change_through_us_is_seen_at_once() {
    let (fake, cached) = kept();
    let permit = read_by(TERMS, "secret", None);
    let put = permit_by(TERMS, Action::Put { over: Some(1) }, target("secret", None));
    assert_eq!(seen(cached.read(&permit).await).0, "1");
    cached.put(&put, &[], Some(1)).await.unwrap();
    assert_eq!(seen(cached.read(&permit).await), ("2".into(), None));

    // Read before a change and answered after it: not kept.
    fake.advance(Duration::from_mins(2));
    *fake.takes.lock().unwrap() = Duration::from_millis(100);
    let change = async {
        sleep(Duration::from_millis(50)).await;
        cached.put(&put, &[], Some(2)).await.unwrap();
    };
    let (old, ()) = tokio::join!(cached.read(&permit), change);
    assert_eq!(seen(old).0, "2");
    assert_eq!(seen(cached.read(&permit).await), ("3".into(), None));
}

#[tokio::test]
async fn while_vault_is_away_what_was_kept_is_served_and_says_how_old_it_is() {
    let (fake, cached) = kept();
    let permit = read_by(TERMS, "secret", None);
    assert_eq!(seen(cached.read(&permit).await).0, "1");
    fake.fails(&StoreError::Sealed, 1);
    fake.advance(Duration::from_secs(45));
    assert_eq!(
        seen(cached.read(&permit).await),
        ("1".into(), Some((45, true)))
    );
    // Who asks right after does not ask Vault again, nor wait.
    assert_eq!(
        seen(cached.read(&permit).await),
        ("1".into(), Some((45, true)))
    );
    assert_eq!(fake.calls(), ["read", "history"]);

    // A Vault that does not answer at all is not waited for long.
    *fake.takes.lock().unwrap() = Duration::from_secs(5);
    fake.advance(Duration::from_secs(2));
    let start = Instant::now();
    assert_eq!(
        seen(cached.read(&permit).await),
        ("1".into(), Some((47, true)))
    );
    assert!(start.elapsed() < Duration::from_secs(4));

    *fake.takes.lock().unwrap() = Duration::ZERO;
    fake.advance(Duration::from_mins(9));
    fake.fails(&StoreError::Unavailable, 2);
    assert_eq!(seen(cached.read(&permit).await).1, Some((588, true)));
    fake.advance(Duration::from_secs(20));
    assert_eq!(error(cached.read(&permit).await), StoreError::Unavailable);
    // It is back.
    assert_eq!(seen(cached.read(&permit).await), ("1".into(), None));
}

#[tokio::test]
async fn of_all_who_ask_while_vault_hangs_one_waits() {
    let (fake, cached) = kept();
    let permits: Vec<Permit> = (1..=8)
        .map(|version| read_by(TERMS, "secret", Some(version)))
        .collect();
    for permit in &permits {
        assert!(cached.read(permit).await.is_ok());
    }
    fake.calls();
    fake.advance(Duration::from_mins(1));
    *fake.takes.lock().unwrap() = Duration::from_mins(1);
    assert!(cached.read(&permits[0]).await.is_ok());
    let start = Instant::now();
    for permit in &permits {
        let (_, age) = seen(cached.read(permit).await);
        assert!(age.is_some_and(|(_, stale)| stale), "{age:?}");
    }
    assert!(start.elapsed() < Duration::from_millis(500));
    assert_eq!(fake.calls(), ["read"]);
    // While one finds out whether it is back the others still do not wait.
    fake.advance(Duration::from_secs(2));
    let (probe, ()) = tokio::join!(cached.read(&permits[0]), async {
        let start = Instant::now();
        for permit in &permits {
            assert!(cached.read(permit).await.is_ok());
        }
        assert!(start.elapsed() < Duration::from_millis(500));
    });
    assert!(probe.is_ok());
    assert_eq!(fake.calls(), ["read"]);
}

#[tokio::test]
async fn what_may_still_change_by_itself_is_not_kept() {
    let (fake, cached) = kept();
    let permit = read_by(TERMS, "secret", None);
    *fake.unclear.lock().unwrap() = true;
    assert_eq!(
        cached.put(&permit, &[], Some(1)).await.err(),
        Some(StoreError::Unclear)
    );
    for _ in 0..2 {
        assert!(cached.read(&permit).await.is_ok());
    }
    assert_eq!(fake.calls(), ["put", "read", "read"]);
}

#[tokio::test]
async fn a_refusal_is_no_absence_and_nothing_stale_is_served_unasked() {
    let (fake, cached) = kept();
    let permit = read_by(TERMS, "secret", None);
    assert_eq!(seen(cached.read(&permit).await).0, "1");
    fake.advance(Duration::from_mins(1));
    fake.fails(&StoreError::Forbidden, 1);
    assert_eq!(error(cached.read(&permit).await), StoreError::Forbidden);
    fake.fails(&StoreError::Unavailable, 1);
    assert_eq!(error(cached.read(&permit).await), StoreError::Unavailable);

    let permit = read_by(
        r#"@cache("1m") permit(principal, action, resource);"#,
        "secret",
        None,
    );
    assert_eq!(seen(cached.read(&permit).await).0, "1");
    fake.advance(Duration::from_secs(40));
    fake.fails(&StoreError::Unavailable, 1);
    assert_eq!(error(cached.read(&permit).await), StoreError::Unavailable);
}

#[tokio::test]
async fn what_is_changed_while_vault_is_asked_is_not_served_stale() {
    let (fake, cached) = kept();
    let permit = read_by(TERMS, "secret", None);
    assert_eq!(seen(cached.read(&permit).await).0, "1");
    fake.advance(Duration::from_mins(1));
    *fake.takes.lock().unwrap() = Duration::from_millis(300);
    fake.fails(&StoreError::Unavailable, 1);
    let change = async {
        sleep(Duration::from_millis(100)).await;
        assert!(cached.put(&permit, &[], Some(1)).await.is_ok());
    };
    let (read, ()) = tokio::join!(cached.read(&permit), change);
    assert_eq!(error(read), StoreError::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_vault_goes_and_comes_back() {
    let mut bao = OpenBao::start();
    bao.put("app", &json!({"n": "one"}));
    let world = World::start(settings(
        bao.address(),
        app_role(&bao, "cached", &json!({})),
    ));
    let store: Arc<Store> = Arc::clone(&world.store);
    let cached = Cached::new(store, Mounts::new(vec!["secret".into()]).unwrap());
    let policy = r#"@cache("2s") @stale("5m") permit(principal, action, resource);"#;
    let permit = read_by(policy, "secret", None);
    assert_eq!(seen(cached.read(&permit).await), (r#""one""#.into(), None));
    assert_eq!(seen(cached.read(&permit).await).1, Some((0, false)));

    // Changed past us: found out when half of the time is over, by the metadata alone.
    bao.put("app", &json!({"n": "two"}));
    sleep(Duration::from_millis(1100)).await;
    assert_eq!(seen(cached.read(&permit).await), (r#""two""#.into(), None));

    bao.kill();
    sleep(Duration::from_millis(2100)).await;
    assert_eq!(
        seen(cached.read(&permit).await),
        (r#""two""#.into(), Some((2, true)))
    );
    bao.restart_sealed();
    sleep(Duration::from_secs(1)).await;
    assert!(
        seen(cached.read(&permit).await)
            .1
            .is_some_and(|(_, stale)| stale)
    );
    bao.unseal();
    world.ready().await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(seen(cached.read(&permit).await), (r#""two""#.into(), None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vaultgram_that_is_cut_off_hands_out_nothing_stale() {
    let bao = OpenBao::start();
    bao.put("app", &json!({"n": "one"}));
    let auth = app_role(&bao, "cut", &json!({}));
    let world = World::start(settings(bao.address(), auth));
    let store: Arc<Store> = Arc::clone(&world.store);
    let cached = Cached::new(store, Mounts::new(vec!["secret".into()]).unwrap());
    let policy = r#"@cache("1s") @stale("5m") permit(principal, action, resource);"#;
    let permit = read_by(policy, "secret", None);
    assert_eq!(seen(cached.read(&permit).await), (r#""one""#.into(), None));
    bao.must("DELETE", "auth/approle/role/cut", &Value::Null);
    bao.revoke_tokens_of("cut");
    sleep(Duration::from_millis(1100)).await;
    for _ in 0..2 {
        assert_eq!(error(cached.read(&permit).await), StoreError::LoggedOut);
    }
}
