//! `vaultgram serve`: put together, run, and stop in two stages.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::age::{AgeSealer, SessionKey};
use crate::audit::AuditFile;
use crate::broker::ports::{Clock, SystemClock, SystemRandom};
use crate::broker::{Broker, Ports, Rules};
use crate::cli::exit::{Exit, Failure};
use crate::config::{ApplicationConfig, Config, SocketConfig, TelegramConfig, WitnessConfig};
use crate::daemon::activation::Passed;
use crate::daemon::cluster::Replicas;
use crate::daemon::notify::Notifier;
use crate::daemon::own_keys::OwnKeys;
use crate::daemon::parts::{Parts, unavailable};
use crate::daemon::reload::{Reloader, Seen};
use crate::daemon::signals::{Asked, Signals};
use crate::daemon::state::State;
use crate::daemon::{
    UNSIGNED, approvals, descriptors, github, https, load_all, session_key, settings, start_log,
};
use crate::domain::{Credential, Mounts, SecretPath, Target};
use crate::http::{Attestor, Listener};
use crate::telegram::{FileSession, SessionError, TelegramError};
use crate::vault::{Cached, Store};
use crate::{memory, telegram, telemetry};

/// Where the system says whose subordinate user ids are.
const SUBUID: &str = "/etc/subuid";

/// Runs the broker until it is told to stop.
///
/// # Errors
/// When it cannot start, when the Telegram account is signed out under it and there is no socket
/// to go on with, or when a second signal ends it at once.
pub async fn serve(file: &Path) -> Result<(), Failure> {
    // Elsewhere than on the thread that waits for the end: what it did stays in its registers.
    let file = file.to_owned();
    let serving = TaskTracker::new().spawn(async move { Box::pin(serve_here(&file)).await });
    serving.await.map_err(unavailable).flatten()
}

async fn serve_here(file: &Path) -> Result<(), Failure> {
    forbid_inspection()?;
    // Before they are read, so that what is written meanwhile shows.
    let seen = Seen::now(file);
    let (config, environment) = load_all(file)?;
    start_log(&config.log)?;
    let credentials = config.credentials.iter().map(|it| &it.socket);
    let sockets = config.sockets.iter().chain(credentials);
    let sockets = sockets.map(|it| it.max_connections);
    let https = config.https.iter().map(|it| it.max_connections);
    descriptors::allow(sockets.chain(https).sum())?;
    let notifier = Arc::new(Notifier::new(&environment));
    let passed = Passed::take(&environment).map_err(|error| Failure::new(Exit::Config, error))?;
    drop(environment);
    lock_memory();
    telemetry::metrics::start();
    let mut signals = Signals::listen().map_err(|error| Failure::new(Exit::Unavailable, error))?;
    let key = tokio::select! {
        key = find_key(config.telegram.as_ref()) => key?,
        () = signals.stop() => return Err(Failure::new(Exit::Cancelled, "stopped")),
    };
    Daemon::open(file, seen, config, key, passed)?
        .run(signals, notifier)
        .await
}

fn lock_memory() {
    match memory::Kind::available() {
        Ok(kind) => tracing::debug!(event = "memory.kept_in", kind = kind.name()),
        Err(error) => tracing::warn!(event = "memory.nothing_kept", %error),
    }
    if memory::lock() {
        tracing::debug!(event = "memory.locked");
    } else {
        tracing::info!(
            event = "memory.not_locked",
            hint = "it may be swapped out; allow it with LimitMEMLOCK=infinity, or turn off swap"
        );
    }
}

/// The session's key, for which a person may have to be asked before anything is opened.
async fn find_key(config: Option<&TelegramConfig>) -> Result<Option<SessionKey>, Failure> {
    let Some(config) = config else {
        return Ok(None);
    };
    // A missing session is said before a missing key: the first cure is the same.
    if !config.session.exists() {
        let missing = SessionError::Missing(config.session.clone());
        return Err(Failure::new(Exit::CannotCreate, missing));
    }
    session_key::required(&config.session_key).await.map(Some)
}

/// The Telegram account, ready but for its application's id, which Vault may have.
struct Account {
    settings: telegram::Settings,
    session: Arc<FileSession>,
    /// Where the id comes from; `None` when the settings have it.
    keys: Option<OwnKeys>,
}

