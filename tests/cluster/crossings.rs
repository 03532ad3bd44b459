//! Vault and vaultgram share a cluster, and neither reaches what is the other's, in any way.

use std::collections::BTreeSet;
use std::time::Duration;

use etcd_client::{
    AlarmAction, AlarmType, Client, Compare, CompareOp, DeleteOptions, GetOptions,
    LeaseTimeToLiveOptions, Permission, PutOptions, Txn, TxnOp, WatchOptions,
};

use crate::etcd::Etcd;
use crate::{grants, refused};

#[tokio::test(flavor = "multi_thread")]
async fn neither_reaches_what_is_the_others() {
    let etcd = tokio::task::block_in_place(Etcd::start_cluster);
    grants::apply(&etcd).await;
    let mut vault = grants::client(&etcd, "vault").await;
    let mut broker = grants::client(&etcd, "vaultgram").await;
    for (user, own, theirs) in [
        (&mut vault, "/vault/", "/vaultgram/"),
        (&mut broker, "/vaultgram/", "/vault/"),
    ] {
        does_its_own(user, own).await;
        for beyond in [
            theirs,
            "/",
            "/vaul",
            "/vault",
            "/vaultgram",
            "vaultgram/",
            "/vaultgrax/",
        ] {
            may_not(user, own, beyond).await;
        }
    }
    // One range, one transaction or one lease over both.
    for (mut user, mut other, own, theirs) in [
        (vault.clone(), broker.clone(), "/vault/", "/vaultgram/"),
        (broker, vault, "/vaultgram/", "/vault/"),
    ] {
        ranges_over_both(&mut user).await;
        transactions_over_both(&mut user, own, theirs).await;
        let lock = user.lock(format!("{theirs}lock"), None).await;
        refused("the other's lock", lock);
        leases(&mut user, &mut other, own, theirs).await;
        administration(&mut user, theirs).await;
    }
}

async fn does_its_own(user: &mut Client, own: &str) {
    let key = format!("{own}key");
    user.put(key.as_str(), "value", None).await.unwrap();
    let read = user.get(own, Some(GetOptions::new().with_prefix())).await;
    assert_eq!(read.unwrap().kvs()[0].value(), b"value");
    let txn = Txn::new()
        .when([Compare::value(key.as_str(), CompareOp::Equal, "value")])
        .and_then([TxnOp::put(key.as_str(), "other", None)]);
    assert!(user.txn(txn).await.unwrap().succeeded());
    let watched = watch(user, own, Some(WatchOptions::new().with_prefix())).await;
    watched.unwrap();
    assert_eq!(user.delete(key, None).await.unwrap().deleted(), 1);
}

/// Everything about `beyond` and the keys under it.
async fn may_not(user: &mut Client, own: &str, beyond: &str) {
    let under = format!("{beyond}key");
    let what = |how: &str| format!("{own}: {how} {beyond}");
    for key in [beyond, under.as_str()] {
        // Only the prefix is given, so not even its first part as a key.
        refused(&what("get"), user.get(key, None).await);
        refused(&what("put"), user.put(key, "x", None).await);
        refused(&what("delete"), user.delete(key, None).await);
        refused(&what("watch"), watch(user, key, None).await);
        let prefixed = GetOptions::new().with_prefix();
        for options in [
            prefixed.clone(),
            prefixed.clone().with_count_only(),
            prefixed.clone().with_keys_only(),
            prefixed.with_serializable(),
        ] {
            refused(&what("list"), user.get(key, Some(options)).await);
        }
        let prefixed = DeleteOptions::new().with_prefix().with_prev_key();
        refused(&what("clear"), user.delete(key, Some(prefixed)).await);
        let prefixed = WatchOptions::new().with_prefix().with_prev_key();
        refused(&what("watch all"), watch(user, key, Some(prefixed)).await);
        let replaced = PutOptions::new().with_prev_key();
        refused(&what("replace"), user.put(key, "x", Some(replaced)).await);
    }
}

