//! Several processes that share one state, in memory: each has a [`Member`] of a [`Company`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use time::OffsetDateTime;
use tokio::sync::watch;
use vaultgram::broker::ports::{Claim, Coordination, CoordinationError};

/// The state, and who shares it.
pub(crate) struct Company {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    ended: watch::Sender<u64>,
    /// The longest that a claim waits for whoever has it.
    patience: Mutex<Duration>,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<String, Entry>,
    members: Vec<Standing>,
    broken: bool,
}

struct Entry {
    owner: usize,
    kind: Kind,
    value: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Set,
    Claimed,
    Done,
}

/// How a process stands with the others.
struct Standing {
    /// `None`: it has ended.
    lives: bool,
    /// Others take it for ended while it has none.
    term: Option<u64>,
    terms: u64,
    /// What it finishes stays as it is, and nobody hears of it.
    forgetful: bool,
}

/// One process's way to the state.
pub(crate) struct Member {
    company: Arc<Company>,
    number: usize,
}

impl Company {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            changed: watch::Sender::new(0),
            ended: watch::Sender::new(0),
            patience: Mutex::new(Duration::from_mins(1)),
        })
    }

    pub(crate) fn join(self: &Arc<Self>) -> Arc<Member> {
        let mut state = self.state.lock().unwrap();
        state.members.push(Standing {
            lives: true,
            term: Some(1),
            terms: 1,
            forgetful: false,
        });
        Arc::new(Member {
            company: Arc::clone(self),
            number: state.members.len() - 1,
        })
    }

    /// Whoever claims waits no longer than this for whoever has it.
    pub(crate) fn set_patience(&self, patience: Duration) {
        *self.patience.lock().unwrap() = patience;
    }

    /// How many wait for what another has claimed.
    pub(crate) fn waiting(&self) -> usize {
        self.changed.receiver_count()
    }

    /// Nobody reaches the state, or everybody does again.
    pub(crate) fn set_broken(&self, broken: bool) {
        self.state.lock().unwrap().broken = broken;
    }

    pub(crate) fn count(&self, prefix: &str) -> usize {
        let state = self.state.lock().unwrap();
        let keys = state.entries.keys();
        keys.filter(|key| key.starts_with(prefix)).count()
    }

    /// Which process wrote the first entry below `prefix`.
    pub(crate) fn owner(&self, prefix: &str) -> Option<usize> {
        let state = self.state.lock().unwrap();
        let mut found = state
            .entries
            .iter()
            .filter(|(key, _)| key.starts_with(prefix));
        found.next().map(|(_, entry)| entry.owner)
    }

    fn note_change(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}

impl Member {
    /// As if by kill -9.
    pub(crate) fn end(&self) {
        self.stand(|standing| (standing.lives, standing.term) = (false, None));
        self.company.ended.send_modify(|count| *count += 1);
    }

    /// The others take it for ended.
    pub(crate) fn lose_touch(&self) {
        self.stand(|standing| standing.term = None);
        self.company.ended.send_modify(|count| *count += 1);
    }

    pub(crate) fn come_back(&self) {
        self.stand(|standing| {
            standing.terms += 1;
            standing.term = Some(standing.terms);
        });
    }

    /// What it finishes from now on is lost on the way.
    pub(crate) fn forget_to_finish(&self) {
        self.stand(|standing| standing.forgetful = true);
    }

    fn stand(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut self.company.state.lock().unwrap().members[self.number]);
        self.company.note_change();
    }

    /// Looks at the state.
    fn look<T>(&self, look: impl FnOnce(&mut State) -> T) -> Result<T, CoordinationError> {
        let mut state = self.company.state.lock().unwrap();
        if state.broken || !state.members[self.number].lives {
            return Err(CoordinationError("broken by the test".into()));
        }
        Ok(look(&mut state))
    }

    /// Changes the state, which takes a membership.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> Result<T, CoordinationError> {
        let changed = self.try_to(change)?;
        self.company.note_change();
        Ok(changed)
    }

    /// As [`Member::change`], where perhaps nothing changes.
    fn try_to<T>(&self, change: impl FnOnce(&mut State) -> T) -> Result<T, CoordinationError> {
        let changed = self.look(|state| {
            let term = state.members[self.number].term;
            term.map(|_| change(state))
        })?;
        changed.ok_or_else(|| CoordinationError("no member".into()))
    }

    fn entry(&self, kind: Kind, value: &[u8]) -> Entry {
        Entry {
            owner: self.number,
            kind,
            value: value.to_vec(),
        }
    }
}

