//! How long calls to etcd may take.

use std::time::Duration;

/// Until a node has taken a connection.
pub(super) const CONNECT: Duration = Duration::from_millis(500);
/// Of one try, connecting aside. An election takes somewhat longer, so other tries follow.
pub(super) const TRY: Duration = Duration::from_secs(1);
/// Of one call with all its tries: longer than an election.
pub(super) const CALL: Duration = Duration::from_secs(4);
/// Of one try to keep a lease: two must fit into the shortest lease.
pub(super) const KEEP_TRY: Duration = Duration::from_millis(500);
/// Of all tries to keep a lease, before whoever keeps it looks at the time.
pub(super) const KEEP: Duration = Duration::from_millis(1200);
/// Between signs of life on a connection; etcd takes more than one in five seconds for an attack.
pub(super) const PING: Duration = Duration::from_secs(6);
/// Without a change before a watch is asked whether it lives.
pub(super) const QUIET: Duration = Duration::from_secs(1);
/// Before a second round of tries; it doubles with each.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause between tries.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_millis(400);
