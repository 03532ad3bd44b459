//! Vault sealed, gone, or with our token revoked: said plainly, and mended without help.

use std::time::Duration;

use crate::stage::{ALICE, PASSWORD, ROLE, Stage};
use crate::{serving, setting};

const QUESTION: &str = "/get_secret django/database";

/// Asks until the secret comes; how often something else came first.
async fn recovers(stage: &Stage) {
    for _ in 0..60 {
        if stage.ask(ALICE, QUESTION).await.contains(PASSWORD) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("vaultgram does not recover; log:\n{}", stage.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn sealed_is_said_and_mends() {
    let stage = serving().await;
    recovers(&stage).await;
    tokio::task::block_in_place(|| stage.bao.seal());
    let answer = stage.ask(ALICE, QUESTION).await;
    assert!(answer.contains("sealed"), "{answer}");
    let status = stage.ask(ALICE, "/status").await;
    assert!(status.contains("sealed"), "{status}");
    tokio::task::block_in_place(|| stage.bao.unseal());
    recovers(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_without_vault_and_survives_its_loss() {
    let mut stage = Stage::build(setting()).await;
    stage.bao.kill();
    stage.start().await;
    let answer = stage.ask(ALICE, QUESTION).await;
    assert!(answer.contains("cannot be reached"), "{answer}");
    tokio::task::block_in_place(|| {
        stage.bao.restart_sealed();
        stage.bao.unseal();
    });
    recovers(&stage).await;

    stage.bao.kill();
    let answer = stage.ask(ALICE, QUESTION).await;
    assert!(answer.contains("cannot be reached"), "{answer}");
    tokio::time::sleep(Duration::from_secs(20)).await;
    tokio::task::block_in_place(|| {
        stage.bao.restart_sealed();
        stage.bao.unseal();
    });
    recovers(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_replaced() {
    let stage = serving().await;
    recovers(&stage).await;
    tokio::task::block_in_place(|| stage.bao.revoke_tokens_of(ROLE));
    let answer = stage.ask(ALICE, QUESTION).await;
    assert!(
        answer.contains(PASSWORD),
        "the very next question is answered: {answer}"
    );
}
