//! etcd's state: revisions, transactions, leases that end by the test's clock, and what changed when.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::coordination::etcd::kv::{
    Compare, Done, Entry, Event, KvError, LeaseId, Op, Range, Revision,
};

/// One etcd for all replicas.
pub(in super::super) struct Server {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    revision: Revision,
    entries: BTreeMap<String, Entry>,
    leases: BTreeMap<LeaseId, (Duration, Instant)>,
    granted: LeaseId,
    log: Vec<(Instant, Event)>,
    /// Counts transactions that change nothing, whatever they find.
    looks: u64,
    /// Until when it has no leader: nothing is done, and no lease ends.
    down: Option<Instant>,
    /// By how many percent its clock is too fast.
    fast: u32,
}

impl State {
    /// How long a lease for `ttl` lasts.
    fn lasts(&self, ttl: Duration) -> Duration {
        ttl * 100 / (100 + self.fast)
    }

    fn remove(&mut self, key: &str, at: Instant) {
        if self.entries.remove(key).is_some() {
            let key = key.to_owned();
            let revision = self.revision;
            self.log.push((at, Event::Gone { key, revision }));
        }
    }

    fn end_lease(&mut self, lease: LeaseId, at: Instant) -> bool {
        let known = self.leases.remove(&lease).is_some();
        let keys = self.entries.values().filter(|it| it.lease == Some(lease));
        let keys: Vec<_> = keys.map(|entry| entry.key.clone()).collect();
        self.revision += Revision::from(!keys.is_empty());
        for key in keys {
            self.remove(&key, at);
        }
        known
    }

    /// Ends what has run out, as early as etcd may; whether there was something.
    fn expire(&mut self, now: Instant) -> bool {
        if self.down.is_some_and(|down| now < down) {
            return false;
        }
        let before = self.leases.len();
        while let Some((lease, end)) = self.next_end().filter(|(_, end)| *end <= now) {
            self.end_lease(lease, end.max(self.down.unwrap_or(end)));
        }
        self.leases.len() < before
    }

    fn next_end(&self) -> Option<(LeaseId, Instant)> {
        let ends = self.leases.iter().map(|(lease, (_, end))| (*lease, *end));
        ends.min_by_key(|(_, end)| *end)
    }

    fn holds(&self, compare: &Compare) -> bool {
        match compare {
            Compare::Absent(key) => !self.entries.contains_key(key),
            Compare::Present(key) => self.entries.contains_key(key),
            Compare::At(key, revision) => self
                .entries
                .get(key)
                .is_some_and(|entry| entry.changed == *revision),
        }
    }
}

impl Server {
    pub(in super::super) fn new() -> Self {
        Self {
            state: Mutex::default(),
            changed: watch::Sender::default(),
        }
    }

