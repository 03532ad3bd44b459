//! Replicas that work as the front ends do.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::record::{Owner, Record};
use super::replica::Replica;
use super::server::Server;
use crate::broker::ports::{Claim, Coordination};
use crate::coordination::etcd::store::{EtcdStore, Settings};

const PAUSE: Duration = Duration::from_millis(300);
const COUNTER: &str = "counter";
const LEFT: &str = "left/";
/// After this long nothing comes late any more, whatever went wrong.
const LATE: Duration = Duration::from_secs(10);
/// And after this long all is done: whoever waits for a claim has given up.
const SETTLED: Duration = Duration::from_secs(75);

/// Some replicas on one etcd.
pub(super) struct World {
    pub(super) server: Arc<Server>,
    pub(super) replicas: Vec<Option<Replica>>,
    pub(super) record: Arc<Record>,
    epoch: Instant,
    started: u64,
}

/// Something to do once.
pub(super) struct Task {
    pub(super) key: String,
    /// How long it takes.
    pub(super) takes: Duration,
    /// After how long whoever wants it goes away, unless it is begun.
    pub(super) patience: Option<Duration>,
    /// Whoever may not act any more when it comes to that says so and finishes, as with a command, and does
    /// not claim it anew.
    pub(super) excuses: bool,
}

impl World {
    /// Starts `count` replicas.
    pub(super) async fn new(count: usize) -> Self {
        let server = Arc::new(Server::new());
        let mut world = Self {
            record: Arc::new(Record::new(Arc::clone(&server))),
            server,
            replicas: vec![],
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
    pub(super) fn start(&mut self, number: usize) {
        self.start_with(number, number);
    }

    /// As [`World::start`], with the session of another replica.
    pub(super) fn start_with(&mut self, number: usize, session: usize) {
        self.kill(number);
        self.started += 1;
        let settings = Settings {
            session: Some(session.to_string()),
            ..Settings::default()
        };
        let mut replica = Replica::start(&self.server, self.epoch, self.started, &settings);
        let (process, store) = (replica.process, Arc::clone(&replica.store));
        self.record.started(process, session, Arc::clone(&store));
        replica.spawn(heir(store, process, Arc::clone(&self.record)));
        self.replicas[number] = Some(replica);
    }

    /// `kill -9`.
    pub(super) fn kill(&mut self, number: usize) {
        if let Some(replica) = self.replicas[number].take() {
            self.record.killed(replica.process);
        }
    }

    /// Asks replica `number` for `task`.
    pub(super) fn deliver(&mut self, number: usize, task: Task) {
        let record = Arc::clone(&self.record);
        if let Some((replica, process)) = self.replica(number) {
            if task.patience.is_none() && !task.excuses {
                let mut facts = record.lock();
                let asked = facts.wanted.entry(task.key.clone()).or_default();
                asked.insert(process);
            }
            let store = Arc::clone(&replica.store);
            replica.spawn(work(store, process, record, task));
        }
    }

    pub(super) fn count(&mut self, number: usize) {
        let record = Arc::clone(&self.record);
        if let Some((replica, _)) = self.replica(number) {
            let store = Arc::clone(&replica.store);
            replica.spawn(count(store, record));
        }
    }

    /// Has replica `number` keep something that others must inherit.
    pub(super) fn keep(&mut self, number: usize, name: usize) {
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
    pub(super) async fn settle(&mut self) -> Vec<String> {
        for replica in self.replicas.iter().flatten() {
            replica.link.heal();
            replica.clock.shift(0);
            replica.thaw();
        }
        if self.replicas.iter().all(Option::is_none) {
            self.start(0);
        }
        let begin = Instant::now();
        sleep(LATE).await;
        loop {
            let wrong = self.record.wrong();
            if !wrong.is_empty() {
                return wrong;
            }
            let unsettled = self.unsettled();
            let waits = begin.elapsed() < SETTLED;
            if !waits || unsettled.is_empty() && self.is_idle() {
                return unsettled;
            }
            sleep(LATE / 2).await;
        }
    }

    /// What is not as it must be in the end. Who was refused for ever is started anew.
    fn unsettled(&mut self) -> Vec<String> {
        for number in 0..self.replicas.len() {
            let refused = |it: &Replica| it.store.membership.over();
            if self.replicas[number].as_ref().is_some_and(refused) {
                self.start(number);
            }
        }
        let Some(replica) = self.replicas.iter().flatten().next() else {
            return vec![];
        };
        let store = &replica.store;
        let place = store.layout.state(COUNTER);
        let count = self.server.entry(&place).map_or(0, |entry| {
            let (_, value) = store.envelopes.open(&place, &entry.value).unwrap();
            number(Some(&value))
        });
        self.record.unsettled(store, LEFT, count)
    }

    /// Whether nobody works.
    fn is_idle(&mut self) -> bool {
        // Each is a member, and takes what others left.
        let idle = |replica: &mut Replica| replica.tasks() == 2;
        self.replicas.iter_mut().flatten().all(idle)
    }
}

/// Does `task`, as a front end does.
async fn work(store: Arc<EtcdStore>, process: usize, record: Arc<Record>, task: Task) {
    let Task {
        key,
        takes,
        mut patience,
        excuses,
    } = task;
    loop {
        let until = store.clock.now() + Duration::from_hours(1);
        let claiming = store.claim(&key, until);
        let claimed = match patience {
            None => claiming.await,
            Some(patience) => match timeout(patience, claiming).await {
                Ok(claimed) => claimed,
                Err(_) => return,
            },
        };
        let claim = match claimed {
            Ok(Claim::Taken | Claim::Done) => return,
            Ok(claim @ (Claim::Ours | Claim::Abandoned)) => claim,
            Err(_) if patience.is_some() => return,
            Err(_) => {
                sleep(PAUSE).await;
                continue;
            }
        };
        // It is begun: others were told that it is under way, and leave it to this one.
        patience = None;
        let term = store.term().unwrap();
        let owner = Owner {
            store: Arc::clone(&store),
            process,
            term,
        };
        let hold = record.has(&key, &owner, claim);
        sleep(takes).await;
        if owner.acts() {
            record.acts(hold);
        } else if !excuses {
            sleep(PAUSE).await;
            continue;
        }
        while owner.acts() || excuses {
            if store.finish(&key).await.is_ok() {
                record.finished(hold);
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
        let owner = Owner {
            store,
            process,
            term,
        };
        record.keeps(key, owner);
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
