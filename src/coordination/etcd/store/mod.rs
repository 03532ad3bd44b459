//! State that several replicas share.
//!
//! Each replica is a member of a company while its lease in etcd lasts (`membership`, `joining`),
//! and knows of the others by one watch (`watching`, `company`). Every change is made on the
//! condition that its writer is a member (`write`), so that one that is taken for ended has no effect.
//! Claims (`claims`) are had by one member, and by another only once that one is none any more;
//! values (`entries`) belong to who wrote them, and are inherited (`inherit`).

mod at_rest;
mod buckets;
mod claims;
mod company;
mod entries;
mod envelope;
mod flights;
mod inherit;
mod joining;
mod layout;
mod membership;
mod mine;
mod orphans;
mod seen;
mod settings;
mod tries;
mod unsettled;
mod watching;
mod write;

#[cfg(test)]
mod claims_tests;
#[cfg(test)]
mod entries_tests;
#[cfg(test)]
mod joining_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod sim;

use std::sync::Arc;

use async_trait::async_trait;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::buckets::Buckets;
use self::company::Company;
use self::envelope::{Envelopes, Head, Kind};
use self::flights::Flights;
use self::inherit::Heirlooms;
use self::layout::{Layout, MemberId};
use self::membership::Membership;
use self::mine::Mine;
use self::orphans::Orphans;
use self::seen::Seen;
use self::unsettled::Unsettled;
use crate::broker::ports::{Claim, Clock, Coordination, CoordinationError, Random};
use crate::coordination::etcd::kv::Kv;

pub use self::at_rest::AtRest;
pub use self::company::Member;
pub use self::envelope::Keys;
pub use self::settings::{Settings, SettingsError};

/// The store of several replicas.
pub struct EtcdStore {
    kv: Arc<dyn Kv>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    layout: Layout,
    envelopes: Envelopes,
    /// The key in etcd of our session.
    session: Option<String>,
    /// What we say of us.
    facts: watch::Sender<Vec<u8>>,
    membership: Membership,
    company: Company,
    seen: Seen,
    flights: Flights,
    mine: Mine,
    buckets: Buckets,
    orphans: Orphans,
    unsettled: Unsettled,
    heirlooms: Heirlooms,
}

impl EtcdStore {
    /// A replica that is no member yet: [`EtcdStore::run`] makes it one.
    ///
    /// # Errors
    /// See [`Settings::check`].
    pub fn new(
        kv: Arc<dyn Kv>,
        settings: &Settings,
        keys: Keys,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, SettingsError> {
        settings.check()?;
        let mut process = [0; 16];
        random.fill(&mut process);
        let layout = Layout::new(&settings.prefix);
        let session = settings.session.as_deref();
        Ok(Self {
            kv,
            session: session.map(|name| layout.session(name)),
            layout,
            envelopes: Envelopes::new(keys),
            facts: watch::Sender::default(),
            membership: Membership::new(process, settings.ttl, Arc::clone(&clock)),
            company: Company::default(),
            seen: Seen::default(),
            flights: Flights::default(),
            mine: Mine::default(),
            buckets: Buckets::default(),
            orphans: Orphans::default(),
            unsettled: Unsettled::default(),
            heirlooms: Heirlooms::default(),
            clock,
            random,
        })
    }

    /// Makes this process a member and keeps it one, until `stop`. What is in flight should have ended by
    /// then: soon after, the membership has lapsed.
    pub async fn run(&self, stop: CancellationToken) {
        let running = async {
            tokio::join!(
                self.company.toll(),
                self.watch_over(),
                self.release_orphans(),
                self.belong()
            )
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            _ = running => {}
        }
    }

    /// Returns once this process is a member.
    ///
    /// # Errors
    /// When it cannot become one, ever; says why.
    pub async fn ready(&self) -> Result<(), CoordinationError> {
        let mut changes = self.membership.changes();
        while self.membership.current().is_none() {
            if self.membership.over() {
                return Err(self.no_term());
            }
            if changes.changed().await.is_err() {
                return Err(self.no_term());
            }
        }
        Ok(())
    }

    /// Ends the membership, so that others need not wait for that to inherit what is left: claims and
    /// values stay.
    ///
    /// # Errors
    /// When etcd cannot be told; it finds out by itself.
    pub async fn close(&self) -> Result<(), CoordinationError> {
        let Some(lease) = self.membership.end("the state store is closed") else {
            return Ok(());
        };
        let revoked = self.kv.revoke(lease).await;
        revoked.map_err(|error| CoordinationError(error.to_string()))
    }

    /// Has `facts` told to whoever looks at the replicas, within a moment.
    pub fn describe(&self, facts: Vec<u8>) {
        self.facts.send_replace(facts);
    }

    /// The replicas, as far as is known.
    pub fn members(&self) -> Vec<Member> {
        self.company.list(self.membership.process())
    }

    /// Why this process is no member; `None` while it is one.
    pub fn trouble(&self) -> Option<String> {
        self.membership.trouble()
    }

    /// What `kind` of `owner`'s with `value` looks like at `place` in etcd.
    fn sealed(
        &self,
        place: &str,
        owner: MemberId,
        kind: Kind,
        value: &[u8],
    ) -> Result<Vec<u8>, CoordinationError> {
        let head = Head { owner, kind };
        self.envelopes.seal(place, head, value, &*self.random)
    }

    fn no_term(&self) -> CoordinationError {
        let why = self.trouble();
        let why = why.unwrap_or_else(|| "its membership was lost and is regained".into());
        CoordinationError(format!("this replica may not act now: {why}"))
    }

    fn now(&self) -> i64 {
        milliseconds(self.clock.now())
    }
}

#[async_trait]
impl Coordination for EtcdStore {
    async fn claim(&self, key: &str, until: OffsetDateTime) -> Result<Claim, CoordinationError> {
        self.claim_until(key, milliseconds(until)).await
    }

    async fn finish(&self, key: &str) -> Result<(), CoordinationError> {
        self.finish_claim(key).await
    }

    async fn put(&self, key: &str, value: &[u8]) -> Result<(), CoordinationError> {
        self.set(key, Some(value)).await
    }

    async fn delete(&self, key: &str) -> Result<(), CoordinationError> {
        self.set(key, None).await
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, CoordinationError> {
        self.value(key).await
    }

    async fn swap(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<bool, CoordinationError> {
        self.swap_value(key, expected, new).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, CoordinationError> {
        self.values(prefix).await
    }

    async fn inherit(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, CoordinationError> {
        self.inherit_values(prefix).await
    }

    async fn bereaved(&self) {
        self.company.bereaved().await;
    }

    fn bereavements(&self) -> u64 {
        self.company.bells()
    }

    fn term(&self) -> Option<u64> {
        self.membership.current().map(|id| id.term)
    }

    fn alone(&self) -> bool {
        self.company.alone(self.membership.process())
    }

    fn shared(&self) -> bool {
        true
    }
}

/// Milliseconds since 1970. `OffsetDateTime` ends long before `i64` does.
fn milliseconds(time: OffsetDateTime) -> i64 {
    time.unix_timestamp() * 1000 + i64::from(time.millisecond())
}
