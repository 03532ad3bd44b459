//! Templates: what one asks for, and what comes out. Talks to nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value,
    escape_formatter,
};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// How many steps a template may take: one that does not end is stopped.
const FUEL: u64 = 1_000_000;
/// The largest file a template may make, in bytes.
const LARGEST: usize = 8 << 20;
/// Deeper JSON is left as text.
const DEEPEST: usize = 64;

/// What a template got so far, by how it asked for it.
pub(super) type Known = BTreeMap<String, Value>;

/// Why a template is not done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It asks for this, in that line.
    Wants { address: String, line: usize },
    /// It is wrong. Says nothing of values.
    Wrong(String),
}

/// What the template made of what is known.
pub(super) fn render(
    name: &str,
    text: &str,
    known: &Arc<Known>,
) -> Result<Zeroizing<Vec<u8>>, Stop> {
    let wanted: Arc<Mutex<Option<String>>> = Arc::default();
    let (asked, known) = (Arc::clone(&wanted), Arc::clone(known));
    let secret = move |address: String| {
        known.get(&address).cloned().ok_or_else(|| {
            *asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
            Error::from(ErrorKind::UndefinedError)
        })
    };
    let mut made = Capped(Zeroizing::new(Vec::new()));
    let result = run(name, text, UndefinedBehavior::Strict, secret, &mut made);
    let wanted = wanted.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (result, wanted) {
        (Ok(()), _) => Ok(made.0),
        (Err(error), Some(address)) => Err(Stop::Wants {
            address,
            line: error.line().unwrap_or(0),
        }),
        (Err(error), None) => Err(Stop::Wrong(explain(name, &error))),
    }
}

/// What a template seems to ask for: with nothing known, it may take another way.
pub(super) fn hints(name: &str, text: &str) -> BTreeSet<String> {
    let seen: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let asked = Arc::clone(&seen);
    let secret = move |address: String| {
        asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(address);
        Ok(Value::UNDEFINED)
    };
    // It may well fail, without values.
    drop(run(
        name,
        text,
        UndefinedBehavior::Chainable,
        secret,
        io::sink(),
    ));
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.clone()
}

fn run(
    name: &str,
    text: &str,
    undefined: UndefinedBehavior,
    secret: impl Fn(String) -> Result<Value, Error> + Send + Sync + 'static,
    out: impl Write,
) -> Result<(), Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(undefined);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment.set_formatter(print);
    environment.set_syntax(
        SyntaxConfig::builder()
            .keep_trailing_newline(true)
            .build()?,
    );
    environment.add_function("secret", secret);
    let template = environment.template_from_named_str(name, text)?;
    template.render_captured_to((), out).map(drop)
}

/// Prints a value; what is neither text nor number as JSON has it, not as Python does.
fn print(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    if value.is_none() {
        out.write_str("null")?;
    } else if value.kind() == ValueKind::Bool {
        out.write_str(if value.is_true() { "true" } else { "false" })?;
    } else {
        escape_formatter(out, state, value)?;
    }
    Ok(())
}

/// What is wrong, and where. Of most mistakes only the kind: a detail may hold a value.
fn explain(name: &str, error: &Error) -> String {
    let harmless = [
        ErrorKind::SyntaxError,
        ErrorKind::UnknownFilter,
        ErrorKind::UnknownFunction,
        ErrorKind::UnknownTest,
    ];
    let told = if error.kind() == ErrorKind::WriteFailure {
        Some("it makes more than 8 MiB")
    } else {
        error.detail().filter(|_| harmless.contains(&error.kind()))
    };
    let place = error
        .line()
        .map(|line| format!(":{line}"))
        .unwrap_or_default();
    match told {
        Some(told) => format!("{name}{place}: {}: {told}", error.kind()),
        None => format!("{name}{place}: {}", error.kind()),
    }
}

/// A secret's value as templates see it: JSON taken apart, and numbers with all their digits.
pub(super) fn value(json: &RawValue) -> Value {
    nested(json, 0)
}

fn nested(json: &RawValue, depth: usize) -> Value {
    let text = json.get();
    if depth > DEEPEST {
        return Value::from(text);
    }
    if let Ok(string) = serde_json::from_str::<String>(text) {
        return Value::from(string);
    }
    if let Ok(object) = serde_json::from_str::<BTreeMap<String, &RawValue>>(text) {
        let fields = object
            .into_iter()
            .map(|(name, json)| (name, nested(json, depth + 1)));
        return Value::from(fields.collect::<BTreeMap<_, _>>());
    }
    if let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(text) {
        return list
            .into_iter()
            .map(|json| nested(json, depth + 1))
            .collect();
    }
    match text {
        "true" => Value::from(true),
        "false" => Value::from(false),
        "null" => Value::from(()),
        // Others lose digits, or are written in another way.
        _ => match text.parse::<i64>() {
            Ok(number) if number.to_string() == text => Value::from(number),
            Ok(_) | Err(_) => Value::from(text),
        },
    }
}

