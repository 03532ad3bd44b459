//! Signing the account in: by phone number, code and password, or as a bot by its token.

mod error;
mod steps;

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use zeroize::Zeroizing;

pub use self::error::{LoginError, NoAnswer};
use self::steps::SigningIn;
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

/// Signs `session` in and saves it. Each call has its limit; the person may take longer.
/// Returns the account's id. Nothing is written unless it works.
///
/// # Errors
/// See [`LoginError`].
pub async fn login(
    session: Arc<FileSession>,
    application: Application,
    account: Account,
    reach: Reach,
) -> Result<i64, LoginError> {
    if session.user().is_some() {
        return Err(LoginError::AlreadySignedIn);
    }
    let user = Arc::clone(&session);
    let work = async move {
        let signing_in = async |client| {
            let signing_in = SigningIn {
                client,
                session: &user,
                application: &application,
                limit: reach.limit,
            };
            match account {
                Account::User(prompt) => signing_in.user(prompt).await,
                Account::Bot(token) => signing_in.bot(&token).await,
            }
        };
        briefly(&user, application.id, &reach, signing_in).await
    };
    // A task of its own, for grammers panics at answers it does not expect.
    let task = AbortOnDropHandle::new(TaskTracker::new().spawn(work));
    let id = task.await.map_err(|_| LoginError::Unexpected)???;
    // It does not panic, and nobody aborts it.
    tokio::task::spawn_blocking(move || session.save())
        .await
        .unwrap_or(Ok(0))?;
    Ok(id)
}