/// Everything that was opened, before anything runs.
struct Daemon {
    broker: Arc<Broker>,
    vault: Arc<Store>,
    cache: Arc<Cached>,
    audit: Arc<AuditFile>,
    state: State,
    clock: Arc<dyn Clock>,
    sockets: Vec<Listener>,
    credentials: Option<(Listener, BTreeMap<Credential, Target>)>,
    https: Option<https::Front>,
    attestor: Attestor,
    reloader: Reloader,
    telegram: Option<Account>,
    witness: Option<WitnessConfig>,
}

impl Daemon {
    /// Opens files, session and socket; connects to nothing.
    #[expect(clippy::too_many_lines, reason = "one part after the other, each once")]
    fn open(
        file: &Path,
        seen: Seen,
        config: Config,
        key: Option<SessionKey>,
        mut passed: Passed,
    ) -> Result<Self, Failure> {
        settings::state(&config.state).map_err(|error| Failure::new(Exit::Config, error))?;
        https::check(config.https.as_ref())?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let attestor = Attestor::new(config.rules.policy.speaks_of_hashes(), Path::new(SUBUID));
        let admins = config.telegram.as_ref().map(|it| it.admins.clone());
        let rules = Rules {
            policy: config.rules.policy.into(),
            mounts: config.vault.mounts.clone(),
            wrap_ttl: config.vault.wrap_ttl,
            unix_users: config.rules.hangs_on.unix_users.clone(),
            admins: admins.unwrap_or_default(),
            approvals: settings::approvals(config.approvals),
        };
        let vault_address = config.vault.public_address.clone();
        let vault = Arc::new(
            Store::new(settings::vault(config.vault))
                .map_err(|error| Failure::new(Exit::Config, error))?,
        );
        if let Some(warning) = vault.warning() {
            tracing::warn!(event = "vault.insecure", warning);
        }
        let cache = Arc::new(Cached::new(Arc::clone(&vault) as _, rules.mounts.clone()));
        let witness = config.audit.witness;
        let settings = settings::audit(config.audit);
        let settings = settings.map_err(|error| Failure::new(Exit::Config, error))?;
        if settings.key.is_none() {
            tracing::info!(event = "audit.unsigned", hint = UNSIGNED);
        }
        let audit =
            AuditFile::open(settings).map_err(|error| Failure::new(Exit::CannotCreate, error))?;
        let audit = Arc::new(audit);
        let telegram = config.telegram.as_ref().zip(key);
        let telegram = telegram.map(|(config, key)| {
            let session = FileSession::open(&config.session, key)
                .map_err(|error| Failure::new(Exit::CannotCreate, error))?;
            Ok::<_, Failure>((config, Arc::new(session)))
        });
        let telegram = telegram.transpose()?;
        let session = telegram.as_ref().map(|(_, session)| &**session);
        let state = State::open(config.state, session, &clock)?;
        let ports = || Ports {
            store: Arc::clone(&cache) as _,
            audit: Arc::clone(&audit) as _,
            coordination: state.port(),
            sealer: Arc::new(AgeSealer),
            clock: Arc::clone(&clock),
            random: Arc::new(SystemRandom),
            pipelines: None,
        };
        let in_github = |error| Failure::new(Exit::Config, error);
        let mut github = config.github;
        let webhooks = github.as_mut().and_then(|config| config.webhook.take());
        let webhooks = github::webhooks(webhooks, &rules.mounts, ports).map_err(in_github)?;
        let pipelines = github.map(|config| github::served(config, &clock, &rules.mounts, ports));
        let pipelines = pipelines.transpose().map_err(in_github)?;
        let telegram = telegram.map(|(config, session)| {
            let keys = match &config.application {
                ApplicationConfig::Known { .. } => None,
                ApplicationConfig::InVault(path) => {
                    Some((path.clone(), rules.mounts.clone(), ports()))
                }
            };
            open_telegram(config, session, keys, vault_address)
        });
        let telegram = telegram.transpose()?;
        let credentials = config.credentials.as_ref().map(|config| &config.socket);
        passed
            .check(config.sockets.iter().chain(credentials))
            .map_err(|error| Failure::new(Exit::Config, error))?;
        // All, or none: those made before one that fails are removed again.
        let limits = config.limits;
        let mut bind = |config: SocketConfig| {
            let made = passed.remove(&config.name);
            settings::bind(config, limits, made)
                .map_err(|error| Failure::new(Exit::CannotCreate, error))
        };
        let sockets = config.sockets.into_iter().map(&mut bind);
        let sockets = sockets.collect::<Result<_, _>>()?;
        let credentials = config
            .credentials
            .map(|config| bind(config.socket).map(|listener| (listener, config.credentials)));
        let credentials = credentials.transpose()?;
        let https = config.https;
        let https = https.map(|it| https::open(it, limits, &rules.mounts, webhooks, ports));
        let https = https.transpose()?;
        let ports = Ports {
            pipelines,
            ..ports()
        };
        let broker = Arc::new(Broker::new(rules, ports));
        let reloader = Reloader::new(
            file.to_owned(),
            seen,
            (config.rules.hash, config.rules.hangs_on),
            Arc::clone(&broker),
            attestor.clone(),
        );
        Ok(Self {
            broker,
            vault,
            cache,
            audit,
            state,
            clock,
            sockets,
            credentials,
            https,
            attestor,
            reloader,
            telegram,
            witness,
        })
    }

