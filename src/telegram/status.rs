//! How the connection to Telegram is, for `/status`, `doctor` and readiness.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use metrics::gauge;
use time::OffsetDateTime;
use tokio::sync::watch;

use crate::broker::ports::{Look, Part};
use crate::telemetry::metrics::TELEGRAM_STATE;

/// How the connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not connected yet.
    Connecting,
    /// Signed in and listening.
    Connected {
        /// `@name`, or `user 123` where the account has no name.
        account: String,
        /// Since when.
        since: OffsetDateTime,
    },
    /// It was connected, and tries again.
    Reconnecting {
        /// Since when.
        since: OffsetDateTime,
        /// Why the connection ended.
        reason: String,
    },
    /// Telegram does not accept the session; only a new login helps.
    SignedOut,
    /// Stopped on request.
    Stopped,
}

/// Every state's name in metrics.
const NAMES: [&str; 5] = [
    "connecting",
    "connected",
    "reconnecting",
    "signed_out",
    "stopped",
];

impl State {
    /// Its name in metrics.
    fn name(&self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected { .. } => "connected",
            Self::Reconnecting { .. } => "reconnecting",
            Self::SignedOut => "signed_out",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting => write!(f, "connecting"),
            Self::Connected { account, since } => {
                write!(f, "connected as {account} since {}", minute(*since))
            }
            Self::Reconnecting { since, reason } => {
                write!(f, "reconnecting since {} ({reason})", minute(*since))
            }
            Self::SignedOut => write!(
                f,
                "signed out; run: vaultgram logout --local, and then: vaultgram login"
            ),
            Self::Stopped => write!(f, "stopped"),
        }
    }
}

fn minute(at: OffsetDateTime) -> String {
    format!("{} {:02}:{:02} UTC", at.date(), at.hour(), at.minute())
}

/// The connection's state, to be shared and watched; and whether the watchdog is blind.
#[derive(Debug)]
pub struct Status(watch::Sender<State>, AtomicBool);

impl Default for Status {
    fn default() -> Self {
        Self(
            watch::Sender::new(State::Connecting),
            AtomicBool::new(false),
        )
    }
}

impl Status {
    /// The state now.
    #[must_use]
    pub fn get(&self) -> State {
        self.0.borrow().clone()
    }

    /// Follows the state.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<State> {
        self.0.subscribe()
    }

    /// Whether the account's devices could not be looked at for long.
    pub(super) fn is_blind(&self) -> bool {
        self.1.load(Ordering::Relaxed)
    }

    pub(super) fn set_blind(&self, blind: bool) {
        self.1.store(blind, Ordering::Relaxed);
    }

    pub(super) fn set(&self, state: State) {
        for name in NAMES {
            let is = f64::from(u8::from(name == state.name()));
            gauge!(TELEGRAM_STATE, "state" => name).set(is);
        }
        self.0.send_replace(state);
    }
}

impl Part for Status {
    fn name(&self) -> &'static str {
        "telegram"
    }

    fn look(&self) -> Look {
        match self.get() {
            State::Connected { since, .. } => {
                let look = if self.is_blind() {
                    Look::degraded("connected; new devices on the account go unnoticed")
                } else {
                    Look::well("connected")
                };
                Look {
                    since: Some(since),
                    ..look
                }
            }
            State::Reconnecting { since, reason } => Look {
                since: Some(since),
                ..Look::down(format!("reconnecting: {reason}"))
            },
            State::Connecting => Look::down("connecting"),
            state @ (State::SignedOut | State::Stopped) => Look::down(state.to_string()),
        }
    }
}