/// Takes no more than a file may hold.
struct Capped(Zeroizing<Vec<u8>>);

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > LARGEST - self.0.len() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(values: &[(&str, &str)]) -> Arc<Known> {
        let values = values.iter().map(|(address, json)| {
            let json: &RawValue = serde_json::from_str(json).unwrap();
            ((*address).to_owned(), value(json))
        });
        Arc::new(values.collect())
    }

    fn rendered(text: &str, values: &[(&str, &str)]) -> Result<String, Stop> {
        let made = render("t.j2", text, &known(values))?;
        Ok(String::from_utf8(made.to_vec()).unwrap())
    }

    #[test]
    fn values_come_out_as_they_are() {
        for (json, text) in [
            (r#""p<\"\\/ü😀&\u0000""#, "p<\"\\/ü😀&\0"),
            ("12345678901234567890.50", "12345678901234567890.50"),
            ("5432", "5432"),
            ("-0", "-0"),
            ("1e3", "1e3"),
            ("true", "true"),
            ("null", "null"),
        ] {
            let made = rendered("{{ secret('a#x') }}\n", &[("a#x", json)]);
            assert_eq!(made.unwrap(), format!("{text}\n"), "{json}");
        }
        let all = [("a", r#"{"n":{"list":["x",7]},"user":"ann"}"#)];
        let text = "{% set a = secret('a') %}{{ a.user }}:{{ a.n.list[1] + 1 }}";
        assert_eq!(rendered(text, &all).unwrap(), "ann:8");
        assert_eq!(
            rendered("{{ secret('a').n | tojson }}", &all).unwrap(),
            r#"{"list": ["x", 7]}"#
        );
    }

    #[test]
    fn a_template_asks_for_one_thing_after_the_other() {
        let text = "a\n{% if secret('a#on') %}\n{{ secret('b#x') }}{% endif %}";
        let wants = |address: &str, line| {
            let address = address.to_owned();
            Err(Stop::Wants { address, line })
        };
        assert_eq!(rendered(text, &[]), wants("a#on", 2));
        assert_eq!(rendered(text, &[("a#on", "true")]), wants("b#x", 3));
        assert_eq!(rendered(text, &[("a#on", "false")]).unwrap(), "a\n");
        let text = "{{ secret('a#x') }}{{ secret('a#y').z | upper }}{{ secret('b') }}";
        let hints: Vec<String> = hints("t.j2", text).into_iter().collect();
        assert_eq!(hints[..2], ["a#x", "a#y"]);
    }

    #[test]
    fn mistakes_are_said_with_their_line_and_without_values() {
        let values = [
            ("a", r#"{"x":"hunter2","n":{"y":"hunter2"}}"#),
            ("a#x", "\"hunter2\""),
        ];
        for (text, said) in [
            ("{{ secret('a').none }}", "t.j2:1: undefined value"),
            ("\n{{ secret('a#x') | int }}", "t.j2:2: invalid operation"),
            ("{{ secret('a#x') + 1 }}", "t.j2:1: invalid operation"),
            ("{{ secret('a#x').y.z }}", "t.j2:1: undefined value"),
            ("{{ secret('a#x')() }}", "t.j2:1: "),
            ("{{ secret('a#x').f() }}", "t.j2:1: "),
            ("{{ secret('a') | hunter }}", "t.j2:1: unknown filter: "),
            ("{{ missing }}", "t.j2:1: undefined value"),
            ("{{ secret() }}", "t.j2:1: missing argument"),
            ("\n\n{% if %}", "t.j2:3: syntax error: "),
            ("{% include secret('a#x') %}", "t.j2:1: "),
            ("{{ secret('a#x') | tojson('hunter2') }}", "t.j2:1: "),
            ("{{ range(secret('a#x')) }}", "t.j2:1: "),
            ("{{ dict(secret('a#x')) }}", "t.j2:1: "),
        ] {
            match rendered(text, &values) {
                Err(Stop::Wrong(what)) => {
                    assert!(what.starts_with(said), "{text}: {what}");
                    assert!(!what.contains("hunter2"), "{text}: {what}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_template_that_does_not_end_is_stopped() {
        let forever =
            "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}";
        let Err(Stop::Wrong(what)) = rendered(forever, &[]) else {
            panic!("it ended");
        };
        assert!(what.contains("fuel"), "{what}");
        let huge = "{% for a in range(9999) %}{{ 'x' * 9999 }}{% endfor %}";
        let Err(Stop::Wrong(what)) = rendered(huge, &[]) else {
            panic!("it ended");
        };
        assert!(what.contains("more than 8 MiB"), "{what}");
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        assert!(rendered("{{ secret('a#x') }}", &[("a#x", &deep)]).is_ok());
    }
}
