//! TLS on bytes alone: records in, plaintext out, and the reverse.
//!
//! rustls' unbuffered interface decrypts in the buffer it is given and hands each record's
//! plaintext over in an allocation that it frees at once (which wipes it, see `memory`); its
//! buffered one keeps both. So what an exchange leaves is in [`Session::incoming`], which goes
//! with [`Session::rest`].

use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, Error};
use zeroize::Zeroizing;

/// One TLS session.
pub(super) struct Session {
    rustls: UnbufferedClientConnection,
    /// Records that came and are not dealt with; where they were stands plaintext.
    incoming: Zeroizing<Vec<u8>>,
    /// Records to be sent.
    outgoing: Vec<u8>,
    closed: bool,
}

/// What a session can do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing before more has come.
    Receive,
    /// Send plaintext, or wait for some.
    Talk,
    /// Nothing: the other side has ended it.
    Closed,
}

impl Session {
    /// A session that is still to be begun, with `server`.
    pub(super) fn new(
        config: Arc<ClientConfig>,
        server: ServerName<'static>,
    ) -> Result<Self, Error> {
        Ok(Self {
            rustls: UnbufferedClientConnection::new(config, server)?,
            incoming: Zeroizing::default(),
            outgoing: vec![],
            closed: false,
        })
    }

    /// Where to add what came from the network.
    pub(super) fn incoming(&mut self) -> &mut Vec<u8> {
        &mut self.incoming
    }

    /// What must go to the network before anything is waited for; empty it when it has.
    pub(super) fn outgoing(&mut self) -> &mut Vec<u8> {
        &mut self.outgoing
    }

    /// Goes on until it needs the network: encrypts `talk`, where there is some, and adds what
    /// it decrypts to `heard`.
    ///
    /// # Errors
    /// When the session is at an end, by a mistake or an alert.
    pub(super) fn proceed(
        &mut self,
        mut talk: Option<&[u8]>,
        heard: &mut Vec<u8>,
    ) -> Result<Next, Error> {
        loop {
            let UnbufferedStatus { mut discard, state } =
                self.rustls.process_tls_records(&mut self.incoming);
            let next = match state? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        heard.extend_from_slice(record.payload);
                        discard += record.discard;
                    }
                    None
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    append(&mut self.outgoing, |room| match data.encode(room) {
                        Ok(written) => Ok(written),
                        Err(EncodeError::InsufficientSize(size)) => Err(Some(size.required_size)),
                        Err(EncodeError::AlreadyEncoded) => Err(None),
                    })?;
                    None
                }
                // It is about to be: whoever called looks at `outgoing` next.
                ConnectionState::TransmitTlsData(data) => {
                    data.done();
                    None
                }
                ConnectionState::WriteTraffic(mut traffic) => match talk.take() {
                    Some(talk) => {
                        append(&mut self.outgoing, |room| {
                            match traffic.encrypt(talk, room) {
                                Ok(written) => Ok(written),
                                Err(EncryptError::InsufficientSize(size)) => {
                                    Err(Some(size.required_size))
                                }
                                Err(EncryptError::EncryptExhausted) => Err(None),
                            }
                        })?;
                        None
                    }
                    None => Some(Next::Talk),
                },
                ConnectionState::BlockedHandshake => Some(Next::Receive),
                ConnectionState::PeerClosed | ConnectionState::Closed => {
                    self.closed = true;
                    Some(Next::Closed)
                }
                // Early data is the server's, and not in use.
                ConnectionState::ReadEarlyData(_) | _ => return Err(Error::HandshakeNotComplete),
            };
            self.incoming.drain(..discard);
            if let Some(next) = next {
                return Ok(next);
            }
        }
    }

    /// Whether the other side has ended it.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Wipes what an exchange left. Whether another can follow.
    pub(super) fn rest(&mut self) -> bool {
        let dealt_with = self.incoming.is_empty() && self.outgoing.is_empty();
        self.incoming = Zeroizing::default();
        self.outgoing = vec![];
        dealt_with && !self.closed
    }
}

/// Adds to `outgoing` what `write` writes into a slice; asked with too small a one, it says how
/// much it needs.
fn append(
    outgoing: &mut Vec<u8>,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> Result<(), Error> {
    let end = outgoing.len();
    let needed = match write(&mut []) {
        Ok(_) => 0,
        Err(needed) => needed.ok_or(Error::EncryptError)?,
    };
    outgoing.resize(end + needed, 0);
    let room = outgoing.get_mut(end..).unwrap_or_default();
    let written = if needed == 0 {
        0
    } else {
        write(room).map_err(|_| Error::EncryptError)?
    };
    outgoing.truncate(end + written);
    Ok(())
}
