//! Pipelines as people name them: `deploy`, `deploy.yml`, `acme/shop:deploy`; a run by its number.

use super::{Mistake, Word, split_word, values};
use crate::broker::ports::pipelines::{GitRef, NameError, Repository, RunId, WorkflowFile};
use crate::broker::{PipelineWish, PlaceName, RunName, WorkflowName};
use crate::domain::Field;

/// Reads what follows `word`, one of those about pipelines.
pub(super) fn read(word: Word, argument: &str) -> Result<PipelineWish, Mistake> {
    let (first, rest) = split_word(argument);
    if first.is_empty() {
        let all = (word == Word::Runs).then_some(PipelineWish::Runs(None));
        return all.ok_or(Mistake::Missing(word));
    }
    let alone = |wish| {
        let alone = rest.is_empty().then_some(wish);
        alone.ok_or(Mistake::Extra(word))
    };
    if word == Word::Run {
        return start(first, rest);
    }
    if word == Word::Runs {
        return alone(PipelineWish::Runs(Some(workflow(word, first)?)));
    }
    if word == Word::Watch || word == Word::Unwatch {
        return watch(word, first, rest);
    }
    let name = run(word, first)?;
    if word == Word::Rerun {
        alone(PipelineWish::Rerun(name))
    } else if word == Word::CancelRun {
        alone(PipelineWish::Cancel(name))
    } else if word == Word::ApproveRun {
        let environment = (!rest.is_empty()).then(|| rest.to_owned());
        Ok(PipelineWish::Approve(name, environment))
    } else if rest.is_empty() {
        Err(Mistake::NoWords(word))
    } else {
        Ok(PipelineWish::Deny(name, rest.to_owned()))
    }
}

/// `/run WORKFLOW [ref] [name=value …]`
fn start(name: &str, rest: &str) -> Result<PipelineWish, Mistake> {
    let name = workflow(Word::Run, name)?;
    let (second, others) = split_word(rest);
    let (at, inputs) = if second.is_empty() || second.contains('=') {
        (None, rest)
    } else {
        let at = GitRef::new(second).map_err(|error| wrong(Word::Run, error))?;
        (Some(at), others)
    };
    let fields = values::fields(inputs).map_err(Mistake::Input)?;
    let inputs = fields.into_iter().map(plain).collect();
    Ok(PipelineWish::Run(name, at, inputs))
}

/// `/watch OWNER/REPOSITORY[/WORKFLOW] [branch]`, or a workflow as anywhere else.
fn watch(word: Word, name: &str, rest: &str) -> Result<PipelineWish, Mistake> {
    let wrong = |error| wrong(word, error);
    let slashes: Vec<_> = name.match_indices('/').map(|(at, _)| at).collect();
    let name = match slashes.as_slice() {
        [_] if !name.contains(':') => PlaceName::Repository(Repository::new(name).map_err(wrong)?),
        [_, second] => {
            let (repository, file) = name.split_at(*second);
            let file = file.trim_start_matches('/');
            PlaceName::Workflow(workflow(word, &format!("{repository}:{file}"))?)
        }
        _ => PlaceName::Workflow(workflow(word, name)?),
    };
    let (branch, more) = split_word(rest);
    if !more.is_empty() {
        return Err(Mistake::Extra(word));
    }
    let branch = (!branch.is_empty()).then(|| GitRef::new(branch));
    let branch = branch.transpose().map_err(wrong)?;
    Ok(PipelineWish::Watch(word == Word::Watch, name, branch))
}

/// An input: no secret, for GitHub shows it to whoever may look at the run.
fn plain(field: Field) -> (String, String) {
    #[expect(clippy::disallowed_methods, reason = "an input is not secret")]
    let value = serde_json::from_slice(field.json.expose_secret());
    // It was written as a text.
    (field.name, value.unwrap_or_default())
}

fn workflow(word: Word, text: &str) -> Result<WorkflowName, Mistake> {
    let wrong = |error| wrong(word, error);
    let (repository, file) = place(text).map_err(wrong)?;
    let file = match file.rsplit_once('.') {
        Some((_, "yml" | "yaml")) => WorkflowFile::new(file),
        Some(_) | None => WorkflowFile::new(&format!("{file}.yml")),
    };
    Ok(WorkflowName {
        repository,
        file: file.map_err(wrong)?,
    })
}

fn wrong(word: Word, error: NameError) -> Mistake {
    Mistake::Name { error, word }
}

