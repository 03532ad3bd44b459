//! Calls to a real etcd: alone, in a cluster that loses nodes, and where it says no.

use std::time::Duration;

use tokio::time::Instant;
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
    let late = client.txn(vec![], vec![leased(lease)], vec![]).await;
    assert_eq!(late, Err(KvError::NoLease));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn goes_on_when_any_node_is_killed_or_stands_still() {
    let mut etcd = Etcd::start_cluster();
    let client = EtcdClient::new(by_certificate(&etcd, "root"));
    let lease = client.grant(Duration::from_secs(10)).await.unwrap();
    for round in 0..4 {
        let node = etcd.leader();
        let revision = client.range("/t/").await.unwrap().revision;
        let mut watch = client.watch("/t/", revision + 1).await.unwrap();
        assert_eq!(client.keep_alive(lease).await, Ok(true));
        if round % 2 == 0 {
            etcd.kill(node);
        } else {
            etcd.pause(node);
        }
        assert!(until_done(|| client.keep_alive(lease)).await, "{round}");
        let key = format!("/t/{round}");
        until_done(|| client.txn(vec![], vec![put(&key, b"x")], vec![])).await;
        // It shows there, or an error says that it must be looked for anew; nothing waits for ever.
        let seen = tokio::time::timeout(Duration::from_secs(5), watch.next()).await;
        if seen.unwrap().is_err() {
            let mut watch = until_done(|| client.watch("/t/", revision + 1)).await;
            assert!(watch.next().await.is_ok(), "{round}");
        }
        if round % 2 == 0 {
            etcd.restart(node);
        } else {
            etcd.resume(node);
        }
        etcd.wait_until_healthy();
    }
    assert_eq!(client.range("/t/").await.unwrap().entries.len(), 4);
}

#[tokio::test]
async fn what_cannot_be_reached_was_not_done() {
    let etcd = Etcd::start();
    let mut endpoints = vec!["http://127.0.0.1:1".to_owned()];
    let reach = |endpoints: &[String]| Reach {
        endpoints: endpoints.to_vec(),
        tls: None,
        user: None,
    };
    let error = EtcdClient::new(reach(&endpoints))
        .range("/t/")
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, KvError::Refused(_)), "{error:?}");
    assert!(
        text.contains("http://127.0.0.1:1: ") && text.contains("refused"),
        "{text}"
    );
    // One of several is enough, whichever is asked first.
    endpoints.extend(etcd.endpoints());
    for _ in 0..8 {
        set(&EtcdClient::new(reach(&endpoints)), "/t/a", b"").await;
    }
    // Nobody knows of what was asked of one that stands still.
    let client = EtcdClient::new(reach(&etcd.endpoints()));
    set(&client, "/t/a", b"").await;
    etcd.pause(0);
    // Not all of its threads stand at once.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let started = Instant::now();
    let unclear = client
        .txn(vec![], vec![put("/t/b", b"")], vec![])
        .await
        .unwrap_err();
    assert!(matches!(unclear, KvError::Unclear(_)), "{unclear:?}");
    // A second try would have taken as long again, and so on for four seconds.
    let took = started.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    etcd.resume(0);
}

#[tokio::test]
async fn certificates_that_do_not_do_are_told() {
    let etcd = Etcd::start_cluster();
    let told = async |reach: Reach, wanted: &str| {
        let client = EtcdClient::new(reach);
        let mut error = String::new();
        // On a busy machine it may be told too late.
        for _ in 0..5 {
            error = client.range("/t/").await.unwrap_err().to_string();
            if error.contains(wanted) {
                return;
            }
        }
        panic!("{wanted} is not in: {error}");
    };
    let change = |change: fn(&mut Tls)| {
        let mut reach = by_certificate(&etcd, "root");
        reach.tls.iter_mut().for_each(change);
        reach
    };
    let refused = "it does not take our certificate";
    told(change(|tls| tls.identity = None), refused).await;
    let mut forged = by_certificate(&etcd, "root");
    let shown = etcd.forged_certificate("root");
    forged.tls.iter_mut().for_each(|tls| {
        tls.identity = Some((shown.certificate.clone(), shown.key.clone()));
    });
    assert!(forged.check().await.is_ok());
    told(forged, refused).await;
    let missing = change(|tls| tls.authority = "/nonexistent.pem".into());
    let said = "/nonexistent.pem: cannot be read: No such file";
    assert!(missing.check().await.unwrap_err().contains(said));
    told(missing, said).await;
    let mut mistrusted = by_certificate(&etcd, "root");
    mistrusted
        .tls
        .iter_mut()
        .for_each(|tls| tls.authority = shown.certificate.clone());
    told(mistrusted, "invalid peer certificate").await;
    let other = etcd.certificate("vault");
    let mut swapped = by_certificate(&etcd, "root");
    swapped.tls.iter_mut().for_each(|tls| {
        let (_, key) = tls.identity.as_mut().unwrap();
        key.clone_from(&other.key);
    });
    let error = swapped.check().await.unwrap_err();
    assert!(
        error.contains("[state.etcd] ca_file, cert_file and key_file"),
        "{error}"
    );
}

