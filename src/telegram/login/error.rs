//! Why signing in did not work, and what to do about it.

use std::time::Duration;

use grammers_mtsender::InvocationError;
use thiserror::Error;

use crate::telegram::call::CallError;
use crate::telegram::session::SessionError;

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoAnswer {
    /// The person gave up: Ctrl-C or Ctrl-D.
    #[error("cancelled; nothing was written")]
    Cancelled,
    /// Nobody is there to ask, and the named setting is not given.
    #[error("there is nobody to ask: standard input has no more answers, and {0} is not set")]
    NotGiven(&'static str),
    /// The answer did not come in time, or cannot be read.
    #[error("{0}")]
    Failed(String),
}

/// Why signing in did not work.
#[derive(Debug, Error)]
pub enum LoginError {
    /// The session has no account, or Telegram does not accept it any more.
    #[error(
        "the session is not signed in; remove its file if there is one (vaultgram logout --local), \
         and run: vaultgram login"
    )]
    NotSignedIn,
    /// The session has an account already.
    #[error("this session is signed in already; to sign in anew, first run: vaultgram logout")]
    AlreadySignedIn,
    /// Too many wrong codes.
    #[error("the code is wrong; run the command again for a new one")]
    WrongCode,
    /// The second code ran out as well.
    #[error("the code expired, and so did a new one; run the command again and type it at once")]
    CodeExpired,
    /// Too many wrong passwords.
    #[error("the two-step password is wrong; look it up and run the command again")]
    WrongPassword,
    /// The code is right, and the account has a two-step password, which is asked for next.
    #[error("the account has a two-step password; run: vaultgram login")]
    PasswordNeeded,
    /// There is no such account.
    #[error("no account has this number; sign up with one of Telegram's own apps first")]
    NoAccount,
    /// It is no phone number.
    #[error(
        "this is no phone number; type it with its country's code and without letters: +49301234567"
    )]
    InvalidNumber,
    /// Telegram banned it.
    #[error("Telegram banned this account; write to recover@telegram.org, or use another number")]
    Banned,
    /// The proxy is not there.
    #[error("{0}; check [telegram] proxy or TELEGRAM_PROXY, and start it")]
    Proxy(String),
    /// Not what `@BotFather` gave out.
    #[error("Telegram does not know this bot token; get it from @BotFather: /mybots, API Token")]
    BadToken,
    /// Not what my.telegram.org gave out.
    #[error("Telegram does not know this application; check api_id and api_hash")]
    BadApplication,
    /// Somebody put it where all can see it.
    #[error(
        "too many people use this api_id, so Telegram refuses it; make an application of your own \
         on my.telegram.org, and set its api_id and api_hash"
    )]
    PublishedApplication,
    /// Telegram would send a code only for money.
    #[error(
        "Telegram wants to be paid for the code's SMS; sign in on a phone with Telegram's own app \
         first, then the code comes there for nothing"
    )]
    PaymentRequired,
    /// The code would go to an application that proves that it is Telegram's own.
    #[error(
        "Telegram would send the code to its own phone app only; sign in there first, then the \
         code comes to that app, and run the command again"
    )]
    OwnAppRequired,
    /// Telegram lets the account in only once it has an e-mail address.
    #[error(
        "Telegram wants an e-mail address for this account first; sign in on a phone with \
         Telegram's own app, which sets it up, and run the command again"
    )]
    EmailRequired,
    /// Telegram lost the thread.
    #[error("Telegram wants the sign-in to begin anew; run the command again")]
    Restart,
    /// Telegram wants newer applications than this.
    #[error("Telegram wants a newer version of vaultgram for this; update it and try again")]
    Outdated,
    /// Telegram wants us to wait.
    #[error("Telegram wants {} of patience before the next try", humantime::format_duration(*.0))]
    Wait(Duration),
    /// Telegram bans the number for a day, of which it does not say when it ends.
    #[error("too many tries were made with this number; wait a day and run the command again")]
    TooManyTries,
    /// Telegram cannot do it now.
    #[error("Telegram has trouble of its own ({0}); run the command again in some minutes")]
    Trouble(String),
    /// Telegram says no, for a reason that has no words here.
    #[error("Telegram refuses: {0}; what it means is on core.telegram.org/api/errors")]
    Refused(String),
    /// Telegram answers what nobody expects.
    #[error("Telegram gave an answer this version does not understand; look for a newer one")]
    Unexpected,
    /// Whoever answers is somebody else, or does not do what Telegram does.
    #[error(
        "what answers does not prove that it is Telegram ({0}); check the network and [telegram] \
         proxy"
    )]
    NotTelegram(String),
    /// No connection.
    #[error("Telegram cannot be reached; check the network and try again")]
    Unreachable,
    /// There was no answer to a question.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// The session cannot be written.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// It was signed in, and then could not be written.
    #[error("{error}; {}", if *.ended {
        "so the new session was ended at Telegram; cure that and run the command again"
    } else {
        "and Telegram could not be told: end the new session in one of its apps, under Settings, \
         Devices"
    })]
    NotKept {
        /// Why.
        error: SessionError,
        /// Whether it was ended at Telegram.
        ended: bool,
    },
}

impl From<InvocationError> for LoginError {
    fn from(error: InvocationError) -> Self {
        match error {
            // Only a session without a key exchanges keys, and then there is nothing to sign out.
            InvocationError::Authentication(error) => Self::NotTelegram(error.to_string()),
            InvocationError::InvalidDc => Self::Unexpected,
            error @ (InvocationError::Rpc(_)
            | InvocationError::Io(_)
            | InvocationError::Deserialize(_)
            | InvocationError::Transport(_)
            | InvocationError::Dropped(_)
            | InvocationError::Session(_)) => CallError::from(error).into(),
        }
    }
}

impl From<CallError> for LoginError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Flood(wait) => Self::Wait(wait),
            CallError::Refused(reason) => Self::named(reason, Self::Refused),
            CallError::Server(reason) => Self::named(reason, Self::Trouble),
            CallError::SignedOut(reason) => Self::named(reason, |_| Self::NotSignedIn),
            CallError::Disconnected => Self::Unreachable,
        }
    }
}

impl LoginError {
    /// What Telegram's names mean; `unknown` where that depends on the kind of error.
    fn named(name: String, unknown: impl FnOnce(String) -> Self) -> Self {
        match name.as_str() {
            "PHONE_NUMBER_INVALID" => Self::InvalidNumber,
            "PHONE_NUMBER_BANNED" | "USER_DEACTIVATED" | "USER_DEACTIVATED_BAN" => Self::Banned,
            "PHONE_NUMBER_UNOCCUPIED" | "PHONE_NUMBER_APP_SIGNUP_FORBIDDEN" => Self::NoAccount,
            "PHONE_CODE_INVALID" | "PHONE_CODE_EMPTY" => Self::WrongCode,
            "PHONE_CODE_EXPIRED" => Self::CodeExpired,
            "SESSION_PASSWORD_NEEDED" => Self::PasswordNeeded,
            "PASSWORD_HASH_INVALID" => Self::WrongPassword,
            "ACCESS_TOKEN_INVALID" | "ACCESS_TOKEN_EXPIRED" => Self::BadToken,
            "AUTH_RESTART" => Self::Restart,
            "UPDATE_APP_TO_LOGIN" => Self::Outdated,
            "API_ID_INVALID" => Self::BadApplication,
            "API_ID_PUBLISHED_FLOOD" => Self::PublishedApplication,
            "PHONE_NUMBER_FLOOD" | "PHONE_PASSWORD_FLOOD" => Self::TooManyTries,
            _ => unknown(name),
        }
    }
}
