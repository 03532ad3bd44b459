//! Every row of the table, on both sides; and the table in the documentation.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use crate::cases::{Case, cases, sealed};
use crate::pair::{Answer, Pair, Request, Side};

/// Values that no two servers have in common, or that pass with time.
const VOLATILE: &[&str] = &[
    "accessor",
    "ca_chain",
    "certificate",
    "ciphertext",
    "cluster_id",
    "cluster_name",
    "created_time",
    "creation_time",
    "deletion_time",
    "deprecation_status",
    "description",
    "expiration",
    "expire_time",
    "id",
    "issue_time",
    "issuing_ca",
    "lease_id",
    "not_before",
    "private_key",
    "request_id",
    "running_plugin_version",
    "serial_number",
    "server_time_utc",
    "token",
    "updated_time",
    "uuid",
];

#[test]
fn answers_are_openbaos_but_where_the_documentation_says_why_not() {
    let pair = Pair::start();
    let mut wrong = String::new();
    let mut kept = [BTreeMap::new(), BTreeMap::new()];
    let mut replay = |all: &[Case]| {
        for case in all {
            let [real, ours] = [Side::Real, Side::Ours].map(|side| {
                let kept = &mut kept[side as usize];
                let answer = pair.send(side, &case.request(kept));
                case.keep(&answer.body, kept);
                answer
            });
            let same = told(&real) == told(&ours);
            if same != case.differs.is_none() {
                let verdict = if same { "no longer differs" } else { "differs" };
                writeln!(wrong, "{} {verdict}\n  {real:?}\n  {ours:?}", case.label()).unwrap();
            }
        }
    };
    replay(&cases());
    pair.real.seal();
    pair.behind.seal();
    crate::openbao::wait_until("vaultgram knows that it is sealed", || {
        let health = Request {
            method: "GET",
            path: "sys/health".to_owned(),
            headers: vec![],
            body: String::new(),
        };
        pair.send(Side::Ours, &health).body["sealed"] == true
    });
    replay(&sealed());
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// What is compared.
fn told(answer: &Answer) -> (u16, &[String], Value) {
    (answer.status, &answer.headers, settled(&answer.body))
}

/// Values that cannot be the same are told by their kind alone.
pub(crate) fn settled(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| {
                let volatile = VOLATILE.contains(&name.as_str()) && !value.is_object();
                let kind = |value: &Value| match value {
                    Value::Null => "null",
                    Value::Bool(_) => "bool",
                    Value::Number(_) => "number",
                    Value::String(_) => "string",
                    Value::Array(_) => "array",
                    Value::Object(_) => "object",
                };
                let value = if ["ttl", "lease_duration"].contains(&name.as_str()) {
                    // It passes meanwhile, but for nothing it must be.
                    Value::from(value.as_u64().map(|seconds| seconds > 0))
                } else if volatile {
                    Value::from(kind(value))
                } else {
                    settled(value)
                };
                (name.clone(), value)
            })
            .collect(),
        Value::Array(all) => all.iter().map(settled).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[test]
fn the_documentation_has_the_table() {
    let table = format!(
        "{}\nWhile Vault is sealed:\n\n{}",
        table(&cases()),
        table(&sealed())
    );
    let documentation = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/vault-api.md");
    let documentation = std::fs::read_to_string(documentation).unwrap();
    assert!(
        documentation.contains(&table),
        "docs/vault-api.md must have:\n{table}"
    );
}

fn table(all: &[Case]) -> String {
    let mut told = std::collections::BTreeSet::new();
    let mut table = "| request | compared with OpenBao 2.7.2 |\n|---|---|\n".to_owned();
    for case in all {
        // What is asked again in another state of things is told once.
        if told.insert(case.label()) {
            let verdict = case.differs.unwrap_or("the same");
            writeln!(table, "| {} | {verdict} |", case.label()).unwrap();
        }
    }
    table
}
