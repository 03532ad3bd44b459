//! How packets are cut out of the TCP stream: the transports Full and Abridged.

mod abridged;
mod full;

/// The largest packet taken from a client; Telegram allows about this much.
const MAX_PACKET: usize = 2 * 1024 * 1024;

/// Why the bytes of a client make no packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FrameError {
    /// The first bytes are no transport that is served here.
    UnknownTransport([u8; 4]),
    /// The length cannot be a packet's.
    BadLength(i64),
    /// Full only: packets must be counted without a gap.
    BadSequence { expected: u32, got: u32 },
    /// Full only: the checksum does not match.
    BadChecksum,
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnknownTransport(bytes) => write!(f, "unknown transport {bytes:02x?}"),
            Self::BadLength(length) => write!(f, "impossible packet length {length}"),
            Self::BadSequence { expected, got } => {
                write!(f, "packet number {got} where {expected} was due")
            }
            Self::BadChecksum => write!(f, "checksum mismatch"),
        }
    }
}

/// A transport, as the first bytes of a connection choose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Length, number, payload, CRC-32.
    Full,
    /// One byte of length where it suffices.
    Abridged,
}

/// Cuts the incoming stream into packets.
#[derive(Default)]
pub(crate) struct Decoder {
    buffer: Vec<u8>,
    /// How much of the buffer has been cut out already.
    start: usize,
    transport: Option<Transport>,
    received: u32,
}

impl Decoder {
    /// Takes bytes as they come from the socket.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The transport, once enough bytes have come to tell.
    pub(crate) fn transport(&self) -> Option<Transport> {
        self.transport
    }

    /// The next whole packet, if there is one.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        let transport = match self.transport {
            Some(transport) => transport,
            None => match self.detect()? {
                Some(transport) => *self.transport.insert(transport),
                None => return Ok(None),
            },
        };
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        let found = match transport {
            Transport::Full => full::unpack(rest, self.received)?,
            Transport::Abridged => abridged::unpack(rest)?,
        };
        Ok(found.map(|(payload, used)| {
            self.start += used;
            self.received = self.received.wrapping_add(1);
            payload
        }))
    }

    fn detect(&mut self) -> Result<Option<Transport>, FrameError> {
        if self.buffer.first() == Some(&abridged::TAG) {
            self.start = 1;
            return Ok(Some(Transport::Abridged));
        }
        let Some((head, rest)) = self.buffer.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let Some(number) = rest.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*head) as usize;
        // Full has no tag: its first packet is known by a sane length and number zero.
        if (full::OVERHEAD..=MAX_PACKET).contains(&length) && *number == [0; 4] {
            Ok(Some(Transport::Full))
        } else {
            Err(FrameError::UnknownTransport(*head))
        }
    }
}

/// Puts packets into the outgoing stream.
pub(crate) struct Encoder {
    transport: Transport,
    sent: u32,
}

impl Encoder {
    pub(crate) fn new(transport: Transport) -> Self {
        Self { transport, sent: 0 }
    }

    /// Appends one packet to `out`.
    pub(crate) fn pack(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        match self.transport {
            Transport::Full => full::pack(payload, self.sent, out),
            Transport::Abridged => abridged::pack(payload, out),
        }
        self.sent = self.sent.wrapping_add(1);
    }

    /// Appends a transport error, after which the connection is to end.
    pub(crate) fn pack_error(&self, code: i32, out: &mut Vec<u8>) {
        match self.transport {
            // In place of a length, and long enough that clients see it as a packet.
            Transport::Full => out.extend(code.to_le_bytes().repeat(3)),
            Transport::Abridged => abridged::pack(&code.to_le_bytes(), out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(bytes: &[u8], step: usize) -> Result<Vec<Vec<u8>>, FrameError> {
        let mut decoder = Decoder::default();
        let mut found = Vec::new();
        for piece in bytes.chunks(step) {
            decoder.push(piece);
            while let Some(packet) = decoder.next()? {
                found.push(packet);
            }
        }
        Ok(found)
    }

    fn stream(transport: Transport) -> (Vec<u8>, Vec<Vec<u8>>) {
        let payloads = vec![vec![1; 8], vec![2; 508], vec![3; 70_000]];
        let mut encoder = Encoder::new(transport);
        let mut out = match transport {
            Transport::Full => Vec::new(),
            Transport::Abridged => vec![abridged::TAG],
        };
        for payload in &payloads {
            encoder.pack(payload, &mut out);
        }
        (out, payloads)
    }

    #[test]
    fn both_transports_survive_any_cut_of_the_stream() {
        for transport in [Transport::Full, Transport::Abridged] {
            let (bytes, payloads) = stream(transport);
            for step in [1, 3, 1000, bytes.len()] {
                assert_eq!(
                    packets(&bytes, step).as_ref(),
                    Ok(&payloads),
                    "{transport:?} {step}"
                );
            }
        }
    }

    #[test]
    fn a_damaged_packet_is_noticed() {
        let (mut bytes, _) = stream(Transport::Full);
        bytes[9] ^= 1;
        assert_eq!(packets(&bytes, 100_000), Err(FrameError::BadChecksum));
    }

    #[test]
    fn a_missing_packet_is_noticed() {
        let (bytes, _) = stream(Transport::Full);
        let first = 8 + full::OVERHEAD;
        let doubled = [&bytes[..first], &bytes[..first]].concat();
        let expected = FrameError::BadSequence {
            expected: 1,
            got: 0,
        };
        assert_eq!(packets(&doubled, 100_000), Err(expected));
    }

    #[test]
    fn another_protocol_is_refused() {
        let expected = FrameError::UnknownTransport(*b"GET ");
        assert_eq!(packets(b"GET / HTTP/1.1\r\n", 100), Err(expected));
    }
}
