//! Requests for approval on the socket: opened, looked at, decided. Our own addition, in Vault's
//! envelope.

mod told;

use std::sync::Arc;

use hyper::body::{Body, Bytes};
use hyper::{Method, StatusCode};
use serde::Deserialize;

pub(super) use self::told::needed;
use crate::api::{Envelope, RequestList};
use crate::broker::{Broker, BrokerError, Filter, Opened, Vote};
use crate::domain::{
    Action, Caller, Delivery, Field, Mounts, PipelineAction, Recipe, Request, RequestId,
    SecretValue, Target,
};
use crate::http::body;
use crate::http::error::Refusal;
use crate::http::query::Query;
use crate::http::read::request;
use crate::http::reply::{self, Reply};
use crate::http::vault_api::VaultApi;
use crate::http::wrapping;

/// Most requests told at once; how many there are is told beside them.
const MAX_TOLD: usize = 1000;
/// A code of an authenticator has so many digits.
const CODE: std::ops::RangeInclusive<usize> = 6..=8;
/// What can be approved, in the words of policies.
const ACTIONS: &str = "read, list, versions, put, patch, delete, undelete, destroy, rotate, invoke, \
                       unwrap, run, runs, rerun, cancel_run, approve_deployment, deny_deployment, \
                       watch, unwatch";

/// What is asked about requests for approval.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ApprovalRoute {
    /// Open one.
    Open,
    /// Take it at once, and be asked about it afterwards.
    BreakGlass,
    /// Tell those that are open or were.
    List(Filter),
    /// Tell one.
    Show(String),
    /// Do something about one.
    Act(ApprovalVerb, String),
}

/// What is done about a request for approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ApprovalVerb {
    Approve,
    Deny,
    Cancel,
    Extend,
    Revoke,
    Reviewed,
}

impl ApprovalRoute {
    /// Whether there is anything to say in a request's body.
    pub(super) fn takes_body(&self) -> bool {
        match self {
            Self::Open | Self::BreakGlass | Self::Act(..) => true,
            Self::List(_) | Self::Show(_) => false,
        }
    }
}

/// What `path`, which is below `vaultgram/`, asks for, and the methods for that.
pub(super) fn route(
    method: &Method,
    path: &str,
    query: &mut Query,
) -> Result<Option<(&'static str, ApprovalRoute)>, Refusal> {
    if path == "break-glass" {
        return Ok(Some(("POST, PUT", ApprovalRoute::BreakGlass)));
    }
    if path == "requests" {
        let route = if matches!(*method, Method::POST | Method::PUT) {
            ApprovalRoute::Open
        } else {
            ApprovalRoute::List(filter(query)?)
        };
        return Ok(Some(("GET, POST, PUT", route)));
    }
    let Some(below) = path.strip_prefix("requests/") else {
        return Ok(None);
    };
    let Some((id, verb)) = below.split_once('/') else {
        return Ok(Some(("GET", ApprovalRoute::Show(below.to_owned()))));
    };
    let verb = match verb {
        "approve" => ApprovalVerb::Approve,
        "deny" => ApprovalVerb::Deny,
        "cancel" => ApprovalVerb::Cancel,
        "extend" => ApprovalVerb::Extend,
        "revoke" => ApprovalVerb::Revoke,
        "reviewed" => ApprovalVerb::Reviewed,
        _ => return Ok(None),
    };
    let route = ApprovalRoute::Act(verb, id.to_owned());
    Ok(Some(("POST, PUT", route)))
}

fn filter(query: &mut Query) -> Result<Filter, Refusal> {
    match query.take("filter").as_deref() {
        None | Some("mine") => Ok(Filter::Mine),
        Some("pending") => Ok(Filter::Pending),
        Some("all") => Ok(Filter::All),
        Some(_) => Err(Refusal::bad_request("filter: mine, pending or all")),
    }
}

