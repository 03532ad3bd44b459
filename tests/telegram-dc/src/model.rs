//! What tests and the demo see of the world: people, chats, messages, events.

use std::time::Duration;

use grammers_tl_types::enums::{MessageEntity, ReplyMarkup};

use crate::content::{self, Button, Document};

/// The account that Telegram itself writes from.
pub const SERVICE_USER: i64 = 777_000;

/// The account that stands for every anonymous admin of every group.
pub const ANONYMOUS_ADMIN: i64 = 1_087_968_824;

/// A person or a bot, to be added with [`Datacenter::add_user`](crate::Datacenter::add_user).
#[derive(Debug, Clone)]
pub struct User {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) username: Option<String>,
    pub(crate) phone: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) bot_token: Option<String>,
    pub(crate) login_code: Option<String>,
    pub(crate) home: Option<i32>,
}

impl User {
    /// A person without username, phone or password.
    #[must_use]
    pub fn new(id: i64, name: impl Into<String>) -> Self {
        Self {
            id,
            name: name.into(),
            username: None,
            phone: None,
            password: None,
            bot_token: None,
            login_code: None,
            home: None,
        }
    }

    /// The name that others find them by, without `@`.
    #[must_use]
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// The number they sign in with.
    #[must_use]
    pub fn phone(mut self, phone: impl Into<String>) -> Self {
        self.phone = Some(phone.into());
        self
    }

    /// The password that signing in asks for after the code. Adding the user then takes a
    /// moment: passwords are stretched.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Makes it a bot that signs in with this token.
    #[must_use]
    pub fn bot(mut self, token: impl Into<String>) -> Self {
        self.bot_token = Some(token.into());
        self
    }

    /// The datacenter that the account lives in, by its id; otherwise the first.
    #[must_use]
    pub fn home(mut self, dc_id: i32) -> Self {
        self.home = Some(dc_id);
        self
    }

    /// The login code, instead of one that follows from the id.
    #[must_use]
    pub fn login_code(mut self, code: impl Into<String>) -> Self {
        self.login_code = Some(code.into());
        self
    }
}

/// A chat as one account sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Chat {
    /// The private chat with this user.
    User(i64),
    /// A basic group.
    Group(i64),
    /// A supergroup or a channel.
    Channel(i64),
}

/// Who a message is shown to be from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sender {
    /// A person or a bot.
    User(i64),
    /// A channel, or the supergroup itself.
    Channel(i64),
}

/// Which form the update of a message takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    /// As Telegram does: short if the client has been told about everybody concerned.
    #[default]
    Realistic,
    /// `updateShortMessage` and `updateShortChatMessage`, even from somebody unknown.
    Short,
    /// Always with users and chats.
    Long,
}

/// How members are told of what happens in a supergroup or channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Announce {
    /// Every message is pushed.
    #[default]
    Messages,
    /// `updateChannelTooLong` without a `pts`, as Telegram does in large ones.
    TooLong,
    /// The same with the newest `pts`.
    TooLongWithPts,
}

/// A message to be sent by a person, with whatever is unusual about it.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    pub(crate) text: String,
    pub(crate) entities: Vec<MessageEntity>,
    pub(crate) age: Duration,
    pub(crate) forwarded_from: Option<i64>,
    pub(crate) via_bot: Option<i64>,
    pub(crate) sent_as: Option<i64>,
    pub(crate) reply_to: Option<i32>,
    pub(crate) form: Option<Form>,
    pub(crate) document: Option<Document>,
    pub(crate) noforwards: bool,
    pub(crate) silent: bool,
    pub(crate) markup: Option<ReplyMarkup>,
}

impl Draft {
    /// Plain text, sent now.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    /// Formatting.
    #[must_use]
    pub fn entities(mut self, entities: Vec<MessageEntity>) -> Self {
        self.entities = entities;
        self
    }

    /// Dates the message back.
    #[must_use]
    pub fn age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    /// Shows it as forwarded from this user.
    #[must_use]
    pub fn forwarded_from(mut self, user: i64) -> Self {
        self.forwarded_from = Some(user);
        self
    }

    /// Shows it as sent via an inline bot.
    #[must_use]
    pub fn via_bot(mut self, bot: i64) -> Self {
        self.via_bot = Some(bot);
        self
    }

