//! A new device, as the front end sees it from round to round.

use std::time::Duration;

use telegram_dc::DeviceInfo;
use vaultgram::broker::ports::Coordination;

use super::support::{ALICE, BROKER, GET, VALUE, World};

#[tokio::test]
async fn a_device_locks_once_and_is_told_once() {
    let mut world = World::new().await;
    world.admins.insert(ALICE);
    world.settings.lock_on_new_device = true;
    world.settings.watchdog_interval = Duration::from_millis(100);
    let _process = world.start().await;
    world.send(ALICE, "/help");
    world.answer(ALICE, |_| true).await;
    let began = |world: &World| world.coordination.count("watchdog/login") == 1;
    world.until("the first round", began).await;
    let device = DeviceInfo::new("Burglar's Pixel");
    let hash = world.dc.add_authorization(BROKER, device);
    let locked = |world: &World| world.coordination.count("locks/chat") == 1;
    world.until("the lock", locked).await;
    world
        .answer(ALICE, |m| m.text.contains("Burglar's Pixel"))
        .await;
    // As `vaultgram unlock` does it: the device is known by now, and no reason to lock again.
    world.coordination.delete("locks/chat").await.unwrap();
    let look = "account.getAuthorizations";
    let (rounds, sent) = (world.dc.count(look), world.dc.count("messages.sendMessage"));
    world
        .until("more rounds", |world| world.dc.count(look) > rounds + 5)
        .await;
    assert!(!locked(&world));
    assert_eq!(world.dc.count("messages.sendMessage"), sent);
    // Gone, it is forgotten: should it come back, it is new.
    let known = |world: &World| world.coordination.count("watchdog/devices/");
    assert_eq!(known(&world), 1);
    assert!(world.dc.end_authorization(BROKER, hash));
    world
        .until("it is forgotten", |world| known(world) == 0)
        .await;
    world.send(ALICE, GET);
    world.answer(ALICE, |m| m.text.contains(VALUE)).await;
}

#[tokio::test]
async fn alone_a_device_that_says_what_we_do_locks_at_once() {
    let mut world = World::new().await;
    world.settings.lock_on_new_device = true;
    world.settings.watchdog_interval = Duration::from_millis(100);
    let _process = world.start().await;
    let began = |world: &World| world.coordination.count("watchdog/login") == 1;
    world.until("the first round", began).await;
    let _key = world.dc.provision_alike(BROKER);
    let locked = |world: &World| world.coordination.count("locks/chat") == 1;
    world.until("the lock", locked).await;
}
