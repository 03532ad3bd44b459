//! Signed requests that come late, early, or twice.

use std::sync::atomic::Ordering;

use tokio_util::task::TaskTracker;

use super::signature::{BODY, right, sign};
use super::signing_keys::{FIRST, World};
use super::world::NOW;
use crate::identity::Signed;

#[tokio::test]
async fn signatures_are_for_five_minutes_by_our_clock() {
    for (ahead, expected) in [
        (-301, "expired"),
        (-300, "ok"),
        (300, "ok"),
        (301, "not_yet"),
        (-NOW, "expired"),
        (NOW * 99, "not_yet"),
    ] {
        let timestamp = (NOW + ahead).to_string();
        let signatures = sign(FIRST, "m1", &timestamp, BODY);
        let request = Signed {
            timestamp: &timestamp,
            signatures: &signatures,
            ..right()
        };
        assert_eq!(World::new().name(request).await, expected, "{ahead}");
    }
}

#[tokio::test]
async fn an_id_counts_once_and_only_its_owner_uses_it_up() {
    let world = World::new();
    let forged = Signed {
        signatures: "v1,AAAA",
        ..right()
    };
    assert_eq!(world.name(forged).await, "signature");
    assert_eq!(world.name(right()).await, "ok");
    assert_eq!(world.name(right()).await, "replayed");
    let told = world.name(forged).await;
    assert_eq!(told, "signature", "which tells nothing of the id");
    let signatures = sign(FIRST, "m1", right().timestamp, &[b"x"]);
    let another = Signed {
        signatures: &signatures,
        content: &[b"x"],
        ..right()
    };
    assert_eq!(world.name(another).await, "replayed");
}

#[tokio::test]
async fn requests_may_come_in_any_order() {
    let world = World::new();
    assert_eq!(world.name(right()).await, "ok");
    let earlier = (NOW - 200).to_string();
    let signatures = sign(FIRST, "m0", &earlier, BODY);
    let request = Signed {
        id: "m0",
        timestamp: &earlier,
        signatures: &signatures,
        ..right()
    };
    assert_eq!(world.name(request).await, "ok");
    assert_eq!(world.name(request).await, "replayed");
}

#[tokio::test]
async fn nobody_is_taken_while_nobody_can_tell() {
    let world = World::new();
    world.memory.broken.store(true, Ordering::SeqCst);
    assert_eq!(world.name(right()).await, "store");
}

#[tokio::test]
async fn of_many_at_the_same_moment_one_is_taken() {
    let world = World::new();
    let all: Vec<_> = (0..8)
        .map(|_| {
            let signatures = world.signatures.clone();
            TaskTracker::new().spawn(async move { signatures.verify(right()).await })
        })
        .collect();
    let mut taken = 0;
    for one in all {
        taken += usize::from(one.await.unwrap().is_ok());
    }
    assert_eq!(taken, 1);
}
