//! The account as its owner sees it: who it is, where it is signed in, and the way out.

use std::sync::Arc;
use std::time::Duration;

use grammers_client::Client;
use grammers_tl_types::{enums, functions, types};

use super::brief::{Reach, briefly, invoke};
use super::login::LoginError;
use super::session::FileSession;

/// Who the account is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its numeric id.
    pub id: i64,
    /// Its `@name`, without the `@`.
    pub username: Option<String>,
    /// Its phone number, of which the middle is hidden; bots have none.
    pub phone: Option<String>,
    /// Whether it is a bot.
    pub bot: bool,
}

/// One place where the account is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Whether it is this session.
    pub current: bool,
    /// The application's name and version.
    pub app: String,
    /// The device and its system, as the application calls them.
    pub device: String,
    /// Where its last connection came from: address and country.
    pub from: String,
    /// When it signed in, in seconds since 1970.
    pub created: i32,
    /// When it was last active.
    pub active: i32,
}

/// Asks Telegram who `session` is and where else the account is signed in. Bots have no list
/// of devices.
///
/// # Errors
/// When the session is not accepted, or Telegram cannot be reached.
pub async fn look(
    session: &Arc<FileSession>,
    api_id: i32,
    reach: &Reach,
) -> Result<(Profile, Vec<Device>), LoginError> {
    if session.user().is_none() {
        return Err(LoginError::NotSignedIn);
    }
    let limit = reach.limit;
    briefly(session, api_id, reach, move |client| async move {
        let profile = me(&client, limit).await?;
        if profile.bot {
            return Ok((profile, vec![]));
        }
        let asked = functions::account::GetAuthorizations {};
        let enums::account::Authorizations::Authorizations(found) =
            invoke(&client, &asked, limit).await?;
        let devices = found.authorizations.into_iter();
        Ok((profile, devices.map(Device::from).collect()))
    })
    .await
}

/// Asks Telegram whether it accepts `session`; the account, as `@name` or by its id.
///
/// # Errors
/// When it does not, or cannot be reached; the text says what to do.
pub async fn probe(
    session: &Arc<FileSession>,
    api_id: i32,
    reach: &Reach,
) -> Result<String, LoginError> {
    if session.user().is_none() {
        return Err(LoginError::NotSignedIn);
    }
    let limit = reach.limit;
    let asking = briefly(session, api_id, reach, move |client| async move {
        me(&client, limit).await
    });
    let profile = asking.await?;
    Ok(match profile.username {
        Some(name) => format!("@{name}"),
        None => format!("user {}", profile.id),
    })
}

/// Ends `session` at Telegram; that it had ended already is as good. The file is for the caller
/// to remove.
///
/// # Errors
/// When Telegram cannot be reached, or refuses: the session may still be valid.
pub async fn sign_out(
    session: &Arc<FileSession>,
    api_id: i32,
    reach: &Reach,
) -> Result<(), LoginError> {
    let limit = reach.limit;
    let asking = briefly(session, api_id, reach, move |client| async move {
        invoke(&client, &functions::auth::LogOut {}, limit).await
    });
    match asking.await {
        Ok(_) | Err(LoginError::NotSignedIn | LoginError::Banned) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn me(client: &Client, limit: Duration) -> Result<Profile, LoginError> {
    let me = functions::users::GetUsers {
        id: vec![enums::InputUser::UserSelf],
    };
    match invoke(client, &me, limit).await?.into_iter().next() {
        Some(enums::User::User(user)) => Ok(Profile::from(user)),
        Some(enums::User::Empty(_)) | None => Err(LoginError::NotSignedIn),
    }
}

impl From<types::User> for Profile {
    fn from(user: types::User) -> Self {
        Self {
            id: user.id,
            username: user.username,
            phone: user.phone.as_deref().map(masked),
            bot: user.bot,
        }
    }
}

impl From<enums::Authorization> for Device {
    fn from(found: enums::Authorization) -> Self {
        let enums::Authorization::Authorization(found) = found;
        Self {
            current: found.current,
            app: format!("{} {}", found.app_name, found.app_version),
            device: format!("{}, {}", found.device_model, found.system_version),
            from: format!("{}, {}", found.ip, found.country),
            created: found.date_created,
            active: found.date_active,
        }
    }
}

/// A number that its owner recognises, and nobody else can use.
fn masked(phone: &str) -> String {
    let digits: Vec<char> = phone.chars().filter(char::is_ascii_digit).collect();
    let shown = |index: usize| digits.len() > 6 && (index < 2 || index + 2 >= digits.len());
    let hidden = digits.iter().enumerate();
    let hidden = hidden.map(|(index, digit)| if shown(index) { *digit } else { '*' });
    format!("+{}", hidden.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn a_number_keeps_its_middle_to_itself() {
        assert_eq!(masked("9996625002"), "+99******02");
        assert_eq!(masked("+49 301 234567"), "+49*******67");
        assert_eq!(masked("12345"), "+*****");
    }
}
