//! Signing in: by code, with a password, as a bot; and being signed out again.

use std::time::Duration;

use grammers_client::{Client, InvocationError, SignInError};
use grammers_session::types::PeerId;
use grammers_tl_types::functions::auth::{SendCode, SignIn};
use grammers_tl_types::{enums, types};
use telegram_dc::{Datacenter, Fault, Options, Revocation, SERVICE_USER, User};

use crate::support::{ALICE, BOT, Connected, SOON, TestSession, datacenter};

const PHONE: &str = "+9996621001";

async fn signed_out() -> (Datacenter, Connected) {
    let dc = Datacenter::start(Options::default()).await.unwrap();
    let session = TestSession::with_key(&dc, dc.provision_signed_out_key()).await;
    let connected = Connected::new(&session).await;
    (dc, connected)
}

fn code_of(error: &InvocationError) -> i32 {
    match error {
        InvocationError::Rpc(error) => error.code,
        other => panic!("not an answer: {other}"),
    }
}

async fn who(client: &Client) -> i64 {
    client.get_me().await.unwrap().id().bare_id().unwrap()
}

#[tokio::test]
async fn a_code_signs_in_and_a_wrong_one_does_not() {
    let (dc, broker) = signed_out().await;
    let client = &broker.client;
    dc.add_user(User::new(ALICE, "Alice").phone(PHONE));
    assert!(!client.is_authorized().await.unwrap());
    let error = client.get_me().await.unwrap_err();
    assert!(
        error.is("AUTH_KEY_UNREGISTERED") && code_of(&error) == 401,
        "{error}"
    );

    let unknown = client.request_login_code("+9996629999", "hash").await;
    assert!(unknown.err().unwrap().is("PHONE_NUMBER_UNOCCUPIED"));
    let token = client
        .request_login_code("999 662 1001", "hash")
        .await
        .unwrap();
    let wrong = client.sign_in(&token, "wrong").await;
    assert!(matches!(wrong, Err(SignInError::InvalidCode)), "{wrong:?}");
    let user = client
        .sign_in(&token, &dc.login_code(PHONE).unwrap())
        .await
        .unwrap();
    assert_eq!(user.id().bare_id(), Some(ALICE));
    assert_eq!(who(client).await, ALICE);

    client.sign_out().await.unwrap();
    assert!(!client.is_authorized().await.unwrap());
}

#[tokio::test]
async fn a_code_expires() {
    let (dc, broker) = signed_out().await;
    let client = &broker.client;
    dc.add_user(User::new(ALICE, "Alice").phone(PHONE));
    let token = client.request_login_code(PHONE, "hash").await.unwrap();
    // The client follows the server's clock after it was told of it.
    dc.clock_skew(400);
    let late = client.sign_in(&token, &dc.login_code(PHONE).unwrap()).await;
    assert!(matches!(late, Err(SignInError::InvalidCode)), "{late:?}");
    let again = client.request_login_code(PHONE, "hash").await.unwrap();
    client
        .sign_in(&again, &dc.login_code(PHONE).unwrap())
        .await
        .unwrap();
}

#[tokio::test]
async fn the_password_is_asked_for_and_checked() {
    let (dc, broker) = signed_out().await;
    let client = &broker.client;
    dc.add_user(
        User::new(ALICE, "Alice")
            .phone(PHONE)
            .password("correct horse"),
    );
    let token = client.request_login_code(PHONE, "hash").await.unwrap();
    let asked = client.sign_in(&token, &dc.login_code(PHONE).unwrap()).await;
    let Err(SignInError::PasswordRequired(password)) = asked else {
        panic!("{asked:?}")
    };
    assert!(
        !client.is_authorized().await.unwrap(),
        "the code alone is not enough"
    );
    let wrong = client.check_password(password, "wrong").await;
    assert!(
        matches!(wrong, Err(SignInError::InvalidPassword(_))),
        "{wrong:?}"
    );

    // After a wrong password a fresh question is due.
    let token = client.request_login_code(PHONE, "hash").await.unwrap();
    let asked = client.sign_in(&token, &dc.login_code(PHONE).unwrap()).await;
    let Err(SignInError::PasswordRequired(password)) = asked else {
        panic!("{asked:?}")
    };
    client
        .check_password(password, "correct horse")
        .await
        .unwrap();
    assert_eq!(who(client).await, ALICE);
}

