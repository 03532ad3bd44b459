//! A process that ends at any of its writes, and one that comes after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use time::OffsetDateTime;
use vaultgram::broker::ports::{Claim, Coordination, CoordinationError};
use vaultgram::coordination::LocalStore;
use vaultgram::domain::Subject;
use vaultgram::domain::approval::State;

use super::*;

/// A store that takes so many writes; with the next one the process ends, before or after it.
struct Dying {
    inner: Arc<LocalStore>,
    left: AtomicUsize,
    after: bool,
}

impl Dying {
    /// Whether the write that comes is still made; an error where nobody hears of it.
    fn next(&self) -> Result<bool, CoordinationError> {
        match self.left.load(Ordering::SeqCst) {
            0 => Err(ended()),
            1 => {
                self.left.store(0, Ordering::SeqCst);
                if self.after { Ok(false) } else { Err(ended()) }
            }
            more => {
                self.left.store(more - 1, Ordering::SeqCst);
                Ok(true)
            }
        }
    }

    fn lives(&self) -> Result<(), CoordinationError> {
        match self.left.load(Ordering::SeqCst) {
            0 => Err(ended()),
            _ => Ok(()),
        }
    }

    fn told<T>(heard: bool, result: Result<T, CoordinationError>) -> Result<T, CoordinationError> {
        if heard { result } else { Err(ended()) }
    }
}

fn ended() -> CoordinationError {
    CoordinationError("the process has ended".to_owned())
}

#[async_trait]
impl Coordination for Dying {
    async fn claim(&self, key: &str, until: OffsetDateTime) -> Result<Claim, CoordinationError> {
        let heard = self.next()?;
        Self::told(heard, self.inner.claim(key, until).await)
    }

    async fn finish(&self, key: &str) -> Result<(), CoordinationError> {
        let heard = self.next()?;
        Self::told(heard, self.inner.finish(key).await)
    }

    async fn put(&self, key: &str, value: &[u8]) -> Result<(), CoordinationError> {
        let heard = self.next()?;
        Self::told(heard, self.inner.put(key, value).await)
    }

    async fn delete(&self, key: &str) -> Result<(), CoordinationError> {
        let heard = self.next()?;
        Self::told(heard, self.inner.delete(key).await)
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, CoordinationError> {
        self.lives()?;
        self.inner.get(key).await
    }

    async fn swap(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<bool, CoordinationError> {
        let heard = self.next()?;
        Self::told(heard, self.inner.swap(key, expected, new).await)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, CoordinationError> {
        self.lives()?;
        self.inner.list(prefix).await
    }

    async fn inherit(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, CoordinationError> {
        self.lives()?;
        self.inner.inherit(prefix).await
    }
}

/// Alice has `once` granted and reads it, then has `one` granted, extended, used and taken back.
/// Each step is made only where what went before left it to be made. How often `once` was released.
async fn live(world: &World, broker: &Broker) -> Result<usize, BrokerError> {
    let alice = on_telegram(ALICE.0);
    let mine = async |path: &str, extension: bool| {
        let all = broker.approvals_for_notices().await?;
        let found = all
            .into_iter()
            .find(|it| it.target.path.path() == path && it.extends.is_some() == extension);
        Ok::<_, BrokerError>(found)
    };
    let mut got = 0;
    let once = if let Some(once) = mine("once", false).await? {
        once
    } else {
        let request = read(world, ALICE.0, "once");
        open_of(broker.open_approval(&request, "to fix the login").await)?
    };
    if once.state == State::Pending {
        approve(world, broker, BOB.0, &once).await?;
    }
    if let Ok(Outcome::Released(_)) = ask(world, broker, "once").await.inspect_err(|error| {
        assert!(
            matches!(error, BrokerError::Coordination(_) | BrokerError::Store(_)),
            "{error}"
        );
    }) {
        got += 1;
    }
    let two = if let Some(two) = mine("two", false).await? {
        two
    } else {
        let request = read(world, ALICE.0, "two");
        open_of(broker.open_approval(&request, "to fix the login").await)?
    };
    for who in [BOB.0, DAN] {
        match approve(world, broker, who, &two).await {
            Ok(_) | Err(BrokerError::Approval(ApprovalError::Refused(_))) => {}
            Err(error) => return Err(error),
        }
    }
    broker.tend_approvals().await?;
    let two = broker.approval(&alice, two.id.as_str()).await?;
    let name = two.id.to_string();
    if two.state == State::Granted {
        let more = if let Some(more) = mine("two", true).await? {
            more
        } else {
            world.clock.pass(std::time::Duration::from_mins(1));
            open_of(
                broker
                    .extend(&world.id(), &alice, &name, "it takes longer")
                    .await,
            )?
        };
        for who in [CAROL, BOB.0] {
            match approve(world, broker, who, &more).await {
                Ok(_) | Err(BrokerError::Approval(ApprovalError::Refused(_))) => {}
                Err(error) => return Err(error),
            }
        }
        broker.tend_approvals().await?;
        let more = broker.approval(&alice, more.id.as_str()).await?;
        assert_eq!(more.state, State::Applied);
        let two = broker.approval(&alice, &name).await?;
        assert_eq!(two.votes.len(), 2);
        assert_eq!(two.grant.unwrap().until, more.grant.unwrap().until);
        assert!(released(world, broker, "two").await || broker.chat_locked().await.is_err());
        broker.revoke_approval(&world.id(), &alice, &name).await?;
    }
    assert!(!released(world, broker, "two").await);
    Ok(got)
}

fn open_of(
    opened: Result<vaultgram::broker::Opened, BrokerError>,
) -> Result<ApprovalInfo, BrokerError> {
    opened.map(|opened| open(Ok(opened)))
}

#[tokio::test]
async fn whichever_write_is_the_last_the_next_process_goes_on() {
    let mut survived = 0;
    for after in [false, true] {
        for writes in 1.. {
            let mut world = world();
            let dying = Dying {
                inner: world.coordination.clone(),
                left: AtomicUsize::new(writes),
                after,
            };
            let dying = Arc::new(dying);
            let broker = world.broker_on(dying.clone());
            let first = live(&world, &broker).await;
            drop(broker);
            let whole = dying.lives().is_ok();
            drop(dying);
            if whole {
                assert_eq!(first, Ok(1));
                assert!(writes > 12, "{writes} writes");
                break;
            }
            world.restart().await;
            let broker = world.broker();
            broker.tend_approvals().await.unwrap();
            let again = live(&world, &broker).await;
            assert!(again.is_ok(), "write {writes}: {again:?}");
            // Its one use is made at most once, by whichever process.
            let entries = world.audit.take_entries();
            let released = entries.iter().filter(|entry| {
                let once = matches!(&entry.subject, Subject::Secret { target, .. }
                    if target.path.path() == "once");
                once && matches!(entry.event, AuditEvent::Released(_))
            });
            assert!(released.count() <= 1, "write {writes}");
            survived += 1;
        }
    }
    assert!(survived > 24, "{survived}");
}
