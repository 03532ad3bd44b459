//! The `[credentials]` section: what systemd's `LoadCredential=` is answered with.

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::socket::{CREDENTIALS, SocketConfig};
use crate::config::{Problems, raw};
use crate::domain::caller::is_unit;
use crate::domain::credential::is_id;
use crate::domain::{Credential, Mounts, Target};

/// Where its socket is when nothing else is said.
const DEFAULT_PATH: &str = "/run/vaultgram/credentials.sock";

/// The socket for systemd's credentials.
#[derive(Debug, Clone)]
pub struct CredentialsConfig {
    /// The socket, root's and our own alone.
    pub socket: SocketConfig,
    /// What each credential is.
    pub credentials: BTreeMap<Credential, Target>,
}

pub(super) fn typed(
    raw: raw::Credentials,
    mounts: Option<&Mounts>,
    others: &[SocketConfig],
    directory: &Path,
    problems: &mut Problems,
) -> CredentialsConfig {
    let path = directory.join(raw.path.unwrap_or_else(|| DEFAULT_PATH.into()));
    if let Some(other) = others.iter().find(|other| other.path == path) {
        problems.push(format!(
            "[credentials] path: {} is the path of {} too; each socket needs its own",
            path.display(),
            other.section()
        ));
    }
    let mut credentials = BTreeMap::new();
    for (unit, ids) in raw.units {
        let section = format!("[credentials.units.{unit:?}]");
        if !is_unit(&unit) {
            problems.push(format!(
                "{section}: not a unit's full name; write it like \"app.service\", and each \
                 instance of a template for itself"
            ));
        }
        for (id, text) in ids {
            if !is_id(&id) {
                problems.push(format!("{section} {id:?}: systemd takes no such name"));
            }
            match mounts.map(|mounts| mounts.parse(&text)) {
                Some(Ok(target)) => {
                    let unit = unit.clone();
                    credentials.insert(Credential { unit, id }, target);
                }
                Some(Err(error)) => {
                    problems.push(format!(
                        "{section} {id}: {error}; write it like \"secret/app#password\""
                    ));
                }
                // What is wrong with the mounts is said already.
                None => {}
            }
        }
    }
    CredentialsConfig {
        socket: SocketConfig {
            name: CREDENTIALS.to_owned(),
            path,
            mode: 0o600,
            owner: None,
            group: None,
            max_connections: raw::Socket::default().max_connections,
        },
        credentials,
    }
}
