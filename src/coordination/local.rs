//! The store of a single replica: one file, one thread that owns it.
//!
//! The thread takes the operations that wait and commits them together, so that many share
//! one sync to disk; each is answered when it is durable.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use async_trait::async_trait;
use redb::StorageError;
use time::OffsetDateTime;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::broker::ports::{Claim, Clock, Coordination, CoordinationError};
use crate::coordination::OpenError;
use crate::coordination::database::{Database, Tables};
use crate::telemetry::metrics::state_call;

/// Longest key or prefix, in bytes.
const MAX_KEY: usize = 512;
/// Longest value, in bytes.
const MAX_VALUE: usize = 64 * 1024;
/// Operations that may wait for the thread. More means that the disk stands still.
const QUEUE: usize = 4096;
/// Operations committed at once.
const BATCH: usize = 256;
/// Ended claims forgotten with each commit, beside one for each operation in it: the file
/// cannot grow without bound, and no commit takes long.
const SWEEP: usize = 64;
/// Longest wait for the disk.
const PATIENCE: Duration = Duration::from_secs(10);

/// The store in a file.
#[derive(Debug)]
pub struct LocalStore {
    queue: SyncSender<Job>,
}

enum Job {
    Write(Operation, Answer<Claim>),
    Read(Reading),
    Close(Answer<()>),
}

/// What is looked up, after the changes that came before it.
enum Reading {
    Get(String, Answer<Option<Vec<u8>>>),
    List(String, Answer<Vec<(String, Vec<u8>)>>),
    Inherit(String, Answer<Vec<(String, Vec<u8>)>>),
}

/// A change. Only a claim can turn out other than [`Claim::Ours`], and a swap, which is
/// [`Claim::Taken`] where the key has another value.
enum Operation {
    Claim(String, OffsetDateTime),
    Finish(String),
    Put(String, Vec<u8>),
    Delete(String),
    Swap {
        key: String,
        expected: Option<Vec<u8>>,
        new: Option<Vec<u8>>,
    },
}

type Answer<T> = oneshot::Sender<Result<T, CoordinationError>>;

impl LocalStore {
    /// Opens the file at `path`, made if missing, and starts its thread. Blocks on the disk.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: PathBuf, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let mut database = Database::open(path.clone())?;
        let left = database.keys().map_err(|reason| OpenError::Damaged {
            path: path.clone(),
            reason,
        })?;
        // One process at a time has the file, so a claim under another name is of one that ended.
        let name = rand::random();
        let (queue, jobs) = sync_channel(QUEUE);
        let owner = Owner {
            database,
            name,
            left,
            jobs,
            clock,
        };
        std::thread::Builder::new()
            .name("coordination".into())
            .spawn(move || owner.run())
            .map_err(|source| OpenError::Io { path, source })?;
        Ok(Self { queue })
    }

    /// Commits what waits and closes the file: every operation fails from here on.
    ///
    /// # Errors
    /// When the disk does not answer within ten seconds.
    pub async fn close(&self) -> Result<(), CoordinationError> {
        self.ask(Job::Close).await
    }

    async fn ask<T>(&self, job: impl FnOnce(Answer<T>) -> Job) -> Result<T, CoordinationError> {
        let began = Instant::now();
        let done = self.ask_once(job).await;
        state_call(done.is_ok(), began.elapsed());
        done
    }

    async fn ask_once<T>(
        &self,
        job: impl FnOnce(Answer<T>) -> Job,
    ) -> Result<T, CoordinationError> {
        let (answer, answered) = oneshot::channel();
        self.queue
            .try_send(job(answer))
            .map_err(|full| match full {
                TrySendError::Full(_) => failed("the disk does not keep up; too many changes wait"),
                TrySendError::Disconnected(_) => failed("the state store is closed"),
            })?;
        match timeout(PATIENCE, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(failed("the state store is closed")),
            Err(_) => Err(failed("the disk does not answer")),
        }
    }
}

#[async_trait]
impl Coordination for LocalStore {
    async fn claim(&self, key: &str, until: OffsetDateTime) -> Result<Claim, CoordinationError> {
        let operation = Operation::Claim(checked(key)?, until);
        self.ask(|answer| Job::Write(operation, answer)).await
    }

    async fn finish(&self, key: &str) -> Result<(), CoordinationError> {
        let operation = Operation::Finish(checked(key)?);
        self.ask(|answer| Job::Write(operation, answer)).await?;
        Ok(())
    }

