//! Several datacenters in one world: migration, and signing in carried over.

use std::sync::Arc;

use grammers_client::Client;
use grammers_session::Session;
use grammers_tl_types::enums::auth::ExportedAuthorization;
use grammers_tl_types::functions::auth::{ExportAuthorization, ImportAuthorization};
use grammers_tl_types::functions::help::GetConfig;
use grammers_tl_types::functions::users::GetUsers;
use grammers_tl_types::{enums, types};
use telegram_dc::{Chat, Datacenter, Options, SERVICE_USER, User};

use crate::support::{ALICE, BOT, Connected, TestSession};

const PHONE: &str = "+9996621001";

/// Datacenters 2 and 4, and a session that is signed out in both and at home in 2.
async fn two() -> (Datacenter, Datacenter, Arc<TestSession>) {
    let first = Datacenter::start(Options::default()).await.unwrap();
    let fourth = Options { dc_id: 4, port: 0 };
    let second = first.open_another(fourth).await.unwrap();
    let session = TestSession::with_key(&first, first.provision_signed_out_key()).await;
    session
        .add(&second, second.provision_signed_out_key())
        .await;
    (first, second, session)
}

async fn who(client: &Client) -> i64 {
    client.get_me().await.unwrap().id().bare_id().unwrap()
}

#[tokio::test]
async fn signing_in_by_code_follows_the_migration() {
    let (first, second, session) = two().await;
    first.add_user(User::new(ALICE, "Alice").phone(PHONE).home(4));
    let mut connected = Connected::new(&session).await;
    let token = connected.client.request_login_code(PHONE, "hash").await;
    let code = first.login_code(PHONE).unwrap();
    let user = connected.client.sign_in(&token.unwrap(), &code).await;
    assert_eq!(user.unwrap().id().bare_id(), Some(ALICE));
    assert_eq!(session.home_dc_id().unwrap(), second.id());
    assert_eq!(who(&connected.client).await, ALICE);
    assert_eq!(first.count("auth.sendCode"), 2, "one for each datacenter");

    // Updates come from there.
    second
        .send(SERVICE_USER, Chat::User(ALICE), "hello")
        .unwrap();
    assert_eq!(connected.next_message().await.text(), "hello");
}

#[tokio::test]
async fn a_bots_token_follows_the_migration() {
    let (first, second, session) = two().await;
    first.add_user(User::new(BOT, "Bot").bot("5000:token").home(4));
    let connected = Connected::new(&session).await;
    let user = connected.client.bot_sign_in("5000:token", "hash").await;
    assert!(user.unwrap().is_bot());
    assert_eq!(session.home_dc_id().unwrap(), second.id());
}

#[tokio::test]
async fn a_key_is_unknown_in_the_other_datacenter() {
    let (first, second, _) = two().await;
    first.add_user(User::new(ALICE, "Alice"));
    let session = TestSession::with_key(&second, first.provision_key(ALICE)).await;
    let connected = Connected::new(&session).await;
    // grammers makes a new key then, which fails: it does not know our RSA key.
    let mut errors = Vec::new();
    for _ in 0..2 {
        errors.push(connected.client.get_me().await.unwrap_err().to_string());
    }
    let exchange = errors.iter().any(|error| error.contains("fingerprint"));
    assert!(exchange, "{errors:?}");
}

#[tokio::test]
async fn an_authorisation_is_carried_over_once() {
    let (first, _second, session) = two().await;
    first.add_user(User::new(ALICE, "Alice").phone(PHONE));
    let connected = Connected::new(&session).await;
    let client = &connected.client;
    let token = client.request_login_code(PHONE, "hash").await.unwrap();
    let code = first.login_code(PHONE).unwrap();
    client.sign_in(&token, &code).await.unwrap();

    let own = client.invoke(&ExportAuthorization { dc_id: 2 }).await;
    assert!(own.unwrap_err().is("DC_ID_INVALID"));
    let ExportedAuthorization::Authorization(exported) = client
        .invoke(&ExportAuthorization { dc_id: 4 })
        .await
        .unwrap();
    let import = |bytes| ImportAuthorization {
        id: exported.id,
        bytes,
    };
    let wrong = client.invoke_in_dc(4, &import(vec![0; 32])).await;
    assert!(wrong.unwrap_err().is("AUTH_BYTES_INVALID"));
    let right = import(exported.bytes.clone());
    client.invoke_in_dc(4, &right).await.unwrap();
    let again = client.invoke_in_dc(4, &right).await;
    assert!(again.unwrap_err().is("AUTH_BYTES_INVALID"));

    // It is signed in there, where an account from elsewhere gets files and nothing else.
    let id = vec![enums::InputUser::UserSelf];
    let elsewhere = client.invoke_in_dc(4, &GetUsers { id }).await;
    assert!(elsewhere.unwrap_err().is("USER_MIGRATE"));

    // It is the same device, and signing out there ends it here.
    assert_eq!(first.authorizations(ALICE).len(), 1);
    client.sign_out().await.unwrap();
    let id = vec![enums::InputUser::UserSelf];
    let ended = client.invoke_in_dc(4, &GetUsers { id }).await;
    assert!(ended.unwrap_err().is("AUTH_KEY_UNREGISTERED"));
}

#[tokio::test]
async fn every_datacenter_names_all() {
    let (first, second, session) = two().await;
    let connected = Connected::new(&session).await;
    for (here, dc) in [(2, &first), (4, &second)] {
        let enums::Config::Config(config) = connected
            .client
            .invoke_in_dc(here, &GetConfig {})
            .await
            .unwrap();
        assert_eq!(config.this_dc, dc.id());
        let option = |option: &enums::DcOption| {
            let enums::DcOption::Option(types::DcOption { id, port, .. }) = option;
            (*id, *port)
        };
        let ports: Vec<_> = config.dc_options.iter().map(option).collect();
        let port = |dc: &Datacenter| i32::from(dc.address().port());
        assert_eq!(ports, [(2, port(&first)), (4, port(&second))]);
    }
}

#[tokio::test]
async fn a_number_is_taken_once() {
    let (first, _second, _) = two().await;
    let again = first.open_another(Options { dc_id: 4, port: 0 }).await;
    assert!(again.is_err());
}
