//! A process that ends midway loses nothing and does nothing twice.

use std::sync::atomic::Ordering;
use std::time::Duration;

use telegram_dc::Revocation;

use super::changes::{KEY, code};
use super::support::{ALICE, BROKER, GET, World, open_when_free, until};

#[tokio::test]
async fn killed_with_a_queue_the_next_run_answers_the_rest_once() {
    const ALL: usize = 600;
    let mut world = World::new().await;
    world.settings.command_age = Duration::from_mins(10);
    let process = world.start().await;
    world.store.stuck.store(true, Ordering::SeqCst);
    for _ in 0..ALL {
        world.send(ALICE, GET);
    }
    let reads = || world.store.reads.load(Ordering::SeqCst);
    until("as many as are worked on at once", || reads() == 256).await;
    // The others are most likely in the queue by then; if not, the next run fetches them anyway.
    tokio::time::sleep(Duration::from_millis(500)).await;
    process.kill().await;
    drop(open_when_free(&world.session_path()).await);
    world.store.stuck.store(false, Ordering::SeqCst);
    let begun = world.coordination.count("claims/");
    assert_eq!(begun, 256);

    let _process = world.start().await;
    world
        .until("the rest", |world| {
            world.answers(ALICE).len() >= ALL - begun
        })
        .await;
    world.quiet().await;
    assert_eq!(world.answers(ALICE).len(), ALL - begun);
    assert_eq!(reads(), ALL);
}

#[tokio::test]
async fn what_the_broker_began_is_on_record_when_the_front_end_ends() {
    let mut world = World::new().await;
    world.settings.probe_interval = Duration::from_millis(100);
    let process = world.start().await;
    world.store.slow.store(true, Ordering::SeqCst);
    world.send(ALICE, GET);
    until("the read", || world.store.reads.load(Ordering::SeqCst) == 1).await;
    world.dc.revoke(BROKER, Revocation::Revoked);
    process.end().await.unwrap_err();
    let recorded = world.audit.all.lock().unwrap().len();
    assert_eq!(recorded, 2, "decision and outcome");
}

#[tokio::test]
async fn so_are_questions_and_keys() {
    for question in [true, false] {
        let mut world = World::keeping().await;
        world.settings.probe_interval = Duration::from_millis(100);
        let process = world.start().await;
        let command = if question {
            "/delete_secret django/database".to_owned()
        } else {
            let asked = world.ask(ALICE, &format!("/register_key {KEY}")).await;
            format!("/confirm {}", code(&asked.text))
        };
        world.audit.slow.store(true, Ordering::SeqCst);
        world.send(ALICE, command);
        let begun = || world.audit.begun.load(Ordering::SeqCst);
        until("the record", || begun() == 1).await;
        world.dc.revoke(BROKER, Revocation::Revoked);
        process.end().await.unwrap_err();
        let recorded = world.audit.all.lock().unwrap().len();
        assert_eq!(recorded, if question { 2 } else { 1 });
        let keys = world.coordination.count("keys/");
        assert_eq!(keys, usize::from(!question));
    }
}