#[tokio::test]
async fn a_bot_signs_in_by_its_token() {
    let (dc, broker) = signed_out().await;
    let client = &broker.client;
    dc.add_user(User::new(BOT, "Bot").bot("5000:token"));
    assert!(
        client
            .bot_sign_in("5000:wrong", "hash")
            .await
            .unwrap_err()
            .is("ACCESS_TOKEN_INVALID")
    );
    assert!(
        client
            .bot_sign_in("5000:token", "hash")
            .await
            .unwrap()
            .is_bot()
    );
}

#[tokio::test]
async fn a_bots_token_is_taken_back() {
    let (dc, broker) = signed_out().await;
    dc.add_user(User::new(BOT, "Bot").bot("5000:token"));
    dc.revoke_bot_token("5000:token");
    let refused = broker.client.bot_sign_in("5000:token", "hash").await;
    let refused = refused.unwrap_err();
    assert!(refused.is("ACCESS_TOKEN_EXPIRED") && code_of(&refused) == 400);
}

#[tokio::test]
async fn numbers_that_cannot_sign_in_are_told_why() {
    let (dc, broker) = signed_out().await;
    let client = &broker.client;
    dc.add_user(User::new(ALICE, "Alice").phone(PHONE));
    for invalid in ["", "123", "+999662alice", "+9996621001999662"] {
        let refused = client.request_login_code(invalid, "hash").await;
        let refused = refused.err().unwrap();
        assert!(refused.is("PHONE_NUMBER_INVALID"), "{invalid}: {refused}");
    }
    dc.ban_number("999 662 1001");
    let refused = client.request_login_code(PHONE, "hash").await;
    let refused = refused.err().unwrap();
    assert!(refused.is("PHONE_NUMBER_BANNED") && code_of(&refused) == 400);
}

#[tokio::test]
async fn a_code_is_made_too_old() {
    let (dc, broker) = signed_out().await;
    let client = &broker.client;
    dc.add_user(User::new(ALICE, "Alice").phone(PHONE));
    let code = dc.login_code(PHONE).unwrap();
    // grammers makes one of a wrong code and one that is too old.
    let sign_in = |phone_code_hash: &str| SignIn {
        phone_number: PHONE.to_owned(),
        phone_code_hash: phone_code_hash.to_owned(),
        phone_code: Some(code.clone()),
        email_verification: None,
    };
    let (hash, _) = send_code(client).await.unwrap();
    dc.expire_login_code(PHONE);
    let late = client.invoke(&sign_in(&hash)).await.unwrap_err();
    assert!(late.is("PHONE_CODE_EXPIRED") && code_of(&late) == 400);
    let (hash, _) = send_code(client).await.unwrap();
    client.invoke(&sign_in(&hash)).await.unwrap();
}

#[tokio::test]
async fn the_code_is_told_to_the_other_devices() {
    let (dc, broker) = signed_out().await;
    dc.add_user(User::new(ALICE, "Alice").phone(PHONE));
    let (_, way) = send_code(&broker.client).await.unwrap();
    assert!(matches!(way, enums::auth::SentCodeType::Sms(_)), "{way:?}");
    let mut alice = Connected::settled(&dc, ALICE).await;
    let (_, way) = send_code(&broker.client).await.unwrap();
    assert!(matches!(way, enums::auth::SentCodeType::App(_)), "{way:?}");
    let message = alice.next_message().await;
    let code = format!("Login code: {}. ", dc.login_code(PHONE).unwrap());
    assert!(message.text().starts_with(&code), "{}", message.text());
    let from = message.sender_id().and_then(PeerId::bare_id);
    assert_eq!(from, Some(SERVICE_USER));
}

#[tokio::test]
async fn telegram_wants_signing_in_to_start_again() {
    let (dc, broker) = signed_out().await;
    dc.add_user(User::new(ALICE, "Alice").phone(PHONE));
    dc.fault("auth.sendCode", Fault::error(500, "AUTH_RESTART"), 1);
    let refused = send_code(&broker.client).await.unwrap_err();
    assert!(refused.is("AUTH_RESTART") && code_of(&refused) == 500);
    send_code(&broker.client).await.unwrap();
}

