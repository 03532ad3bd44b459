//! From a message to its answer.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use grammers_session::types::PeerId;
use metrics::counter;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};
use zeroize::Zeroizing;

use super::Settings;
use super::admission::{Rules, Verdict, admit};
use super::answer::Answered;
use super::call::{Gate, Link};
use super::cards::Cards;
use super::command::{Command, Mistake, Parsed, Word, parse, parse_reply};
use super::confirm::Pending;
use super::deletion::Deletions;
use super::incoming::{Event, Incoming};
use super::leaks::Leaks;
use super::outbox::Outbox;
use super::poster::Poster;
use super::progress::Batch;
use super::reply::Reply;
use super::second_net::SecondNet;
use super::session::FileSession;
use super::status::{State, Status};
use super::stranger::Limiter;
use super::takeover::may_repeat;
use super::unanswered::Unanswered;
use super::withdrawal::{Withdrawals, Withdrawn};
use crate::broker::ports::Clock;
use crate::broker::{Broker, BrokerError, Duty, Hold, Whose};
use crate::domain::caller::{ChatKind, TelegramUser};
use crate::domain::{ApprovalId, RequestId};
use crate::telemetry::metrics::COMMANDS;

/// Commands worked on at the same time.
const AT_ONCE: usize = 256;
/// Commands waiting for that, beyond which no more are read.
const MAX_WAITING: usize = 20_000;
/// How long the state store may be away beyond a command's age, and whoever commanded still hears that
/// it came too late.
const OUTAGE: Duration = Duration::from_mins(10);
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
    pub(super) deletions: Deletions,
    pub(super) withdrawals: Withdrawals,
    pub(super) unanswered: Unanswered,
    pub(super) leaks: Leaks,
    pub(super) pending: Pending,
    pub(super) cards: Cards,
    pub(super) runs_poster: Poster,
    pub(super) link: Arc<Link>,
    pub(super) session: Arc<FileSession>,
    /// We are a bot, whose questions have buttons.
    pub(super) bot: AtomicBool,
    pub(super) buttons_gate: Gate,
    pub(super) second_net: Arc<SecondNet>,
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

/// Where a request comes from.
pub(super) struct Origin {
    /// Its name.
    pub(super) id: RequestId,
    /// Who asks, and in what kind of chat.
    pub(super) user: TelegramUser,
    /// That it is ours.
    pub(super) hold: Hold,
}

/// A command's circumstances.
pub(super) struct Job {
    /// Its name.
    pub(super) id: RequestId,
    /// Who asks, and in what kind of chat.
    pub(super) user: TelegramUser,
    word: Word,
    pub(super) message: Incoming,
    /// The deletion of the message, where it holds values or may.
    withdrawing: Option<JoinHandle<Withdrawn>>,
    /// The message is deleted.
    pub(super) gone: bool,
}

impl Job {
    fn origin(&self, hold: Hold) -> Origin {
        Origin {
            id: self.id.clone(),
            user: self.user.clone(),
            hold,
        }
    }

    /// What to say of a secret that others have seen, whenever it was written.
    fn exposed(&self, command: &Result<Command, Mistake>) -> Option<Reply> {
        let group = self.user.chat == ChatKind::Group;
        match command {
            Err(mistake @ Mistake::PrivateKey) => Some(Reply::mistake(*mistake)),
            // A code counts once, and its vote is cast at once.
            _ if self.word == Word::Approve => None,
            _ if group && self.withdrawing.is_some() => Some(Reply::value_in_group()),
            Ok(_) | Err(_) => None,
        }
    }
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

    pub(super) fn username(&self) -> MutexGuard<'_, Option<String>> {
        self.username.lock().unwrap_or_else(PoisonError::into_inner)
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
    pub(super) fn accept(self: &Arc<Self>, event: Event, batch: &Batch) {
        match event {
            Event::Message(message) => self.accept_message(message, batch),
            Event::Press(press) => self.accept_press(press, batch),
        }
    }

    fn accept_message(self: &Arc<Self>, mut message: Incoming, batch: &Batch) {
        // Wiped when it has been read, before anything waits.
        let text = mem::take(&mut message.text);
        let now = self.clock.now().unix_timestamp();
        let verdict = admit(&message.envelope, &self.rules, now);
        if self.accept_leak(&message, &text, verdict, batch) {
            return;
        }
        let second_hand = matches!(verdict, Verdict::SecondHand { .. });
        let (user, chat) = match verdict {
            Verdict::Ignore => return,
            Verdict::Stranger { user } => return self.accept_stranger(user, message, batch),
            Verdict::SecondHand { user, chat }
            | Verdict::TooOld { user, chat }
            | Verdict::Ahead { user, chat }
            | Verdict::Admit { user, chat } => (user, chat),
        };
        let username = self.username();
        let mounts = self.broker.mounts();
        let parsed = parse(&text, username.as_deref(), chat, mounts);
        drop(username);
        let user = TelegramUser { id: user, chat };
        let Some(parsed) = parsed.or_else(|| {
            let card = self.cards.at(message.chat, message.answers?)?;
            parse_reply(&text, &card, chat, mounts)
        }) else {
            return self.accept_answer(user, message, text, second_hand, batch);
        };
        self.accept_command(user, message, parsed, second_hand, batch);
    }

