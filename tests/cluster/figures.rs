//! How long people wait when the vaultgram that would answer is killed, and how many requests
//! replicas answer and etcd carries.
//!
//! A short form runs with the other tests, to see that it works; `make scaling` measures.

use std::time::{Duration, Instant};

use telegram_dc::{Chat, Event};

use crate::company::Company;
use crate::etcd::Etcd;
use crate::stage::{BROKER, PATIENCE, Setting, Stage};
use crate::{from_environment, people};

/// How many ask at once.
const ASKING: usize = 40;
/// Who asks while a replica is killed: so many that the killed one would have answered some.
const WITNESSES: usize = 12;
/// Before a replica is killed: its answers are on the way.
const BEGUN: Duration = Duration::from_millis(20);
const QUESTION: &str = "/get_secret django/database";

#[tokio::test(flavor = "multi_thread")]
async fn another_answers_soon_when_one_is_killed() {
    let kills = from_environment("FIGURES_KILLS").unwrap_or(2);
    let people = people(WITNESSES);
    let mut company = Company::build(setting(&people), 3).await;
    company.start().await;
    let mut gaps = vec![];
    for round in 0..kills {
        let killed = usize::try_from(round).unwrap() % company.replicas.len();
        let mut events = company.stage.dc.subscribe();
        let asked = Instant::now();
        for person in &people {
            company
                .stage
                .dc
                .send(*person, Chat::User(BROKER), QUESTION)
                .unwrap();
        }
        tokio::time::sleep(BEGUN).await;
        company.replicas[killed].kill();
        let mut waiting = people.clone();
        while !waiting.is_empty() {
            let event = tokio::time::timeout(PATIENCE, events.recv()).await;
            let event = event.unwrap_or_else(|_| panic!("{waiting:?} are not answered"));
            if let Some((person, text)) = answer(event.unwrap()) {
                assert!(
                    text.starts_with('🔑') || text.contains("interrupted"),
                    "{text}"
                );
                waiting.retain(|one| *one != person);
            }
        }
        gaps.push(asked.elapsed());
        company.start_one(killed).await;
        // Until it is known to the others, and nobody waits for it in vain.
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    gaps.sort();
    let at = |percent: usize| gaps[(gaps.len() * percent / 100).min(gaps.len() - 1)];
    println!(
        "gap: the slowest answer to {WITNESSES} people, one of 3 replicas killed {BEGUN:?} after they \
         asked, {kills} times: p50 {:.2} s, p90 {:.2} s, p99 {:.2} s, longest {:.2} s",
        at(50).as_secs_f64(),
        at(90).as_secs_f64(),
        at(99).as_secs_f64(),
        at(100).as_secs_f64()
    );
    assert!(at(50) < Duration::from_secs(5), "{gaps:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_answer_as_many_as_one_did() {
    let time = Duration::from_secs(from_environment("FIGURES_SECONDS").unwrap_or(2));
    let people = people(ASKING);
    {
        let mut stage = Stage::build(setting(&people)).await;
        stage.start().await;
        let rate = rate(&stage, &people, time).await;
        println!("the embedded store, 1 process: {rate:.0} requests/s");
        assert!(rate > 1.0);
    }
    for count in 1..=3 {
        let mut company = Company::build(setting(&people), count).await;
        company.start().await;
        let idle = Load::of(&company.etcd);
        tokio::time::sleep(time).await;
        let idle = Load::of(&company.etcd).since(&idle).per(time.as_secs_f64());
        let before = Load::of(&company.etcd);
        let rate = rate(&company.stage, &people, time).await;
        let answered = rate * time.as_secs_f64();
        let load = Load::of(&company.etcd).since(&before).per(answered);
        println!(
            "etcd, {count} replicas: {rate:.0} requests/s; etcd for each: {:.1} calls, {:.1} writes; \
             idle: {:.1} calls/s, {:.1} writes/s",
            load.calls, load.writes, idle.calls, idle.writes
        );
        assert!(rate > 1.0);
    }
}

fn setting(people: &[i64]) -> Setting<'static> {
    Setting {
        program: env!("CARGO_BIN_EXE_vaultgram").into(),
        telegram: "delete_after = \"5s\"",
        audit: "",
        crowd: people.to_vec(),
        log: "vaultgram=info",
        plain_token: false,
    }
}

/// Answers a second, while each of `people` asks as soon as the last answer is there.
async fn rate(stage: &Stage, people: &[i64], time: Duration) -> f64 {
    let mut events = stage.dc.subscribe();
    let ask = |person: i64| stage.dc.send(person, Chat::User(BROKER), QUESTION).unwrap();
    for person in people {
        ask(*person);
    }
    let begun = tokio::time::Instant::now();
    let mut answers = 0_u32;
    while let Ok(event) = tokio::time::timeout_at(begun + time, events.recv()).await {
        if let Some((person, text)) = answer(event.unwrap()) {
            assert!(text.starts_with('🔑'), "{text}");
            answers += 1;
            ask(person);
        }
    }
    f64::from(answers) / time.as_secs_f64()
}

/// Whom the broker answers in their own chat, and what.
fn answer(event: Event) -> Option<(i64, String)> {
    match event {
        Event::New { account, message } => {
            let answers = message.chat == Chat::User(BROKER) && !message.out;
            answers.then_some((account, message.text))
        }
        Event::Edited { .. } | Event::Deleted { .. } => None,
    }
}

/// What etcd had to do.
struct Load {
    /// Calls of clients, on all nodes.
    calls: f64,
    /// What the nodes agreed on.
    writes: f64,
}

impl Load {
    fn of(etcd: &Etcd) -> Self {
        let sum = |name: &str| {
            let nodes = 0..etcd.sockets().len();
            nodes
                .map(|node| etcd.metric(node, name).unwrap_or_default())
                .sum()
        };
        tokio::task::block_in_place(|| Self {
            calls: sum("grpc_server_handled_total"),
            writes: etcd
                .metric(0, "etcd_server_proposals_committed_total")
                .unwrap(),
        })
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            calls: self.calls - before.calls,
            writes: self.writes - before.writes,
        }
    }

    fn per(&self, of: f64) -> Self {
        Self {
            calls: self.calls / of,
            writes: self.writes / of,
        }
    }
}
