//! Updates in order and without gaps: of the account and of each channel it is in.

use std::time::Duration;

use grammers_session::types::{PeerId, UpdatesState};
use grammers_session::updates::PrematureEndReason::{Banned, TemporaryServerIssues};
use grammers_session::updates::{MessageBoxes, UpdatesLike};
use grammers_tl_types as tl;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::warn;

use super::backoff::Backoff;
use super::call::{CallError, Link, Pool};
use super::incoming::{Event, Incoming, remember};
use super::lagging::Lagging;
use super::own_words::inside;
use super::recovery::{Recovery, is_news};
use super::session::FileSession;

/// Channel updates asked for at once, as user accounts may.
const CHANNEL_LIMIT: i32 = 100;

/// What Telegram says of a channel that we are not in, or not any more.
const NOT_OURS: [&str; 3] = [
    "CHANNEL_PRIVATE",
    "CHANNEL_INVALID",
    "USER_BANNED_IN_CHANNEL",
];

/// The account that Telegram itself writes from.
const TELEGRAM: i64 = 777_000;

/// Turns what the connection delivers into new messages. grammers' own receiver sleeps and
/// calls without limits, and does not fetch what channels missed; this one does not.
pub(super) struct Receiver<'a> {
    boxes: MessageBoxes,
    updates: mpsc::Receiver<UpdatesLike>,
    pool: Pool,
    session: &'a FileSession,
    link: &'a Link,
    request_timeout: Duration,
    backoff: Backoff,
    /// What is read from the histories before anything else.
    recovery: Option<Recovery>,
    /// Up to here we know everything of every chat, in unix seconds. The boxes' own date is the
    /// account's alone, and runs ahead of the channels that are still to be fetched.
    since: i32,
    /// Except for these channels.
    lagging: Lagging,
}

impl<'a> Receiver<'a> {
    /// Begins at `place`, where we stopped: everything since is fetched first, of the account
    /// and of every group.
    pub(super) fn new(
        pool: Pool,
        updates: mpsc::Receiver<UpdatesLike>,
        session: &'a FileSession,
        link: &'a Link,
        place: UpdatesState,
        request_timeout: Duration,
    ) -> Self {
        Self {
            since: place.date,
            boxes: MessageBoxes::load(place),
            updates,
            pool,
            session,
            link,
            request_timeout,
            backoff: Backoff::new(Duration::from_millis(200), Duration::from_secs(30)),
            recovery: None,
            lagging: Lagging::default(),
        }
    }

    /// How far we are. From here the next process goes on, so its date does not move before all
    /// that lies behind it was fetched.
    pub(super) fn read_until(&self) -> UpdatesState {
        match &self.recovery {
            Some(recovery) => recovery.place().clone(),
            None => self.place(),
        }
    }

    /// What the boxes have, with the date up to which nothing is missing.
    fn place(&self) -> UpdatesState {
        let oldest = self.lagging.oldest();
        UpdatesState {
            date: oldest.map_or(self.since, |date| date.min(self.since)),
            ..self.boxes.session_state()
        }
    }

    /// The next new messages, possibly none. May be cancelled at any time.
    ///
    /// # Errors
    /// When this connection is of no more use, or the session is not accepted.
    pub(super) async fn next(&mut self) -> Result<Vec<Event>, CallError> {
        if let Some(recovery) = &mut self.recovery {
            let step = recovery.step(&self.pool, self.session, self.request_timeout);
            return match step.await {
                Ok(Some(messages)) => Ok(messages.into_iter().map(Event::Message).collect()),
                Ok(None) => {
                    self.recovery = None;
                    Ok(vec![])
                }
                Err(error) => self.wait_out(error).await,
            };
        }
        while let Some(channel) = self.lagging.due(Instant::now()) {
            // The boxes' way to be told that there is something to fetch; they report no gap.
            let again = UpdatesLike::Updates(again(channel));
            drop(self.boxes.process_updates(again));
        }
        let deadline = Instant::from(self.boxes.check_deadlines());
        if let Some(request) = self.boxes.get_difference() {
            return match self.pool.invoke(&request, self.request_timeout).await {
                Ok(difference) => Ok(self.apply(difference)),
                Err(error) => self.wait_out(error).await,
            };
        }
        if let Some(request) = self.boxes.get_channel_difference() {
            return self.channel_difference(request).await;
        }
        self.since = self.boxes.session_state().date;
        let deadline = self.lagging.next().map_or(deadline, |at| at.min(deadline));
        let Ok(received) = timeout_at(deadline, self.updates.recv()).await else {
            return Ok(vec![]);
        };
        match received {
            // What is missing is fetched by the next connection.
            None | Some(UpdatesLike::ConnectionClosed) => Err(CallError::Disconnected),
            Some(mut updates) => {
                for update in inside(&mut updates) {
                    take_pts(update, &mut self.boxes);
                }
                Ok(match self.boxes.process_updates(updates) {
                    Ok(batch) => self.messages(batch),
                    Err(_gap) => vec![],
                })
            }
        }
    }

