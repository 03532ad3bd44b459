//! What is done with pipelines, with what exactly one is started, and what a run is of.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// Longest [`Dispatch`] as text, in bytes: it is asked about in one message, and kept in records.
pub const MAX_DISPATCH: usize = 3000;
/// What means something in a dispatch, or in a target around it, or cannot be seen.
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'+')
    .add(b':')
    .add(b'=')
    .add(b'?')
    .add(b'@');

/// What a [`RunOf`] names.
const EVENT: &str = "event";
const ENVIRONMENT: &str = "environment";

/// What is done with a pipeline; each is an action of its own in the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PipelineAction {
    /// Start it, at a ref and with inputs: the target's field is a [`Dispatch`].
    Run,
    /// Tell its runs.
    Runs,
    /// Run again what the target's version names; here and below, the field is a [`RunOf`].
    Rerun,
    /// Stop it.
    Cancel,
    /// Let go on what waits for an environment.
    Approve,
    /// End it.
    Deny,
    /// Have its runs told in a chat as they go on, those of the branch that the target's field names.
    Watch,
    /// Have that end.
    Unwatch,
}

impl PipelineAction {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Run,
        Self::Runs,
        Self::Rerun,
        Self::Cancel,
        Self::Approve,
        Self::Deny,
        Self::Watch,
        Self::Unwatch,
    ];

    /// The name policies and the audit use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Runs => "runs",
            Self::Rerun => "rerun",
            Self::Cancel => "cancel_run",
            Self::Approve => "approve_deployment",
            Self::Deny => "deny_deployment",
            Self::Watch => "watch",
            Self::Unwatch => "unwatch",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }

    /// Whether it does more than look.
    #[must_use]
    pub fn changes(self) -> bool {
        self != Self::Runs
    }

    /// Whether it is done with one run.
    #[must_use]
    pub fn is_of_run(self) -> bool {
        match self {
            Self::Rerun | Self::Cancel | Self::Approve | Self::Deny => true,
            Self::Run | Self::Runs | Self::Watch | Self::Unwatch => false,
        }
    }

    /// Whether a target with or without a `field` and a `version` says what exactly is meant. One that
    /// says less means the most, which nobody can agree to.
    #[must_use]
    pub fn fits(self, field: bool, version: bool) -> bool {
        match self {
            Self::Run => field && !version,
            Self::Runs => !field && !version,
            Self::Rerun | Self::Cancel => version,
            Self::Approve | Self::Deny => field && version,
            Self::Watch | Self::Unwatch => !version,
        }
    }
}

/// With what a pipeline is started. Its text, `main:COMMIT?name=value&…`, is the field of the target, so that
/// policies, votes, grants and records are about this and nothing else: equal ones have one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispatch {
    at: String,
    commit: Option<String>,
    inputs: Vec<(String, String)>,
}

impl Dispatch {
    /// Of the branch or tag `at`, which is `commit` now, with `inputs`. `None` where that is none, or too long.
    #[must_use]
    pub fn new(at: &str, commit: Option<&str>, mut inputs: Vec<(String, String)>) -> Option<Self> {
        inputs.sort();
        let twice = inputs.windows(2).any(|pair| match pair {
            [(one, _), (other, _)] => one == other,
            _ => false,
        });
        let named = inputs.iter().all(|(name, _)| !name.is_empty());
        // One branch must not have two names, of which policies know one.
        let short = !at.is_empty() && !at.starts_with("refs/");
        let is_hash = |text: &str| {
            let digit = |it: u8| it.is_ascii_digit() || (b'a'..=b'f').contains(&it);
            matches!(text.len(), 40 | 64) && text.bytes().all(digit)
        };
        let dispatch = Self {
            at: at.to_owned(),
            commit: commit.map(str::to_owned),
            inputs,
        };
        let fits = dispatch.to_string().len() <= MAX_DISPATCH;
        (short && named && !twice && fits && commit.is_none_or(is_hash)).then_some(dispatch)
    }

