//! Reading policies: parse, check against the schema, and say where what is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use cedar_policy::{
    Effect, EntityTypeName, PolicyId, PolicySet, Schema, ValidationMode, Validator,
};
use miette::Diagnostic;

use crate::domain::demand::{self, Demand};
use crate::domain::group::Groups;
use crate::domain::memo::{Memo, Spoken};
use crate::domain::policy::{EntityTypes, Policy};
use crate::domain::policy_explain::About;
use crate::domain::terms;
use crate::domain::{Mounts, Terms, Zone, policy_approvers, policy_lint, policy_names};

/// The schema policies are checked against, in Cedar's own notation.
pub const SCHEMA: &str = include_str!("vaultgram.cedarschema");

/// Annotations that mean something. Others are refused: a misspelt one must not be ignored.
const ANNOTATIONS: [&str; 6] = [
    "id",
    "description",
    "vault_role",
    "cache",
    "stale",
    "approvals",
];

/// One policy file.
pub struct PolicySource {
    /// Its name, for messages.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl Policy {
    /// Parses and validates `sources`, and checks that every name in them exists.
    ///
    /// # Errors
    /// Lists every mistake with its file, line and column.
    pub fn load(
        sources: &[PolicySource],
        groups: Groups,
        mounts: &Mounts,
    ) -> Result<Self, PolicyError> {
        let parsed = parse(sources)?;
        let problems: Vec<String> = parsed
            .policies
            .iter()
            .flat_map(|found| {
                let literals: BTreeSet<_> = found.policy.entity_literals().into_iter().collect();
                let names = literals.into_iter().filter_map(|literal| {
                    let problem = policy_names::wrong(&literal, &parsed.types, &groups, mounts)?;
                    Some(found.at(&literal.to_string(), &problem))
                });
                let open = policy_lint::open_to_unknown(&found.policy, &groups);
                let open = open.map(|(part, problem)| found.at(&part, &problem));
                let demand = found.demand.as_ref();
                let nobody = demand.and_then(|demand| policy_approvers::wrong(demand, &groups));
                let nobody = nobody.map(|(name, problem)| found.at(&format!("@{name}"), &problem));
                names.chain(open).chain(nobody).collect::<Vec<_>>()
            })
            .collect();
        if !problems.is_empty() {
            return Err(PolicyError(problems));
        }
        let (mut policies, mut lifted) = (PolicySet::new(), PolicySet::new());
        let (mut terms, mut demands) = (BTreeMap::new(), BTreeMap::new());
        let mut about = BTreeMap::new();
        let refused = |error: cedar_policy::PolicySetError| PolicyError(vec![error.to_string()]);
        for found in parsed.policies {
            about.insert(found.name(), found.about());
            let id = found.policy.id().clone();
            if found.policy.effect() == Effect::Permit || found.demand.is_none() {
                lifted.add(found.policy.clone()).map_err(refused)?;
            }
            if found.terms != Terms::default() {
                terms.insert(id.clone(), found.terms);
            }
            demands.extend(found.demand.map(|demand| (id, demand)));
            policies.add(found.policy).map_err(refused)?;
        }
        let spoken = Spoken {
            time: policies
                .policies()
                .any(|it| policy_lint::speaks_of(it, "time")),
            reason: policies
                .policies()
                .any(|it| policy_lint::speaks_of(it, "reason")),
        };
        Ok(Self {
            policies,
            schema: parsed.schema,
            groups,
            types: parsed.types,
            lifted,
            terms,
            demands,
            about,
            zone: Zone::default(),
            spoken,
            memo: Memo::default(),
        })
    }

    /// Whether any policy looks at the reason given for a request.
    #[must_use]
    pub fn speaks_of_reasons(&self) -> bool {
        self.spoken.reason
    }

    /// Whether any policy looks at the SHA-256 of executables.
    #[must_use]
    pub fn speaks_of_hashes(&self) -> bool {
        self.policies.policies().any(policy_lint::speaks_of_hashes)
    }

