//! Whatever replicas go through, what must not happen does not: random histories of faults, and some
//! that are worth keeping.

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::sleep;

use super::sim::{Fault, World};

/// Keys that are claimed.
const KEYS: u8 = 6;

/// What happens.
#[derive(Debug, Clone)]
enum Event {
    /// All replicas are asked to do a thing, each a little later than the one before, which takes so many
    /// milliseconds.
    Deliver {
        key: u8,
        apart: u8,
        takes: u16,
    },
    /// One replica is.
    DeliverTo {
        replica: u8,
        key: u8,
        takes: u16,
    },
    Count {
        replica: u8,
    },
    Keep {
        replica: u8,
    },
    /// The next calls of a replica go wrong.
    Fault {
        replica: u8,
        fault: Fault,
        times: u8,
    },
    /// A replica reaches nothing for so many milliseconds.
    Cut {
        replica: u8,
        time: u16,
    },
    /// What a replica is told of is so many milliseconds old.
    Lag {
        replica: u8,
        time: u16,
    },
    BreakWatches {
        replica: u8,
    },
    LoseQuorum {
        time: u16,
    },
    Freeze {
        replica: u8,
    },
    Thaw {
        replica: u8,
    },
    Kill {
        replica: u8,
    },
    Start {
        replica: u8,
    },
    /// A replica's clock is wrong by so many milliseconds.
    Clock {
        replica: u8,
        wrong: i16,
    },
}

/// What happens, and so many milliseconds later.
type Step = (u16, Event);

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        2 => Just(Fault::LostBefore),
        4 => Just(Fault::LostAfter),
        3 => (0u16..8000).prop_map(Fault::Late),
        2 => (0u16..3000).prop_map(Fault::Slow),
        1 => Just(Fault::Refused),
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
        3 => replica().prop_map(|replica| Event::Count { replica }),
        2 => replica().prop_map(|replica| Event::Keep { replica }),
        6 => (replica(), fault(), prop_oneof![3 => Just(1u8), 1 => 1u8..9])
            .prop_map(|(replica, fault, times)| Event::Fault { replica, fault, times }),
        2 => (replica(), 0u16..6000).prop_map(|(replica, time)| Event::Cut { replica, time }),
        1 => (replica(), 0u16..3000).prop_map(|(replica, time)| Event::Lag { replica, time }),
        1 => replica().prop_map(|replica| Event::BreakWatches { replica }),
        1 => (0u16..9000).prop_map(|time| Event::LoseQuorum { time }),
        2 => replica().prop_map(|replica| Event::Freeze { replica }),
        3 => replica().prop_map(|replica| Event::Thaw { replica }),
        1 => replica().prop_map(|replica| Event::Kill { replica }),
        2 => replica().prop_map(|replica| Event::Start { replica }),
        1 => (replica(), -3000i16..3000).prop_map(|(replica, wrong)| Event::Clock { replica, wrong }),
    ]
}

fn history() -> impl Strategy<Value = Vec<Step>> {
    let pause = prop_oneof![3 => 0u16..20, 3 => 0u16..500, 2 => 0u16..3000];
    prop::collection::vec((pause, event()), 1..40)
}

/// What was wrong in a world of `replicas` that went through `history`.
fn run(replicas: u8, history: &[Step]) -> Vec<String> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(replicas.into()).await;
        let server = std::sync::Arc::clone(&world.server);
        let live = async {
            for (number, (pause, event)) in history.iter().enumerate() {
                happen(&mut world, replicas, number, event).await;
                sleep(Duration::from_millis((*pause).into())).await;
            }
            world.settle().await
        };
        tokio::select! {
            biased;
            wrong = live => wrong,
            () = server.run() => vec![],
        }
    })
}

async fn happen(world: &mut World, replicas: u8, number: usize, event: &Event) {
    let pick = |replica: u8| usize::from(replica % replicas);
    let milliseconds = |time: u16| Duration::from_millis(time.into());
    match *event {
        Event::Deliver { key, apart, takes } => {
            for replica in 0..replicas {
                // Each begins with another.
                let replica = pick(replica + key);
                world.deliver(replica, &format!("claims/{key}"), milliseconds(takes));
                sleep(milliseconds(apart.into())).await;
            }
        }
        Event::DeliverTo {
            replica,
            key,
            takes,
        } => {
            world.deliver(pick(replica), &format!("claims/{key}"), milliseconds(takes));
        }
        Event::Count { replica } => world.count(pick(replica)),
        Event::Keep { replica } => world.keep(pick(replica), number),
        Event::Kill { replica } => world.kill(pick(replica)),
        Event::Start { replica } => world.start(pick(replica)),
        Event::LoseQuorum { time } => world.server.lose_quorum(milliseconds(time)),
        Event::Fault { replica, .. }
        | Event::Cut { replica, .. }
        | Event::Lag { replica, .. }
        | Event::BreakWatches { replica }
        | Event::Freeze { replica }
        | Event::Thaw { replica }
        | Event::Clock { replica, .. } => {
            let Some(replica) = &world.replicas[pick(replica)] else {
                return;
            };
            match *event {
                Event::Fault { fault, times, .. } => {
                    (0..times).for_each(|_| replica.link.fault(fault));
                }
                Event::Cut { time, .. } => replica.link.cut(milliseconds(time)),
                Event::Lag { time, .. } => replica.link.lag(milliseconds(time)),
                Event::BreakWatches { .. } => replica.link.break_watches(),
                Event::Freeze { .. } => replica.freeze(),
                Event::Thaw { .. } => replica.thaw(),
                Event::Clock { wrong, .. } => replica.clock.shift(wrong.into()),
                Event::Deliver { .. }
                | Event::DeliverTo { .. }
                | Event::Count { .. }
                | Event::Keep { .. }
                | Event::Kill { .. }
                | Event::Start { .. }
                | Event::LoseQuorum { .. } => {}
            }
        }
    }
}

proptest! {
    #[test]
    fn nothing_is_done_twice_and_nothing_is_left_undone(replicas in 2u8..5, history in history()) {
        let wrong = run(replicas, &history);
        prop_assert!(wrong.is_empty(), "{wrong:#?}");
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
