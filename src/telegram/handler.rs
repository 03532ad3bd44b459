//! From a message to its answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::counter;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::Settings;
use super::admission::{Rules, Verdict, admit};
use super::call::CallError;
use super::command::{Command, parse};
use super::deletion::Deletions;
use super::incoming::Incoming;
use super::outbox::Outbox;
use super::progress::Batch;
use super::reply::{ANSWERED_IN_PRIVATE, CANNOT_WRITE, COULD_NOT_ANSWER, Part, Reply, random_id};
use super::status::Status;
use super::stranger::{Limiter, StrangerReply};
use crate::broker::ports::{Claim, Clock};
use crate::broker::{Broker, BrokerError};
use crate::domain::caller::{ChatKind, TelegramUser};
use crate::domain::{Action, Caller, Delivery, Request, RequestId, Target};
use crate::telemetry::metrics::COMMANDS;

/// Commands worked on at the same time.
const AT_ONCE: usize = 256;
/// Commands waiting for that, beyond which no more are read.
const MAX_WAITING: usize = 20_000;
/// How often to look whether there is room again.
const LOOK_FOR_ROOM: Duration = Duration::from_millis(100);
/// How often a wrong clock is logged.
const WARN_OF_CLOCK: Duration = Duration::from_mins(1);

/// Answers messages.
pub(super) struct Handler {
    pub(super) settings: Arc<Settings>,
    pub(super) rules: Rules,
    pub(super) broker: Arc<Broker>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) outbox: Outbox,
    pub(super) deletions: Arc<Deletions>,
    pub(super) status: Arc<Status>,
    pub(super) tasks: TaskTracker,
    /// The broker's work, which is never cut off: what it decided has an outcome on record.
    pub(super) requests: TaskTracker,
    /// Everything is over; what is not answered now is abandoned.
    pub(super) closed: CancellationToken,
    pub(super) slots: Semaphore,
    pub(super) strangers: Mutex<Limiter>,
    pub(super) username: Mutex<Option<String>>,
    /// When the log last said that the clock is wrong.
    pub(super) clock_warned: Mutex<Option<Instant>>,
}

/// A command with its circumstances.
struct Job {
    id: RequestId,
    user: i64,
    chat: ChatKind,
    command: Command,
    message: Incoming,
}

impl Handler {
    /// Places for commands worked on at the same time.
    pub(super) fn slots() -> Semaphore {
        Semaphore::new(AT_ONCE)
    }

    /// Our name, for commands addressed to us in groups.
    pub(super) fn set_username(&self, username: Option<String>) {
        *self.username.lock().unwrap_or_else(PoisonError::into_inner) = username;
    }

    /// Returns when there is room for more messages. May be cancelled at any time.
    pub(super) async fn room(&self) {
        if self.tasks.len() < MAX_WAITING {
            return;
        }
        warn!(event = "telegram.overload", waiting = MAX_WAITING);
        while self.tasks.len() >= MAX_WAITING {
            sleep(LOOK_FOR_ROOM).await;
        }
    }

    /// Takes a message; returns at once.
    pub(super) fn accept(self: &Arc<Self>, message: Incoming, batch: &Batch) {
        let now = self.clock.now().unix_timestamp();
        let (user, chat) = match admit(&message.envelope, &self.rules, now) {
            Verdict::Ignore => return,
            Verdict::Stranger { user } => return self.accept_stranger(user, message, batch),
            Verdict::TooOld { user, chat }
            | Verdict::Ahead { user, chat }
            | Verdict::Admit { user, chat } => (user, chat),
        };
        let username = self.username.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(command) = parse(&message.text, username.as_deref(), chat) else {
            return;
        };
        drop(username);
        let Some(id) = message.request_id() else {
            return;
        };
        let job = Job {
            id,
            user,
            chat,
            command,
            message,
        };
        let handler = Arc::clone(self);
        self.spawn(batch, async move { handler.work(job).await });
    }

    /// One sentence at most; whether anything they name exists is not even looked up.
    fn accept_stranger(self: &Arc<Self>, user: i64, message: Incoming, batch: &Batch) {
        let StrangerReply::Sentence(sentence) = &self.settings.stranger_reply else {
            return;
        };
        let mut limiter = self
            .strangers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !limiter.take(user, Instant::now()) {
            return;
        }
        drop(limiter);
        let Some(id) = message.request_id() else {
            return;
        };
        let reply = Reply::plain(sentence);
        let handler = Arc::clone(self);
        self.spawn(batch, async move {
            let outbox = &handler.outbox;
            if let Some(peer) = outbox.sender(&message).await {
                let sent = outbox
                    .send(peer, reply, None, random_id(&id, Part::Answer))
                    .await;
                debug!(
                    event = "telegram.stranger",
                    user,
                    answered = sent.result.is_ok()
                );
            }
        });
    }

