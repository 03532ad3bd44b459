//! What is written about requests for approval: to who asked, to who decides, and on the card that
//! everybody concerned sees. It changes with the request only, and not with time.

use time::OffsetDateTime;

use super::{MAX_LENGTH, Reply, changed, pipeline};
use crate::broker::{ApprovalInfo, Promise, Waiting};
use crate::domain::approval::{Ask, Review, State};
use crate::domain::signs::one_line;
use crate::domain::span::spoken;
use crate::domain::{Action, ApprovalId, Caller, Delivery, Target};

/// Longest text beside a file, in UTF-16 code units.
const MAX_CAPTION: usize = 1024;
/// Begins every card, before the request's name: this is how one is found again after a crash.
const CARD: &str = "📋 Request ";

/// How a card's first words are, by which it is found again.
pub(in crate::telegram) fn mark(id: &ApprovalId) -> String {
    format!("{CARD}{id} ")
}

impl Reply {
    /// To what others must agree to first.
    pub(in crate::telegram) fn needs_approval(
        waiting: &Waiting,
        action: Action,
        target: &Target,
    ) -> Self {
        Self::plain(match waiting {
            Waiting::Opened(approval) => format!(
                "This needs approval, so I opened request {id}. I tell you when it is decided; \
                 /request {id} shows how it stands.",
                id = approval.id
            ),
            Waiting::Known(approval) => format!(
                "This needs approval, and your request {id} still waits; /request {id} shows how \
                 it stands.",
                id = approval.id
            ),
            Waiting::ReasonNeeded { characters, alone } => {
                let how = match action {
                    Action::Read(Delivery::Message) => format!("/request_secret {target}"),
                    Action::Read(delivery) => {
                        format!("/request_secret {target} {}", delivery.name())
                    }
                    Action::Invoke(delivery) if delivery != Delivery::Message => {
                        format!("/request invoke {target} {}", delivery.name())
                    }
                    Action::List
                    | Action::Versions
                    | Action::Put { .. }
                    | Action::Patch { .. }
                    | Action::Delete
                    | Action::Undelete
                    | Action::Destroy
                    | Action::Rotate { .. }
                    | Action::Unwrap
                    | Action::Invoke(_)
                    | Action::Pipeline(_) => format!("/request {} {target}", action.name()),
                };
                let (needs, so_that) = if *alone {
                    ("a reason", "and it is granted at once")
                } else {
                    ("approval", "for others to agree")
                };
                format!(
                    "This needs {needs}. Say why, in {characters} characters or more, {so_that}: \
                     {how} REASON"
                )
            }
        })
    }

    /// A request waits from now on; or it is granted, where its reason was enough.
    pub(in crate::telegram) fn requested(approval: &ApprovalInfo) -> Self {
        let ApprovalInfo { id, .. } = approval;
        if let (Some(grant), Some(first)) = (&approval.grant, &approval.extends) {
            let until = moment(grant.until, approval.opened);
            return Self::plain(format!(
                "Request {id} is granted automatically: {first} holds until {until}."
            ));
        }
        if let Some(grant) = &approval.grant {
            let until = moment(grant.until, approval.opened);
            let once = if grant.once { ", for one use" } else { "" };
            return Self::plain(format!(
                "Request {id} is granted automatically, until {until}{once}. {}",
                now_do(approval)
            ));
        }
        let asks = asks(approval, " It takes ");
        let until = moment(approval.waits_until, approval.opened);
        Self::plain(format!(
            "Request {id} is open until {until}.{asks} I tell you when it is decided; /request {id} \
             shows how it stands, /cancel {id} takes it back."
        ))
    }

    /// `/request ID`
    pub(in crate::telegram) fn approval(approval: &ApprovalInfo, promise: Option<Promise>) -> Self {
        Self::plain(facts(approval, promise)).guarded()
    }

