//! Several brokers on one store, at once.

use std::sync::Arc;

use tokio_util::task::TaskTracker;
use vaultgram::domain::approval::State;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn votes_at_once_all_count_and_each_once() {
    for _ in 0..20 {
        let world = Arc::new(world());
        let approval = request(&world, &world.broker(), "two").await;
        let tasks = TaskTracker::new();
        let voting: Vec<_> = [BOB.0, BOB.0, CAROL, DAN]
            .into_iter()
            .map(|who| {
                let (world, approval) = (world.clone(), approval.clone());
                let broker = world.broker();
                tasks.spawn(async move { approve(&world, &broker, who, &approval).await.is_ok() })
            })
            .collect();
        for one in voting {
            one.await.unwrap();
        }
        let after = now(&world.broker(), &approval).await;
        assert_eq!(after.state, State::Granted);
        let mut people: Vec<_> = after.votes.iter().map(|vote| vote.person.clone()).collect();
        people.sort();
        people.dedup();
        assert_eq!(people.len(), after.votes.len(), "{people:?}");
        let recorded = steps(&world);
        let count = |step| recorded.iter().filter(|it| **it == step).count();
        assert_eq!(count("granted"), 1, "{recorded:?}");
        // What came too late to count is on record, and that it did.
        let counted = count("voted") - count("failed");
        assert_eq!(counted, after.votes.len(), "{recorded:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_uses_at_once_one_is_made() {
    for _ in 0..10 {
        let world = Arc::new(world());
        granted(&world, &world.broker(), "once", &[BOB.0]).await;
        let tasks = TaskTracker::new();
        let asking: Vec<_> = (0..16)
            .map(|_| {
                let (world, broker) = (world.clone(), world.broker());
                tasks.spawn(async move { released(&world, &broker, "once").await })
            })
            .collect();
        let mut got = 0;
        for one in asking {
            got += usize::from(one.await.unwrap());
        }
        assert_eq!(got, 1);
        let recorded = steps(&world);
        assert_eq!(
            recorded.iter().filter(|step| **step == "released").count(),
            1
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_same_request_opened_at_once_few_stay() {
    let world = Arc::new(world());
    let broker = world.broker();
    let tasks = TaskTracker::new();
    let asking: Vec<_> = (0..16)
        .map(|_| {
            let (world, broker) = (world.clone(), broker.clone());
            tasks.spawn(async move { waiting(&world, &broker, "one").await })
        })
        .collect();
    for one in asking {
        one.await.unwrap();
    }
    let open = broker.approvals_for_notices().await.unwrap();
    assert_eq!(open.len(), 1, "one process opens one at a time");
}
