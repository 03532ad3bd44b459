//! What replicas did, held against what must never happen: at each change of the simulated etcd, and
//! whenever one of them is told something.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use super::server::Server;
use crate::broker::ports::{Claim, Coordination};
use crate::coordination::etcd::kv::Event;
use crate::coordination::etcd::store::EtcdStore;
use crate::coordination::etcd::store::envelope::{Head, Kind};
use crate::coordination::etcd::store::layout::{MemberId, Place};

/// What was done, and what was wrong with it.
pub(super) struct Record {
    server: Arc<Server>,
    facts: Mutex<Facts>,
}

#[derive(Default)]
pub(super) struct Facts {
    living: BTreeMap<usize, Process>,
    /// Who was told to have what, in order.
    holds: Vec<Hold>,
    /// The keys that are to be done in the end, with the processes that were asked.
    pub(super) wanted: BTreeMap<String, BTreeSet<usize>>,
    /// Who has which entry, the last first told.
    heirs: BTreeMap<String, Owner>,
    pub(super) counted: u64,
    pub(super) unclear: u64,
    wrong: Vec<String>,
}

/// One that was not killed.
struct Process {
    store: Arc<EtcdStore>,
    session: usize,
    /// The last term that it was seen in.
    last: u64,
    /// The last of its terms that was seen to be over.
    over: u64,
}

struct Hold {
    key: String,
    owner: Owner,
    over: bool,
}

/// A term of a process.
#[derive(Clone)]
pub(super) struct Owner {
    pub(super) store: Arc<EtcdStore>,
    pub(super) process: usize,
    pub(super) term: u64,
}

impl Owner {
    /// Whether it may act at this moment.
    pub(super) fn acts(&self) -> bool {
        self.store.term() == Some(self.term)
    }

    fn id(&self) -> MemberId {
        let process = self.store.membership.process();
        let term = self.term;
        MemberId { process, term }
    }
}

impl Facts {
    fn wrong(&mut self, what: String) {
        if !self.wrong.contains(&what) {
            self.wrong.push(what);
        }
    }

    /// Whether `process` may yet do something: it was neither killed nor refused.
    fn lives(&self, process: usize) -> bool {
        let found = self.living.get(&process);
        found.is_some_and(|it| !it.store.membership.over())
    }

    /// A membership of this process has ended, says etcd.
    fn ended(&mut self, id: MemberId) {
        let acting = self.living.iter().find(|(_, it)| {
            it.store.membership.process() == id.process && it.store.term() == Some(id.term)
        });
        if let Some((process, _)) = acting {
            let wrong = format!("{process} takes itself for a member when it is none");
            self.wrong(wrong);
        }
    }

    /// Looks at the terms of all.
    fn look_at_terms(&mut self) {
        let mut sessions = BTreeMap::new();
        let mut found = vec![];
        for (number, process) in &mut self.living {
            let Some(term) = process.store.term() else {
                process.over = process.last;
                continue;
            };
            process.last = term;
            if term <= process.over {
                found.push(format!("{number} is back in its term {term}"));
            }
            if let Some(other) = sessions.insert(process.session, *number) {
                found.push(format!("{other} and {number} use one session"));
            }
        }
        for wrong in found {
            self.wrong(wrong);
        }
    }
}

impl Record {
    pub(super) fn new(server: Arc<Server>) -> Self {
        let facts = Mutex::default();
        Self { server, facts }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap()
    }

    /// Looks at every change. Never returns.
    pub(super) async fn attend(&self) {
        let mut changes = self.server.changes();
        let mut seen = 0;
        loop {
            let events = self.server.since(seen);
            seen += events.len();
            let gone = events.into_iter().filter_map(|(_, event)| match event {
                Event::Gone { key, .. } => Some(key),
                Event::Put(_) => None,
            });
            self.look(gone);
            changes.changed().await.unwrap();
        }
    }

    fn look(&self, gone: impl Iterator<Item = String>) {
        let mut facts = self.lock();
        for key in gone {
            if let Some(process) = facts.living.values().next()
                && let Place::Member(id) = process.store.layout.place(&key)
            {
                facts.ended(id);
            }
        }
        facts.look_at_terms();
    }

    pub(super) fn started(&self, process: usize, session: usize, store: Arc<EtcdStore>) {
        let process_of = Process {
            store,
            session,
            last: 0,
            over: 0,
        };
        self.lock().living.insert(process, process_of);
    }

    pub(super) fn killed(&self, process: usize) {
        self.lock().living.remove(&process);
    }

    /// What stands at `key`.
    fn head(&self, store: &EtcdStore, key: &str) -> Option<Head> {
        let place = store.layout.state(key);
        let entry = self.server.entry(&place)?;
        let (head, _) = store.envelopes.open(&place, &entry.value).unwrap();
        Some(head)
    }

