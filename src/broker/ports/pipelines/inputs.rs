//! The inputs that a workflow declares, and whether given ones are such.

use thiserror::Error;

/// GitHub takes no more.
pub const MAX_INPUTS: usize = 25;
/// GitHub takes no longer inputs, all together, in characters.
const MAX_TOTAL: usize = 65_535;

/// What a workflow declares that it can be started with, in its order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Declared {
    /// The inputs.
    pub inputs: Vec<Input>,
}

/// One input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// What it says of itself.
    pub description: Option<String>,
    /// What it can be.
    pub kind: InputKind,
    /// Whether it must be given, unless it has a default.
    pub required: bool,
    /// What it is where it is not given.
    pub default: Option<String>,
}

/// What an input can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputKind {
    /// Any text.
    Text,
    /// `true` or `false`.
    Boolean,
    /// A number.
    Number,
    /// One of these.
    Choice(Vec<String>),
    /// The name of an environment of the repository; GitHub knows which there are.
    Environment,
}

impl InputKind {
    /// As a workflow writes it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Boolean => "boolean",
            Self::Number => "number",
            Self::Choice(_) => "choice",
            Self::Environment => "environment",
        }
    }
}

/// Inputs that a workflow takes, with its defaults: only [`check`] makes them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inputs(Vec<(String, String)>);

impl Inputs {
    /// Names and values, in the order in which they are declared.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// What is wrong with given inputs, and what is allowed. Names only what the workflow declares,
/// and the name that was given.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InputError {
    /// No such input.
    #[error("the workflow has no input {name}; {}", listed(.declared))]
    Unknown {
        /// As given.
        name: String,
        /// The inputs there are.
        declared: Vec<String>,
    },
    /// Given more than once.
    #[error("the input {0} is given twice; give it once")]
    Twice(String),
    /// Not given, and it has no default.
    #[error("the input {name} is missing; give {name}={}", .kind.example())]
    Missing {
        /// Which.
        name: String,
        /// What it can be.
        kind: InputKind,
    },
    /// Something else than it can be.
    #[error("the input {name} must be {}", .kind.allowed())]
    Kind {
        /// Which.
        name: String,
        /// What it can be.
        kind: InputKind,
    },
    /// More than GitHub takes.
    #[error("these are {0} inputs; GitHub takes at most 25")]
    TooMany(usize),
    /// Longer than GitHub takes.
    #[error("the inputs are too long; GitHub takes 65535 characters of names and values together")]
    TooLong,
}

fn listed(declared: &[String]) -> String {
    if declared.is_empty() {
        return "it takes none".to_owned();
    }
    format!("it has {}", declared.join(", "))
}

impl InputKind {
    fn example(&self) -> String {
        match self {
            Self::Text => "TEXT".to_owned(),
            Self::Boolean => "true or false".to_owned(),
            Self::Number => "NUMBER".to_owned(),
            Self::Choice(options) => options.join(" or "),
            Self::Environment => "ENVIRONMENT".to_owned(),
        }
    }

    fn allowed(&self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Boolean => "true or false".to_owned(),
            Self::Number => "a number, like 3 or 0.5".to_owned(),
            Self::Choice(options) if options.is_empty() => {
                "one of the workflow's options, and it has none".to_owned()
            }
            Self::Choice(options) => format!("one of: {}", options.join(", ")),
            Self::Environment => "the name of an environment of the repository".to_owned(),
        }
    }

    fn takes(&self, value: &str) -> bool {
        match self {
            Self::Text => true,
            Self::Boolean => matches!(value, "true" | "false"),
            Self::Number => is_number(value),
            Self::Choice(options) => options.iter().any(|option| option == value),
            Self::Environment => !value.trim().is_empty() && value.len() <= 255,
        }
    }
}

/// As JSON has them, without what no input needs (`1e999`).
fn is_number(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let all = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    value.len() <= 40 && all(whole) && all(part)
}

/// Whether `given` are inputs that `declared` takes; with the defaults of those not given.
///
/// # Errors
/// When they are not: what is wrong, and what is allowed.
pub fn check(declared: &Declared, given: &[(String, String)]) -> Result<Inputs, InputError> {
    if given.len() > MAX_INPUTS {
        return Err(InputError::TooMany(given.len()));
    }
    for (position, (name, _)) in given.iter().enumerate() {
        if !declared.inputs.iter().any(|input| input.name == *name) {
            let names = declared.inputs.iter().map(|input| input.name.clone());
            return Err(InputError::Unknown {
                name: name.chars().take(100).collect(),
                declared: names.collect(),
            });
        }
        if given
            .iter()
            .take(position)
            .any(|(earlier, _)| earlier == name)
        {
            return Err(InputError::Twice(name.clone()));
        }
    }
    let mut inputs = vec![];
    for input in &declared.inputs {
        let value = given.iter().find(|(name, _)| *name == input.name);
        let value = value.map(|(_, value)| value).or(input.default.as_ref());
        let name = input.name.clone();
        let kind = input.kind.clone();
        match value {
            Some(value) if input.required && value.is_empty() => {
                return Err(InputError::Missing { name, kind });
            }
            Some(value) if !input.kind.takes(value) => return Err(InputError::Kind { name, kind }),
            Some(value) => inputs.push((name, value.clone())),
            None if input.required => return Err(InputError::Missing { name, kind }),
            None => {}
        }
    }
    if inputs.len() > MAX_INPUTS {
        return Err(InputError::TooMany(inputs.len()));
    }
    let length = |(name, value): &(String, String)| name.chars().count() + value.chars().count();
    if inputs.iter().map(length).sum::<usize>() > MAX_TOTAL {
        return Err(InputError::TooLong);
    }
    Ok(Inputs(inputs))
}

#[cfg(test)]
#[path = "inputs_tests.rs"]
mod tests;
