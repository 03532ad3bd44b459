//! The connection: made, watched, torn down and made again, until it is told to stop or
//! Telegram does not accept the session.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use grammers_session::types::{ChannelState, UpdatesState};
use grammers_session::updates::UpdatesLike;
use grammers_tl_types as tl;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::{info, warn};

use super::backoff::Backoff;
use super::call::{CallError, Link, Pool};
use super::dialogs::Dialogs;
use super::handler::Handler;
use super::incoming::remember;
use super::line::Line;
use super::progress::{Batch, Progress};
use super::receiver::Receiver;
use super::session::FileSession;
use super::status::{State, Status};
use super::{Settings, TelegramError};
use crate::broker::ports::Clock;

/// Updates that may wait to be read; with more, the connection is made anew.
const UPDATES_CAPACITY: usize = 1 << 16;
/// A connection that held this long was a good one: the next tries begin quickly again.
const GOOD_AFTER: Duration = Duration::from_secs(2);
/// The longest pause between two connections.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Everything the connection needs.
pub(super) struct Connection {
    pub(super) settings: Arc<Settings>,
    pub(super) session: Arc<FileSession>,
    pub(super) link: Arc<Link>,
    pub(super) handler: Arc<Handler>,
    pub(super) progress: Arc<Progress>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) status: Arc<Status>,
    /// No new commands.
    pub(super) accept: CancellationToken,
    /// All commands are answered: close.
    pub(super) drained: CancellationToken,
    /// Between two connections.
    pub(super) backoff: Mutex<Backoff>,
    /// Once is enough.
    pub(super) dialogs_read: AtomicBool,
}

/// Why a pool's life ended.
enum End {
    /// As we wanted.
    Stopped,
    /// The connection was lost, or never made.
    Lost(String),
    /// The session is not accepted.
    SignedOut(String),
}

impl From<CallError> for End {
    fn from(error: CallError) -> Self {
        match error {
            CallError::SignedOut(reason) => Self::SignedOut(reason),
            CallError::Disconnected
            | CallError::Flood(_)
            | CallError::Server(_)
            | CallError::Refused(_) => Self::Lost(error.to_string()),
        }
    }
}

impl Connection {
    /// Keeps a connection until `drained`.
    pub(super) async fn run(self: Arc<Self>) -> Result<(), TelegramError> {
        let tasks = TaskTracker::new();
        loop {
            // In a task of its own: grammers can panic on odd data, which must not end us.
            let life = AbortOnDropHandle::new(tasks.spawn(Arc::clone(&self).live()));
            let end = life
                .await
                .unwrap_or_else(|_| End::Lost("an internal error".to_owned()));
            self.link.publish(None);
            let reason = match end {
                End::Stopped => return Ok(()),
                End::SignedOut(reason) => {
                    self.status.set(State::SignedOut);
                    return Err(TelegramError::SignedOut(reason));
                }
                End::Lost(reason) => reason,
            };
            let delay = self.backoff().next();
            let milliseconds = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            warn!(
                event = "telegram.connection.lost",
                reason,
                retry_in_ms = milliseconds
            );
            self.set_reconnecting(reason);
            tokio::select! {
                () = sleep(delay) => {}
                () = self.drained.cancelled() => return Ok(()),
            }
        }
    }

    /// The one between two connections.
    pub(super) fn new_backoff() -> Mutex<Backoff> {
        Mutex::new(Backoff::new(Duration::from_millis(100), LONGEST_PAUSE))
    }

    fn backoff(&self) -> MutexGuard<'_, Backoff> {
        self.backoff.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_reconnecting(&self, reason: String) {
        let since = match self.status.get() {
            State::Reconnecting { since, .. } => since,
            State::Connecting | State::Connected { .. } | State::SignedOut | State::Stopped => {
                self.clock.now()
            }
        };
        self.status.set(State::Reconnecting { since, reason });
    }

