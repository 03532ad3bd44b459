//! Logs and metrics: what is shown, and what never can be.
//!
//! Only vaultgram's own events are logged, at any level: the libraries below log message
//! texts (grammers), bodies (hyper) at `trace`, and `RUST_LOG=trace` must not
//! turn a log into a place where secrets are kept.

pub mod metrics;
pub mod stage;

use std::io::{IsTerminal, Write};

use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, Layer, fmt};

/// Starts logging to standard error. `filter` is in `RUST_LOG`'s notation.
///
/// # Errors
/// When the filter is not in that notation.
pub fn start(filter: &str, json: bool) -> Result<(), String> {
    let levels = EnvFilter::try_new(filter)
        .map_err(|_| "RUST_LOG is not a log filter; write it like vaultgram=debug".to_owned())?;
    let ours = filter_fn(|event| {
        let target = event.target();
        target == "vaultgram" || target.starts_with("vaultgram::")
    });
    let layer = fmt::layer().with_writer(std::io::stderr);
    let layer = if json {
        layer.json().flatten_event(true).boxed()
    } else {
        layer.with_ansi(std::io::stderr().is_terminal()).boxed()
    };
    let subscriber = tracing_subscriber::registry()
        .with(layer.with_filter(ours))
        .with(levels);
    // Already set only where tests of one process start twice.
    drop(tracing::subscriber::set_global_default(subscriber));
    Ok(())
}

/// From now on a panic shows its place only: its message may hold data.
pub fn quiet_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        // Before the log is started, and in commands without one, this is all there is.
        drop(writeln!(
            std::io::stderr(),
            "internal error at {place}; please report it"
        ));
    }));
}
