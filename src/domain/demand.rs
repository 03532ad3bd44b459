//! What a way in costs, or what lifts a `forbid`: `@approvals` and the annotations beside it; or a
//! reason, and nobody's agreement.

use std::time::Duration;

use cedar_policy::Effect;

use crate::domain::{SecretPath, span};

/// The most approvals that can be asked for.
const MAX_APPROVALS: u8 = 10;
/// The most groups that can be named.
const MAX_GROUPS: usize = 20;
/// The longest reason, in characters; so none longer can be asked for.
pub const MAX_REASON: usize = 500;
/// The longest that a grant holds, or a request waits.
const MAX_SPAN: Duration = Duration::from_hours(7 * 24);
/// The longest that broken glass stays so.
const MAX_GLASS: Duration = Duration::from_hours(24);
/// The shortest of all these.
const MIN_SPAN: Duration = Duration::from_mins(1);

/// How long a grant holds where nothing else is said.
pub(in crate::domain) const GRANT: Duration = Duration::from_hours(1);
/// How long a request waits where nothing else is said.
const WAITS: Duration = Duration::from_hours(24);

/// The annotations that only mean something beside `@approvals`; but for [`ALONE`].
pub(in crate::domain) const BESIDE: [&str; 9] = [
    "approvers",
    "separate",
    "security_review",
    "reason",
    "grant",
    "once",
    "waits",
    "step_up",
    "break_glass",
];

/// The annotations that mean something without `@approvals` too, where a reason is wanted.
const ALONE: [&str; 3] = ["reason", "grant", "once"];

/// Who must agree, and to how much.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Demand {
    /// `@approvals("2")`: so many people; nobody, where a reason is enough.
    pub approvals: u8,
    /// `@approvers("platform-leads, security")`: of these groups.
    pub approvers: Vec<String>,
    /// `@separate("true")`: each for another of these groups.
    pub separate: bool,
    /// `@security_review("security")`: and somebody else, of this group.
    pub review: Option<String>,
    /// `@reason("10")`: so many characters of justification.
    pub reason: usize,
    /// `@grant("30m")`: what is granted holds so long.
    pub grant: Duration,
    /// `@once("true")`: and for one use.
    pub once: bool,
    /// `@waits("24h")`: a request waits so long.
    pub waits: Duration,
    /// `@step_up("totp")`: votes carry a code, which Vault's TOTP engine at that mount checks.
    pub step_up: Option<String>,
    /// `@break_glass("15m")`: it may be taken at once, for so long, and is reviewed afterwards.
    pub break_glass: Option<Duration>,
}

impl Demand {
    /// A reason of so many characters, and nobody's agreement.
    pub(in crate::domain) fn of_reason(reason: usize) -> Self {
        Self {
            approvals: 0,
            approvers: vec![],
            separate: false,
            review: None,
            reason,
            grant: GRANT,
            once: false,
            waits: WAITS,
            step_up: None,
            break_glass: None,
        }
    }

    /// Whether a reason is enough.
    pub(in crate::domain) fn is_alone(&self) -> bool {
        self.approvals == 0
    }

    /// The groups whose members' votes mean something to it.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.approvers
            .iter()
            .chain(&self.review)
            .map(String::as_str)
    }

    /// By how much it demands: the least first.
    pub(in crate::domain) fn weight(&self) -> (usize, bool, usize) {
        let people = usize::from(self.approvals) + usize::from(self.review.is_some());
        (people, self.step_up.is_some(), self.reason)
    }
}

