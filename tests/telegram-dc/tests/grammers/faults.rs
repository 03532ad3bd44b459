//! Faults: silence, cuts, wrong clocks and salts, nonsense on the wire.

use std::time::Duration;

use grammers_client::InvocationError;
use telegram_dc::{Chat, Fault, UNKNOWN_METHOD};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::messages::send_once;
use crate::support::{ALICE, BOT, Connected, TestSession, datacenter};

const SILENCE: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_black_hole_keeps_connections_and_says_nothing() {
    let dc = datacenter().await;
    let session = TestSession::signed_in(&dc, BOT).await;
    let broker = Connected::new(&session).await;
    dc.black_hole(true);
    assert!(
        timeout(SILENCE, broker.client.get_me()).await.is_err(),
        "no answer"
    );
    assert_eq!(dc.connections(), 1);
    // A new connection is accepted, and as silent.
    drop(broker);
    let broker = Connected::new(&session).await;
    assert!(
        timeout(SILENCE, broker.client.get_me()).await.is_err(),
        "no answer"
    );
    drop(broker);
    dc.black_hole(false);
    Connected::new(&session)
        .await
        .client
        .get_me()
        .await
        .unwrap();
}

#[tokio::test]
async fn refused_connections_end_at_once() {
    let dc = datacenter().await;
    let session = TestSession::signed_in(&dc, BOT).await;
    dc.refuse(true);
    let broker = Connected::new(&session).await;
    let error = broker.client.get_me().await.unwrap_err();
    assert!(
        matches!(error, InvocationError::Io(_) | InvocationError::Dropped(_)),
        "{error}"
    );
    dc.refuse(false);
    broker.client.get_me().await.unwrap();
}

#[tokio::test]
async fn calls_hang_are_delayed_or_refused_as_ordered() {
    let dc = datacenter().await;
    let broker = Connected::new(&TestSession::signed_in(&dc, BOT).await).await;
    dc.fault("users.getUsers", Fault::Hang, 1);
    assert!(timeout(SILENCE, broker.client.get_me()).await.is_err());

    dc.fault("users.getUsers", Fault::Delay(SILENCE), 1);
    let started = Instant::now();
    let (slow, fast) = tokio::join!(broker.client.get_me(), broker.client.is_authorized());
    assert!(slow.is_ok() && fast.unwrap());
    assert!(started.elapsed() >= SILENCE);

    dc.fault("users.getUsers", Fault::error(500, "INTERNAL"), 2);
    for _ in 0..2 {
        assert!(broker.client.get_me().await.unwrap_err().is("INTERNAL"));
    }
    broker.client.get_me().await.unwrap();
}

#[tokio::test]
async fn a_lost_answer_can_be_asked_for_again() {
    let dc = datacenter().await;
    let broker = Connected::new(&TestSession::signed_in(&dc, BOT).await).await;
    let alice = broker.find("alice").await;
    dc.fault("messages.sendMessage", Fault::LoseAnswer, 1);
    let request = send_once(alice.into(), "once", 5);
    assert!(broker.client.invoke(&request).await.is_err());
    assert_eq!(
        dc.history(ALICE, Chat::User(BOT)).len(),
        1,
        "it was carried out"
    );
    while broker.client.invoke(&request).await.is_err() {}
    assert!(dc.count("messages.sendMessage") >= 2);
    assert_eq!(
        dc.history(ALICE, Chat::User(BOT)).len(),
        1,
        "and not a second time"
    );

    dc.fault("messages.sendMessage", Fault::Drop, 1);
    assert!(
        broker
            .client
            .invoke(&send_once(alice.into(), "never", 6))
            .await
            .is_err()
    );
    assert_eq!(
        dc.history(ALICE, Chat::User(BOT)).len(),
        1,
        "it was not carried out"
    );
}

#[tokio::test]
async fn a_rotated_salt_and_a_wrong_clock_are_put_right() {
    let dc = datacenter().await;
    let mut broker = Connected::new(&TestSession::signed_in(&dc, BOT).await).await;
    dc.rotate_salt();
    broker.client.get_me().await.unwrap();
    // A day ahead: the client's messages are too old, and its salt too.
    dc.clock_skew(86_400);
    broker.client.get_me().await.unwrap();
    // The other way round grammers asks in a tight loop for ever, in new sessions too: its
    // message numbers only ever rise. So there is nothing to test behind the client's clock.
    dc.send(ALICE, Chat::User(BOT), "still there?").unwrap();
    assert_eq!(broker.next_message().await.text(), "still there?");
}

#[tokio::test]
async fn unknown_methods_are_refused_and_counted() {
    let dc = datacenter().await;
    let broker = Connected::new(&TestSession::signed_in(&dc, BOT).await).await;
    let request = grammers_tl_types::functions::help::GetSupport {};
    assert!(
        broker
            .client
            .invoke(&request)
            .await
            .unwrap_err()
            .is("METHOD_INVALID")
    );
    assert_eq!(dc.count("help.getSupport"), 1);
    assert_eq!(dc.count(UNKNOWN_METHOD), 1);
}

#[tokio::test]
async fn nonsense_ends_its_connection_and_no_other() {
    let dc = datacenter().await;
    let broker = Connected::new(&TestSession::signed_in(&dc, BOT).await).await;
    broker.client.get_me().await.unwrap();
    let zeros = [0; 4096];
    let empty_packet = [
        &12_u32.to_le_bytes()[..],
        &[0; 4],
        &0x328d_ca26_u32.to_le_bytes(),
    ]
    .concat();
    let short_plain = [&[0xef, 2][..], &[0; 8]].concat();
    let odd_length = [&[0xef, 0x7f, 0xff, 0xff, 0xff][..], &zeros].concat();
    let unencrypted = [&[0xef, 10][..], &[0; 40]].concat();
    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 4096],
        zeros.to_vec(),
        empty_packet,
        short_plain,
        odd_length,
        unencrypted,
    ] {
        let mut socket = TcpStream::connect(dc.address()).await.unwrap();
        socket.write_all(&bytes).await.unwrap();
        let mut rest = Vec::new();
        let ended = timeout(Duration::from_secs(5), socket.read_to_end(&mut rest)).await;
        assert!(
            ended.is_ok(),
            "{:02x?} leaves the connection open",
            &bytes[..4]
        );
        assert!(rest.is_empty());
    }
    broker.client.get_me().await.unwrap();
}

#[tokio::test]
async fn an_unknown_key_is_told_so() {
    let dc = datacenter().await;
    let mut socket = TcpStream::connect(dc.address()).await.unwrap();
    socket
        .write_all(&[&[0xef, 10][..], &[7; 40]].concat())
        .await
        .unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, [&[1][..], &(-404_i32).to_le_bytes()].concat());
}

#[tokio::test]
async fn stopping_closes_everything() {
    let dc = datacenter().await;
    let broker = Connected::new(&TestSession::signed_in(&dc, BOT).await).await;
    broker.client.get_me().await.unwrap();
    dc.stop().await;
    assert!(broker.client.get_me().await.is_err());
    assert!(TcpStream::connect(dc.address()).await.is_err());
}

#[tokio::test]
async fn the_last_handle_dropped_stops_it() {
    let dc = datacenter().await;
    let (address, other) = (dc.address(), dc.clone());
    drop(dc);
    assert!(
        TcpStream::connect(address).await.is_ok(),
        "another handle is left"
    );
    drop(other);
    let stopped = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(5), stopped).await.unwrap();
}