/// What is to be approved.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    path: String,
    action: Option<String>,
    delivery: Option<String>,
    reason: Option<String>,
}

impl Wanted {
    fn action(&self) -> Result<Action, Refusal> {
        let delivery = match self.delivery.as_deref() {
            None | Some("socket") => Delivery::Socket,
            Some("wrapped") => Delivery::Wrapped,
            Some(_) => return Err(Refusal::bad_request("delivery: socket or wrapped")),
        };
        let action = match self.action.as_deref() {
            None | Some("read") => Action::Read(delivery),
            Some("invoke") => Action::Invoke(delivery),
            Some("list") => Action::List,
            Some("versions") => Action::Versions,
            Some("put") => Action::Put { over: None },
            Some("patch") => Action::Patch { over: None },
            Some("delete") => Action::Delete,
            Some("undelete") => Action::Undelete,
            Some("destroy") => Action::Destroy,
            Some("rotate") => Action::Rotate {
                recipe: Recipe::default(),
                over: None,
            },
            Some("unwrap") => Action::Unwrap,
            Some(name) => {
                let action = PipelineAction::named(name);
                let unknown = || Refusal::bad_request(format!("action: one of {ACTIONS}"));
                Action::Pipeline(action.ok_or_else(unknown)?)
            }
        };
        if self.delivery.is_some() && action.delivery().is_none() {
            return Err(Refusal::bad_request(
                "delivery: only what is read or invoked has one",
            ));
        }
        Ok(action)
    }

    fn target(&self, action: Action, mounts: &Mounts) -> Result<Target, Refusal> {
        let target = match action {
            Action::List => mounts.parse_folder(&self.path),
            Action::Read(_)
            | Action::Versions
            | Action::Put { .. }
            | Action::Patch { .. }
            | Action::Delete
            | Action::Undelete
            | Action::Destroy
            | Action::Rotate { .. }
            | Action::Unwrap
            | Action::Invoke(_)
            | Action::Pipeline(_) => mounts.parse(&self.path),
        };
        target.map_err(|error| Refusal::bad_request(format!("path: {error}")))
    }
}

/// What somebody says beside what they do about a request.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    reason: Option<String>,
    note: Option<String>,
}

impl Said {
    /// The words that `verb` takes; any others mean something that would be ignored.
    fn words(self, verb: ApprovalVerb) -> Result<String, Refusal> {
        let (words, other, name) = match verb {
            ApprovalVerb::Deny | ApprovalVerb::Extend => (self.reason, self.note, "reason"),
            ApprovalVerb::Reviewed => (self.note, self.reason, "note"),
            ApprovalVerb::Approve | ApprovalVerb::Cancel | ApprovalVerb::Revoke => {
                (None, self.reason.or(self.note), "nothing")
            }
        };
        match other {
            None => Ok(words.unwrap_or_default()),
            Some(_) => Err(Refusal::bad_request(format!("say {name} in the body"))),
        }
    }
}

/// What is done, with what is said beside it.
enum Deed {
    Open(Request, String),
    BreakGlass(Request, String),
    Vote(Vote),
    Cancel,
    Extend(String),
    Revoke,
    Reviewed(String),
}

impl Deed {
    /// The request that comes of it, or as it is then. `name`: which, unless it is a new one.
    async fn perform(
        self,
        broker: &Broker,
        id: &RequestId,
        caller: &Caller,
        name: &str,
    ) -> Result<Opened, BrokerError> {
        let done = match self {
            Self::Open(request, reason) => return broker.open_approval(&request, &reason).await,
            Self::BreakGlass(request, reason) => {
                return broker.break_glass(&request, &reason).await;
            }
            Self::Extend(reason) => return broker.extend(id, caller, name, &reason).await,
            Self::Vote(vote) => broker.vote(id, caller, name, vote).await,
            Self::Cancel => broker.cancel(id, caller, name).await,
            Self::Revoke => broker.revoke_approval(id, caller, name).await,
            Self::Reviewed(note) => broker.review(id, caller, name, &note).await,
        };
        done.map(Opened::Open)
    }
}

