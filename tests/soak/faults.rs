//! What goes wrong: now and then one thing, chosen by chance.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;
use rustix::process::Signal;
use telegram_dc::Fault;

use crate::stage::Stage;

/// Calls that the broker makes all the time.
const METHODS: [&str; 4] = [
    "messages.sendMessage",
    "messages.deleteMessages",
    "updates.getDifference",
    "updates.getState",
];

/// Makes faults.
pub(crate) struct Faults {
    random: StdRng,
    restarts: bool,
    next: Instant,
    /// When a long fault ends, and which.
    lasting: Option<(Instant, Lasting)>,
    made: BTreeMap<&'static str, u32>,
    /// What was logged before the process that runs.
    log_before: usize,
}

#[derive(Clone, Copy)]
enum Lasting {
    BlackHole,
    Refuse,
    Skew,
}

impl Faults {
    pub(crate) fn new(random: StdRng) -> Self {
        Self {
            random,
            restarts: true,
            next: Instant::now(),
            lasting: None,
            made: BTreeMap::new(),
            log_before: 0,
        }
    }

    /// From now on the process stays.
    pub(crate) fn without_restarts(&mut self) {
        self.restarts = false;
    }

    /// Makes the next fault, if it is time.
    pub(crate) async fn step(&mut self, stage: &mut Stage) {
        let now = Instant::now();
        if let Some((until, which)) = self.lasting
            && now >= until
        {
            which.set(stage, false);
            self.lasting = None;
        }
        if now < self.next {
            return;
        }
        self.next = now + Duration::from_millis(self.random.random_range(50..800));
        // Those for calls that were never made would pile up, and then nothing works for minutes.
        stage.dc.clear_faults();
        let name = match self.random.random_range(0..23) {
            0..4 => {
                stage.dc.drop_connections();
                "connections dropped"
            }
            4..7 => {
                let seconds = self.random.random_range(1..4);
                let times = self.random.random_range(1..6);
                let flood = Fault::error(420, format!("FLOOD_WAIT_{seconds}"));
                stage.dc.fault(self.method(), flood, times);
                "flood waits"
            }
            7..9 => {
                let fault = Fault::error(500, "INTERDC_2_CALL_ERROR");
                stage.dc.fault(self.method(), fault, 3);
                "server errors"
            }
            9..12 => {
                stage.dc.fault(self.method(), Fault::LoseAnswer, 1);
                "answers lost"
            }
            12..14 => {
                stage.dc.fault(self.method(), Fault::Hang, 1);
                "calls left hanging"
            }
            14..16 => {
                stage.dc.rotate_salt();
                "salts rotated"
            }
            16 => self.lasting(stage, Lasting::BlackHole),
            17 => self.lasting(stage, Lasting::Refuse),
            18 => self.lasting(stage, Lasting::Skew),
            _ if !self.restarts => return,
            _ => self.restart(stage).await,
        };
        *self.made.entry(name).or_default() += 1;
    }

    async fn restart(&mut self, stage: &mut Stage) -> &'static str {
        let broker = stage.broker.take().unwrap();
        let name = if self.random.random() {
            broker.kill();
            "kill -9"
        } else {
            // It answers first what it has begun, so silence would only be waited for.
            self.end_lasting(stage);
            broker.terminate();
            let status = broker.exit().await;
            // So soon after its start that nothing had begun, the signal itself ends it.
            let log = stage.log().split_off(self.log_before);
            let too_soon =
                status.signal() == Some(Signal::TERM.as_raw()) && !log.contains("daemon.serving");
            assert!(status.success() || too_soon, "{status}");
            "restarts"
        };
        self.log_before = stage.log().len();
        stage.spawn();
        name
    }

    /// Everything works again.
    pub(crate) fn end(&mut self, stage: &Stage) {
        self.end_lasting(stage);
        stage.dc.clear_faults();
    }

    fn end_lasting(&mut self, stage: &Stage) {
        if let Some((_, which)) = self.lasting.take() {
            which.set(stage, false);
        }
    }

    pub(crate) fn report(&self) -> String {
        let made = self
            .made
            .iter()
            .map(|(name, times)| format!("{times} {name}"));
        format!("faults: {}", made.collect::<Vec<_>>().join(", "))
    }

    fn method(&mut self) -> &'static str {
        METHODS[self.random.random_range(0..METHODS.len())]
    }

    fn lasting(&mut self, stage: &Stage, which: Lasting) -> &'static str {
        if self.lasting.is_none() {
            let milliseconds = self.random.random_range(200..3000);
            which.set(stage, true);
            self.lasting = Some((Instant::now() + Duration::from_millis(milliseconds), which));
        }
        match which {
            Lasting::BlackHole => "silences",
            Lasting::Refuse => "refusals to connect",
            Lasting::Skew => "clock skews",
        }
    }
}

impl Lasting {
    fn set(self, stage: &Stage, on: bool) {
        match self {
            Self::BlackHole => stage.dc.black_hole(on),
            Self::Refuse => stage.dc.refuse(on),
            // Less than what commands may be old.
            Self::Skew => stage.dc.clock_skew(if on { 4 } else { 0 }),
        }
    }
}
