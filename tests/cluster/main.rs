//! What stands on etcd, on a real one of three nodes: its users and certificates as `policies/etcd`
//! lays them out, and several vaultgrams that share it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and a long one shows where it is"
)]

#[path = "../support/certificates.rs"]
mod certificates;
mod chaos;
mod company;
mod crossings;
#[path = "../support/crowd.rs"]
mod crowd;
mod deletions;
#[path = "../support/etcd.rs"]
mod etcd;
mod figures;
#[path = "../support/grants.rs"]
mod grants;
#[path = "../support/line.rs"]
mod line;
mod load;
mod nodes;
#[path = "../support/openbao.rs"]
mod openbao;
mod sessions;
#[path = "../support/stage.rs"]
mod stage;
mod strangers;
mod trouble;
mod vault;

use std::time::Duration;

use stage::Stage;

/// The group that the people and the broker are in.
const CROWD: i64 = 79;
/// Everybody's public key.
const KEY: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
/// How long a secret stands.
const DELETE_AFTER: Duration = Duration::from_secs(5);
/// The command's age over which it is refused: as without a setting. What nobody could claim for
/// so long nobody answers, and etcd is never gone for so long.
const COMMAND_AGE: Duration = Duration::from_mins(1);

/// What may also be said instead of an answer, and what we call it.
const EXCUSES: &[(&str, &str)] = &[
    ("cannot reach its state store", "without etcd"),
    ("lost touch with the others", "out of touch"),
];

/// So many people.
fn people(count: usize) -> Vec<i64> {
    (20_000..).take(count).collect()
}

async fn register_key(stage: &Stage, person: i64) {
    let question = stage.ask(person, &format!("/register_key {KEY}")).await;
    let (_, code) = question.split_once("/confirm ").unwrap();
    let (code, _) = code.split_once('\n').unwrap();
    let answer = stage.ask(person, &format!("/confirm {code}")).await;
    assert!(answer.contains("is registered"), "{answer}");
}

fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse().ok().filter(|number| *number > 0);
    Some(number.unwrap_or_else(|| panic!("{name}: a number above 0")))
}

/// Fails unless etcd said that the user may not.
#[track_caller]
fn refused<T>(what: &str, answer: Result<T, etcd_client::Error>) {
    match answer {
        Ok(_) => panic!("{what}: permitted"),
        Err(error) => {
            let said = error.to_string();
            assert!(said.contains("permission denied"), "{what}: {said}");
        }
    }
}