#[tokio::test]
async fn a_renewed_certificate_counts_at_the_next_connection() {
    let mut etcd = Etcd::start_cluster();
    let mut reach = by_certificate(&etcd, "root");
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    let show = |shown: crate::certificates::Certificate| {
        std::fs::copy(shown.certificate, &certificate).unwrap();
        std::fs::copy(shown.key, &key).unwrap();
    };
    show(etcd.certificate("root"));
    reach
        .tls
        .iter_mut()
        .for_each(|tls| tls.identity = Some((certificate.clone(), key.clone())));
    let client = EtcdClient::new(reach);
    set(&client, "/t/a", b"").await;
    // What stands stands, but what is connected anew has the new one.
    show(etcd.forged_certificate("root"));
    set(&client, "/t/a", b"").await;
    for node in 0..3 {
        etcd.kill(node);
    }
    for node in 0..3 {
        etcd.restart(node);
    }
    etcd.wait_until_healthy();
    let error = client.range("/t/").await.unwrap_err().to_string();
    assert!(
        error.contains("it does not take our certificate"),
        "{error}"
    );
    show(etcd.certificate("root"));
    set(&client, "/t/a", b"").await;
}

#[tokio::test]
async fn a_user_signs_in_by_password_and_is_held_to_their_role() {
    let etcd = Etcd::start();
    let endpoints = etcd.endpoints();
    let mut root = etcd_client::Client::connect(&endpoints, None)
        .await
        .unwrap();
    for user in ["root", "vaultgram"] {
        root.user_add(user, "hunter2", None).await.unwrap();
        root.role_add(user).await.unwrap();
        root.user_grant_role(user, user).await.unwrap();
    }
    let permission = etcd_client::Permission::read_write("/vaultgram/").with_prefix();
    root.role_grant_permission("vaultgram", permission)
        .await
        .unwrap();
    root.auth_enable().await.unwrap();
    let reach = |password: &str| Reach {
        endpoints: endpoints.clone(),
        tls: None,
        user: Some((
            "vaultgram".to_owned(),
            SecretValue::new(password.as_bytes().to_vec()),
        )),
    };
    let client = EtcdClient::new(reach("hunter2"));
    set(&client, "/vaultgram/a", b"").await;
    let elsewhere = client.txn(vec![], vec![put("/vault/a", b"")], vec![]).await;
    let error = elsewhere.unwrap_err();
    assert!(matches!(error, KvError::Refused(_)), "{error:?}");
    assert!(error.to_string().contains("permission denied"), "{error}");
    let looked = client.examine("/vaultgram/").await;
    assert!(!looked.unwrap().writes_elsewhere);
    let error = EtcdClient::new(reach("wrong"))
        .range("/vaultgram/")
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("invalid user ID or password"),
        "{error}"
    );
    assert!(!error.to_string().contains("wrong"), "{error}");
    let nobody = Reach {
        user: None,
        ..reach("")
    };
    let error = EtcdClient::new(nobody)
        .range("/vaultgram/")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("user name is empty"), "{error}");
}

#[tokio::test]
async fn a_look_at_it_changes_nothing() {
    let mut etcd = Etcd::start_cluster();
    let client = EtcdClient::new(by_certificate(&etcd, "root"));
    set(&client, "/vaultgram/a", b"").await;
    let revision = client.range("/").await.unwrap().revision;
    let looked = client.examine("/vaultgram/").await.unwrap();
    let leader = etcd.leader();
    assert_eq!(looked.members, Some((3, Some(leader.to_string()))));
    assert!(
        looked.nodes.iter().all(|(_, facts)| facts.is_ok()),
        "{looked:?}"
    );
    let warnings = looked.warnings("/vaultgram/");
    let [roles, elsewhere] = &warnings[..] else {
        panic!("{warnings:?}");
    };
    assert!(roles.contains("3.4.23 lets its users go around"), "{roles}");
    assert!(elsewhere.contains("outside of /vaultgram/"), "{elsewhere}");
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
