//! How long people wait, also when the vaultgram that would answer is killed; how many requests
//! replicas answer; and what etcd has to do for that.
//!
//! A short form runs with the other tests, to see that it works; `make scaling` measures.

use std::time::{Duration, Instant};

use telegram_dc::{Chat, Event};

use crate::company::Company;
use crate::etcd::Etcd;
use crate::load::Load;
use crate::stage::{BROKER, PATIENCE, Setting, Stage};
use crate::{DELETE_AFTER, from_environment, people};

/// How many ask at once.
const ASKING: usize = 40;
/// Who asks while a replica is killed: so many that the killed one would have answered some.
const WITNESSES: usize = 12;
/// Before a replica is killed: its answers are on the way.
const BEGUN: Duration = Duration::from_millis(20);
/// Between two questions of those who ask one after the other.
const PACE: Duration = Duration::from_millis(250);
/// Their first questions, which do not count.
const WARMING_UP: usize = 4;
/// How long after its time the last secret is deleted, and that on record.
const GATHERED: Duration = Duration::from_secs(3);
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
    let calm = Duration::from_secs(from_environment("FIGURES_CALM").unwrap_or(1));
    let people = people(ASKING);
    {
        let mut stage = Stage::build(setting(&people)).await;
        stage.start().await;
        let (rate, _) = rate(&stage, &people, time).await;
        println!("the embedded store, 1 process: {rate:.0} requests/s");
        assert!(rate > 1.0);
    }
    for count in 1..=3 {
        let mut company = Company::build(setting(&people), count).await;
        company.start().await;
        let first = idle(&company.etcd, calm).await;
        let then = idle(&company.etcd, calm).await;
        println!("etcd, {count} replicas, nobody asks, a second: in the first {calm:?} {first}");
        println!("etcd, {count} replicas, nobody asks, a second: in the next {calm:?} {then}");
        let before = Load::of(&company.etcd);
        let (rate, answers) = rate(&company.stage, &people, time).await;
        // What an answer costs is over when it is deleted.
        tokio::time::sleep(DELETE_AFTER + GATHERED).await;
        let load = (&Load::of(&company.etcd) - &before).per(answers);
        println!("etcd, {count} replicas: {rate:.0} requests/s; etcd for each: {load}");
        assert!(rate > 1.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_longer_for_more_replicas() {
    let questions = from_environment("FIGURES_QUESTIONS").unwrap_or(8);
    let rounds = from_environment("FIGURES_ROUNDS").unwrap_or(1);
    let people = people(WITNESSES);
    let mut waits = [const { vec![] }; 4];
    // In turns, so that what the machine does meanwhile falls on all of them.
    for _ in 0..rounds {
        let [embedded, replicated @ ..] = &mut waits;
        let mut stage = Stage::build(setting(&people)).await;
        stage.start().await;
        embedded.extend(wait(&stage, &people, questions).await);
        drop(stage);
        for (count, waits) in (1..).zip(replicated) {
            let mut company = Company::build(setting(&people), count).await;
            company.start().await;
            waits.extend(wait(&company.stage, &people, questions).await);
        }
    }
    let took = waits.map(percentiles);
    let [_, one, _, three] = took;
    let whose = ["the embedded store, 1 process", "etcd, 1 replica"]
        .into_iter()
        .chain(["etcd, 2 replicas", "etcd, 3 replicas"]);
    for (what, took) in whose.zip(took) {
        let [ms, of] = [
            took.map(|took| took.as_secs_f64() * 1000.0),
            [0, 1, 2].map(|at| took[at].as_secs_f64() / one[at].as_secs_f64()),
        ];
        println!(
            "waits, one asks every {PACE:?}, {questions} times, {rounds} rounds: {what}: p50 {:.1} ms \
             ({:.2} of 1 replica), p90 {:.1} ms ({:.2}), p99 {:.1} ms ({:.2})",
            ms[0], of[0], ms[1], of[1], ms[2], of[2]
        );
    }
    // Of a busy machine nothing closer can be said.
    assert!(
        three[0] < one[0] * 3 + Duration::from_millis(500),
        "{took:?}"
    );
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

/// What etcd does in a second while nobody asks, over `time`.
async fn idle(etcd: &Etcd, time: Duration) -> Load {
    let before = Load::of(etcd);
    tokio::time::sleep(time).await;
    (&Load::of(etcd) - &before).per(time.as_secs_f64())
}

/// Answers a second, while each of `people` asks as soon as the last answer is there; and how many
/// there were with those that came after that.
async fn rate(stage: &Stage, people: &[i64], time: Duration) -> (f64, f64) {
    let mut events = stage.dc.subscribe();
    let ask = |person: i64| stage.dc.send(person, Chat::User(BROKER), QUESTION).unwrap();
    for person in people {
        ask(*person);
    }
    let (begun, mut waiting) = (Instant::now(), people.len());
    let (mut in_time, mut all) = (0_u32, 0_u32);
    while waiting > 0 {
        let event = tokio::time::timeout(PATIENCE, events.recv()).await;
        let event = event.unwrap_or_else(|_| panic!("{waiting} are not answered"));
        if let Some((person, text)) = answer(event.unwrap()) {
            assert!(text.starts_with('🔑'), "{text}");
            all += 1;
            if begun.elapsed() < time {
                in_time += 1;
                ask(person);
            } else {
                waiting -= 1;
            }
        }
    }
    (f64::from(in_time) / time.as_secs_f64(), f64::from(all))
}

/// How long each answer takes, while `people` ask one after the other.
async fn wait(stage: &Stage, people: &[i64], questions: u64) -> Vec<Duration> {
    let mut events = stage.dc.subscribe();
    let mut pace = tokio::time::interval(PACE);
    let mut took = vec![];
    // The first answers open connections.
    let asked = people
        .iter()
        .cycle()
        .take(WARMING_UP + usize::try_from(questions).unwrap());
    for asker in asked {
        pace.tick().await;
        let begun = Instant::now();
        stage.dc.send(*asker, Chat::User(BROKER), QUESTION).unwrap();
        loop {
            let event = tokio::time::timeout(PATIENCE, events.recv()).await;
            let event = event.unwrap_or_else(|_| panic!("{asker} is not answered"));
            if let Some((person, text)) = answer(event.unwrap()) {
                assert!(person == *asker && text.starts_with('🔑'), "{text}");
                break;
            }
        }
        took.push(begun.elapsed());
    }
    took.split_off(WARMING_UP)
}

/// p50, p90 and p99.
fn percentiles(mut took: Vec<Duration>) -> [Duration; 3] {
    took.sort();
    [50, 90, 99].map(|percent| took[(took.len() * percent / 100).min(took.len() - 1)])
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
