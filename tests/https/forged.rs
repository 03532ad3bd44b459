//! Tokens and sessions that prove nothing: refused, on record, and nothing learned.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};

use crate::client::request;
use crate::issuer::{KEY, Signer, now};
use crate::openbao::wait_until;
use crate::served::Served;

fn part(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

/// A token signed by HMAC with whatever is public of the issuer's key.
fn by_hmac(key: &[u8], claims: &Value) -> String {
    let header = json!({"alg": "HS256", "typ": "JWT", "kid": KEY});
    let text = format!("{}.{}", part(&header), part(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_and_stale_tokens_sign_nobody_in() {
    let served = Served::start().await;
    let issuer = &served.issuer;
    let claims = issuer.claims();
    let good = issuer.token(&json!({}));
    let (front, signature) = good.rsplit_once('.').unwrap();
    let none = part(&json!({"alg": "none", "kid": KEY}));
    let public = issuer_key();
    let header = |text: &Value| format!("{}.{}", part(text), front.split_once('.').unwrap().1);
    let altered = {
        let (head, _) = front.split_once('.').unwrap();
        let claims = issuer.claims_but(&json!({"repository_id": "8"}));
        format!("{head}.{}.{signature}", part(&claims))
    };
    let cases = [
        (format!("{none}.{}.", part(&claims)), 403, "algorithm"),
        (
            format!("{none}.{}.{signature}", part(&claims)),
            403,
            "algorithm",
        ),
        (by_hmac(public.as_bytes(), &claims), 403, "algorithm"),
        (
            format!(
                "{}.{signature}",
                header(&json!({"alg": "PS256", "kid": KEY}))
            ),
            403,
            "algorithm",
        ),
        (Signer::p256(KEY).sign(&claims), 403, "algorithm"),
        (Signer::other_rsa(KEY).sign(&claims), 403, "signature"),
        (Signer::other_rsa("rsa-9").sign(&claims), 403, "key_unknown"),
        (altered, 403, "signature"),
        (
            format!("{front}.{}", signature.split_at(40).0),
            403,
            "signature",
        ),
        (format!("{front}."), 403, "signature"),
        (front.to_owned(), 400, "malformed"),
        (format!("{good}.x"), 400, "malformed"),
        ("eyJ".to_owned(), 400, "malformed"),
        (String::new(), 400, "malformed"),
        ("x".repeat(20_000), 400, "malformed"),
        (
            issuer.token(&json!({"aud": "https://else.test"})),
            403,
            "audience",
        ),
        (issuer.token(&json!({"aud": null})), 403, "audience"),
        (issuer.token(&json!({"exp": now() - 61})), 403, "expired"),
        (issuer.token(&json!({"exp": null})), 400, "malformed"),
        (
            issuer.token(&json!({"nbf": now() + 90, "iat": now()})),
            403,
            "not_yet",
        ),
        (issuer.token(&json!({"iat": now() + 90})), 403, "not_yet"),
        (
            issuer.token(&json!({"exp": now() + 90_000})),
            403,
            "lifetime",
        ),
        (
            issuer.token(&json!({"iss": "https://evil.test"})),
            403,
            "issuer",
        ),
        (issuer.token(&json!({"sub": null})), 400, "malformed"),
    ];
    let (mut wanted, mut told) = (vec![], std::collections::BTreeSet::new());
    for (number, (token, status, reason)) in cases.into_iter().enumerate() {
        // A few a second go on record.
        if number == 15 {
            tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        }
        let answer = served.connect().await.sign_in("github", &token).await;
        assert_eq!(answer.status, status, "{number} {reason}: {answer:?}");
        let said = answer.error();
        assert!(!said.is_empty() && !said.contains("web"), "{said}");
        if matches!(reason, "algorithm" | "signature" | "key_unknown") {
            told.insert(said);
        }
        wanted.push(("token".to_owned(), reason.to_owned()));
    }
    assert_eq!(
        told.len(),
        1,
        "what is wrong of a signature is not told: {told:?}"
    );
    assert_eq!(served.refused(), wanted);
    served.verify_audit();
    assert!(!served.log().contains("eyJ"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_for_its_issuer() {
    let served = Served::start().await;
    let token = served.issuer.token(&json!({}));
    for role in ["gitlab", "", "github ", "../github"] {
        let answer = served.connect().await.sign_in(role, &token).await;
        assert!(matches!(answer.status, 400 | 403), "{role}: {answer:?}");
    }
    // None of that used it up.
    let answer = served.connect().await.sign_in("github", &token).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// What is public of the issuer's key, as the issuer tells it.
fn issuer_key() -> String {
    Signer::rsa(KEY).jwk()["n"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_counts_once_also_at_once_and_after_a_restart() {
    let mut served = Served::start().await;
    let token = served.issuer.token(&json!({}));
    let sign_in = || async {
        served
            .connect()
            .await
            .sign_in("github", &token)
            .await
            .status
    };
    let all = tokio::join!(sign_in(), sign_in(), sign_in(), sign_in());
    let mut all = [all.0, all.1, all.2, all.3];
    all.sort_unstable();
    assert_eq!(all, [200, 403, 403, 403]);
    // The same id in another token of the issuer's.
    let jti = json!({"jti": "one-id"});
    assert_eq!(sign(&served, &jti).await, 200);
    assert_eq!(sign(&served, &jti).await, 403);
    tokio::task::block_in_place(|| {
        served.stop();
        served.spawn();
    });
    assert_eq!(sign(&served, &jti).await, 403);
    let status = served
        .connect()
        .await
        .sign_in("github", &token)
        .await
        .status;
    assert_eq!(status, 403);
    let replayed = served.refused().into_iter();
    assert!(replayed.clone().all(|(_, reason)| reason == "replayed"));
    assert_eq!(replayed.count(), 6);
    served.verify_audit();
}

async fn sign(served: &Served, changes: &Value) -> u16 {
    let token = served.issuer.token(changes);
    served
        .connect()
        .await
        .sign_in("github", &token)
        .await
        .status
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_issuers_keys_nobody_signs_in() {
    for down in [true, false] {
        let served = Served::start().await;
        if down {
            served.issuer.stop();
        } else {
            served.issuer.say(vec![b' '; 10 << 20]);
        }
        let token = served.issuer.token(&json!({}));
        let answer = served.connect().await.sign_in("github", &token).await;
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.error().contains("ask again"), "{answer:?}");
        assert!(answer.head.contains("retry-after: 5"), "{answer:?}");
        let refused = ("token".to_owned(), "jwks_down".to_owned());
        assert_eq!(served.refused(), [refused]);
        // Whoever comes again and again has it asked once.
        let before = served.issuer.asked();
        for _ in 0..5 {
            assert_eq!(sign(&served, &json!({})).await, 503);
        }
        assert_eq!(served.issuer.asked(), before);
        // Those who sign are not concerned, and probes are answered.
        assert_eq!(served.ask("GET /readyz", &[], "").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_come_as_a_whole_is_on_record() {
    let served = Served::start().await;
    let login = "POST /v1/auth/jwt/login";
    let signed = "PUT /v1/secret/data/web/database";
    let signature = "webhook-signature: v1,AAAA";
    let huge = "x".repeat((1 << 20) + 1);
    for (what, headers) in [(login, &[][..]), (signed, &[signature])] {
        let mut client = served.connect().await;
        // It is refused before all is sent.
        client
            .send(request(what, headers, &huge).as_bytes())
            .await
            .ok();
        assert_eq!(client.answer().await.unwrap().status, 413, "{what}");
        // It is cut off, and who sent it is gone.
        let half = format!("{what} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n");
        let half = headers.iter().fold(half, |half, line| half + line + "\r\n") + "\r\n{";
        let mut client = served.connect().await;
        client.send(half.as_bytes()).await.unwrap();
        drop(client);
    }
    let answer = served.ask(login, &[], "no JSON").await;
    assert_eq!(answer.status, 400, "{answer:?}");
    let refused = |proof: &str, reason: &str| (proof.to_owned(), reason.to_owned());
    let wanted = [
        refused("token", "too_large"),
        refused("token", "malformed"),
        refused("signature", "too_large"),
        refused("signature", "malformed"),
        refused("token", "malformed"),
    ];
    let mut wanted = wanted.to_vec();
    wanted.sort();
    let all = || {
        let mut all = served.refused();
        all.sort();
        all
    };
    tokio::task::block_in_place(|| wait_until("all are on record", || all().len() >= 5));
    assert_eq!(all(), wanted);
    served.verify_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_are_none_are_refused_and_on_record() {
    let served = Served::start().await;
    let session = served.session(&json!({})).await;
    let read = "GET /v1/secret/data/web/database";
    let mut other = session.clone().into_bytes();
    other[20] = if other[20] == b'A' { b'B' } else { b'A' };
    let other = String::from_utf8(other).unwrap();
    let made_up = format!("vgs.{}", "A".repeat(43));
    let short = session.split_at(30).0.to_owned();
    for token in [&other, &made_up, &short] {
        let answer = served.ask_as(token, read, "").await;
        assert_eq!(answer.status, 403, "{answer:?}");
        assert!(!answer.body.contains("web"), "{answer:?}");
    }
    let refused = ("session".to_owned(), "no_session".to_owned());
    assert_eq!(served.refused(), vec![refused; 3]);
    // One in a query, where logs would have it, or of Vault's own, proves nothing.
    for what in [
        format!("{read}?token={session}"),
        format!("{read}?x-vault-token={session}"),
    ] {
        assert_eq!(served.ask(&what, &[], "").await.status, 403);
    }
    assert_eq!(served.refused().len(), 3, "nothing was brought");
    // What proves something elsewhere, or nothing anywhere.
    let jwt = served.issuer.token(&json!({}));
    for header in [
        format!("x-vault-token: {}", served.bao.root()),
        format!("x-vault-token: {jwt}"),
        format!("authorization: Bearer {jwt}"),
        "authorization: Basic YTpi".to_owned(),
        "x-vault-token: é".to_owned(),
        "x-vault-token:".to_owned(),
    ] {
        let answer = served.ask(read, &[&header], "").await;
        assert_eq!(answer.status, 403, "{header}: {answer:?}");
        assert!(answer.error().contains("sign in again"), "{answer:?}");
    }
    let refused = ("session".to_owned(), "no_session".to_owned());
    assert_eq!(served.refused(), vec![refused; 9]);
    assert!(!served.log().contains(&jwt));
    assert_eq!(served.ask_as(&session, read, "").await.status, 200);
    served.verify_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_told_and_hides_nothing_else() {
    const FLOOD: usize = 200;
    let served = Served::start().await;
    let read = "GET /v1/secret/data/web/database";
    let flood = request(read, &["x-vault-token: vgs.x"], "").repeat(FLOOD);
    let mut client = served.connect().await;
    client.send(flood.as_bytes()).await.unwrap();
    for _ in 0..FLOOD {
        assert_eq!(client.answer().await.unwrap().status, 403);
    }
    let signed_in = served.connect().await.sign_in("github", "eyJ").await;
    assert_eq!(signed_in.status, 400);
    let last = served.refused().pop().unwrap();
    assert_eq!(last, ("token".to_owned(), "malformed".to_owned()));
    // There is room for another one soon.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(served.ask_as("vgs.x", read, "").await.status, 403);
    let audit = served.audit();
    let sessions = audit.iter().filter(|entry| entry["proof"] == "session");
    let omitted = |entry: &Value| entry["omitted"].as_u64().unwrap_or(0);
    let (recorded, left_out) = sessions.fold((0, 0), |(recorded, left_out), entry| {
        (recorded + 1, left_out + omitted(entry))
    });
    assert!(left_out > 0, "the flood went on record as a whole");
    assert_eq!(recorded + left_out, FLOOD as u64 + 1);
    served.verify_audit();
}

/// Whoever can open a pull request from a fork has a job run, whose token says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_forks_pull_request_does_not_have_production() {
    let served = Served::start().await;
    let fork = json!({
        "event_name": "pull_request", "ref": "refs/pull/5/merge", "head_ref": "patch",
        "base_ref": "main", "environment": null, "actor": "mallory", "actor_id": "666",
        "sub": "repo:acme/web:pull_request",
    });
    let session = served.session(&fork).await;
    let read = "GET /v1/secret/data/production/database";
    let answer = served.ask_as(&session, read, "").await;
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(answer.error().contains("permission denied"), "{answer:?}");
    assert!(
        !answer.body.contains("environment"),
        "nothing of the policy"
    );
    let audit = served.audit();
    let denied = audit.last().unwrap();
    assert_eq!(denied["event"], "decided", "{denied}");
    assert_eq!(denied["allowed"], false, "{denied}");
    assert_eq!(denied["claims"]["event_name"], "pull_request", "{denied}");
    assert_eq!(denied["claims"]["actor"], "mallory", "{denied}");
    served.verify_audit();
}
