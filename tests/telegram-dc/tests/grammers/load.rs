//! How many echoes a second: run it with `--release -- --ignored --nocapture`.

use telegram_dc::{Chat, Event};
use tokio::time::Instant;

use crate::messages::send_once;
use crate::support::{ALICE, BOT, Connected, datacenter};

const ECHOES: usize = 50_000;
const IN_FLIGHT: usize = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, which means something in a release build only"]
async fn ten_thousand_echoes_a_second() {
    let dc = datacenter().await;
    let mut broker = Connected::settled(&dc, BOT).await;
    let alice = broker.find("alice").await;
    let client = broker.client.clone();
    let answering = tokio::spawn(async move {
        for n in 0..i64::try_from(ECHOES).unwrap() {
            let text = broker.next_message().await.text().to_owned();
            let client = client.clone();
            tokio::spawn(async move {
                client
                    .invoke(&send_once(alice.into(), &text, n + 1))
                    .await
                    .unwrap();
            });
        }
        broker
    });

    let mut events = dc.subscribe();
    let started = Instant::now();
    let (mut sent, mut answered) = (0, 0);
    while answered < ECHOES {
        while sent < ECHOES && sent - answered < IN_FLIGHT {
            dc.send(ALICE, Chat::User(BOT), sent.to_string()).unwrap();
            sent += 1;
        }
        match events.recv().await.unwrap() {
            Event::New {
                account: ALICE,
                message,
            } if !message.out => answered += 1,
            _ => {}
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let rate = f64::from(u32::try_from(ECHOES).unwrap()) / seconds;
    println!("{ECHOES} echoes in {seconds:.2} s: {rate:.0} a second");
    drop(answering.await.unwrap());
    assert!(rate > 10_000.0, "{rate:.0} a second");
}
