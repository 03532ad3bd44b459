//! Replicas that work as the front ends do, and a record of what they did, which is held against what
//! must never happen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::replica::Replica;
use super::server::Server;
use crate::broker::ports::{Claim, Coordination};
use crate::coordination::etcd::store::envelope::Kind;
use crate::coordination::etcd::store::{EtcdStore, Settings};

const PAUSE: Duration = Duration::from_millis(300);
const COUNTER: &str = "counter";
const LEFT: &str = "left/";

/// Some replicas on one etcd.
pub(in super::super) struct World {
    pub(in super::super) server: Arc<Server>,
    pub(in super::super) replicas: Vec<Option<Replica>>,
    pub(in super::super) record: Arc<Record>,
    epoch: Instant,
    started: u64,
}

/// What was done, and what was wrong with it.
#[derive(Default)]
pub(in super::super) struct Record(Mutex<Facts>);

#[derive(Default)]
struct Facts {
    /// Who was told to have what, in order.
    holds: Vec<Hold>,
    /// The keys that somebody wanted done, with the processes that were asked.
    wanted: BTreeMap<String, BTreeSet<usize>>,
    /// Who has which entry, the last first told.
    heirs: BTreeMap<String, Owner>,
    counted: u64,
    unclear: u64,
    wrong: Vec<String>,
}

struct Hold {
    key: String,
    owner: Owner,
    over: bool,
}

/// A term of a process.
#[derive(Clone)]
struct Owner {
    store: Arc<EtcdStore>,
    process: usize,
    term: u64,
}

impl Owner {
    /// Whether it may act at this moment.
    fn acts(&self) -> bool {
        self.store.term() == Some(self.term)
    }
}

impl Record {
    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap()
    }

    /// What was wrong.
    pub(in super::super) fn wrong(&self) -> Vec<String> {
        self.lock().wrong.clone()
    }

    /// `owner` was told that `key` is theirs. Returns the number of that.
    fn has(&self, key: &str, owner: &Owner, claim: Claim) -> usize {
        let mut facts = self.lock();
        let same: Vec<_> = facts.holds.iter().filter(|hold| hold.key == key).collect();
        let mut wrong = vec![];
        if claim == Claim::Ours && !same.is_empty() {
            wrong.push(format!(
                "{key}: told to be new to {} after others",
                owner.process
            ));
        }
        for hold in same {
            if !hold.over && hold.owner.acts() {
                let (one, other) = (hold.owner.process, owner.process);
                wrong.push(format!("{key}: {one} and {other} have it at once"));
            }
        }
        facts.wrong.extend(wrong);
        let (key, owner, over) = (key.to_owned(), owner.clone(), false);
        facts.holds.push(Hold { key, owner, over });
        facts.holds.len() - 1
    }

    /// What `hold` was for is done.
    fn acts(&self, hold: usize) {
        let mut facts = self.lock();
        let Hold { key, owner, .. } = &facts.holds[hold];
        let later = facts.holds.iter().skip(hold + 1).find(|it| it.key == *key);
        if let Some(later) = later {
            let (one, other) = (owner.process, later.owner.process);
            let wrong = format!("{key}: {one} acts after {other} has it");
            facts.wrong.push(wrong);
        }
    }

    fn over(&self, hold: usize) {
        self.lock().holds[hold].over = true;
    }

    /// `owner` is told to have the entry `key` from now on.
    fn inherits(&self, key: &str, owner: &Owner) {
        let mut facts = self.lock();
        let before = facts.heirs.insert(key.to_owned(), owner.clone());
        if let Some(before) = before
            && before.acts()
        {
            let (one, other) = (before.process, owner.process);
            facts
                .wrong
                .push(format!("{key}: inherited by {other} while {one} has it"));
        }
    }
}

impl World {
    /// Starts `count` replicas.
    pub(in super::super) async fn new(count: usize) -> Self {
        let server = Arc::new(Server::new());
        let mut world = Self {
            server,
            replicas: vec![],
            record: Arc::default(),
            epoch: Instant::now(),
            started: 0,
        };
        for number in 0..count {
            world.replicas.push(None);
            world.start(number);
        }
        for replica in world.replicas.iter().flatten() {
            replica.joined().await;
        }
        world
    }

    /// Starts a replica that was killed, or kills it and starts it.
    pub(in super::super) fn start(&mut self, number: usize) {
        self.started += 1;
        let mut replica =
            Replica::start(&self.server, self.epoch, self.started, &Settings::default());
        let process = usize::try_from(self.started).unwrap();
        let heir = heir(
            Arc::clone(&replica.store),
            process,
            Arc::clone(&self.record),
        );
        replica.spawn(heir);
        self.replicas[number] = Some(replica);
    }

    /// `kill -9`.
    pub(in super::super) fn kill(&mut self, number: usize) {
        self.replicas[number] = None;
    }

    /// Asks replica `number` for what is to be done once.
    pub(in super::super) fn deliver(&mut self, number: usize, key: &str, takes: Duration) {
        let record = Arc::clone(&self.record);
        if let Some((replica, process)) = self.replica(number) {
            record
                .lock()
                .wanted
                .entry(key.to_owned())
                .or_default()
                .insert(process);
            let store = Arc::clone(&replica.store);
            replica.spawn(work(store, process, record, key.to_owned(), takes));
        }
    }