/// What is wrong, and with which annotation.
type Wrong = (&'static str, String);

/// The demand in a policy's annotations, if there is any.
pub(in crate::domain) fn of(policy: &cedar_policy::Policy) -> Result<Option<Demand>, Wrong> {
    let text = |name: &'static str| policy.annotation(name);
    let Some(approvals) = text("approvals") else {
        return alone(policy);
    };
    if policy.effect() == Effect::Forbid && text("break_glass").is_some() {
        let problem = "what a forbid closes opens with its approvals only; @break_glass belongs to \
                       a permit";
        return Err(("break_glass", problem.to_owned()));
    }
    let approvals = number(approvals, 1, MAX_APPROVALS.into())
        .and_then(|count| u8::try_from(count).ok())
        .ok_or_else(|| wrong("approvals", &format!("a number from 1 to {MAX_APPROVALS}")))?;
    let approvers = groups(text("approvers").unwrap_or_default())?;
    let separate = flag("separate", text("separate"))?;
    if separate && approvers.len() < approvals.into() {
        let problem = format!(
            "@separate wants each of {approvals} approvals from another group; name at least \
             {approvals} in @approvers"
        );
        return Err(("separate", problem));
    }
    let review = text("security_review").map(str::trim);
    if review.is_some_and(|name| name.is_empty() || name.contains(',')) {
        return Err(wrong("security_review", "the name of one group"));
    }
    let reason = characters(text("reason"))?;
    let step_up = text("step_up");
    if step_up.is_some_and(|mount| SecretPath::new(mount, "x").is_err()) {
        return Err(wrong(
            "step_up",
            "where Vault's TOTP engine is mounted, like \"totp\"",
        ));
    }
    let waits = text("waits").map(|text| time("waits", text, MAX_SPAN));
    let glass = text("break_glass").map(|text| time("break_glass", text, MAX_GLASS));
    Ok(Some(Demand {
        approvals,
        approvers,
        separate,
        review: review.map(str::to_owned),
        reason,
        grant: holds(text("grant"))?,
        once: flag("once", text("once"))?,
        waits: waits.transpose()?.unwrap_or(WAITS),
        step_up: step_up.map(str::to_owned),
        break_glass: glass.transpose()?,
    }))
}

/// The demand of a policy without `@approvals`: a reason, or nothing.
fn alone(policy: &cedar_policy::Policy) -> Result<Option<Demand>, Wrong> {
    let text = |name: &'static str| policy.annotation(name);
    let reason = text("reason");
    let mut beside = BESIDE.iter().filter(|name| text(name).is_some());
    if let Some(name) = beside.find(|name| reason.is_none() || !ALONE.contains(*name)) {
        let or = if ALONE.contains(name) {
            " or @reason"
        } else {
            ""
        };
        let problem =
            format!("@{name} says how something is approved; it needs @approvals{or} beside it");
        return Err((*name, problem));
    }
    if reason.is_none() {
        return Ok(None);
    }
    if policy.effect() == Effect::Forbid {
        let problem = "a reason alone lifts no forbid; name who must agree (@approvals), or let \
                       those pass who give one: unless { context has reason && … }";
        return Err(("reason", problem.to_owned()));
    }
    Ok(Some(Demand {
        grant: holds(text("grant"))?,
        once: flag("once", text("once"))?,
        ..Demand::of_reason(characters(reason)?)
    }))
}

fn characters(text: Option<&str>) -> Result<usize, Wrong> {
    let reason = text.map_or(Some(0), |text| number(text, 1, MAX_REASON));
    reason.ok_or_else(|| {
        let what = format!("a number of characters from 1 to {MAX_REASON}");
        wrong("reason", &what)
    })
}

fn holds(text: Option<&str>) -> Result<Duration, Wrong> {
    text.map_or(Ok(GRANT), |text| time("grant", text, MAX_SPAN))
}

fn wrong(name: &'static str, what: &str) -> Wrong {
    (name, format!("@{name} is {what}"))
}

fn number(text: &str, least: usize, most: usize) -> Option<usize> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits)?;
    (least..=most).contains(&number).then_some(number)
}

fn flag(name: &'static str, text: Option<&str>) -> Result<bool, Wrong> {
    match text {
        None => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(wrong(name, "\"true\", or is left out")),
    }
}

fn time(name: &'static str, text: &str, most: Duration) -> Result<Duration, Wrong> {
    let time = span::read(text).filter(|time| (MIN_SPAN..=most).contains(time));
    time.ok_or_else(|| {
        let most = span::spoken(most);
        wrong(
            name,
            &format!("a time from 1m to {most}, like \"30m\" or \"8h\""),
        )
    })
}

/// The names in `@approvers`, each once.
fn groups(text: &str) -> Result<Vec<String>, Wrong> {
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    let mut once = names.clone();
    once.sort();
    once.dedup();
    if names.len() > MAX_GROUPS || once.len() < names.len() || names.iter().any(String::is_empty) {
        let problem = format!(
            "@approvals needs @approvers beside it: the groups that may approve, like \
             @approvers(\"leads, security\"); 1 to {MAX_GROUPS}, each once"
        );
        let place = if text.is_empty() {
            "approvals"
        } else {
            "approvers"
        };
        return Err((place, problem));
    }
    Ok(names)
}

#[cfg(test)]
mod tests;
