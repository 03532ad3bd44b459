//! The steps of a sign-in: number, code, password; and to another datacenter where Telegram
//! keeps the account there.
//!
//! Raw calls, for grammers' own panic where a code costs money, and take an expired code for a
//! wrong one.

use std::sync::Arc;
use std::time::Duration;

use grammers_client::client::PasswordToken;
use grammers_client::{Client, SignInError};
use grammers_mtsender::InvocationError;
use grammers_session::Session;
use grammers_session::types::{PeerAuth, PeerInfo, UpdateState, UpdatesState};
use grammers_tl_types::{RemoteCall, enums, functions, types};
use tokio::time::timeout;

use super::{Application, LoginError, Prompt};
use crate::telegram::session::FileSession;

/// Wrong codes or passwords in a row; Telegram itself bans numbers that guess.
const TRIES: u32 = 3;

pub(super) struct SigningIn<'a> {
    pub(super) client: Client,
    pub(super) session: &'a Arc<FileSession>,
    pub(super) application: &'a Application,
    /// For each call.
    pub(super) limit: Duration,
}

/// Where a code stands.
enum Tried {
    SignedIn(i64),
    PasswordNeeded,
}

impl SigningIn<'_> {
    pub(super) async fn bot(&self, token: &str) -> Result<i64, LoginError> {
        let request = functions::auth::ImportBotAuthorization {
            flags: 0,
            api_id: self.application.id,
            api_hash: self.application.hash.to_string(),
            bot_auth_token: token.to_owned(),
        };
        let answer = self.invoke(&request).await?;
        self.complete(answer).await
    }

    pub(super) async fn user(&self, mut prompt: Box<dyn Prompt>) -> Result<i64, LoginError> {
        let phone = prompt.phone().await?;
        match self.code(&phone, prompt.as_mut()).await? {
            Tried::SignedIn(id) => Ok(id),
            Tried::PasswordNeeded => self.password(prompt.as_mut()).await,
        }
    }

    /// Has a code sent and asks for it: again when it is wrong, and for a new one, once, when it
    /// came too late.
    async fn code(&self, phone: &str, prompt: &mut dyn Prompt) -> Result<Tried, LoginError> {
        let mut sent = self.send_code(phone).await?;
        let (mut wrong, mut expired) = (0, false);
        loop {
            let code = prompt.code().await.map_err(|none| {
                // Who has no second answer is told of the first.
                if wrong > 0 && none != super::NoAnswer::Cancelled {
                    LoginError::WrongCode
                } else {
                    none.into()
                }
            })?;
            let request = functions::auth::SignIn {
                phone_number: phone.to_owned(),
                phone_code_hash: sent.clone(),
                phone_code: Some(code.to_string()),
                email_verification: None,
            };
            match self.invoke(&request).await {
                Ok(answer) => return self.complete(answer).await.map(Tried::SignedIn),
                Err(LoginError::Refused(name)) if name == "SESSION_PASSWORD_NEEDED" => {
                    return Ok(Tried::PasswordNeeded);
                }
                Err(LoginError::WrongCode) if wrong + 1 < TRIES => {
                    wrong += 1;
                    prompt.note("this code is wrong");
                }
                Err(LoginError::CodeExpired) if !expired => {
                    expired = true;
                    sent = self.send_code(phone).await?;
                    prompt.note("this code has expired; Telegram sends a new one");
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Has a code sent; what it must be given back with.
    async fn send_code(&self, phone: &str) -> Result<String, LoginError> {
        let settings = types::CodeSettings {
            allow_flashcall: false,
            current_number: false,
            allow_app_hash: false,
            allow_missed_call: false,
            allow_firebase: false,
            unknown_number: false,
            logout_tokens: None,
            token: None,
            app_sandbox: None,
        };
        let request = functions::auth::SendCode {
            phone_number: phone.to_owned(),
            api_id: self.application.id,
            api_hash: self.application.hash.to_string(),
            settings: settings.into(),
        };
        match self.invoke(&request).await? {
            enums::auth::SentCode::Code(sent) => Ok(sent.phone_code_hash),
            enums::auth::SentCode::PaymentRequired(_) => Err(LoginError::PaymentRequired),
            // Only for those who show a token of an earlier logout, which we do not.
            enums::auth::SentCode::Success(_) => Err(LoginError::Unexpected),
        }
    }

    async fn password(&self, prompt: &mut dyn Prompt) -> Result<i64, LoginError> {
        let mut wrong = 0;
        loop {
            // The parameters serve one try only.
            let request = functions::account::GetPassword {};
            let token = PasswordToken::new(self.invoke(&request).await?.into());
            let password = prompt.password(token.hint()).await.map_err(|none| {
                if wrong > 0 && none != super::NoAnswer::Cancelled {
                    LoginError::WrongPassword
                } else {
                    none.into()
                }
            })?;
            let checking = self.client.check_password(token, password.as_bytes());
            match self.limited(checking).await? {
                Ok(user) => return Ok(user.id().bare_id().unwrap_or_default()),
                Err(SignInError::InvalidPassword(_)) if wrong + 1 < TRIES => {
                    wrong += 1;
                    prompt.note("this password is wrong");
                }
                Err(SignInError::InvalidPassword(_)) => return Err(LoginError::WrongPassword),
                Err(SignInError::Other(error)) => return Err(error.into()),
                Err(
                    SignInError::PasswordRequired(_)
                    | SignInError::InvalidCode
                    | SignInError::SignUpRequired,
                ) => return Err(LoginError::Unexpected),
            }
        }
    }

    /// Notes who is signed in, and from where updates are to be read.
    async fn complete(&self, answer: enums::auth::Authorization) -> Result<i64, LoginError> {
        let user = match answer {
            enums::auth::Authorization::Authorization(answer) => answer.user,
            enums::auth::Authorization::SignUpRequired(_) => return Err(LoginError::NoAccount),
        };
        let enums::User::User(user) = user else {
            return Err(LoginError::Unexpected);
        };
        let me = PeerInfo::User {
            id: user.id,
            auth: user.access_hash.map(PeerAuth::from_hash),
            bot: Some(user.bot),
            is_self: Some(true),
        };
        self.session.cache_peer(me).await?;
        // Without it, the broker starts from where the server is when it first connects.
        if let Ok(state) = self.invoke(&functions::updates::GetState {}).await {
            let enums::updates::State::State(state) = state;
            let state = UpdatesState {
                pts: state.pts,
                qts: state.qts,
                date: state.date,
                seq: state.seq,
                channels: vec![],
            };
            let update = UpdateState::All(state);
            self.session.set_update_state(update).await?;
        }
        Ok(user.id)
    }

    /// One call; where Telegram keeps the account in another datacenter (`PHONE_MIGRATE`,
    /// `USER_MIGRATE`, `NETWORK_MIGRATE`), there.
    async fn invoke<R: RemoteCall>(&self, request: &R) -> Result<R::Return, LoginError> {
        match self.limited(self.client.invoke(request)).await? {
            Ok(answer) => Ok(answer),
            Err(InvocationError::Rpc(error)) if error.code == 303 => {
                let home = error.value.and_then(|dc| i32::try_from(dc).ok());
                let home = home.ok_or(LoginError::Unexpected)?;
                self.session.set_home_dc_id(home).await?;
                Ok(self.limited(self.client.invoke(request)).await??)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn limited<T>(&self, call: impl Future<Output = T>) -> Result<T, LoginError> {
        let answer = timeout(self.limit, call).await;
        answer.map_err(|_| LoginError::Unreachable)
    }
}