    /// Ends leases when they are due. Never returns.
    pub(in super::super) async fn run(&self) {
        let mut changed = self.changed.subscribe();
        loop {
            let (down, next) = {
                let state = self.lock();
                (state.down, state.next_end())
            };
            let due = async {
                match next {
                    Some((_, end)) => sleep_until(down.map_or(end, |down| down.max(end))).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = due => self.touch(),
                _ = changed.changed() => {}
            }
        }
    }

    /// There is no leader for `time`.
    pub(in super::super) fn lose_quorum(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut state = self.lock();
        state.down = Some(state.down.map_or(until, |down| down.max(until)));
        drop(state);
        self.touch();
    }

    /// The clock that leases end by is so many percent too fast.
    pub(in super::super) fn speed_up(&self, percent: u8) {
        self.lock().fast = percent.into();
    }

    /// How often a key was looked up.
    pub(in super::super) fn looks(&self) -> u64 {
        self.lock().looks
    }

    pub(super) fn is_down(&self) -> bool {
        self.lock().down.is_some_and(|down| Instant::now() < down)
    }

    pub(super) fn txn(
        &self,
        when: &[Compare],
        then: &[Op],
        otherwise: &[Op],
    ) -> Result<Done, KvError> {
        let now = Instant::now();
        let mut state = self.lock();
        let looks = then.iter().all(|op| matches!(op, Op::Get(_)));
        state.looks += u64::from(looks);
        let held = when.iter().all(|compare| state.holds(compare));
        let ops = if held { then } else { otherwise };
        for op in ops {
            if let Op::Put {
                lease: Some(lease), ..
            } = op
                && !state.leases.contains_key(lease)
            {
                return Err(KvError::NoLease);
            }
        }
        let writes = ops.iter().any(|op| match op {
            Op::Get(_) => false,
            Op::Put { .. } => true,
            Op::Delete(key) => state.entries.contains_key(key),
        });
        state.revision += Revision::from(writes);
        let mut found = vec![];
        for op in ops.iter().cloned() {
            match op {
                Op::Get(key) => found.push(state.entries.get(&key).cloned()),
                Op::Put { key, value, lease } => {
                    let entry = Entry {
                        key,
                        value,
                        changed: state.revision,
                        lease,
                    };
                    state.entries.insert(entry.key.clone(), entry.clone());
                    state.log.push((now, Event::Put(entry)));
                }
                Op::Delete(key) => state.remove(&key, now),
            }
        }
        let revision = state.revision;
        drop(state);
        self.changed.send_replace(());
        Ok(Done {
            held,
            found,
            revision,
        })
    }

    pub(super) fn range(&self, prefix: &str) -> Range {
        let state = self.lock();
        let entries = state.entries.range(prefix.to_owned()..);
        let entries = entries.take_while(|(key, _)| key.starts_with(prefix));
        Range {
            entries: entries.map(|(_, entry)| entry.clone()).collect(),
            revision: state.revision,
        }
    }

    pub(super) fn entry(&self, key: &str) -> Option<Entry> {
        self.lock().entries.get(key).cloned()
    }

    pub(super) fn grant(&self, ttl: Duration) -> LeaseId {
        let mut state = self.lock();
        state.granted += 1;
        let lease = state.granted;
        let end = Instant::now() + state.lasts(ttl);
        state.leases.insert(lease, (ttl, end));
        drop(state);
        self.changed.send_replace(());
        lease
    }

    pub(super) fn keep_alive(&self, lease: LeaseId) -> bool {
        let mut state = self.lock();
        let Some((ttl, _)) = state.leases.get(&lease).copied() else {
            return false;
        };
        let end = Instant::now() + state.lasts(ttl);
        state.leases.insert(lease, (ttl, end));
        true
    }

    pub(super) fn revoke(&self, lease: LeaseId) -> bool {
        let known = self.lock().end_lease(lease, Instant::now());
        self.changed.send_replace(());
        known
    }

    /// Somebody puts what stands at a key to another, too.
    pub(in super::super) fn move_entry(&self, from: &str, to: &str) {
        let value = self.range(from).entries[0].value.clone();
        let key = to.to_owned();
        let lease = None;
        self.txn(&[], &[Op::Put { key, value, lease }], &[])
            .unwrap();
    }

    /// Somebody removes a key.
    pub(in super::super) fn remove_entry(&self, key: &str) {
        self.txn(&[], &[Op::Delete(key.to_owned())], &[]).unwrap();
    }

    /// How many leases there are.
    pub(in super::super) fn leases(&self) -> usize {
        self.lock().leases.len()
    }

    /// How many changes there were.
    pub(in super::super) fn revision(&self) -> Revision {
        self.lock().revision
    }

    /// What changed since `seen` changes, and when it did.
    pub(super) fn since(&self, seen: usize) -> Vec<(Instant, Event)> {
        self.lock().log.iter().skip(seen).cloned().collect()
    }

    /// How many changes there were of before `revision`.
    pub(super) fn before(&self, revision: Revision) -> usize {
        let earlier = |(_, event): &&(Instant, Event)| match event {
            Event::Put(entry) => entry.changed < revision,
            Event::Gone { revision: at, .. } => *at < revision,
        };
        self.lock().log.iter().take_while(earlier).count()
    }

    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Ends what is due, and tells whoever watches.
    fn touch(&self) {
        drop(self.lock());
        self.changed.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.expire(Instant::now()) {
            self.changed.send_replace(());
        }
        state
    }
}