impl VaultApi {
    /// Does what is asked about requests for approval.
    pub(super) async fn approvals<B>(
        &self,
        id: RequestId,
        route: ApprovalRoute,
        body: &mut B,
        caller: &Caller,
    ) -> Result<Reply, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (deed, name) = match route {
            ApprovalRoute::List(filter) => return self.told_all(&id, filter, caller).await,
            ApprovalRoute::Show(name) => return self.told_one(&id, &name, caller).await,
            ApprovalRoute::Open => {
                let (request, reason) = self.wanted(&id, body, caller).await?;
                (Deed::Open(request, reason), String::new())
            }
            ApprovalRoute::BreakGlass => {
                let (request, reason) = self.wanted(&id, body, caller).await?;
                (Deed::BreakGlass(request, reason), String::new())
            }
            ApprovalRoute::Act(verb, name) => (deed(verb, body).await?, name),
        };
        let (broker, caller) = (Arc::clone(&self.asker.broker), caller.clone());
        let by = id.clone();
        let work = async move { deed.perform(&broker, &by, &caller, &name).await };
        match self.asker.see_to(id.clone(), work, |_| None).await? {
            Ok(Opened::Open(info)) => {
                let entry = told::entry(&info, self.asker.broker.now());
                let document = Envelope::new(id.to_string(), entry);
                Ok(reply::json(StatusCode::OK, &document))
            }
            Ok(Opened::Denied(_)) => Err(Refusal::denied()),
            Err(error) => Err(told::refused(&error)),
        }
    }

    async fn told_all(
        &self,
        id: &RequestId,
        filter: Filter,
        caller: &Caller,
    ) -> Result<Reply, Refusal> {
        let broker = &self.asker.broker;
        let all = broker.approvals(caller, filter).await;
        let all = all.map_err(|error| told::refused(&error))?;
        let (total, now) = (all.len(), broker.now());
        let told = all.iter().take(MAX_TOLD);
        let requests = told.map(|info| told::entry(info, now)).collect();
        let document = Envelope::new(id.to_string(), RequestList { requests, total });
        Ok(reply::json(StatusCode::OK, &document))
    }

    async fn told_one(
        &self,
        id: &RequestId,
        name: &str,
        caller: &Caller,
    ) -> Result<Reply, Refusal> {
        let broker = &self.asker.broker;
        let info = broker.approval(caller, name).await;
        let info = info.map_err(|error| told::refused(&error))?;
        let document = Envelope::new(id.to_string(), told::entry(&info, broker.now()));
        Ok(reply::json(StatusCode::OK, &document))
    }

    /// What `caller` wants approved, and why.
    async fn wanted<B>(
        &self,
        id: &RequestId,
        body: &mut B,
        caller: &Caller,
    ) -> Result<(Request, String), Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let wanted: Option<Wanted> = body::document(body).await?;
        let wanted = wanted.ok_or_else(|| {
            let why = "say what is wanted, as in {\"path\": \"secret/app\", \"reason\": \"…\"}";
            Refusal::bad_request(why)
        })?;
        let action = wanted.action()?;
        let target = wanted.target(action, self.asker.broker.mounts())?;
        let request = request(id.clone(), action, target, caller);
        Ok((request, wanted.reason.unwrap_or_default()))
    }
}

async fn deed<B>(verb: ApprovalVerb, body: &mut B) -> Result<Deed, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
{
    if verb == ApprovalVerb::Approve {
        let code = code(&body::parameters(body).await?)?;
        return Ok(Deed::Vote(Vote::Approve { code }));
    }
    let said: Option<Said> = body::document(body).await?;
    let words = said.unwrap_or_default().words(verb)?;
    Ok(match verb {
        ApprovalVerb::Approve => Deed::Vote(Vote::Approve { code: None }),
        ApprovalVerb::Deny => Deed::Vote(Vote::Deny { reason: words }),
        ApprovalVerb::Cancel => Deed::Cancel,
        ApprovalVerb::Extend => Deed::Extend(words),
        ApprovalVerb::Revoke => Deed::Revoke,
        ApprovalVerb::Reviewed => Deed::Reviewed(words),
    })
}

