//! A grammers client on a simulated datacenter: session, pool, updates.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use grammers_client::client::UpdateStream;
use grammers_client::message::Message;
use grammers_client::update::Update;
use grammers_client::{Client, InvocationError};
use grammers_mtsender::{ConnectionParams, NoRetries, SenderPool, UpdatesConfiguration};
use grammers_session::storages::{MemorySession, MemorySessionError};
use grammers_session::types::{DcOption, PeerId, PeerInfo, PeerRef, UpdateState, UpdatesState};
use grammers_session::{BoxFuture, Session};
use grammers_tl_types::enums::updates::State;
use grammers_tl_types::functions::updates::GetState;
use telegram_dc::{Chat, Datacenter, Options, SERVICE_USER, User};
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub(crate) const BOT: i64 = 5000;
pub(crate) const ALICE: i64 = 1001;
pub(crate) const GROUP: i64 = 40;
pub(crate) const SUPERGROUP: i64 = 50;
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// A datacenter with two people, who share a group and a supergroup.
pub(crate) async fn datacenter() -> Datacenter {
    let dc = Datacenter::start(Options::default()).await.unwrap();
    dc.add_user(User::new(BOT, "Broker").username("broker"));
    dc.add_user(User::new(ALICE, "Alice").username("alice"));
    dc.add_group(GROUP, "Ops", &[ALICE, BOT]);
    dc.add_supergroup(SUPERGROUP, "Ops big", &[ALICE, BOT]);
    dc
}

/// A session in memory that knows its own user, which grammers' own does not.
#[derive(Default)]
pub(crate) struct TestSession {
    inner: MemorySession,
    me: Mutex<Option<PeerInfo>>,
}

impl TestSession {
    /// A session whose only datacenter is this one, with this key.
    pub(crate) async fn with_key(dc: &Datacenter, key: [u8; 256]) -> Arc<Self> {
        let session = Self::default();
        session.set_home_dc_id(dc.id()).await.unwrap();
        session.add(dc, key).await;
        Arc::new(session)
    }

    /// Knows this datacenter, too, with this key.
    pub(crate) async fn add(&self, dc: &Datacenter, key: [u8; 256]) {
        let SocketAddr::V4(ipv4) = dc.address() else {
            panic!("the datacenter is on IPv4")
        };
        let ipv6 = SocketAddrV6::new(Ipv6Addr::LOCALHOST, ipv4.port(), 0, 0);
        let ipv4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, ipv4.port());
        let option = DcOption {
            id: dc.id(),
            ipv4,
            ipv6,
            auth_key: Some(key),
        };
        self.set_dc_option(&option).await.unwrap();
    }

    /// A session with a key that is signed in as this user already.
    pub(crate) async fn signed_in(dc: &Datacenter, user: i64) -> Arc<Self> {
        let session = Self::with_key(dc, dc.provision_key(user)).await;
        let me = PeerInfo::User {
            id: user,
            auth: None,
            bot: Some(false),
            is_self: Some(true),
        };
        session.cache_peer(me).await.unwrap();
        session
    }
}

impl Session for TestSession {
    type Error = MemorySessionError;

    fn home_dc_id(&self) -> Result<i32, Self::Error> {
        self.inner.home_dc_id()
    }

    fn set_home_dc_id(&self, dc_id: i32) -> BoxFuture<'_, Result<(), Self::Error>> {
        self.inner.set_home_dc_id(dc_id)
    }

    fn dc_option(&self, dc_id: i32) -> Result<Option<DcOption>, Self::Error> {
        self.inner.dc_option(dc_id)
    }

    fn set_dc_option(&self, dc_option: &DcOption) -> BoxFuture<'_, Result<(), Self::Error>> {
        self.inner.set_dc_option(dc_option)
    }

    fn peer(&self, peer: PeerId) -> BoxFuture<'_, Result<Option<PeerInfo>, Self::Error>> {
        if peer == PeerId::self_user() {
            let me = self.me.lock().unwrap().clone();
            return Box::pin(async move { Ok(me) });
        }
        self.inner.peer(peer)
    }

    fn cache_peer(&self, peer: PeerInfo) -> BoxFuture<'_, Result<(), Self::Error>> {
        if matches!(
            peer,
            PeerInfo::User {
                is_self: Some(true),
                ..
            }
        ) {
            *self.me.lock().unwrap() = Some(peer.clone());
        }
        self.inner.cache_peer(peer)
    }

    fn updates_state(&self) -> BoxFuture<'_, Result<UpdatesState, Self::Error>> {
        self.inner.updates_state()
    }

    fn set_update_state(&self, update: UpdateState) -> BoxFuture<'_, Result<(), Self::Error>> {
        self.inner.set_update_state(update)
    }
}

