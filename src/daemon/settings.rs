//! From the configuration's types to those of the rooms, which know nothing of it.

use std::num::NonZeroU32;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::audit::key::SigningKey;
use crate::broker::ApprovalRules;
use crate::config::{
    ApplicationConfig, ApprovalsConfig, AuditConfig, AuditSinkConfig, EtcdConfig, LimitsConfig,
    PER_DAY, SocketConfig, StateConfig, StrangerReply, TelegramConfig, VaultAuth, VaultConfig,
    VaultJwt, VaultMethod, VaultSecretId, WatchedChats,
};
use crate::coordination::etcd;
use crate::coordination::etcd::store::Keys;
use crate::coordination::key::StateKey;
use crate::{audit, http, telegram, vault};

pub(super) fn vault(config: VaultConfig) -> vault::Settings {
    vault::Settings {
        address: config.address,
        namespace: config.namespace,
        ca_cert: config.tls.ca_cert,
        client_cert: config.tls.client_cert,
        client_key: config.tls.client_key,
        server_name: config.tls.server_name,
        mounts: config.mounts,
        auth: auth(config.auth),
        request_timeout: config.request_timeout,
    }
}

fn auth(auth: VaultAuth) -> vault::Auth {
    let (mount, method) = match auth {
        VaultAuth::Token(token) => return vault::Auth::Token(token),
        VaultAuth::Method { mount, method } => (mount, method),
    };
    let method = match method {
        VaultMethod::AppRole { role_id, secret_id } => vault::Method::AppRole {
            role_id,
            secret_id: match secret_id {
                VaultSecretId::Plain(secret_id) => vault::SecretId::Plain(secret_id),
                VaultSecretId::Wrapped(token) => vault::SecretId::Wrapped(token),
            },
        },
        VaultMethod::Kubernetes { role, token_file } => {
            vault::Method::Kubernetes { role, token_file }
        }
        VaultMethod::Jwt { role, token } => vault::Method::Jwt {
            role,
            token: match token {
                VaultJwt::File(file) => vault::Jwt::File(file),
                VaultJwt::Value(token) => vault::Jwt::Value(token),
            },
        },
        VaultMethod::Cert { role } => vault::Method::Cert { role },
        VaultMethod::Userpass { username, password } => {
            vault::Method::Userpass { username, password }
        }
    };
    vault::Auth::Method { mount, method }
}

/// The audit's; what is wrong is the key.
pub(super) fn audit(config: AuditConfig) -> Result<audit::Settings, String> {
    let durability = if config.strict {
        audit::Durability::Strict
    } else {
        audit::Durability::Grouped
    };
    let key = audit_key(&config)?;
    let sink = |kind, config: AuditSinkConfig| audit::SinkSettings {
        kind,
        path: config.path,
        mode: if config.required {
            audit::SinkMode::Required
        } else {
            audit::SinkMode::BestEffort
        },
    };
    let journald = config.journald;
    let journald = journald.map(|config| sink(audit::SinkKind::Journald, config));
    let syslog = config.syslog;
    let syslog = syslog.map(|config| sink(audit::SinkKind::Syslog, config));
    Ok(audit::Settings {
        key: key.map(Arc::new),
        checkpoint_every: config.checkpoint_every,
        rotate_at: config.rotate_at,
        rotate_every: config.rotate_every,
        sinks: journald.into_iter().chain(syslog).collect(),
        ..audit::Settings::new(config.file, durability)
    })
}

/// The key for checkpoints, if there is one.
pub(super) fn audit_key(config: &AuditConfig) -> Result<Option<SigningKey>, String> {
    let Some((key, source)) = &config.key else {
        return Ok(None);
    };
    #[expect(clippy::disallowed_methods, reason = "the key is put to use")]
    let key = SigningKey::read(key.expose_secret());
    key.map(Some).map_err(|error| format!("{source} {error}"))
}

pub(super) fn approvals(config: ApprovalsConfig) -> ApprovalRules {
    let default = ApprovalRules::default();
    let count = |it: NonZeroU32| usize::try_from(it.get()).unwrap_or(usize::MAX);
    let per_day = config.per_day.map_or(PER_DAY, NonZeroU32::get);
    let share = config.per_person_per_day.map(NonZeroU32::get);
    ApprovalRules {
        per_person: config.per_person.map_or(default.per_person, count),
        per_day,
        per_person_per_day: share.unwrap_or((per_day / 4).max(1)),
        keep: config.keep.unwrap_or(default.keep),
    }
}

/// Makes a socket, unless systemd made it already; what is wrong is said with the section to
/// change.
pub(super) fn bind(
    config: SocketConfig,
    limits: LimitsConfig,
    made: Option<UnixListener>,
) -> Result<http::Listener, String> {
    let section = config.section();
    let settings = socket(config, limits);
    let listener = match made {
        Some(made) => http::adopt(&settings, made),
        None => http::bind(&settings),
    };
    listener.map_err(|error| format!("{section} {error}"))
}

