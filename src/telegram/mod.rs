//! Telegram: an account's connection, the commands people send it, and the answers.
//!
//! ```text
//! connection ─ receiver ─ handler ── admission, command      (pure: who and what)
//!   session   progress     press ─── execute, confirm ─ Broker::handle    (what, and what waits)
//!   status       │           ├────── reply, buttons          (pure: the text)
//!                └── call ───┼────── outbox, deletion        (send once, delete again)
//!                            │       withdrawal, unanswered  (delete what people sent)
//!                            └────── cards, watching, poster (requests and runs, as they stand)
//! ```
//! A secret's plaintext passes through here, so nothing here logs a text, and the log
//! filter keeps grammers' own logs, which hold message texts, off for good.

mod account;
mod admission;
mod answer;
mod approvals;
mod backoff;
mod brief;
mod buttons;
mod call;
mod cards;
pub mod command;
mod company;
mod confirm;
mod connection;
mod deletion;
mod dialogs;
mod execute;
mod forgetful;
mod gauges;
mod handler;
mod incoming;
mod lagging;
mod leaks;
mod leases;
mod line;
pub mod login;
mod news;
mod outbox;
mod outgoing;
mod own_words;
mod pipelines;
mod poster;
mod press;
mod progress;
mod proxy;
mod receiver;
mod recovery;
mod reply;
mod schedule;
mod search;
mod second_net;
pub mod session;
mod status;
mod stranger;
mod takeover;
mod unanswered;
mod watchdog;
mod watching;
mod withdrawal;
mod witness;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use thiserror::Error;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::{info, warn};

pub use self::account::{Device, Profile, look, probe, sign_out};
use self::admission::Rules;
pub(crate) use self::backoff::Backoff;
pub use self::brief::Reach;
use self::call::{Gate, Link};
use self::cards::{Cards, Notifier};
use self::confirm::Pending;
use self::connection::Connection;
use self::deletion::Deletions;
use self::handler::Handler;
use self::leaks::Leaks;
pub use self::leaks::WatchedChats;
use self::outbox::Outbox;
use self::poster::Poster;
use self::progress::Progress;
pub use self::proxy::Proxy;
use self::second_net::SecondNet;
pub use self::session::{DcSummary, FileSession, Login, SessionError, Summary};
pub use self::status::{State, Status};
pub use self::stranger::StrangerReply;
use self::unanswered::Unanswered;
use self::watchdog::Watchdog;
pub use self::watchdog::registration;
use self::watching::Watching;
use self::withdrawal::Withdrawals;
use self::witness::Posting;
pub use self::witness::Witness;
use crate::broker::ports::{Clock, Coordination};
use crate::broker::{Broker, Duty};
use crate::domain::QuietHours;

/// How long the commands in flight may take when we stop.
const DRAIN: Duration = Duration::from_secs(20);

/// What can be set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The application's id, from my.telegram.org.
    pub api_id: i32,
    /// Numeric ids of those who may command. Empty: nobody.
    pub allowed_users: BTreeSet<i64>,
    /// What everybody else gets.
    pub stranger_reply: StrangerReply,
    /// Oldest command that is executed; by default 60 s.
    pub command_age: Duration,
    /// How long a sent secret stands; by default 60 s.
    pub delete_after: Duration,
    /// Where people reach Vault, to be told with a wrapping token.
    pub vault_address: Option<String>,
    /// After how long Telegram itself deletes what is in a chat with secrets, in seconds, should
    /// we be gone; by default a day.
    pub history_ttl: Option<i32>,
    /// How long Telegram may take for one call; by default 10 s.
    pub request_timeout: Duration,
    /// How often a quiet connection is tried; by default 20 s.
    pub probe_interval: Duration,
    /// The way to Telegram; by default a direct one.
    pub proxy: Option<Proxy>,
    /// Where Vault has the account's keys, for `/get_keys`; by default `secret/telegram`.
    pub keys_path: String,
    /// How often the account's devices are looked at; by default 30 s.
    pub watchdog_interval: Duration,
    /// Whether a new device locks chat; by default not.
    pub lock_on_new_device: bool,
    /// The group where requests for approval are shown and decided on, in Telegram's bot-API notation;
    /// by default none, and those who may decide are written to.
    pub approvals_chat: Option<i64>,
    /// The chats in which no value may stand that was handed out; by default none.
    pub watched_chats: WatchedChats,
    /// When what is told of pipelines makes no sound, in policies' time zone; by default never.
    pub quiet_hours: Option<QuietHours>,
}