    /// One pool, from connect to close.
    async fn live(self: Arc<Self>) -> End {
        let proxy = match &self.settings.proxy {
            None => None,
            Some(proxy) => tokio::select! {
                () = self.drained.cancelled() => return End::Stopped,
                url = proxy.url(self.settings.request_timeout) => match url {
                    Ok(url) => Some(url),
                    Err(reason) => return End::Lost(reason),
                },
            },
        };
        let (calls, called) = mpsc::unbounded_channel();
        let (passed_on, updates) = mpsc::channel(UPDATES_CAPACITY);
        let line = Line {
            session: Arc::clone(&self.session),
            api_id: self.settings.api_id,
            proxy,
            calls: called,
            updates: passed_on,
        };
        let pool = Pool(calls);
        let tasks = TaskTracker::new();
        // Dropped, it takes the connection with it, however stuck.
        let mut line = AbortOnDropHandle::new(tasks.spawn(line.run()));
        let end = tokio::select! {
            // Knows best why it ended.
            biased;
            ended = &mut line => match ended {
                Ok(Err(error)) => End::from(error),
                Ok(Ok(())) | Err(_) => End::Lost("an internal error".to_owned()),
            },
            end = self.serve(&pool, updates) => end,
        };
        let end = match (end, &self.settings.proxy) {
            // The proxy answers, so it does not let us through, or Telegram is gone behind it.
            (End::Lost(reason), Some(proxy)) => {
                End::Lost(format!("{reason} by way of the proxy {proxy}"))
            }
            (end, _) => end,
        };
        self.link.publish(None);
        tasks.close();
        // The next connection is made when this one is gone, not beside it.
        line.abort();
        tasks.wait().await;
        end
    }

    async fn serve(&self, pool: &Pool, updates: mpsc::Receiver<UpdatesLike>) -> End {
        let signed_on = tokio::select! {
            () = self.drained.cancelled() => return End::Stopped,
            signed_on = self.sign_on(pool) => signed_on,
        };
        if let Err(error) = signed_on {
            return End::from(error);
        }
        self.link.publish(Some(pool.clone()));
        let limit = self.settings.request_timeout;
        let latest = self.progress.latest();
        let place = latest.unwrap_or_else(|| self.session.read_until());
        let mut receiver = Receiver::new(
            pool.clone(),
            updates,
            &self.session,
            &self.link,
            place,
            limit,
        );
        let began = Instant::now();
        let end = self.receive(pool, &mut receiver).await;
        if began.elapsed() >= GOOD_AFTER {
            self.backoff().reset();
        }
        end
    }

    /// The tight loop: hands new messages over and does nothing that takes time.
    async fn receive(&self, pool: &Pool, receiver: &mut Receiver<'_>) -> End {
        let probe = self.probe(pool);
        tokio::pin!(probe);
        // The handlers are not done while somebody still feeds them.
        let mut feeding = (!self.accept.is_cancelled()).then(|| self.handler.tasks.token());
        loop {
            let messages = {
                // Without room, what comes waits with grammers or, beyond that, with Telegram.
                let next = async {
                    self.handler.room().await;
                    receiver.next().await
                };
                tokio::pin!(next);
                loop {
                    tokio::select! {
                        biased;
                        () = self.drained.cancelled() => return End::Stopped,
                        () = self.accept.cancelled(), if feeding.is_some() => feeding = None,
                        reason = self.link.signed_out() => return End::SignedOut(reason),
                        error = &mut probe => return End::from(error),
                        messages = &mut next => break messages,
                    }
                }
            };
            match messages {
                Ok(messages) if feeding.is_some() => {
                    let batch = Batch::default();
                    for message in messages {
                        self.handler.accept(message, &batch);
                    }
                    self.progress.handed_over(batch, receiver.read_until());
                }
                // While we stop, our place stays: these are fetched again after the restart.
                Ok(_) => {}
                Err(error) => return End::from(error),
            }
        }
    }

