//! Who asks for what, as it is typed for `policy explain` and written for `policy test`.

use std::collections::BTreeSet;

use clap::{ArgGroup, Args};
use serde::Deserialize;
use time::OffsetDateTime;

use crate::cli::policy::Standing;
use crate::domain::caller::{ChatKind, TelegramUser, UnixPeer};
use crate::domain::job::{self, CLAIMS, Job};
use crate::domain::person::Account;
use crate::domain::{
    Action, Caller, Delivery, Dispatch, PipelineAction, Recipe, Request, RequestId, RunOf, Target,
};

/// Who asks for what, and how.
#[derive(Args, Deserialize, Debug, Default)]
#[command(group = ArgGroup::new("action").required(true).multiple(false))]
#[serde(deny_unknown_fields, default)]
pub struct Asked {
    /// Who: telegram:1001, uid:990, person:alice for each of her accounts, or a job by issuer and
    /// subject, like github:repo:acme/web:ref:refs/heads/main
    #[arg(long = "as", value_name = "WHO")]
    #[serde(rename = "as")]
    who: String,
    /// Read a secret
    #[arg(long, group = "action", value_name = "PATH")]
    read: Option<String>,
    /// List a folder
    #[arg(long, group = "action", value_name = "PATH")]
    list: Option<String>,
    /// List a secret's versions
    #[arg(long, group = "action", value_name = "PATH")]
    versions: Option<String>,
    /// Write a secret
    #[arg(long, group = "action", value_name = "PATH")]
    put: Option<String>,
    /// Change some fields of a secret
    #[arg(long, group = "action", value_name = "PATH")]
    patch: Option<String>,
    /// Delete a version
    #[arg(long, group = "action", value_name = "PATH")]
    delete: Option<String>,
    /// Bring a deleted version back
    #[arg(long, group = "action", value_name = "PATH")]
    undelete: Option<String>,
    /// Remove a version for good
    #[arg(long, group = "action", value_name = "PATH")]
    destroy: Option<String>,
    /// Replace a field by a random value
    #[arg(long, group = "action", value_name = "PATH")]
    rotate: Option<String>,
    /// Ask an engine to do something
    #[arg(long, group = "action", value_name = "PATH")]
    invoke: Option<String>,
    /// Open a wrapping token made by reading this
    #[arg(long, group = "action", value_name = "PATH")]
    unwrap: Option<String>,
    /// Start a pipeline, like github/acme/shop/deploy.yml
    #[arg(long, group = "action", value_name = "PATH")]
    run: Option<String>,
    /// List a pipeline's runs
    #[arg(long, group = "action", value_name = "PATH")]
    runs: Option<String>,
    /// Run again what ran
    #[arg(long, group = "action", value_name = "PATH")]
    rerun: Option<String>,
    /// Stop a run
    #[arg(long, group = "action", value_name = "PATH")]
    cancel_run: Option<String>,
    /// Let a deployment that waits go on
    #[arg(long, group = "action", value_name = "PATH")]
    approve_deployment: Option<String>,
    /// End a deployment that waits
    #[arg(long, group = "action", value_name = "PATH")]
    deny_deployment: Option<String>,
    /// Have a pipeline's runs told in a chat
    #[arg(long, group = "action", value_name = "PATH")]
    watch: Option<String>,
    /// Have that end
    #[arg(long, group = "action", value_name = "PATH")]
    unwatch: Option<String>,
    /// The branch or tag that a pipeline is started at, or a run is of
    #[arg(long = "ref", value_name = "NAME")]
    #[serde(rename = "ref")]
    at_ref: Option<String>,
    /// The commit that this is
    #[arg(long, value_name = "HASH")]
    commit: Option<String>,
    /// What began the run, like push or `pull_request`
    #[arg(long, value_name = "NAME")]
    event: Option<String>,
    /// An input that it is started with, like environment=production; can be repeated
    #[arg(long = "input", value_name = "NAME=TEXT")]
    inputs: Vec<String>,
    /// How it is handed over: message, wrapped, sealed or socket [default: message in Telegram,
    /// socket for local programs]
    #[arg(long, value_name = "HOW")]
    delivery: Option<String>,
    /// With check-and-set, as every put from chat
    #[arg(long)]
    cas: bool,
    /// How the random value is made: password, alphanumeric, hex or pin [default: password]
    #[arg(long, value_name = "NAME")]
    recipe: Option<String>,
    /// In Telegram, where it is asked: private or group [default: private]
    #[arg(long, value_name = "KIND")]
    chat: Option<String>,
    /// The program's Unix group, by number [default: the user's number]
    #[arg(long, value_name = "GID")]
    gid: Option<u32>,
    /// A further Unix group of the program, by number; can be repeated
    #[arg(long = "group", value_name = "GID")]
    groups: Vec<u32>,
    /// The program's systemd unit
    #[arg(long, value_name = "NAME")]
    unit: Option<String>,
    /// Its systemd slice
    #[arg(long, value_name = "NAME")]
    slice: Option<String>,
    /// Its executable
    #[arg(long, value_name = "FILE")]
    executable: Option<String>,
    /// The SHA-256 of its executable
    #[arg(long, value_name = "HEX")]
    executable_sha256: Option<String>,
    /// Its container
    #[arg(long, value_name = "ID")]
    container: Option<String>,
    /// Its pod
    #[arg(long, value_name = "UID")]
    pod: Option<String>,
    /// The name of the socket it comes by
    #[arg(long, value_name = "NAME")]
    socket: Option<String>,
    /// What the job's token says, like ref=refs/heads/main; can be repeated
    #[arg(long = "claim", value_name = "NAME=TEXT")]
    claims: Vec<String>,
    /// When: 2026-12-24T22:00, in the policy's time zone [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// The reason that is given
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// What a case is called.
    #[arg(skip)]
    pub(super) name: String,
    /// What a case expects: `allow` or `deny`.
    #[arg(skip)]
    pub(super) expect: String,
    /// The policies that a case expects to decide.
    #[arg(skip)]
    pub(super) by: Option<Vec<String>>,
}

