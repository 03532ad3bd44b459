//! Sockets that systemd made and passes on (socket activation).

use std::collections::BTreeMap;
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;

use crate::config::{Environment, SocketConfig};

/// The sockets that systemd passed, by the names it gave them.
pub(super) struct Passed(BTreeMap<String, UnixListener>);

impl Passed {
    /// Takes them over, once. Their number, and whether they are meant for this process, the
    /// library reads from the environment itself.
    ///
    /// # Errors
    /// When one is not a stream socket of the file system, or two have one name.
    pub(super) fn take(environment: &Environment) -> Result<Self, String> {
        let mut sockets = ListenFd::from_env();
        let names = environment.told("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':').filter(|name| !name.is_empty());
        let mut passed = BTreeMap::new();
        for index in 0..sockets.len() {
            let name = names.next().unwrap_or("unknown").to_owned();
            let listening = |socket: &UnixListener| {
                rustix::net::sockopt::socket_acceptconn(socket).unwrap_or(false)
            };
            let socket = sockets.take_unix_listener(index).ok().flatten();
            let Some(socket) = socket.filter(listening) else {
                return Err(format!(
                    "systemd passed a socket called {name:?} of a kind that vaultgram does not \
                     serve; its .socket unit needs ListenStream= with a path, and no Accept=yes"
                ));
            };
            if passed.insert(name.clone(), socket).is_some() {
                return Err(format!(
                    "systemd passed two sockets called {name:?}; give each a .socket unit of its \
                     own with a FileDescriptorName= of its own"
                ));
            }
        }
        Ok(Self(passed))
    }

    /// Makes sure that each has a section in the configuration.
    ///
    /// # Errors
    /// Names one that has none.
    pub(super) fn check<'c>(
        &self,
        configured: impl Iterator<Item = &'c SocketConfig> + Clone,
    ) -> Result<(), String> {
        let known = |name: &String| configured.clone().any(|socket| socket.name == *name);
        let Some(stranger) = self.0.keys().find(|name| !known(name)) else {
            return Ok(());
        };
        let names = configured.map(|socket| {
            let (name, section) = (&socket.name, socket.section());
            format!("FileDescriptorName={name} for {section}")
        });
        let names: Vec<_> = names.collect();
        Err(format!(
            "systemd passed a socket called {stranger:?}, which is none of the configuration; write \
             into its .socket unit {}",
            names.join(", or ")
        ))
    }

    /// The socket for this section, if systemd made it.
    pub(super) fn remove(&mut self, name: &str) -> Option<UnixListener> {
        self.0.remove(name)
    }
}