    /// `owner` was told that `key` is theirs. Returns the number of that.
    pub(super) fn has(&self, key: &str, owner: &Owner, claim: Claim) -> usize {
        let head = self.head(&owner.store, key);
        let mut facts = self.lock();
        let same: Vec<_> = facts.holds.iter().filter(|hold| hold.key == key).collect();
        let other = owner.process;
        let mut wrong = vec![];
        if claim == Claim::Ours && !same.is_empty() {
            wrong.push(format!("{key}: told to be new to {other} after others"));
        }
        for hold in same {
            if !hold.over && hold.owner.acts() {
                let one = hold.owner.process;
                wrong.push(format!("{key}: {one} and {other} have it at once"));
            }
        }
        let claimed =
            |head: &Head| head.owner == owner.id() && matches!(head.kind, Kind::Claimed { .. });
        if !head.as_ref().is_some_and(claimed) {
            let kind = head.map(|head| head.kind);
            wrong.push(format!(
                "{key}: {other} is told to have it, but there is {kind:?}"
            ));
        }
        for wrong in wrong {
            facts.wrong(wrong);
        }
        let (key, owner, over) = (key.to_owned(), owner.clone(), false);
        facts.holds.push(Hold { key, owner, over });
        facts.holds.len() - 1
    }

    /// What `hold` was for is done.
    pub(super) fn acts(&self, hold: usize) {
        let mut facts = self.lock();
        let Hold { key, owner, .. } = &facts.holds[hold];
        let later = facts.holds.iter().skip(hold + 1).find(|it| it.key == *key);
        if let Some(later) = later {
            let (one, other) = (owner.process, later.owner.process);
            let wrong = format!("{key}: {one} acts after {other} has it");
            facts.wrong(wrong);
        }
    }

    /// Who has `hold` said that it is done, and etcd took it.
    pub(super) fn finished(&self, hold: usize) {
        let mut facts = self.lock();
        let Hold { key, owner, .. } = &facts.holds[hold];
        let head = self.head(&owner.store, key);
        let done = |head: &Head| {
            head.owner.process == owner.id().process && matches!(head.kind, Kind::Done { .. })
        };
        let done = head.as_ref().is_some_and(done);
        let last = facts.holds.iter().rfind(|it| it.key == *key);
        let last = last.map_or(owner.process, |last| last.owner.process);
        let one = owner.process;
        let wrong = if done && last != one {
            Some(format!("{key}: {one} ends what {last} has"))
        } else if !done && owner.acts() {
            Some(format!("{key}: {one} ends it, but there is {head:?}"))
        } else {
            None
        };
        if let Some(wrong) = wrong {
            facts.wrong(wrong);
        }
        facts.holds[hold].over = true;
    }

    /// `owner` has set the entry `key`.
    pub(super) fn keeps(&self, key: String, owner: Owner) {
        // Somebody may have inherited it before we know.
        self.lock().heirs.entry(key).or_insert(owner);
    }

    /// `owner` is told to have the entry `key` from now on.
    pub(super) fn inherits(&self, key: &str, owner: &Owner) {
        let mut facts = self.lock();
        let before = facts.heirs.insert(key.to_owned(), owner.clone());
        if let Some(before) = before
            && before.acts()
        {
            let (one, other) = (before.process, owner.process);
            facts.wrong(format!("{key}: inherited by {other} while {one} has it"));
        }
    }

    /// What was wrong at any time.
    pub(super) fn wrong(&self) -> Vec<String> {
        self.lock().wrong.clone()
    }

    /// What is not as it must be in the end, as `store` names things. Entries below `left` are always
    /// somebody's; `count` is what was counted to.
    pub(super) fn unsettled(&self, store: &EtcdStore, left: &str, count: u64) -> Vec<String> {
        let mut wrong = vec![];
        let facts = self.lock();
        for (key, asked) in &facts.wanted {
            let kind = self.head(store, key).map(|head| head.kind);
            let asked = asked.iter().any(|process| facts.lives(*process));
            if asked && !matches!(kind, Some(Kind::Done { .. })) {
                wrong.push(format!("{key}: not done in the end, but {kind:?}"));
            }
        }
        for (key, owner) in &facts.heirs {
            if !facts.lives(owner.process) {
                wrong.push(format!(
                    "{key}: still that of {}, which ended",
                    owner.process
                ));
            }
        }
        let processes = facts
            .living
            .values()
            .filter(|it| !it.store.membership.over());
        let processes: BTreeSet<_> = processes.map(|it| it.store.membership.process()).collect();
        for entry in self.server.range(&store.layout.state(left)).entries {
            let (head, _) = store.envelopes.open(&entry.key, &entry.value).unwrap();
            if !processes.contains(&head.owner.process) {
                wrong.push(format!("{}: is left to nobody", entry.key));
            }
        }
        let Facts {
            counted, unclear, ..
        } = *facts;
        if count < counted || count > counted + unclear {
            wrong.push(format!(
                "counted to {count}: {counted} did, {unclear} may have"
            ));
        }
        wrong
    }
}
