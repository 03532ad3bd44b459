//! Looks now and then whether secrets have changed.

use std::collections::BTreeMap;
use std::future::pending;
use std::io::{self, Write};
use std::time::Duration;

use hyper::StatusCode;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep_until};

use crate::api::Envelope;
use crate::cli::address::{Address, Kind, MountedPath};
use crate::cli::client::Socket;
use crate::cli::exit::Failure;
use crate::cli::fetch::{Fetched, fetch};
use crate::domain::span;

/// How often to look when nobody says.
pub(super) const INTERVAL: &str = "30s";
/// Seldom enough for anybody.
const LONGEST: Duration = Duration::from_hours(24);
/// The least pause between two looks.
const SOONEST: Duration = Duration::from_secs(1);
/// The longest pause after failures, unless one is always as long.
const PATIENCE: Duration = Duration::from_mins(5);

/// Reads how often to look.
pub(super) fn interval(text: &str) -> Result<Duration, &'static str> {
    let interval = span::read(text).filter(|interval| *interval <= LONGEST);
    interval.ok_or("from 1s to 24h, such as 30s or 5m")
}

/// What is looked at.
pub(super) struct Watch {
    socket: Socket,
    interval: Duration,
    sources: Vec<Source>,
    /// When the first lease has run for two thirds of its time: what hangs on it is made anew.
    due: Option<Instant>,
    failures: u32,
}

/// A secret of which the newest version is used.
struct Source {
    path: MountedPath,
    addresses: Vec<Address>,
    version: Option<u64>,
    digest: [u8; 32],
}

/// What is needed of a secret's history.
#[derive(Deserialize)]
struct Newest {
    current_version: u64,
}

impl Watch {
    /// Watches what was `fetched` from `addresses`.
    pub(super) fn new(
        socket: Socket,
        interval: Duration,
        addresses: &[Address],
        fetched: &[Fetched],
    ) -> Self {
        let mut sources: BTreeMap<&str, (Vec<Address>, Vec<&Fetched>)> = BTreeMap::new();
        let mut due: Option<Instant> = None;
        for (address, found) in addresses.iter().zip(fetched) {
            if let Some(lease) = &found.lease {
                let end = Instant::now() + Duration::from_secs(lease.duration) * 2 / 3;
                due = Some(due.map_or(end, |due| due.min(end)));
            } else if found.path.kind != Kind::Engine && address.version.is_none() {
                let source = sources.entry(&address.path).or_default();
                source.0.push(address.clone());
                source.1.push(found);
            }
        }
        let source = |(addresses, found): (Vec<Address>, Vec<&Fetched>)| {
            let first = found.first()?;
            Some(Source {
                path: first.path.clone(),
                version: first.version,
                digest: digest(found.iter().copied()),
                addresses,
            })
        };
        Self {
            socket,
            interval,
            sources: sources.into_values().filter_map(source).collect(),
            due,
            failures: 0,
        }
    }

    /// Waits until something has changed, and returns what `renew` makes of that. What fails is
    /// told once, and tried again.
    pub(super) async fn next<T>(&mut self, renew: impl AsyncFn() -> Result<T, Failure>) -> T {
        loop {
            self.pause().await;
            let renewed = match self.changed().await {
                Ok(false) => Ok(None),
                Ok(true) => renew().await.map(Some),
                Err(failure) => Err(failure),
            };
            match renewed {
                Ok(Some(renewed)) => return renewed,
                Ok(None) => self.failures = 0,
                Err(failure) => {
                    if self.failures == 0 {
                        let what = failure.what;
                        let say = format!("warning: {what}: what was read before stays in use\n");
                        drop(io::stderr().write_all(say.as_bytes()));
                    }
                    self.failures += 1;
                }
            }
        }
    }

    /// Waits for the time of the next look.
    async fn pause(&self) {
        let longer = self.interval * 2_u32.pow(self.failures.min(10));
        let pause = longer.min(PATIENCE.max(self.interval));
        let next = Instant::now() + pause.mul_f64(rand::random_range(0.9..1.1));
        match self.due {
            // A lease that could not be replaced in time is asked for as often as all else.
            Some(due) if self.failures == 0 => {
                // A lease of no time at all would make us ask without end.
                let soonest = Instant::now() + SOONEST;
                sleep_until(due.min(next).max(soonest)).await;
            }
            None if self.sources.is_empty() => pending().await,
            Some(_) | None => sleep_until(next).await,
        }
    }

    async fn changed(&mut self) -> Result<bool, Failure> {
        if self.due.is_some_and(|due| due <= Instant::now()) {
            return Ok(true);
        }
        for source in &mut self.sources {
            if source.changed(&self.socket).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Source {
    async fn changed(&mut self, socket: &Socket) -> Result<bool, Failure> {
        let newest = match self.path.kind {
            Kind::Kv2 => self.newest(socket).await?,
            Kind::Kv1 | Kind::Engine => None,
        };
        if newest.is_some() && newest == self.version {
            return Ok(false);
        }
        let fetched = fetch(socket, &self.addresses).await?;
        let changed = digest(&fetched) != self.digest;
        if !changed {
            // Not the newest: what is read may lag behind it, where policy lets it be kept.
            self.version = fetched.first().and_then(|fetched| fetched.version);
        }
        Ok(changed)
    }

    /// The newest version's number, where the caller may know it.
    async fn newest(&self, socket: &Socket) -> Result<Option<u64>, Failure> {
        let answer = socket.get(&self.path.kv2("metadata")).await?;
        match answer.status {
            StatusCode::OK => Ok(serde_json::from_slice::<Envelope<Newest>>(&answer.body)
                .ok()
                .map(|envelope| envelope.data.current_version)),
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => Ok(None),
            _ => Err(answer.failure()),
        }
    }
}

/// What tells values from others, without being them.
fn digest<'f>(fetched: impl IntoIterator<Item = &'f Fetched>) -> [u8; 32] {
    let mut digest = Sha256::new();
    for (name, value) in fetched.into_iter().flat_map(|found| &found.values) {
        for part in [name.as_str(), value.json()] {
            digest.update(part.len().to_le_bytes());
            digest.update(part);
        }
    }
    digest.finalize().into()
}