fn socket(config: SocketConfig, limits: LimitsConfig) -> http::Settings {
    http::Settings {
        name: config.name,
        path: config.path,
        mode: config.mode,
        owner: config.owner,
        group: config.group,
        limits: self::limits(config.max_connections, limits),
        timeouts: http::Timeouts::default(),
    }
}

pub(super) fn limits(connections: usize, config: LimitsConfig) -> http::Limits {
    let default = http::Limits::of(connections);
    let count = |configured: Option<NonZeroU32>, default| {
        configured.map_or(default, |it| {
            usize::try_from(it.get()).unwrap_or(usize::MAX)
        })
    };
    http::Limits {
        connections,
        connections_per_user: count(config.connections_per_user, default.connections_per_user),
        in_flight_per_user: count(config.in_flight_per_user, default.in_flight_per_user),
        rate_per_user: config
            .rate_per_user
            .map_or(default.rate_per_user, NonZeroU32::get),
        rate: config.rate.map_or(default.rate, NonZeroU32::get),
    }
}

pub(super) fn telegram(
    config: &TelegramConfig,
    vault_address: Option<String>,
) -> telegram::Settings {
    let api_id = match &config.application {
        ApplicationConfig::Known { id, .. } => *id,
        // Set once Vault was asked.
        ApplicationConfig::InVault(_) => 0,
    };
    telegram::Settings {
        stranger_reply: match &config.stranger_reply {
            StrangerReply::Silence => telegram::StrangerReply::Silent,
            StrangerReply::Sentence(text) => telegram::StrangerReply::Sentence(text.clone()),
        },
        command_age: config.command_age,
        delete_after: config.delete_after,
        history_ttl: config.history_ttl,
        vault_address,
        request_timeout: config.request_timeout,
        proxy: proxy(config),
        keys_path: config.keys_path.clone(),
        watchdog_interval: config.watchdog_interval,
        lock_on_new_device: config.lock_on_new_device,
        approvals_chat: config.approvals_chat,
        quiet_hours: config.quiet_hours,
        watched_chats: match &config.watched_chats {
            WatchedChats::All => telegram::WatchedChats::All,
            WatchedChats::These(ids) if ids.is_empty() => telegram::WatchedChats::None,
            WatchedChats::These(ids) => telegram::WatchedChats::These(ids.clone()),
        },
        ..telegram::Settings::new(api_id, config.allowed_users.clone())
    }
}

/// The way to Telegram.
pub(super) fn reach(config: &TelegramConfig) -> telegram::Reach {
    telegram::Reach {
        proxy: proxy(config),
        limit: config.request_timeout,
    }
}

fn proxy(config: &TelegramConfig) -> Option<telegram::Proxy> {
    let proxy = config.proxy.as_ref()?;
    #[expect(clippy::disallowed_methods, reason = "the proxy wants to see them")]
    let credentials = proxy.credentials.as_ref().map(|credentials| {
        let text = String::from_utf8_lossy(credentials.expose_secret());
        Zeroizing::new(text.into_owned())
    });
    Some(telegram::Proxy::new(
        proxy.host.clone(),
        proxy.port,
        credentials,
    ))
}

/// The keys of the state: the one to seal with, then those that things may still be sealed with.
pub(super) fn state_keys(config: &EtcdConfig) -> Result<Vec<StateKey>, String> {
    let keys = [&config.key].into_iter().chain(&config.previous_key);
    keys.map(|(key, source)| {
        #[expect(clippy::disallowed_methods, reason = "the key is put to use")]
        let key = StateKey::read(key.expose_secret());
        key.map_err(|error| format!("{source} {error}"))
    })
    .collect()
}

/// Whether everything about the state's place can be put to use.
pub(super) fn state(config: &StateConfig) -> Result<(), String> {
    match config {
        StateConfig::File(_) => Ok(()),
        StateConfig::Etcd(config) => state_keys(config).map(drop),
    }
}

/// The way to etcd.
pub(super) fn etcd(config: &mut EtcdConfig) -> etcd::Reach {
    etcd::Reach {
        endpoints: config.endpoints.clone(),
        tls: config.tls.clone().map(|tls| etcd::Tls {
            authority: tls.authority,
            identity: tls.identity,
        }),
        user: config.user.take(),
    }
}

/// The same as the store takes them.
pub(super) fn sealing(config: &EtcdConfig) -> Result<Keys, String> {
    state_keys(config).map(|keys| Keys::new(&keys))
}

/// How this replica takes part; `session` is the name of the one it uses.
pub(super) fn replica(config: &EtcdConfig, session: Option<String>) -> etcd::store::Settings {
    etcd::store::Settings {
        prefix: config.prefix.clone(),
        ttl: config.lease,
        session,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_about_approvals_is_as_the_broker_has_it() {
        let nothing = ApprovalsConfig::default();
        assert_eq!(approvals(nothing), ApprovalRules::default());
        let few = ApprovalsConfig {
            per_day: NonZeroU32::new(3),
            ..nothing
        };
        assert_eq!(approvals(few).per_person_per_day, 1);
        let said = ApprovalsConfig {
            per_person_per_day: NonZeroU32::new(7),
            ..nothing
        };
        assert_eq!(approvals(said).per_person_per_day, 7);
    }
}
