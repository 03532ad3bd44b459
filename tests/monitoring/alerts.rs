//! Trouble is told: a broken audit, a sealed Vault, a revoked session, a killed broker.

use std::collections::BTreeSet;

use telegram_dc::Revocation;

use crate::hook::Hook;
use crate::prometheus::Prometheus;
use crate::stage::BROKER;
use crate::world::World;

/// Waits until exactly these alerts fire.
async fn fire(world: &World, hook: &Hook, expected: &[&str]) {
    let expected: BTreeSet<_> = expected.iter().map(|it| (*it).to_owned()).collect();
    let told = || {
        let firing = hook.firing();
        let wrong = firing.iter().find(|it| !PASSING.contains(&it.as_str()));
        assert_eq!(wrong, None, "{firing:?} instead of {expected:?}");
        firing == expected
    };
    world
        .stage
        .wait(&format!("{expected:?} is told"), told)
        .await;
}

/// What may fire on the way there: what fired before, and ends.
const PASSING: [&str; 4] = [
    "VaultgramDown",
    "VaultgramAuditFailing",
    "VaultgramVaultSealed",
    "VaultgramTelegramSignedOut",
];

#[tokio::test(flavor = "multi_thread")]
async fn each_trouble_fires_its_alert_at_a_webhook() {
    let mut world = World::start().await;
    let hook = Hook::start();
    let prometheus =
        tokio::task::block_in_place(|| Prometheus::start_with_alerts(&world, hook.address()));

    let (audit, aside) = (world.stage.path("audit.jsonl"), world.stage.path("aside"));
    std::fs::rename(&audit, &aside).unwrap();
    fire(&world, &hook, &["VaultgramAuditFailing"]).await;
    std::fs::rename(&aside, &audit).unwrap();
    fire(&world, &hook, &[]).await;

    tokio::task::block_in_place(|| world.stage.bao.seal());
    fire(&world, &hook, &["VaultgramVaultSealed"]).await;
    tokio::task::block_in_place(|| world.stage.bao.unseal());
    fire(&world, &hook, &[]).await;

    let signed_out = "VaultgramTelegramSignedOut";
    world.stage.dc.revoke(BROKER, Revocation::Revoked);
    fire(&world, &hook, &[signed_out]).await;

    world.stage.broker.take().unwrap().kill();
    fire(&world, &hook, &["VaultgramDown"]).await;
    drop(prometheus);
}
