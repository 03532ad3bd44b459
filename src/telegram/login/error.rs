//! Why signing in did not work, and what to do about it.

use std::time::Duration;

use grammers_mtsender::InvocationError;
use thiserror::Error;

use crate::telegram::call::CallError;
use crate::telegram::session::SessionError;

/// What Telegram says to a right code where the account has a two-step password.
pub(super) const PASSWORD_NEEDED: &str = "SESSION_PASSWORD_NEEDED";

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
    /// Telegram would send a code only for money.
    #[error(
        "Telegram wants to be paid for the code's SMS; sign in on a phone with Telegram's own app \
         first, then the code comes there for nothing"
    )]
    PaymentRequired,
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
    /// Telegram says no.
    #[error("Telegram refuses: {0}")]
    Refused(String),
    /// Telegram answers what nobody expects.
    #[error("Telegram gave an answer this version does not understand; look for a newer one")]
    Unexpected,
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
            InvocationError::Authentication(_) => Self::Unreachable,
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
            CallError::Refused(reason) | CallError::Server(reason) => Self::refused(reason),
            CallError::SignedOut(reason) => {
                let told = Self::refused(reason);
                if matches!(&told, Self::Refused(name) if name != PASSWORD_NEEDED) {
                    Self::NotSignedIn
                } else {
                    told
                }
            }
            CallError::Disconnected => Self::Unreachable,
        }
    }
}

impl LoginError {
    /// What Telegram's names mean.
    fn refused(name: String) -> Self {
        match name.as_str() {
            "PHONE_NUMBER_INVALID" => Self::InvalidNumber,
            "PHONE_NUMBER_BANNED" | "USER_DEACTIVATED" | "USER_DEACTIVATED_BAN" => Self::Banned,
            "PHONE_NUMBER_UNOCCUPIED" => Self::NoAccount,
            "PHONE_CODE_INVALID" | "PHONE_CODE_EMPTY" => Self::WrongCode,
            "PHONE_CODE_EXPIRED" => Self::CodeExpired,
            "PASSWORD_HASH_INVALID" => Self::WrongPassword,
            "ACCESS_TOKEN_INVALID" | "ACCESS_TOKEN_EXPIRED" => Self::BadToken,
            "AUTH_RESTART" => Self::Restart,
            "UPDATE_APP_TO_LOGIN" => Self::Outdated,
            "API_ID_INVALID" | "API_ID_PUBLISHED_FLOOD" => Self::BadApplication,
            // A ban of a day, of which Telegram does not say when it ends.
            "PHONE_NUMBER_FLOOD" | "PHONE_PASSWORD_FLOOD" => Self::Wait(Duration::from_hours(24)),
            _ => Self::Refused(name),
        }
    }
}