/// The code of the voter's authenticator, in memory that is wiped.
fn code(fields: &[Field]) -> Result<Option<SecretValue>, Refusal> {
    let found = match fields {
        [] => return Ok(None),
        [field] if field.name == "code" => wrapping::text(field),
        _ => None,
    };
    let found = found.filter(is_code).ok_or_else(|| {
        Refusal::bad_request("send nothing, or the digits of a code: {\"code\": \"123456\"}")
    })?;
    Ok(Some(found))
}

#[expect(clippy::disallowed_methods, reason = "only its form is looked at")]
fn is_code(code: &SecretValue) -> bool {
    let code = code.expose_secret();
    CODE.contains(&code.len()) && code.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(json: &str) -> Result<String, String> {
        let mounts = Mounts::new(vec!["secret".to_owned()]).unwrap();
        let wanted: Wanted = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let found = wanted.action().and_then(|action| {
            let target = wanted.target(action, &mounts)?;
            let delivery = action.delivery().map_or("-", Delivery::name);
            Ok(format!("{} {target} {delivery}", action.name()))
        });
        found.map_err(|refusal| refusal.message.unwrap())
    }

    #[test]
    fn what_is_to_be_approved_is_said_in_the_words_of_policies() {
        for (json, said) in [
            (r#"{"path":"a/b#f@3"}"#, "read secret/a/b#f@3 socket"),
            (
                r#"{"path":"a","delivery":"wrapped"}"#,
                "read secret/a wrapped",
            ),
            (r#"{"path":"","action":"list"}"#, "list secret -"),
            (
                r#"{"path":"a","action":"unwrap","reason":"x"}"#,
                "unwrap secret/a -",
            ),
        ] {
            assert_eq!(wanted(json).as_deref(), Ok(said), "{json}");
        }
        for action in ACTIONS.split(", ") {
            let json = serde_json::json!({"path": "a", "action": action}).to_string();
            assert!(wanted(&json).unwrap().starts_with(action), "{json}");
        }
        for (json, said) in [
            ("{}", "missing field `path`"),
            (r#"{"path":"a","cas":1}"#, "unknown field"),
            (r#"{"path":"../a"}"#, "path: "),
            (
                r#"{"path":"a","action":"frobnicate"}"#,
                "action: one of read",
            ),
            (
                r#"{"path":"a","delivery":"message"}"#,
                "delivery: socket or",
            ),
            (
                r#"{"path":"a","action":"put","delivery":"socket"}"#,
                "only what is read",
            ),
        ] {
            let refused = wanted(json).unwrap_err();
            assert!(refused.contains(said), "{json}: {refused}");
        }
    }

    #[test]
    fn a_code_is_digits_and_is_never_repeated() {
        let field = |name: &str, json: &str| Field {
            name: name.to_owned(),
            json: SecretValue::new(json.as_bytes().to_vec()),
        };
        assert!(code(&[]).unwrap().is_none());
        assert!(code(&[field("code", "\"012345\"")]).unwrap().is_some());
        for wrong in [
            field("code", "012345"),
            field("code", "null"),
            field("code", "\"01234\""),
            field("code", "\"012345678\""),
            field("code", "\"01234x\""),
            field("totp", "\"012345\""),
        ] {
            let refusal = code(&[wrong]).err().unwrap();
            assert_eq!(refusal.status, StatusCode::BAD_REQUEST);
            assert!(!refusal.message.unwrap().contains("012345"));
        }
    }
}
