//! Records as events of the Open Cybersecurity Schema Framework, class API Activity (6003).
//!
//! Each event has what the schema requires: activity, actor, api, category, class, metadata,
//! severity, source, time and type. What it has no place for is under `unmapped`.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cli::audit::record::Record;

/// The version of the schema.
const VERSION: &str = "1.3.0";
/// API Activity, in the category Application Activity.
const CLASS: u32 = 6003;
const CATEGORY: u32 = 6;

/// Fields that have a place of their own.
const MAPPED: [&str; 16] = [
    "seq",
    "time",
    "event",
    "allowed",
    "reason",
    "id",
    "caller",
    "uid",
    "pid",
    "executable",
    "action",
    "path",
    "field",
    "version",
    "prev",
    "hash",
];

/// The event of a record.
pub(super) fn event(record: &Record) -> Value {
    let (activity, activity_name) = activity(record.text("action"));
    let (status, status_name) = match record.went_well() {
        Some(false) => (2, "Failure"),
        Some(true) | None => (1, "Success"),
    };
    let (severity, severity_name) = match record.text("event") {
        "chat_locked" | "leaked" => (4, "High"),
        _ if status == 2 => (2, "Low"),
        _ => (1, "Informational"),
    };
    let mut event = json!({
        "activity_id": activity,
        "activity_name": activity_name,
        "actor": actor(record),
        "api": api(record),
        "category_uid": CATEGORY,
        "category_name": "Application Activity",
        "class_uid": CLASS,
        "class_name": "API Activity",
        "message": record.line(),
        "metadata": {
            "version": VERSION,
            "product": {
                "name": "vaultgram",
                "vendor_name": "vaultgram",
                "version": env!("CARGO_PKG_VERSION"),
            },
            "log_name": "audit",
            "event_code": record.text("event"),
            "original_time": record.text("time"),
            "sequence": record.number("seq"),
            "uid": record.text("hash"),
        },
        "severity_id": severity,
        "severity": severity_name,
        "src_endpoint": { "svc_name": source(record) },
        "status_id": status,
        "status": status_name,
        "time": milliseconds(record.text("time")),
        "type_uid": CLASS * 100 + activity,
        "type_name": format!("API Activity: {activity_name}"),
    });
    if let Some(id) = record.0.get("id") {
        set(&mut event, "/metadata", "correlation_uid", id.clone());
    }
    if !record.text("reason").is_empty() {
        set(&mut event, "", "status_code", record.text("reason").into());
    }
    let target = record.target();
    if !target.is_empty() {
        let resources = json!([{ "name": target, "type": "secret" }]);
        set(&mut event, "", "resources", resources);
    }
    let rest: Map<String, Value> = record
        .0
        .iter()
        .filter(|(name, _)| !MAPPED.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if !rest.is_empty() {
        set(&mut event, "", "unmapped", rest.into());
    }
    event
}

fn set(event: &mut Value, place: &str, name: &str, value: Value) {
    if let Some(Value::Object(object)) = event.pointer_mut(place) {
        object.insert(name.to_owned(), value);
    }
}

/// What kind of activity an action is.
fn activity(action: &str) -> (u32, &'static str) {
    match action {
        "read" | "list" | "versions" | "unwrap" => (2, "Read"),
        "invoke" => (1, "Create"),
        "put" | "patch" | "rotate" | "undelete" | "keep_lease" | "renew_lease" => (3, "Update"),
        "delete" | "destroy" | "revoke_lease" => (4, "Delete"),
        _ => (99, "Other"),
    }
}

/// Who asked; for what the audit records of itself, vaultgram.
fn actor(record: &Record) -> Value {
    let caller = record.text("caller");
    if caller.is_empty() {
        return json!({ "app_name": "vaultgram" });
    }
    let number = caller.rsplit(':').next().unwrap_or(caller);
    let mut actor = json!({ "user": { "name": caller, "uid": number } });
    if let Some(pid) = record.number("pid") {
        let mut process = json!({ "pid": pid });
        let path = record.text("executable");
        if let Some(name) = path.rsplit('/').next().filter(|name| !name.is_empty()) {
            let file = json!({ "name": name, "path": path, "type_id": 1 });
            set(&mut process, "", "file", file);
        }
        set(&mut actor, "", "process", process);
    }
    actor
}

fn api(record: &Record) -> Value {
    let operation = match record.text("action") {
        "" => record.text("event"),
        action => action,
    };
    let mut api = json!({ "operation": operation, "service": { "name": "vaultgram" } });
    if let Some(id) = record.0.get("id") {
        set(&mut api, "", "request", json!({ "uid": id }));
    }
    api
}

/// The way it came in.
fn source(record: &Record) -> &'static str {
    if record.text("caller").starts_with("telegram:") {
        "telegram"
    } else if record.0.contains_key("uid") {
        "unix socket"
    } else {
        "vaultgram"
    }
}