    /// Checks that the sockets policies speak of are among `known`.
    ///
    /// # Errors
    /// Names the policies that speak of others.
    pub fn check_sockets(&self, known: &[String]) -> Result<(), PolicyError> {
        let mut problems = vec![];
        for policy in self.policies.policies() {
            let named = policy_lint::compared(policy, "socket").into_iter();
            for name in named.filter(|name| !known.contains(name)) {
                let (id, known) = (self.display_id(policy.id()), known.join("\", \""));
                problems.push(format!(
                    "{id}: no socket is called {name:?}; there is \"{known}\""
                ));
            }
        }
        if problems.is_empty() {
            return Ok(());
        }
        problems.sort();
        Err(PolicyError(problems))
    }

    /// How many policies there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.policies.num_of_policies()
    }

    /// Whether there are none, so that everything is refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn schema() -> Result<(Schema, EntityTypes), String> {
    let (schema, _warnings) =
        Schema::from_cedarschema_str(SCHEMA).map_err(|error| error.to_string())?;
    let kind = |name| EntityTypeName::from_str(name).map_err(|error| error.to_string());
    let types = EntityTypes {
        group: kind("Group")?,
        person: kind("Person")?,
        telegram_user: kind("TelegramUser")?,
        unix_peer: kind("UnixPeer")?,
        job: kind("Job")?,
        path: kind("Path")?,
        action: kind("Action")?,
        weekday: kind("Weekday")?,
    };
    Ok((schema, types))
}

/// What parsed, before its names are known.
pub struct Parsed<'s> {
    policies: Vec<Found<'s>>,
    schema: Schema,
    types: EntityTypes,
}

/// One policy and where it stands.
struct Found<'s> {
    source: &'s PolicySource,
    place: Range<usize>,
    policy: cedar_policy::Policy,
    terms: Terms,
    demand: Option<Demand>,
}

impl Found<'_> {
    /// The name people gave it with `@id("…")`, else its file and number.
    fn name(&self) -> String {
        let id = self.policy.annotation("id");
        id.map_or_else(|| self.policy.id().to_string(), str::to_owned)
    }

    fn about(&self) -> About {
        let before = self.source.text.get(..self.place.start);
        About {
            file: self.source.name.clone(),
            line: before.unwrap_or_default().matches('\n').count() + 1,
            description: self.policy.annotation("description").map(str::to_owned),
        }
    }

    /// `file:line:column: problem`, where `part` stands in this policy, else where it begins.
    fn at(&self, part: &str, problem: &str) -> String {
        let text = self.source.text.get(self.place.clone());
        let part = text.and_then(|text| text.find(part)).unwrap_or_default();
        place(self.source, Some(self.place.start + part), problem)
    }
}

/// Parses `sources` and checks them against the schema.
///
/// # Errors
/// Lists every mistake with its file, line and column.
pub fn parse(sources: &[PolicySource]) -> Result<Parsed<'_>, PolicyError> {
    let (schema, types) = schema().map_err(|problem| PolicyError(vec![problem]))?;
    let validator = Validator::new(schema.clone());
    let mut policies = vec![];
    let mut problems = vec![];
    for source in sources {
        match parse_file(source, &validator) {
            Ok(found) => policies.extend(found),
            Err(found) => problems.extend(found),
        }
    }
    problems.extend(repeated(&policies));
    if problems.is_empty() {
        Ok(Parsed {
            policies,
            schema,
            types,
        })
    } else {
        Err(PolicyError(problems))
    }
}