async fn ranges_over_both(user: &mut Client) {
    for (from, to) in [("/vault/", "/vaultgram0"), ("/vault/", "0"), ("/", "0")] {
        let over = GetOptions::new().with_range(to);
        refused("a range over both", user.get(from, Some(over)).await);
        let over = DeleteOptions::new().with_range(to);
        refused("a deletion over both", user.delete(from, Some(over)).await);
        let over = WatchOptions::new().with_range(to);
        refused("a watch over both", watch(user, from, Some(over)).await);
    }
    let all = GetOptions::new().with_all_keys();
    refused("all keys", user.get("", Some(all)).await);
    let rest = GetOptions::new().with_from_key();
    refused(
        "all from the first of its own",
        user.get("/vaultgram/", Some(rest)).await,
    );
}

async fn transactions_over_both(user: &mut Client, own: &str, theirs: &str) {
    let (mine, its) = (format!("{own}key"), format!("{theirs}key"));
    let put = |key: &str| TxnOp::put(key, "x", None);
    let get = |key: &str| TxnOp::get(key, None);
    let delete = |key: &str| TxnOp::delete(key, None);
    let absent = |key: &str| Compare::create_revision(key, CompareOp::Equal, 0);
    for (what, txn) in [
        (
            "a comparison",
            Txn::new().when([absent(&its)]).and_then([put(&mine)]),
        ),
        ("a second put", Txn::new().and_then([put(&mine), put(&its)])),
        ("a second get", Txn::new().and_then([get(&mine), get(&its)])),
        (
            "a second delete",
            Txn::new().and_then([put(&mine), delete(&its)]),
        ),
        (
            // Though it is not what happens.
            "the other branch",
            Txn::new()
                .when([absent(&mine)])
                .and_then([get(&mine)])
                .or_else([get(&its)]),
        ),
    ] {
        refused(what, user.txn(txn).await);
        let left = user.get(mine.as_str(), None).await.unwrap();
        assert!(left.kvs().is_empty(), "{what}: nothing of it happens");
    }
}

async fn leases(user: &mut Client, other: &mut Client, own: &str, theirs: &str) {
    let lease = other.lease_grant(60, None).await.unwrap().id();
    let with = || Some(PutOptions::new().with_lease(lease));
    let its = format!("{theirs}leased");
    other.put(its.as_str(), "x", with()).await.unwrap();

    // To be ended by whoever ends the other's.
    let mine = format!("{own}leased");
    refused(
        "a key on the other's lease",
        user.put(mine, "x", with()).await,
    );
    refused(
        "the end of the other's lease",
        user.lease_revoke(lease).await,
    );
    let left = other.get(its, None).await.unwrap();
    assert_eq!(left.count(), 1);
    other.lease_revoke(lease).await.unwrap();
}

/// What is for root alone.
async fn administration(user: &mut Client, theirs: &str) {
    let node = ["https://127.0.0.1:1"];
    refused("a node more", user.member_add(node, None).await);
    refused("a node less", user.member_remove(1).await);
    refused("the users", user.user_list().await);
    refused("another user", user.user_get("root").await);
    refused("a new user", user.user_add("new", "password", None).await);
    refused(
        "a password",
        user.user_change_password("root", "password").await,
    );
    refused("a role more", user.user_grant_role("vault", "root").await);
    refused("the roles", user.role_list().await);
    refused(
        "the other's role",
        user.role_get(theirs.trim_matches('/')).await,
    );
    refused("a new role", user.role_add("new").await);
    let grant = Permission::read_write("/").with_prefix();
    refused("a grant", user.role_grant_permission("vault", grant).await);
    refused("the end of all checks", user.auth_disable().await);
    refused("defragmenting", user.defragment().await);
    refused("a hash of everything", user.hash().await);
    refused("a hash of the keys", user.hash_kv(0).await);
    let snapshot = match user.snapshot().await {
        Ok(mut stream) => stream.message().await,
        Err(error) => Err(error),
    };
    refused("a copy of everything", snapshot);
}

