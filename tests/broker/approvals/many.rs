//! A thousand requests that wait.

use std::time::{Duration, Instant};

use vaultgram::broker::ports::Coordination;
use vaultgram::broker::{ApprovalRules, Filter};

use super::*;

const MANY: usize = 1000;
/// Without optimisation everything takes far longer, and other tests run beside this one.
const LIMIT: Duration = if cfg!(debug_assertions) {
    Duration::from_secs(2)
} else {
    Duration::from_millis(50)
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_waiting_requests_slow_nobody_down() {
    let mut world = world();
    world.approvals = ApprovalRules {
        per_person: MANY,
        per_day: u32::MAX,
        ..ApprovalRules::default()
    };
    let broker = world.broker();
    let some = open(
        broker
            .open_approval(&read(&world, ALICE.0, "many/x"), "")
            .await,
    );
    let key = format!("approvals/open/{}", some.id);
    let stored = world.coordination.get(&key).await.unwrap().unwrap();
    let stored = String::from_utf8(stored).unwrap();
    // To open them one by one would only take longer.
    for number in 1..MANY {
        let id = format!("{number:06}");
        let other = stored.replace(some.id.as_str(), &id);
        let other = other.replace("many/x", &format!("many/{number}"));
        let key = format!("approvals/open/{id}");
        world
            .coordination
            .put(&key, other.as_bytes())
            .await
            .unwrap();
    }
    // As a process finds them that has never seen them.
    let broker = world.broker();
    let bob = on_telegram(BOB.0);
    let mut taken = vec![];
    let mut measure = |what: &str, begun: Instant| taken.push((what.to_owned(), begun.elapsed()));

    let begun = Instant::now();
    assert_eq!(
        broker.approvals(&bob, Filter::Pending).await.unwrap().len(),
        MANY
    );
    measure("listing, the first time", begun);
    let begun = Instant::now();
    assert_eq!(
        broker.approvals(&bob, Filter::Pending).await.unwrap().len(),
        MANY
    );
    measure("listing", begun);
    let begun = Instant::now();
    approve(&world, &broker, BOB.0, &some).await.unwrap();
    measure("voting", begun);
    let begun = Instant::now();
    assert!(released(&world, &broker, "many/x").await);
    measure("reading by a grant among them", begun);
    let begun = Instant::now();
    broker.tend_approvals().await.unwrap();
    measure("a look at them", begun);

    world.clock.pass(Duration::from_hours(25));
    world.audit.take();
    let begun = Instant::now();
    broker.tend_approvals().await.unwrap();
    measure("expiry of all", begun);
    assert_eq!(steps(&world).len(), MANY);
    for (what, took) in &taken {
        eprintln!("{what}: {:.1} ms", took.as_secs_f64() * 1000.0);
    }
    for (what, took) in taken {
        assert!(took < LIMIT, "{what} took {took:?}");
    }
}
