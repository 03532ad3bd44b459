//! What every command that talks to a running vaultgram can be told.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use anstream::AutoStream;
use clap::{Args, ColorChoice};

use crate::api::DEFAULT_SOCKET;
use crate::cli::client::proof::ProofArgs;
use crate::cli::client::{Remote, Socket};
use crate::cli::exit::Failure;

const SOCKET: &str = "\
The socket of the running vaultgram, or where one is reached over HTTPS as https://HOST:PORT [default: what \
VAULTGRAM_SOCKET names, or BAO_ADDR or VAULT_ADDR as unix:///PATH, else /run/vaultgram/vaultgram.sock]";

/// Options of every command that asks a running vaultgram.
#[derive(Debug, Args)]
pub struct Common {
    /// The socket of the running vaultgram.
    #[arg(long, value_name = "FILE|ADDRESS", help = SOCKET, global = true)]
    pub socket: Option<PathBuf>,
    /// Print one JSON object; an error too, on standard error
    #[arg(long, global = true)]
    pub json: bool,
    /// Whether to colour what people read
    #[arg(long, value_name = "WHEN", default_value_t, global = true)]
    pub color: ColorChoice,
    // Options of their own, for a usage error shows what was typed with a value of any other.
    /// Where our own clients look.
    #[arg(long, env = "VAULTGRAM_SOCKET", hide = true, global = true)]
    vaultgram_socket: Option<OsString>,
    /// Where clients of OpenBao look.
    #[arg(long, env = "BAO_ADDR", hide = true, global = true)]
    bao_addr: Option<OsString>,
    /// Where clients of Vault look.
    #[arg(long, env = "VAULT_ADDR", hide = true, global = true)]
    vault_addr: Option<OsString>,
    /// Who asks, where no kernel says so.
    #[command(flatten)]
    proof: Box<ProofArgs>,
    /// The vaultgram elsewhere that was asked.
    #[arg(skip)]
    remote: OnceLock<Arc<Remote>>,
}

impl Common {
    /// The file of the socket, or the address.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        let of_vault = self.bao_addr.as_ref().or(self.vault_addr.as_ref());
        let of_vault = of_vault
            .and_then(|address| address.to_str()?.strip_prefix("unix://"))
            .map(PathBuf::from);
        let ours = self.vaultgram_socket.as_ref();
        let ours = ours.filter(|path| !path.is_empty()).map(PathBuf::from);
        let told = self.socket.clone().or(ours).or(of_vault);
        told.unwrap_or_else(|| PathBuf::from(DEFAULT_SOCKET))
    }

    /// The way to the running vaultgram; a person at a terminal sees when it takes long.
    pub(super) fn socket(&self) -> Result<Socket, Failure> {
        let path = self.path();
        let watched = io::stderr().is_terminal();
        let Some(address) = path.to_str().filter(|path| Remote::is_meant(path)) else {
            return Ok(Socket::at(path).watched(watched));
        };
        // One for all that a command asks: it has one session.
        let remote = if let Some(remote) = self.remote.get() {
            remote
        } else {
            let remote = Arc::new(Remote::new(address, &self.proof)?);
            self.remote.get_or_init(|| remote)
        };
        Ok(Socket::remote(Arc::clone(remote)).watched(watched))
    }

    /// Ends the session there, if one was opened.
    pub(super) async fn leave(&self) {
        if let Some(remote) = self.remote.get() {
            remote.leave().await;
        }
    }

    /// Keeps to what was asked of colours from now on; whether standard output has them.
    pub(super) fn choose_colors(&self) -> bool {
        let choice = match self.color {
            ColorChoice::Auto => anstream::ColorChoice::Auto,
            ColorChoice::Always => anstream::ColorChoice::Always,
            ColorChoice::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
        AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Parsed {
        #[command(flatten)]
        common: Common,
    }

    #[test]
    fn the_socket_is_where_it_was_said_most_plainly() {
        let path = |socket: [Option<&str>; 2], bao: Option<&str>, vault: Option<&str>| {
            let [typed, ours] = socket;
            let mut common = Parsed::parse_from(["vaultgram"]).common;
            common.socket = typed.map(PathBuf::from);
            common.vaultgram_socket = ours.map(OsString::from);
            common.bao_addr = bao.map(OsString::from);
            common.vault_addr = vault.map(OsString::from);
            common.path().to_str().unwrap().to_owned()
        };
        let (bao, vault) = (Some("unix:///b"), Some("unix:///v"));
        let none = [None, None];
        assert_eq!(path([Some("/t"), Some("/s")], bao, vault), "/t");
        assert_eq!(path([None, Some("/s")], bao, vault), "/s");
        assert_eq!(path([None, Some("")], bao, vault), "/b");
        assert_eq!(path(none, bao, vault), "/b");
        assert_eq!(path(none, None, vault), "/v");
        // It is another server that they mean, and nobody is sent elsewhere by a variable.
        assert_eq!(path(none, Some("http://x:8200"), vault), DEFAULT_SOCKET);
        assert_eq!(path(none, None, None), DEFAULT_SOCKET);
    }
}
