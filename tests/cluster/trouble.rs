//! What goes wrong among replicas: now and then one thing, chosen by chance.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;

use crate::company::Company;

/// How long etcd serves nobody when two of its nodes are gone.
const QUORUM_LOST: Duration = Duration::from_secs(10);

/// Makes trouble.
pub(crate) struct Trouble {
    random: StdRng,
    next: Instant,
    /// What ends when. Of each replica and of etcd there is one thing at a time.
    lasting: Vec<(Instant, Lasting)>,
    /// Once in a run is enough: everybody waits.
    quorum_was_lost: bool,
    made: BTreeMap<&'static str, u32>,
}

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
            quorum_was_lost: false,
            made: BTreeMap::new(),
        }
    }

    /// Ends what is over, and makes the next trouble, if it is time.
    pub(crate) async fn step(&mut self, company: &mut Company) {
        let now = Instant::now();
        while let Some(over) = self.lasting.iter().position(|(until, _)| *until <= now) {
            let (_, which) = self.lasting.remove(over);
            which.end(company);
        }
        if now < self.next {
            return;
        }
        self.next = now + Duration::from_millis(self.random.random_range(200..2000));
        let replica = self.random.random_range(0..company.replicas.len());
        let in_trouble = self.lasting.iter().any(|(_, which)| which.is_of(replica));
        let name = match self.random.random_range(0..20) {
            0..6 if !in_trouble => {
                company.replicas[replica].kill();
                self.lasts(Lasting::Gone(replica), 100..5000);
                "kill -9"
            }
            6..8 if !in_trouble => {
                company.replicas[replica].kill();
                company.spawn(replica);
                "kill -9 with a start at once"
            }
            8..12 if !in_trouble => {
                company.replicas[replica].pause(true);
                self.lasts(Lasting::Stopped(replica), 200..6000);
                "SIGSTOP"
            }
            12..15 if !in_trouble => {
                company.replicas[replica].cut(true);
                self.lasts(Lasting::Cut(replica), 200..6000);
                "cut off from etcd"
            }
            15..17 if !self.etcd_is_in_trouble() => self.leader(company),
            17 if !self.etcd_is_in_trouble() && !self.quorum_was_lost => {
                self.quorum_was_lost = true;
                let first = self.random.random_range(0..3);
                for node in [first, (first + 1) % 3] {
                    tokio::task::block_in_place(|| company.etcd.kill(node));
                    let until = Instant::now() + QUORUM_LOST;
                    self.lasting.push((until, Lasting::NodeGone(node)));
                }
                "etcd without a quorum"
            }
            18..20 => {
                company.stage.dc.drop_connections();
                "connections to Telegram dropped"
            }
            _ => return,
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

    fn leader(&mut self, company: &mut Company) -> &'static str {
        let leader = tokio::task::block_in_place(|| company.etcd.leader());
        if self.random.random() {
            tokio::task::block_in_place(|| company.etcd.kill(leader));
            self.lasts(Lasting::NodeGone(leader), 500..6000);
            "etcd's leader killed"
        } else {
            company.etcd.pause(leader);
            self.lasts(Lasting::NodeStopped(leader), 500..6000);
            "etcd's leader stopped"
        }
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
