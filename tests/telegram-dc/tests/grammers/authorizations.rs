//! The devices of an account: listed, announced, ended.

use std::time::{SystemTime, UNIX_EPOCH};

use grammers_client::update::Update;
use grammers_client::{Client, InvocationError, SignInError};
use grammers_mtsender::ConnectionParams;
use grammers_tl_types::functions::account::{
    ChangeAuthorizationSettings, GetAuthorizations, ResetAuthorization,
};
use grammers_tl_types::functions::auth::ResetAuthorizations;
use grammers_tl_types::{enums, types};
use telegram_dc::{Chat, Datacenter, DeviceInfo, Options, SERVICE_USER, User};
use tokio::time::timeout;

use crate::support::{ALICE, BOT, Connected, SOON, TestSession};

const PHONE: &str = "+9996621001";

async fn world() -> Datacenter {
    let dc = Datacenter::start(Options::default()).await.unwrap();
    dc.add_user(User::new(ALICE, "Alice").phone(PHONE));
    dc.add_user(User::new(BOT, "Bot").bot("5000:token"));
    dc
}

async fn list(client: &Client) -> Vec<types::Authorization> {
    let enums::account::Authorizations::Authorizations(list) =
        client.invoke(&GetAuthorizations {}).await.unwrap();
    list.authorizations
        .into_iter()
        .map(|enums::Authorization::Authorization(one)| one)
        .collect()
}

/// Signs Alice in by code on a new device.
async fn sign_in(dc: &Datacenter) -> Connected {
    let session = TestSession::with_key(dc, dc.provision_signed_out_key()).await;
    let connected = Connected::new(&session).await;
    let client = &connected.client;
    let token = client.request_login_code(PHONE, "hash").await.unwrap();
    let code = dc.login_code(PHONE).unwrap();
    client.sign_in(&token, &code).await.unwrap();
    connected
}

fn phone() -> DeviceInfo {
    DeviceInfo {
        platform: "Android".to_owned(),
        system: "SDK 36".to_owned(),
        app: "Telegram Android".to_owned(),
        app_version: "12.1".to_owned(),
        ip: "203.0.113.7".to_owned(),
        country: "Atlantis".to_owned(),
        region: "Poseidonis".to_owned(),
        ..DeviceInfo::new("Pixel 9")
    }
}

async fn who(client: &Client) -> Result<Option<i64>, InvocationError> {
    client.get_me().await.map(|me| me.id().bare_id())
}

#[tokio::test]
async fn each_device_is_listed_as_it_said_of_itself() {
    let dc = world().await;
    let alice = Connected::settled(&dc, ALICE).await;
    let hash = dc.add_authorization(ALICE, phone());
    let devices = list(&alice.client).await;
    let [own, other] = devices.as_slice() else {
        panic!("{devices:?}")
    };
    let told = ConnectionParams::default();
    assert!(own.current && own.hash == 0 && !own.unconfirmed, "{own:?}");
    assert_eq!(own.device_model, told.device_model);
    assert_eq!(own.system_version, told.system_version);
    assert_eq!(own.app_version, told.app_version);
    assert_eq!((own.api_id, own.app_name.as_str()), (1, "App 1"));

    assert!(!other.current && other.unconfirmed, "{other:?}");
    assert_eq!(other.hash, hash);
    let expected = phone();
    assert_eq!(other.device_model, expected.model);
    assert_eq!(other.platform, expected.platform);
    assert_eq!(other.system_version, expected.system);
    assert_eq!(other.app_name, expected.app);
    assert_eq!(other.app_version, expected.app_version);
    assert_eq!(other.ip, expected.ip);
    assert_eq!(other.country, expected.country);
    assert_eq!(other.region, expected.region);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let age = now.as_secs() - u64::try_from(other.date_created).unwrap();
    assert!(age < 60 && other.date_active == other.date_created);
    assert!(own.date_created < other.date_created && own.date_active >= other.date_active);

    let confirm = ChangeAuthorizationSettings {
        confirmed: true,
        hash,
        encrypted_requests_disabled: None,
        call_requests_disabled: Some(true),
    };
    assert!(alice.client.invoke(&confirm).await.unwrap());
    let devices = list(&alice.client).await;
    let other = devices.last().unwrap();
    assert!(!other.unconfirmed && other.call_requests_disabled);
    assert!(!other.encrypted_requests_disabled);
}

#[tokio::test]
async fn a_new_sign_in_is_announced_to_the_other_devices() {
    let dc = world().await;
    let mut alice = Connected::settled(&dc, ALICE).await;
    let second = sign_in(&dc).await;
    let announced = async {
        loop {
            if let Update::Raw(raw) = alice.updates.next().await.unwrap()
                && let enums::Update::NewAuthorization(update) = raw.raw
            {
                return update;
            }
        }
    };
    let update = timeout(SOON, announced).await.unwrap();
    assert!(update.unconfirmed && update.date.is_some(), "{update:?}");
    let told = ConnectionParams::default();
    assert!(update.device.unwrap().contains(&told.device_model));
    let devices = list(&alice.client).await;
    let hashes: Vec<i64> = devices.iter().map(|device| device.hash).collect();
    assert_eq!(hashes, [0, update.hash]);

    let chat = Chat::User(SERVICE_USER);
    let login = |message: &telegram_dc::Message| message.text.starts_with("New login. Dear Alice");
    let word = dc.wait_for(ALICE, chat, SOON, login).await.unwrap();
    assert!(word.text.contains(&told.device_model), "{}", word.text);

    // Signing out takes it off the list.
    second.client.sign_out().await.unwrap();
    assert_eq!(list(&alice.client).await.len(), 1);
    assert_eq!(dc.authorizations(ALICE).len(), 1);
}

