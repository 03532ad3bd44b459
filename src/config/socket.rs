//! The `[socket]` section, and the `[sockets.NAME]` beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::config::{Problems, raw};

/// What policies call the socket of `[socket]`.
const DEFAULT: &str = "default";

/// What policies call the socket of `[credentials]`.
pub(super) const CREDENTIALS: &str = "credentials";

/// Where it is when nothing else is said.
const DEFAULT_PATH: &str = "/run/vaultgram/vaultgram.sock";

/// A Unix socket.
#[derive(Debug, Clone)]
pub struct SocketConfig {
    /// What policies call it.
    pub name: String,
    /// Where it appears.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
    /// The user that owns it; the process's own when `None`.
    pub owner: Option<String>,
    /// The group that owns it; the process's own when `None`.
    pub group: Option<String>,
    /// How many connections are served at once.
    pub max_connections: usize,
}

impl SocketConfig {
    /// Where it is configured: `[socket]`, `[sockets.ci]`.
    #[must_use]
    pub fn section(&self) -> String {
        section(&self.name)
    }
}

fn section(name: &str) -> String {
    match name {
        DEFAULT => "[socket]".to_owned(),
        CREDENTIALS => "[credentials]".to_owned(),
        name => format!("[sockets.{name}]"),
    }
}

/// What policies can call the sockets there are.
pub(super) fn names(raw: &raw::Raw) -> Vec<String> {
    let mut names = vec![DEFAULT.to_owned()];
    names.extend(raw.sockets.keys().cloned());
    let credentials = raw.credentials.as_ref();
    if credentials.is_some_and(|it| !it.units.is_empty()) {
        names.push(CREDENTIALS.to_owned());
    }
    names
}

/// All sockets, that of `[socket]` first.
pub(super) fn typed(
    default: Option<raw::Socket>,
    others: BTreeMap<String, raw::Socket>,
    directory: &Path,
    problems: &mut Problems,
) -> Vec<SocketConfig> {
    let default = default.map(|mut raw| {
        raw.path.get_or_insert_with(|| DEFAULT_PATH.into());
        (DEFAULT.to_owned(), raw)
    });
    let others = others.into_iter().filter(|(name, _)| {
        let fits = is_name(name);
        if !fits {
            problems.push(format!(
                "[sockets] {name:?}: write a name of a to z, 0 to 9 and \"-\", other than \
                 \"{DEFAULT}\", which is [socket], and \"{CREDENTIALS}\", which is [credentials]"
            ));
        }
        fits
    });
    let named: Vec<_> = default.into_iter().chain(others).collect();
    let mut sockets: Vec<SocketConfig> = vec![];
    for (name, raw) in named {
        let Some(socket) = one(name, raw, directory, problems) else {
            continue;
        };
        if let Some(other) = sockets.iter().find(|other| other.path == socket.path) {
            problems.push(format!(
                "{} path: {} is the path of {} too; each socket needs its own",
                socket.section(),
                socket.path.display(),
                other.section()
            ));
        }
        sockets.push(socket);
    }
    sockets
}

fn is_name(name: &str) -> bool {
    let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    ![DEFAULT, CREDENTIALS].contains(&name)
        && (1..=64).contains(&name.len())
        && name.chars().all(known)
}

fn one(
    name: String,
    raw: raw::Socket,
    directory: &Path,
    problems: &mut Problems,
) -> Option<SocketConfig> {
    let section = section(&name);
    let mode = u32::from_str_radix(&raw.mode, 8)
        .ok()
        .filter(|mode| *mode <= 0o777);
    if mode.is_none() {
        problems.push(format!(
            "{section} mode: not octal permissions; write it like mode = \"0660\""
        ));
    }
    if !(1..=65_536).contains(&raw.max_connections) {
        problems.push(format!(
            "{section} max_connections: must be from 1 to 65536"
        ));
    }
    if raw.path.is_none() {
        problems.push(format!(
            "{section} path: is missing; write it like path = \"/run/vaultgram/{name}.sock\""
        ));
    }
    Some(SocketConfig {
        path: directory.join(raw.path?),
        mode: mode?,
        name,
        owner: raw.owner,
        group: raw.group,
        max_connections: raw.max_connections,
    })
}