    /// What somebody types, in whatever order.
    ///
    /// # Errors
    /// When it is none.
    pub fn typed(text: &str) -> Result<Self, NoDispatch> {
        if text.len() > MAX_DISPATCH {
            return Err(NoDispatch);
        }
        let decoded = |text: &str| {
            let text = percent_decode_str(text).decode_utf8();
            text.map(std::borrow::Cow::into_owned)
                .map_err(|_| NoDispatch)
        };
        let (place, inputs) = match text.split_once('?') {
            Some((place, inputs)) => (place, inputs.split('&').collect()),
            None => (text, vec![]),
        };
        let (at, commit) = match place.split_once(':') {
            Some((at, commit)) => (at, Some(commit)),
            None => (place, None),
        };
        let inputs = inputs.into_iter().map(|input| {
            let (name, value) = input.split_once('=').ok_or(NoDispatch)?;
            Ok((decoded(name)?, decoded(value)?))
        });
        let inputs = inputs.collect::<Result<_, _>>()?;
        Self::new(&decoded(at)?, commit, inputs).ok_or(NoDispatch)
    }

    /// The branch or tag.
    #[must_use]
    pub fn at(&self) -> &str {
        &self.at
    }

    /// The commit that it was when this was asked for; nothing runs without one.
    #[must_use]
    pub fn commit(&self) -> Option<&str> {
        self.commit.as_deref()
    }

    /// All inputs, those included that nobody gave, by name.
    #[must_use]
    pub fn inputs(&self) -> &[(String, String)] {
        &self.inputs
    }
}

impl fmt::Display for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", encoded(&self.at))?;
        if let Some(commit) = &self.commit {
            write!(f, ":{commit}")?;
        }
        for (position, (name, value)) in self.inputs.iter().enumerate() {
            let separator = if position == 0 { '?' } else { '&' };
            write!(f, "{separator}{}={}", encoded(name), encoded(value))?;
        }
        Ok(())
    }
}

fn encoded(text: &str) -> impl fmt::Display {
    utf8_percent_encode(text, ENCODED)
}

/// Not a [`Dispatch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoDispatch;

impl FromStr for Dispatch {
    type Err = NoDispatch;

    fn from_str(text: &str) -> Result<Self, NoDispatch> {
        let dispatch = Self::typed(text)?;
        // Nothing has two texts.
        (dispatch.to_string() == text)
            .then_some(dispatch)
            .ok_or(NoDispatch)
    }
}

/// What a run is of, which never changes, and the environment that is meant. Its text is a [`Dispatch`]'s:
/// `main:COMMIT?environment=production&event=push`. So policies know what they decide about, and whoever
/// agrees does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOf(Dispatch);

impl RunOf {
    /// Of the branch or tag `at`, begun by `event`. `None` where that is none, or too long.
    #[must_use]
    pub fn new(
        at: &str,
        commit: Option<&str>,
        event: &str,
        environment: Option<&str>,
    ) -> Option<Self> {
        let environment = environment.map(|it| (ENVIRONMENT.to_owned(), it.to_owned()));
        let event = (EVENT.to_owned(), event.to_owned());
        let inputs = environment.into_iter().chain([event]);
        Dispatch::new(at, commit, inputs.collect()).map(Self)
    }

    /// The same, for `environment`.
    #[must_use]
    pub fn waiting_for(&self, environment: &str) -> Option<Self> {
        Self::new(self.at(), self.commit(), self.event(), Some(environment))
    }

    /// The branch or tag; of a run that has none, the commit.
    #[must_use]
    pub fn at(&self) -> &str {
        self.0.at()
    }

    /// The commit. Nothing is done with a run without one.
    #[must_use]
    pub fn commit(&self) -> Option<&str> {
        self.0.commit()
    }

    /// What began it, as GitHub calls it: `push`.
    #[must_use]
    pub fn event(&self) -> &str {
        self.named(EVENT).unwrap_or_default()
    }