/// Policies that the audit could not tell apart.
fn repeated(policies: &[Found<'_>]) -> Vec<String> {
    let mut seen: BTreeMap<String, &Found<'_>> = BTreeMap::new();
    let mut problems = vec![];
    for found in policies {
        let name = found.name();
        if let Some(first) = seen.get(&name) {
            let first = first.at("@id", "has it too");
            problems.push(found.at(
                "@id",
                &format!("the id {name:?} is taken: {first}; each policy needs its own"),
            ));
        } else {
            seen.insert(name, found);
        }
    }
    problems
}

/// Parses one file; its policies are named `file:policyN` where they have no `@id`.
fn parse_file<'s>(
    source: &'s PolicySource,
    validator: &Validator,
) -> Result<Vec<Found<'s>>, Vec<String>> {
    let parsed = PolicySet::from_str(&source.text).map_err(|errors| {
        errors
            .iter()
            .map(|error| at(source, error, &error.to_string()))
            .collect::<Vec<_>>()
    })?;
    let result = validator.validate(&parsed, ValidationMode::Strict);
    let errors = result
        .validation_errors()
        .map(|found| found as &dyn Diagnostic);
    let warnings = result
        .validation_warnings()
        .map(|found| found as &dyn Diagnostic);
    // A policy for several actions is checked for each, in no certain order: one of what is wrong
    // at one place is enough.
    let placed = errors.chain(warnings).map(|found| {
        let text = at(source, found, &found.to_string());
        (offset(found), text)
    });
    let mut placed: Vec<_> = placed.collect();
    placed.sort();
    placed.dedup_by(|one, other| one.0.is_some() && one.0 == other.0);
    let mut problems: Vec<String> = placed.into_iter().map(|(_, text)| text).collect();
    for template in parsed.templates() {
        problems.push(place(
            source,
            find(source, &template.to_cedar(), 0),
            "templates (?principal, ?resource) are not supported; name the entity",
        ));
    }
    let mut policies = vec![];
    let mut end = 0;
    for policy in in_order(&parsed) {
        // Cedar keeps the text but not its place, so it is looked for after the one before it.
        let text = policy.to_cedar().unwrap_or_default();
        let start = find(source, &text, end).unwrap_or(end);
        end = start + text.len();
        let id = PolicyId::new(format!("{}:{}", source.name, policy.id()));
        let mut found = Found {
            source,
            place: start..end,
            policy: policy.new_id(id),
            terms: Terms::default(),
            demand: None,
        };
        match terms::of(policy) {
            Ok(terms) => found.terms = terms,
            Err((name, problem)) => problems.push(found.at(&format!("@{name}"), &problem)),
        }
        match demand::of(policy) {
            Ok(demand) => found.demand = demand,
            Err((name, problem)) => problems.push(found.at(&format!("@{name}"), &problem)),
        }
        for (name, _) in policy.annotations() {
            if !ANNOTATIONS.contains(&name) && !demand::BESIDE.contains(&name) {
                problems.push(found.at(
                    &format!("@{name}"),
                    &format!(
                        "unknown annotation @{name}; known: @{}, @{}",
                        ANNOTATIONS.join(", @"),
                        demand::BESIDE.join(", @")
                    ),
                ));
            }
        }
        policies.push(found);
    }
    if problems.is_empty() {
        Ok(policies)
    } else {
        Err(problems)
    }
}

/// The policies as they stand in the file: Cedar names them policy0, policy1, …
fn in_order(parsed: &PolicySet) -> Vec<&cedar_policy::Policy> {
    let mut policies: Vec<_> = parsed.policies().collect();
    policies.sort_by_key(|policy| {
        let id = policy.id().to_string();
        (id.len(), id)
    });
    policies
}

/// Where `text` stands in `source` from `start` on, not counting what a comment quotes.
fn find(source: &PolicySource, text: &str, start: usize) -> Option<usize> {
    let rest = source.text.get(start..)?;
    let mut places = rest.match_indices(text).map(|(offset, _)| start + offset);
    places.find(|offset| {
        let before = source.text.get(..*offset).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        !line.trim_start().starts_with("//")
    })
}

/// What Cedar says, as `file:line:column: message (help)`.
fn at(source: &PolicySource, error: &dyn Diagnostic, message: &str) -> String {
    let help = error
        .help()
        .map(|help| format!(" ({help})"))
        .unwrap_or_default();
    place(source, offset(error), &format!("{message}{help}"))
}

/// Where Cedar found it.
fn offset(error: &dyn Diagnostic) -> Option<usize> {
    let label = error.labels().and_then(|mut labels| labels.next());
    label.map(|label| label.offset())
}

/// `file:line:column: message`.
fn place(source: &PolicySource, offset: Option<usize>, message: &str) -> String {
    let place = offset
        .and_then(|offset| source.text.get(..offset))
        .map(|before| {
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            format!(":{line}:{column}")
        })
        .unwrap_or_default();
    format!("{}{place}: {message}", source.name)
}

/// Everything that is wrong with the policies, a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError(pub Vec<String>);

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for PolicyError {}
