//! Leases on the socket: in Vault's own words (`sys/leases`), and in ours, which know codes and can
//! keep a lease.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::body::{Body, Bytes};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::api::{Envelope, LeaseEntry, LeaseKept, LeaseList, LeaseTerm};
use crate::broker::{Broker, BrokerError, LeaseInfo, LeaseName};
use crate::domain::{Caller, RequestId, span};
use crate::http::body;
use crate::http::error::Refusal;
use crate::http::reply::{self, Reply};
use crate::http::route::Route;
use crate::http::vault_api::VaultApi;

/// What is asked about a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeaseVerb {
    /// Say how long it lasts.
    Lookup,
    /// Renew it once.
    Renew,
    /// End it.
    Revoke,
    /// Renew it as often as needed until some time.
    Keep,
}

/// Which lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LeaseRef {
    /// By its code, as it was given.
    Code(String),
    /// As Vault calls it.
    Id(String),
    /// As Vault calls it, in the body.
    InBody,
}

/// What is below `sys/leases/`: the lease can follow, or be in the body.
pub(super) fn route(path: &str) -> Option<Route> {
    let (verb, lease) = match path.split_once('/') {
        Some((verb, lease)) => (verb, LeaseRef::Id(lease.to_owned())),
        None => (path, LeaseRef::InBody),
    };
    let verb = match verb {
        "lookup" => LeaseVerb::Lookup,
        "renew" => LeaseVerb::Renew,
        "revoke" => LeaseVerb::Revoke,
        _ => return None,
    };
    Some(Route::Lease(verb, lease))
}

/// What is below `vaultgram/leases/`: `CODE/keep`, `CODE/revoke`.
pub(super) fn own_route(path: &str) -> Option<Route> {
    let (code, verb) = path.split_once('/')?;
    let verb = match verb {
        "keep" => LeaseVerb::Keep,
        "revoke" => LeaseVerb::Revoke,
        _ => return None,
    };
    Some(Route::Lease(verb, LeaseRef::Code(code.to_owned())))
}

/// What a request's body can say.
#[derive(Default, Deserialize)]
struct Given {
    lease_id: Option<String>,
    increment: Option<Span>,
    /// Of our own: for how long to keep it.
    #[serde(rename = "for")]
    keep_for: Option<Span>,
}

/// `3600`, `"3600"`, `"1h"`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Span {
    Seconds(u64),
    Text(String),
}

impl Span {
    fn read(self) -> Result<Duration, Refusal> {
        let span = match self {
            Self::Seconds(seconds) => Some(Duration::from_secs(seconds)),
            Self::Text(text) => match text.parse() {
                Ok(seconds) => Some(Duration::from_secs(seconds)),
                Err(_) => span::read(&text),
            },
        };
        span.ok_or_else(|| Refusal::bad_request("a time is whole seconds, or like \"8h\""))
    }
}

impl VaultApi {
    /// The leases of `caller`; of everybody, for an administrator.
    pub(super) async fn leases(&self, id: &RequestId, caller: &Caller) -> Result<Reply, Refusal> {
        let leases = self.asker.broker.leases(caller).await;
        let leases = leases.map_err(|error| Refusal::from(&error))?;
        let leases = leases.into_iter().map(entry).collect();
        let document = Envelope::new(id.to_string(), LeaseList { leases });
        Ok(reply::json(StatusCode::OK, &document))
    }

    /// Does something with one lease.
    pub(super) async fn lease<B>(
        &self,
        id: RequestId,
        verb: LeaseVerb,
        lease: LeaseRef,
        body: &mut B,
        caller: &Caller,
    ) -> Result<Reply, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let given: Given = body::document(body).await?.unwrap_or_default();
        let lease = match (lease, given.lease_id) {
            (LeaseRef::InBody, Some(lease)) => LeaseRef::Id(lease),
            (LeaseRef::InBody, None) => {
                return Err(Refusal::bad_request("lease_id must be specified"));
            }
            (named, _) => named,
        };
        let span = match verb {
            LeaseVerb::Keep => given.keep_for.ok_or_else(|| {
                Refusal::bad_request("say for how long to keep it, as in {\"for\": \"8h\"}")
            })?,
            LeaseVerb::Lookup | LeaseVerb::Renew | LeaseVerb::Revoke => {
                given.increment.unwrap_or(Span::Seconds(0))
            }
        };
        let in_vaults_words = matches!(lease, LeaseRef::Id(_));
        let request = LeaseRequest {
            id: id.clone(),
            caller: caller.clone(),
            verb,
            lease,
            span: span.read()?,
        };
        let broker = Arc::clone(&self.asker.broker);
        let work = async move { request.perform(&broker).await };
        let done = match self.asker.see_to(id.clone(), work, |_| None).await? {
            Ok(done) => done,
            Err(error) if in_vaults_words => return refused(verb, &error),
            Err(error) => return Err(Refusal::from(&error)),
        };
        Ok(answer(id.to_string(), verb, done, self.asker.broker.now()))
    }
}

