//! A webhook that keeps the alerts it is told of.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// The server.
#[derive(Clone)]
pub(crate) struct Hook {
    address: String,
    /// The names of alerts that fire.
    firing: Arc<Mutex<BTreeSet<String>>>,
}

impl Hook {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let hook = Self {
            address: format!("http://{}/", listener.local_addr().unwrap()),
            firing: Arc::default(),
        };
        let serving = hook.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serving.take(&stream);
            }
        });
        hook
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The alerts that fire now, as far as it was told.
    pub(crate) fn firing(&self) -> BTreeSet<String> {
        self.firing.lock().unwrap().clone()
    }

    fn take(&self, mut stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(found) = line.strip_prefix("content-length: ") {
                length = found.parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let told: Value = serde_json::from_slice(&body).unwrap();
        let mut firing = self.firing.lock().unwrap();
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
        drop(firing);
        let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).unwrap();
    }
}