    /// Shows a channel as its sender; the supergroup's own id makes it an anonymous admin's.
    #[must_use]
    pub fn sent_as(mut self, channel: i64) -> Self {
        self.sent_as = Some(channel);
        self
    }

    /// Answers a message, by its id as the sender sees it.
    #[must_use]
    pub fn reply_to(mut self, id: i32) -> Self {
        self.reply_to = Some(id);
        self
    }

    /// Sends a file, with the text as its caption.
    #[must_use]
    pub fn document(mut self, document: Document) -> Self {
        self.document = Some(document);
        self
    }

    /// Puts rows of buttons under it. Only bots have buttons; a person's are dropped.
    #[must_use]
    pub fn buttons(mut self, rows: Vec<Vec<Button>>) -> Self {
        self.markup = Some(content::markup(rows));
        self
    }

    /// Fixes the form of the update for this message.
    #[must_use]
    pub fn form(mut self, form: Form) -> Self {
        self.form = Some(form);
        self
    }
}

impl From<&str> for Draft {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Draft {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

/// A message that was sent: what each account calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// When, by the server's clock or as dated back.
    pub date: i32,
    pub(crate) shared: Option<i32>,
    pub(crate) own: Vec<(i64, i32)>,
}

impl Sent {
    /// The message's id as this account sees it.
    #[must_use]
    pub fn id_for(&self, user: i64) -> Option<i32> {
        self.shared.or_else(|| {
            self.own
                .iter()
                .find(|(owner, _)| *owner == user)
                .map(|(_, id)| *id)
        })
    }
}

/// A message as one account sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The account's own number for it (a supergroup's members share theirs).
    pub id: i32,
    /// The chat it is in.
    pub chat: Chat,
    /// Who it is shown to be from.
    pub from: Sender,
    /// When it was sent, in seconds since 1970.
    pub date: i32,
    /// The text as it is now.
    pub text: String,
    /// The text's formatting.
    pub entities: Vec<MessageEntity>,
    /// Whether this account sent it.
    pub out: bool,
    /// When it was last edited.
    pub edited: Option<i32>,
    /// The message it answers, by this account's number.
    pub reply_to: Option<i32>,
    /// Who it is forwarded from.
    pub forwarded_from: Option<i64>,
    /// The inline bot it was sent with.
    pub via_bot: Option<i64>,
    /// The file it carries; its text is the caption.
    pub document: Option<Document>,
    /// The rows of buttons under it that tell its bot when they are pressed.
    pub buttons: Vec<Vec<Button>>,
    /// Whether it may not be forwarded or saved; only bots can say so.
    pub noforwards: bool,
    /// Whether it made no sound.
    pub silent: bool,
    /// How many seconds after its date it deletes itself.
    pub ttl_period: Option<i32>,
    /// Who reacted, and with which emoji.
    pub reactions: Vec<(i64, String)>,
}

/// Something that happened to what one account sees.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A message came or was sent.
    New {
        /// The account.
        account: i64,
        /// The message as it sees it.
        message: Message,
    },
    /// A message was edited.
    Edited {
        /// The account.
        account: i64,
        /// The message as it sees it now.
        message: Message,
    },
    /// Messages were deleted.
    Deleted {
        /// The account.
        account: i64,
        /// The supergroup or channel, if it was in one.
        channel: Option<i64>,
        /// Their numbers.
        ids: Vec<i32>,
    },
}

/// Why something cannot be done; the text is Telegram's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The code that clients see, such as 400.
    pub code: i32,
    /// The text, such as `PEER_ID_INVALID`.
    pub text: String,
}

impl Refusal {
    /// A mistake in the request.
    pub(crate) fn bad(text: &str) -> Self {
        Self {
            code: 400,
            text: text.to_owned(),
        }
    }

    /// Something that this account may not do.
    pub(crate) fn forbidden(text: &str) -> Self {
        Self {
            code: 403,
            text: text.to_owned(),
        }
    }

    /// Another datacenter is to be asked, such as with `PHONE_MIGRATE_4`.
    pub(crate) fn elsewhere(why: &str, dc_id: i32) -> Self {
        Self {
            code: 303,
            text: format!("{why}_MIGRATE_{dc_id}"),
        }
    }

    /// A key that is not, or no longer, signed in.
    pub(crate) fn unauthorized(text: &str) -> Self {
        Self {
            code: 401,
            text: text.to_owned(),
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.code, self.text)
    }
}

impl std::error::Error for Refusal {}