struct LeaseRequest {
    id: RequestId,
    caller: Caller,
    verb: LeaseVerb,
    lease: LeaseRef,
    span: Duration,
}

impl LeaseRequest {
    /// The lease, and whether it lasts less than was asked for.
    async fn perform(&self, broker: &Broker) -> Result<(LeaseInfo, bool), BrokerError> {
        let Self {
            id, caller, span, ..
        } = self;
        let code;
        let name = match &self.lease {
            LeaseRef::Code(text) => {
                code = crate::domain::recipe::normalise_code(text);
                LeaseName::Code(&code)
            }
            LeaseRef::Id(lease) => LeaseName::Id(lease),
            LeaseRef::InBody => return Err(BrokerError::UnknownLease),
        };
        let lease = match self.verb {
            LeaseVerb::Lookup => broker.lease(caller, name).await?,
            LeaseVerb::Renew => broker.renew_lease(id, caller, name, *span).await?,
            LeaseVerb::Revoke => broker.revoke_lease(id, caller, name).await?,
            LeaseVerb::Keep => {
                let kept = broker.keep_lease(id, caller, name, *span).await?;
                return Ok((kept.lease, kept.cut));
            }
        };
        Ok((lease, false))
    }
}

/// What Vault answers of a lease that it does not know, or lets last no longer. Another's lease is
/// as unknown as none.
fn refused(verb: LeaseVerb, error: &BrokerError) -> Result<Reply, Refusal> {
    match (verb, error) {
        (LeaseVerb::Lookup, BrokerError::UnknownLease) => {
            Err(Refusal::bad_request("invalid lease"))
        }
        (LeaseVerb::Renew, BrokerError::UnknownLease) => {
            Err(Refusal::bad_request("lease not found"))
        }
        // What is not there need not be revoked.
        (LeaseVerb::Revoke, BrokerError::UnknownLease) => Ok(reply::done()),
        (_, BrokerError::NotRenewable) => Err(Refusal::bad_request("lease is not renewable")),
        _ => Err(Refusal::from(error)),
    }
}

fn answer(
    request_id: String,
    verb: LeaseVerb,
    (lease, cut): (LeaseInfo, bool),
    now: OffsetDateTime,
) -> Reply {
    match verb {
        LeaseVerb::Revoke => reply::done(),
        LeaseVerb::Renew => {
            let document = Envelope {
                lease_id: lease.lease,
                renewable: lease.renewable,
                lease_duration: lease.left.as_secs(),
                ..Envelope::new(request_id, None::<()>)
            };
            reply::json(StatusCode::OK, &document)
        }
        LeaseVerb::Lookup => {
            let term = LeaseTerm {
                expire_time: time_text(now + lease.left),
                id: lease.lease,
                issue_time: time_text(lease.made),
                last_renewal: lease.renewed.map(time_text),
                path: lease.path,
                renewable: lease.renewable,
                ttl: lease.left.as_secs(),
            };
            reply::json(StatusCode::OK, &Envelope::new(request_id, term))
        }
        LeaseVerb::Keep => {
            let kept = LeaseKept {
                lease: entry(lease),
                cut,
            };
            reply::json(StatusCode::OK, &Envelope::new(request_id, kept))
        }
    }
}

fn entry(lease: LeaseInfo) -> LeaseEntry {
    LeaseEntry {
        ttl: lease.left.as_secs(),
        kept: lease.kept.map(|kept| kept.as_secs()),
        issue_time: time_text(lease.made),
        code: lease.code,
        lease_id: lease.lease,
        path: lease.path,
        holder: lease.holder,
        renewable: lease.renewable,
    }
}

fn time_text(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_default()
}
