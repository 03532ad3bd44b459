//! What a job gets that proves who it is, and how long.

use std::time::Duration;

use serde_json::json;

use crate::openbao::bao;
use crate::served::{PASSWORD, PRODUCTION, SHORT, Served, ran};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_signs_in_and_has_what_policy_says_of_its_claims() {
    let served = Served::start().await;
    let session = served.session(&json!({})).await;
    let read = served.ask_as(&session, "GET /v1/secret/data/web/database", "");
    let read = read.await;
    assert_eq!(read.status, 200, "{read:?}");
    assert_eq!(read.json()["data"]["data"]["password"], PASSWORD);
    let list = served
        .ask_as(&session, "GET /v1/secret/metadata/web?list=true", "")
        .await;
    assert_eq!(list.json()["data"]["keys"], json!(["database", "other"]));
    let versions = served
        .ask_as(&session, "GET /v1/secret/metadata/web/database", "")
        .await;
    assert_eq!(versions.json()["data"]["current_version"], 1);
    let production = "GET /v1/secret/data/production/database";
    let read = served.ask_as(&session, production, "").await;
    assert_eq!(read.json()["data"]["data"]["password"], PRODUCTION);
    // Nothing is written, and nothing of others read.
    let body = json!({"data": {"k": "x"}}).to_string();
    let put = "POST /v1/secret/data/web/database";
    assert_eq!(served.ask_as(&session, put, &body).await.status, 403);
    for path in ["payroll/key", "vaultgram/signing"] {
        let read = format!("GET /v1/secret/data/{path}");
        assert_eq!(served.ask_as(&session, &read, "").await.status, 403);
    }

    // Other claims, other answers.
    for (changes, web, production_too) in [
        (json!({"environment": null}), 200, 403),
        (json!({"ref": "refs/heads/feature"}), 200, 403),
        (json!({"repository_id": "8"}), 403, 403),
        (json!({"repository_id": 7}), 200, 200),
        (json!({"repository_id": null}), 403, 403),
    ] {
        let session = served.session(&changes).await;
        for (path, status) in [("web", web), ("production", production_too)] {
            let read = format!("GET /v1/secret/data/{path}/database");
            let answer = served.ask_as(&session, &read, "").await;
            assert_eq!(answer.status, status, "{changes} {path}: {answer:?}");
        }
    }

    let mut released = served.audit().into_iter();
    let released = released.find(|entry| entry["event"] == "released").unwrap();
    assert_eq!(released["issuer"], "github", "{released}");
    assert_eq!(released["claims"]["repository_id"], "7", "{released}");
    served.verify_audit();
    let (log, audit) = (served.log(), format!("{:?}", served.audit()));
    for secret in [PASSWORD, PRODUCTION, &session, session.split_at(4).1, "eyJ"] {
        assert!(!log.contains(secret) && !audit.contains(secret), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_bao_signs_in_and_reads() {
    let served = Served::start().await;
    let address = format!("https://127.0.0.1:{}", served.port);
    let authority = served.authority.trust().display().to_string();
    let home = served.folder.path().display().to_string();
    let run = |token: &str, arguments: &[&str]| {
        let variables = [
            ("HOME", home.as_str()),
            ("BAO_ADDR", &address),
            ("BAO_CACERT", &authority),
            ("BAO_TOKEN", token),
        ];
        let variables = &variables[..if token.is_empty() { 3 } else { 4 }];
        ran(&bao(), variables, arguments)
    };
    let jwt = format!("jwt={}", served.issuer.token(&json!({})));
    let login = [
        "write",
        "-format=json",
        "auth/jwt/login",
        "role=github",
        &jwt,
    ];
    let (code, said) = run("", &login);
    assert_eq!(code, 0, "{said}");
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["auth"]["metadata"]["repository"], "acme/web", "{said}");
    let token = said["auth"]["client_token"].as_str().unwrap();
    let field = ["kv", "get", "-field=password", "secret/web/database"];
    assert_eq!(run(token, &field), (0, PASSWORD.to_owned()));
    let (code, said) = run(token, &["kv", "list", "secret/web"]);
    assert!(code == 0 && said.contains("database"), "{said}");
    let (code, said) = run(token, &["token", "lookup"]);
    assert!(code == 0 && said.contains("github:repo:acme/web"), "{said}");
    let (code, said) = run(token, &["kv", "get", "secret/payroll/key"]);
    assert!(code == 2 && said.contains("permission denied"), "{said}");
    let (code, said) = run("", &login);
    assert!(code == 2 && said.contains("used before"), "{said}");
    let (code, said) = run(token, &["token", "revoke", "-self"]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = run(token, &field);
    assert!(code == 2 && said.contains("permission denied"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_curl_signs_in_by_the_name_of_the_issuer() {
    let served = Served::start().await;
    let authority = served.authority.trust().display().to_string();
    let curl = |path: &str, more: &[&str]| {
        let url = format!("https://127.0.0.1:{}{path}", served.port);
        let fixed = ["--silent", "--show-error", "--cacert", &authority, &url];
        ran("curl".as_ref(), &[], &[&fixed[..], more].concat())
    };
    let body = json!({"jwt": served.issuer.token(&json!({}))}).to_string();
    let (code, said) = curl("/v1/auth/github/login", &["--data", &body]);
    assert_eq!(code, 0, "{said}");
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let bearer = format!(
        "Authorization: Bearer {}",
        said["auth"]["client_token"].as_str().unwrap()
    );
    let (_, said) = curl("/v1/secret/data/web/database", &["--header", &bearer]);
    assert!(said.contains("\"user\":\"web\""), "{said}");
    assert_eq!(curl("/readyz", &[]), (0, "ready\n".to_owned()));
    assert_eq!(curl("/healthz", &["--http2"]).0, 0);
    // An older TLS is not spoken.
    let (code, said) = curl("/healthz", &["--tls-max", "1.1"]);
    assert_eq!(code, 35, "{said}");
    let (code, said) = curl("/healthz", &["--tls-max", "1.2"]);
    assert_eq!(code, 0, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_in_time_and_when_it_says_so() {
    let mut served = Served::start().await;
    let read = "GET /v1/secret/data/web/database";
    let session = served.session(&json!({})).await;
    let me = served
        .ask_as(&session, "GET /v1/auth/token/lookup-self", "")
        .await;
    let me = me.json();
    assert_eq!(me["data"]["meta"]["issuer"], "github", "{me}");
    assert_eq!(me["data"]["meta"]["run_id"], "30", "{me}");
    let left = me["data"]["ttl"].as_u64().unwrap();
    assert!((1..=900).contains(&left), "{me}");
    // It is the store's, and outlives a restart.
    let code = tokio::task::block_in_place(|| {
        let code = served.stop();
        served.spawn();
        code
    });
    assert_eq!(code, Some(0), "{}", served.log());
    assert_eq!(served.ask_as(&session, read, "").await.status, 200);
    let end = "POST /v1/auth/token/revoke-self";
    assert_eq!(served.ask_as(&session, end, "").await.status, 204);
    let ended = served.ask_as(&session, read, "").await;
    assert_eq!(ended.status, 403);
    assert!(ended.error().contains("sign in again"), "{ended:?}");

    let short = served.session_of("short", &json!({"aud": SHORT})).await;
    let other = served.session(&json!({})).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(served.ask_as(&short, read, "").await.status, 403);
    assert_eq!(served.ask_as(&other, read, "").await.status, 200);
    let refused = ("session".to_owned(), "no_session".to_owned());
    assert_eq!(served.refused(), [refused.clone(), refused]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_about_the_host_and_its_people_is_not_for_jobs() {
    let served = Served::start().await;
    let session = served.session(&json!({})).await;
    for what in [
        "GET /v1/sys/metrics?format=prometheus",
        "GET /cluster",
        "GET /health",
        "POST /v1/vaultgram/unlock",
        "POST /v1/vaultgram/collect/ABCDEF",
    ] {
        let answer = served.ask_as(&session, what, "").await;
        assert_eq!(answer.status, 403, "{what}: {answer:?}");
    }
    // Anybody may ask whether it is there, and learns nothing else.
    assert_eq!(served.ask("GET /healthz", &[], "").await.status, 200);
    for what in [
        "GET /v1/secret/data/web/database",
        "GET /v1/sys/health",
        "GET /health",
        "GET /",
        "POST /healthz",
    ] {
        let answer = served.ask(what, &[], "").await;
        assert!(matches!(answer.status, 403 | 405), "{what}: {answer:?}");
        assert!(!answer.body.contains("web"), "{what}: {answer:?}");
    }
}
