//! Who is to see the card of a request, and who is to be written what besides: pure, from how the
//! request stands now.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::broker::{ApprovalInfo, Told};
use crate::domain::Caller;
use crate::domain::approval::{Grant, Review, State};
use crate::telegram::Settings;
use crate::telegram::reply::approval::{moment, now_do};

/// Nobody is warned of the end of a grant that is no longer than this: it has just begun.
const SHORT: Duration = Duration::from_mins(10);
/// Most people who are written to about one request.
const MAX_PEOPLE: usize = 50;

/// Something to write once.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Notice {
    /// What it is about; the same for the same fact, and another for another.
    pub(super) purpose: String,
    /// The chat, in bot-API notation.
    pub(super) to: i64,
    /// What it says.
    pub(super) text: String,
}

impl Notice {
    /// Its name among what was told.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.purpose, self.to)
    }
}

/// The chats that are to show the card: the approvals chat, or where there is none, or where it
/// `refuses`, those of everybody who may decide; of broken glass those of all admins too.
pub(super) fn places(
    approval: &ApprovalInfo,
    told: &Told,
    settings: &Settings,
    refuses: bool,
) -> BTreeSet<i64> {
    let chat = settings.approvals_chat;
    let mut places: BTreeSet<i64> = chat.into_iter().collect();
    let listened_to = |id: &&i64| settings.allowed_users.contains(id);
    if chat.is_none() || refuses {
        let approvers = told.approvers.iter().filter(listened_to);
        places.extend(approvers.take(MAX_PEOPLE));
    }
    if approval.review.is_some() {
        places.extend(told.admins.iter().filter(listened_to).take(MAX_PEOPLE));
    }
    places
}

/// Whether a card is posted where there is none yet: not of what was over before anybody saw it.
pub(super) fn is_news(approval: &ApprovalInfo) -> bool {
    approval.state.is_open() || approval.review.is_some()
}

/// What people are to be written, as the request stands.
pub(super) fn notices(
    approval: &ApprovalInfo,
    told: &Told,
    settings: &Settings,
    places: &BTreeSet<i64>,
) -> Vec<Notice> {
    let mut notices = vec![];
    let whoever_asked = requesters(approval, told, settings);
    for (purpose, text) in for_requester(approval) {
        notices.extend(whoever_asked.iter().map(|to| Notice {
            purpose: purpose.clone(),
            to: *to,
            text: text.clone(),
        }));
    }
    if let Some(Review::Open { reminders, .. }) = &approval.review
        && *reminders > 0
    {
        let id = &approval.id;
        let text = format!(
            "🚨 Request {id}: {} broke the glass at {}, and nobody has looked at it. Somebody else \
             must, and send: /reviewed {id} WHAT THEY FOUND",
            approval.requester,
            moment(approval.opened, approval.since),
        );
        let others = places.iter().filter(|to| !whoever_asked.contains(to));
        notices.extend(others.map(|to| Notice {
            purpose: format!("reminder-{reminders}"),
            to: *to,
            text: text.clone(),
        }));
    }
    notices
}

/// The accounts of who asked: the one they asked with, or for a program, all of its person, or those of
/// who signed in chat.
fn requesters(approval: &ApprovalInfo, told: &Told, settings: &Settings) -> BTreeSet<i64> {
    let accounts = match &approval.caller {
        Caller::Telegram(user) => BTreeSet::from([user.id]),
        Caller::Job(job) if approval.in_chat => {
            let signer = settings.signers.get(&job.issuer);
            return signer.map_or_else(BTreeSet::new, |it| it.accounts.clone());
        }
        Caller::Unix(_) | Caller::Job(_) => told.requester.clone(),
    };
    let accounts = accounts.into_iter();
    let listened_to = accounts.filter(|id| settings.allowed_users.contains(id));
    listened_to.take(MAX_PEOPLE).collect()
}

/// What who asked is to hear, with what it is about.
fn for_requester(approval: &ApprovalInfo) -> Vec<(String, String)> {
    let id = &approval.id;
    let path = &approval.target.path;
    let when = |at| moment(at, approval.since);
    let plain = |purpose: &str, text: String| vec![(purpose.to_owned(), text)];
    match &approval.state {
        // Who broke the glass has it in their answer.
        State::Granted if approval.review.is_some() || approval.extends.is_some() => vec![],
        State::Granted => match &approval.grant {
            Some(grant) => granted(approval, grant),
            None => vec![],
        },
        State::Applied if approval.is_unasked() => vec![],
        State::Applied => {
            let first = approval.extends.as_ref().unwrap_or(id);
            plain(
                "applied",
                format!("Request {id} is granted: {first} holds for longer (/request {first})."),
            )
        }
        State::Denied { by, reason } => {
            let reason = if reason.is_empty() {
                String::new()
            } else {
                format!(": {reason}")
            };
            plain(
                "denied",
                format!("Request {id} for {path} is denied by {by}{reason}"),
            )
        }
        State::Expired => plain(
            "expired",
            format!(
                "Request {id} for {path} expired: nobody decided in time. Ask again if you still need it."
            ),
        ),
        State::Revoked { by } => plain(
            "revoked",
            format!(
                "{id} for {path} was revoked by {by}, {}; what was made under it works no more.",
                when(approval.since)
            ),
        ),
        State::Pending | State::Cancelled | State::Used | State::Ended => vec![],
    }
}

/// That it is granted; and near its end, that it ends.
fn granted(approval: &ApprovalInfo, grant: &Grant) -> Vec<(String, String)> {
    let id = &approval.id;
    let until = moment(grant.until, approval.since);
    let by: Vec<&str> = approval.votes.iter().map(|it| it.person.as_str()).collect();
    let by = by.join(", ");
    let once = if grant.once { ", for one use" } else { "" };
    let granted = (
        "granted".to_owned(),
        format!(
            "✅ Request {id} is granted by {by}, until {until}{once}. {}",
            now_do(approval)
        ),
    );
    // Who was granted it automatically has that in their answer.
    let mut said: Vec<_> = (!approval.is_unasked())
        .then_some(granted)
        .into_iter()
        .collect();
    let long = Duration::try_from(grant.until - grant.since).is_ok_and(|span| span > SHORT);
    if grant.warned && long {
        let extend = if grant.once {
            String::new()
        } else {
            format!(" To have it for longer: /extend {id} REASON")
        };
        said.push((
            format!("warned-{}", grant.until.unix_timestamp()),
            format!("{id} for {} ends at {until}.{extend}", approval.target.path),
        ));
    }
    said
}

#[cfg(test)]
mod tests;