fn run(word: Word, text: &str) -> Result<RunName, Mistake> {
    let (repository, number) = place(text).map_err(|error| wrong(word, error))?;
    let id = number.parse().ok().and_then(RunId::new);
    Ok(RunName {
        repository,
        id: id.ok_or(Mistake::NoRun(word))?,
    })
}

/// What is before a colon, and after it.
fn place(text: &str) -> Result<(Option<Repository>, &str), NameError> {
    match text.split_once(':') {
        Some((repository, name)) => Ok((Some(Repository::new(repository)?), name)),
        None => Ok((None, text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(word: Word, argument: &str) -> PipelineWish {
        read(word, argument).unwrap()
    }

    #[test]
    fn a_workflow_is_named_in_short_or_in_full() {
        let named = |text: &str| {
            let PipelineWish::Run(name, at, inputs) = wish(Word::Run, text) else {
                panic!("{text}");
            };
            let repository = name.repository.map(|it| it.to_string());
            let at = at.map(|at| at.to_string());
            (
                repository.unwrap_or_default(),
                name.file.to_string(),
                at.unwrap_or_default(),
                inputs,
            )
        };
        let plain = |one: &str, file: &str, at: &str| {
            (one.to_owned(), file.to_owned(), at.to_owned(), vec![])
        };
        assert_eq!(named("deploy"), plain("", "deploy.yml", ""));
        assert_eq!(named("deploy.yaml v1.2"), plain("", "deploy.yaml", "v1.2"));
        assert_eq!(
            named("Acme/Shop:a.b x/y"),
            plain("acme/shop", "a.b.yml", "x/y")
        );
        let (_, _, at, inputs) = named("deploy version=v1 note=\"two words\"");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            (at.as_str(), inputs),
            ("", vec![pair("version", "v1"), pair("note", "two words")])
        );
    }

    #[test]
    fn what_cannot_be_read_says_what_to_write() {
        for (word, argument, said) in [
            (
                Word::Run,
                "",
                "The workflow is missing: /run deploy main version=v1",
            ),
            (Word::Run, "../x", "not a workflow"),
            (Word::Run, "a:deploy", "not a repository"),
            (Word::Run, "deploy a..b", "not a branch"),
            (Word::Run, "deploy main x", "Nothing was started: part 1"),
            (Word::Runs, "deploy x", "more than /runs takes"),
            (Word::Rerun, "", "The run's number is missing"),
            (Word::Rerun, "x", "A run is named by its number"),
            (Word::Rerun, "0", "A run is named by its number"),
            (Word::CancelRun, "1 2", "more than /cancel_run takes"),
            (Word::DenyRun, "1", "Say why"),
            (Word::Watch, "a/b main x", "more than /watch takes"),
            (Word::Watch, "a/b/c/d", "not a workflow"),
            (Word::Unwatch, "", "The pipeline is missing"),
        ] {
            let said_so = read(word, argument).unwrap_err().to_string();
            assert!(said_so.contains(said), "{word:?} {argument}: {said_so}");
        }
        let watched = |text: &str| {
            let PipelineWish::Watch(true, name, branch) = wish(Word::Watch, text) else {
                panic!("{text}");
            };
            let (repository, file) = match name {
                PlaceName::Repository(repository) => (Some(repository), None),
                PlaceName::Workflow(name) => (name.repository, Some(name.file)),
            };
            let text = |it: Option<String>| it.unwrap_or_else(|| "-".to_owned());
            let repository = text(repository.map(|it| it.to_string()));
            let file = text(file.map(|it| it.to_string()));
            format!(
                "{repository} {file} {}",
                text(branch.map(|it| it.to_string()))
            )
        };
        assert_eq!(watched("Acme/Shop"), "acme/shop - -");
        assert_eq!(
            watched("acme/shop/deploy.yml main"),
            "acme/shop deploy.yml main"
        );
        assert_eq!(watched("acme/shop:deploy"), "acme/shop deploy.yml -");
        assert_eq!(watched("deploy x/y"), "- deploy.yml x/y");
        let name = RunName {
            repository: None,
            id: RunId::new(7).unwrap(),
        };
        assert_eq!(wish(Word::Runs, ""), PipelineWish::Runs(None));
        assert_eq!(
            wish(Word::ApproveRun, "7"),
            PipelineWish::Approve(name.clone(), None)
        );
        assert_eq!(
            wish(Word::DenyRun, "7 not now"),
            PipelineWish::Deny(name, "not now".to_owned())
        );
    }
}
