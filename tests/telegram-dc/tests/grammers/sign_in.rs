//! Signing in: by code, with a password, as a bot; and being signed out again.

use grammers_client::{Client, InvocationError, SignInError};
use telegram_dc::{Datacenter, Fault, Options, Revocation, User};

use crate::support::{ALICE, BOT, Connected, TestSession, datacenter};

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
async fn a_client_that_comes_back_is_no_duplicate() {
    let dc = datacenter().await;
    let session = TestSession::signed_in(&dc, BOT).await;
    for _ in 0..5 {
        let connected = Connected::new(&session).await;
        assert_eq!(who(&connected.client).await, BOT);
    }
}