    /// Serves until a signal, or until a part of it ends by itself.
    async fn run(self, mut signals: Signals, notifier: Arc<Notifier>) -> Result<(), Failure> {
        let mut all = Parts::new();
        let (fronts, leases, back) = (&all.fronts, &all.leases, &all.back);
        all.add(back.keep(self.state.run(back.stop())));
        join(&self.state, &mut signals).await?;
        let hash = self.reloader.hash();
        self.broker.record_policy(hash).await.map_err(unavailable)?;
        self.broker.recover_leases().await.map_err(unavailable)?;
        let (vault, stop) = (Arc::clone(&self.vault), back.stop());
        all.add(back.keep(async move { vault.run(stop).await }));
        all.add(leases.keep(look_after(Arc::clone(&self.broker), leases.stop())));
        let (cache, stop) = (self.cache, back.stop());
        all.add(back.keep(async move { cache.run(stop).await }));
        let reload = self.reloader.asked();
        let reloading = self.reloader.run(Arc::clone(&notifier), fronts.stop());
        all.add(fronts.keep(reloading));
        let beside_socket = !self.sockets.is_empty() || self.credentials.is_some();
        let beside_socket = beside_socket || self.https.is_some();
        if let Some(https::Front { https, identity }) = self.https {
            let serving = https.serve(Arc::clone(&self.broker), identity, fronts.stop());
            all.add(fronts.spawn(async move { serving.await.map_err(unavailable) }));
        }
        for socket in self.sockets {
            let broker = Arc::clone(&self.broker);
            let serving = socket.serve(broker, self.attestor.clone(), fronts.stop());
            all.add(fronts.spawn(async move { serving.await.map_err(unavailable) }));
        }
        if let Some((socket, credentials)) = self.credentials {
            let broker = Arc::clone(&self.broker);
            let serving =
                socket.serve_credentials(broker, self.attestor, credentials, fronts.stop());
            all.add(fronts.spawn(async move { serving.await.map_err(unavailable) }));
        }
        let status = self
            .telegram
            .is_some()
            .then(Arc::<telegram::Status>::default);
        if let Some((account, status)) = self.telegram.zip(status.clone()) {
            self.broker.include(Arc::clone(&status) as _);
            let ports = telegram::Ports {
                broker: Arc::clone(&self.broker),
                coordination: self.state.port(),
                clock: self.clock,
                witness: witness(self.witness, &self.audit),
            };
            let chatting = chat(account, ports, status, fronts.stop(), beside_socket);
            all.add(fronts.spawn(chatting));
        }
        if let Some(replicas) = self.state.replicas().cloned() {
            let (broker, status) = (Arc::clone(&self.broker), status.clone());
            all.add(back.keep(tell(replicas, broker, status, back.stop())));
        }
        tracing::info!(
            event = "daemon.serving",
            version = env!("CARGO_PKG_VERSION")
        );

        notifier.ready();
        let mut telling = pin!(notifier.keep_telling(&self.broker, status.as_deref()));

        let ended = loop {
            tokio::select! {
                asked = signals.next() => match asked {
                    Asked::Stop => {
                        tracing::info!(event = "daemon.stopping");
                        break Ok(());
                    }
                    Asked::Reload => reload.notify_one(),
                },
                ended = all.ended() => break ended,
                never = &mut telling => match never {},
            }
        };
        notifier.stopping();
        tokio::select! {
            () = all.drain() => {}
            () = signals.stop() => {
                let failure = Failure::new(Exit::TryAgain, "stopped at once by a second signal");
                return Err(failure);
            }
            never = telling => match never {},
        }
        close(&self.state, &self.audit).await;
        tracing::info!(event = "daemon.stopped");
        ended
    }
}