    /// `/requests`, `/admin_list`; `whose` says who asked, where that is not the reader.
    pub(in crate::telegram) fn approvals(
        approvals: &[ApprovalInfo],
        whose: bool,
        now: OffsetDateTime,
    ) -> Self {
        if approvals.is_empty() {
            return Self::plain("There are no requests.");
        }
        let lines = approvals.iter().map(|approval| {
            let who = if whose {
                format!("  {}", approval.requester)
            } else {
                String::new()
            };
            let have: Vec<String> = approval.asks.iter().map(count).collect();
            let votes = if approval.state == State::Pending {
                format!("  {}", have.join(" and "))
            } else {
                String::new()
            };
            let unseen = if matches!(approval.review, Some(Review::Open { .. })) {
                "  glass broken, not reviewed"
            } else {
                ""
            };
            let age = std::time::Duration::try_from(now - approval.opened).unwrap_or_default();
            format!(
                "{}  {}{votes}{unseen}{who}  {}  {} ago",
                approval.id,
                approval.state.name(),
                what(approval),
                spoken(age)
            )
        });
        changed::lines_of("Requests (/request ID shows one):", lines, approvals.len()).guarded()
    }

    /// A vote for it counts.
    pub(in crate::telegram) fn approved(approval: &ApprovalInfo) -> Self {
        let ApprovalInfo { id, .. } = approval;
        Self::plain(match approval.state {
            State::Granted | State::Applied | State::Used => format!("{id} is granted."),
            State::Pending
            | State::Denied { .. }
            | State::Cancelled
            | State::Expired
            | State::Revoked { .. }
            | State::Ended => {
                format!("Your vote for {id} counts.{}", asks(approval, " It takes "))
            }
        })
        .in_place()
    }

    /// A vote against it ended it.
    pub(in crate::telegram) fn vetoed(approval: &ApprovalInfo) -> Self {
        Self::plain(format!("{} is denied.", approval.id)).in_place()
    }

    /// `/cancel ID`
    pub(in crate::telegram) fn request_cancelled(approval: &ApprovalInfo) -> Self {
        Self::plain(format!("Request {} is cancelled.", approval.id))
    }

    /// `/revoke ID`
    pub(in crate::telegram) fn grant_revoked(approval: &ApprovalInfo) -> Self {
        Self::plain(format!(
            "{} is revoked, with the leases that were made under it.",
            approval.id
        ))
        .in_place()
    }

    /// `/reviewed ID`
    pub(in crate::telegram) fn reviewed(approval: &ApprovalInfo) -> Self {
        Self::plain(format!("{} is reviewed.", approval.id)).in_place()
    }

    /// Adds to an answer that the glass was broken for it, where there is room.
    pub(in crate::telegram) fn note_glass(&mut self, approval: &ApprovalInfo) {
        let until = approval.grant.as_ref();
        let until = until.map_or(approval.since, |grant| grant.until);
        let note = format!(
            "\n\nYou broke the glass ({}): it stays open until {}, everybody concerned was told, and \
             somebody will look at it.",
            approval.id,
            moment(until, approval.opened)
        );
        let length = |text: &str| text.encode_utf16().count();
        let most = if self.document.is_some() {
            MAX_CAPTION
        } else {
            MAX_LENGTH
        };
        if length(&self.text) + length(&note) <= most {
            self.text.push_str(&note);
        }
    }

    /// The card of a request; with how to vote on it, while it waits for that.
    pub(in crate::telegram) fn card(approval: &ApprovalInfo, promise: Option<Promise>) -> Self {
        let ApprovalInfo { id, .. } = approval;
        let mut text = facts(approval, promise);
        if approval.state == State::Pending {
            let code = approval.asks.iter().any(|ask| ask.step_up.is_some());
            let (code, what) = if code {
                (" CODE", ", with the code your authenticator shows")
            } else {
                ("", "")
            };
            let how = format!(
                "\n\nReply to this message: approve{code}, or: deny REASON{what}. Or send /approve \
                 {id}{code}, or /deny {id} REASON."
            );
            text.push_str(&how);
        }
        if matches!(approval.review, Some(Review::Open { .. })) {
            let how = format!(
                "\n\nSomebody else must look at this and write what they found: reply reviewed NOTE, \
                 or send /reviewed {id} NOTE. /revoke {id} ends it at once."
            );
            text.push_str(&how);
        }
        Self {
            vote: (approval.state == State::Pending).then(|| id.clone()),
            ..Self::plain(text)
        }
    }

