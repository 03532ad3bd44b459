//! Bots: their buttons, what pressing them does, and what bots may not do.

use std::time::Duration;

use grammers_client::InvocationError;
use grammers_client::message::{Button, InputMessage, ReplyMarkup};
use grammers_client::update::Update;
use grammers_session::types::PeerRef;
use grammers_tl_types::{enums, functions, types};
use telegram_dc::{CallbackAnswer, Chat, Datacenter, Draft, User};

use crate::support::{ALICE, BOT, Connected, SOON, TestSession, datacenter};

const ROBOT: i64 = 6000;

async fn with_robot() -> (Datacenter, Connected) {
    let dc = datacenter().await;
    dc.add_user(User::new(ROBOT, "Robot").username("robot").bot("6000:x"));
    let robot = Connected::new(&TestSession::signed_in(&dc, ROBOT).await).await;
    (dc, robot)
}

/// A message with two buttons to Alice, who started the bot; its number as she sees it.
async fn asks_alice(dc: &Datacenter, robot: &Connected) -> (PeerRef, i32, i32) {
    dc.send(ALICE, Chat::User(ROBOT), "/start").unwrap();
    let alice = robot.find("alice").await;
    let rows = [vec![
        Button::data("Yes", b"approve:7"),
        Button::data("No", b"deny:7"),
    ]];
    let message = InputMessage::new()
        .text("Approve?")
        .reply_markup(ReplyMarkup::from_buttons(&rows));
    let sent = robot.client.send_message(alice, message).await.unwrap();
    let seen = dc.history(ALICE, Chat::User(ROBOT)).pop().unwrap();
    let labels: Vec<_> = seen
        .buttons
        .concat()
        .into_iter()
        .map(|one| (one.text, one.data))
        .collect();
    let expected = [("Yes", "approve:7"), ("No", "deny:7")];
    assert_eq!(
        labels,
        expected.map(|(text, data)| (text.to_owned(), data.into()))
    );
    (alice, sent.id(), seen.id)
}

async fn next_press(robot: &mut Connected) -> grammers_client::update::CallbackQuery {
    let next = async {
        loop {
            if let Update::CallbackQuery(press) = robot.updates.next().await.unwrap() {
                return press;
            }
        }
    };
    tokio::time::timeout(SOON, next)
        .await
        .expect("a press in time")
}

fn refused<T: std::fmt::Debug>(result: Result<T, InvocationError>) -> String {
    match result.unwrap_err() {
        InvocationError::Rpc(error) => error.name,
        other => panic!("{other}"),
    }
}

fn press(peer: PeerRef, msg_id: i32, data: &[u8]) -> functions::messages::GetBotCallbackAnswer {
    functions::messages::GetBotCallbackAnswer {
        game: false,
        peer: peer.into(),
        msg_id,
        data: Some(data.to_vec()),
        password: None,
    }
}

#[tokio::test]
async fn a_press_reaches_the_bot_and_its_answer_the_presser() {
    let (dc, mut robot) = with_robot().await;
    let (_, own_id, id) = asks_alice(&dc, &robot).await;
    let by_test = {
        let dc = dc.clone();
        tokio::spawn(async move { dc.press(ALICE, Chat::User(ROBOT), id, "approve:7").await })
    };
    let query = next_press(&mut robot).await;
    let enums::Update::BotCallbackQuery(raw) = &query.raw else {
        panic!("{:?}", query.raw)
    };
    assert_eq!(
        (raw.user_id, raw.msg_id, raw.chat_instance != 0),
        (ALICE, own_id, true)
    );
    assert_eq!(query.data(), b"approve:7");
    query.answer().alert("Released").send().await.unwrap();
    let answer = CallbackAnswer {
        text: Some("Released".to_owned()),
        alert: true,
    };
    assert_eq!(by_test.await.unwrap(), Ok(answer));
    assert_eq!(refused(query.answer().send().await), "QUERY_ID_INVALID");

    // The same by a client, whose other calls do not wait for the bot.
    let client = Connected::new(&TestSession::signed_in(&dc, ALICE).await).await;
    let to_robot = client.find("robot").await;
    let request = press(to_robot, id, b"deny:7");
    let pressed = client.client.invoke(&request);
    let answered = async {
        let query = next_press(&mut robot).await;
        client.client.get_me().await.unwrap();
        assert_eq!(query.data(), b"deny:7");
        query.answer().text("Denied").send().await.unwrap();
    };
    let (pressed, ()) = tokio::join!(pressed, answered);
    let enums::messages::BotCallbackAnswer::Answer(answer) = pressed.unwrap();
    assert_eq!(
        (answer.message.as_deref(), answer.alert),
        (Some("Denied"), false)
    );
}

#[tokio::test]
async fn a_press_that_the_bot_was_away_for_comes_with_its_difference() {
    let (dc, robot) = with_robot().await;
    let (_, _, id) = asks_alice(&dc, &robot).await;
    drop(robot);
    while dc.connections() > 0 {
        tokio::task::yield_now().await;
    }
    let alice = dc.clone();
    let pressed =
        tokio::spawn(async move { alice.press(ALICE, Chat::User(ROBOT), id, "deny:7").await });
    let mut robot = Connected::new(&TestSession::signed_in(&dc, ROBOT).await).await;
    let query = next_press(&mut robot).await;
    query.answer().text("late").send().await.unwrap();
    assert_eq!(
        pressed.await.unwrap().unwrap().text.as_deref(),
        Some("late")
    );
}

