//! `vaultgram policy explain`: the answer, the policies behind it, and what would change it.

use std::io::Write;

use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::cli::exit::{Exit, Failure};
use crate::cli::policy::asked::Question;
use crate::cli::policy::{ExplainArgs, Standing};
use crate::cli::show;
use crate::domain::approval::Ask;
use crate::domain::policy_explain::Change;
use crate::domain::{
    Action, Caller, Decision, Delivery, Dispatch, Need, Permit, PipelineAction, Policy, Request,
    RunOf, span,
};

/// Asks and prints.
///
/// # Errors
/// When the question means nothing, or the answer cannot be written.
pub fn run(
    arguments: &ExplainArgs,
    standing: Standing<'_>,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let questions = arguments.asked.questions(standing);
    let questions = questions.map_err(|problem| Failure::new(Exit::Usage, problem))?;
    let policy = standing.policy;
    if arguments.json {
        let answers: Vec<Value> = questions.iter().map(|it| as_json(policy, it)).collect();
        return show::json(&json!({ "answers": answers }), out);
    }
    let answers: Vec<String> = questions.iter().map(|it| as_text(policy, it)).collect();
    show::write(answers.join("\n").as_bytes(), out)
}

fn decide(policy: &Policy, question: &Question) -> Decision {
    policy.decide_with(&question.request, question.reason.as_deref(), question.at)
}

fn changes(policy: &Policy, question: &Question) -> Vec<Change> {
    policy.changes(&question.request, question.reason.as_deref(), question.at)
}

fn as_text(policy: &Policy, question: &Question) -> String {
    let request = &question.request;
    let person = policy.groups().person(&request.caller);
    let who = match request.caller.to_string() {
        account if account == person.name() => account,
        account => format!("{account} ({person})"),
    };
    let what = format!(
        "{} {}{}",
        request.action.name(),
        request.target.path,
        circumstances(policy, question)
    );
    let lines = match decide(policy, question) {
        Decision::Allow(permit) => {
            let mut lines = vec![format!("allowed: {who} may {what}")];
            let by = permit.policies().iter();
            lines.extend(by.map(|name| format!("  by {}", described(policy, name))));
            lines.extend(terms(&permit).iter().map(|term| format!("  {term}")));
            if question.reason.is_some() && !policy.would_allow(request, question.at) {
                lines.push("  once it is requested with that reason".to_owned());
            }
            lines
        }
        Decision::NeedsApproval(need) => needed(policy, &need, &who, &what),
        Decision::Deny(denial) => {
            let mut lines = vec![format!("denied: {who} may not {what}")];
            if denial.policies.is_empty() {
                lines.push("  no policy permits it".to_owned());
            }
            let by = denial.policies.iter();
            lines.extend(by.map(|name| format!("  forbidden by {}", described(policy, name))));
            let changes = changes(policy, question);
            lines.push(if changes.is_empty() {
                "  nothing that was tried by itself would allow it".to_owned()
            } else {
                "  it would be allowed".to_owned()
            });
            let spoken = changes.iter().map(|change| spoken(policy, change));
            lines.extend(spoken.map(|change| format!("    {change}")));
            lines
        }
    };
    lines.join("\n") + "\n"
}

/// What is wanted before `who` may do `what`.
fn needed(policy: &Policy, need: &Need, who: &str, what: &str) -> Vec<String> {
    if let Some(characters) = need.reason_alone() {
        let first = need.policies().into_iter().take(1);
        let says = first.map(|name| format!("  says {}", described(policy, &name)));
        let line = format!(
            "needs a reason: {who} may {what}, once it is requested with one of {characters} \
             characters or more"
        );
        return std::iter::once(line).chain(says).collect();
    }
    let asks = need.unmet();
    let asked = asks.iter().map(|ask| {
        let (who, policy) = (wanted(ask), described(policy, &ask.policy));
        format!("  {who}, says {policy}")
    });
    let line = format!("needs approval: {who} may {what}, once it is agreed to");
    std::iter::once(line).chain(asked).collect()
}

/// What is wanted before something may be had, in a word.
pub(super) fn wanting(need: &Need) -> &'static str {
    match need.reason_alone() {
        Some(_) => "reason",
        None => "approval",
    }
}

/// How, from where and when.
fn circumstances(policy: &Policy, question: &Question) -> String {
    let request = &question.request;
    let delivery = request.action.delivery();
    let delivery = delivery.map(|it| format!(", delivery {}", it.name()));
    let place = match &request.caller {
        Caller::Telegram(user) => format!(", {} chat", user.chat.name()),
        Caller::Unix(_) | Caller::Job(_) => String::new(),
    };
    let reason = if question.reason.is_some() {
        ", with a reason"
    } else {
        ""
    };
    let at = time(policy, question.at);
    let started = started(request).unwrap_or_default();
    format!(
        "{started}{}{place}{reason}, {at}",
        delivery.unwrap_or_default()
    )
}