/// Asks for a code; its hash, and the way it is sent.
async fn send_code(
    client: &Client,
) -> Result<(String, enums::auth::SentCodeType), InvocationError> {
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
    let request = SendCode {
        phone_number: PHONE.to_owned(),
        api_id: 1,
        api_hash: "hash".to_owned(),
        settings: settings.into(),
    };
    match client.invoke(&request).await? {
        enums::auth::SentCode::Code(sent) => Ok((sent.phone_code_hash, sent.r#type)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_flood_wait_is_told() {
    let (dc, broker) = signed_out().await;
    let client = &broker.client;
    dc.fault("auth.sendCode", Fault::error(420, "FLOOD_WAIT_300"), 1);
    let error = client
        .request_login_code(PHONE, "hash")
        .await
        .err()
        .unwrap();
    let InvocationError::Rpc(error) = error else {
        panic!("{error}")
    };
    assert_eq!((error.code, error.value), (420, Some(300)));
}

#[tokio::test]
async fn a_revoked_session_is_told_so() {
    let dc = datacenter().await;
    let broker = Connected::new(&TestSession::signed_in(&dc, BOT).await).await;
    let client = &broker.client;
    assert_eq!(who(client).await, BOT);
    dc.revoke(BOT, Revocation::Revoked);
    let error = client.get_me().await.unwrap_err();
    assert!(
        error.is("SESSION_REVOKED") && code_of(&error) == 401,
        "{error}"
    );
}

#[tokio::test]
async fn a_forgotten_key_is_unknown() {
    let dc = datacenter().await;
    let session = TestSession::signed_in(&dc, BOT).await;
    let broker = Connected::new(&session).await;
    let client = &broker.client;
    dc.forget_key(BOT);
    // grammers makes a new key then, which fails: it does not know our RSA key.
    let mut errors = Vec::new();
    for _ in 0..2 {
        errors.push(client.get_me().await.unwrap_err().to_string());
    }
    assert!(
        errors.iter().any(|error| error.contains("fingerprint")),
        "{errors:?}"
    );
}

#[tokio::test]
async fn a_key_that_is_used_twice_is_worth_nothing() {
    let dc = datacenter().await;
    let key = dc.provision_key(BOT);
    let first = Connected::new(&TestSession::with_key(&dc, key).await).await;
    assert_eq!(who(&first.client).await, BOT);
    let session = TestSession::with_key(&dc, key).await;
    let second = Connected::new(&session).await;
    for client in [&first.client, &second.client] {
        let error = client.get_me().await.unwrap_err();
        assert!(
            error.is("AUTH_KEY_DUPLICATED") && code_of(&error) == 406,
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_key_used_twice_stays_dead_and_ends_no_other_device() {
    let dc = datacenter().await;
    let other = Connected::settled(&dc, BOT).await;
    let key = dc.provision_key(BOT);
    assert_eq!(dc.authorizations(BOT).len(), 2);
    // The first process is idle: what counts is its connection, not its calls.
    let first = Connected::new(&TestSession::with_key(&dc, key).await).await;
    let second = Connected::new(&TestSession::with_key(&dc, key).await).await;
    let error = second.client.get_me().await.unwrap_err();
    assert!(error.is("AUTH_KEY_DUPLICATED"), "{error}");
    drop((first, second));
    let gone = async {
        while dc.connections() > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, gone).await.unwrap();
    let third = Connected::new(&TestSession::with_key(&dc, key).await).await;
    let error = third.client.get_me().await.unwrap_err();
    assert!(error.is("AUTH_KEY_DUPLICATED"), "{error}");
    assert_eq!(who(&other.client).await, BOT);
    assert_eq!(dc.authorizations(BOT).len(), 1);
}

#[tokio::test]
async fn a_client_that_comes_back_is_no_duplicate() {
    let dc = datacenter().await;
    let session = TestSession::signed_in(&dc, BOT).await;
    for _ in 0..5 {
        let connected = Connected::new(&session).await;
        assert_eq!(who(&connected.client).await, BOT);
    }
}