    fn apply(&mut self, mut difference: tl::enums::updates::Difference) -> Vec<Event> {
        use tl::enums::updates::Difference;
        self.backoff.reset();
        let before = self.place();
        let others = match &mut difference {
            Difference::Difference(all) => all.other_updates.as_mut_slice(),
            Difference::Slice(part) => part.other_updates.as_mut_slice(),
            Difference::Empty(_) | Difference::TooLong(_) => &mut [],
        };
        for update in others {
            take_pts(update, &mut self.boxes);
        }
        let too_long = matches!(difference, Difference::TooLong(_));
        let batch = self.boxes.apply_difference(difference);
        if too_long {
            // The server only gave a newer starting point; what came after it is fetched from
            // there, and what was before it is read from the chats.
            warn!(event = "telegram.updates.too_long");
            self.boxes = MessageBoxes::load(self.boxes.session_state());
            self.recovery_since(before).add_account();
        }
        self.messages(batch)
    }

    fn recovery_since(&mut self, place: UpdatesState) -> &mut Recovery {
        self.recovery.get_or_insert_with(|| Recovery::since(place))
    }

    /// A channel's last messages are part of the answer, which grammers drops; what was before
    /// them is read from its history.
    fn apply_too_long(
        &mut self,
        channel: PeerId,
        difference: tl::types::updates::ChannelDifferenceTooLong,
    ) -> Vec<Event> {
        warn!(
            event = "telegram.channel.too_long",
            channel = channel.bare_id()
        );
        let before = self.place();
        let messages = difference.messages.iter().rev();
        let found = messages
            .filter(|message| is_news(message, before.date))
            .filter_map(|message| Incoming::of_message(message.clone(), true, None))
            .map(Event::Message)
            .collect();
        let oldest = difference.messages.iter().map(tl::enums::Message::id).min();
        self.recovery_since(before)
            .add_channel(channel, oldest.unwrap_or(0));
        let batch = self.boxes.apply_channel_difference(difference.into());
        self.messages(batch);
        found
    }

    async fn channel_difference(
        &mut self,
        mut request: tl::functions::updates::GetChannelDifference,
    ) -> Result<Vec<Event>, CallError> {
        use tl::enums::updates::ChannelDifference;
        let tl::enums::InputChannel::Channel(channel) = &mut request.channel else {
            self.boxes.end_channel_difference(Banned);
            return Ok(vec![]);
        };
        let number = channel.channel_id;
        let id = PeerId::channel(number);
        let known = id.and_then(|id| Some((id, self.session.access_hash(id)?)));
        let Some((id, hash)) = known else {
            self.channel_failed(number, "its access hash is unknown");
            return Ok(vec![]);
        };
        channel.access_hash = hash;
        request.limit = CHANNEL_LIMIT;
        match self.pool.invoke(&request, self.request_timeout).await {
            // grammers panics without the number.
            Ok(ChannelDifference::TooLong(difference)) if !matches!(&difference.dialog, tl::enums::Dialog::Dialog(d) if d.pts.is_some()) =>
            {
                self.channel_failed(number, "an answer without its counter");
                Ok(vec![])
            }
            Ok(ChannelDifference::TooLong(difference)) => {
                self.backoff.reset();
                let found = self.apply_too_long(id, difference);
                self.lagging.over(number);
                Ok(found)
            }
            Ok(difference) => {
                self.backoff.reset();
                let batch = self.boxes.apply_channel_difference(difference);
                self.lagging.over(number);
                Ok(self.messages(batch))
            }
            Err(CallError::Refused(reason)) if NOT_OURS.contains(&reason.as_str()) => {
                warn!(event = "telegram.channel.left", channel = number, reason);
                self.lagging.over(number);
                self.boxes.end_channel_difference(Banned);
                Ok(vec![])
            }
            // It would be so the next time: past what we cannot read, by way of the history.
            Err(error) if error.is_undecodable() => {
                warn!(event = "telegram.channel.undecodable", channel = number);
                let before = self.place();
                self.recovery_since(before).add_channel(id, 0);
                self.lagging.over(number);
                self.boxes.end_channel_difference(Banned);
                Ok(vec![])
            }
            Err(CallError::Server(reason) | CallError::Refused(reason)) => {
                self.channel_failed(number, &reason);
                Ok(vec![])
            }
            Err(error) => self.wait_out(error).await,
        }
    }