/// With what a pipeline is started, where one is, or what its run is of.
fn started(request: &Request) -> Option<String> {
    if let Some(of) = run_of(request) {
        return Some(format!(", ref {}, event {}", of.at(), of.event()));
    }
    if request.action != Action::Pipeline(PipelineAction::Run) {
        return None;
    }
    let dispatch: Dispatch = request.target.field.as_deref()?.parse().ok()?;
    let inputs = dispatch.inputs().iter();
    let inputs = inputs.map(|(name, value)| format!(", {name}={value}"));
    Some(format!(
        ", ref {}{}",
        dispatch.at(),
        inputs.collect::<String>()
    ))
}

fn run_of(request: &Request) -> Option<RunOf> {
    let Action::Pipeline(action) = request.action else {
        return None;
    };
    let field = request.target.field.as_deref();
    field.filter(|_| action.is_of_run())?.parse().ok()
}

/// `monday 2026-11-30 09:00 (Europe/Berlin)`.
fn time(policy: &Policy, at: OffsetDateTime) -> String {
    let zone = policy.zone();
    let local = zone.local(at);
    let day = local.weekday().to_string().to_lowercase();
    let (date, hour, minute) = (local.date(), local.hour(), local.minute());
    format!("{day} {date} {hour:02}:{minute:02} ({})", zone.name())
}

fn described(policy: &Policy, name: &str) -> String {
    let Some(about) = policy.about(name) else {
        return name.to_owned();
    };
    let description = about.description.as_ref();
    let description = description.map(|text| format!(": {text}"));
    let (file, line) = (&about.file, about.line);
    format!("{name} ({file}:{line}){}", description.unwrap_or_default())
}

/// `2 of platform-leads, security, with a code of totp`.
fn wanted(ask: &Ask) -> String {
    let mut wanted = format!("{} of {}", ask.approvals, ask.approvers.join(", "));
    if ask.separate {
        wanted += ", each of another";
    }
    if let Some(group) = &ask.review {
        wanted = format!("{wanted}, and somebody else of {group}");
    }
    if let Some(mount) = &ask.step_up {
        wanted = format!("{wanted}, with a code of {mount}");
    }
    wanted
}

fn terms(permit: &Permit) -> Vec<String> {
    let terms = permit.terms();
    let role = terms.vault_role.as_ref();
    let role = role.map(|role| format!("Vault is asked with a token of the role {role}"));
    let cache = terms.cache.map(|cache| {
        let ttl = span::spoken(cache.ttl);
        format!("what is read may be kept for {ttl}")
    });
    role.into_iter().chain(cache).collect()
}

fn spoken(policy: &Policy, change: &Change) -> String {
    match change {
        Change::Reason => "with a reason (--reason)".to_owned(),
        Change::Delivery(delivery) => format!("with --delivery {}", delivery.name()),
        Change::Chat(chat) => format!("in a {} chat", chat.name()),
        Change::Cas(true) => "with check-and-set (--cas)".to_owned(),
        Change::Cas(false) => "without check-and-set".to_owned(),
        Change::Known(name, text) => format!("with {name} {text}"),
        Change::At(at) => format!("at another time: {}", time(policy, *at)),
        Change::Group(name) => format!("to a member of the group {name}"),
    }
}

fn as_json(policy: &Policy, question: &Question) -> Value {
    let request = &question.request;
    let (answer, names, why, terms) = match decide(policy, question) {
        Decision::Allow(permit) => {
            let terms = terms(&permit);
            ("allow", permit.policies().to_vec(), None, terms)
        }
        Decision::NeedsApproval(need) => {
            let wanted = need.unmet().iter().map(wanted).collect();
            (wanting(&need), need.policies(), None, wanted)
        }
        Decision::Deny(denial) => ("deny", denial.policies, Some(denial.reason.name()), vec![]),
    };
    let policies: Vec<Value> = names
        .iter()
        .map(|name| {
            let about = policy.about(name);
            json!({
                "id": name,
                "file": about.map(|it| &it.file),
                "line": about.map(|it| it.line),
                "description": about.and_then(|it| it.description.as_ref()),
            })
        })
        .collect();
    let found = if answer == "deny" {
        changes(policy, question)
    } else {
        vec![]
    };
    let changes: Vec<Value> = found
        .iter()
        .map(|change| {
            let (what, to) = match change {
                Change::Reason => ("reason", None),
                Change::Delivery(delivery) => ("delivery", Some(delivery.name().to_owned())),
                Change::Chat(chat) => ("chat", Some(chat.name().to_owned())),
                Change::Cas(cas) => ("cas", Some(cas.to_string())),
                Change::Known(name, text) => (*name, Some(text.clone())),
                Change::At(at) => ("at", Some(at.unix_timestamp().to_string())),
                Change::Group(name) => ("group", Some(name.clone())),
            };
            json!({ "what": what, "to": to, "text": spoken(policy, change) })
        })
        .collect();
    json!({
        "answer": answer,
        "allowed": answer == "allow",
        "as": request.caller.to_string(),
        "person": policy.groups().person(&request.caller).name(),
        "action": request.action.name(),
        "path": request.target.path.to_string(),
        "delivery": request.action.delivery().map(Delivery::name),
        "at": question.at.unix_timestamp(),
        "denied_because": why,
        "policies": policies,
        "terms": terms,
        "changes": changes,
    })
}
