//! `vaultgram check`: configuration and policy, without connecting to anything.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use crate::broker::ports::{Clock, SystemClock};
use crate::cli::exit::{Exit, Failure};
use crate::config::{Config, HttpsConfig, StateConfig};
use crate::coordination::key::StateKey;
use crate::daemon::{UNSIGNED, github, https as front, load, people, policies, settings};
use crate::domain::SecretPath;
use crate::domain::person::Account;
use crate::vault::Store;

/// Reads everything that is configured, and says what it found.
///
/// # Errors
/// With every mistake, a line each.
pub fn check(file: &Path, out: &mut dyn Write) -> Result<(), Failure> {
    let config = load(file)?;
    let mut found = vec![];
    let printed = summary(file, &config, &mut found);
    settings::state(&config.state).map_err(|error| Failure::new(Exit::Config, error))?;
    front::check(config.https.as_ref())?;
    settings::audit(config.audit).map_err(|error| Failure::new(Exit::Config, error))?;
    if let Some(config) = config.github {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        github::check(config, &clock).map_err(|error| Failure::new(Exit::Config, error))?;
    }
    Store::new(settings::vault(config.vault)).map_err(|error| Failure::new(Exit::Config, error))?;
    printed
        .and_then(|()| out.write_all(&found))
        .map_err(|error| Failure::new(Exit::CannotCreate, format!("standard output: {error}")))
}

fn summary(file: &Path, config: &Config, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "{}: correct", file.display())?;
    telegram(config, out)?;
    let vault = &config.vault;
    let within = vault
        .namespace
        .as_ref()
        .map(|name| format!(", namespace {name}"));
    writeln!(
        out,
        "vault     {}{}, signs in by {}",
        vault.address,
        within.unwrap_or_default(),
        vault.auth.name()
    )?;
    match config.rules.policy.len() {
        0 => writeln!(out, "policy    none, so everything is refused")?,
        count => writeln!(out, "policy    {}", policies(count))?,
    }
    for policy in config.rules.policy.for_any_action() {
        writeln!(
            out,
            "          warning: {policy} permits every action, so writing and deleting too; where \
             that is not meant, say action == Action::\"read\""
        )?;
    }
    approvals(config, out)?;
    if config.sockets.is_empty() {
        writeln!(out, "socket    not served: there is no [socket] section")?;
    }
    for socket in &config.sockets {
        let whose = [("owner", &socket.owner), ("group", &socket.group)];
        let whose = whose.into_iter().filter_map(|(kind, name)| {
            let name = name.as_ref()?;
            Some(format!(", {kind} {name}"))
        });
        writeln!(
            out,
            "socket    {}: {} (mode {:04o}{})",
            socket.name,
            socket.path.display(),
            socket.mode,
            whose.collect::<String>()
        )?;
    }
    if let Some(credentials) = &config.credentials {
        let path = credentials.socket.path.display();
        let count = credentials.credentials.len();
        let noun = if count == 1 {
            "credential"
        } else {
            "credentials"
        };
        writeln!(out, "systemd   {path} for {count} {noun}")?;
    }
    if let Some(github) = &config.github {
        let repositories = github.repositories.join(", ");
        writeln!(out, "pipelines {} for {repositories}", github.address)?;
    }
    if let Some(https) = &config.https {
        self::https(https, config.signing.as_ref(), out)?;
    }
    if let Some(metrics) = &config.metrics {
        let by = match &metrics.tls {
            Some(tls) if tls.client_authority.is_some() => "by TLS, to who shows a certificate",
            Some(_) => "by TLS, to whoever connects",
            None => "to whoever connects",
        };
        writeln!(out, "metrics   {} {by}", metrics.listen)?;
    }
    if let Some(tracing) = &config.tracing {
        writeln!(out, "traces    to {}", tracing.endpoint)?;
    }
    let file = config.audit.file.display();
    match settings::audit_key(&config.audit) {
        Ok(Some(key)) => writeln!(
            out,
            "audit     {file}, signed with key {}",
            key.public().id()
        )?,
        Ok(None) | Err(_) => writeln!(out, "audit     {file}, not signed: {UNSIGNED}")?,
    }
    state(&config.state, out)
}