    async fn put(&self, key: &str, value: &[u8]) -> Result<(), CoordinationError> {
        let operation = Operation::Put(checked(key)?, checked_value(value)?);
        self.ask(|answer| Job::Write(operation, answer)).await?;
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<(), CoordinationError> {
        let operation = Operation::Delete(checked(key)?);
        self.ask(|answer| Job::Write(operation, answer)).await?;
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, CoordinationError> {
        let key = checked(key)?;
        self.ask(|answer| Job::Read(Reading::Get(key, answer)))
            .await
    }

    async fn swap(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<bool, CoordinationError> {
        let operation = Operation::Swap {
            key: checked(key)?,
            expected: expected.map(<[u8]>::to_vec),
            new: new.map(checked_value).transpose()?,
        };
        let swapped = self.ask(|answer| Job::Write(operation, answer)).await?;
        Ok(swapped == Claim::Ours)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, CoordinationError> {
        let prefix = checked(prefix)?;
        self.ask(|answer| Job::Read(Reading::List(prefix, answer)))
            .await
    }

    async fn inherit(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, CoordinationError> {
        let prefix = checked(prefix)?;
        self.ask(|answer| Job::Read(Reading::Inherit(prefix, answer)))
            .await
    }
}

fn checked(key: &str) -> Result<String, CoordinationError> {
    if key.is_empty() || key.len() > MAX_KEY {
        let text = format!("a key of {} bytes; 1 to {MAX_KEY} are allowed", key.len());
        return Err(failed(&text));
    }
    Ok(key.to_owned())
}

fn checked_value(value: &[u8]) -> Result<Vec<u8>, CoordinationError> {
    if value.len() > MAX_VALUE {
        let text = format!("a value of {} bytes; {MAX_VALUE} is the most", value.len());
        return Err(failed(&text));
    }
    Ok(value.to_vec())
}

fn failed(text: &str) -> CoordinationError {
    CoordinationError(text.to_owned())
}

/// The thread that owns the file.
struct Owner {
    database: Database,
    /// What this process writes into its claims.
    name: [u8; 16],
    /// The keys of what earlier processes left, until somebody asks for it or writes it.
    left: BTreeSet<String>,
    jobs: Receiver<Job>,
    clock: Arc<dyn Clock>,
}

impl Owner {
    /// Runs until closed, or until the [`LocalStore`] is dropped.
    fn run(mut self) {
        while let Ok(first) = self.jobs.recv() {
            let (mut changes, mut readings, mut closing) = (vec![], vec![], None);
            let mut next = Some(first);
            while let Some(job) = next {
                match job {
                    Job::Write(operation, answer) => changes.push((operation, answer)),
                    Job::Read(reading) => readings.push(reading),
                    Job::Close(answer) => {
                        closing = Some(answer);
                        break;
                    }
                }
                next = (changes.len() < BATCH)
                    .then(|| self.jobs.try_recv().ok())
                    .flatten();
            }
            self.commit(changes);
            for reading in readings {
                self.look_up(reading);
            }
            if let Some(answer) = closing {
                // The lock goes before the answer: who has it may open the file again.
                drop(self.database);
                answer.send(Ok(())).ok();
                return;
            }
        }
    }

    fn look_up(&mut self, reading: Reading) {
        let now = milliseconds(self.clock.now());
        match reading {
            Reading::Get(key, answer) => {
                let found = self.database.get(&key, now);
                answer.send(found.map_err(CoordinationError)).ok();
            }
            Reading::List(prefix, answer) => {
                let found = self.database.list(&prefix, now);
                answer.send(found.map_err(CoordinationError)).ok();
            }
            Reading::Inherit(prefix, answer) => {
                let found = self.database.list(&prefix, now).map(|mut found| {
                    found.retain(|(key, _)| self.left.remove(key));
                    found
                });
                answer.send(found.map_err(CoordinationError)).ok();
            }
        }
    }

    /// Makes all `changes`, in order, in one transaction, and answers each.
    fn commit(&mut self, changes: Vec<(Operation, Answer<Claim>)>) {
        if changes.is_empty() {
            return;
        }
        let now = milliseconds(self.clock.now());
        let name = &self.name;
        let results = self.database.write(|tables| {
            tables.sweep(now, SWEEP + changes.len())?;
            let operations = changes.iter().map(|(operation, _)| operation);
            operations
                .map(|operation| operation.apply(tables, name, now))
                .collect::<Result<Vec<_>, _>>()
        });
        match results {
            Ok(results) => {
                for ((operation, answer), result) in changes.into_iter().zip(results) {
                    if result == Claim::Ours {
                        self.left.remove(operation.key());
                    }
                    // Who no longer waits has gone without an effect.
                    answer.send(Ok(result)).ok();
                }
            }
            Err(error) => {
                for (_, answer) in changes {
                    answer.send(Err(failed(&error))).ok();
                }
            }
        }
    }
}

impl Operation {
    fn key(&self) -> &str {
        match self {
            Self::Claim(key, _)
            | Self::Finish(key)
            | Self::Put(key, _)
            | Self::Delete(key)
            | Self::Swap { key, .. } => key,
        }
    }

    fn apply(&self, tables: &mut Tables<'_>, name: &[u8], now: i64) -> Result<Claim, StorageError> {
        match self {
            Self::Claim(key, until) => tables.claim(key, name, milliseconds(*until), now),
            Self::Finish(key) => tables.finish(key).map(|()| Claim::Ours),
            Self::Put(key, value) => tables.set(key, None, value).map(|()| Claim::Ours),
            Self::Delete(key) => tables.delete(key).map(|()| Claim::Ours),
            Self::Swap { key, expected, new } => {
                let swapped = tables.swap(key, expected.as_deref(), new.as_deref(), now)?;
                Ok(if swapped { Claim::Ours } else { Claim::Taken })
            }
        }
    }
}

/// Milliseconds since 1970. `OffsetDateTime` ends long before `i64` does.
fn milliseconds(time: OffsetDateTime) -> i64 {
    time.unix_timestamp() * 1000 + i64::from(time.millisecond())
}