impl State {
    fn has_ended(&self, member: usize) -> bool {
        self.members[member].term.is_none()
    }
}

#[async_trait]
impl Coordination for Member {
    async fn claim(&self, key: &str, _: OffsetDateTime) -> Result<Claim, CoordinationError> {
        let mut changes = self.company.changed.subscribe();
        let claiming = async {
            loop {
                changes.mark_unchanged();
                let claim = self.try_to(|state| {
                    let Some(found) = state.entries.get(key) else {
                        let entry = self.entry(Kind::Claimed, b"");
                        state.entries.insert(key.to_owned(), entry);
                        return Some(Claim::Ours);
                    };
                    if found.kind != Kind::Claimed {
                        return Some(Claim::Done);
                    }
                    if found.owner == self.number {
                        return Some(Claim::Taken);
                    }
                    if !state.has_ended(found.owner) {
                        return None;
                    }
                    state.entries.get_mut(key).unwrap().owner = self.number;
                    Some(Claim::Abandoned)
                })?;
                match claim {
                    Some(claim) => {
                        self.company.note_change();
                        return Ok(claim);
                    }
                    None => drop(changes.changed().await),
                }
            }
        };
        let patience = *self.company.patience.lock().unwrap();
        tokio::time::timeout(patience, claiming)
            .await
            .unwrap_or(Ok(Claim::Taken))
    }

    async fn finish(&self, key: &str) -> Result<(), CoordinationError> {
        self.change(|state| {
            let forgetful = state.members[self.number].forgetful;
            if let Some(entry) = state.entries.get_mut(key)
                && (entry.kind, entry.owner) == (Kind::Claimed, self.number)
                && !forgetful
            {
                entry.kind = Kind::Done;
            }
        })
    }

    async fn put(&self, key: &str, value: &[u8]) -> Result<(), CoordinationError> {
        let entry = self.entry(Kind::Set, value);
        self.change(|state| drop(state.entries.insert(key.to_owned(), entry)))
    }

    async fn delete(&self, key: &str) -> Result<(), CoordinationError> {
        self.change(|state| drop(state.entries.remove(key)))
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, CoordinationError> {
        self.look(|state| {
            let found = state.entries.get(key).filter(|it| it.kind == Kind::Set);
            found.map(|entry| entry.value.clone())
        })
    }

    async fn swap(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<bool, CoordinationError> {
        self.change(|state| {
            if state.entries.get(key).map(|entry| entry.value.as_slice()) != expected {
                return false;
            }
            match new {
                Some(new) => {
                    let entry = self.entry(Kind::Set, new);
                    state.entries.insert(key.to_owned(), entry)
                }
                None => state.entries.remove(key),
            };
            true
        })
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, CoordinationError> {
        let listed = self.look(|state| {
            let found = state.entries.iter();
            let found = found.filter(|(key, it)| key.starts_with(prefix) && it.kind == Kind::Set);
            found
                .map(|(key, it)| (key.clone(), it.value.clone()))
                .collect()
        });
        // So that others come in between.
        tokio::task::yield_now().await;
        listed
    }

    async fn inherit(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, CoordinationError> {
        self.change(|state| {
            let ended: Vec<bool> = state.members.iter().map(|it| it.term.is_none()).collect();
            let left = state.entries.iter_mut().filter(|(key, entry)| {
                key.starts_with(prefix) && entry.kind == Kind::Set && ended[entry.owner]
            });
            let inherited = left.map(|(key, entry)| {
                entry.owner = self.number;
                (key.clone(), entry.value.clone())
            });
            inherited.collect()
        })
    }

    async fn bereaved(&self) {
        drop(self.company.ended.subscribe().changed().await);
    }

    fn bereavements(&self) -> u64 {
        *self.company.ended.borrow()
    }

    fn term(&self) -> Option<u64> {
        let state = self.company.state.lock().unwrap();
        state.members[self.number].term.filter(|_| !state.broken)
    }

    fn alone(&self) -> bool {
        let state = self.company.state.lock().unwrap();
        let mut others = (0..state.members.len()).filter(|number| *number != self.number);
        !others.any(|number| state.members[number].term.is_some())
    }

    fn shared(&self) -> bool {
        true
    }
}