/// One question, ready to be asked.
pub(super) struct Question {
    pub(super) request: Request,
    pub(super) reason: Option<String>,
    pub(super) at: OffsetDateTime,
}

impl Asked {
    /// The questions: one for each account of a person, else one.
    ///
    /// # Errors
    /// Says what is wrong with them.
    pub(super) fn questions(&self, standing: Standing<'_>) -> Result<Vec<Question>, String> {
        let zone = standing.policy.zone();
        let at = match &self.at {
            None => standing.now,
            Some(text) => zone.read(text).ok_or_else(|| {
                format!("at: {text:?} is no time; write it like 2026-12-24T22:00")
            })?,
        };
        let callers = self.callers(standing)?;
        let asked = |caller: Caller| {
            let (action, target) = self.action(&caller, standing)?;
            let request = Request {
                id: RequestId::Connection(0),
                caller,
                action,
                target,
            };
            let reason = self.reason.clone();
            Ok(Question {
                request,
                reason,
                at,
            })
        };
        callers.into_iter().map(asked).collect()
    }

    fn callers(&self, standing: Standing<'_>) -> Result<Vec<Caller>, String> {
        let people = standing.policy.groups().people();
        let accounts: Vec<Account> = match self.who.strip_prefix("person:") {
            None => {
                let account = self.who.parse().map_err(|_| {
                    "as: write telegram:1001, uid:990, person:alice, or a job by issuer and subject"
                        .to_owned()
                })?;
                vec![account]
            }
            Some(name) => {
                let person = people
                    .named(name)
                    .ok_or_else(|| format!("as: nobody is called {name:?} in [people]"))?;
                people.accounts(&person).collect()
            }
        };
        if accounts.is_empty() {
            return Err(format!("as: {} has no account", self.who));
        }
        let several = accounts.len() > 1;
        let job = |account: &Account| matches!(account, Account::Issuer { .. });
        if !self.claims.is_empty() && !accounts.iter().any(job) {
            return Err(format!("claims: are of jobs; this is {}", self.who));
        }
        let callers = accounts.into_iter().map(|account| match account {
            Account::Telegram(id) => self.in_telegram(id, several),
            Account::Uid(uid) => self.on_a_socket(uid, several),
            Account::Issuer { issuer, id } => self.in_a_job(issuer, id, several),
        });
        callers.collect()
    }

