//! journald and syslog: each line goes there too, as one datagram.
//!
//! A datagram is taken at once or not at all, and each names its receiver anew, so that one
//! which was restarted is found again. For a required one the wait is bounded.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use metrics::counter;

use crate::audit::record::unseal;
use crate::audit::settings::{SinkKind, SinkMode, SinkSettings};
use crate::broker::ports::AuditError;
use crate::telemetry::metrics::AUDIT_DROPPED;

/// Longest wait for a required sink whose queue is full.
const WAIT: Duration = Duration::from_secs(1);
/// What we are called there.
const NAME: &str = "vaultgram-audit";
/// RFC 5424: facility authpriv (10), severity informational (6).
const PRIORITY: u8 = 10 * 8 + 6;

/// All that are configured.
#[derive(Debug)]
pub(super) struct Sinks(Vec<Sink>);

#[derive(Debug)]
struct Sink {
    settings: SinkSettings,
    socket: UnixDatagram,
    /// The last one was dropped, which is logged once.
    dropping: bool,
}

impl Sinks {
    /// Connects to nothing: a required sink that is not there shows with the first record.
    pub(super) fn open(settings: &[SinkSettings]) -> io::Result<Self> {
        let open = |settings: &SinkSettings| {
            let socket = UnixDatagram::unbound()?;
            match settings.mode {
                SinkMode::Required => socket.set_write_timeout(Some(WAIT))?,
                SinkMode::BestEffort => socket.set_nonblocking(true)?,
            }
            Ok(Sink {
                settings: settings.clone(),
                socket,
                dropping: false,
            })
        };
        settings
            .iter()
            .map(open)
            .collect::<io::Result<_>>()
            .map(Self)
    }

    /// Hands over whole lines.
    ///
    /// # Errors
    /// When a required sink did not take them all; it may have some.
    pub(super) fn send(&mut self, lines: &[u8]) -> Result<(), AuditError> {
        for sink in &mut self.0 {
            for line in lines
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
            {
                sink.send(line)?;
            }
        }
        Ok(())
    }
}

impl Sink {
    fn send(&mut self, line: &[u8]) -> Result<(), AuditError> {
        let datagram = match self.settings.kind {
            SinkKind::Journald => for_journald(line),
            SinkKind::Syslog => for_syslog(line),
        };
        let sent = self.socket.send_to(&datagram, &self.settings.path);
        let (path, name) = (self.settings.path.as_path(), self.settings.kind.name());
        match (sent, self.settings.mode) {
            (Ok(_), _) => {
                if std::mem::take(&mut self.dropping) {
                    tracing::info!(event = "audit.sink_takes_again", sink = name);
                }
                Ok(())
            }
            (Err(error), SinkMode::Required) => Err(refused(name, path, &error)),
            (Err(error), SinkMode::BestEffort) => {
                counter!(AUDIT_DROPPED, "sink" => name).increment(1);
                if !std::mem::replace(&mut self.dropping, true) {
                    tracing::warn!(event = "audit.sink_drops", sink = name, path = %path.display(), %error);
                }
                Ok(())
            }
        }
    }
}

fn refused(name: &str, path: &Path, error: &io::Error) -> AuditError {
    AuditError(format!(
        "{name} at {}: {error}; have it run, or set mode = \"best_effort\" in [audit.{name}]",
        path.display()
    ))
}

impl SinkKind {
    /// Its name in the configuration and in metrics.
    fn name(self) -> &'static str {
        match self {
            Self::Journald => "journald",
            Self::Syslog => "syslog",
        }
    }
}

/// Fields, a line each; ours hold no line ends.
fn for_journald(line: &[u8]) -> Vec<u8> {
    let mut text = format!("SYSLOG_IDENTIFIER={NAME}\nPRIORITY=6\n").into_bytes();
    if let Some(record) = unseal(line) {
        let fields = format!(
            "VAULTGRAM_SEQ={}\nVAULTGRAM_EVENT={}\n",
            record.seq, record.event
        );
        text.extend_from_slice(fields.as_bytes());
    }
    text.extend_from_slice(b"MESSAGE=");
    text.extend_from_slice(line);
    text.push(b'\n');
    text
}

/// Priority, version, time, host, program, process, kind, no structured data, message.
fn for_syslog(line: &[u8]) -> Vec<u8> {
    let time = unseal(line).map_or("-", |record| record.time);
    let host = rustix::system::uname();
    let host = host.nodename().to_str().ok();
    let host =
        host.filter(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()));
    let head = format!(
        "<{PRIORITY}>1 {time} {} {NAME} {} audit - ",
        host.unwrap_or("-"),
        std::process::id()
    );
    [head.as_bytes(), line].concat()
}