/// Looks after what goes on when nobody asks, until `stop`.
async fn look_after(broker: Arc<Broker>, stop: CancellationToken) {
    let measuring = approvals::measure(Arc::clone(&broker), stop.clone());
    let keeping = broker.keep_approvals(stop.clone());
    let recording = broker.record_leaks(stop.clone());
    tokio::join!(keeping, measuring, recording, broker.run_leases(stop));
}

/// Tells the other replicas of this one, until `stop`; and has the broker tell of them.
async fn tell(
    replicas: Arc<Replicas>,
    broker: Arc<Broker>,
    status: Option<Arc<telegram::Status>>,
    stop: CancellationToken,
) {
    broker.join(Arc::clone(&replicas) as _);
    replicas
        .keep_telling(&broker, status.as_deref(), stop)
        .await;
}

/// Waits until the state may be worked with.
async fn join(state: &State, signals: &mut Signals) -> Result<(), Failure> {
    let ready = tokio::select! {
        ready = state.ready() => ready,
        () = signals.stop() => Err(Failure::new(Exit::Cancelled, "stopped")),
    };
    if ready.is_err() {
        // Nobody need wait for what was joined to end by itself, which it does all the same.
        drop(state.close().await);
    }
    ready
}

async fn close(state: &State, audit: &AuditFile) {
    if let Err(error) = state.close().await {
        tracing::error!(event = "daemon.state_not_closed", %error);
    }
    if let Err(error) = audit.close().await {
        tracing::error!(event = "daemon.audit_not_closed", %error);
    }
}

/// What posts the audit's head.
fn witness(config: Option<WitnessConfig>, audit: &Arc<AuditFile>) -> Option<telegram::Witness> {
    config.map(|config| telegram::Witness {
        audit: Arc::clone(audit) as _,
        chat: config.chat,
        every: config.every,
    })
}

/// Answers in Telegram until `stop`. Signed out, it waits for that `beside_socket`, which goes on.
async fn chat(
    account: Account,
    ports: telegram::Ports,
    status: Arc<telegram::Status>,
    stop: CancellationToken,
    beside_socket: bool,
) -> Result<(), Failure> {
    let Account {
        mut settings,
        session,
        keys,
    } = account;
    // The socket serves meanwhile: Vault may be sealed, or start after us.
    if let Some(keys) = keys {
        settings.api_id = tokio::select! {
            id = keys.api_id() => id,
            () = stop.cancelled() => return Ok(()),
        };
    }
    match telegram::run(settings, session, ports, status, stop.clone()).await {
        Err(error @ TelegramError::SignedOut(_)) if beside_socket => {
            tracing::error!(
                event = "telegram.signed_out",
                %error,
                hint = "then restart vaultgram; its socket serves on until then"
            );
            stop.cancelled().await;
            Ok(())
        }
        ended => ended.map_err(unavailable),
    }
}

fn open_telegram(
    config: &TelegramConfig,
    session: Arc<FileSession>,
    keys: Option<(SecretPath, Mounts, Ports)>,
    vault_address: Option<String>,
) -> Result<Account, Failure> {
    let keys = keys.map(|(path, mounts, ports)| OwnKeys::new(path, mounts, ports));
    let keys = keys.transpose();
    Ok(Account {
        settings: settings::telegram(config, vault_address),
        session,
        keys: keys.map_err(|error| Failure::new(Exit::Config, error))?,
    })
}

/// For processes that hold secrets for long.
pub(super) fn forbid_inspection() -> Result<(), Failure> {
    let refused = |error| unavailable(format!("cannot keep other processes out: {error}"));
    memory::forbid_inspection().map_err(refused)
}