    fn spawn(self: &Arc<Self>, batch: &Batch, work: impl Future<Output = ()> + Send + 'static) {
        let handler = Arc::clone(self);
        let ticket = batch.ticket();
        self.tasks.spawn(async move {
            let in_turn = async {
                // Never closed, so this only waits.
                let _slot = handler.slots.acquire().await;
                work.await;
            };
            tokio::select! {
                // Or those in the queue would begin when those before them are cut off.
                biased;
                () = handler.closed.cancelled() => {}
                () = in_turn => ticket.done(),
            }
        });
    }

    async fn work(&self, job: Job) {
        // Judged now and not before: its turn may have come late.
        let now = self.clock.now().unix_timestamp();
        let (name, reply) = match admit(&job.message.envelope, &self.rules, now) {
            Verdict::Admit { .. } => (job.command.name(), self.execute(&job).await),
            Verdict::TooOld { .. } => {
                let reply = Reply::too_old(self.settings.command_age);
                ("too_old", self.once(&job, reply).await)
            }
            Verdict::Ahead { .. } => {
                self.warn_of_clock(job.message.envelope.date - now);
                let reply = Reply::clocks_disagree();
                ("clocks_disagree", self.once(&job, reply).await)
            }
            // Who may command does not change in between.
            Verdict::Ignore | Verdict::Stranger { .. } => return,
        };
        let answered = match reply {
            Some(reply) => self.answer(&job, reply).await,
            None => Answered::Elsewhere,
        };
        info!(
            event = "telegram.command",
            command = name,
            user = job.user,
            chat = job.chat.name(),
            request = %job.id,
            answered = answered.name(),
        );
        counter!(COMMANDS, "command" => name, "answer" => answered.name()).increment(1);
    }

    async fn execute(&self, job: &Job) -> Option<Reply> {
        let locked = match self.broker.chat_locked().await {
            Ok(locked) => locked,
            Err(error) => return Some(Reply::failed(&BrokerError::Coordination(error))),
        };
        // These tell nothing.
        let harmless = matches!(
            job.command,
            Command::Start | Command::Help | Command::Status
        );
        if locked && !harmless {
            return self.once(job, Reply::locked()).await;
        }
        match &job.command {
            Command::GetSecret(text) => {
                let mut words = text.split_whitespace();
                let (path, delivery) = (words.next().unwrap_or_default(), words.next());
                let delivery = match (delivery.map(Delivery::named), words.next()) {
                    (None, None) => Delivery::Message,
                    (Some(Some(delivery)), None) => delivery,
                    (_, _) => return self.once(job, Reply::bad_delivery()).await,
                };
                match self.broker.mounts().parse(path) {
                    Ok(target) => self.get_secret(job, target, delivery).await,
                    Err(error) => self.once(job, Reply::bad_path(error)).await,
                }
            }
            Command::Start => self.once(job, Reply::start()).await,
            Command::Help => self.once(job, Reply::help()).await,
            Command::Unknown => self.once(job, Reply::unknown()).await,
            Command::TooLong => self.once(job, Reply::too_long()).await,
            Command::Status => {
                let health = self.broker.store_health().await;
                let mut reply = Reply::status(&self.status.get(), &health);
                reply.text.push_str(&self.outbox.queue(self.clock.now()));
                if locked {
                    reply.text.push('\n');
                    reply.text.push_str(&Reply::locked().text);
                }
                self.once(job, reply).await
            }
        }
    }