    /// With `several` accounts, what is said of the other kind is no mistake.
    fn in_telegram(&self, id: i64, several: bool) -> Result<Caller, String> {
        if !several && let Some((name, _)) = self.of_a_program().find(|(_, given)| *given) {
            return Err(format!(
                "{name}: is of local programs; this is {}",
                self.who
            ));
        }
        let chat = match self.chat.as_deref() {
            None | Some("private") => ChatKind::Private,
            Some("group") => ChatKind::Group,
            Some(_) => return Err("chat: write private or group".to_owned()),
        };
        Ok(Caller::Telegram(TelegramUser { id, chat }))
    }

    fn on_a_socket(&self, uid: u32, several: bool) -> Result<Caller, String> {
        if !several && self.chat.is_some() {
            return Err(format!("chat: is of Telegram; this is {}", self.who));
        }
        let gid = self.gid.unwrap_or(uid);
        let mut peer = UnixPeer::known(uid, gid, 0);
        if self.gid.is_some() || !self.groups.is_empty() {
            let groups = self.groups.iter().copied().chain([gid]);
            peer.groups = Some(groups.collect::<BTreeSet<_>>());
        }
        peer.unit.clone_from(&self.unit);
        peer.slice.clone_from(&self.slice);
        peer.executable.clone_from(&self.executable);
        peer.executable_sha256.clone_from(&self.executable_sha256);
        peer.container.clone_from(&self.container);
        peer.pod.clone_from(&self.pod);
        peer.socket.clone_from(&self.socket);
        Ok(Caller::Unix(peer))
    }

    fn in_a_job(&self, issuer: String, subject: String, several: bool) -> Result<Caller, String> {
        let of_a_program = self.of_a_program().find(|(_, given)| *given);
        let of_others = of_a_program.map(|(name, _)| name);
        let of_others = of_others.or(self.chat.as_ref().map(|_| "chat"));
        if !several && let Some(name) = of_others {
            return Err(format!("{name}: is not of jobs; this is {}", self.who));
        }
        let claims = self.claims.iter().map(|claim| {
            let named = claim.split_once('=');
            let named = named.and_then(|(name, text)| Some((job::claim(name)?, text.to_owned())));
            named.ok_or_else(|| {
                let known = CLAIMS.join(", ");
                format!("claims: write NAME=TEXT, where NAME is one of {known}")
            })
        });
        Ok(Caller::Job(Job {
            issuer,
            subject,
            claims: claims.collect::<Result<_, _>>()?,
        }))
    }

    fn of_a_program(&self) -> impl Iterator<Item = (&'static str, bool)> {
        [
            ("gid", self.gid.is_some()),
            ("groups", !self.groups.is_empty()),
            ("unit", self.unit.is_some()),
            ("slice", self.slice.is_some()),
            ("executable", self.executable.is_some()),
            ("executable_sha256", self.executable_sha256.is_some()),
            ("container", self.container.is_some()),
            ("pod", self.pod.is_some()),
            ("socket", self.socket.is_some()),
        ]
        .into_iter()
    }

