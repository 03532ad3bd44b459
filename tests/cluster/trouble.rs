//! What goes wrong among replicas: now and then one thing, chosen by chance.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::company::Company;

/// How long etcd serves nobody when two of its nodes are gone.
const QUORUM_LOST: Duration = Duration::from_secs(10);

/// Makes trouble.
pub(crate) struct Trouble {
    random: StdRng,
    next: Instant,
    /// What ends when. Of each replica and of etcd there is one thing at a time.
    lasting: Vec<(Instant, Lasting)>,
    /// What is still to happen before all of it happens again.
    kinds: Vec<Kind>,
    made: BTreeMap<&'static str, u32>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Kill,
    Restart,
    Stop,
    Cut,
    KillLeader,
    StopLeader,
    Quorum,
    Telegram,
}

/// How often each happens in a round.
const DECK: [Kind; 18] = [
    Kind::Kill,
    Kind::Kill,
    Kind::Kill,
    Kind::Kill,
    Kind::Restart,
    Kind::Restart,
    Kind::Stop,
    Kind::Stop,
    Kind::Stop,
    Kind::Cut,
    Kind::Cut,
    Kind::Cut,
    Kind::KillLeader,
    Kind::KillLeader,
    Kind::StopLeader,
    Kind::Quorum,
    Kind::Telegram,
    Kind::Telegram,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lasting {
    /// A vaultgram that was killed.
    Gone(usize),
    /// One that is stopped by SIGSTOP: for the others it may be gone.
    Stopped(usize),
    /// One that does not reach etcd.
    Cut(usize),
    /// A node of etcd that was killed.
    NodeGone(usize),
    /// One that is stopped by SIGSTOP.
    NodeStopped(usize),
}

impl Trouble {
    pub(crate) fn new(random: StdRng) -> Self {
        Self {
            random,
            next: Instant::now(),
            lasting: vec![],
            kinds: vec![],
            made: BTreeMap::new(),
        }
    }

    /// Ends what is over, and makes the next trouble, if it is time.
    pub(crate) fn step(&mut self, company: &mut Company) {
        let now = Instant::now();
        while let Some(over) = self.lasting.iter().position(|(until, _)| *until <= now) {
            let (_, which) = self.lasting.remove(over);
            which.end(company);
        }
        for replica in 0..company.replicas.len() {
            if company.replicas[replica].gave_up() {
                company.spawn(replica);
                *self
                    .made
                    .entry("started again by a supervisor")
                    .or_default() += 1;
            }
        }
        if now < self.next {
            return;
        }
        self.next = now + Duration::from_millis(self.random.random_range(100..1000));
        let replica = self.random.random_range(0..company.replicas.len());
        let in_trouble = self.lasting.iter().any(|(_, which)| which.is_of(replica));
        let kind = self.draw();
        let name = match kind {
            Kind::Kill if !in_trouble => {
                company.replicas[replica].kill();
                self.lasts(Lasting::Gone(replica), 100..5000);
                "kill -9"
            }
            Kind::Restart if !in_trouble => {
                company.replicas[replica].kill();
                company.spawn(replica);
                "kill -9 with a start at once"
            }
            Kind::Stop if !in_trouble => {
                company.replicas[replica].pause(true);
                self.lasts(Lasting::Stopped(replica), 200..6000);
                "SIGSTOP"
            }
            Kind::Cut if !in_trouble => {
                company.replicas[replica].cut(true);
                self.lasts(Lasting::Cut(replica), 200..6000);
                "cut off from etcd"
            }
            Kind::KillLeader if !self.etcd_is_in_trouble() => {
                let leader = tokio::task::block_in_place(|| company.etcd.leader());
                tokio::task::block_in_place(|| company.etcd.kill(leader));
                self.lasts(Lasting::NodeGone(leader), 500..6000);
                "etcd's leader killed"
            }
            Kind::StopLeader if !self.etcd_is_in_trouble() => {
                let leader = tokio::task::block_in_place(|| company.etcd.leader());
                company.etcd.pause(leader);
                self.lasts(Lasting::NodeStopped(leader), 500..6000);
                "etcd's leader stopped"
            }
            Kind::Quorum if !self.etcd_is_in_trouble() => {
                let first = self.random.random_range(0..3);
                let until = Instant::now() + QUORUM_LOST;
                for node in [first, (first + 1) % 3] {
                    tokio::task::block_in_place(|| company.etcd.kill(node));
                    self.lasting.push((until, Lasting::NodeGone(node)));
                }
                "etcd without a quorum"
            }
            Kind::Telegram => {
                company.stage.dc.drop_connections();
                "connections to Telegram dropped"
            }
            // Not now: it comes next.
            Kind::Kill
            | Kind::Restart
            | Kind::Stop
            | Kind::Cut
            | Kind::KillLeader
            | Kind::StopLeader
            | Kind::Quorum => {
                self.kinds.push(kind);
                return;
            }
        };
        *self.made.entry(name).or_default() += 1;
    }

    /// Everything works again, and every replica runs.
    pub(crate) fn end(&mut self, company: &mut Company) {
        for (_, which) in self.lasting.drain(..) {
            which.end(company);
        }
    }

    pub(crate) fn report(&self) -> String {
        let made = self
            .made
            .iter()
            .map(|(name, times)| format!("{times} {name}"));
        format!("trouble: {}", made.collect::<Vec<_>>().join(", "))
    }

    /// Each kind as often as it stands in the deck, in an order of chance, and then again.
    fn draw(&mut self) -> Kind {
        if self.kinds.is_empty() {
            self.kinds = DECK.to_vec();
            self.kinds.shuffle(&mut self.random);
        }
        self.kinds.pop().unwrap()
    }

    fn lasts(&mut self, which: Lasting, milliseconds: std::ops::Range<u64>) {
        let time = Duration::from_millis(self.random.random_range(milliseconds));
        self.lasting.push((Instant::now() + time, which));
    }

    fn etcd_is_in_trouble(&self) -> bool {
        let mut all = self.lasting.iter();
        all.any(|(_, which)| matches!(which, Lasting::NodeGone(_) | Lasting::NodeStopped(_)))
    }
}

impl Lasting {
    fn is_of(self, replica: usize) -> bool {
        match self {
            Self::Gone(one) | Self::Stopped(one) | Self::Cut(one) => one == replica,
            Self::NodeGone(_) | Self::NodeStopped(_) => false,
        }
    }

    fn end(self, company: &mut Company) {
        match self {
            Self::Gone(replica) => company.spawn(replica),
            Self::Stopped(replica) => company.replicas[replica].pause(false),
            Self::Cut(replica) => company.replicas[replica].cut(false),
            Self::NodeGone(node) => tokio::task::block_in_place(|| company.etcd.restart(node)),
            Self::NodeStopped(node) => company.etcd.resume(node),
        }
    }
}