#[tokio::test]
async fn the_first_sign_in_is_announced_to_nobody() {
    let dc = world().await;
    let first = sign_in(&dc).await;
    assert_eq!(who(&first.client).await.unwrap(), Some(ALICE));
    assert_eq!(dc.history(ALICE, Chat::User(SERVICE_USER)), []);
    let devices = list(&first.client).await;
    assert!(matches!(devices.as_slice(), [own] if own.current && !own.unconfirmed));
}

#[tokio::test]
async fn one_device_ends_another_but_not_while_it_is_fresh() {
    let dc = world().await;
    let old = Connected::settled(&dc, ALICE).await;
    let fresh = sign_in(&dc).await;
    let elsewhere = dc.add_authorization(ALICE, phone());
    let reset = |hash| ResetAuthorization { hash };

    let refused = fresh.client.invoke(&reset(elsewhere)).await.unwrap_err();
    assert!(
        refused.is("FRESH_RESET_AUTHORISATION_FORBIDDEN"),
        "{refused}"
    );
    let refused = fresh.client.invoke(&ResetAuthorizations {}).await;
    assert!(
        refused
            .unwrap_err()
            .is("FRESH_RESET_AUTHORISATION_FORBIDDEN")
    );
    for unknown in [0, elsewhere ^ 2] {
        let refused = old.client.invoke(&reset(unknown)).await.unwrap_err();
        assert!(refused.is("HASH_INVALID"), "{refused}");
    }

    let devices = list(&old.client).await;
    let second = devices
        .iter()
        .find(|device| ![0, elsewhere].contains(&device.hash));
    assert!(
        old.client
            .invoke(&reset(second.unwrap().hash))
            .await
            .unwrap()
    );
    let ended = who(&fresh.client).await.unwrap_err();
    assert!(ended.is("AUTH_KEY_UNREGISTERED"), "{ended}");
    assert_eq!(list(&old.client).await.len(), 2);

    assert!(dc.end_authorization(ALICE, elsewhere));
    assert!(!dc.end_authorization(ALICE, elsewhere), "it is ended once");
    assert_eq!(list(&old.client).await.len(), 1);
}

#[tokio::test]
async fn one_device_ends_all_others() {
    let dc = world().await;
    let old = Connected::settled(&dc, ALICE).await;
    let second = sign_in(&dc).await;
    dc.add_authorization(ALICE, phone());
    assert!(old.client.invoke(&ResetAuthorizations {}).await.unwrap());
    let ended = who(&second.client).await.unwrap_err();
    assert!(ended.is("SESSION_REVOKED"), "{ended}");
    assert_eq!(list(&old.client).await.len(), 1);
}

#[tokio::test]
async fn a_bot_has_no_devices_and_no_word_from_telegram() {
    let dc = world().await;
    let bot = Connected::settled(&dc, BOT).await;
    dc.add_authorization(BOT, phone());
    let refused = bot.client.invoke(&GetAuthorizations {}).await.unwrap_err();
    assert!(refused.is("BOT_METHOD_INVALID"), "{refused}");
    let history = dc.history(BOT, Chat::User(SERVICE_USER));
    let texts: Vec<_> = history.iter().map(|message| &message.text).collect();
    assert_eq!(texts, ["settled"]);
}

#[tokio::test]
async fn a_device_whose_password_is_due_is_listed_and_can_be_ended() {
    let dc = world().await;
    dc.add_user(User::new(ALICE, "Alice").phone(PHONE).password("horse"));
    let alice = Connected::settled(&dc, ALICE).await;
    let session = TestSession::with_key(&dc, dc.provision_signed_out_key()).await;
    let connected = Connected::new(&session).await;
    let token = connected.client.request_login_code(PHONE, "hash").await;
    let code = dc.login_code(PHONE).unwrap();
    let asked = connected.client.sign_in(&token.unwrap(), &code).await;
    let Err(SignInError::PasswordRequired(password)) = asked else {
        panic!("{asked:?}")
    };
    let devices = list(&alice.client).await;
    let pending = devices.iter().find(|device| device.password_pending);
    let hash = pending.expect("a device that waits for its password").hash;
    assert_eq!(devices.len(), 2);
    assert_eq!(dc.authorizations(ALICE).len(), 1, "it is not signed in");
    assert!(
        alice
            .client
            .invoke(&ResetAuthorization { hash })
            .await
            .unwrap()
    );
    let late = connected.client.check_password(password, "horse").await;
    let Err(SignInError::Other(late)) = late else {
        panic!("{late:?}")
    };
    assert!(late.is("AUTH_KEY_UNREGISTERED"), "{late}");
}
