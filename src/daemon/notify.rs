//! What systemd is told (`sd_notify`): that we are ready, how we are, that we live, that we stop.

use std::convert::Infallible;
use std::future;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::broker::Broker;
use crate::broker::ports::StoreHealth;
use crate::config::Environment;
use crate::telegram;

/// How often the status is looked at.
const STATUS_INTERVAL: Duration = Duration::from_secs(5);
/// How long systemd may take to receive a word.
const PATIENCE: Duration = Duration::from_secs(1);

/// The way to whoever started us, if it wants to be told.
pub(super) struct Notifier {
    way: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants to hear that we live.
    beat: Option<Duration>,
}

impl Notifier {
    /// As the environment says.
    pub(super) fn new(environment: &Environment) -> Self {
        let way = environment.told("NOTIFY_SOCKET").and_then(|name| {
            let failed =
                |error: &io::Error| tracing::warn!(event = "systemd.not_told", socket = name, %error);
            connect(name).inspect_err(failed).ok()
        });
        let ours = environment
            .told("WATCHDOG_PID")
            .is_none_or(|pid| pid.parse::<u32>().ok() == Some(std::process::id()));
        let limit = environment.told("WATCHDOG_USEC").filter(|_| ours);
        let limit = limit.and_then(|text| text.parse::<u64>().ok());
        Self {
            way,
            beat: limit
                .filter(|limit| *limit > 0)
                .map(|limit| Duration::from_micros(limit) / 2),
        }
    }

    /// All sockets are there, and served.
    pub(super) fn ready(&self) {
        self.send("READY=1");
    }

    /// We begin to read the policy again.
    pub(super) fn reloading(&self) {
        if let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC) {
            let now = Duration::from(now).as_micros();
            self.send(&format!("RELOADING=1\nMONOTONIC_USEC={now}"));
        }
    }

    /// That is done; what came of it.
    pub(super) fn reloaded(&self, said: &str) {
        self.send(&format!("READY=1\nSTATUS={}", said.replace('\n', " ")));
    }

    /// We begin to stop.
    pub(super) fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=Stopping");
    }

    /// Says how we are, and that we live, for as long as this is polled: it belongs into the main
    /// loop, whose life it is a sign of.
    pub(super) async fn keep_telling(
        &self,
        broker: &Broker,
        telegram: Option<&telegram::Status>,
    ) -> Infallible {
        let beating = async {
            let Some(beat) = self.beat else {
                return future::pending().await;
            };
            loop {
                self.send("WATCHDOG=1");
                tokio::time::sleep(beat).await;
            }
        };
        let telling = async {
            if self.way.is_none() {
                return future::pending().await;
            }
            let mut told = String::new();
            loop {
                let now = status(broker, telegram).await;
                if now != told {
                    self.send(&format!("STATUS={now}"));
                    told = now;
                }
                tokio::time::sleep(STATUS_INTERVAL).await;
            }
        };
        let (never, _): (Infallible, Infallible) = tokio::join!(beating, telling);
        never
    }

    fn send(&self, words: &str) {
        let Some((socket, address)) = &self.way else {
            return;
        };
        if let Err(error) = socket.send_to_addr(words.as_bytes(), address) {
            tracing::warn!(event = "systemd.not_told", %error);
        }
    }
}

fn connect(name: &str) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok((socket, address))
}

/// How we are, in a line.
async fn status(broker: &Broker, telegram: Option<&telegram::Status>) -> String {
    let health = broker.store_health().await;
    let vault = match &health {
        StoreHealth::Ready(_) | StoreHealth::Sealed | StoreHealth::Uninitialized => {
            health.name().to_owned()
        }
        StoreHealth::LoggedOut { reason } | StoreHealth::Unreachable { reason } => {
            format!("{} ({reason})", health.name())
        }
    };
    let telegram = telegram.map(|status| format!("; Telegram: {}", status.get()));
    let status = format!("Vault: {vault}{}", telegram.unwrap_or_default());
    // Each line is a word of its own.
    status.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use zeroize::Zeroizing;

    use super::*;

    fn notifier(variables: &[(&str, &str)]) -> Notifier {
        let owned = |(name, value): &(&str, &str)| {
            ((*name).to_owned(), Zeroizing::new((*value).to_owned()))
        };
        let variables: BTreeMap<_, _> = variables.iter().map(owned).collect();
        let none = Path::new("/nonexistent/.env");
        Notifier::new(&Environment::new(variables, vec![], none).unwrap())
    }

    #[test]
    fn words_reach_a_path_and_an_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let abstract_name = format!("vaultgram-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        for (socket, name) in [
            (UnixDatagram::bind(&path), path.display().to_string()),
            (
                UnixDatagram::bind_addr(&address),
                format!("@{abstract_name}"),
            ),
        ] {
            let socket = socket.unwrap();
            socket.set_nonblocking(true).unwrap();
            let mut words = [0; 200];
            let mut next = || {
                let length = socket.recv(&mut words).unwrap();
                String::from_utf8(words[..length].to_vec()).unwrap()
            };
            let notifier = notifier(&[("NOTIFY_SOCKET", &name)]);
            notifier.ready();
            assert_eq!(next(), "READY=1");
            notifier.reloading();
            let reloading = next();
            let since = reloading
                .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
                .unwrap();
            assert!(since.parse::<u64>().unwrap() > 0);
            notifier.reloaded("3 policies\nin force");
            assert_eq!(next(), "READY=1\nSTATUS=3 policies in force");
        }
        // Nobody to tell is no mistake.
        notifier(&[]).ready();
        notifier(&[("NOTIFY_SOCKET", "/nonexistent/x")]).ready();
    }

    #[test]
    fn it_beats_twice_as_often_as_it_must() {
        let own = std::process::id().to_string();
        let beat = |variables: &[(&str, &str)]| notifier(variables).beat;
        let limit = ("WATCHDOG_USEC", "3000000");
        assert_eq!(beat(&[limit]), Some(Duration::from_millis(1500)));
        assert_eq!(beat(&[limit, ("WATCHDOG_PID", &own)]), beat(&[limit]));
        assert_eq!(beat(&[limit, ("WATCHDOG_PID", "1")]), None, "another's");
        assert_eq!(beat(&[("WATCHDOG_USEC", "0")]), None);
        assert_eq!(beat(&[]), None);
    }
}
