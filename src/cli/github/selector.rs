//! What `--secrets` takes: `PATH KEY | NAME ;`, as users of vault-action write it.
//!
//! A key is a field's name, in double quotes where a dot or the like is in it; `*` for all fields,
//! and `**` where the variables are not to be in capitals. Paths are those of Vault's API
//! (`secret/data/ci`), or vaultgram's own. More of `JSONata` than that is refused, not guessed.

use std::fmt;

use crate::cli::address::{Address, Kind, find_mount};
use crate::cli::client::Socket;
use crate::cli::exit::{Exit, Failure};
use crate::cli::github::variable;

/// What would make a key an expression for vault-action.
const EXPRESSION: &[char] = &[
    '.', '"', '\'', '`', '\\', '[', ']', '(', ')', '{', '}', '$', '*',
];

/// One request: fields of a secret, and the names they are to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selector {
    path: String,
    key: Key,
    name: Option<String>,
}

/// Which fields.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    Field(String),
    /// All of them.
    All {
        capitals: bool,
    },
}

/// The names of one value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) variable: String,
    pub(super) output: String,
}

/// What is wrong with a text, and where: line and column, from 1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    line: usize,
    column: usize,
    what: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, what } = self;
        write!(f, "--secrets, line {line}, column {column}: {what}")
    }
}

impl From<Wrong> for Failure {
    fn from(wrong: Wrong) -> Self {
        Self::new(Exit::Usage, wrong).hint("write PATH KEY | NAME ; with KEY * for all fields")
    }
}

/// A word or a sign, and where it begins.
#[derive(Debug, Clone, Copy)]
struct Token<'t> {
    text: &'t str,
    line: usize,
    column: usize,
}

impl Token<'_> {
    fn wrong(&self, what: impl Into<String>) -> Wrong {
        Wrong {
            line: self.line,
            column: self.column,
            what: what.into(),
        }
    }
}

/// Takes `text` apart: words, `|` and `;`, of which blanks and line ends are no part.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = vec![];
    for (line, content) in text.lines().enumerate() {
        let mut rest = content;
        let mut column = 1;
        while let Some(first) = rest.chars().next() {
            let single = first.is_whitespace() || "|;".contains(first);
            let ends = |sign: char| sign.is_whitespace() || "|;".contains(sign);
            let length = if single {
                first.len_utf8()
            } else {
                rest.find(ends).unwrap_or(rest.len())
            };
            let (token, after) = rest.split_at(length);
            if !first.is_whitespace() {
                tokens.push(Token {
                    text: token,
                    line: line + 1,
                    column,
                });
            }
            column += token.chars().count();
            rest = after;
        }
    }
    tokens
}

/// Reads all requests in `text`.
pub(super) fn parse(text: &str) -> Result<Vec<Selector>, Wrong> {
    let tokens = tokens(text);
    let requests = tokens.split(|token| token.text == ";");
    let requests = requests.filter_map(|request| Some((request.first()?, request)));
    let selectors = requests.map(|(first, request)| Selector::read(*first, request));
    let selectors: Vec<Selector> = selectors.collect::<Result<_, _>>()?;
    if selectors.is_empty() {
        return Err(Wrong {
            line: 1,
            column: 1,
            what: "there is no secret".to_owned(),
        });
    }
    Ok(selectors)
}

