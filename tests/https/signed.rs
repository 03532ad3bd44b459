//! Requests signed with a shared key, and what becomes of those that are not quite.

use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::json;

use crate::client::Answer;
use crate::issuer::now;
use crate::served::{PASSWORD, SIGNING, SIGNING_NEXT, Served, whsec};

/// A signed request, right unless a test changes something.
#[derive(Clone)]
struct Signed {
    what: String,
    body: String,
    key: String,
    id: String,
    time: String,
    signatures: String,
}

impl Signed {
    fn new(what: &str, body: &str) -> Self {
        Self::at(what, body, now(), &SIGNING)
    }

    fn at(what: &str, body: &str, time: i64, key: &[u8]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let id = format!("msg_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let content = format!("{id}.{time}.{what}\n{body}");
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let signature = STANDARD.encode(hmac::sign(&key, content.as_bytes()));
        Self {
            what: what.to_owned(),
            body: body.to_owned(),
            key: "deploybot/1".to_owned(),
            id,
            time: time.to_string(),
            signatures: format!("v1,{signature}"),
        }
    }

    async fn send(&self, served: &Served) -> Answer {
        let headers = [
            format!("webhook-id: {}", self.id),
            format!("webhook-timestamp: {}", self.time),
            format!("webhook-signature: {}", self.signatures),
            format!("vaultgram-key: {}", self.key),
        ];
        let headers: Vec<_> = headers.iter().map(String::as_str).collect();
        served.ask(&self.what, &headers, &self.body).await
    }
}

const READ: &str = "GET /v1/secret/data/web/database";

#[tokio::test(flavor = "multi_thread")]
async fn signed_requests_are_answered_with_and_without_a_body() {
    let served = Served::start().await;
    let read = Signed::new(READ, "").send(&served).await;
    assert_eq!(read.status, 200, "{read:?}; log:\n{}", served.log());
    assert_eq!(read.json()["data"]["data"]["password"], PASSWORD);
    let body = json!({"data": {"k": "new"}}).to_string();
    let put = Signed::new("POST /v1/secret/data/web/other", &body);
    assert_eq!(put.send(&served).await.json()["data"]["version"], 2);
    let query = Signed::new("GET /v1/secret/data/web/other?version=1", "");
    assert_eq!(query.send(&served).await.json()["data"]["data"]["k"], "v");
    // Not what policy does not give, and by the one who signs.
    let other = Signed::new("GET /v1/secret/data/production/database", "");
    assert_eq!(other.send(&served).await.status, 403);
    let me = Signed::new("GET /v1/auth/token/lookup-self", "");
    let me = me.send(&served).await.json();
    assert_eq!(me["data"]["meta"]["subject"], "deploybot", "{me}");

    // Keys rotate: the next is taken beside it, a list of signatures too, and one that is gone
    // is not taken when it was read again.
    let mut next = Signed::at(READ, "", now(), &SIGNING_NEXT);
    "deploybot/2".clone_into(&mut next.key);
    next.signatures = format!("v1,AAAA v2,x {}", next.signatures);
    assert_eq!(next.send(&served).await.status, 200);
    served.bao.put(
        "vaultgram/signing",
        &json!({"deploybot/3": whsec(&[3; 32])}),
    );
    let mut newest = Signed::at(READ, "", now(), &[3; 32]);
    "deploybot/3".clone_into(&mut newest.key);
    // Unknown ids have the keys read again, once in ten seconds.
    let mut last = newest.send(&served).await;
    for _ in 0..15 {
        if last.status == 200 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let mut again = Signed::at(READ, "", now(), &[3; 32]);
        "deploybot/3".clone_into(&mut again.key);
        last = again.send(&served).await;
    }
    assert_eq!(last.status, 200, "{last:?}");
    assert_eq!(Signed::new(READ, "").send(&served).await.status, 403);
    served.verify_audit();
}

type Change = fn(&mut Signed);

/// What is not right of a read, the status, and what is on record.
const CHANGES: [(Change, u16, &str); 13] = [
    (
        |it| it.what = it.what.replace("GET", "DELETE"),
        403,
        "signature",
    ),
    (
        |it| it.what = it.what.replace("database", "other"),
        403,
        "signature",
    ),
    (|it| it.what += "?version=1", 403, "signature"),
    (|it| it.body += " ", 403, "signature"),
    (|it| it.id += "x", 403, "signature"),
    (|it| it.time = (now() - 100).to_string(), 403, "signature"),
    (|it| it.signatures.truncate(20), 403, "signature"),
    (
        |it| it.signatures = it.signatures.chars().rev().collect(),
        403,
        "signature",
    ),
    (|it| "deploybot/2".clone_into(&mut it.key), 403, "signature"),
    (
        |it| "deploybot/9".clone_into(&mut it.key),
        403,
        "key_unknown",
    ),
    (|it| "nobody/1".clone_into(&mut it.key), 403, "key_unknown"),
    (|it| "deploybot".clone_into(&mut it.key), 400, "malformed"),
    (|it| "soon".clone_into(&mut it.time), 400, "malformed"),
];

/// All that is not right; `good` was sent before.
fn wrong(good: &Signed) -> Vec<(Signed, u16, &'static str)> {
    let body = json!({"data": {"k": "new"}}).to_string();
    let mut put = Signed::new("POST /v1/secret/data/web/other", &body);
    put.body = body.replace("new", "old");
    let mut id = Signed::new(READ, "");
    "a.1".clone_into(&mut id.id);
    let mut all = vec![
        (good.clone(), 403, "replayed"),
        (Signed::at(READ, "", now() - 302, &SIGNING), 403, "expired"),
        (Signed::at(READ, "", now() + 330, &SIGNING), 403, "not_yet"),
        (put, 403, "signature"),
        (id, 400, "malformed"),
    ];
    for (change, status, reason) in CHANGES {
        let mut signed = Signed::new(READ, "");
        change(&mut signed);
        all.push((signed, status, reason));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_is_for_one_request_once_and_now() {
    let mut served = Served::start().await;
    let good = Signed::new(READ, "");
    assert_eq!(good.send(&served).await.status, 200);
    let (mut wanted, mut told) = (vec![], std::collections::BTreeSet::new());
    for (signed, status, reason) in wrong(&good) {
        let answer = signed.send(&served).await;
        assert_eq!(answer.status, status, "{reason}: {answer:?}");
        assert!(!answer.body.contains("web"), "{reason}: {answer:?}");
        if matches!(reason, "signature" | "key_unknown") {
            told.insert(answer.error());
        }
        wanted.push(("signature".to_owned(), reason.to_owned()));
    }
    assert_eq!(told.len(), 1, "an unknown key is not told from a wrong one");
    assert_eq!(served.refused(), wanted);
    // Nothing was written.
    let read = Signed::new("GET /v1/secret/data/web/other", "");
    assert_eq!(read.send(&served).await.json()["data"]["data"]["k"], "v");

    // Two at once with one id; and the same after a restart.
    let twice = Signed::new(READ, "");
    let (one, other) = tokio::join!(twice.send(&served), twice.send(&served));
    let mut both = [one.status, other.status];
    both.sort_unstable();
    assert_eq!(both, [200, 403]);
    tokio::task::block_in_place(|| {
        served.stop();
        served.spawn();
    });
    assert_eq!(twice.send(&served).await.status, 403);
    assert_eq!(served.refused().last().unwrap().1, "replayed");
    served.verify_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_needs_all_of_its_headers_once() {
    let served = Served::start().await;
    let good = Signed::new(READ, "");
    let headers = [
        format!("webhook-id: {}", good.id),
        format!("webhook-timestamp: {}", good.time),
        format!("vaultgram-key: {}", good.key),
        format!("webhook-signature: {}", good.signatures),
    ];
    for (number, header) in headers.iter().enumerate() {
        let mut twice: Vec<_> = headers.iter().map(String::as_str).collect();
        twice.push(header);
        let mut without = twice.clone();
        without.retain(|line| line != header);
        assert_eq!(served.ask(READ, &twice, "").await.status, 400, "{header}");
        let status = served.ask(READ, &without, "").await.status;
        // Without the signature itself there is none, and nothing that proves anything.
        assert_eq!(status, if number == 3 { 403 } else { 400 }, "{header}");
    }
    assert_eq!(good.send(&served).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_vault_nobody_is_believed() {
    let mut served = Served::start().await;
    tokio::task::block_in_place(|| served.bao.kill());
    let down = Signed::new(READ, "").send(&served).await;
    assert_eq!(down.status, 503, "{down:?}");
    let refused = ("signature".to_owned(), "keys_down".to_owned());
    assert_eq!(served.refused(), [refused]);
}
