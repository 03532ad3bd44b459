//! Buttons that were pressed, until their bot answers or is too slow.

use std::collections::BTreeMap;
use std::time::Duration;

use grammers_tl_types::{Serializable, enums, types};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Outgoing, Peers, Place, World, owner_of, peer};
use crate::content;
use crate::model::{Chat, Refusal};

/// How long a bot has to answer unless a test says otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many presses may wait for answers.
const MAX_WAITING: usize = 10_000;

/// What becomes of a press.
pub(crate) type Outcome = Result<types::messages::BotCallbackAnswer, Refusal>;

/// Who waits for a bot's answer.
pub(crate) enum Presser {
    /// A client, for the answer to this request.
    Client { link: u64, request: i64 },
    /// A test.
    Test(oneshot::Sender<Outcome>),
    /// A client whose connection an ordered fault cuts.
    Nobody,
}

struct Press {
    bot: i64,
    update: types::UpdateBotCallbackQuery,
    /// Whether a connection of the bot was told.
    told: bool,
    until: Instant,
    presser: Presser,
}

/// All presses that wait for their bot.
pub(crate) struct Callbacks {
    pub(crate) patience: Duration,
    waiting: BTreeMap<i64, Press>,
}

impl Default for Callbacks {
    fn default() -> Self {
        Self {
            patience: PATIENCE,
            waiting: BTreeMap::new(),
        }
    }
}

impl World {
    /// Presses a button, by the message's number as the presser sees it.
    pub(crate) fn press(
        &mut self,
        user: i64,
        chat: Chat,
        id: i32,
        data: &[u8],
        presser: Presser,
        now: Instant,
    ) -> Result<(), Refusal> {
        let invalid = || Refusal::bad("MESSAGE_ID_INVALID");
        let key = self.find(user, chat, id).ok_or_else(invalid)?;
        let stored = self.store.get(key).ok_or_else(invalid)?;
        if !self.sees(user, stored) {
            return Err(invalid());
        }
        let bot = stored.author;
        let buttons = content::buttons(stored.markup.as_ref());
        if !buttons.iter().flatten().any(|button| button.data == data) {
            return Err(Refusal::bad("DATA_INVALID"));
        }
        // The bot has its own number for the message, and its own name for the chat.
        let chat = stored.place.seen_by(bot);
        let msg_id = stored.id_in(owner_of(chat, bot)).ok_or_else(invalid)?;
        if self.callbacks.waiting.len() >= MAX_WAITING {
            return Err(Refusal::bad("BOT_RESPONSE_TIMEOUT"));
        }
        let query_id = crate::random::id();
        let update = types::UpdateBotCallbackQuery {
            query_id,
            user_id: user,
            peer: peer(chat),
            msg_id,
            chat_instance: self.chat_instance(stored.place),
            data: Some(data.to_vec()),
            game_short_name: None,
        };
        let mut peers = Peers::default();
        peers.users.insert(user);
        peers.add(chat);
        let told = self.push_unnumbered(bot, &update.clone().into(), &peers, None);
        let press = Press {
            bot,
            update,
            told,
            until: now + self.callbacks.patience,
            presser,
        };
        self.callbacks.waiting.insert(query_id, press);
        Ok(())
    }

    /// Hands a bot's answer to the one who pressed.
    pub(crate) fn answer_press(
        &mut self,
        bot: i64,
        query: i64,
        answer: types::messages::BotCallbackAnswer,
    ) -> Result<(), Refusal> {
        let waiting = &mut self.callbacks.waiting;
        let own = waiting.get(&query).is_some_and(|press| press.bot == bot);
        let press = own.then(|| waiting.remove(&query)).flatten();
        let press = press.ok_or_else(|| Refusal::bad("QUERY_ID_INVALID"))?;
        self.resolve(press.presser, Ok(answer));
        Ok(())
    }

    /// Presses that the bot was not connected for; they come with its next difference.
    pub(crate) fn untold_presses(&mut self, bot: i64) -> Vec<types::UpdateBotCallbackQuery> {
        let waiting = self.callbacks.waiting.values_mut();
        let untold = waiting.filter(|press| press.bot == bot && !press.told);
        untold
            .map(|press| {
                press.told = true;
                press.update.clone()
            })
            .collect()
    }

    /// Ends the presses whose bot was too slow.
    pub(crate) fn expire_presses(&mut self, now: Instant) {
        let waiting = self
            .callbacks
            .waiting
            .extract_if(.., |_, press| press.until <= now);
        let late: Vec<Press> = waiting.map(|(_, press)| press).collect();
        for press in late {
            self.resolve(press.presser, Err(Refusal::bad("BOT_RESPONSE_TIMEOUT")));
        }
    }

    fn resolve(&mut self, presser: Presser, outcome: Outcome) {
        match presser {
            Presser::Client { link, request } => {
                let body = match outcome {
                    Ok(answer) => enums::messages::BotCallbackAnswer::from(answer).to_bytes(),
                    Err(refusal) => crate::rpc::refuse(&refusal),
                };
                if let Some(connection) = self.links.get(link) {
                    connection.link.send(Outgoing::Answer { request, body });
                }
            }
            // A test that gave up waiting has dropped its end.
            Presser::Test(waiting) => drop(waiting.send(outcome)),
            Presser::Nobody => {}
        }
    }

    /// Tells an account something that is in no box; whether a connection was there to hear it.
    pub(crate) fn push_unnumbered(
        &mut self,
        viewer: i64,
        update: &enums::Update,
        peers: &Peers,
        origin: Option<u64>,
    ) -> bool {
        let account = self.accounts.get(&viewer);
        let links = account.map(|account| account.links.clone());
        let mut told = false;
        for link in links.into_iter().flatten() {
            let Some(key) = self.links.get(link).and_then(|connection| connection.key) else {
                continue;
            };
            if Some(link) == origin {
                continue;
            }
            let bytes = self.long(key, viewer, peers, update.clone()).to_bytes();
            if let Some(connection) = self.links.get(link) {
                connection.link.send(Outgoing::Push(bytes));
                told = true;
            }
        }
        told
    }

    /// One number for a chat, whoever looks at it.
    fn chat_instance(&self, place: Place) -> i64 {
        match place {
            Place::Private { from, to } => self.access_hash(from.min(to), b'i', from.max(to)),
            Place::Group(id) => self.access_hash(0, b'g', id),
            Place::Channel(id) => self.access_hash(0, b'h', id),
        }
    }
}
