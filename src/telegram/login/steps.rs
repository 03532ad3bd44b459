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

/// What Telegram says to a proof of an earlier challenge.
const CHALLENGE_STALE: &str = "SRP_ID_INVALID";

/// A code on its way.
struct SentCode {
    /// What it must be given back with.
    hash: String,
    /// Such codes are given back in another field.
    by_email: bool,
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
        let mut sent = self.send_code(phone, prompt).await?;
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
                phone_code_hash: sent.hash.clone(),
                phone_code: (!sent.by_email).then(|| code.to_string()),
                email_verification: sent.by_email.then(|| {
                    let code = code.to_string();
                    types::EmailVerificationCode { code }.into()
                }),
            };
            match self.invoke(&request).await {
                Ok(answer) => return self.complete(answer).await.map(Tried::SignedIn),
                Err(LoginError::PasswordNeeded) => return Ok(Tried::PasswordNeeded),
                Err(LoginError::WrongCode) if wrong + 1 < TRIES => {
                    wrong += 1;
                    prompt.note("this code is wrong");
                }
                Err(LoginError::CodeExpired) if !expired => {
                    expired = true;
                    prompt.note("this code has expired; Telegram sends a new one");
                    sent = self.send_code(phone, prompt).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Has a code sent, and says where it went.
    async fn send_code(
        &self,
        phone: &str,
        prompt: &mut dyn Prompt,
    ) -> Result<SentCode, LoginError> {
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
            enums::auth::SentCode::Code(sent) => {
                prompt.note(&place(&sent.r#type)?);
                Ok(SentCode {
                    hash: sent.phone_code_hash,
                    by_email: matches!(sent.r#type, enums::auth::SentCodeType::EmailCode(_)),
                })
            }
            enums::auth::SentCode::PaymentRequired(_) => Err(LoginError::PaymentRequired),
            // Only for those who show a token of an earlier logout, which we do not.
            enums::auth::SentCode::Success(_) => Err(LoginError::Unexpected),
        }
    }

    /// Asks for the password, of which Telegram is shown a proof only.
    async fn password(&self, prompt: &mut dyn Prompt) -> Result<i64, LoginError> {
        let hint = self.challenge().await?.hint().map(str::to_owned);
        let mut wrong = 0;
        loop {
            let password = prompt.password(hint.as_deref()).await.map_err(|none| {
                if wrong > 0 && none != super::NoAnswer::Cancelled {
                    LoginError::WrongPassword
                } else {
                    none.into()
                }
            })?;
            let proven = match self.prove(&password).await {
                // Another sign-in of the account came between.
                Err(LoginError::Refused(name)) if name == CHALLENGE_STALE => {
                    self.prove(&password).await
                }
                proven => proven,
            };
            match proven {
                Err(LoginError::WrongPassword) if wrong + 1 < TRIES => {
                    wrong += 1;
                    prompt.note("this password is wrong");
                }
                proven => return proven,
            }
        }
    }

    /// What a proof answers. It serves one try, and not for as long as a person may type.
    async fn challenge(&self) -> Result<PasswordToken, LoginError> {
        let request = functions::account::GetPassword {};
        Ok(PasswordToken::new(self.invoke(&request).await?.into()))
    }

    async fn prove(&self, password: &str) -> Result<i64, LoginError> {
        let challenge = self.challenge().await?;
        let checking = self.client.check_password(challenge, password.as_bytes());
        match self.limited(checking).await? {
            Ok(user) => Ok(user.id().bare_id().unwrap_or_default()),
            Err(SignInError::InvalidPassword(_)) => Err(LoginError::WrongPassword),
            Err(SignInError::Other(error)) => Err(error.into()),
            Err(
                SignInError::PasswordRequired(_)
                | SignInError::InvalidCode
                | SignInError::SignUpRequired,
            ) => Err(LoginError::Unexpected),
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

/// Where a code went, in words.
///
/// # Errors
/// When it went nowhere, or to where a person cannot read it.
fn place(sent: &enums::auth::SentCodeType) -> Result<String, LoginError> {
    use enums::auth::SentCodeType as Type;
    Ok(match sent {
        Type::App(_) => "the code is in the Telegram app, on the account's other devices".into(),
        Type::Sms(_) => "the code comes by SMS".into(),
        Type::SmsWord(_) => "a word comes by SMS; that is the code".into(),
        Type::SmsPhrase(_) => "a phrase comes by SMS; that is the code".into(),
        Type::Call(_) => "a call to this number says the code".into(),
        Type::MissedCall(call) => format!(
            "a call comes from {}…, which need not be answered; the last {} digits of its number \
             are the code",
            call.prefix, call.length
        ),
        Type::FlashCall(_) => {
            "a call comes, and ends at once; all digits of its number are the code".into()
        }
        Type::EmailCode(email) => format!("the code comes by e-mail, to {}", email.email_pattern),
        Type::FragmentSms(_) => "the code is on fragment.com, with this anonymous number".into(),
        // Sent only to whom Google or Apple call Telegram's own.
        Type::FirebaseSms(_) => return Err(LoginError::OwnAppRequired),
        Type::SetUpEmailRequired(_) => return Err(LoginError::EmailRequired),
    })
}

#[cfg(test)]
mod tests {
    use grammers_tl_types::types::auth as kind;

    use super::*;

    #[test]
    fn a_person_hears_where_the_code_went() {
        for (sent, words) in [
            (kind::SentCodeTypeApp { length: 5 }.into(), "Telegram app"),
            (kind::SentCodeTypeSms { length: 5 }.into(), "by SMS"),
            (
                kind::SentCodeTypeSmsWord { beginning: None }.into(),
                "a word comes by SMS",
            ),
            (
                kind::SentCodeTypeCall { length: 5 }.into(),
                "a call to this number says",
            ),
            (
                kind::SentCodeTypeFlashCall {
                    pattern: "+49*".into(),
                }
                .into(),
                "all digits of its number",
            ),
            (
                kind::SentCodeTypeMissedCall {
                    prefix: "+49301".into(),
                    length: 6,
                }
                .into(),
                "a call comes from +49301…, which need not be answered; the last 6 digits",
            ),
            (
                kind::SentCodeTypeFragmentSms {
                    url: String::new(),
                    length: 5,
                }
                .into(),
                "fragment.com",
            ),
        ] {
            let told = place(&sent).unwrap();
            assert!(told.contains(words), "{told}");
        }
    }

    #[test]
    fn a_code_that_nobody_can_type_is_not_asked_for() {
        let nowhere = kind::SentCodeTypeSetUpEmailRequired {
            apple_signin_allowed: false,
            google_signin_allowed: false,
        };
        let error = place(&nowhere.into()).unwrap_err();
        assert!(matches!(error, LoginError::EmailRequired), "{error}");
        let firebase = kind::SentCodeTypeFirebaseSms {
            nonce: None,
            play_integrity_project_id: None,
            play_integrity_nonce: None,
            receipt: None,
            push_timeout: None,
            length: 5,
        };
        let error = place(&firebase.into()).unwrap_err();
        assert!(matches!(error, LoginError::OwnAppRequired), "{error}");
    }
}
