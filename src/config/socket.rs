//! The `[socket]` section.

use std::path::{Path, PathBuf};

use crate::config::{Problems, raw};

/// The Unix socket.
#[derive(Debug, Clone)]
pub struct SocketConfig {
    /// Where it appears.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
    /// The group that owns it; the process's own when `None`.
    pub group: Option<String>,
    /// How many connections are served at once.
    pub max_connections: usize,
}

pub(super) fn typed(
    raw: raw::Socket,
    directory: &Path,
    problems: &mut Problems,
) -> Option<SocketConfig> {
    let mode = u32::from_str_radix(&raw.mode, 8)
        .ok()
        .filter(|mode| *mode <= 0o777);
    if mode.is_none() {
        problems.push("[socket] mode: not octal permissions; write it like mode = \"0660\"");
    }
    if !(1..=65_536).contains(&raw.max_connections) {
        problems.push("[socket] max_connections: must be from 1 to 65536");
    }
    Some(SocketConfig {
        path: directory.join(raw.path),
        mode: mode?,
        group: raw.group,
        max_connections: raw.max_connections,
    })
}
