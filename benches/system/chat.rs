//! `/get_secret` round trips: each person asks again as soon as the answer is there.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use telegram_dc::{Chat, Event};

use crate::CROWD;
use crate::measure::{Figures, Run};
use crate::stage::{PATIENCE, Stage};

/// Asks the account `bot`, whose process is `pid`, with 1, 8, 64 and 1,000 people.
///
/// Panics when an answer is lost, or comes twice.
pub(crate) async fn run(stage: &Stage, bot: i64, pid: u32) -> Vec<Figures> {
    let mut all = vec![];
    for in_flight in [1, 8, 64, 1000] {
        all.push(
            closed_loop(stage, bot, in_flight)
                .await
                .figures(in_flight, Some(pid)),
        );
    }
    all
}

async fn closed_loop(stage: &Stage, bot: i64, people: usize) -> Run {
    let mut events = stage.dc.subscribe();
    let ask = |person: i64| {
        stage
            .dc
            .send(person, Chat::User(bot), "/get_secret django/database")
            .unwrap();
        Instant::now()
    };
    let mut run = Run::start();
    let mut waiting: HashMap<i64, Instant> = CROWD
        .take(people)
        .map(|person| (person, ask(person)))
        .collect();
    while !waiting.is_empty() {
        let event = tokio::time::timeout(PATIENCE, events.recv()).await;
        let event = event.unwrap_or_else(|_| panic!("{} questions lost", waiting.len()));
        let Event::New { account, message } = event.unwrap() else {
            continue;
        };
        if message.out || message.chat != Chat::User(bot) {
            continue;
        }
        let asked = waiting.remove(&account);
        run.answered(asked.unwrap_or_else(|| panic!("answered twice: {}", message.text)));
        assert!(message.text.contains("username"), "{}", message.text);
        if !run.over() {
            waiting.insert(account, ask(account));
        }
    }
    // Whatever is answered twice comes now.
    let late = tokio::time::timeout(Duration::from_millis(300), async {
        while let Some(event) = events.recv().await {
            if let Event::New { message, .. } = event {
                assert!(
                    message.out || message.chat != Chat::User(bot),
                    "answered twice"
                );
            }
        }
    });
    assert!(late.await.is_err(), "the datacenter is gone");
    run
}