    /// Takes what may answer a card that another replica posted, and this one does not know.
    fn accept_answer(
        self: &Arc<Self>,
        user: TelegramUser,
        message: Incoming,
        text: Zeroizing<String>,
        second_hand: bool,
        batch: &Batch,
    ) {
        let Some(card) = message.answers.filter(|_| self.broker.has_company()) else {
            return;
        };
        // Whichever request it is about: what says nothing to a card is not looked into.
        let chat = user.chat;
        let any = ApprovalId::read("222222");
        let says = any.and_then(|any| parse_reply(&text, &any, chat, self.broker.mounts()));
        if says.is_none() {
            return;
        }
        let (handler, later) = (Arc::clone(self), batch.clone());
        self.spawn(batch, async move {
            let card = handler.cards.kept_at(message.chat, card).await;
            let mounts = handler.broker.mounts();
            let parsed = card.and_then(|card| parse_reply(&text, &card, chat, mounts));
            drop(text);
            if let Some(parsed) = parsed {
                handler.accept_command(user, message, parsed, second_hand, &later);
            }
        });
    }

    fn accept_command(
        self: &Arc<Self>,
        user: TelegramUser,
        message: Incoming,
        parsed: Parsed,
        second_hand: bool,
        batch: &Batch,
    ) {
        let Some(id) = message.request_id() else {
            return;
        };
        let Parsed {
            word,
            mut command,
            sensitive,
        } = parsed;
        // Of such a message, only a secret in it concerns us.
        if second_hand && !sensitive {
            return;
        }
        if word.carries_values() && message.formatted {
            command = Err(Mistake::Formatted);
        }
        let withdrawing = sensitive.then(|| self.withdraw(&message, &id, user.id, batch));
        let job = Job {
            id,
            user,
            word,
            message,
            withdrawing,
            gone: false,
        };
        let handler = Arc::clone(self);
        self.spawn(batch, async move { handler.work(job, command).await });
    }

    /// Deletes a message that holds values, at once and whatever comes of the command.
    fn withdraw(
        self: &Arc<Self>,
        message: &Incoming,
        id: &RequestId,
        user: i64,
        batch: &Batch,
    ) -> JoinHandle<Withdrawn> {
        let handler = Arc::clone(self);
        let (chat, message, id) = (message.chat, message.id, id.clone());
        let ticket = batch.ticket();
        self.tasks.spawn(async move {
            let withdrawing = async {
                let hash = PeerId::user(user).and_then(|user| handler.session.access_hash(user));
                let hash = hash.unwrap_or_default();
                let withdrawing = handler.withdrawals.withdraw(chat, message, &id);
                if handler.broker.has_company() {
                    handler.unanswered.insist(&id, user, hash).await;
                    return withdrawing.await;
                }
                // Stored first, and no later than the intent to delete.
                tokio::join!(handler.unanswered.add(&id, user, hash), withdrawing).1
            };
            tokio::select! {
                biased;
                () = handler.closed.cancelled() => Withdrawn::NotYet,
                withdrawn = withdrawing => {
                    ticket.done();
                    withdrawn
                }
            }
        })
    }