    /// Says once in a while that commands come from the future.
    fn warn_of_clock(&self, seconds_behind: i64) {
        let mut warned = self
            .clock_warned
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|at| at.elapsed() >= WARN_OF_CLOCK) {
            *warned = Some(Instant::now());
            warn!(
                event = "telegram.clock_wrong",
                seconds_behind,
                hint = "set this machine's clock; commands are refused meanwhile"
            );
        }
    }

    async fn get_secret(&self, job: &Job, target: Target, delivery: Delivery) -> Option<Reply> {
        let request = Request {
            id: job.id.clone(),
            caller: Caller::Telegram(TelegramUser {
                id: job.user,
                chat: job.chat,
            }),
            action: Action::Read(delivery),
            target: target.clone(),
        };
        let broker = Arc::clone(&self.broker);
        let work = self
            .requests
            .spawn(async move { broker.handle(request).await });
        let Ok(result) = work.await else {
            warn!(event = "telegram.request_failed", request = %job.id, error = "panic");
            return Some(Reply::broken());
        };
        match result {
            Ok(outcome) => Reply::outcome(&outcome, &target, self.settings.delete_after),
            Err(error) => {
                warn!(event = "telegram.request_failed", request = %job.id, error = error.name());
                Some(Reply::failed(&error))
            }
        }
    }

    /// `reply`, if this command was not answered before. What the broker handles, it claims
    /// itself.
    async fn once(&self, job: &Job, reply: Reply) -> Option<Reply> {
        match self.broker.claim(&job.id).await {
            Ok(Claim::Ours) => Some(reply),
            Ok(Claim::Taken) => None,
            Ok(Claim::Abandoned) => Some(Reply::interrupted()),
            Err(error) => Some(Reply::failed(&BrokerError::Coordination(error))),
        }
    }

    /// Answers in private, wherever the command was given; a group is only told that.
    async fn answer(&self, job: &Job, reply: Reply) -> Answered {
        let answered = self.answer_in_private(job, reply).await;
        if job.chat == ChatKind::Group {
            self.tell_group(job, answered.notice()).await;
        }
        answered
    }

    async fn answer_in_private(&self, job: &Job, mut reply: Reply) -> Answered {
        let Some(peer) = self.outbox.sender(&job.message).await else {
            warn!(event = "telegram.sender.unknown", user = job.user);
            return Answered::Refused;
        };
        let mut intent = None;
        if reply.secret {
            match self.deletions.intend(&job.id, &peer).await {
                Ok(made) => intent = Some(made),
                // What could not be deleted again is not sent.
                Err(error) => {
                    warn!(event = "telegram.deletions.unwritable", %error);
                    reply = Reply::failed(&BrokerError::Coordination(error));
                }
            }
        }
        let random_id = random_id(&job.id, Part::Answer);
        let sent = self.outbox.send(peer, reply, None, random_id).await;
        if let Some(intent) = intent {
            self.deletions.sent(intent, &sent);
        }
        match sent.result {
            Ok(_) => Answered::InPrivate,
            Err(error) => {
                warn!(event = "telegram.reply_failed", request = %job.id, %error);
                Answered::failed(&error)
            }
        }
    }

    async fn tell_group(&self, job: &Job, text: &str) {
        let Some(peer) = self.outbox.chat(&job.message) else {
            return;
        };
        let (reply, random_id) = (Reply::plain(text), random_id(&job.id, Part::Notice));
        let sent = self
            .outbox
            .send(peer, reply, Some(job.message.id), random_id)
            .await;
        if let Err(error) = sent.result {
            debug!(event = "telegram.notice_failed", request = %job.id, %error);
        }
    }
}

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answered {
    /// It arrived in the private chat.
    InPrivate,
    /// Telegram does not let us write there.
    Refused,
    /// It did not arrive, or nobody knows.
    NotAtAll,
    /// The command was answered before, or by another replica.
    Elsewhere,
}

impl Answered {
    fn failed(error: &CallError) -> Self {
        match error {
            CallError::Refused(_) => Self::Refused,
            CallError::Disconnected
            | CallError::Flood(_)
            | CallError::Server(_)
            | CallError::SignedOut(_) => Self::NotAtAll,
        }
    }

    /// What a group is told.
    fn notice(self) -> &'static str {
        match self {
            Self::InPrivate => ANSWERED_IN_PRIVATE,
            Self::Refused => CANNOT_WRITE,
            Self::NotAtAll | Self::Elsewhere => COULD_NOT_ANSWER,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::InPrivate => "private",
            Self::Refused => "refused",
            Self::NotAtAll => "failed",
            Self::Elsewhere => "before",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_hears_of_a_refusal_only_when_there_was_one() {
        let refused = CallError::Refused("USER_PRIVACY_RESTRICTED".into());
        assert_eq!(Answered::failed(&refused).notice(), CANNOT_WRITE);
        for error in [
            CallError::Disconnected,
            CallError::Flood(Duration::from_hours(1)),
            CallError::Server("Timeout".into()),
        ] {
            assert_eq!(Answered::failed(&error).notice(), COULD_NOT_ANSWER);
        }
    }
}
