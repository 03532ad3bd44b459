//! What the broker asks for: checked against its permit, and done with the session it is for.

use std::time::Duration;

use async_trait::async_trait;
use metrics::counter;

use crate::broker::ports::{SecretStore, StoreError, StoreHealth, Wrapped, WrappedFacts};
use crate::domain::{
    Action, Delivery, Field, History, MountKind, Permit, Secret, SecretValue, VersionFacts,
};
use crate::telemetry::metrics::LEASE_RENEWALS;
use crate::vault::metadata::{self, Metadata};
use crate::vault::{Store, engine, kv, kv_write, meant, totp, wrap};

#[async_trait]
impl SecretStore for Store {
    fn namespace(&self) -> Option<&str> {
        self.client.namespace()
    }

    async fn read(&self, permit: &Permit) -> Result<Secret, StoreError> {
        meant(
            permit,
            // Before a rotation: does the field exist?
            matches!(
                permit.action(),
                Action::Read(Delivery::Message | Delivery::Sealed | Delivery::Socket)
                    | Action::Rotate { .. }
            ),
        )?;
        let (client, target) = (&self.client, permit.target());
        let kind = self.kind(target)?;
        self.logged_in(permit, move |session| async move {
            match kind {
                MountKind::Kv2 => kv::read(client, session.access(), target).await,
                MountKind::Kv1 | MountKind::Engine | MountKind::Pipelines => {
                    let secret = self.engine(kind, &session).read(&target.path).await?;
                    self.leases.made(&secret, &session);
                    Ok(secret)
                }
            }
        })
        .await
    }

    async fn wrap(&self, permit: &Permit, ttl: Duration) -> Result<Wrapped, StoreError> {
        meant(
            permit,
            matches!(permit.action(), Action::Read(Delivery::Wrapped)),
        )?;
        let (client, target) = (&self.client, permit.target());
        let kind = self.kind(target)?;
        self.logged_in(permit, move |session| async move {
            match kind {
                MountKind::Kv2 => wrap::wrap(client, session.access(), target, ttl).await,
                MountKind::Kv1 | MountKind::Engine | MountKind::Pipelines => {
                    let engine = self.engine(kind, &session);
                    let wrapped = engine.wrap(&target.path, ttl).await?;
                    if kind == MountKind::Engine {
                        self.leases.made_unseen(&session, wrapped.facts.ttl);
                    }
                    Ok(wrapped)
                }
            }
        })
        .await
    }

    async fn wrapped(&self, token: &SecretValue) -> Result<WrappedFacts, StoreError> {
        let session = self.sessions.session(None).await?;
        wrap::wrapped(&self.client, session.access(), token).await
    }

    async fn unwrap(&self, permit: &Permit, token: &SecretValue) -> Result<Secret, StoreError> {
        meant(permit, permit.action() == Action::Unwrap)?;
        wrap::unwrap(&self.client, self.kind(permit.target())?, token).await
    }

    async fn invoke(&self, permit: &Permit, fields: &[Field]) -> Result<Secret, StoreError> {
        let target = permit.target();
        let kind = self.kind(target)?;
        let delivered = matches!(
            permit.action(),
            Action::Invoke(Delivery::Message | Delivery::Sealed | Delivery::Socket)
        );
        meant(permit, delivered && kind == MountKind::Engine)?;
        self.logged_in(permit, move |session| async move {
            let engine = self.engine(kind, &session);
            let secret = engine.invoke(&target.path, fields).await?;
            self.leases.made(&secret, &session);
            Ok(secret)
        })
        .await
    }

    async fn invoke_wrapped(
        &self,
        permit: &Permit,
        fields: &[Field],
        ttl: Duration,
    ) -> Result<Wrapped, StoreError> {
        let target = permit.target();
        let kind = self.kind(target)?;
        let wrapped = permit.action() == Action::Invoke(Delivery::Wrapped);
        meant(permit, wrapped && kind == MountKind::Engine)?;
        self.logged_in(permit, move |session| async move {
            let engine = self.engine(kind, &session);
            let wrapped = engine.invoke_wrapped(&target.path, fields, ttl).await?;
            self.leases.made_unseen(&session, wrapped.facts.ttl);
            Ok(wrapped)
        })
        .await
    }

    async fn revoke(&self, lease: &str) -> Result<(), StoreError> {
        let client = &self.client;
        self.logged_in_as(None, move |session| async move {
            engine::revoke(client, session.access(), lease).await
        })
        .await?;
        self.leases.ended(lease);
        Ok(())
    }

    async fn check_code(
        &self,
        mount: &str,
        key: &str,
        code: &SecretValue,
    ) -> Result<bool, StoreError> {
        let client = &self.client;
        self.logged_in_as(None, move |session| async move {
            totp::check(client, session.access(), (mount, key), code).await
        })
        .await
    }

