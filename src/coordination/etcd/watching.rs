//! A watch that notices when nobody is at the other end any more.

use std::sync::Arc;

use async_trait::async_trait;
use etcd_client::{EventType, WatchStream};
use tokio::time::{Instant, timeout_at};

use crate::coordination::etcd::client::entry;
use crate::coordination::etcd::failure::Failure;
use crate::coordination::etcd::kv::{Event, KvError, Watching};
use crate::coordination::etcd::node::Connection;
use crate::coordination::etcd::nodes::Nodes;
use crate::coordination::etcd::times;

/// A watch.
pub(super) struct Watch {
    nodes: Arc<Nodes>,
    connection: Arc<Connection>,
    stream: WatchStream,
    /// By when something must have come.
    due: Instant,
    /// It was asked whether it lives.
    asked: bool,
}

impl Watch {
    pub(super) fn new(nodes: Arc<Nodes>, connection: Arc<Connection>, stream: WatchStream) -> Self {
        Self {
            nodes,
            connection,
            stream,
            due: Instant::now() + times::QUIET,
            asked: false,
        }
    }

    async fn changes(&mut self) -> Result<Vec<Event>, Failure> {
        loop {
            // Of both, what has come counts first.
            let Ok(message) = timeout_at(self.due, self.stream.message()).await else {
                if self.asked {
                    return Err(Failure::Unclear(
                        "the watch gives no sign of life".to_owned(),
                    ));
                }
                let asked = self.stream.request_progress().await;
                asked.map_err(|error| Failure::of(&error))?;
                self.asked = true;
                self.due = Instant::now() + times::TRY;
                continue;
            };
            let Some(response) = message.map_err(|error| Failure::of(&error))? else {
                return Err(Failure::Unclear("the watch was ended".to_owned()));
            };
            self.asked = false;
            self.due = Instant::now() + times::QUIET;
            if response.canceled() {
                let reason = match response.compact_revision() {
                    0 => response.cancel_reason(),
                    _ => "what was asked for is no longer known",
                };
                return Err(Failure::No(format!("the watch was ended: {reason}")));
            }
            let events: Vec<_> = response.events().iter().filter_map(event).collect();
            if !events.is_empty() {
                return Ok(events);
            }
        }
    }
}

#[async_trait]
impl Watching for Watch {
    async fn next(&mut self) -> Result<Vec<Event>, KvError> {
        let failure = match self.changes().await {
            Ok(events) => return Ok(events),
            Err(failure) => failure,
        };
        match failure {
            Failure::No(_) | Failure::NoLease => {}
            Failure::NotDone(_) | Failure::Unclear(_) => self.nodes.leave(&self.connection).await,
        }
        Err(failure.into())
    }
}

fn event(event: &etcd_client::Event) -> Option<Event> {
    let found = event.kv()?;
    Some(match event.event_type() {
        EventType::Put => Event::Put(entry(found)),
        EventType::Delete => Event::Gone {
            key: String::from_utf8_lossy(found.key()).into_owned(),
            revision: found.mod_revision(),
        },
    })
}
