//! Acting on a permit: do it, record what came of it, hand over.

use crate::broker::fitting::fitting;
use crate::broker::ports::StoreError;
use crate::broker::{Beside, Broker, BrokerError, Outcome};
use crate::domain::{
    Action, Age, AuditEntry, AuditEvent, Caller, Delivery, Field, Origin, Permit, Reading, Secret,
    SecretValue, VersionFacts, VersionState,
};

/// A secret encrypted to its requester's keys.
pub struct Sealed {
    /// The ciphertext, as text.
    pub text: String,
    /// Where it comes from.
    pub origin: Origin,
    /// How old it is, where it was not read just now.
    pub age: Option<Age>,
    /// How many keys can open it.
    pub keys: usize,
}

impl Broker {
    /// Uses up `permit`. What it brought leaves here only after that is on record.
    pub(super) async fn execute(
        &self,
        permit: Permit,
        beside: Beside<'_>,
    ) -> Result<Outcome, BrokerError> {
        let result = self.act(&permit, beside).await;
        self.conclude(&permit, result).await
    }

    /// Hands over what came of `permit`, once that is on record.
    pub(super) async fn conclude(
        &self,
        permit: &Permit,
        result: Result<(AuditEvent, Outcome), BrokerError>,
    ) -> Result<Outcome, BrokerError> {
        let (event, result) = match result {
            Ok((event, outcome)) => (event, Ok(outcome)),
            Err(error) => {
                let reason = error.name();
                let event = if let BrokerError::Run(error) = &error
                    && let Some(run) = error.run()
                {
                    let run = run.get();
                    AuditEvent::StartedAmiss { run, reason }
                } else {
                    AuditEvent::Failed { reason }
                };
                (event, Err(error))
            }
        };
        let lease = event.lease().map(str::to_owned);
        let entry = AuditEntry::outcome(permit, event, self.now());
        let Err(error) = self.ports.audit.record(entry).await else {
            if let Ok(Outcome::Released(secret)) = &result {
                self.issued(permit, secret);
            }
            return result;
        };
        if let Some(lease) = lease {
            self.revoke(&permit.request().id, &lease).await;
        }
        if !permit.action().changes() {
            return Err(error.into());
        }
        match result {
            // It cannot be taken back, so it must not look as if nothing had happened.
            Ok(_) => {
                tracing::error!(
                    event = "broker.change_unrecorded",
                    request = %permit.request().id,
                    action = permit.action().name(),
                    path = %permit.target().path,
                    %error,
                );
                Err(BrokerError::DoneUnrecorded)
            }
            Err(unclear @ BrokerError::Store(StoreError::Unclear)) => Err(unclear),
            Err(BrokerError::Run(unclear)) if unclear.is_unclear() => Err(unclear.into()),
            Err(_) => Err(error.into()),
        }
    }

    /// What `permit` is for, where it is in our hands and goes to the caller as it is.
    pub(super) fn at_hand(&self, permit: &Permit) -> Option<Secret> {
        let as_it_is = match (permit.action().delivery()?, &permit.request().caller) {
            (Delivery::Message, _) | (Delivery::Socket, Caller::Unix(_) | Caller::Job(_)) => true,
            (Delivery::Wrapped | Delivery::Sealed, _) | (Delivery::Socket, Caller::Telegram(_)) => {
                false
            }
        };
        if !as_it_is || fitting(permit.request(), &self.rules.mounts).is_err() {
            return None;
        }
        let mut secret = self.ports.store.at_hand(permit)?;
        only_field(&mut secret, permit).then_some(secret)
    }

    /// Hands out what was at hand. Nothing happens between the decision and the release, so both
    /// are put on record at once.
    pub(super) async fn hand_out(
        &self,
        permit: &Permit,
        decided: AuditEntry,
        secret: Secret,
    ) -> Result<Outcome, BrokerError> {
        let event = AuditEvent::Released(Reading::from(&secret));
        let released = AuditEntry::outcome(permit, event, self.now());
        self.ports.audit.record_all(vec![decided, released]).await?;
        self.issued(permit, &secret);
        Ok(Outcome::Released(secret))
    }

