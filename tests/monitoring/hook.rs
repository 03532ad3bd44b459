//! A webhook that keeps the alerts it is told of.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::receiver::receive;

/// The server.
pub(crate) struct Hook {
    address: String,
    firing: Arc<Mutex<BTreeSet<String>>>,
}

impl Hook {
    pub(crate) fn start() -> Self {
        let firing: Arc<Mutex<_>> = Arc::default();
        let told = Arc::clone(&firing);
        Self {
            address: receive(move |_, body| {
                note(&mut told.lock().unwrap(), &body);
                true
            }),
            firing,
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The alerts that fire now, as far as it was told.
    pub(crate) fn firing(&self) -> BTreeSet<String> {
        self.firing.lock().unwrap().clone()
    }
}

fn note(firing: &mut BTreeSet<String>, body: &[u8]) {
    let told: Value = serde_json::from_slice(body).unwrap();
    for alert in told["alerts"].as_array().unwrap() {
        let name = alert["labels"]["alertname"].as_str().unwrap().to_owned();
        let runbook = alert["annotations"]["runbook_url"].as_str().unwrap();
        assert_eq!(runbook, format!("docs/runbooks.md#{}", name.to_lowercase()));
        if alert["status"] == "firing" {
            firing.insert(name);
        } else {
            firing.remove(&name);
        }
    }
}