    async fn renew(&self, lease: &str, increment: Duration) -> Result<Duration, StoreError> {
        let client = &self.client;
        let renewed = self
            .logged_in_as(None, move |session| async move {
                engine::renew(client, session.access(), lease, increment).await
            })
            .await;
        let result = if renewed.is_ok() { "renewed" } else { "failed" };
        counter!(LEASE_RENEWALS, "result" => result).increment(1);
        let granted = renewed?;
        self.leases.renewed(lease, granted);
        Ok(granted)
    }

    async fn list(&self, permit: &Permit) -> Result<Vec<String>, StoreError> {
        meant(permit, matches!(permit.action(), Action::List))?;
        let (client, target) = (&self.client, permit.target());
        let kind = self.kind(target)?;
        self.logged_in(permit, move |session| async move {
            match kind {
                MountKind::Kv2 => metadata::list(client, session.access(), &target.path).await,
                MountKind::Kv1 | MountKind::Engine | MountKind::Pipelines => {
                    self.engine(kind, &session).list(&target.path).await
                }
            }
        })
        .await
    }

    async fn exists(&self, permit: &Permit) -> Result<bool, StoreError> {
        let target = permit.target();
        let kind = self.kind(target)?;
        let looks = permit.action().changes() || permit.action() == Action::Versions;
        meant(permit, looks && kind == MountKind::Kv1)?;
        self.logged_in(permit, move |session| async move {
            self.engine(kind, &session).exists(&target.path).await
        })
        .await
    }

    async fn history(&self, permit: &Permit) -> Result<History, StoreError> {
        // Before a change too: what is there now? And before something kept is handed out: is it
        // still so?
        let action = permit.action();
        let before = action.changes() || matches!(action, Action::Read(_));
        meant(permit, action == Action::Versions || before)?;
        self.versioned(permit)?;
        let (client, target) = (&self.client, permit.target());
        self.logged_in(permit, move |session| async move {
            metadata::read(client, session.access(), &target.path)
                .await
                .map(Metadata::history)
        })
        .await
    }

    async fn put(
        &self,
        permit: &Permit,
        fields: &[Field],
        over: Option<u64>,
    ) -> Result<Option<VersionFacts>, StoreError> {
        meant(permit, matches!(permit.action(), Action::Put { .. }))?;
        let (client, target) = (&self.client, permit.target());
        let kind = self.kind(target)?;
        meant(permit, kind != MountKind::Engine)?;
        self.logged_in(permit, move |session| async move {
            if kind == MountKind::Kv2 {
                let written = kv_write::put(client, session.access(), target, fields, over);
                return written.await.map(Some);
            }
            let engine = self.engine(kind, &session);
            engine.put(&target.path, fields, over).await.map(|()| None)
        })
        .await
    }

    async fn patch(
        &self,
        permit: &Permit,
        fields: &[Field],
        over: Option<u64>,
    ) -> Result<VersionFacts, StoreError> {
        meant(
            permit,
            matches!(
                permit.action(),
                Action::Patch { .. } | Action::Rotate { .. }
            ),
        )?;
        self.versioned(permit)?;
        let (client, target) = (&self.client, permit.target());
        self.logged_in(permit, move |session| async move {
            kv_write::patch(client, session.access(), target, fields, over).await
        })
        .await
    }

    async fn delete(&self, permit: &Permit) -> Result<Option<u64>, StoreError> {
        meant(permit, matches!(permit.action(), Action::Delete))?;
        let (client, target) = (&self.client, permit.target());
        let kind = self.kind(target)?;
        meant(permit, kind != MountKind::Engine)?;
        self.logged_in(permit, move |session| async move {
            if kind == MountKind::Kv2 {
                let deleted = kv_write::delete(client, session.access(), target);
                return deleted.await.map(Some);
            }
            let engine = self.engine(kind, &session);
            engine.delete(&target.path).await.map(|()| None)
        })
        .await
    }

    async fn undelete(&self, permit: &Permit, version: u64) -> Result<(), StoreError> {
        meant(permit, matches!(permit.action(), Action::Undelete))?;
        self.versioned(permit)?;
        let (client, target) = (&self.client, permit.target());
        self.logged_in(permit, move |session| async move {
            kv_write::undelete(client, session.access(), target, version).await
        })
        .await
    }

    async fn destroy(&self, permit: &Permit, version: u64) -> Result<(), StoreError> {
        meant(permit, matches!(permit.action(), Action::Destroy))?;
        self.versioned(permit)?;
        let (client, target) = (&self.client, permit.target());
        self.logged_in(permit, move |session| async move {
            kv_write::destroy(client, session.access(), target, version).await
        })
        .await
    }

    async fn health(&self) -> StoreHealth {
        self.probe
            .health(&self.client, &self.sessions.login, &self.leases)
            .await
    }
}
