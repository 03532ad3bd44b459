//! Whatever replicas go through, what must not happen does not: random histories of faults, and some
//! that are worth keeping. Of a random one that fails the least that does is put into `histories`; those
//! go first the next time.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestError, TestRunner};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::sim::{Event, Fault, Step, run};

/// How many random histories there are at least; `PROPTEST_CASES` may say more.
const HISTORIES: u32 = 1000;
/// Where those that failed are kept.
const KEPT: &str = "src/coordination/etcd/store/histories";
/// Keys that are claimed.
const KEYS: u8 = 12;

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        2 => Just(Fault::LostBefore),
        4 => Just(Fault::LostAfter),
        3 => (0u16..8000).prop_map(Fault::Late),
        2 => (0u16..3000).prop_map(Fault::Slow),
        1 => Just(Fault::Refused),
    ]
}

fn sign_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        1 => fault(),
        // An answer that is waited for takes no longer than the first.
        2 => (0u16..700, 0u16..5000).prop_map(|(slow, cut)| Fault::Last(slow, cut)),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let replica = || 0u8..4;
    let key = || 0..KEYS;
    prop_oneof![
        6 => (key(), any::<u8>(), 0u16..3000)
            .prop_map(|(key, apart, takes)| Event::Deliver { key, apart, takes }),
        2 => (replica(), key(), 0u16..3000)
            .prop_map(|(replica, key, takes)| Event::DeliverTo { replica, key, takes }),
        2 => (replica(), key(), 0u16..3000, 0u16..500).prop_map(
            |(replica, key, takes, patience)| Event::Glance { replica, key, takes, patience }
        ),
        3 => replica().prop_map(|replica| Event::Count { replica }),
        2 => replica().prop_map(|replica| Event::Keep { replica }),
        6 => (replica(), fault(), prop_oneof![3 => Just(1u8), 1 => 1u8..9])
            .prop_map(|(replica, fault, times)| Event::Fault { replica, fault, times }),
        3 => (replica(), sign_fault()).prop_map(|(replica, fault)| Event::Sign { replica, fault }),
        2 => (replica(), 0u16..6000).prop_map(|(replica, time)| Event::Cut { replica, time }),
        1 => (replica(), 0u16..3000).prop_map(|(replica, time)| Event::Lag { replica, time }),
        1 => replica().prop_map(|replica| Event::BreakWatches { replica }),
        1 => (0u16..9000).prop_map(|time| Event::LoseQuorum { time }),
        2 => replica().prop_map(|replica| Event::Freeze { replica }),
        3 => replica().prop_map(|replica| Event::Thaw { replica }),
        1 => replica().prop_map(|replica| Event::Kill { replica }),
        2 => replica().prop_map(|replica| Event::Start { replica }),
        1 => replica().prop_map(|replica| Event::Twin { replica }),
        1 => (replica(), -3000i16..3000).prop_map(|(replica, wrong)| Event::Clock { replica, wrong }),
        1 => (0u8..20).prop_map(|percent| Event::Haste { percent }),
    ]
}

fn history() -> impl Strategy<Value = Vec<Step>> {
    let pause = prop_oneof![3 => 0u16..20, 3 => 0u16..500, 2 => 0u16..3000];
    prop::collection::vec((pause, event()), 1..30)
}

/// A world of so many replicas, and what it goes through.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    replicas: u8,
    history: Vec<Step>,
}

fn kept_in() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(KEPT)
}

/// The histories that once failed, with the files that they are in.
fn kept() -> Vec<(PathBuf, Kept)> {
    let files = fs::read_dir(kept_in()).into_iter().flatten();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    let read = |file: PathBuf| {
        let text = fs::read(&file).unwrap();
        let kept = serde_json::from_slice(&text);
        let kept = kept.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        (file, kept)
    };
    files.into_iter().map(read).collect()
}

/// `history` without the steps that it fails without, too.
fn least(replicas: u8, mut history: Vec<Step>) -> Vec<Step> {
    for step in (0..history.len()).rev() {
        let mut less = history.clone();
        less.remove(step);
        if !run(replicas, &less).is_empty() {
            history = less;
        }
    }
    history
}

/// Keeps `history`, a step a line. Returns the file.
fn keep(replicas: u8, history: &[Step]) -> PathBuf {
    let steps = history.iter().map(|it| serde_json::to_string(it).unwrap());
    let steps = steps.collect::<Vec<_>>().join(",\n");
    let text = format!("{{\"replicas\": {replicas}, \"history\": [\n{steps}\n]}}\n");
    let name = hex::encode(&Sha256::digest(&text)[..4]);
    let file = kept_in().join(format!("{name}.json"));
    fs::create_dir_all(kept_in()).unwrap();
    fs::write(&file, text).unwrap();
    file
}

