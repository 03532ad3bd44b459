//! What replicas go through, step by step.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::link::Fault;
use super::world::{Task, World};

/// What happens.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(in super::super) enum Event {
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
    /// One replica is, by somebody who goes away after so many milliseconds.
    Glance {
        replica: u8,
        key: u8,
        takes: u16,
        patience: u16,
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
    /// The next sign of life of a replica goes wrong.
    Sign {
        replica: u8,
        fault: Fault,
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
    /// Another process is started with the session of a replica, in place of the one after it.
    Twin {
        replica: u8,
    },
    /// A replica's clock is wrong by so many milliseconds.
    Clock {
        replica: u8,
        wrong: i16,
    },
    /// etcd's clock is so many percent too fast, or right again.
    Haste {
        percent: u8,
    },
}

/// What happens, and so many milliseconds later.
pub(in super::super) type Step = (u16, Event);

/// What was wrong in a world of `replicas` that went through `history`.
pub(in super::super) fn run(replicas: u8, history: &[Step]) -> Vec<String> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(replicas.into()).await;
        let (server, record) = (Arc::clone(&world.server), Arc::clone(&world.record));
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
            () = record.attend() => vec![],
        }
    })
}

async fn happen(world: &mut World, replicas: u8, number: usize, event: &Event) {
    let pick = |replica: u8| usize::from(replica % replicas);
    let milliseconds = |time: u16| Duration::from_millis(time.into());
    let task = |key: u8, takes, patience| Task {
        key: format!("claims/{key}"),
        takes: milliseconds(takes),
        patience,
        // So there is some of either.
        excuses: key % 2 == 1,
    };
    match *event {
        Event::Deliver { key, apart, takes } => {
            for replica in 0..replicas {
                // Each begins with another.
                let replica = pick(replica + key);
                world.deliver(replica, task(key, takes, None));
                sleep(milliseconds(apart.into())).await;
            }
        }
        Event::DeliverTo {
            replica,
            key,
            takes,
        } => {
            world.deliver(pick(replica), task(key, takes, None));
        }
        Event::Glance {
            replica,
            key,
            takes,
            patience,
        } => {
            let patience = Some(milliseconds(patience));
            world.deliver(pick(replica), task(key, takes, patience));
        }
        Event::Count { replica } => world.count(pick(replica)),
        Event::Keep { replica } => world.keep(pick(replica), number),
        Event::Kill { replica } => world.kill(pick(replica)),
        Event::Start { replica } => world.start(pick(replica)),
        Event::Twin { replica } => world.start_with(pick(replica + 1), pick(replica)),
        Event::LoseQuorum { time } => world.server.lose_quorum(milliseconds(time)),
        Event::Haste { percent } => world.server.speed_up(percent),
        Event::Fault { replica, .. }
        | Event::Sign { replica, .. }
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
                Event::Sign { fault, .. } => replica.link.sign_fault(fault),
                Event::Cut { time, .. } => replica.link.cut(milliseconds(time)),
                Event::Lag { time, .. } => replica.link.lag(milliseconds(time)),
                Event::BreakWatches { .. } => replica.link.break_watches(),
                Event::Freeze { .. } => replica.freeze(),
                Event::Thaw { .. } => replica.thaw(),
                Event::Clock { wrong, .. } => replica.clock.shift(wrong.into()),
                Event::Deliver { .. }
                | Event::DeliverTo { .. }
                | Event::Glance { .. }
                | Event::Count { .. }
                | Event::Keep { .. }
                | Event::Kill { .. }
                | Event::Start { .. }
                | Event::Twin { .. }
                | Event::Haste { .. }
                | Event::LoseQuorum { .. } => {}
            }
        }
    }
}