    async fn act(
        &self,
        permit: &Permit,
        beside: Beside<'_>,
    ) -> Result<(AuditEvent, Outcome), BrokerError> {
        self.usable(permit)?;
        let (store, fields) = (&self.ports.store, beside.fields);
        Ok(match permit.action() {
            Action::Read(delivery) | Action::Invoke(delivery) => {
                self.deliver(permit, delivery, beside).await?
            }
            Action::List => {
                let names = store.list(permit).await?;
                (AuditEvent::Done, Outcome::Listed(names))
            }
            Action::Versions => {
                let history = store.history(permit).await?;
                (AuditEvent::Done, Outcome::Versions(history))
            }
            Action::Put { over } => {
                something(fields)?;
                written(store.put(permit, fields, over).await?)
            }
            Action::Patch { over } => {
                something(fields)?;
                written(Some(self.patch(permit, fields, over).await?))
            }
            Action::Rotate { recipe, over } => {
                let name = permit.target().field.clone().ok_or(BrokerError::NoField)?;
                let current = self.version_with_field(permit).await?;
                if over.is_some_and(|over| over != current) {
                    return Err(StoreError::Conflict { current }.into());
                }
                let json = recipe.make(&mut |bytes| self.ports.random.fill(bytes));
                let changed = [Field { name, json }];
                written(Some(store.patch(permit, &changed, Some(current)).await?))
            }
            Action::Pipeline(action) => self.operate(permit, action, beside).await?,
            // What there is to unwrap, `unwrap` alone is given.
            Action::Unwrap => return Err(StoreError::Unsupported.into()),
            Action::Delete => {
                let version = store.delete(permit).await?;
                (AuditEvent::Deleted { version }, Outcome::Deleted(version))
            }
            Action::Destroy => {
                let named = permit.target().version;
                let version = named.ok_or(BrokerError::NoVersionNamed)?;
                store.destroy(permit, version).await?;
                (
                    AuditEvent::Destroyed { version },
                    Outcome::Destroyed(version),
                )
            }
            Action::Undelete => {
                let version = match permit.target().version {
                    Some(version) => version,
                    None => self.newest_deleted(permit).await?,
                };
                store.undelete(permit, version).await?;
                (
                    AuditEvent::Undeleted { version },
                    Outcome::Undeleted(version),
                )
            }
        })
    }

    /// Refuses a permit that ran out, or that is for what means nothing.
    pub(super) fn usable(&self, permit: &Permit) -> Result<(), BrokerError> {
        if permit.expires() <= self.now() {
            return Err(BrokerError::PermitExpired);
        }
        fitting(permit.request(), &self.rules.mounts)
    }

    async fn patch(
        &self,
        permit: &Permit,
        fields: &[Field],
        over: Option<u64>,
    ) -> Result<VersionFacts, StoreError> {
        let store = &self.ports.store;
        let patched = store.patch(permit, fields, over).await;
        // People in chat know nothing of check-and-set; programs do.
        if patched == Err(StoreError::CasRequired)
            && let Caller::Telegram(_) = permit.request().caller
        {
            let current = store.history(permit).await?.current;
            return store.patch(permit, fields, Some(current)).await;
        }
        patched
    }

    async fn deliver(
        &self,
        permit: &Permit,
        delivery: Delivery,
        beside: Beside<'_>,
    ) -> Result<(AuditEvent, Outcome), BrokerError> {
        let Beside {
            fields, wrap_ttl, ..
        } = beside;
        match (delivery, &permit.request().caller) {
            (Delivery::Wrapped, _) => {
                if permit.target().field.is_some() {
                    return Err(BrokerError::WrappedField);
                }
                let (store, most) = (&self.ports.store, self.rules.wrap_ttl);
                let ttl = wrap_ttl.map_or(most, |asked| asked.min(most));
                let wrapped = if let Action::Invoke(_) = permit.action() {
                    store.invoke_wrapped(permit, fields, ttl).await?
                } else {
                    store.wrap(permit, ttl).await?
                };
                let event = AuditEvent::Wrapped {
                    accessor: wrapped.accessor.clone(),
                    ttl: wrapped.facts.ttl.as_secs(),
                };
                Ok((event, Outcome::Wrapped(wrapped)))
            }
            (Delivery::Sealed, caller) => {
                let keys = self.keys_to_seal_to(caller, beside.seal_to).await?;
                let secret = self.obtain(permit, fields).await?;
                let reading = Reading::from(&secret);
                let (origin, age) = (secret.origin.clone(), secret.age);
                // Nobody sees it any more after this.
                self.issued(permit, &secret);
                let plaintext = plaintext(secret, permit.target().field.is_some());
                let text = match self.ports.sealer.seal(&plaintext, &keys) {
                    Ok(text) => text,
                    Err(error) => {
                        if let Some(lease) = &reading.lease {
                            self.revoke(&permit.request().id, lease).await;
                        }
                        return Err(error.into());
                    }
                };
                let sealed = Sealed {
                    text,
                    origin,
                    age,
                    keys: keys.len(),
                };
                Ok((
                    AuditEvent::Sealed { reading, keys },
                    Outcome::Sealed(sealed),
                ))
            }
            (Delivery::Socket, Caller::Telegram(user)) => {
                let offer = self.offer(permit, user).await?;
                Ok((
                    AuditEvent::Offered { uid: offer.uid },
                    Outcome::Offered(offer),
                ))
            }
            (Delivery::Message, _) | (Delivery::Socket, Caller::Unix(_) | Caller::Job(_)) => {
                let secret = self.obtain(permit, fields).await?;
                let reading = Reading::from(&secret);
                Ok((AuditEvent::Released(reading), Outcome::Released(secret)))
            }
        }
    }

