//! What a job asks people for: its own requests, and a grant for this attempt of this run.

use serde_json::json;

use crate::served::Served;

#[tokio::test(flavor = "multi_thread")]
async fn what_people_grant_is_one_attempts_of_one_run() {
    let served = Served::start().await;
    let session = served.session(&json!({})).await;
    let read = "GET /v1/secret/data/guarded/key";
    assert_eq!(served.ask_as(&session, read, "").await.status, 403);
    let body = json!({"path": "secret/guarded/key", "reason": "deploy 1.2"}).to_string();
    let ask = "POST /v1/vaultgram/requests";
    let asked = served.ask_as(&session, ask, &body).await;
    assert_eq!(asked.status, 200, "{asked:?}");
    let id = asked.json()["data"]["id"].as_str().unwrap().to_owned();
    let show = format!("GET /v1/vaultgram/requests/{id}");
    let shown = served.ask_as(&session, &show, "").await.json();
    assert_eq!(shown["data"]["state"], "pending", "{shown}");

    // Others see and touch nothing of it, be it the next attempt.
    let next = served.session(&json!({"run_attempt": "2"})).await;
    let other = served.session(&json!({"repository_id": "8"})).await;
    let cancel = format!("POST /v1/vaultgram/requests/{id}/cancel");
    for stranger in [&next, &other] {
        let shown = served.ask_as(stranger, &show, "").await;
        assert!(matches!(shown.status, 403 | 404), "{shown:?}");
        assert!(!shown.body.contains("guarded"), "{shown:?}");
        let cancelled = served.ask_as(stranger, &cancel, "").await;
        assert!(matches!(cancelled.status, 403 | 404), "{cancelled:?}");
        for filter in ["mine", "pending", "all"] {
            let list = format!("GET /v1/vaultgram/requests?filter={filter}");
            let list = served.ask_as(stranger, &list, "").await;
            assert!(!list.body.contains(&id), "{filter}: {list:?}");
        }
    }
    // And nobody votes by HTTPS.
    for session in [&session, &next] {
        for (verb, body) in [("approve", ""), ("deny", r#"{"reason": "because"}"#)] {
            let vote = format!("POST /v1/vaultgram/requests/{id}/{verb}");
            let vote = served.ask_as(session, &vote, body).await;
            assert!(matches!(vote.status, 403 | 404), "{verb}: {vote:?}");
        }
    }
    let shown = served.ask_as(&session, &show, "").await.json();
    assert_eq!(shown["data"]["state"], "pending", "{shown}");

    let (code, said) = tokio::task::block_in_place(|| served.run(&["approve", &id]));
    assert_eq!(code, 0, "{said}");
    let answer = served.ask_as(&session, read, "").await;
    assert_eq!(answer.json()["data"]["data"]["key"], "guarded-31c9");
    assert_eq!(served.ask_as(&next, read, "").await.status, 403);
    // The same attempt in another session may.
    let again = served.session(&json!({})).await;
    assert_eq!(served.ask_as(&again, read, "").await.status, 200);
    served.verify_audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_takes_back_what_it_asked_for() {
    let served = Served::start().await;
    let session = served.session(&json!({})).await;
    let body = json!({"path": "secret/guarded/key", "reason": "deploy 1.2"}).to_string();
    let asked = served
        .ask_as(&session, "POST /v1/vaultgram/requests", &body)
        .await;
    let id = asked.json()["data"]["id"].as_str().unwrap().to_owned();
    let cancel = format!("POST /v1/vaultgram/requests/{id}/cancel");
    let cancelled = served.ask_as(&session, &cancel, "").await;
    assert_eq!(cancelled.status, 200, "{cancelled:?}");
    let (code, said) = tokio::task::block_in_place(|| served.run(&["approve", &id]));
    assert!(code != 0 && said.contains("over"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_set_it_going_does_not_approve_it() {
    let uid = rustix::process::geteuid().as_raw();
    let people = format!("[people]\nlead = [\"uid:{uid}\", \"github:583231\"]\n");
    let served = Served::with(&people, "").await;
    let body = json!({"path": "secret/guarded/key", "reason": "deploy 1.2"}).to_string();
    let ask = "POST /v1/vaultgram/requests";
    for (actor, code) in [("583231", 77), ("583232", 0)] {
        let changes = json!({"actor_id": actor, "run_id": actor});
        let session = served.session(&changes).await;
        let asked = served.ask_as(&session, ask, &body).await.json();
        let id = asked["data"]["id"].as_str().unwrap().to_owned();
        let approve = || served.run(&["approve", &id]);
        let (ended, said) = tokio::task::block_in_place(approve);
        assert_eq!(ended, code, "{actor}: {said}");
    }
}
