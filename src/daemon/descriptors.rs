//! How many files the process may open: every connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::cli::exit::{Exit, Failure};

/// Those that are no connection of a socket or by HTTPS: Vault, Telegram, the audit, the state, look-ups of
/// peers.
const OTHERS: u64 = 256;

/// Takes as many as the system lets us have.
///
/// # Errors
/// When those are not enough for this many connections.
pub(super) fn allow(connections: usize) -> Result<(), Failure> {
    let limit = getrlimit(Resource::Nofile);
    let needed = u64::try_from(connections)
        .unwrap_or(u64::MAX)
        .saturating_add(OTHERS);
    if let Some(most) = limit.maximum
        && most < needed
    {
        let what = format!(
            "max_connections: {connections} connections need {needed} open files, and \
             this process may have {most}"
        );
        return Err(Failure::new(Exit::Config, what).hint(format!(
            "allow more (systemd: LimitNOFILE={needed}), or lower max_connections"
        )));
    }
    let all = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, all).map_err(|error| {
        let what = format!("cannot raise the limit of open files: {error}");
        Failure::new(Exit::Unavailable, what)
    })
}
