//! What a reason opens by itself: requested, granted at once, used and taken back.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_reason_that_is_enough_is_granted_at_once() {
    let Some(server) = start() else { return };
    let get = async |uid: u32| {
        let target = "team/kv/data/django/database";
        ask(&server, uid, "GET", target, None).await
    };
    let unasked = get(ASKER).await;
    refused(
        &unasked,
        403,
        "this needs a reason of 10 characters or more; request it: vaultgram request team/kv/django/database",
    );
    assert_eq!(
        unasked.1["data"],
        json!({"because": "reason_needed", "characters": 10, "alone": true,
            "path": "team/kv/django/database", "action": "read", "delivery": "socket"})
    );
    let wanted = json!({"path": "team/kv/django/database", "reason": "fix the login"});
    let (status, said) = request(&server, &wanted).await;
    let data = &said["data"];
    assert_eq!((status, &data["state"]), (200, &json!("granted")), "{said}");
    assert_eq!((&data["votes"], &data["asks"]), (&json!([]), &json!([])));
    assert_eq!(data["ttl"], 1800);
    assert_eq!(get(ASKER).await.0, 200);
    assert_eq!(get(OTHER_LEAD).await.0, 403);
    let id = data["id"].as_str().unwrap();
    refused(
        &act(&server, LEAD, id, "revoke", "").await,
        404,
        "no such request",
    );
    assert_eq!(act(&server, 0, id, "revoke", "").await.0, 200);
    refused(&get(ASKER).await, 403, "this needs a reason");
}
