//! Who is at the other end of a connection, as the kernel says it.
//!
//! User and group come from `SO_PEERCRED`, a snapshot the kernel takes at connect. All else comes
//! from `/proc`, where it must be made sure that the process looked at is the one that connected:
//! ids of processes are reused.
//!
//! What is known beyond the user narrows what a user's processes may ask; it does not separate two
//! processes of one user, who can trace each other. That is the kernel's border, not ours.

mod cgroup;
mod executable;
mod lookups;
mod owners;
mod process;

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerPidfd;
use tokio::net::UnixStream;

use crate::domain::caller::UnixPeer;
use crate::http::peer::executable::Hashes;
use crate::http::peer::lookups::Lookups;
use crate::http::peer::owners::Owners;

/// How long a look-up may take.
const LOOKUP_TIME: Duration = Duration::from_secs(2);

/// Finds out who peers are, for all sockets.
#[derive(Clone)]
pub struct Attestor {
    lookups: Arc<Lookups>,
    owners: Arc<Owners>,
    hashes: Option<Arc<Hashes>>,
}

impl Attestor {
    /// It looks at the hashes of executables only if `with_hashes`. Whose the subordinate user ids
    /// are, `subuid` says, which is read now.
    #[must_use]
    pub fn new(with_hashes: bool, subuid: &Path) -> Self {
        Self {
            lookups: Arc::new(Lookups::new(LOOKUP_TIME)),
            owners: Arc::new(Owners::read(subuid)),
            hashes: with_hashes.then(Arc::default),
        }
    }

    /// Who has what user `uid` takes counted as theirs.
    pub(super) fn owner(&self, uid: u32) -> u32 {
        self.owners.owner(uid)
    }

    /// The peer of `stream`, which came by `socket`. What cannot be made sure of is left out.
    ///
    /// # Errors
    /// When the kernel gives no credentials; there must then be no connection.
    pub(super) async fn attest(&self, stream: &UnixStream, socket: &str) -> io::Result<UnixPeer> {
        let credentials = stream.peer_cred()?;
        // 0: the process is outside our pid namespace.
        let pid = credentials.pid().unwrap_or(0);
        let mut peer = UnixPeer::known(credentials.uid(), credentials.gid(), pid);
        peer.socket = Some(socket.to_owned());
        let pidfd = match getsockopt(&stream.as_fd(), PeerPidfd) {
            Ok(pidfd) => Some(pidfd),
            // Kernels before 6.5 cannot pin the process; then /proc alone must do.
            Err(Errno::ENOPROTOOPT) => None,
            // The process has ended, and its number may be another's by now.
            Err(_) => return Ok(peer),
        };
        let (asked, hashes) = (peer.clone(), self.hashes.clone());
        let look = move || process::examine(asked, pidfd.as_ref(), hashes.as_deref());
        let owner = self.owner(peer.uid);
        Ok(self.lookups.run(owner, look).await.unwrap_or(peer))
    }
}
