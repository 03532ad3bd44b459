//! The independent witness: Telethon, a client in another language by other people.

mod witness;

use telegram_dc::{Chat, Datacenter, Options, User};

const ALICE: i64 = 1001;
const BOB: i64 = 1002;
const GROUP: i64 = 40;
const SUPERGROUP: i64 = 50;

#[tokio::test]
async fn telethon_signs_in_chats_and_catches_up() {
    let dc = Datacenter::start(Options::default()).await.unwrap();
    dc.add_user(
        User::new(ALICE, "Alice")
            .username("alice")
            .phone("+9996621001"),
    );
    let bob = User::new(BOB, "Bob")
        .username("bob")
        .phone("+9996621002")
        .password("correct horse");
    dc.add_user(bob);
    dc.add_group(GROUP, "Ops", &[ALICE, BOB]);
    dc.add_supergroup(SUPERGROUP, "Ops big", &[ALICE, BOB]);
    let code = |phone| dc.login_code(phone).unwrap();
    let world = format!(
        r#"{{"dc": {}, "port": {}, "public_key": {:?}, "group": "Ops", "supergroup": "Ops big",
        "alice": {{"id": {ALICE}, "phone": "+9996621001", "code": {:?}}},
        "bob": {{"id": {BOB}, "phone": "+9996621002", "code": {:?}, "password": "correct horse"}}}}"#,
        dc.id(),
        dc.address().port(),
        dc.public_key_pem(),
        code("+9996621001"),
        code("+9996621002"),
    );

    witness::testifies("telethon_witness.py", &world).await;

    let texts = |user, chat| -> Vec<String> {
        dc.history(user, chat)
            .into_iter()
            .map(|message| message.text)
            .collect()
    };
    let missed = ["hello alice", "missed 0", "missed 1", "missed 2"];
    assert_eq!(texts(BOB, Chat::User(ALICE)), missed);
    assert_eq!(texts(ALICE, Chat::User(BOB)), missed);
    assert_eq!(
        texts(ALICE, Chat::Group(GROUP)),
        ["welcome", "missed in the group"]
    );
    assert_eq!(
        texts(BOB, Chat::Channel(SUPERGROUP)),
        ["welcome", "missed in the supergroup"]
    );
    assert!(dc.count("updates.getChannelDifference") > 0);
    assert_eq!(dc.count(telegram_dc::UNKNOWN_METHOD), 0);
}

#[tokio::test]
async fn telethon_is_a_bot_with_buttons_and_files() {
    let dc = Datacenter::start(Options::default()).await.unwrap();
    let phone = "+9996621001";
    dc.add_user(User::new(ALICE, "Alice").username("alice").phone(phone));
    dc.add_user(User::new(6000, "Robot").username("robot").bot("6000:token"));
    let world = format!(
        r#"{{"dc": {}, "port": {}, "public_key": {:?}, "token": "6000:token",
        "alice": {ALICE}, "phone": "{phone}", "code": {:?}}}"#,
        dc.id(),
        dc.address().port(),
        dc.public_key_pem(),
        dc.login_code(phone).unwrap(),
    );
    witness::testifies("telethon_bots.py", &world).await;
    assert_eq!(dc.count(telegram_dc::UNKNOWN_METHOD), 0);
}
