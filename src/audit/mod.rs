//! The audit: JSON Lines in a hash chain, written before the effect.
//!
//! Whoever has something to record writes it, if nobody is writing; else it waits for a thread
//! that takes all entries that wait, appends their lines with one `write`, and answers. What
//! `write` took survives the death of the process. That thread also does what takes longer: it
//! syncs in groups (see [`Durability`]), signs checkpoints, and begins new files. [`verify`]
//! checks a chain, also while it is written.

mod chain;
mod head;
pub mod key;
mod log;
mod mark;
mod open;
pub mod posted;
mod record;
mod rotate;
pub mod series;
mod settings;
mod sink;
pub mod verify;

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use metrics::counter;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::audit::log::Log;
use crate::audit::mark::Why;
pub use crate::audit::open::OpenError;
use crate::audit::posted::Posted;
use crate::audit::record::format_time;
pub use crate::audit::settings::{Durability, Settings, SinkKind, SinkMode, SinkSettings};
use crate::broker::ports::{AuditError, AuditHead, AuditSink, Head};
use crate::domain::AuditEntry;
use crate::telemetry::metrics::AUDIT_FAILED;

/// Entries that may wait for the writer. More means that the disk stands still.
const QUEUE: usize = 4096;
/// Entries written at once.
const BATCH: usize = 512;
/// Oldest that a written record may be when its sync begins: leaves the disk as much again of
/// the 100 ms that are promised.
const SYNC_AFTER: Duration = Duration::from_millis(50);
/// Longest wait for the disk.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long after a failed rotation it is tried again.
const ROTATE_AGAIN: Duration = Duration::from_mins(1);

/// The audit in a file.
#[derive(Debug)]
pub struct AuditFile {
    queue: SyncSender<Job>,
    /// `None` once it is closed.
    log: Arc<Mutex<Option<Log>>>,
    /// Whether who records may write: not where a record is to survive more than the process, where
    /// a sink may keep it waiting, or where there is no other processor to go on meanwhile.
    at_once: bool,
}

enum Job {
    Record(Vec<AuditEntry>, Answer),
    Head(oneshot::Sender<Result<Head, AuditError>>),
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
        let log = Arc::new(Mutex::new(Some(open::open(&settings)?)));
        let (queue, jobs) = sync_channel(QUEUE);
        let path = settings.path.clone();
        let waits_for = |sink: &SinkSettings| sink.mode == SinkMode::Required;
        let at_once = settings.durability == Durability::Grouped
            && !settings.sinks.iter().any(waits_for)
            && std::thread::available_parallelism().is_ok_and(|cpus| cpus.get() > 1);
        let writer = Writer {
            log: log.clone(),
            jobs,
            settings,
        };
        std::thread::Builder::new()
            .name("audit".into())
            .spawn(move || writer.run())
            .map_err(|source| OpenError::Io { path, source })?;
        Ok(Self {
            queue,
            log,
            at_once,
        })
    }

    /// Writes and syncs what waits, and ends the writer: recording fails from here on.
    ///
    /// # Errors
    /// When the last sync fails, or takes over ten seconds.
    pub async fn close(&self) -> Result<(), AuditError> {
        self.ask(Job::Close).await
    }

    async fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, AuditError>>) -> Job,
    ) -> Result<T, AuditError> {
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
        let counts = !entries.is_empty();
        let written = match self.write_at_once(&entries) {
            Some(written) => written,
            None => self.ask(|answer| Job::Record(entries, answer)).await,
        };
        if written.is_err() && counts {
            counter!(AUDIT_FAILED).increment(1);
        }
        written
    }
}

#[async_trait]
impl AuditHead for AuditFile {
    async fn head(&self) -> Result<Option<Head>, AuditError> {
        let head = self.ask(Job::Head).await?;
        Ok((head.seq > 0).then_some(head))
    }
}