impl Settings {
    /// The defaults, for an application and a list of people.
    #[must_use]
    pub fn new(api_id: i32, allowed_users: BTreeSet<i64>) -> Self {
        Self {
            api_id,
            allowed_users,
            stranger_reply: StrangerReply::Silent,
            command_age: Duration::from_mins(1),
            delete_after: Duration::from_mins(1),
            vault_address: None,
            history_ttl: Some(24 * 60 * 60),
            request_timeout: Duration::from_secs(10),
            probe_interval: Duration::from_secs(20),
            proxy: None,
            keys_path: "secret/telegram".to_owned(),
            watchdog_interval: Duration::from_secs(30),
            lock_on_new_device: false,
            approvals_chat: None,
            watched_chats: WatchedChats::None,
            quiet_hours: None,
        }
    }
}

/// What the front end works with.
pub struct Ports {
    /// Answers requests for secrets.
    pub broker: Arc<Broker>,
    /// Keeps claims and pending deletions.
    pub coordination: Arc<dyn Coordination>,
    /// Tells the age of commands.
    pub clock: Arc<dyn Clock>,
    /// Where the audit's head is posted, if anywhere.
    pub witness: Option<Witness>,
}

/// Why the front end gave up. Everything else it tries again.
#[derive(Debug, Error)]
pub enum TelegramError {
    /// The session was never signed in.
    #[error("the Telegram session is not signed in; run: vaultgram login")]
    NotSignedIn,
    /// Telegram does not accept the session.
    #[error(
        "Telegram does not accept this session ({0}): it was ended from another device, or used by \
         two processes at once; run: vaultgram logout --local, and then: vaultgram login"
    )]
    SignedOut(String),
    /// The session cannot be kept.
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// Serves Telegram until `accept` is cancelled: then no command is taken any more, those in
/// flight are answered, the session is saved and the connection closed.
///
/// # Errors
/// Only for what no retry can cure; see [`TelegramError`].
pub async fn run(
    settings: Settings,
    session: Arc<FileSession>,
    ports: Ports,
    status: Arc<Status>,
    accept: CancellationToken,
) -> Result<(), TelegramError> {
    let me = session.user().ok_or(TelegramError::NotSignedIn)?;
    status.set(State::Connecting);
    let settings = Arc::new(settings);
    let handler = Arc::new(handler(&settings, &session, &ports, &status, me));
    if settings.watched_chats != WatchedChats::None {
        ports.broker.watch_for_leaks();
    }
    let watchdog = Watchdog {
        coordination: ports.coordination,
        handler: Arc::clone(&handler),
    };
    let posting = |witness| Posting::new(witness, Arc::clone(&handler));
    let posting = ports.witness.map(posting).map(Arc::new);
    // Before this process takes any command, whose record would be among them.
    let left = handler.unanswered.left().await;
    handler.cards.load().await;
    let notifier = Notifier(Arc::clone(&handler));
    let watching = Watching(Arc::clone(&handler));
    let drained = CancellationToken::new();
    let progress = Arc::new(Progress::default());
    let connection = Arc::new(Connection {
        settings,
        session: Arc::clone(&session),
        link: Arc::clone(&handler.link),
        handler: Arc::clone(&handler),
        progress: Arc::clone(&progress),
        clock: ports.clock,
        status: Arc::clone(&status),
        accept: accept.clone(),
        drained: drained.clone(),
        backoff: Connection::new_backoff(),
        dialogs_read: AtomicBool::new(false),
    });

    // These end with this function, not before.
    let services = TaskTracker::new();
    let (deleting, helping) = (Arc::clone(&handler), Arc::clone(&handler));
    let (commands, requests) = (handler.tasks.clone(), handler.requests.clone());
    let aborted_at_the_end = [
        AbortOnDropHandle::new(services.spawn(async move { notifier.run().await })),
        AbortOnDropHandle::new(services.spawn(async move { watching.run().await })),
        AbortOnDropHandle::new(services.spawn(async move { deleting.deletions.run().await })),
        AbortOnDropHandle::new(services.spawn(async move {
            tokio::join!(
                helping.withdrawals.run(),
                helping.pending.run(),
                helping.answer_inherited(left),
                helping.tell_of_leaks(),
                gauges::publish(&helping.outbox, &helping.deletions),
            );
        })),
        AbortOnDropHandle::new(services.spawn(drain(accept, commands, posting.clone(), drained))),
        AbortOnDropHandle::new(services.spawn(async move {
            if let Some(posting) = posting {
                posting.run().await;
            }
        })),
        AbortOnDropHandle::new(services.spawn(async move { watchdog.run().await })),
        AbortOnDropHandle::new(services.spawn(Arc::clone(&handler).tell_of_policy())),
    ];
    let saving = services.spawn(keep_saving(session, progress, handler.closed.clone()));
    let closing = handler.closed.clone().drop_guard();
    let result = connection.run().await;
    drop((aborted_at_the_end, closing));
    handler.broker.lay_down(Duty::Chat).await;
    services.close();
    services.wait().await;
    // Whatever the broker began has its outcome on record; the broker's time-outs bound this.
    requests.close();
    requests.wait().await;
    // It does not panic, and nobody aborts it.
    let saved = saving.await.unwrap_or(Ok(()));
    gauges::end();
    if let Err(error) = result {
        gave_up(&saved, handler.deletions.pending());
        return Err(error);
    }
    saved?;
    status.set(State::Stopped);
    info!(event = "telegram.stopped");
    Ok(())
}