    /// May be said where the command was given, if that is where requests are decided on.
    fn in_place(self) -> Self {
        Self {
            in_place: true,
            ..self
        }
    }
}

/// What is told of a request to those who may know of it.
fn facts(approval: &ApprovalInfo, promise: Option<Promise>) -> String {
    let moment = |at| moment(at, approval.opened);
    let mut lines = vec![format!("{}{}", mark(&approval.id), headline(approval))];
    lines.push(format!("Who: {}", who(approval)));
    let extends = approval.extends.as_ref();
    let extends = extends.map(|first| format!(", for longer than {first} was granted"));
    lines.push(format!(
        "What: {}{}",
        what(approval),
        extends.unwrap_or_default()
    ));
    if let Action::Pipeline(action) = approval.action {
        lines.extend(pipeline::facts(action, &approval.target));
    }
    if !approval.reason.is_empty() {
        lines.push(format!("Why: {}", approval.reason));
    }
    match (&approval.grant, promise) {
        (Some(grant), _) => {
            let once = if grant.once { ", for one use" } else { "" };
            lines.push(format!("Holds until: {}{once}", moment(grant.until)));
        }
        (None, Some(promise)) => {
            let once = if promise.once { ", for one use" } else { "" };
            lines.push(format!("For: {}{once}", spoken(promise.span)));
        }
        (None, None) => {}
    }
    lines.extend(approval.asks.iter().map(|ask| {
        format!(
            "Policy {} wants: {}; so far {}",
            one_line(&ask.policy),
            wanted(ask),
            so_far(ask)
        )
    }));
    if !approval.votes.is_empty() {
        let by: Vec<&str> = approval
            .votes
            .iter()
            .map(|vote| vote.person.as_str())
            .collect();
        lines.push(format!("Approved by: {}", by.join(", ")));
    }
    if approval.state == State::Pending {
        lines.push(format!("Waits until: {}", moment(approval.waits_until)));
    }
    if let Some(Review::Done { by, note, at }) = &approval.review {
        lines.push(format!("Reviewed by {by}, {}: {note}", moment(*at)));
    }
    lines.join("\n")
}

fn headline(approval: &ApprovalInfo) -> String {
    let when = moment(approval.since, approval.opened);
    let broken = approval.review.is_some();
    match &approval.state {
        State::Pending => "waits for approval".to_owned(),
        State::Granted if broken => {
            "🚨 went ahead without approval: the glass is broken".to_owned()
        }
        State::Granted | State::Applied if approval.is_unasked() => {
            format!("✅ is granted automatically, {when}")
        }
        State::Granted | State::Applied => format!("✅ is granted, {when}"),
        State::Denied { by, reason } if reason.is_empty() => {
            format!("❌ is denied by {by}, {when}")
        }
        State::Denied { by, reason } => format!("❌ is denied by {by}, {when}: {reason}"),
        State::Cancelled => format!("is cancelled by who asked, {when}"),
        State::Expired => format!("expired, {when}: nobody decided in time"),
        State::Used => format!("✅ was granted and used, {when}"),
        State::Revoked { by } => format!("❌ is revoked by {by}, {when}"),
        State::Ended if broken => format!("🚨 broke the glass; it ended {when}"),
        State::Ended => format!("✅ was granted, and ended {when}"),
    }
}

/// The person, and the account or program that asked.
fn who(approval: &ApprovalInfo) -> String {
    let account = match &approval.caller {
        Caller::Telegram(user) => format!("telegram:{}", user.id),
        Caller::Unix(peer) => one_line(&peer.describe()),
        Caller::Job(job) => one_line(&format!("{}: {}", job.issuer, job.describe())),
    };
    if approval.requester == account {
        account
    } else {
        format!("{} ({account})", approval.requester)
    }
}