impl Selector {
    /// Reads what stands between two `;`.
    fn read(first: Token<'_>, tokens: &[Token<'_>]) -> Result<Self, Wrong> {
        let words = tokens.iter().take_while(|token| token.text != "|").count();
        let (path, key, rest) = match tokens.split_at(words) {
            ([path, key], rest) => (path, key, rest),
            ([], _) => return Err(first.wrong("the path is missing")),
            ([path], _) => return Err(path.wrong("a path alone: its key is missing")),
            ([_, _, other, ..], _) => {
                return Err(other.wrong("a ; or | is missing before this"));
            }
        };
        let name = match rest {
            [] => None,
            [_, name] if name.text != "|" => Some(name),
            [pipe] => return Err(pipe.wrong("the name after | is missing")),
            [pipe, ..] => return Err(pipe.wrong("one name follows |, and then ;")),
        };
        let stripped = path.text.trim_matches('/');
        if stripped.is_empty() {
            return Err(path.wrong("the path is missing"));
        }
        let key = Key::read(key)?;
        if let Some(name) = name {
            let example = match &key {
                Key::Field(_) => name.text.to_owned(),
                Key::All { .. } => format!("{}A", name.text),
            };
            variable(&example).map_err(|why| name.wrong(why))?;
        }
        Ok(Self {
            path: stripped.to_owned(),
            key,
            name: name.map(|name| name.text.to_owned()),
        })
    }

    /// Where the values are. Below a mount with versions, Vault's API has `data/` before the path,
    /// which is no part of it.
    pub(super) async fn address(&self, socket: &Socket) -> Result<Address, Failure> {
        let named = |failure: Failure| Failure {
            what: format!("{}: {}", self.path, failure.what),
            ..failure
        };
        let found = find_mount(socket, &self.path).await.map_err(named)?;
        let below = self.path.strip_prefix(&format!("{}/data/", found.mount));
        let path = match (found.kind, below) {
            (Kind::Kv2, Some(below)) => format!("{}/{below}", found.mount),
            (Kind::Kv1 | Kind::Kv2 | Kind::Engine, _) => found.full(),
        };
        Ok(Address {
            path,
            field: match &self.key {
                Key::Field(field) => Some(field.clone()),
                Key::All { .. } => None,
            },
            version: None,
        })
    }

    /// What the value of `field` is to be called.
    pub(super) fn names(&self, field: &str) -> Result<Names, Failure> {
        let (output, capitals) = match (&self.key, &self.name) {
            (Key::Field(_), Some(name)) => (name.clone(), false),
            (Key::Field(field), None) => (normalized(field), true),
            (Key::All { capitals }, prefix) => {
                let prefix = prefix.as_deref().unwrap_or_default();
                (normalized(&format!("{prefix}{field}")), *capitals)
            }
        };
        let variable_name = if capitals {
            output.to_uppercase()
        } else {
            output.clone()
        };
        let refused = |(name, why): (&str, &str)| {
            let what = format!(
                "{}: field {field:?} cannot become {name:?}: {why}",
                self.path
            );
            Failure::new(Exit::Usage, what).hint("name it yourself: PATH KEY | NAME")
        };
        let checked = variable(&variable_name).map_err(|why| (variable_name.as_str(), why));
        checked
            .and_then(|()| super::output(&output).map_err(|why| (output.as_str(), why)))
            .map_err(refused)?;
        Ok(Names {
            variable: variable_name,
            output,
        })
    }
}

impl Key {
    fn read(token: &Token<'_>) -> Result<Self, Wrong> {
        match token.text {
            "*" => return Ok(Self::All { capitals: true }),
            "**" => return Ok(Self::All { capitals: false }),
            _ => {}
        }
        let quoted = token.text.strip_prefix('"');
        let field = match quoted.and_then(|text| text.strip_suffix('"')) {
            Some(inner) if !inner.is_empty() && !inner.contains(['"', '\\']) => inner,
            None if !token.text.contains(EXPRESSION) => token.text,
            Some(_) | None => {
                let what = "this is no field's name: put one with other signs into double quotes; \
                            expressions are not known";
                return Err(token.wrong(what));
            }
        };
        Ok(Self::Field(field.to_owned()))
    }
}

