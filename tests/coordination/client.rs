//! Calls to a real etcd: alone, in a cluster that loses nodes, and where it says no.

use std::time::{Duration, Instant};

use vaultgram::coordination::etcd::kv::{Compare, Event, Kv, KvError, Op};
use vaultgram::coordination::etcd::{EtcdClient, Reach, Tls};
use vaultgram::domain::SecretValue;

use crate::etcd::Etcd;

/// The way to a cluster with certificates, as the user whom the certificate `file` is for.
pub(crate) fn by_certificate(etcd: &Etcd, file: &str) -> Reach {
    let shown = etcd.certificate(file);
    Reach {
        endpoints: etcd.endpoints(),
        tls: Some(Tls {
            authority: etcd.trust(),
            identity: Some((shown.certificate, shown.key)),
        }),
        user: None,
    }
}

fn put(key: &str, value: &[u8]) -> Op {
    Op::Put {
        key: key.to_owned(),
        value: value.to_vec(),
        lease: None,
    }
}

async fn set(client: &EtcdClient, key: &str, value: &[u8]) {
    let done = client.txn(vec![], vec![put(key, value)], vec![]).await;
    assert!(done.unwrap().held, "{key}");
}

/// Does `work` until it is done.
async fn until_done<T, F: Future<Output = Result<T, KvError>>>(work: impl Fn() -> F) -> T {
    let started = Instant::now();
    loop {
        match work().await {
            Ok(done) => return done,
            Err(error) => assert!(started.elapsed() < Duration::from_secs(20), "{error}"),
        }
    }
}

#[tokio::test]
async fn does_what_the_protocol_needs() {
    let etcd = Etcd::start();
    let client = EtcdClient::new(Reach {
        endpoints: etcd.endpoints(),
        tls: None,
        user: None,
    });

    // Conditions, and what is found.
    let absent = || vec![Compare::Absent("/t/a".to_owned())];
    let get = || vec![Op::Get("/t/a".to_owned()), Op::Get("/t/none".to_owned())];
    let done = client
        .txn(absent(), vec![put("/t/a", b"1")], get())
        .await
        .unwrap();
    assert!(done.held && done.found.is_empty());
    let done = client
        .txn(absent(), vec![put("/t/a", b"2")], get())
        .await
        .unwrap();
    let found = done.found[0].clone().unwrap();
    assert_eq!(
        (done.held, found.value.as_slice(), &done.found[1]),
        (false, &b"1"[..], &None)
    );
    for (condition, held) in [
        (Compare::Present("/t/a".to_owned()), true),
        (Compare::Present("/t/none".to_owned()), false),
        (Compare::At("/t/a".to_owned(), found.changed), true),
        (Compare::At("/t/a".to_owned(), found.changed + 1), false),
    ] {
        let done = client
            .txn(vec![condition.clone()], vec![], vec![])
            .await
            .unwrap();
        assert_eq!(done.held, held, "{condition:?}");
    }

    // Changes are seen, also those from before.
    let mut watch = client.watch("/t/", found.changed).await.unwrap();
    let Event::Put(seen) = watch.next().await.unwrap().remove(0) else {
        panic!("not a put");
    };
    assert_eq!(seen, found);
    let gone = vec![Op::Delete("/t/a".to_owned())];
    let revision = client.txn(vec![], gone, vec![]).await.unwrap().revision;
    let key = "/t/a".to_owned();
    assert_eq!(watch.next().await.unwrap(), [Event::Gone { key, revision }]);
    // Silence is no end.
    let silence = tokio::time::timeout(Duration::from_secs(4), watch.next()).await;
    assert!(silence.is_err(), "{silence:?}");
    set(&client, "/t/b", b"").await;
    assert!(matches!(&watch.next().await.unwrap()[..], [Event::Put(it)] if it.key == "/t/b"));

    // More than a page, of which some is larger than gRPC lets pass by itself.
    for number in 0..1203 {
        let value = vec![7; if number < 100 { 64 * 1024 } else { 1 }];
        set(&client, &format!("/p/{number:04}"), &value).await;
    }
    set(&client, "/p0", b"beside").await;
    let range = client.range("/p/").await.unwrap();
    let keys: Vec<_> = range.entries.iter().map(|it| it.key.clone()).collect();
    let expected: Vec<_> = (0..1203).map(|number| format!("/p/{number:04}")).collect();
    assert_eq!(keys, expected);
    assert_eq!(range.entries[99].value.len(), 64 * 1024);

    // Leases.
    let lease = client.grant(Duration::from_secs(2)).await.unwrap();
    let key = "/t/leased".to_owned();
    let leased = |lease| Op::Put {
        key: key.clone(),
        value: vec![],
        lease: Some(lease),
    };
    client
        .txn(vec![], vec![leased(lease)], vec![])
        .await
        .unwrap();
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(client.keep_alive(lease).await, Ok(true));
    }
    assert_eq!(
        client.range(&key).await.unwrap().entries[0].lease,
        Some(lease)
    );
    client.revoke(lease).await.unwrap();
    client.revoke(lease).await.unwrap();
    assert_eq!(client.keep_alive(lease).await, Ok(false));
    assert_eq!(client.keep_alive(12345).await, Ok(false));
    assert_eq!(client.range(&key).await.unwrap().entries, []);
    let gone = (leader + 1) % 3;
    let endpoint = etcd.endpoints().remove(gone);
    etcd.kill(gone);
    let looked = client.examine("/vaultgram/").await.unwrap();
    let warnings = looked.warnings("/vaultgram/").join("; ");
    assert!(
        warnings.contains(&format!("etcd at {endpoint}: ")),
        "{warnings}"
    );
    assert_eq!(client.range("/").await.unwrap().revision, revision);
}