/// What answers, with all that it works with.
fn handler(
    settings: &Arc<Settings>,
    session: &Arc<FileSession>,
    ports: &Ports,
    status: &Arc<Status>,
    me: i64,
) -> Handler {
    let link = Arc::new(Link::new(settings.request_timeout));
    let coordination = &ports.coordination;
    Handler {
        rules: rules(settings, me),
        settings: Arc::clone(settings),
        broker: Arc::clone(&ports.broker),
        clock: Arc::clone(&ports.clock),
        outbox: Outbox::new(
            Arc::clone(&link),
            Arc::clone(session),
            Arc::clone(&ports.broker),
        ),
        second_net: Arc::new(SecondNet::new(
            me,
            Arc::clone(&link),
            Arc::clone(coordination),
            settings.history_ttl,
        )),
        deletions: Deletions::new(
            Arc::clone(&link),
            Arc::clone(session),
            Arc::clone(coordination),
            Arc::clone(&ports.clock),
            settings.delete_after,
        ),
        withdrawals: Withdrawals::new(&link, session, coordination),
        unanswered: Unanswered(Arc::clone(coordination)),
        leaks: Leaks::new(coordination),
        pending: Pending::new(Arc::clone(&ports.clock)),
        cards: Cards::new(&link, session, coordination, &ports.broker),
        runs_poster: Poster::new(&link, session, &ports.broker),
        link,
        session: Arc::clone(session),
        bot: AtomicBool::new(false),
        buttons_gate: Gate::new(),
        status: Arc::clone(status),
        tasks: TaskTracker::new(),
        requests: TaskTracker::new(),
        closed: CancellationToken::new(),
        slots: Handler::slots(),
        strangers: Mutex::default(),
        username: Mutex::default(),
        clock_warned: Mutex::default(),
    }
}

/// Why we gave up matters more than what else went wrong at the end: who is signed out can still
/// serve the socket.
fn gave_up(saved: &Result<(), SessionError>, still_standing: usize) {
    if let Err(error) = saved {
        warn!(event = "telegram.session.unwritable", %error);
    }
    if still_standing > 0 {
        warn!(
            event = "telegram.secrets_stand",
            count = still_standing,
            hint = "their chats still show them; the same account deletes them after a new login"
        );
    }
}

/// Whom to listen to.
fn rules(settings: &Settings, me: i64) -> Rules {
    Rules {
        allowed: settings.allowed_users.clone(),
        me,
        command_age: settings.command_age,
    }
}

/// Waits for the stop, then for the commands in flight, posts the audit's head, and says so.
async fn drain(
    accept: CancellationToken,
    commands: TaskTracker,
    posting: Option<Arc<Posting>>,
    drained: CancellationToken,
) {
    accept.cancelled().await;
    commands.close();
    if timeout(DRAIN, commands.wait()).await.is_err() {
        warn!(
            event = "telegram.drain_timeout",
            unanswered = commands.len()
        );
    }
    if let Some(posting) = posting {
        posting.last().await;
    }
    drained.cancel();
}

/// Writes the session: at once what must not be lost, the rest now and then, all of it at the
/// end.
async fn keep_saving(
    session: Arc<FileSession>,
    progress: Arc<Progress>,
    closed: CancellationToken,
) -> Result<(), SessionError> {
    let mut pause = session::pause_after(0);
    loop {
        let last = tokio::select! {
            () = closed.cancelled() => true,
            () = session.precious() => false,
            () = sleep(pause) => false,
        };
        if let Some(place) = progress.take_settled() {
            session.set_read_until(place);
        }
        let writer = Arc::clone(&session);
        let writing = tokio::task::spawn_blocking(move || writer.save());
        // It does not panic, and nobody aborts it.
        let result = writing.await.unwrap_or(Ok(0));
        if last {
            return result.map(drop);
        }
        let written = result.unwrap_or_else(|error| {
            warn!(event = "telegram.session.unwritable", %error);
            0
        });
        pause = session::pause_after(written);
    }
}