/// What is to be done.
fn what(approval: &ApprovalInfo) -> String {
    let delivery = match approval.action.delivery() {
        None | Some(Delivery::Message) => String::new(),
        Some(delivery) => format!(" ({})", delivery.name()),
    };
    if let Action::Pipeline(action) = approval.action {
        return pipeline::what(action, &approval.target);
    }
    let target = one_line(&approval.target.to_string());
    format!("{} {target}{delivery}", approval.action.name())
}

/// What is asked of whom: `2 of platform-leads, security`.
fn wanted(ask: &Ask) -> String {
    let mut text = format!("{} of {}", ask.approvals, ask.approvers.join(", "));
    if ask.separate {
        text.push_str(", each of another");
    }
    if let Some(review) = &ask.review {
        text.push_str(", and a review by ");
        text.push_str(review);
    }
    if ask.step_up.is_some() {
        text.push_str(", with a code");
    }
    text
}

fn so_far(ask: &Ask) -> String {
    let review = match (&ask.review, ask.reviewed) {
        (Some(_), true) => " and the review",
        (Some(_) | None, _) => "",
    };
    format!("{}{review}", ask.have)
}

/// `1 of 2`
fn count(ask: &Ask) -> String {
    let review = match (&ask.review, ask.reviewed) {
        (Some(_), false) => ", not reviewed",
        (Some(_) | None, _) => "",
    };
    format!("{} of {}{review}", ask.have, ask.approvals)
}

/// What it takes and how far that is met, as a sentence.
fn asks(approval: &ApprovalInfo, begin: &str) -> String {
    if approval.asks.is_empty() {
        return String::new();
    }
    let each = approval
        .asks
        .iter()
        .map(|ask| format!("{}; so far {}", wanted(ask), so_far(ask)));
    let all: Vec<String> = each.collect();
    format!("{begin}{}.", all.join(", and "))
}

/// A moment as people read it; with its day, where that is not the one of `day`.
pub(in crate::telegram) fn moment(at: OffsetDateTime, day: OffsetDateTime) -> String {
    let time = format!("{:02}:{:02} UTC", at.hour(), at.minute());
    if at.date() == day.date() {
        time
    } else {
        format!("{} {time}", at.date())
    }
}

/// What to do with a grant.
pub(in crate::telegram) fn now_do(approval: &ApprovalInfo) -> String {
    match approval.caller {
        // What is done with pipelines, is done in chat.
        Caller::Unix(_) if matches!(approval.action, Action::Pipeline(_)) => {}
        Caller::Unix(_) => return "Ask again on the host.".to_owned(),
        Caller::Job(_) => return "The job goes on by itself.".to_owned(),
        Caller::Telegram(_) => {}
    }
    let target = &approval.target;
    let command = match approval.action {
        Action::Read(Delivery::Message) => format!("/get_secret {target}"),
        Action::Read(delivery) => format!("/get_secret {target} {}", delivery.name()),
        Action::List => format!("/list {target}"),
        Action::Versions => format!("/versions {target}"),
        Action::Put { .. } => format!("/put_secret {target} key=value"),
        Action::Patch { .. } => format!("/patch_secret {target} key=value"),
        Action::Delete => format!("/delete_secret {target}"),
        Action::Undelete => format!("/undelete {target}"),
        Action::Destroy => format!("/destroy_secret {target}"),
        Action::Rotate { .. } => format!("/rotate {target}"),
        Action::Invoke(Delivery::Message) => format!("/invoke {target} key=value"),
        Action::Invoke(delivery) => format!("/invoke {target} {} key=value", delivery.name()),
        Action::Pipeline(action) => pipeline::command(action, target),
        // Nobody unwraps in chat.
        Action::Unwrap => return "Ask again on the host.".to_owned(),
    };
    format!("Send: {command}")
}
