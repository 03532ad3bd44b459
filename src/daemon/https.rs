//! HTTPS, put together: where it listens, and what proofs are held against.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use zeroize::Zeroizing;

use crate::actions::deliveries::Webhooks;
use crate::broker::Ports;
use crate::cli::exit::{Exit, Failure};
use crate::config::{HttpsConfig, IssuerConfig, LimitsConfig};
use crate::daemon::own_keys::OwnKeys;
use crate::daemon::settings;
use crate::domain::{Mounts, Secret};
use crate::http::{Https, HttpsSettings, Identity, Timeouts, TlsFiles};
use crate::identity::{Issuer, KeySource, Oidc, Sessions, Signatures};

/// An address that is listened at, and who will be believed there.
pub(super) struct Front {
    pub(super) https: Https,
    pub(super) identity: Identity,
}

/// Opens what `config` says, with `ports` for each that needs some; `webhooks` are taken there too.
///
/// # Errors
/// Says what cannot be used, and what to do.
pub(super) fn open(
    config: HttpsConfig,
    limits: LimitsConfig,
    mounts: &Mounts,
    webhooks: Option<Webhooks>,
    ports: impl Fn() -> Ports,
) -> Result<Front, Failure> {
    let refuse = |error| Failure::new(Exit::CannotCreate, error);
    let settings = HttpsSettings {
        listen: config.listen,
        tls: files(&config),
        limits: settings::limits(config.max_connections, limits),
        timeouts: Timeouts::default(),
    };
    let Ports {
        coordination,
        clock,
        random,
        ..
    } = ports();
    let names = config.issuers.iter().map(|issuer| issuer.name.clone());
    let names = names.collect();
    let oidc = Oidc::new(
        issuers(config.issuers),
        Arc::clone(&clock),
        Arc::clone(&coordination),
    );
    let oidc = oidc.map_err(|error| refuse(format!("[issuers] {error}")))?;
    let signatures = config.signing.map(|path| {
        let keys = OwnKeys::new(path, mounts.clone(), ports());
        let source = keys.map(|keys| Arc::new(SigningKeys(keys)));
        source.map(|source| {
            let (clock, coordination) = (Arc::clone(&clock), Arc::clone(&coordination));
            Signatures::new(source, names, clock, coordination)
        })
    });
    let signatures = signatures.transpose();
    let signatures = signatures.map_err(|error| refuse(format!("[signing] path: {error}")))?;
    let https = Https::bind(settings);
    let https = https.map_err(|error| refuse(format!("[https] {error}")))?;
    Ok(Front {
        https,
        identity: Identity {
            oidc,
            sessions: Sessions::new(coordination, clock, random),
            signatures,
            webhooks,
        },
    })
}

/// Its certificate, and those of clients.
pub(super) fn files(config: &HttpsConfig) -> TlsFiles {
    TlsFiles {
        certificate: config.certificate.clone(),
        key: config.key.clone(),
        client_authority: config.client_authority.clone(),
    }
}

/// Whose tokens are taken.
pub(super) fn issuers(configured: Vec<IssuerConfig>) -> Vec<Issuer> {
    let issuers = configured.into_iter().map(|issuer| Issuer {
        name: issuer.name,
        issuer: issuer.issuer,
        audience: issuer.audience,
        jwks_url: issuer.jwks_url,
        session_ttl: issuer.session_ttl,
        ca: issuer.authorities,
    });
    issuers.collect()
}

/// Checks what can be without opening anything.
///
/// # Errors
/// Says what cannot work, and what to do.
pub(super) fn check(config: Option<&HttpsConfig>) -> Result<(), Failure> {
    let configured = config.map(|config| config.issuers.clone());
    for issuer in issuers(configured.unwrap_or_default()) {
        let verified = issuer.verify();
        verified.map_err(|error| Failure::new(Exit::Config, format!("[issuers] {error}")))?;
    }
    Ok(())
}

/// The keys of those who sign, in Vault: a field for each, named `OWNER/KEYID`. Each look is on the
/// audit's record.
struct SigningKeys(OwnKeys);

#[async_trait]
impl KeySource for SigningKeys {
    async fn keys(&self) -> Result<BTreeMap<String, Zeroizing<Vec<u8>>>, String> {
        let secret = self.0.read().await?;
        Ok(texts(&secret))
    }
}

/// The fields that are text.
fn texts(secret: &Secret) -> BTreeMap<String, Zeroizing<Vec<u8>>> {
    let fields = secret.fields.iter().filter_map(|field| {
        #[expect(clippy::disallowed_methods, reason = "the keys are put to use")]
        let text: Option<String> = serde_json::from_slice(field.json.expose_secret()).ok();
        Some((field.name.clone(), Zeroizing::new(text?.into_bytes())))
    });
    fields.collect()
}