/// The name vault-action makes: two `_` for a dot, and nothing for what is no letter, digit, `_` or
/// `-`.
fn normalized(field: &str) -> String {
    let kept = |sign: &char| sign.is_alphanumeric() || "_-".contains(*sign);
    field.replace('.', "__").chars().filter(kept).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn selector(path: &str, key: Key, name: Option<&str>) -> Selector {
        Selector {
            path: path.to_owned(),
            key,
            name: name.map(str::to_owned),
        }
    }

    fn field(name: &str) -> Key {
        Key::Field(name.to_owned())
    }

    #[test]
    fn requests_are_read_as_their_users_write_them() {
        let text = "\n  secret/data/ci/aws accessKey | AWS_ACCESS_KEY_ID ;\r\n\
                    /secret/data/ci npm_token;;\n\
                    db \"tls.key\"|KEY;secret/data/ci *\t| MYAPP_ ;\n\nx **";
        assert_eq!(
            parse(text).unwrap(),
            [
                selector(
                    "secret/data/ci/aws",
                    field("accessKey"),
                    Some("AWS_ACCESS_KEY_ID")
                ),
                selector("secret/data/ci", field("npm_token"), None),
                selector("db", field("tls.key"), Some("KEY")),
                selector(
                    "secret/data/ci",
                    Key::All { capitals: true },
                    Some("MYAPP_")
                ),
                selector("x", Key::All { capitals: false }, None),
            ]
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, line, column, what) in [
            ("", 1, 1, "no secret"),
            (" ;\n;", 1, 1, "no secret"),
            ("a", 1, 1, "its key is missing"),
            ("a b;\n  é; c d", 2, 3, "its key is missing"),
            ("a b\nc d", 2, 1, "a ; or | is missing"),
            ("é  é x", 1, 6, "a ; or | is missing"),
            ("a b | C d", 1, 5, "one name follows |"),
            ("a b | C | D", 1, 5, "one name follows |"),
            ("a b | ;", 1, 5, "the name after | is missing"),
            ("a b ||", 1, 5, "one name follows |"),
            ("| A", 1, 1, "the path is missing"),
            ("/ b", 1, 1, "the path is missing"),
            ("a b.c", 1, 3, "no field's name"),
            ("a \"b", 1, 3, "no field's name"),
            ("a \"\"", 1, 3, "no field's name"),
            ("a ***", 1, 3, "no field's name"),
            ("a $sum", 1, 3, "no field's name"),
            ("a b | A-B", 1, 7, "a name is made of"),
            ("a b | NODE_OPTIONS", 1, 7, "choose another name"),
            ("a * | GITHUB_", 1, 7, "the runner's own"),
        ] {
            let wrong = parse(text).unwrap_err();
            assert_eq!(
                (wrong.line, wrong.column),
                (line, column),
                "{text:?}: {wrong}"
            );
            assert!(wrong.what.contains(what), "{text:?}: {wrong}");
        }
    }

    #[test]
    fn names_are_those_of_vault_action() {
        for (text, of, variable, output) in [
            ("a npmToken", "npmToken", "NPMTOKEN", "npmToken"),
            ("a \"tls.key\"", "tls.key", "TLS__KEY", "tls__key"),
            ("a b | Some_Name", "b", "Some_Name", "Some_Name"),
            ("a *", "Secret.Key", "SECRET__KEY", "Secret__Key"),
            (
                "a * | MYAPP_",
                "SecretKey",
                "MYAPP_SECRETKEY",
                "MYAPP_SecretKey",
            ),
            (
                "a ** | MYAPP_",
                "SecretKey",
                "MYAPP_SecretKey",
                "MYAPP_SecretKey",
            ),
            ("a * | my_", "x@y", "MY_XY", "my_xy"),
        ] {
            let names = parse(text).unwrap().remove(0).names(of).unwrap();
            assert_eq!(
                (names.variable.as_str(), names.output.as_str()),
                (variable, output)
            );
        }
        for (text, of) in [
            ("a my-key", "my-key"),
            ("a *", "path"),
            ("a *", "@"),
            ("a *", "1x"),
        ] {
            let failure = parse(text).unwrap().remove(0).names(of).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{text} {of}");
            assert!(failure.hint.unwrap().contains("| NAME"), "{text} {of}");
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            requests in proptest::collection::vec(
                (
                    "[a-zé#@][a-z/é#@-]{0,9}[a-zé]",
                    prop_oneof![
                        "[a-zA-Zé0-9_@-]{1,9}".prop_map(|name| (name.clone(), Key::Field(name))),
                        "[a-z.()$*']{1,9}".prop_map(|name| (format!("\"{name}\""), Key::Field(name))),
                        Just(("*".to_owned(), Key::All { capitals: true })),
                        Just(("**".to_owned(), Key::All { capitals: false })),
                    ],
                    proptest::option::of("X[A-Z0-9_]{0,9}"),
                ),
                1..6,
            ),
            blanks in "[ \t\n]{1,3}",
        ) {
            let mut text = String::new();
            let mut expected = vec![];
            for (path, (written, key), name) in requests {
                text += &[&*blanks, &*path, &*blanks, &*written].concat();
                if let Some(name) = &name {
                    text += &[&*blanks, "|", &*blanks, &**name].concat();
                }
                text += ";";
                expected.push(Selector { path, key, name });
            }
            prop_assert_eq!(parse(&text).unwrap(), expected);
        }

        #[test]
        fn anything_is_read_or_refused_at_a_place_in_it(
            text in prop_oneof![any::<String>(), "[a/ |;*\"\n.é]{0,24}"]
        ) {
            match parse(&text) {
                Ok(selectors) => for selector in selectors {
                    prop_assert!(text.contains(&selector.path));
                    prop_assert!(!selector.path.contains([' ', '|', ';', '\n']));
                }
                Err(wrong) => {
                    let line = text.lines().nth(wrong.line - 1).unwrap_or_default();
                    prop_assert!(wrong.column <= line.chars().count().max(1), "{wrong}");
                }
            }
        }
    }
}
