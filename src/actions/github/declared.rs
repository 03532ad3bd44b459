//! The inputs that a workflow's file declares: `on.workflow_dispatch.inputs`.

mod yaml;

use self::yaml::Node;
use crate::actions::github::access::Scope;
use crate::actions::github::call::Calls;
use crate::actions::github::wire::{Ask, query};
use crate::broker::ports::pipelines::{
    Declared, GitRef, Input, InputKind, MAX_INPUTS, PipelineError, Repository, WorkflowFile,
};
use crate::domain::signs::one_line;

/// The largest file that is read, in bytes: GitHub runs none larger.
const MAX_FILE: usize = 512 << 10;
/// Most options of a choice.
const MAX_OPTIONS: usize = 200;
/// The longest name or option, in characters.
const MAX_NAME: usize = 250;

/// Reads the file as it is at `at`.
pub(super) async fn fetch(
    calls: &Calls,
    repository: &Repository,
    file: &WorkflowFile,
    at: &GitRef,
) -> Result<Declared, PipelineError> {
    let path = format!("/repos/{repository}/contents/.github/workflows/{file}");
    let mut ask = Ask::get(query(&path, [("ref", at.as_str())]));
    ask.accept = "application/vnd.github.raw+json";
    let what = "workflow at this branch, tag or commit";
    let answer = calls.ask(&Scope::Of(repository.clone()), what, ask).await?;
    if answer.body.len() > MAX_FILE {
        return wrong("its file is larger than 512 KiB");
    }
    let text = std::str::from_utf8(&answer.body);
    read(text.or_else(|_| wrong("its file is not text"))?)
}

/// Reads a workflow.
fn read(text: &str) -> Result<Declared, PipelineError> {
    let document = yaml::read(text).or_else(|error| wrong(&error))?;
    let on = document.get("on");
    let untriggered = "it is not started by hand; its file needs workflow_dispatch under on";
    let dispatch = match on {
        Some(Node::Scalar { text, .. }) if text == "workflow_dispatch" => None,
        Some(Node::List(events)) => {
            let named = |node: &&std::rc::Rc<Node>| node.text() == Some("workflow_dispatch");
            match events.iter().find(named) {
                Some(_) => None,
                None => return wrong(untriggered),
            }
        }
        Some(on @ Node::Map(_)) => match on.get("workflow_dispatch") {
            Some(dispatch) => Some(dispatch),
            None => return wrong(untriggered),
        },
        Some(Node::Scalar { .. }) | None => return wrong(untriggered),
    };
    let inputs = match dispatch.and_then(|dispatch| dispatch.get("inputs")) {
        None => return Ok(Declared::default()),
        Some(node) if node.is_null() => return Ok(Declared::default()),
        Some(Node::Map(inputs)) => inputs,
        Some(Node::Scalar { .. } | Node::List(_)) => return wrong("its inputs are no mapping"),
    };
    if inputs.len() > MAX_INPUTS {
        return wrong("it declares more than 25 inputs");
    }
    let inputs = inputs.iter().map(|(name, node)| input(name, node));
    Ok(Declared {
        inputs: inputs.collect::<Result<_, _>>()?,
    })
}

fn input(name: &str, node: &Node) -> Result<Input, PipelineError> {
    let begins = name.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_');
    let plain = |it: u8| it.is_ascii_alphanumeric() || b"-_".contains(&it);
    if !begins || name.len() > 100 || !name.bytes().all(plain) {
        return wrong("the name of an input is not of letters, digits, '-' and '_'");
    }
    let text = |key: &str| node.get(key).and_then(Node::text);
    let kind = match text("type").unwrap_or("string") {
        "string" => InputKind::Text,
        "boolean" => InputKind::Boolean,
        "number" => InputKind::Number,
        "environment" => InputKind::Environment,
        "choice" => InputKind::Choice(options(name, node)?),
        _ => return wrong(&format!("its input {name} has a type that GitHub has not")),
    };
    let default = text("default").map(|default| match kind {
        InputKind::Boolean => default.to_ascii_lowercase(),
        InputKind::Text | InputKind::Number | InputKind::Choice(_) | InputKind::Environment => {
            default.to_owned()
        }
    });
    let description = text("description").map(|it| one_line(it).chars().take(MAX_NAME).collect());
    Ok(Input {
        name: name.to_owned(),
        description,
        // Nothing is no default of what cannot be nothing.
        default: default.filter(|default| kind == InputKind::Text || !default.is_empty()),
        kind,
        required: text("required").is_some_and(|it| it.eq_ignore_ascii_case("true")),
    })
}

fn options(name: &str, node: &Node) -> Result<Vec<String>, PipelineError> {
    let Some(Node::List(options)) = node.get("options") else {
        return wrong(&format!("its input {name} is a choice without options"));
    };
    let options: Option<Vec<_>> = options
        .iter()
        .map(|it| it.text().map(str::to_owned))
        .collect();
    let fit = |it: &String| it.chars().count() <= MAX_NAME;
    match options {
        Some(options) if options.len() <= MAX_OPTIONS && options.iter().all(fit) => Ok(options),
        Some(_) | None => wrong(&format!(
            "the options of its input {name} are no short texts"
        )),
    }
}

fn wrong<T>(what: &str) -> Result<T, PipelineError> {
    Err(PipelineError::Workflow(what.to_owned()))
}

#[cfg(test)]
mod tests;
