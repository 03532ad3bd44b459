//! The way to a vaultgram on this host: its Unix socket.

use std::io;
use std::path::Path;

use tokio::net::UnixStream;

use crate::cli::client::{Answer, Asked, NO_VAULTGRAM, exchange};
use crate::cli::exit::{Exit, Failure};

/// Asks on the socket at `path`.
pub(super) async fn ask(path: &Path, asked: &Asked<'_>) -> Result<Answer, Failure> {
    let stream = UnixStream::connect(path)
        .await
        .map_err(|error| not_reached(path, &error))?;
    exchange(stream, "localhost", asked).await.map_err(|error| {
        let what = format!("{}: no proper answer: {error}", path.display());
        Failure::new(Exit::Unavailable, what).hint(NO_VAULTGRAM)
    })
}

fn not_reached(socket: &Path, error: &io::Error) -> Failure {
    let (exit, hint) = if error.kind() == io::ErrorKind::NotFound {
        (
            Exit::Unavailable,
            "start vaultgram, or say where its socket is with --socket or VAULTGRAM_SOCKET",
        )
    } else if error.kind() == io::ErrorKind::ConnectionRefused {
        (
            Exit::Unavailable,
            "a vaultgram was there, and has ended: start it again (`vaultgram serve`)",
        )
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        (
            Exit::Denied,
            "only its owner and group may connect; join the group set in [socket] group",
        )
    } else {
        (Exit::Unavailable, NO_VAULTGRAM)
    };
    let shown = socket.display();
    Failure::new(exit, format!("{shown}: cannot connect: {error}")).hint(hint)
}