    pub(super) fn spawn(
        self: &Arc<Self>,
        batch: &Batch,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
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

    async fn work(&self, mut job: Job, command: Result<Command, Mistake>) {
        if let Ok(Command::Confirm(code) | Command::Cancel(code)) = &command {
            self.leave_to_others(job.user.id, code).await;
        }
        // Whoever waited for too long is told that.
        let patience = self.settings.command_age + OUTAGE;
        // A message that is deleted is nowhere to be seen again, should whoever has it end.
        let taken = self
            .take(&job.id, patience, job.withdrawing.is_some())
            .await;
        let done = matches!(taken, Ok(Whose::Done));
        let (name, reply) = match taken {
            Ok(Whose::Ours(hold)) => {
                let origin = job.origin(hold);
                let Some(answer) = self.respond(&job, &origin, command).await else {
                    return;
                };
                answer
            }
            Ok(Whose::Anothers | Whose::Done) => (job.word.name(), None),
            Err(error) => {
                let reply = Reply::failed(&BrokerError::Coordination(error));
                (job.word.name(), Some(reply))
            }
        };
        let withdrawn = match job.withdrawing.take() {
            Some(withdrawing) => Some(withdrawing.await.unwrap_or(Withdrawn::NotYet)),
            None => None,
        };
        job.gone = withdrawn == Some(Withdrawn::Gone);
        let answered = if let Some(mut reply) = reply {
            if let Some(withdrawn) = withdrawn {
                // That messages with values go is what people expect; that others do is not.
                let expected = job.word.takes_values() || job.word == Word::Approve;
                let expected = expected && name != "second_hand";
                reply.note_withdrawal(withdrawn, !expected);
            }
            self.only_words(&mut reply);
            let answered = self.answer(&job, reply).await;
            if self.finish(&job.id, answered).await && withdrawn.is_some() {
                self.unanswered.done(&job.id).await;
            }
            answered
        } else {
            if let Some(withdrawn) = withdrawn {
                // Whoever else has it may end before it has answered.
                if done {
                    self.unanswered.done(&job.id).await;
                }
                self.tell_that_it_stands(&job, withdrawn).await;
            }
            Answered::Elsewhere
        };
        info!(
            event = "telegram.command",
            command = name,
            user = job.user.id,
            chat = job.user.chat.name(),
            request = %job.id,
            answered = answered.name(),
        );
        counter!(COMMANDS, "command" => name, "answer" => answered.name()).increment(1);
    }

    /// What to answer to a command that is ours, and its name; `None` to whoever may not command.
    async fn respond(
        &self,
        job: &Job,
        origin: &Origin,
        command: Result<Command, Mistake>,
    ) -> Option<(&'static str, Option<Reply>)> {
        // Judged now and not before: its turn may have come late.
        let now = self.clock.now().unix_timestamp();
        Some(match admit(&job.message.envelope, &self.rules, now) {
            // Who may command does not change in between.
            Verdict::Ignore | Verdict::Stranger { .. } => return None,
            Verdict::Admit { .. }
            | Verdict::SecondHand { .. }
            | Verdict::TooOld { .. }
            | Verdict::Ahead { .. }
                if let Some(advice) = job.exposed(&command) =>
            {
                (job.word.name(), Some(advice))
            }
            Verdict::SecondHand { .. } => ("second_hand", Some(Reply::second_hand())),
            // However old it is: it may have been done.
            Verdict::Admit { .. } | Verdict::TooOld { .. } | Verdict::Ahead { .. }
                if origin.hold.again && !may_repeat(&command) =>
            {
                (job.word.name(), Some(Reply::interrupted()))
            }
            Verdict::Admit { .. } => (job.word.name(), self.execute(origin, command).await),
            Verdict::TooOld { .. } => ("too_old", Some(Reply::too_old(self.settings.command_age))),
            Verdict::Ahead { .. } => {
                self.warn_of_clock(job.message.envelope.date - now);
                ("clocks_disagree", Some(Reply::clocks_disagree()))
            }
        })
    }

    /// Lets a command that nothing more comes of stay claimed, and says whether it does. Where
    /// nobody knows whether the answer arrived, it is told to have been interrupted, should it
    /// come again after a restart.
    pub(super) async fn finish(&self, id: &RequestId, answered: Answered) -> bool {
        match answered {
            Answered::InPrivate | Answered::InPlace | Answered::Refused => {}
            Answered::NotAtAll | Answered::Elsewhere => return false,
        }
        let finished = self.broker.finish(id).await;
        if let Err(error) = &finished {
            warn!(event = "telegram.finish_failed", request = %id, %error);
        }
        finished.is_ok()
    }

    /// Takes the buttons from `reply`, unless we are a bot.
    pub(super) fn only_words(&self, reply: &mut Reply) {
        if !self.bot.load(Ordering::Relaxed) {
            reply.code = None;
            reply.vote = None;
        }
    }

    /// Whether it is for this process to tell people what nobody asked for just now. Whoever cannot
    /// leaves it to others.
    pub(super) async fn on_duty(&self) -> bool {
        let connected = matches!(self.status.get(), State::Connected { .. });
        if connected || !self.broker.has_company() {
            return self.broker.on_duty(Duty::Chat).await;
        }
        self.broker.lay_down(Duty::Chat).await;
        false
    }

    /// Whether requests are decided on there.
    pub(super) fn decides(&self, chat: PeerId) -> bool {
        let here = chat.bot_api_dialog_id();
        here.is_some() && here == self.settings.approvals_chat
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
}
