//! What Vault's etcd backend does, done as the layout's user `vault`: all of it must work, since
//! no Vault is there to try it.

use std::time::Duration;

use etcd_client::{
    Client, Compare, CompareOp, EventType, GetOptions, PutOptions, SortOrder, SortTarget, Txn,
    TxnOp, TxnOpResponse,
};

use crate::etcd::Etcd;
use crate::{grants, refused};

/// How long Vault's lock outlives the Vault that held it.
const LOCK_TTL: i64 = 15;
const LOCK: &str = "/vault/core/lock";

#[tokio::test(flavor = "multi_thread")]
async fn vault_finds_what_its_backend_needs() {
    let mut etcd = tokio::task::block_in_place(Etcd::start_cluster);
    grants::apply(&etcd).await;
    let mut vault = grants::client(&etcd, "vault").await;

    // `sync`: it asks once which nodes there are.
    let members = vault.member_list().await.unwrap();
    let urls = members
        .members()
        .iter()
        .flat_map(|member| member.client_urls().to_vec());
    let mut urls: Vec<_> = urls.collect();
    urls.sort();
    let mut endpoints = etcd.endpoints();
    endpoints.sort();
    assert_eq!(urls, endpoints);

    storage(&mut vault).await;
    let mut other = grants::client(&etcd, "vault").await;
    lock(&mut vault, &mut other).await;

    // And all that with one node less, whichever it was.
    let leader = tokio::task::block_in_place(|| etcd.leader());
    tokio::task::block_in_place(|| {
        etcd.kill(leader);
        etcd.wait_until_healthy();
    });
    // Go's client goes on to another node by itself; this one does not.
    let mut left = etcd.endpoints();
    left.remove(leader);
    let certificate = etcd.certificate("vault");
    let client = grants::client_at(&etcd, &left, Some(&certificate));
    storage(&mut client.await.unwrap()).await;
}

/// `Put`, `Get`, `List` and `Delete` of its storage.
async fn storage(vault: &mut Client) {
    for (key, value) in [
        ("sys/token/id/1", "a"),
        ("sys/token/id/2", "b"),
        ("core/seal", "c"),
    ] {
        vault
            .put(format!("/vault/{key}"), value, None)
            .await
            .unwrap();
    }
    let read = vault.get("/vault/core/seal", None).await.unwrap();
    assert_eq!(read.kvs()[0].value(), b"c");
    assert!(
        vault
            .get("/vault/core/none", None)
            .await
            .unwrap()
            .kvs()
            .is_empty()
    );

    let prefix = || Some(GetOptions::new().with_prefix());
    let listed = vault.get("/vault/sys/token/", prefix()).await.unwrap();
    assert_eq!(listed.count(), 2);
    assert_eq!(vault.get("/vault/", prefix()).await.unwrap().count(), 3);
    // Without the slash it would hold vaultgram's too.
    refused("/vault", vault.get("/vault", prefix()).await);

    for key in ["sys/token/id/1", "sys/token/id/2", "core/seal"] {
        let deleted = vault.delete(format!("/vault/{key}"), None).await.unwrap();
        assert_eq!(deleted.deleted(), 1);
    }
    assert_eq!(vault.get("/vault/", prefix()).await.unwrap().count(), 0);
}

/// A Vault becomes active, a second one waits, and follows when the first steps down.
async fn lock(first: &mut Client, second: &mut Client) {
    let (mine, lease) = queue(first).await;
    assert_eq!(owner(first).await, mine, "nobody was there before");
    let put = PutOptions::new().with_lease(lease);
    first
        .put(mine.as_str(), "https://first:8200", Some(put))
        .await
        .unwrap();
    let (mut keeper, mut kept) = first.lease_keep_alive(lease).await.unwrap();
    keeper.keep_alive().await.unwrap();
    assert_eq!(kept.message().await.unwrap().unwrap().ttl(), LOCK_TTL);

    let (waiting, its_lease) = queue(second).await;
    assert_eq!(owner(second).await, mine);
    let held = second.get(mine.as_str(), None).await.unwrap();
    assert_eq!(held.kvs()[0].value(), b"https://first:8200");
    let mut watch = second.watch(mine.as_str(), None).await.unwrap();

    first.delete(mine.as_str(), None).await.unwrap();
    let gone = async {
        loop {
            let news = watch.message().await.unwrap().unwrap();
            assert!(!news.canceled(), "{}", news.cancel_reason());
            let mut events = news.events().iter();
            if events.any(|event| event.event_type() == EventType::Delete) {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .unwrap();
    assert_eq!(owner(second).await, waiting);

    // Its end frees the lock, as that of its time would.
    second.lease_revoke(its_lease).await.unwrap();
    assert!(
        first
            .get(waiting.as_str(), None)
            .await
            .unwrap()
            .kvs()
            .is_empty()
    );
    first.lease_revoke(lease).await.unwrap();
}

/// Queues for the lock as Go's `concurrency.Mutex` does; the key and the lease.
async fn queue(vault: &mut Client) -> (String, i64) {
    let lease = vault.lease_grant(LOCK_TTL, None).await.unwrap().id();
    let mine = format!("{LOCK}/{lease:x}");
    let put = PutOptions::new().with_lease(lease);
    let first = GetOptions::new()
        .with_prefix()
        .with_sort(SortTarget::Create, SortOrder::Ascend)
        .with_limit(1);
    let ask = |options| TxnOp::get(format!("{LOCK}/"), options);
    let txn = Txn::new()
        .when([Compare::create_revision(mine.as_str(), CompareOp::Equal, 0)])
        .and_then([
            TxnOp::put(mine.as_str(), "", Some(put)),
            ask(Some(first.clone())),
        ])
        .or_else([TxnOp::get(mine.as_str(), None), ask(Some(first))]);
    let done = vault.txn(txn).await.unwrap();
    assert!(done.succeeded());
    let answers = done.op_responses();
    assert!(matches!(answers[1], TxnOpResponse::Get(_)));
    (mine, lease)
}

/// Who holds the lock.
async fn owner(vault: &mut Client) -> String {
    let oldest = GetOptions::new()
        .with_prefix()
        .with_sort(SortTarget::Create, SortOrder::Ascend)
        .with_limit(1);
    let found = vault.get(format!("{LOCK}/"), Some(oldest)).await.unwrap();
    found.kvs()[0].key_str().unwrap().to_owned()
}
