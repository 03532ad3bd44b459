//! `msg_container`, which holds several messages.

use super::packet::Message;

/// The constructor id of `msg_container`.
pub(crate) const ID: u32 = 0x73f1_f8dc;

/// Telegram's own bound on the messages in a container.
const MAX_MESSAGES: u32 = 1020;

/// The messages in a container; `None` if it is malformed.
pub(crate) fn read(object: &[u8]) -> Option<Vec<Message>> {
    let (count, mut rest) = object.get(4..)?.split_first_chunk()?;
    let count = u32::from_le_bytes(*count);
    if count > MAX_MESSAGES {
        return None;
    }
    let mut messages = Vec::new();
    for _ in 0..count {
        let (message, after) = Message::read(rest)?;
        messages.push(message);
        rest = after;
    }
    Some(messages)
}

/// A container with these messages.
pub(crate) fn write(messages: &[Message]) -> Vec<u8> {
    let mut out = ID.to_le_bytes().to_vec();
    out.extend(
        u32::try_from(messages.len())
            .unwrap_or(u32::MAX)
            .to_le_bytes(),
    );
    for message in messages {
        message.write(&mut out);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_nothing_shorter() {
        let messages = vec![
            Message {
                id: 4,
                seq: 1,
                body: vec![1, 2, 3, 4],
            },
            Message {
                id: 8,
                seq: 3,
                body: vec![0; 40],
            },
        ];
        let object = write(&messages);
        assert_eq!(read(&object).as_ref(), Some(&messages));
        assert_eq!(read(&object[..object.len() - 1]), None);
    }
}
