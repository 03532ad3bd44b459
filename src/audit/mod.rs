//! The audit: JSON Lines in a hash chain, written before the effect.
//!
//! One thread writes. It takes the entries that wait, appends their lines with one `write`,
//! and answers; what `write` took survives the death of the process. Syncs to disk come in
//! groups, see [`Durability`]. [`verify`] checks a chain, also while it is written.

mod head;
mod log;
mod open;
mod record;
pub mod verify;

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::audit::log::Log;
pub use crate::audit::open::OpenError;
use crate::broker::ports::{AuditError, AuditSink};
use crate::domain::AuditEntry;

/// Entries that may wait for the writer. More means that the disk stands still.
const QUEUE: usize = 4096;
/// Entries written at once.
const BATCH: usize = 512;
/// Oldest that a written record may be when its sync begins: leaves the disk as much again of
/// the 100 ms that are promised.
const SYNC_AFTER: Duration = Duration::from_millis(50);
/// Longest wait for the disk.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the audit is and how it is written.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The file; made if missing. Beside it live `.head` and, after a power cut, `.torn`.
    pub path: PathBuf,
    /// When a record counts as written.
    pub durability: Durability,
}

/// What a record has survived when it counts as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The death of the process. A power cut may take the last 100 ms.
    Grouped,
    /// A power cut. Those who wait at the same time share one sync.
    Strict,
}

/// The audit in a file.
#[derive(Debug)]
pub struct AuditFile {
    queue: SyncSender<Job>,
}

enum Job {
    Record(Vec<AuditEntry>, Answer),
    Close(Answer),
}

type Answer = oneshot::Sender<Result<(), AuditError>>;

impl AuditFile {
    /// Opens the file, checks its end, and starts the writer. Blocks on the disk.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(settings: Settings) -> Result<Self, OpenError> {
        let log = open::open(&settings.path)?;
        let (queue, jobs) = sync_channel(QUEUE);
        std::thread::Builder::new()
            .name("audit".into())
            .spawn(move || Writer { log, jobs }.run(settings.durability))
            .map_err(|source| OpenError::Io {
                path: settings.path,
                source,
            })?;
        Ok(Self { queue })
    }

    /// Writes and syncs what waits, and ends the writer: recording fails from here on.
    ///
    /// # Errors
    /// When the last sync fails, or takes over ten seconds.
    pub async fn close(&self) -> Result<(), AuditError> {
        self.ask(Job::Close).await
    }

    async fn ask(&self, job: impl FnOnce(Answer) -> Job) -> Result<(), AuditError> {
        let failed = |text: &str| AuditError(text.to_owned());
        let (answer, answered) = oneshot::channel();
        self.queue
            .try_send(job(answer))
            .map_err(|full| match full {
                TrySendError::Full(_) => failed("the disk does not keep up; too many records wait"),
                TrySendError::Disconnected(_) => failed("the audit is closed"),
            })?;
        match timeout(PATIENCE, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(failed("the audit is closed")),
            Err(_) => Err(failed("the disk does not answer")),
        }
    }
}

#[async_trait]
impl AuditSink for AuditFile {
    async fn record_all(&self, entries: Vec<AuditEntry>) -> Result<(), AuditError> {
        self.ask(|answer| Job::Record(entries, answer)).await
    }
}

/// The thread that owns the file.
struct Writer {
    log: Log,
    jobs: Receiver<Job>,
}

impl Writer {
    /// Runs until closed, or until the [`AuditFile`] is dropped.
    fn run(mut self, durability: Durability) {
        let closing = loop {
            match self.next() {
                Ok(Job::Record(entries, answer)) => {
                    let closing = self.write(entries, answer, durability);
                    if closing.is_some() {
                        break closing;
                    }
                }
                Ok(Job::Close(answer)) => break Some(answer),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break None,
            }
            if self.until_sync() == Some(Duration::ZERO) {
                // A failure is kept, and is the answer to every later record.
                self.log.sync().ok();
            }
        };
        // The lock goes before the answer: who has it may open the file again.
        let synced = self.log.close();
        if let Some(answer) = closing {
            answer.send(synced).ok();
        }
    }

    /// Waits for a job, but no longer than until a sync is due.
    fn next(&self) -> Result<Job, RecvTimeoutError> {
        match self.until_sync() {
            Some(left) => self.jobs.recv_timeout(left),
            None => self.jobs.recv().map_err(RecvTimeoutError::from),
        }
    }

    /// How long until what was written must be synced; `None` when all is.
    fn until_sync(&self) -> Option<Duration> {
        let since = self.log.unsynced_since()?;
        Some((since + SYNC_AFTER).saturating_duration_since(Instant::now()))
    }

    /// Writes `entries` together with all that waits, and answers. Returns who asked to close.
    fn write(
        &mut self,
        entries: Vec<AuditEntry>,
        answer: Answer,
        durability: Durability,
    ) -> Option<Answer> {
        let mut waiting = vec![];
        let mut closing = None;
        let mut next = Some(Job::Record(entries, answer));
        while let Some(job) = next {
            match job {
                Job::Record(entries, answer) => match self.log.push(&entries) {
                    Ok(()) => waiting.push(answer),
                    Err(error) => drop(answer.send(Err(error))),
                },
                Job::Close(answer) => {
                    closing = Some(answer);
                    break;
                }
            }
            next = (waiting.len() < BATCH)
                .then(|| self.jobs.try_recv().ok())
                .flatten();
        }
        let written = self.log.write().and_then(|()| match durability {
            Durability::Grouped => Ok(()),
            Durability::Strict => self.log.sync(),
        });
        for answer in waiting {
            // Who no longer waits has gone without an effect.
            answer.send(written.clone()).ok();
        }
        closing
    }
}
