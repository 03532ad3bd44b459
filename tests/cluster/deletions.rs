//! Secrets that were shown go in time, whatever becomes of the replica that showed them.

use std::time::{Duration, Instant};

use telegram_dc::Chat;
use tokio::task::block_in_place;

use crate::company::Company;
use crate::stage::{BROKER, Setting};
use crate::{DELETE_AFTER, people};

/// How much later than due one may go that another replica must delete: the lease of the one that
/// showed it, and what looking for it takes on a busy machine.
const LATE: Duration = Duration::from_secs(8);
/// How long etcd is away.
const OUTAGE: Duration = Duration::from_secs(20);

/// Three replicas, that have shown a secret to each of the people.
async fn shown(people: &[i64]) -> Company {
    let telegram = format!("delete_after = \"{}s\"", DELETE_AFTER.as_secs());
    let mut company = Company::build(
        Setting {
            program: env!("CARGO_BIN_EXE_vaultgram").into(),
            telegram: &telegram,
            audit: "",
            crowd: people.to_vec(),
            log: "vaultgram=info",
            plain_token: false,
        },
        3,
    )
    .await;
    company.start().await;
    for person in people {
        let answer = company.stage.ask(*person, "/get_secret django/database");
        assert!(answer.await.starts_with('🔑'));
    }
    company
}

fn standing(company: &Company, people: &[i64]) -> usize {
    let stands = |person: &&i64| {
        let chat = company.stage.dc.history(**person, Chat::User(BROKER));
        chat.iter().any(|message| message.text.starts_with('🔑'))
    };
    people.iter().filter(stands).count()
}

/// How long it takes until every secret is gone.
async fn gone(company: &Company, people: &[i64]) -> Duration {
    let since = Instant::now();
    let gone = || standing(company, people) == 0;
    company.stage.wait("every secret is gone", gone).await;
    since.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_one_showed_goes_when_its_lease_is_over() {
    let people = people(9);
    let mut company = shown(&people).await;
    for replica in 0..2 {
        company.replicas[replica].kill();
    }
    let took = gone(&company, &people).await;
    println!("gone {took:.1?} after the kill, due {DELETE_AFTER:?} after they were shown");
    assert!(took < DELETE_AFTER + LATE, "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_one_showed_goes_soon_after_etcd_is_back() {
    let people = people(9);
    let mut company = shown(&people).await;
    for node in 0..2 {
        block_in_place(|| company.etcd.kill(node));
        company.replicas[node].kill();
    }
    tokio::time::sleep(OUTAGE).await;
    let left = standing(&company, &people);
    assert!(left > 0, "nobody knows what the killed ones showed");
    for node in 0..2 {
        block_in_place(|| company.etcd.restart(node));
    }
    block_in_place(|| company.etcd.wait_until_healthy());
    let took = gone(&company, &people).await;
    println!("{left} gone {took:.1?} after etcd was back");
    assert!(took < LATE, "{took:?}");
}
