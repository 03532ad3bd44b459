//! The audit: JSON Lines in a hash chain, written before the effect.
//!
//! Whoever has something to record writes it, if nobody is writing; else it waits for a thread
//! that takes all entries that wait, appends their lines with one `write`, and answers. What
//! `write` took survives the death of the process. Syncs to disk come in groups, by that thread,
//! see [`Durability`]. [`verify`] checks a chain, also while it is written.

mod head;
mod log;
mod open;
mod record;
pub mod verify;

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
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
    /// `None` once it is closed.
    log: Arc<Mutex<Option<Log>>>,
    durability: Durability,
}

enum Job {
    Record(Vec<AuditEntry>, Answer),
    /// Something was written, and is to be synced in time.
    Written,
    Close(Answer),
}

type Answer = oneshot::Sender<Result<(), AuditError>>;

impl AuditFile {
    /// Opens the file, checks its end, and starts the writer. Blocks on the disk.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(settings: Settings) -> Result<Self, OpenError> {
        let log = Arc::new(Mutex::new(Some(open::open(&settings.path)?)));
        let (queue, jobs) = sync_channel(QUEUE);
        let writer = Writer {
            log: log.clone(),
            jobs,
        };
        std::thread::Builder::new()
            .name("audit".into())
            .spawn(move || writer.run(settings.durability))
            .map_err(|source| OpenError::Io {
                path: settings.path,
                source,
            })?;
        Ok(Self {
            queue,
            log,
            durability: settings.durability,
        })
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
        if let Some(written) = self.write_at_once(&entries) {
            return written;
        }
        self.ask(|answer| Job::Record(entries, answer)).await
    }
}

impl AuditFile {
    /// Writes `entries` here and now, if nobody else is writing: two switches between threads
    /// would take longer. Should the disk stand still, that keeps one thread: the others find it
    /// writing, and wait without theirs. `None` where the writer has to do it.
    fn write_at_once(&self, entries: &[AuditEntry]) -> Option<Result<(), AuditError>> {
        if self.durability == Durability::Strict {
            return None;
        }
        let mut log = self.log.try_lock().ok()?;
        let log = log.as_mut()?;
        let synced = log.unsynced_since().is_none();
        let written = log.push(entries).and_then(|()| log.write());
        if synced {
            // A writer that has too much to do to hear of it looks after each job.
            self.queue.try_send(Job::Written).ok();
        }
        Some(written)
    }
}

/// The thread that syncs, and writes for those who cannot at once.
struct Writer {
    log: Arc<Mutex<Option<Log>>>,
    jobs: Receiver<Job>,
}

impl Writer {
    /// Runs until closed, or until the [`AuditFile`] is dropped.
    fn run(self, durability: Durability) {
        let mut sync_at = None;
        let closing = loop {
            match self.next(sync_at) {
                Ok(Job::Record(entries, answer)) => {
                    let closing = self.write(entries, answer, durability);
                    if closing.is_some() {
                        break closing;
                    }
                }
                Ok(Job::Close(answer)) => break Some(answer),
                Ok(Job::Written) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break None,
            }
            sync_at = self.sync_in_time();
        };
        // The lock goes before the answer: who has it may open the file again.
        let synced = self.log().take().map_or(Ok(()), Log::close);
        if let Some(answer) = closing {
            answer.send(synced).ok();
        }
    }

    /// Waits for a job, but no longer than until a sync is due.
    fn next(&self, sync_at: Option<Instant>) -> Result<Job, RecvTimeoutError> {
        match sync_at {
            Some(at) => self
                .jobs
                .recv_timeout(at.saturating_duration_since(Instant::now())),
            None => self.jobs.recv().map_err(RecvTimeoutError::from),
        }
    }

    /// Syncs if that is due; when it will be if not, and `None` when all is synced.
    fn sync_in_time(&self) -> Option<Instant> {
        let mut log = self.log();
        let log = log.as_mut()?;
        let due = log.unsynced_since()? + SYNC_AFTER;
        if due > Instant::now() {
            return Some(due);
        }
        // A failure is kept, and is the answer to every later record.
        log.sync().ok();
        None
    }

    /// Writes `entries` together with all that waits, and answers. Returns who asked to close.
    fn write(
        &self,
        entries: Vec<AuditEntry>,
        answer: Answer,
        durability: Durability,
    ) -> Option<Answer> {
        let mut guard = self.log();
        let log = guard.as_mut()?;
        let mut waiting = vec![];
        let mut closing = None;
        let mut next = Some(Job::Record(entries, answer));
        while let Some(job) = next {
            match job {
                Job::Record(entries, answer) => match log.push(&entries) {
                    Ok(()) => waiting.push(answer),
                    Err(error) => drop(answer.send(Err(error))),
                },
                Job::Written => {}
                Job::Close(answer) => {
                    closing = Some(answer);
                    break;
                }
            }
            next = (waiting.len() < BATCH)
                .then(|| self.jobs.try_recv().ok())
                .flatten();
        }
        let written = log.write().and_then(|()| match durability {
            Durability::Grouped => Ok(()),
            Durability::Strict => log.sync(),
        });
        drop(guard);
        for answer in waiting {
            // Who no longer waits has gone without an effect.
            answer.send(written.clone()).ok();
        }
        closing
    }

    fn log(&self) -> MutexGuard<'_, Option<Log>> {
        self.log.lock().unwrap_or_else(|panicked| {
            // It may have left half a line: nothing more is written.
            let mut log = panicked.into_inner();
            *log = None;
            log
        })
    }
}
