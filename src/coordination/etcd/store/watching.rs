//! The one watch: on who is there, and on what is claimed and done.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::EtcdStore;
use super::envelope::Kind;
use super::layout::Place;
use super::seen::Sight;
use super::tries::Backoff;
use crate::coordination::etcd::kv::{Entry, Event, KvError, Revision};

/// Longest without any news, before everything is listed anew: whether it lives is asked of a watch each
/// second, but it may be dead and not show it.
const QUIET: Duration = Duration::from_mins(1);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

impl EtcdStore {
    /// Keeps what is known of the others up to date. Never returns.
    pub(super) async fn watch_over(&self) {
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            let Err(error) = self.watch_once(&mut backoff).await else {
                continue;
            };
            self.company.lose_sight();
            warn!(event = "coordination.watch_broke", cause = %error);
            sleep(backoff.next(&*self.random)).await;
        }
    }

    /// Lists everything, and watches until that breaks, or tells nothing for long.
    async fn watch_once(&self, backoff: &mut Backoff) -> Result<(), KvError> {
        let members = self.kv.range(&self.layout.members()).await?;
        let from = members.revision + 1;
        let mut watching = self.kv.watch(self.layout.everything(), from).await?;
        self.seen.forget(members.revision);
        let members = members.entries.iter().filter_map(|entry| {
            let Place::Member(id) = self.layout.place(&entry.key) else {
                return None;
            };
            Some((id, self.facts_in(entry)))
        });
        self.company.reset(members.collect::<BTreeMap<_, _>>());
        self.flights.wake_all();
        loop {
            let Ok(events) = timeout(QUIET, watching.next()).await else {
                backoff.reset();
                return Ok(());
            };
            for event in events? {
                match event {
                    Event::Put(entry) => self.was_set(&entry),
                    Event::Gone { key, revision } => self.is_gone(&key, revision),
                }
                // Signs of life are given by this task, too.
                yield_now().await;
            }
            backoff.reset();
        }
    }

    fn was_set(&self, entry: &Entry) {
        match self.layout.place(&entry.key) {
            Place::Member(id) => self.company.came(id, self.facts_in(entry)),
            Place::State(key) => {
                // What cannot be opened is told to whoever asks for it.
                if let Ok((head, _)) = self.envelopes.open(&entry.key, &entry.value) {
                    let claimed = matches!(head.kind, Kind::Claimed { .. });
                    let revision = entry.changed;
                    let sight = Sight {
                        revision,
                        head: Some(head),
                    };
                    self.seen.watched(key, sight);
                    let me = self.membership.current();
                    let ours = |me| head.owner == me;
                    let told = |me| self.mine.has(key, me) || self.flights.has(key);
                    // What we did since then is known before the watch tells of it.
                    let over = self.seen.get(key).is_some_and(|it| it.revision > revision);
                    if claimed && !over && me.is_some_and(|me| ours(me) && !told(me)) {
                        self.orphans.push(key);
                    }
                }
                self.flights.wake(key);
            }
            Place::Other => {}
        }
    }

    fn is_gone(&self, key: &str, revision: Revision) {
        match self.layout.place(key) {
            Place::Member(id) => {
                self.company.went(id);
                if self.membership.current() == Some(id) {
                    self.membership
                        .lost(id, "somebody removed this replica's presence from etcd");
                }
                self.flights.wake_all();
            }
            Place::State(key) => {
                let head = None;
                self.seen.watched(key, Sight { revision, head });
                self.flights.wake(key);
            }
            Place::Other => {}
        }
    }

    /// What a member says of itself; nothing where that cannot be opened: it is there all the same.
    fn facts_in(&self, entry: &Entry) -> Vec<u8> {
        let opened = self.envelopes.open(&entry.key, &entry.value);
        opened.map(|(_, facts)| facts).unwrap_or_default()
    }
}
