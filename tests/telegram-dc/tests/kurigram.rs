//! The second independent witness: Kurigram, on two datacenters.

mod witness;

use telegram_dc::{Chat, Datacenter, Options, UNKNOWN_METHOD, User};

const ALICE: i64 = 1001;
const BOB: i64 = 1002;

#[tokio::test]
async fn kurigram_follows_the_migration_signs_in_and_chats() {
    let dc = Datacenter::start(Options::default()).await.unwrap();
    let fourth = Options { dc_id: 4, port: 0 };
    let other = dc.open_another(fourth).await.unwrap();
    let alice = User::new(ALICE, "Alice").username("alice");
    dc.add_user(alice.phone("+9996621001").home(other.id()));
    let bob = User::new(BOB, "Bob").username("bob");
    dc.add_user(bob.phone("+9996621002").password("correct horse"));
    let code = |phone| dc.login_code(phone).unwrap();
    let world = format!(
        r#"{{"port": {}, "public_key": {:?},
        "alice": {{"id": {ALICE}, "phone": "+9996621001", "code": {:?}, "home": {}}},
        "bob": {{"id": {BOB}, "phone": "+9996621002", "code": {:?}, "password": "correct horse"}}}}"#,
        dc.address().port(),
        dc.public_key_pem(),
        code("+9996621001"),
        other.id(),
        code("+9996621002"),
    );
    witness::testifies("kurigram_witness.py", &world).await;

    let texts = |user, chat| -> Vec<String> {
        let history = dc.history(user, chat).into_iter();
        history.map(|message| message.text).collect()
    };
    assert_eq!(texts(ALICE, Chat::User(BOB)), ["hello alice"]);
    assert_eq!(texts(BOB, Chat::User(ALICE)), ["hello alice"]);
    assert_eq!(dc.authorizations(ALICE), [], "signed out");
    assert_eq!(dc.count(UNKNOWN_METHOD), 0);
}
