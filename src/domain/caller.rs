//! Who asks: an identity that a front end has already verified.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::domain::job::Job;

/// A verified identity. Front ends make it from their transport's evidence; the broker
/// never sees that evidence.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Caller {
    /// A Telegram account, known by its numeric id (never by a name, which can change).
    Telegram(TelegramUser),
    /// A local process, known by what the kernel says about the peer of a Unix socket.
    Unix(UnixPeer),
    /// A job, known by a token of an issuer that is trusted, or by its signature.
    Job(Job),
}

/// A Telegram account and where it spoke from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TelegramUser {
    /// The numeric user id.
    pub id: i64,
    /// The kind of chat the message was written in.
    pub chat: ChatKind,
}

/// The kind of chat a message came from, an input to the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChatKind {
    /// One to one.
    Private,
    /// A basic group or supergroup.
    Group,
}

impl ChatKind {
    /// The name policies use (`context.chat`).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Group => "group",
        }
    }
}

/// The peer of a Unix socket: what the kernel attested of it at connect. What could not be made
/// sure of is absent; only the first three fields are always known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UnixPeer {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Process id at connect.
    pub pid: i32,
    /// Every group it is in, the primary one included.
    pub groups: Option<BTreeSet<u32>>,
    /// The executable's absolute path.
    pub executable: Option<String>,
    /// The SHA-256 of the executable in hexadecimal; looked at only where a policy speaks of it.
    pub executable_sha256: Option<String>,
    /// The systemd unit: `deploy.service`, `session-3.scope`.
    pub unit: Option<String>,
    /// The systemd slice the unit is in.
    pub slice: Option<String>,
    /// The container's id, 64 hexadecimal digits.
    pub container: Option<String>,
    /// The uid of the Kubernetes pod.
    pub pod: Option<String>,
    /// The name of the socket it came by.
    pub socket: Option<String>,
}

impl UnixPeer {
    /// A peer of which nothing else is known.
    #[must_use]
    pub fn known(uid: u32, gid: u32, pid: i32) -> Self {
        Self {
            uid,
            gid,
            pid,
            groups: None,
            executable: None,
            executable_sha256: None,
            unit: None,
            slice: None,
            container: None,
            pod: None,
            socket: None,
        }
    }

    /// What may be known beyond numbers, by the names that policies use.
    #[must_use]
    pub fn texts(&self) -> [(&'static str, Option<&str>); 6] {
        [
            ("executable", self.executable.as_deref()),
            ("executable_sha256", self.executable_sha256.as_deref()),
            ("unit", self.unit.as_deref()),
            ("slice", self.slice.as_deref()),
            ("container", self.container.as_deref()),
            ("pod", self.pod.as_deref()),
        ]
    }

    /// Everything that is known, for the caller to see.
    #[must_use]
    pub fn facts(&self) -> BTreeMap<String, String> {
        let groups = self.groups.as_ref().map(|groups| {
            let groups: Vec<_> = groups.iter().map(u32::to_string).collect();
            groups.join(",")
        });
        let mut facts = BTreeMap::from([
            ("uid".to_owned(), self.uid.to_string()),
            ("gid".to_owned(), self.gid.to_string()),
            ("pid".to_owned(), self.pid.to_string()),
            ("description".to_owned(), self.describe()),
        ]);
        let others = [
            ("groups", groups.as_deref()),
            ("socket", self.socket.as_deref()),
        ];
        for (name, text) in self.texts().into_iter().chain(others) {
            if let Some(text) = text {
                facts.insert(name.to_owned(), text.to_owned());
            }
        }
        facts
    }

    /// For people: `deploy.service, uid 990, /usr/bin/deployer`.
    #[must_use]
    pub fn describe(&self) -> String {
        let short = |id: &str| id.get(..12).unwrap_or(id).to_owned();
        let place = match (&self.pod, &self.container) {
            (Some(pod), _) => Some(format!("pod {pod}")),
            (None, Some(container)) => Some(format!("container {}", short(container))),
            (None, None) => self.unit.clone(),
        };
        let parts = [
            place,
            Some(format!("uid {}", self.uid)),
            self.executable.clone(),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// What processes can be in: the kinds of systemd units with processes of their own.
const UNITS: [&str; 5] = [".service", ".scope", ".socket", ".mount", ".swap"];

/// Whether a systemd unit that has processes can have this name.
#[must_use]
pub fn is_unit(name: &str) -> bool {
    let stem = UNITS.iter().find_map(|kind| name.strip_suffix(kind));
    // A template without its instance ("user@.service") never runs.
    stem.is_some_and(|stem| is_unit_text(stem) && !stem.ends_with('@'))
}

/// Whether a systemd slice can have this name.
#[must_use]
pub fn is_slice(name: &str) -> bool {
    name.strip_suffix(".slice").is_some_and(is_unit_text)
}

fn is_unit_text(stem: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    (1..=248).contains(&stem.len()) && stem.chars().all(known)
}

impl fmt::Display for Caller {
    /// The notation of group members in the configuration: `telegram:1001`, `uid:990`; of a job its
    /// issuer and subject.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Telegram(user) => write!(f, "telegram:{}", user.id),
            Self::Unix(peer) => write!(f, "uid:{}", peer.uid),
            Self::Job(job) => write!(f, "{}:{}", job.issuer, job.subject),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_described_by_what_tells_them_apart() {
        let mut peer = UnixPeer::known(990, 990, 7);
        assert_eq!(peer.describe(), "uid 990");
        peer.executable = Some("/usr/bin/deployer".to_owned());
        peer.unit = Some("deploy.service".to_owned());
        assert_eq!(
            peer.describe(),
            "deploy.service, uid 990, /usr/bin/deployer"
        );
        peer.container = Some("0123456789abcdef".repeat(4));
        peer.executable = None;
        assert_eq!(peer.describe(), "container 0123456789ab, uid 990");
    }

    #[test]
    fn only_names_that_systemd_takes_are_units() {
        for name in [
            "a.service",
            "getty@tty1.service",
            "session-3.scope",
            "x\\x2dy.mount",
        ] {
            assert!(is_unit(name), "{name}");
        }
        let long = format!("{}.service", "a".repeat(249));
        for name in [
            "",
            ".service",
            "user@.service",
            "a b.service",
            "a.slice",
            "a.timer",
            "a",
            &long,
        ] {
            assert!(!is_unit(name), "{name}");
        }
        assert!(is_slice("user-1000.slice") && !is_slice("user-1000.scope") && !is_slice(".slice"));
    }
}