/// Unix time, as the schema wants it.
fn milliseconds(time: &str) -> Value {
    let at = OffsetDateTime::parse(time, &Rfc3339);
    let at = at.ok().map(|at| at.unix_timestamp_nanos() / 1_000_000);
    at.and_then(|at| i64::try_from(at).ok()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the schema requires of every event of the class.
    const REQUIRED: [&str; 10] = [
        "activity_id",
        "actor",
        "api",
        "category_uid",
        "class_uid",
        "metadata",
        "severity_id",
        "src_endpoint",
        "time",
        "type_uid",
    ];

    #[test]
    fn every_event_has_what_the_schema_requires() {
        for text in [
            r#"{"seq":1,"time":"2026-11-21T08:15:00.500Z","event":"decided","allowed":false,"reason":"not_permitted","policies":[],"id":"telegram-1001-2","caller":"telegram:1001","chat":"private","action":"read","path":"secret/app","field":"x","hash":"h","prev":"p"}"#,
            r#"{"seq":2,"time":"2026-11-21T08:15:00.500Z","event":"released","id":"a","caller":"uid:990","uid":990,"gid":990,"pid":42,"executable":"/usr/bin/app","action":"delete","path":"secret/app"}"#,
            r#"{"seq":3,"time":"2026-11-21T08:15:00.500Z","event":"checkpoint","why":"stop","key":"k","signature":"s"}"#,
        ] {
            let event = event(&Record::read(text.as_bytes()).unwrap());
            for name in REQUIRED {
                assert!(!event[name].is_null(), "{name}: {event}");
            }
            assert_eq!(event["time"], 1_795_248_900_500_i64, "{event}");
            assert_eq!(event["class_uid"], 6003);
            let activity = event["activity_id"].as_u64().unwrap();
            assert_eq!(event["type_uid"], 600_300 + activity);
            assert!(event["api"]["operation"].is_string(), "{event}");
            assert!(event["metadata"]["product"]["name"].is_string());
            assert_eq!(event["metadata"]["version"], VERSION);
            let actor = event["actor"].as_object().unwrap();
            assert!(actor.contains_key("user") || actor.contains_key("app_name"));
        }
    }

    #[test]
    fn a_denial_is_a_failure_and_the_rest_is_kept() {
        let text = r#"{"seq":1,"time":"2026-11-21T08:15:00Z","event":"decided","allowed":false,"reason":"not_permitted","policies":["p"],"caller":"telegram:1","action":"read","path":"a"}"#;
        let event = event(&Record::read(text.as_bytes()).unwrap());
        assert_eq!(
            (&event["status_id"], &event["severity_id"]),
            (&2.into(), &2.into())
        );
        assert_eq!(event["status_code"], "not_permitted");
        assert_eq!(event["unmapped"]["policies"][0], "p");
        assert_eq!(event["resources"][0]["name"], "a");
        assert_eq!(event["actor"]["user"]["uid"], "1");
    }
}