    fn action(&self, caller: &Caller, standing: Standing<'_>) -> Result<(Action, Target), String> {
        let delivery = match (&self.delivery, caller) {
            (Some(name), _) => {
                Delivery::named(name).ok_or("delivery: write message, wrapped, sealed or socket")?
            }
            (None, Caller::Telegram(_)) => Delivery::Message,
            (None, Caller::Unix(_) | Caller::Job(_)) => Delivery::Socket,
        };
        let recipe = match &self.recipe {
            Some(name) => {
                Recipe::named(name).ok_or("recipe: write password, alphanumeric, hex or pin")?
            }
            None => Recipe::default(),
        };
        let chat = matches!(caller, Caller::Telegram(_));
        let over = (self.cas || chat).then_some(0);
        let all = [
            (&self.read, Action::Read(delivery)),
            (&self.list, Action::List),
            (&self.versions, Action::Versions),
            (&self.put, Action::Put { over }),
            (&self.patch, Action::Patch { over }),
            (&self.delete, Action::Delete),
            (&self.undelete, Action::Undelete),
            (&self.destroy, Action::Destroy),
            (&self.rotate, Action::Rotate { recipe, over }),
            (&self.invoke, Action::Invoke(delivery)),
            (&self.unwrap, Action::Unwrap),
            (&self.run, Action::Pipeline(PipelineAction::Run)),
            (&self.runs, Action::Pipeline(PipelineAction::Runs)),
            (&self.rerun, Action::Pipeline(PipelineAction::Rerun)),
            (&self.cancel_run, Action::Pipeline(PipelineAction::Cancel)),
            (
                &self.approve_deployment,
                Action::Pipeline(PipelineAction::Approve),
            ),
            (
                &self.deny_deployment,
                Action::Pipeline(PipelineAction::Deny),
            ),
            (&self.watch, Action::Pipeline(PipelineAction::Watch)),
            (&self.unwatch, Action::Pipeline(PipelineAction::Unwatch)),
        ];
        let mut given = all
            .into_iter()
            .filter_map(|(path, action)| Some((path.as_ref()?, action)));
        let (Some((path, action)), None) = (given.next(), given.next()) else {
            return Err("name one action with its path, such as read = \"secret/app\"".to_owned());
        };
        if self.delivery.is_some() && action.delivery().is_none() {
            return Err("delivery: is of read and invoke".to_owned());
        }
        if self.recipe.is_some() && action.recipe().is_none() {
            return Err("recipe: is of rotate".to_owned());
        }
        if self.cas && action.cas().is_none() {
            return Err("cas: is of put and patch".to_owned());
        }
        let mounts = standing.mounts;
        let target = if action == Action::List {
            mounts.parse_folder(path)
        } else {
            mounts.parse(path)
        };
        let mut target = target.map_err(|error| format!("{}: {error}", action.name()))?;
        self.is_of(action)?;
        if action == Action::Pipeline(PipelineAction::Run) {
            target.field = Some(self.dispatch()?.to_string());
        } else if let Some(of) = self.run_of(target.field.as_deref())? {
            target.field = Some(of.to_string());
        }
        Ok((action, target))
    }

    /// Whether what is said of a pipeline is of `action`.
    fn is_of(&self, action: Action) -> Result<(), String> {
        let starts = action == Action::Pipeline(PipelineAction::Run);
        let of_run = matches!(action, Action::Pipeline(action) if action.is_of_run());
        let given = [
            ("ref", self.at_ref.is_some(), starts || of_run),
            ("commit", self.commit.is_some(), starts || of_run),
            ("inputs", !self.inputs.is_empty(), starts),
            ("event", self.event.is_some(), of_run),
        ];
        let mut wrong = given.iter().filter(|(_, given, fits)| *given && !fits);
        match wrong.next() {
            Some(("event", ..)) => Err("event: is of what is done with a run".to_owned()),
            Some((name, ..)) => Err(format!("{name}: is of run")),
            None => Ok(()),
        }
    }

    /// What a pipeline is started with.
    fn dispatch(&self) -> Result<Dispatch, String> {
        let at = self.at_ref.as_deref();
        let at = at.ok_or("ref: say at which branch or tag it is started, like main")?;
        let inputs = self.inputs.iter().map(|input| {
            let (name, text) = input.split_once('=').ok_or("inputs: write NAME=TEXT")?;
            Ok((name.to_owned(), text.to_owned()))
        });
        let inputs = inputs.collect::<Result<_, &str>>()?;
        let dispatch = Dispatch::new(at, self.commit.as_deref(), inputs);
        let wrong = "ref, commit or inputs: a ref is like main, without refs/; a commit's hash is whole; \
                     an input is given once";
        Ok(dispatch.ok_or(wrong)?)
    }

    /// What a run is of, where that is said.
    fn run_of(&self, environment: Option<&str>) -> Result<Option<RunOf>, String> {
        let (Some(at), Some(event)) = (&self.at_ref, &self.event) else {
            let some = self.at_ref.is_some() || self.event.is_some() || self.commit.is_some();
            let both = "ref and event: say both of them, like main and push";
            return if some { Err(both.to_owned()) } else { Ok(None) };
        };
        let of = RunOf::new(at, self.commit.as_deref(), event, environment);
        let wrong = "ref or commit: a ref is like main, without refs/; a commit's hash is whole";
        Ok(Some(of.ok_or(wrong)?))
    }
}
