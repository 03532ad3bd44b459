//! Signing the account in: by phone number, code and password, or as a bot by its token.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use grammers_client::client::PasswordToken;
use grammers_client::peer::User;
use grammers_client::{Client, SignInError};
use grammers_mtsender::InvocationError;
use thiserror::Error;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::brief::{briefly, proxy_url};
use super::call::CallError;
use super::proxy::Proxy;
use super::session::{FileSession, SessionError};

/// Wrong codes or passwords in a row; Telegram itself bans numbers that guess.
const TRIES: u32 = 3;

/// The person at the keyboard.
#[async_trait]
pub trait Prompt: Send {
    /// The phone number, with its country's code.
    async fn phone(&mut self) -> Zeroizing<String>;
    /// The code that Telegram has just sent to the account's other devices.
    async fn code(&mut self) -> Zeroizing<String>;
    /// The two-step password; Telegram may know a hint.
    async fn password(&mut self, hint: Option<&str>) -> Zeroizing<String>;
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
    /// The way to Telegram, where it is not a direct one.
    pub proxy: Option<Proxy>,
}

/// Why signing in did not work.
#[derive(Debug, Error)]
pub enum LoginError {
    /// The session has no account, or Telegram does not accept it any more.
    #[error(
        "the session is not signed in; remove its file if there is one, and run: vaultgram login"
    )]
    NotSignedIn,
    /// The session has an account already.
    #[error("this session is signed in already; remove its file to sign in anew")]
    AlreadySignedIn,
    /// Too many wrong codes.
    #[error("the code was wrong {TRIES} times; run the command again for a new one")]
    WrongCode,
    /// Too many wrong passwords.
    #[error("the password was wrong {TRIES} times; look it up and run the command again")]
    WrongPassword,
    /// There is no such account.
    #[error("no account has this number; sign up with one of Telegram's own apps first")]
    NoAccount,
    /// Telegram wants us to wait.
    #[error("Telegram wants {0:?} of patience before the next try")]
    Wait(Duration),
    /// Telegram says no.
    #[error("Telegram refuses: {0}; check api_id, api_hash and what was typed")]
    Refused(String),
    /// No connection.
    #[error("Telegram cannot be reached; check the network and try again")]
    Unreachable,
    /// The proxy is not there.
    #[error("{0}; check [telegram] proxy or TELEGRAM_PROXY, and start it")]
    Proxy(String),
    /// The session cannot be written.
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl From<InvocationError> for LoginError {
    fn from(error: InvocationError) -> Self {
        match CallError::from(error) {
            CallError::Flood(wait) => Self::Wait(wait),
            CallError::Refused(reason)
            | CallError::SignedOut(reason)
            | CallError::Server(reason) => Self::Refused(reason),
            CallError::Disconnected => Self::Unreachable,
        }
    }
}

/// Signs `session` in and saves it. Each call may take `limit`; the person may take longer.
/// Returns the account's id.
///
/// # Errors
/// See [`LoginError`].
pub async fn login(
    session: Arc<FileSession>,
    application: &Application,
    account: Account,
    limit: Duration,
) -> Result<i64, LoginError> {
    if session.user().is_some() {
        return Err(LoginError::AlreadySignedIn);
    }
    let signing_in = async |client| {
        let signing_in = SigningIn {
            client,
            hash: &application.hash,
            limit,
        };
        match account {
            Account::User(prompt) => signing_in.user(prompt).await,
            Account::Bot(token) => signing_in.bot(&token).await,
        }
    };
    let proxy = proxy_url(application.proxy.as_ref(), limit).await?;
    let id = briefly(&session, application.id, proxy, signing_in)
        .await
        .ok_or(LoginError::Unreachable)??;
    let writer = Arc::clone(&session);
    // It does not panic, and nobody aborts it.
    tokio::task::spawn_blocking(move || writer.save())
        .await
        .unwrap_or(Ok(()))?;
    Ok(id)
}

/// A user always has a number.
fn id(user: &User) -> i64 {
    user.id().bare_id().unwrap_or_default()
}

struct SigningIn<'a> {
    client: Client,
    hash: &'a str,
    limit: Duration,
}

impl SigningIn<'_> {
    async fn bot(&self, token: &str) -> Result<i64, LoginError> {
        let signing_in = self.client.bot_sign_in(token, self.hash);
        let user = self.limited(signing_in).await??;
        Ok(id(&user))
    }

    async fn user(&self, mut prompt: Box<dyn Prompt>) -> Result<i64, LoginError> {
        let phone = prompt.phone().await;
        let requesting = self.client.request_login_code(&phone, self.hash);
        let token = self.limited(requesting).await??;
        for _ in 0..TRIES {
            let code = prompt.code().await;
            match self.limited(self.client.sign_in(&token, &code)).await? {
                Ok(user) => return Ok(id(&user)),
                Err(SignInError::PasswordRequired(token)) => {
                    return self.password(token, prompt).await;
                }
                Err(SignInError::InvalidCode) => {}
                Err(SignInError::SignUpRequired) => return Err(LoginError::NoAccount),
                Err(SignInError::Other(error)) => return Err(error.into()),
                Err(SignInError::InvalidPassword(_)) => return Err(LoginError::WrongPassword),
            }
        }
        Err(LoginError::WrongCode)
    }

    async fn password(
        &self,
        mut token: PasswordToken,
        mut prompt: Box<dyn Prompt>,
    ) -> Result<i64, LoginError> {
        for _ in 0..TRIES {
            let password = prompt.password(token.hint()).await;
            let checking = self.client.check_password(token, password.as_bytes());
            match self.limited(checking).await? {
                Ok(user) => return Ok(id(&user)),
                Err(SignInError::InvalidPassword(_)) => {}
                Err(SignInError::Other(error)) => return Err(error.into()),
                Err(
                    SignInError::PasswordRequired(_)
                    | SignInError::InvalidCode
                    | SignInError::SignUpRequired,
                ) => return Err(LoginError::NoAccount),
            }
            // The parameters serve one try only.
            let request = grammers_tl_types::functions::account::GetPassword {};
            let fresh = self.limited(self.client.invoke(&request)).await??;
            token = PasswordToken::new(fresh.into());
        }
        Err(LoginError::WrongPassword)
    }

    async fn limited<T>(&self, call: impl Future<Output = T>) -> Result<T, LoginError> {
        let answer = timeout(self.limit, call).await;
        answer.map_err(|_| LoginError::Unreachable)
    }
}
