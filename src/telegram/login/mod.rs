//! Signing the account in: by phone number, code and password, or as a bot by its token.

mod error;
mod steps;

use std::sync::Arc;

use async_trait::async_trait;
use zeroize::Zeroizing;

pub use self::error::{LoginError, NoAnswer};
use self::steps::SigningIn;
use super::account::sign_out;
use super::brief::{Reach, briefly};
use super::session::FileSession;

/// The person at the keyboard, or what stands in for them.
#[async_trait]
pub trait Prompt: Send {
    /// The phone number, with its country's code.
    async fn phone(&mut self) -> Result<Zeroizing<String>, NoAnswer>;
    /// The code that Telegram has just sent to the account's other devices.
    async fn code(&mut self) -> Result<Zeroizing<String>, NoAnswer>;
    /// The two-step password; Telegram may know a hint.
    async fn password(&mut self, hint: Option<&str>) -> Result<Zeroizing<String>, NoAnswer>;
    /// Something to know before the next question.
    fn note(&mut self, text: &str);
}

/// What to sign in as.
pub enum Account {
    /// A person's account, which the prompt leads through.
    User(Box<dyn Prompt>),
    /// A bot, by the token that `@BotFather` gave out.
    Bot(Zeroizing<String>),
}

/// The application, from my.telegram.org.
pub struct Application {
    /// `api_id`
    pub id: i32,
    /// `api_hash`
    pub hash: Zeroizing<String>,
}

/// Signs `session` in. Each call has its limit; the person may take longer. Returns the
/// account's id. Nothing is written: that is for [`keep`].
///
/// # Errors
/// See [`LoginError`].
pub async fn login(
    session: &Arc<FileSession>,
    application: Application,
    account: Account,
    reach: &Reach,
) -> Result<i64, LoginError> {
    if session.user().is_some() {
        return Err(LoginError::AlreadySignedIn);
    }
    let (user, limit, api_id) = (Arc::clone(session), reach.limit, application.id);
    briefly(session, api_id, reach, move |client| async move {
        let signing_in = SigningIn {
            client,
            session: &user,
            application: &application,
            limit,
        };
        match account {
            Account::User(prompt) => signing_in.user(prompt).await,
            Account::Bot(token) => signing_in.bot(&token).await,
        }
    })
    .await
}

/// Writes a session that was just signed in; whoever has its key must keep that first. Where it
/// cannot be written, it is ended at Telegram, for nobody could end it later.
///
/// # Errors
/// When it cannot be written; the text says whether Telegram was told.
pub async fn keep(
    session: &Arc<FileSession>,
    api_id: i32,
    reach: &Reach,
) -> Result<(), LoginError> {
    let writer = Arc::clone(session);
    // It does not panic, and nobody aborts it.
    let saved = tokio::task::spawn_blocking(move || writer.save()).await;
    let Err(error) = saved.unwrap_or(Ok(0)) else {
        return Ok(());
    };
    let ended = sign_out(session, api_id, reach).await.is_ok();
    Err(LoginError::NotKept { error, ended })
}