    /// Reads the secret, and keeps only the field asked for where one was named.
    pub(super) async fn read(&self, permit: &Permit) -> Result<Secret, BrokerError> {
        self.obtain(permit, &[]).await
    }

    /// As [`Broker::read`]; where an engine is invoked, with the parameters `fields`.
    async fn obtain(&self, permit: &Permit, fields: &[Field]) -> Result<Secret, BrokerError> {
        let store = &self.ports.store;
        let secret = if let Action::Invoke(_) = permit.action() {
            store.invoke(permit, fields).await?
        } else {
            store.read(permit).await?
        };
        let mut secret = self.booked(permit, secret).await?;
        if only_field(&mut secret, permit) {
            return Ok(secret);
        }
        self.give_back(&permit.request().id, &secret).await;
        let names = secret.names().map(str::to_owned).collect();
        Err(if let Action::Invoke(_) = permit.action() {
            BrokerError::DoneNoSuchField(names)
        } else {
            BrokerError::NoSuchField(names)
        })
    }

    /// `secret`, whose lease, if it has one, is looked after from now on.
    pub(super) async fn booked(
        &self,
        permit: &Permit,
        mut secret: Secret,
    ) -> Result<Secret, BrokerError> {
        if let Origin::Leased(lease) = &mut secret.origin {
            match self.book(permit, lease).await {
                Ok(code) => lease.code = Some(code),
                Err(error) => {
                    self.revoke(&permit.request().id, &lease.id).await;
                    return Err(error);
                }
            }
        }
        Ok(secret)
    }

    /// The version of a secret that has the field. Which others it has is for those to know who
    /// may read.
    pub(super) async fn version_with_field(&self, permit: &Permit) -> Result<u64, BrokerError> {
        match self.read(permit).await {
            Ok(secret) => secret.version().ok_or(StoreError::Unsupported.into()),
            Err(BrokerError::NoSuchField(_)) => Err(BrokerError::NoSuchField(vec![])),
            Err(error) => Err(error),
        }
    }

    /// The newest version, if it is deleted. An older one is never meant without being named: to
    /// bring it back would not bring back what is read.
    async fn newest_deleted(&self, permit: &Permit) -> Result<u64, BrokerError> {
        let history = self.ports.store.history(permit).await?;
        let newest = history
            .versions
            .iter()
            .find(|v| v.number == history.current);
        match newest.map(|version| version.state) {
            Some(VersionState::Deleted) => Ok(history.current),
            Some(VersionState::Live | VersionState::Destroyed) | None => {
                Err(BrokerError::NewestNotDeleted)
            }
        }
    }
}

/// Keeps of `secret` only the field asked for, where one was named; whether it has such.
fn only_field(secret: &mut Secret, permit: &Permit) -> bool {
    if let Some(wanted) = &permit.target().field {
        let mut fields = secret.fields.iter();
        let Some(position) = fields.position(|field| field.name == *wanted) else {
            return false;
        };
        secret.fields = vec![secret.fields.swap_remove(position)];
    }
    true
}

fn something(fields: &[Field]) -> Result<(), BrokerError> {
    if fields.is_empty() {
        return Err(BrokerError::NothingToWrite);
    }
    Ok(())
}

fn written(new: Option<VersionFacts>) -> (AuditEvent, Outcome) {
    let version = new.as_ref().map(|facts| facts.number);
    (AuditEvent::Written { version }, Outcome::Written(new))
}

/// What is sealed: the one field's value as JSON, or an object of all fields.
fn plaintext(mut secret: Secret, one_field: bool) -> SecretValue {
    if one_field && let Some(field) = secret.fields.pop() {
        return field.json;
    }
    // In full from the beginning: a text that grows leaves halves of itself behind.
    let size = |field: &Field| 6 * field.name.len() + exposed(field).len() + 4;
    let mut json = Vec::with_capacity(2 + secret.fields.iter().map(size).sum::<usize>());
    json.push(b'{');
    for (position, field) in secret.fields.iter().enumerate() {
        if position > 0 {
            json.push(b',');
        }
        // A string is always JSON.
        serde_json::to_writer(&mut json, &field.name).unwrap_or_default();
        json.push(b':');
        json.extend_from_slice(exposed(field));
    }
    json.push(b'}');
    SecretValue::new(json)
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is what gets encrypted for the requester"
)]
fn exposed(field: &Field) -> &[u8] {
    field.json.expose_secret()
}