    /// Returns when the server does not answer, or does not accept the session any more. grammers
    /// does not check its own pings, so a silent server would only be noticed by the kernel, much
    /// later; and a ping is answered even to a session that was ended.
    async fn probe(&self, pool: &Pool) -> CallError {
        loop {
            tokio::select! {
                () = sleep(self.settings.probe_interval) => {}
                () = self.link.suspect.notified() => {}
            }
            let request = tl::functions::updates::GetState {};
            match pool.invoke(&request, self.settings.request_timeout).await {
                // Whatever it says, it answers.
                Ok(_) | Err(CallError::Flood(_) | CallError::Server(_) | CallError::Refused(_)) => {
                }
                Err(error @ (CallError::Disconnected | CallError::SignedOut(_))) => return error,
            }
        }
    }

    /// Makes sure that the session is accepted, and that we know ourselves, our place in the
    /// updates and the people we talk to.
    async fn sign_on(&self, pool: &Pool) -> Result<(), CallError> {
        let limit = self.settings.request_timeout;
        let request = tl::functions::users::GetUsers {
            id: vec![tl::enums::InputUser::UserSelf],
        };
        let users = pool.invoke(&request, limit).await?;
        remember(&self.session, &users, &[]);
        let Some(tl::enums::User::User(me)) = users.into_iter().next() else {
            return Err(CallError::SignedOut("no such account".to_owned()));
        };
        let known = self.session.read_until();
        if known.pts == 0 {
            let request = tl::functions::updates::GetState {};
            let tl::enums::updates::State::State(state) = pool.invoke(&request, limit).await?;
            self.session.set_read_until(UpdatesState {
                pts: state.pts,
                qts: state.qts,
                date: state.date,
                seq: state.seq,
                channels: vec![],
            });
        }
        if !me.bot && !self.dialogs_read.load(Ordering::Acquire) {
            self.read_dialogs(pool).await?;
            self.dialogs_read.store(true, Ordering::Release);
        }
        if self.session.read_until() != known {
            self.save().await;
        }
        let username = username(&me);
        let account = match &username {
            Some(name) => format!("@{name}"),
            None => format!("user {}", me.id),
        };
        info!(event = "telegram.connected", user = me.id);
        self.handler.bot.store(me.bot, Ordering::Relaxed);
        self.handler.set_username(username);
        self.status.set(State::Connected {
            account,
            since: self.clock.now(),
        });
        Ok(())
    }

    /// Writes where the account and its channels begin for us, before anything is read there: after
    /// a crash we would begin where they are then, and lose what came in between.
    async fn save(&self) {
        let session = Arc::clone(&self.session);
        let writing = tokio::task::spawn_blocking(move || session.save());
        // It does not panic, and nobody aborts it.
        if let Err(error) = writing.await.unwrap_or(Ok(0)) {
            warn!(event = "telegram.session.unwritable", %error);
        }
    }

    /// Learns how to address those we talked to before, and which groups to follow.
    async fn read_dialogs(&self, pool: &Pool) -> Result<(), CallError> {
        let mut dialogs = Dialogs::new();
        let mut place = self.session.read_until();
        loop {
            let limit = self.settings.request_timeout;
            let page = match dialogs.page(pool, &self.session, limit).await {
                Ok(Some(page)) => page,
                // Not a must: whoever is unknown is looked up when they write.
                Ok(None)
                | Err(CallError::Flood(_) | CallError::Refused(_) | CallError::Server(_)) => break,
                Err(error @ (CallError::Disconnected | CallError::SignedOut(_))) => {
                    return Err(error);
                }
            };
            for dialog in page.dialogs {
                let (tl::enums::Peer::Channel(channel), Some(pts)) = (dialog.peer, dialog.pts)
                else {
                    continue;
                };
                let id = channel.channel_id;
                if !place.channels.iter().any(|known| known.id == id) {
                    place.channels.push(ChannelState { id, pts });
                }
            }
        }
        self.session.set_read_until(place);
        Ok(())
    }
}

/// The account's public name. An account with several has them in a list of their own.
fn username(user: &tl::types::User) -> Option<String> {
    let listed = || {
        let tl::enums::Username::Username(name) = user.usernames.as_ref()?.first()?;
        Some(name.username.clone())
    };
    user.username.clone().or_else(listed)
}
