//! The receiving half of a connection: packets, sessions, calls.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{End, service};
use crate::control::Fault;
use crate::framing::Decoder;
use crate::keyexchange::KeyExchange;
use crate::model::Refusal;
use crate::mtproto::packet::{Message, Packet};
use crate::mtproto::session::{Session, Verdict};
use crate::mtproto::{container, gzip};
use crate::rpc::{self, Call};
use crate::shared::Shared;
use crate::tl;
use crate::world::{Link, Outgoing};

/// What a packet with an unknown key is answered.
const UNKNOWN_KEY: i32 = -404;

/// How long an older connection with the same key has to go away before the key
/// counts as used twice: a client that reconnects is not a duplicate.
const DUPLICATE_GRACE: Duration = Duration::from_millis(500);

/// The time that a connection may be silent until the client says otherwise.
const FOREVER: Duration = Duration::from_hours(365 * 24);

/// How many calls of one connection may be held back by a fault.
const MAX_DELAYED: usize = 10_000;

/// The state of the receiving half.
pub(super) struct Inbound {
    pub(super) shared: Arc<Shared>,
    pub(super) link: Link,
    connection: u64,
    exchange: KeyExchange,
    /// Whether the sending half knows the transport.
    started: bool,
    pub(super) key: i64,
    session: Option<Session>,
    /// Whether the client was told of its new session.
    greeted: bool,
    delayed: JoinSet<()>,
    /// When the connection ends unless the client pings again.
    deadline: Instant,
}

impl Inbound {
    pub(super) fn new(shared: Arc<Shared>, link: Link, connection: u64) -> Self {
        Self {
            shared,
            link,
            connection,
            exchange: KeyExchange::default(),
            started: false,
            key: 0,
            session: None,
            greeted: false,
            delayed: JoinSet::new(),
            deadline: Instant::now() + FOREVER,
        }
    }

    /// Ends the connection after this time, unless it is called again.
    pub(super) fn disconnect_after(&mut self, delay: Duration) {
        self.deadline = Instant::now() + delay.min(FOREVER);
    }

