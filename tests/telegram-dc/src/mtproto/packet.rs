//! The plaintext of an encrypted packet, and the messages in it.

/// One message: its number, its place in the sequence, its object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) id: i64,
    pub(crate) seq: i32,
    pub(crate) body: Vec<u8>,
}

/// What a packet says before its message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) salt: i64,
    pub(crate) session: i64,
    pub(crate) message: Message,
}

impl Message {
    /// Number, sequence and length.
    pub(crate) const HEADER: usize = 16;

    /// The first message in `bytes` and what follows it.
    pub(crate) fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (id, rest) = bytes.split_first_chunk()?;
        let (seq, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let length = usize::try_from(i32::from_le_bytes(*length)).ok()?;
        let (body, rest) = rest.split_at_checked(length)?;
        let (id, seq) = (i64::from_le_bytes(*id), i32::from_le_bytes(*seq));
        Some((
            Self {
                id,
                seq,
                body: body.to_vec(),
            },
            rest,
        ))
    }

    /// Appends the message as it stands in a packet or a container.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.id.to_le_bytes());
        out.extend(self.seq.to_le_bytes());
        out.extend(
            i32::try_from(self.body.len())
                .unwrap_or(i32::MAX)
                .to_le_bytes(),
        );
        out.extend(&self.body);
    }
}

impl Packet {
    /// Reads a decrypted packet; `None` if it is malformed or its padding is odd.
    pub(crate) fn read(plain: &[u8]) -> Option<Self> {
        let (salt, rest) = plain.split_first_chunk()?;
        let (session, rest) = rest.split_first_chunk()?;
        let (message, padding) = Message::read(rest)?;
        let (salt, session) = (i64::from_le_bytes(*salt), i64::from_le_bytes(*session));
        (12..=1024).contains(&padding.len()).then_some(Self {
            salt,
            session,
            message,
        })
    }

    /// The packet's plaintext, before its padding.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(32 + self.message.body.len() + 32);
        out.extend(self.salt.to_le_bytes());
        out.extend(self.session.to_le_bytes());
        self.message.write(&mut out);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_wants_the_padding() {
        let message = Message {
            id: 4,
            seq: 1,
            body: vec![1, 2, 3, 4],
        };
        let packet = Packet {
            salt: 7,
            session: -8,
            message,
        };
        let mut plain = packet.write();
        assert_eq!(Packet::read(&plain), None, "without padding");
        plain.extend([0; 12]);
        assert_eq!(Packet::read(&plain), Some(packet));
    }

    #[test]
    fn a_length_beyond_the_packet_is_refused() {
        let mut plain = vec![0; 28];
        plain.extend(1000_i32.to_le_bytes());
        plain.extend([0; 40]);
        assert_eq!(Packet::read(&plain), None);
    }
}
