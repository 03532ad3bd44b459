//! Reading policies: parse, check against the schema, and say where what is wrong.

use std::fmt;
use std::str::FromStr;

use cedar_policy::{
    EntityTypeName, EntityUid, PolicyId, PolicySet, Schema, ValidationMode, Validator,
};
use miette::Diagnostic;

use crate::domain::group::Groups;
use crate::domain::policy::{EntityTypes, Policy};

/// The schema policies are checked against, in Cedar's own notation.
pub const SCHEMA: &str = include_str!("vaultgram.cedarschema");

/// Annotations that mean something. Others are refused: a misspelt one must not be ignored.
const ANNOTATIONS: [&str; 2] = ["id", "description"];

/// One policy file.
pub struct PolicySource {
    /// Its name, for messages.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl Policy {
    /// Parses and validates `sources`.
    ///
    /// # Errors
    /// Lists every mistake with its file, line and column.
    pub fn load(sources: &[PolicySource], groups: Groups) -> Result<Self, PolicyError> {
        let (schema, types) = schema().map_err(|problem| PolicyError(vec![problem]))?;
        let validator = Validator::new(schema.clone());
        let mut policies = PolicySet::new();
        let mut problems = vec![];
        for source in sources {
            match parse(source, &validator) {
                Ok(parsed) => {
                    for policy in parsed {
                        if let Err(error) = policies.add(policy) {
                            problems.push(format!("{}: {error}", source.name));
                        }
                    }
                }
                Err(found) => problems.extend(found),
            }
        }
        if problems.is_empty() {
            Ok(Self {
                policies,
                schema,
                groups,
                types,
            })
        } else {
            Err(PolicyError(problems))
        }
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
        telegram_user: kind("TelegramUser")?,
        unix_peer: kind("UnixPeer")?,
        path: kind("Path")?,
        read: EntityUid::from_str("Action::\"read\"").map_err(|error| error.to_string())?,
    };
    Ok((schema, types))
}

/// Parses one file; its policies are named `file:line` where they have no `@id`.
fn parse(
    source: &PolicySource,
    validator: &Validator,
) -> Result<Vec<cedar_policy::Policy>, Vec<String>> {
    let parsed = PolicySet::from_str(&source.text).map_err(|errors| {
        errors
            .iter()
            .map(|error| at(source, error, &error.to_string()))
            .collect::<Vec<_>>()
    })?;
    let result = validator.validate(&parsed, ValidationMode::Strict);
    let mut problems: Vec<String> = result
        .validation_errors()
        .map(|error| at(source, error, &error.to_string()))
        .chain(
            result
                .validation_warnings()
                .map(|warning| at(source, warning, &warning.to_string())),
        )
        .collect();
    if parsed.templates().next().is_some() {
        problems.push(format!(
            "{}: templates (?principal, ?resource) are not supported; name the entity",
            source.name
        ));
    }
    let mut policies = vec![];
    for policy in parsed.policies() {
        for (name, _) in policy.annotations() {
            if !ANNOTATIONS.contains(&name) {
                problems.push(format!(
                    "{}: unknown annotation @{name}; known: @{}",
                    source.name,
                    ANNOTATIONS.join(", @")
                ));
            }
        }
        let id = PolicyId::new(format!("{}:{}", source.name, policy.id()));
        policies.push(policy.new_id(id));
    }
    if problems.is_empty() {
        Ok(policies)
    } else {
        Err(problems)
    }
}

/// `file:line:column: message (help)`.
fn at(source: &PolicySource, error: &dyn Diagnostic, message: &str) -> String {
    let offset = error
        .labels()
        .and_then(|mut labels| labels.next())
        .map(|label| label.offset());
    let place = offset
        .and_then(|offset| source.text.get(..offset))
        .map(|before| {
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            format!(":{line}:{column}")
        });
    let help = error
        .help()
        .map(|help| format!(" ({help})"))
        .unwrap_or_default();
    format!(
        "{}{}: {message}{help}",
        source.name,
        place.unwrap_or_default()
    )
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