#[tokio::test]
async fn a_bot_that_says_nothing_is_given_up_on() {
    let (dc, robot) = with_robot().await;
    let (_, _, id) = asks_alice(&dc, &robot).await;
    dc.set_bot_patience(Duration::from_millis(200));
    let chat = Chat::User(ROBOT);
    let late = dc.press(ALICE, chat, id, "deny:7").await.unwrap_err();
    assert_eq!(late.text, "BOT_RESPONSE_TIMEOUT");
    let client = Connected::new(&TestSession::signed_in(&dc, ALICE).await).await;
    let to_robot = client.find("robot").await;
    let late = client.client.invoke(&press(to_robot, id, b"deny:7")).await;
    assert_eq!(refused(late), "BOT_RESPONSE_TIMEOUT");

    let forged = dc.press(ALICE, chat, id, "approve:8").await.unwrap_err();
    assert_eq!(forged.text, "DATA_INVALID");
    let stranger = dc.add_user(User::new(3, "Stranger"));
    let other = dc.press(stranger, chat, id, "deny:7").await.unwrap_err();
    assert_eq!(other.text, "MESSAGE_ID_INVALID");
}

#[tokio::test]
async fn buttons_change_with_an_edit_and_people_have_none() {
    let (dc, robot) = with_robot().await;
    let (alice, own_id, id) = asks_alice(&dc, &robot).await;
    let chat = Chat::User(ROBOT);
    robot
        .client
        .edit_message(alice, own_id, "Approved by Alice")
        .await
        .unwrap();
    let seen = dc.history(ALICE, chat).pop().unwrap();
    assert_eq!(
        (seen.id, seen.text.as_str(), seen.buttons.len()),
        (id, "Approved by Alice", 0)
    );
    let gone = dc.press(ALICE, chat, id, "approve:7").await.unwrap_err();
    assert_eq!(gone.text, "DATA_INVALID");

    let rows = [vec![Button::data("No", [0; 65])]];
    let too_long = InputMessage::new()
        .text("?")
        .reply_markup(ReplyMarkup::from_buttons(&rows));
    let refusal = refused(robot.client.send_message(alice, too_long).await);
    assert_eq!(refusal, "BUTTON_DATA_INVALID");

    let person = Connected::new(&TestSession::signed_in(&dc, BOT).await).await;
    let alice = person.find("alice").await;
    let rows = [vec![Button::data("Yes", b"approve:7")]];
    let message = InputMessage::new()
        .text("?")
        .reply_markup(ReplyMarkup::from_buttons(&rows));
    // Of a short answer grammers believes that what it sent is what there is.
    person.client.send_message(alice, message).await.unwrap();
    assert!(dc.history(ALICE, Chat::User(BOT))[0].buttons.is_empty());
}

#[tokio::test]
async fn a_bot_may_do_less_than_a_person() {
    let (dc, robot) = with_robot().await;
    let alice = robot.find("alice").await;
    assert_eq!(
        refused(robot.client.send_message(alice, "hi").await),
        "PEER_ID_INVALID"
    );
    dc.send(ALICE, Chat::User(ROBOT), "/start").unwrap();
    let sent = robot.client.send_message(alice, "hi").await.unwrap();
    assert_eq!(
        refused(robot.client.iter_dialogs().next().await),
        "BOT_METHOD_INVALID"
    );
    let history = robot.client.iter_messages(alice).next().await;
    assert_eq!(refused(history), "BOT_METHOD_INVALID");
    let by_id = robot
        .client
        .get_messages_by_id(alice, &[sent.id()])
        .await
        .unwrap();
    assert_eq!(by_id[0].as_ref().unwrap().text(), "hi");

    let person = Connected::new(&TestSession::signed_in(&dc, ALICE).await).await;
    let answer = functions::messages::SetBotCallbackAnswer {
        alert: false,
        query_id: 1,
        message: None,
        url: None,
        cache_time: 0,
    };
    assert_eq!(
        refused(person.client.invoke(&answer).await),
        "USER_BOT_REQUIRED"
    );
}

/// A bot of the test's own can be pressed by a client, too.
#[tokio::test]
async fn a_bot_without_a_client_has_buttons() {
    let (dc, robot) = with_robot().await;
    drop(robot);
    dc.send(ALICE, Chat::User(ROBOT), "/start").unwrap();
    let rows = vec![vec![telegram_dc::Button::new("Go", "go")]];
    dc.send(
        ROBOT,
        Chat::User(ALICE),
        Draft::new("?").buttons(rows.clone()),
    )
    .unwrap();
    let client = Connected::new(&TestSession::signed_in(&dc, ALICE).await).await;
    let to_robot = client.find("robot").await;
    let message = client
        .client
        .iter_messages(to_robot)
        .next()
        .await
        .unwrap()
        .unwrap();
    let Some(enums::ReplyMarkup::ReplyInlineMarkup(types::ReplyInlineMarkup { rows: got, .. })) =
        message.reply_markup()
    else {
        panic!("no buttons")
    };
    assert_eq!(got.len(), 1);
    assert_eq!(dc.history(ALICE, Chat::User(ROBOT))[1].buttons, rows);
}