/// Whom it listens to in chat.
fn telegram(config: &Config, out: &mut dyn Write) -> std::io::Result<()> {
    match &config.telegram {
        None => writeln!(out, "telegram  not served: there is no [telegram] section")?,
        Some(telegram) if telegram.allowed_users.is_empty() => {
            writeln!(out, "telegram  listens to nobody: allowed_users is empty")?;
        }
        Some(telegram) => {
            writeln!(
                out,
                "telegram  listens to {}",
                people(telegram.allowed_users.len())
            )?;
        }
    }
    for (owner, signer) in config.telegram.iter().flat_map(|it| &it.signers) {
        let accounts = signer.accounts.iter().map(i64::to_string);
        let accounts = accounts.collect::<Vec<_>>().join(", ");
        writeln!(out, "          to what {owner} signed, from {accounts}")?;
    }
    if let Some(telegram) = &config.telegram
        && telegram.lock_on_new_device
        && telegram.admins.is_empty()
        && config.rules.policy.groups().telegram_admins().is_empty()
    {
        writeln!(
            out,
            "warning   lock_on_new_device without admins: nobody is told why chat is locked"
        )?;
    }
    Ok(())
}

/// Where jobs are listened to, and which are believed.
fn https(
    config: &HttpsConfig,
    signing: Option<&SecretPath>,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let with = match config.client_authority {
        Some(_) => ", who show a certificate",
        None => "",
    };
    writeln!(out, "https     {} for jobs{with}", config.listen)?;
    for issuer in &config.issuers {
        let (name, issuer) = (&issuer.name, &issuer.issuer);
        writeln!(out, "          with tokens of {name} ({issuer})")?;
    }
    match signing {
        Some(path) => writeln!(out, "          with signatures by the keys in {path}"),
        None => Ok(()),
    }
}

fn state(config: &StateConfig, out: &mut dyn Write) -> std::io::Result<()> {
    let config = match config {
        StateConfig::File(file) => return writeln!(out, "state     {}", file.display()),
        StateConfig::Etcd(config) => config,
    };
    let as_whom = match (&config.user, &config.tls) {
        (Some((user, _)), _) => format!(", as {user}"),
        (None, Some(tls)) if tls.identity.is_some() => ", by certificate".to_owned(),
        (None, _) => String::new(),
    };
    writeln!(
        out,
        "state     etcd at {}, under {}{as_whom}; this replica is {}",
        config.endpoints.join(", "),
        config.prefix,
        config.replica
    )?;
    match settings::state_keys(config) {
        Ok(keys) => {
            let ids: Vec<_> = keys.iter().map(StateKey::id).collect();
            writeln!(
                out,
                "          sealed with key {}",
                ids.join(", opened with key ")
            )
        }
        // Told by whoever puts it to use.
        Err(_) => Ok(()),
    }
}

/// Who is to approve what, and whether they can.
fn approvals(config: &Config, out: &mut dyn Write) -> std::io::Result<()> {
    let approvers = config.rules.policy.approvers();
    if approvers.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "approvals wanted by {} of them, from {}",
        config.rules.policy.demanding(),
        people(approvers.len())
    )?;
    for warning in unheard(config) {
        writeln!(out, "          warning: {warning}")?;
    }
    Ok(())
}

/// Approvers who would not hear of a request, or could not vote on it.
pub(super) fn unheard(config: &Config) -> Vec<String> {
    let approvers = config.rules.policy.approvers();
    let people = config.rules.policy.groups().people();
    let Some(telegram) = &config.telegram else {
        return (!approvers.is_empty())
            .then(|| {
                "approvers are told of nothing without [telegram]; they have to look \
                 (vaultgram requests)"
                    .to_owned()
            })
            .into_iter()
            .collect();
    };
    let deaf = approvers.iter().filter(|person| {
        let mut accounts = people.accounts(person);
        !accounts.any(|account| match account {
            Account::Telegram(id) => telegram.allowed_users.contains(&id),
            Account::Uid(_) => !config.sockets.is_empty(),
            // Who only sets jobs going asks nothing.
            Account::Issuer { .. } => false,
        })
    });
    deaf.map(|person| {
        format!(
            "{person} is to approve, and can do so nowhere: no Telegram account of theirs is in \
             allowed_users, and no Unix user of theirs has a socket"
        )
    })
    .collect()
}