impl AuditFile {
    /// Writes `entries` here and now, if nobody else is writing: two switches between threads
    /// would take longer. Should the disk stand still, that keeps one thread: the others find it
    /// writing, and wait without theirs. `None` where the writer has to do it.
    fn write_at_once(&self, entries: &[AuditEntry]) -> Option<Result<(), AuditError>> {
        if !self.at_once {
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

/// The thread that syncs, signs and rotates, and writes for those who cannot at once.
struct Writer {
    log: Arc<Mutex<Option<Log>>>,
    jobs: Receiver<Job>,
    settings: Settings,
}

impl Writer {
    /// Runs until closed, or until the [`AuditFile`] is dropped.
    fn run(self) {
        let mut rotate_again = None;
        let mut due = self.tend(&mut rotate_again);
        let closing = loop {
            match self.next(due) {
                Ok(Job::Record(entries, answer)) => {
                    let closing = self.write(entries, answer);
                    if closing.is_some() {
                        break closing;
                    }
                }
                Ok(Job::Head(answer)) => drop(answer.send(self.head())),
                Ok(Job::Close(answer)) => break Some(answer),
                Ok(Job::Written) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break None,
            }
            due = self.tend(&mut rotate_again);
        };
        // The lock goes before the answer: who has it may open the file again.
        let log = self.log().take();
        let synced = log.map_or(Ok(()), |log| log.close(self.settings.clock.now()));
        if let Some(answer) = closing {
            answer.send(synced).ok();
        }
    }

    /// Waits for a job, but no longer than until something is due.
    fn next(&self, due: Option<Instant>) -> Result<Job, RecvTimeoutError> {
        match due {
            Some(at) => self
                .jobs
                .recv_timeout(at.saturating_duration_since(Instant::now())),
            None => self.jobs.recv().map_err(RecvTimeoutError::from),
        }
    }

    /// Syncs, signs and rotates where that is due; when the next of it will be.
    fn tend(&self, rotate_again: &mut Option<Instant>) -> Option<Instant> {
        let mut log = self.log();
        let log = log.as_mut()?;
        let now = Instant::now();
        let is_due = |at: &Instant| *at <= now;
        if sync_at(log).as_ref().is_some_and(is_due) {
            // A failure is kept, and is the answer to every later record.
            log.sync().ok();
        }
        if self.sign_at(log).as_ref().is_some_and(is_due)
            && let Err(error) = log.checkpoint(Why::Interval, self.settings.clock.now())
        {
            tracing::warn!(event = "audit.checkpoint_failed", %error);
        }
        if self
            .rotate_at(log, *rotate_again, now)
            .as_ref()
            .is_some_and(is_due)
        {
            let rotated = log.rotate(self.settings.clock.now());
            *rotate_again = rotated.is_err().then(|| now + ROTATE_AGAIN);
            if let Err(error) = rotated {
                tracing::warn!(event = "audit.rotation_failed", %error);
            }
        }
        let rotate = self.rotate_at(log, *rotate_again, now);
        let times = [sync_at(log), self.sign_at(log), rotate];
        times.into_iter().flatten().min()
    }

    /// When a checkpoint is due.
    fn sign_at(&self, log: &Log) -> Option<Instant> {
        let (records, since) = log.unsigned()?;
        Some(if records >= self.settings.checkpoint_records {
            since
        } else {
            since + self.settings.checkpoint_every
        })
    }

    /// When the file is to be closed, and not before `again`.
    fn rotate_at(&self, log: &Log, again: Option<Instant>, now: Instant) -> Option<Instant> {
        let Settings {
            rotate_at,
            rotate_every,
            ..
        } = self.settings;
        if rotate_at.is_none() && rotate_every.is_none() {
            return None;
        }
        let left = log.rotation_due(rotate_at, rotate_every, self.settings.clock.now())?;
        let at = now + left;
        Some(again.map_or(at, |again| again.max(at)))
    }

    /// The last record, once it is on the disk.
    fn head(&self) -> Result<Head, AuditError> {
        let mut log = self.log();
        let log = log
            .as_mut()
            .ok_or_else(|| AuditError("the audit is closed".to_owned()))?;
        log.sync()?;
        let time = format_time(self.settings.clock.now())?;
        let posted = Posted::new(&log.link, time, log.chain.as_deref(), log.key());
        Ok(Head {
            seq: posted.seq,
            line: posted.to_string(),
            hash: posted.hash,
        })
    }

    /// Writes `entries` together with all that waits, and answers. Returns who asked to close.
    fn write(&self, entries: Vec<AuditEntry>, answer: Answer) -> Option<Answer> {
        let mut guard = self.log();
        let log = guard.as_mut()?;
        let mut waiting = vec![];
        let (mut closing, mut heads) = (None, vec![]);
        let mut next = Some(Job::Record(entries, answer));
        while let Some(job) = next {
            match job {
                Job::Record(entries, answer) => match log.push(&entries) {
                    Ok(()) => waiting.push(answer),
                    Err(error) => drop(answer.send(Err(error))),
                },
                Job::Head(answer) => heads.push(answer),
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
        let written = log.write().and_then(|()| match self.settings.durability {
            Durability::Grouped => Ok(()),
            Durability::Strict => log.sync(),
        });
        drop(guard);
        for answer in waiting {
            // Who no longer waits has gone without an effect.
            answer.send(written.clone()).ok();
        }
        for answer in heads {
            answer.send(self.head()).ok();
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

/// When a sync is due.
fn sync_at(log: &Log) -> Option<Instant> {
    log.unsynced_since().map(|since| since + SYNC_AFTER)
}
