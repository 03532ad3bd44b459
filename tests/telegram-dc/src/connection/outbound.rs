//! The sending half of a connection: numbers, containers, encryption.

use std::sync::Arc;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::End;
use crate::framing::Encoder;
use crate::mtproto::crypto::AuthKey;
use crate::mtproto::packet::{Message, Packet};
use crate::mtproto::{container, gzip};
use crate::shared::Shared;
use crate::world::Outgoing;

/// Bounds of one container; clients read into buffers of about a megabyte.
const MAX_MESSAGES: usize = 100;
const MAX_BYTES: usize = 256 * 1024;

const RPC_RESULT: u32 = 0xf35c_6d01;

/// Low bits of a server's message number: an answer, or something else.
const ANSWER: i64 = 1;
const OTHER: i64 = 3;

/// Writes what is queued until the connection ends.
pub(super) async fn run(
    shared: &Shared,
    mut queue: mpsc::Receiver<Outgoing>,
    mut socket: impl AsyncWrite + Unpin,
) -> End {
    let mut writer = Writer::new(shared);
    let mut bytes = Vec::new();
    while let Some(first) = queue.recv().await {
        let mut end = writer.take(first, &mut bytes);
        while end.is_none() && writer.has_room() {
            match queue.try_recv() {
                Ok(next) => end = writer.take(next, &mut bytes),
                Err(_) => break,
            }
        }
        writer.flush(&mut bytes);
        if !shared.control.is_black_hole()
            && let Err(error) = socket.write_all(&bytes).await
        {
            return End::Gone(error);
        }
        bytes.clear();
        if let Some(end) = end {
            return end;
        }
    }
    End::Cut
}

struct Writer<'a> {
    shared: &'a Shared,
    encoder: Option<Encoder>,
    session: Option<(Arc<AuthKey>, i64)>,
    /// Messages that want acknowledging, sent so far.
    content: i32,
    last_id: i64,
    pending: Vec<Message>,
    pending_bytes: usize,
}

impl<'a> Writer<'a> {
    fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            encoder: None,
            session: None,
            content: 0,
            last_id: 0,
            pending: Vec::new(),
            pending_bytes: 0,
        }
    }

    fn has_room(&self) -> bool {
        self.pending.len() < MAX_MESSAGES && self.pending_bytes < MAX_BYTES
    }

    /// Takes one item; what cannot wait is packed at once.
    fn take(&mut self, outgoing: Outgoing, out: &mut Vec<u8>) -> Option<End> {
        match outgoing {
            Outgoing::Answer { request, body } => {
                let mut object = RPC_RESULT.to_le_bytes().to_vec();
                object.extend(request.to_le_bytes());
                object.extend(gzip::pack(body));
                self.add(object, ANSWER, true);
            }
            Outgoing::Push(body) => self.add(gzip::pack(body), OTHER, true),
            Outgoing::Service(body) => self.add(body, OTHER, false),
            Outgoing::Plain(body) => {
                self.flush(out);
                let message = Message {
                    id: self.next_id(ANSWER),
                    seq: 0,
                    body,
                };
                let mut packet = vec![0; 8];
                packet.extend(message.id.to_le_bytes());
                let length = u32::try_from(message.body.len()).unwrap_or(u32::MAX);
                packet.extend(length.to_le_bytes());
                packet.extend(message.body);
                self.pack(&packet, out);
            }
            Outgoing::TransportError(code) => {
                self.flush(out);
                if let Some(encoder) = &self.encoder {
                    encoder.pack_error(code, out);
                }
                return Some(End::Refused(code));
            }
            Outgoing::Session { key, session } => {
                self.flush(out);
                self.session = Some((key, session));
                self.content = 0;
            }
            Outgoing::Transport(transport) => self.encoder = Some(Encoder::new(transport)),
        }
        None
    }

    /// Packs everything pending, as one message or one container.
    fn flush(&mut self, out: &mut Vec<u8>) {
        let mut pending = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let message = match pending.len() {
            0 => return,
            1 => pending.pop(),
            _ => {
                let body = container::write(&pending);
                Some(Message {
                    id: self.next_id(OTHER),
                    seq: self.content * 2,
                    body,
                })
            }
        };
        let (Some(message), Some((key, session))) = (message, self.session.clone()) else {
            return;
        };
        let salt = self
            .shared
            .salts
            .current(key.id(), self.shared.clock.unix());
        let plain = Packet {
            salt,
            session,
            message,
        }
        .write();
        let sealed = key.seal(plain);
        self.pack(&sealed, out);
    }

    fn add(&mut self, body: Vec<u8>, kind: i64, content: bool) {
        let seq = self.content * 2 + i32::from(content);
        self.content += i32::from(content);
        self.pending_bytes += body.len() + Message::HEADER;
        let id = self.next_id(kind);
        self.pending.push(Message { id, seq, body });
    }

    fn pack(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        // Nobody else may number what a black hole swallows.
        if !self.shared.control.is_black_hole()
            && let Some(encoder) = &mut self.encoder
        {
            encoder.pack(payload, out);
        }
    }

    fn next_id(&mut self, kind: i64) -> i64 {
        let now = self.shared.clock.message_id() & !3;
        let behind = self.last_id.saturating_sub(now);
        // Numbers always rise, except when a test has set the clock back.
        let id = if (0..2 << 32).contains(&behind) {
            self.last_id + 4
        } else {
            now
        };
        self.last_id = id;
        id | kind
    }
}