/// A connected client with its updates.
pub(crate) struct Connected {
    pub(crate) client: Client,
    pub(crate) updates: UpdateStream,
    runner: JoinHandle<()>,
}

impl Connected {
    /// Connects, and catches up with what came since the session was last used.
    ///
    /// Left to itself grammers asks for the state at the first `next()`, and takes what
    /// came before for old.
    pub(crate) async fn new(session: &Arc<TestSession>) -> Self {
        let params = ConnectionParams {
            // What goes wrong is to be seen.
            retry_policy: Box::new(NoRetries),
            updates_channel_capacity: NonZeroUsize::new(10_000).unwrap(),
            ..ConnectionParams::default()
        };
        let pool = SenderPool::with_configuration(Arc::clone(session), 1, params);
        let client = Client::new(pool.handle.clone());
        let runner = tokio::spawn(pool.runner.run());
        if session.updates_state().await.unwrap().pts == 0
            && let Ok(State::State(state)) = client.invoke(&GetState {}).await
        {
            let (pts, date, seq) = (state.pts, state.date, state.seq);
            session
                .set_update_state(UpdateState::Primary { pts, date, seq })
                .await
                .unwrap();
        }
        let configuration = UpdatesConfiguration { catch_up: true };
        let updates = client
            .stream_updates(pool.updates, configuration)
            .await
            .unwrap();
        Self {
            client,
            updates,
            runner,
        }
    }

    /// Connects as this user, and is past the first catching up.
    pub(crate) async fn settled(dc: &Datacenter, user: i64) -> Self {
        let mut connected = Self::new(&TestSession::signed_in(dc, user).await).await;
        dc.send(SERVICE_USER, Chat::User(user), "settled").unwrap();
        assert_eq!(connected.next_message().await.text(), "settled");
        connected
    }

    /// A person, by username.
    pub(crate) async fn find(&self, username: &str) -> PeerRef {
        let peer = self
            .client
            .resolve_username(username)
            .await
            .unwrap()
            .unwrap();
        peer.to_ref().await.unwrap().unwrap()
    }

    /// The next new text that somebody else sent.
    pub(crate) async fn next_message(&mut self) -> Message {
        self.next_where(|update| match update {
            Update::NewMessage(message) if !message.outgoing() && !message.text().is_empty() => {
                Some((**message).clone())
            }
            _ => None,
        })
        .await
        .unwrap()
    }

    /// The same, by a client that tries again after each error.
    pub(crate) async fn next_message_in_spite_of_errors(&mut self) -> Message {
        loop {
            let message = self.next_where(|update| match update {
                Update::NewMessage(message) if !message.outgoing() => Some((**message).clone()),
                _ => None,
            });
            match message.await {
                Ok(message) => return message,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// The next edited message.
    pub(crate) async fn next_edit(&mut self) -> Message {
        self.next_where(|update| match update {
            Update::MessageEdited(message) => Some((**message).clone()),
            _ => None,
        })
        .await
        .unwrap()
    }

    /// The numbers of the messages deleted next.
    pub(crate) async fn next_deletion(&mut self) -> Vec<i32> {
        self.next_where(|update| match update {
            Update::MessageDeleted(deletion) => Some(deletion.messages().to_vec()),
            _ => None,
        })
        .await
        .unwrap()
    }

    async fn next_where<T>(
        &mut self,
        wanted: impl Fn(&Update) -> Option<T>,
    ) -> Result<T, InvocationError> {
        let found = async {
            loop {
                if let Some(found) = wanted(&self.updates.next().await?) {
                    return Ok(found);
                }
            }
        };
        timeout(SOON, found).await.expect("an update in time")
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.runner.abort();
    }
}