    /// The environment that is meant.
    #[must_use]
    pub fn environment(&self) -> Option<&str> {
        self.named(ENVIRONMENT)
    }

    fn named(&self, name: &str) -> Option<&str> {
        let mut inputs = self.0.inputs().iter();
        inputs.find_map(|(it, value)| (it == name).then_some(value.as_str()))
    }
}

impl fmt::Display for RunOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RunOf {
    type Err = NoDispatch;

    fn from_str(text: &str) -> Result<Self, NoDispatch> {
        let of = Self(text.parse()?);
        let same = Self::new(of.at(), of.commit(), of.event(), of.environment());
        // What says more, or does not say the event, is something else.
        same.filter(|it| *it == of).ok_or(NoDispatch)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COMMIT: &str = "9b1c3a59b1c3a59b1c3a59b1c3a59b1c3a59b1c3";

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn it_is_one_text_whatever_the_order() {
        let given = vec![pair("version", "v1 & 2"), pair("colour", "a=b?#@%")];
        let dispatch = Dispatch::new("feature/x", Some(COMMIT), given.clone()).unwrap();
        assert_eq!(
            dispatch.to_string(),
            format!("feature/x:{COMMIT}?colour=a%3Db%3F%23%40%25&version=v1%20%26%202")
        );
        let turned = given.into_iter().rev().collect();
        assert_eq!(
            Dispatch::new("feature/x", Some(COMMIT), turned),
            Some(dispatch)
        );
        let bare: Dispatch = "main".parse().unwrap();
        assert_eq!(
            (bare.at(), bare.commit(), bare.inputs()),
            ("main", None, &[][..])
        );
    }

    #[test]
    fn what_has_another_text_or_none_is_refused() {
        let long = format!("main?a={}", "x".repeat(MAX_DISPATCH));
        for text in [
            "",
            "?a=b",
            "refs/heads/main",
            "main:",
            "main:9b1c3a5",
            "main:9B1C3A59B1C3A59B1C3A59B1C3A59B1C3A59B1C3",
            "main?",
            "main?a",
            "main?=b",
            "main?b=1&a=2",
            "main?a=1&a=2",
            "main?a=1&a=1",
            "%6dain",
            "main?a=%3d",
            "main?a=%ff",
            "main?a=b=c",
            &long,
        ] {
            assert_eq!(text.parse::<Dispatch>(), Err(NoDispatch), "{text}");
        }
        let typed = Dispatch::typed("%6dain?b=1&a=2").unwrap();
        assert_eq!(typed.to_string(), "main?a=2&b=1");
        assert_eq!(Dispatch::typed("main?a=1&a=2"), Err(NoDispatch));
    }

    #[test]
    fn a_run_is_of_one_text_and_of_nothing_else() {
        let of = RunOf::new("main", Some(COMMIT), "push", None).unwrap();
        let waits = of.waiting_for("pro duction").unwrap();
        assert_eq!(
            waits.to_string(),
            format!("main:{COMMIT}?environment=pro%20duction&event=push")
        );
        assert_eq!(
            (waits.at(), waits.event(), waits.environment()),
            ("main", "push", Some("pro duction"))
        );
        for of in [of, waits] {
            assert_eq!(of.to_string().parse(), Ok(of));
        }
        for text in [
            "production",
            "main?environment=a",
            "main?event=push&other=a",
            "main?Event=push",
        ] {
            assert_eq!(text.parse::<RunOf>(), Err(NoDispatch), "{text}");
        }
    }

    proptest! {
        #[test]
        fn its_text_says_all_of_it(at in "[!-~]{1,20}", inputs in prop::collection::btree_map("\\PC{1,9}", "(?s).{0,20}", 0..5)) {
            if let Some(dispatch) = Dispatch::new(&at, Some(COMMIT), inputs.into_iter().collect()) {
                prop_assert_eq!(dispatch.to_string().parse(), Ok(dispatch));
            }
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for action in PipelineAction::ALL {
            assert_eq!(PipelineAction::named(action.name()), Some(action));
        }
    }
}