    /// Reads until the connection ends.
    pub(super) async fn run(&mut self, mut socket: impl AsyncRead + Unpin) -> End {
        let mut decoder = Decoder::default();
        let mut chunk = vec![0; 64 * 1024];
        loop {
            let read = tokio::select! {
                read = socket.read(&mut chunk) => read,
                () = tokio::time::sleep_until(self.deadline) => return End::Silent,
            };
            match read {
                Ok(0) => return End::Gone(std::io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => decoder.push(chunk.get(..length).unwrap_or_default()),
                Err(error) => return End::Gone(error),
            }
            loop {
                let packet = match decoder.next() {
                    Ok(Some(packet)) => packet,
                    Ok(None) => break,
                    Err(error) => return End::Frame(error),
                };
                if let Some(transport) = decoder.transport().filter(|_| !self.started) {
                    self.started = true;
                    self.link.send(Outgoing::Transport(transport));
                }
                if self.shared.control.is_black_hole() {
                    continue;
                }
                if let Err(end) = self.packet(&packet).await {
                    return end;
                }
            }
            while self.delayed.try_join_next().is_some() {}
        }
    }

    async fn packet(&mut self, packet: &[u8]) -> Result<(), End> {
        let (key, sealed) = packet.split_first_chunk().ok_or(End::Malformed("packet"))?;
        let key = i64::from_le_bytes(*key);
        if key == 0 {
            let answer = self
                .exchange
                .receive(&self.shared, sealed)
                .map_err(End::Malformed)?;
            if !answer.is_empty() {
                self.link.send(Outgoing::Plain(answer));
            }
            return Ok(());
        }
        let known = self
            .shared
            .world()
            .keys
            .get(key)
            .filter(|device| device.dc_id == self.shared.dc_id)
            .map(|device| Arc::clone(&device.key));
        let Some(auth_key) = known else {
            self.link.send(Outgoing::TransportError(UNKNOWN_KEY));
            return Ok(());
        };
        let plain = auth_key.open(sealed).ok_or(End::Malformed("ciphertext"))?;
        let packet = Packet::read(&plain).ok_or(End::Malformed("plaintext"))?;
        if self.key != key || self.session.as_ref().map(Session::id) != Some(packet.session) {
            self.adopt(key, packet.session).await;
            let session = packet.session;
            self.link.send(Outgoing::Session {
                key: auth_key,
                session,
            });
            self.session = Some(Session::new(session));
            self.greeted = false;
        }
        self.top(packet)
    }

    /// Takes over a key and session, unless another live connection uses the key.
    async fn adopt(&mut self, key: i64, session: i64) {
        self.key = key;
        let step = DUPLICATE_GRACE / 20;
        for _ in 0..20 {
            if self.shared.world().connect(self.connection, key, session) {
                return;
            }
            tokio::time::sleep(step).await;
        }
        self.shared
            .world()
            .end_duplicate(self.connection, key, session);
    }

    /// The outermost message of a packet, whose salt counts for all in it.
    fn top(&mut self, packet: Packet) -> Result<(), End> {
        let now = self.shared.clock.unix();
        let Message { id, seq, .. } = packet.message;
        if let Verdict::Bad(code) = Session::judge_id(id, now) {
            self.link.send(service::bad_message(id, seq, code));
            return Ok(());
        }
        let salt = self.shared.salts.current(self.key, now);
        if !self.shared.salts.accepts(self.key, packet.salt, now) {
            self.link.send(service::bad_salt(id, seq, salt));
            return Ok(());
        }
        if !self.greeted {
            self.greeted = true;
            self.link.send(service::new_session(id, salt));
        }
        self.message(packet.message, 0)
    }

    /// A message: a container, packed, a service message, or a call.
    fn message(&mut self, message: Message, depth: u8) -> Result<(), End> {
        let Message { id, seq, mut body } = message;
        match self.session.as_mut().map(|session| session.judge(id, seq)) {
            Some(Verdict::Fresh) => {}
            Some(Verdict::Bad(code)) => {
                self.link.send(service::bad_message(id, seq, code));
                return Ok(());
            }
            Some(Verdict::Repeated) | None => {
                self.link.send(service::acknowledge(id));
                return Ok(());
            }
        }
        if tl::constructor(&body) == Some(gzip::ID) {
            body = gzip::unpack(&body).ok_or(End::Malformed("gzip_packed"))?;
        }
        if tl::constructor(&body) == Some(container::ID) {
            if depth > 0 {
                return Err(End::Malformed("container in a container"));
            }
            for inner in container::read(&body).ok_or(End::Malformed("container"))? {
                if let Verdict::Bad(code) = Session::judge_id(inner.id, self.shared.clock.unix()) {
                    self.link
                        .send(service::bad_message(inner.id, inner.seq, code));
                    continue;
                }
                self.message(inner, depth + 1)?;
            }
            return Ok(());
        }
        if service::handle(self, id, &body) {
            return Ok(());
        }
        self.call(id, &body)
    }

    fn call(&mut self, request: i64, body: &[u8]) -> Result<(), End> {
        let call = Call::read(body).ok_or(End::Malformed("call"))?;
        let method = call.method();
        let fault = self.shared.control.called(method);
        tracing::trace!(method, ?fault, "call");
        let (shared, connection, key) = (Arc::clone(&self.shared), self.connection, self.key);
        match fault {
            None => rpc::answer(&shared, connection, key, request, &call),
            Some(Fault::Error { code, text }) => {
                let body = rpc::refuse(&Refusal { code, text });
                self.link.send(Outgoing::Answer { request, body });
            }
            Some(Fault::Hang) => self.link.send(service::acknowledge(request)),
            Some(Fault::Drop) => return Err(End::Fault),
            Some(Fault::LoseAnswer) => {
                rpc::carry_out(&shared, connection, key, &call);
                return Err(End::Fault);
            }
            Some(Fault::Delay(delay)) => {
                if self.delayed.len() >= MAX_DELAYED {
                    return Err(End::Malformed("number of calls held back"));
                }
                self.link.send(service::acknowledge(request));
                self.delayed.spawn(async move {
                    tokio::time::sleep(delay).await;
                    rpc::answer(&shared, connection, key, request, &call);
                });
            }
        }
        Ok(())
    }
}