    /// The boxes leave the channel alone for now; it is tried again later.
    fn channel_failed(&mut self, channel: i64, reason: &str) {
        let worth = self.lagging.failed(channel, self.since, Instant::now());
        warn!(
            event = "telegram.channel.trouble",
            channel,
            reason,
            given_up = !worth
        );
        let end = if worth { TemporaryServerIssues } else { Banned };
        self.boxes.end_channel_difference(end);
    }

    /// Never at full speed against an error: a revoked session can be asked thousands of
    /// times a second.
    async fn wait_out(&mut self, error: CallError) -> Result<Vec<Event>, CallError> {
        match &error {
            CallError::Flood(wait) => sleep(*wait).await,
            CallError::Server(reason) => {
                warn!(event = "telegram.updates.trouble", reason);
                sleep(self.backoff.next()).await;
            }
            CallError::Refused(reason) => {
                warn!(event = "telegram.updates.reset", reason);
                sleep(self.backoff.next()).await;
                self.begin_anew().await?;
            }
            CallError::Disconnected | CallError::SignedOut(_) => return Err(error),
        }
        Ok(vec![])
    }

    /// Our place in the account's updates is not one the server knows, or we cannot read what
    /// comes after it: on from now, and what lies between is read from the chats. The channels
    /// count for themselves and go on where they are.
    async fn begin_anew(&mut self) -> Result<(), CallError> {
        let before = self.place();
        let request = tl::functions::updates::GetState {};
        let tl::enums::updates::State::State(now) =
            self.pool.invoke(&request, self.request_timeout).await?;
        self.boxes = MessageBoxes::load(UpdatesState {
            pts: now.pts,
            qts: now.qts,
            date: now.date,
            seq: now.seq,
            channels: before.channels.clone(),
        });
        self.recovery_since(before).add_account();
        Ok(())
    }

    fn messages(
        &self,
        (updates, users, chats): grammers_session::updates::UpdateAndPeers,
    ) -> Vec<Event> {
        remember(self.session, &users, &chats);
        if updates.iter().any(|(update, _)| is_about_devices(update)) {
            self.link.new_device.notify_one();
        }
        updates
            .into_iter()
            .filter_map(|(update, state)| Event::read(update, &state))
            .collect()
    }
}

/// "Something happened in a channel, which now counts so much": grammers would take the number
/// for reached, and never fetch what led there.
fn take_pts(update: &mut tl::enums::Update, boxes: &mut MessageBoxes) {
    if let tl::enums::Update::ChannelTooLong(channel) = update
        && let Some(pts) = channel.pts.take()
    {
        // Of a channel that is new to us, what was announced.
        boxes.try_set_channel_state(channel.channel_id, (pts - 1).max(1));
    }
}

/// What the server says when there is something to be fetched from a channel.
fn again(channel: i64) -> tl::enums::Updates {
    let update = tl::types::UpdateChannelTooLong {
        channel_id: channel,
        pts: None,
    };
    tl::types::UpdateShort {
        update: update.into(),
        date: 0,
    }
    .into()
}

/// Whether somebody may have signed in: Telegram says so twice, and in words.
fn is_about_devices(update: &tl::enums::Update) -> bool {
    if let tl::enums::Update::NewMessage(new) = update
        && let tl::enums::Message::Message(message) = &new.message
    {
        return matches!(&message.peer_id, tl::enums::Peer::User(user) if user.user_id == TELEGRAM);
    }
    matches!(
        update,
        tl::enums::Update::NewAuthorization(_) | tl::enums::Update::ServiceNotification(_)
    )
}
