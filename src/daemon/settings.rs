//! From the configuration's types to those of the rooms, which know nothing of it.

use zeroize::Zeroizing;

use crate::config::{
    ApplicationConfig, AuditConfig, SocketConfig, StrangerReply, TelegramConfig, VaultAuth,
    VaultConfig,
};
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
        auth: match config.auth {
            VaultAuth::Token(token) => vault::Auth::Token(token),
            VaultAuth::AppRole {
                mount,
                role_id,
                secret_id,
            } => vault::Auth::AppRole {
                mount,
                role_id,
                secret_id,
            },
        },
        request_timeout: config.request_timeout,
    }
}

pub(super) fn audit(config: AuditConfig) -> audit::Settings {
    audit::Settings {
        path: config.file,
        durability: if config.strict {
            audit::Durability::Strict
        } else {
            audit::Durability::Grouped
        },
    }
}

pub(super) fn socket(config: SocketConfig) -> http::Settings {
    http::Settings {
        path: config.path,
        mode: config.mode,
        group: config.group,
        max_connections: config.max_connections,
        timeouts: http::Timeouts::default(),
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
        admins: config.admins.clone(),
        keys_path: config.keys_path.clone(),
        watchdog_interval: config.watchdog_interval,
        lock_on_new_device: config.lock_on_new_device,
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