    pub(in super::super) fn count(&mut self, number: usize) {
        let record = Arc::clone(&self.record);
        if let Some((replica, _)) = self.replica(number) {
            let store = Arc::clone(&replica.store);
            replica.spawn(count(store, record));
        }
    }

    /// Has replica `number` keep something that others must inherit.
    pub(in super::super) fn keep(&mut self, number: usize, name: usize) {
        let record = Arc::clone(&self.record);
        if let Some((replica, process)) = self.replica(number) {
            let store = Arc::clone(&replica.store);
            replica.spawn(keep(store, process, record, format!("{LEFT}{name}")));
        }
    }

    fn replica(&mut self, number: usize) -> Option<(&mut Replica, usize)> {
        let replica = self.replicas[number].as_mut()?;
        replica.reap();
        let process = replica.process;
        Some((replica, process))
    }

    /// Ends all that goes wrong, waits, and says what is not as it must be by then.
    pub(in super::super) async fn settle(&mut self) -> Vec<String> {
        for replica in self.replicas.iter().flatten() {
            replica.link.heal();
            replica.clock.shift(0);
            replica.thaw();
        }
        if self.replicas.iter().all(Option::is_none) {
            self.start(0);
        }
        sleep(Duration::from_secs(75)).await;
        let mut wrong = self.record.wrong();
        let alive: BTreeMap<_, _> = self
            .replicas
            .iter()
            .flatten()
            .map(|it| (it.process, &it.store))
            .collect();
        let Some(store) = alive.values().next() else {
            return wrong;
        };
        let (wanted, heirs, counted, unclear) = {
            let facts = self.record.lock();
            (
                facts.wanted.clone(),
                facts.heirs.clone(),
                facts.counted,
                facts.unclear,
            )
        };
        for (key, asked) in wanted {
            let place = store.layout.state(&key);
            let found = store.look(&place).await.unwrap();
            let opened = found.map(|entry| store.envelopes.open(&place, &entry.value).unwrap());
            let kind = opened.map(|(head, _)| head.kind);
            let asked = asked.iter().any(|process| alive.contains_key(process));
            if asked && !matches!(kind, Some(Kind::Done { .. })) {
                wrong.push(format!("{key}: not done in the end, but {kind:?}"));
            }
        }
        for (key, owner) in heirs {
            if !alive.contains_key(&owner.process) {
                wrong.push(format!(
                    "{key}: still that of {}, which ended",
                    owner.process
                ));
            }
        }
        let count = number(store.get(COUNTER).await.unwrap().as_deref());
        if count < counted || count > counted + unclear {
            wrong.push(format!(
                "counted to {count}: {counted} did, {unclear} may have"
            ));
        }
        wrong
    }
}

/// Does once what `key` stands for, as a front end does.
async fn work(
    store: Arc<EtcdStore>,
    process: usize,
    record: Arc<Record>,
    key: String,
    takes: Duration,
) {
    loop {
        let until = store.clock.now() + Duration::from_hours(1);
        let claim = match store.claim(&key, until).await {
            Ok(Claim::Taken | Claim::Done) => return,
            Ok(claim @ (Claim::Ours | Claim::Abandoned)) => claim,
            Err(_) => {
                sleep(PAUSE).await;
                continue;
            }
        };
        let term = store.term().unwrap();
        let owner = Owner {
            store: Arc::clone(&store),
            process,
            term,
        };
        let hold = record.has(&key, &owner, claim);
        sleep(takes).await;
        if !owner.acts() {
            sleep(PAUSE).await;
            continue;
        }
        record.acts(hold);
        while owner.acts() {
            if store.finish(&key).await.is_ok() {
                record.over(hold);
                return;
            }
            sleep(PAUSE).await;
        }
    }
}

/// Adds one to the counter.
async fn count(store: Arc<EtcdStore>, record: Arc<Record>) {
    for _ in 0..20 {
        let Ok(before) = store.get(COUNTER).await else {
            return;
        };
        let after = (number(before.as_deref()) + 1).to_string();
        // Whoever is killed before the answer may have counted.
        record.lock().unclear += 1;
        let swapped = store.swap(COUNTER, before.as_deref(), Some(after.as_bytes()));
        match swapped.await {
            Ok(true) => {
                let mut facts = record.lock();
                facts.unclear -= 1;
                facts.counted += 1;
                return;
            }
            Ok(false) => record.lock().unclear -= 1,
            Err(_) => return,
        }
    }
}

fn number(value: Option<&[u8]>) -> u64 {
    value.map_or(0, |value| {
        std::str::from_utf8(value).unwrap().parse().unwrap()
    })
}

async fn keep(store: Arc<EtcdStore>, process: usize, record: Arc<Record>, key: String) {
    let Some(term) = store.term() else { return };
    if store.put(&key, b"value").await.is_ok() {
        // Somebody may have inherited it before we know.
        let mut facts = record.lock();
        facts.heirs.entry(key).or_insert(Owner {
            store,
            process,
            term,
        });
    }
}

/// Takes what others left, whenever there may be something.
async fn heir(store: Arc<EtcdStore>, process: usize, record: Arc<Record>) {
    loop {
        if let Ok(found) = store.inherit(LEFT).await {
            // It may have been lost since; then it is another's to inherit.
            let term = store.term().unwrap_or(0);
            let owner = Owner {
                store: Arc::clone(&store),
                process,
                term,
            };
            for (key, _) in found {
                record.inherits(&key, &owner);
            }
        }
        store.bereaved().await;
    }
}