#[test]
fn nothing_is_done_twice_and_nothing_is_left_undone() {
    for (file, Kept { replicas, history }) in kept() {
        let wrong = run(replicas, &history);
        assert!(wrong.is_empty(), "{}: {wrong:#?}", file.display());
    }
    let mut config = ProptestConfig::default();
    config.cases = config.cases.max(HISTORIES);
    // A seed would stand for another history as soon as there are other events.
    config.failure_persistence = None;
    // Nobody is to guess them, and they are to be made fast.
    config.rng_algorithm = RngAlgorithm::XorShift;
    let any = (2u8..5, history());
    let found = TestRunner::new(config).run(&any, |(replicas, history)| {
        let wrong = run(replicas, &history);
        prop_assert!(wrong.is_empty(), "{wrong:#?}");
        Ok(())
    });
    match found {
        Ok(()) => {}
        Err(TestError::Fail(why, (replicas, history))) => {
            let history = least(replicas, history);
            let file = keep(replicas, &history);
            panic!("{why}, after {history:#?}; it is kept: {}", file.display());
        }
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

#[track_caller]
fn holds(replicas: u8, history: &[Step]) {
    let wrong = run(replicas, history);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

const fn deliver(takes: u16) -> Event {
    let (key, apart) = (0, 1);
    Event::Deliver { key, apart, takes }
}

/// The holder stands still while it works, the others take over, and it goes on as if nothing had been.
#[test]
fn who_was_frozen_while_it_worked_does_not_act() {
    for frozen in 0..3 {
        for asleep in [1500, 1700, 1900, 2100, 4000] {
            let history = [
                (20, deliver(1400)),
                (asleep, Event::Freeze { replica: frozen }),
                (3000, Event::Thaw { replica: frozen }),
            ];
            holds(3, &history);
        }
    }
}

/// A sign of life arrives, its answer comes late, and no other arrives: the lease runs from when it
/// arrived.
#[test]
fn a_term_is_counted_from_what_was_sent() {
    for replica in 0..3 {
        let wrong = |fault, times| Event::Fault {
            replica,
            fault,
            times,
        };
        let history = [
            // By then nobody looks for what those who ended left, and would lose calls.
            (46_000, Event::BreakWatches { replica }),
            // Nor does it hear that it is taken for ended.
            (
                1,
                Event::Lag {
                    replica,
                    time: 3000,
                },
            ),
            (10, deliver(2900)),
            (1, wrong(Fault::Slow(650), 1)),
            (5000, wrong(Fault::LostBefore, 8)),
        ];
        holds(3, &history);
    }
}

/// The holder is cut off, its change is kept by etcd and done when others have taken over.
#[test]
fn what_comes_late_has_no_effect() {
    for replica in 0..3 {
        for late in [1000, 2500, 4000, 7000] {
            let history = [
                (
                    1,
                    Event::Fault {
                        replica,
                        fault: Fault::Late(late),
                        times: 1,
                    },
                ),
                (10, deliver(300)),
                (
                    1,
                    Event::Fault {
                        replica,
                        fault: Fault::Late(late),
                        times: 1,
                    },
                ),
                (
                    5000,
                    Event::Cut {
                        replica,
                        time: 4000,
                    },
                ),
                (100, deliver(300)),
            ];
            holds(3, &history);
        }
    }
}

/// etcd is gone for longer than any membership lasts, in the middle of everything.
#[test]
fn without_a_quorum_nobody_acts_and_afterwards_all_is_done() {
    for (time, takes) in [(1000, 500), (3000, 2000), (8000, 2900), (8000, 10)] {
        let history = [
            (15, deliver(takes)),
            (100, Event::LoseQuorum { time }),
            (
                100,
                Event::Deliver {
                    key: 1,
                    apart: 200,
                    takes,
                },
            ),
            (time, Event::Keep { replica: 0 }),
            (100, Event::Kill { replica: 0 }),
            (100, Event::Count { replica: 1 }),
        ];
        holds(3, &history);
    }
}

/// Whoever is told last of what happens still does not take what a living one has.
#[test]
fn old_news_are_no_harm() {
    for replica in 0..3 {
        let history = [
            (
                1,
                Event::Lag {
                    replica,
                    time: 2900,
                },
            ),
            (
                100,
                Event::BreakWatches {
                    replica: (replica + 1) % 3,
                },
            ),
            (2500, deliver(2500)),
            (
                100,
                Event::Start {
                    replica: (replica + 1) % 3,
                },
            ),
            (
                2000,
                Event::Deliver {
                    key: 1,
                    apart: 0,
                    takes: 100,
                },
            ),
            (
                100,
                Event::Keep {
                    replica: (replica + 1) % 3,
                },
            ),
            (
                100,
                Event::Kill {
                    replica: (replica + 1) % 3,
                },
            ),
        ];
        holds(3, &history);
    }
}

/// A process takes what another left, is frozen before it hears of that, and taken for ended itself:
/// whoever thaws has not inherited what a living one has by then.
#[test]
fn what_was_inherited_in_a_term_that_is_over_is_not_told() {
    let history = [
        (0, Event::Keep { replica: 1 }),
        (1, Event::Freeze { replica: 0 }),
        (0, Event::Kill { replica: 1 }),
        (
            1667,
            Event::Deliver {
                key: 0,
                apart: 162,
                takes: 0,
            },
        ),
        (11, Event::Start { replica: 1 }),
        (0, Event::Freeze { replica: 1 }),
        (2004, Event::Thaw { replica: 0 }),
    ];
    holds(2, &history);
}