/// So that the README says what is so: with an etcd that checks these, the rows below and there go.
#[tokio::test(flavor = "multi_thread")]
async fn what_this_etcd_does_not_check() {
    let etcd = tokio::task::block_in_place(Etcd::start_cluster);
    grants::apply(&etcd).await;
    let mut vault = grants::client(&etcd, "vault").await;
    let mut broker = grants::client(&etcd, "vaultgram").await;
    let version = vault.status().await.unwrap().version().to_owned();
    assert!(
        version.starts_with("3.4."),
        "look at all of this again: etcd {version}"
    );

    // GHSA-rfx7-8w68-q57q: whatever stands in a transaction inside another.
    vault
        .put("/vault/core/key", "of vault", None)
        .await
        .unwrap();
    let inside = |operation: TxnOp| {
        let inner = Txn::new().and_then([operation]);
        Txn::new().and_then([TxnOp::txn(inner)])
    };
    for operation in [
        TxnOp::get("/vault/core/key", None),
        TxnOp::put("/vault/core/key", "of vaultgram", None),
    ] {
        assert!(broker.txn(inside(operation)).await.unwrap().succeeded());
    }
    let read = vault.get("/vault/core/key", None).await.unwrap();
    assert_eq!(read.kvs()[0].value(), b"of vaultgram");

    // Leases: which there are, the names of the keys on each, and their end while none is on one.
    let lease = vault.lease_grant(60, None).await.unwrap().id();
    let with = PutOptions::new().with_lease(lease);
    vault
        .put("/vault/core/leased", "x", Some(with))
        .await
        .unwrap();
    let listed = broker.leases().await.unwrap();
    assert!(listed.leases().iter().any(|one| one.id() == lease));
    let keys = LeaseTimeToLiveOptions::new().with_keys();
    let told = broker.lease_time_to_live(lease, Some(keys)).await.unwrap();
    assert_eq!(told.keys(), [b"/vault/core/leased".to_vec()]);
    let bare = vault.lease_grant(60, None).await.unwrap().id();
    broker.lease_revoke(bare).await.unwrap();

    // Forgetting history, and stopping all writes.
    let now = vault.get("/vault/", None).await.unwrap();
    let revision = now.header().unwrap().revision();
    broker.compact(revision, None).await.unwrap();
    let full = AlarmType::Nospace;
    broker
        .alarm(AlarmAction::Activate, full, None)
        .await
        .unwrap();
    let stopped = vault.put("/vault/core/key", "x", None).await.unwrap_err();
    assert!(stopped.to_string().contains("space exceeded"), "{stopped}");
    broker
        .alarm(AlarmAction::Deactivate, full, None)
        .await
        .unwrap();

    // Last, as nothing is right after it: nodes that were not asked themselves leave reads out of
    // a transaction before they look whether it is permitted, and so carry this one out alone.
    let (mine, its) = ("/vaultgram/torn", "/vault/core/key");
    let torn = Txn::new().and_then([TxnOp::put(mine, "x", None), TxnOp::get(its, None)]);
    refused("a write and a read of the other's", broker.txn(torn).await);
    let mut seen = BTreeSet::new();
    for endpoint in etcd.endpoints() {
        let certificate = etcd.certificate("vaultgram");
        let client = grants::client_at(&etcd, &[endpoint], Some(&certificate)).await;
        let read = client.unwrap().get(mine, None).await.unwrap();
        seen.insert(read.count());
    }
    assert_eq!(seen, BTreeSet::from([0, 1]), "the nodes agree");
}

/// Watches until etcd says that it does, or why not.
async fn watch(
    user: &mut Client,
    key: &str,
    options: Option<WatchOptions>,
) -> Result<(), etcd_client::Error> {
    let mut stream = user.watch(key, options).await?;
    loop {
        let news = tokio::time::timeout(Duration::from_secs(10), stream.message());
        let Some(news) = news.await.expect("etcd answers")? else {
            return Ok(());
        };
        if news.canceled() {
            return Err(etcd_client::Error::WatchError(
                news.cancel_reason().to_owned(),
            ));
        }
        if news.created() {
            return Ok(());
        }
    }
}
