//! What each address of the simulated GitHub does.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use super::places::{app, installation, permissions, whole_account};
use super::shapes::{at, deployment};
use super::world::{Details, Run, World};
use super::{Answer, Call};

/// Who asks.
enum Who {
    Account(String),
    App(String),
    /// An installation, for one repository only.
    Installed(String, String),
}

impl World {
    /// Does what `call` asks.
    pub(super) fn route(&mut self, call: &Call) -> Answer {
        let now = self.now();
        let url = Url::parse(&format!("http://localhost{}", call.target)).unwrap();
        let path: Vec<&str> = url
            .path()
            .trim_start_matches("/api/v3")
            .split('/')
            .skip(1)
            .collect();
        let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        let Some(who) = self.who(&call.authorization) else {
            return Answer::says(401, "Bad credentials").dated(now);
        };
        let version = call
            .headers
            .iter()
            .any(|(name, _)| name == "x-github-api-version");
        let agent = call.headers.iter().any(|(name, _)| name == "user-agent");
        if !version || !agent {
            return Answer::says(400, "a header is missing");
        }
        let answer = match (call.method.as_str(), &path[..], &who) {
            ("GET", ["user"], Who::Account(login)) => Answer::json(200, &whole_account(login)),
            ("GET", ["user"], _) => Answer::says(403, "Resource not accessible by integration"),
            ("GET", ["app"], Who::App(slug)) => Answer::json(200, &app(slug)),
            ("GET", ["repos", owner, name, "installation"], Who::App(slug)) => {
                let repository = format!("{owner}/{name}");
                match self.repos.get(&repository) {
                    Some(repo) if !repo.not_installed => {
                        Answer::json(200, &installation(4711, owner, slug))
                    }
                    _ => Answer::says(404, "Not Found"),
                }
            }
            ("POST", ["app", "installations", "4711", "access_tokens"], Who::App(_)) => {
                self.install(&call.body)
            }
            (method, ["repos", owner, name, rest @ ..], who) => {
                let repository = format!("{owner}/{name}");
                self.in_repository(method, &repository, rest, &query, who, call)
            }
            _ => Answer::says(404, "Not Found"),
        };
        let tag = hex::encode(&Sha256::digest(&answer.body)[..16]);
        let mut answer = answer.dated(now);
        if answer.status == 200 && call.method == "GET" {
            answer.headers.push(("etag", format!("W/\"{tag}\"")));
        }
        answer
    }

    fn who(&self, authorization: &str) -> Option<Who> {
        let token = authorization.strip_prefix("Bearer ")?;
        if let Some(login) = self.tokens.get(token) {
            return Some(Who::Account(login.clone()));
        }
        let (id, slug, key) = self.app.as_ref()?;
        if let Some((repository, until)) = self.installed.get(token) {
            let bot = format!("{slug}[bot]");
            return (*until > self.now()).then(|| Who::Installed(repository.clone(), bot));
        }
        let issuer = key.issuer(token, self.now().unix_timestamp());
        (issuer.as_ref() == Some(id)).then(|| Who::App(slug.clone()))
    }

    fn install(&mut self, body: &Value) -> Answer {
        let [name] = &body["repositories"].as_array().unwrap()[..] else {
            return Answer::says(422, "one repository, please");
        };
        let name = name.as_str().unwrap();
        let repository = self
            .repos
            .keys()
            .find(|it| it.ends_with(&format!("/{name}")))
            .cloned();
        let Some(repository) = repository else {
            return Answer::says(422, "There is at least one repository that does not exist");
        };
        self.next_id += 1;
        let token = format!("ghs_{:0>36}", self.next_id);
        let until = self.now() + time::Duration::hours(1);
        self.installed.insert(token.clone(), (repository, until));
        Answer::json(
            201,
            &json!({"token": token, "expires_at": at(until), "repository_selection": "selected",
                "permissions": permissions()}),
        )
    }

    fn in_repository(
        &mut self,
        method: &str,
        repository: &str,
        rest: &[&str],
        query: &BTreeMap<String, String>,
        who: &Who,
        call: &Call,
    ) -> Answer {
        let actor = match who {
            Who::Account(login) => login.clone(),
            Who::Installed(of, bot) if of == repository => bot.clone(),
            Who::Installed(..) | Who::App(_) => return Answer::says(404, "Not Found"),
        };
        let Some(repo) = self.repos.get(repository) else {
            return Answer::says(404, "Not Found");
        };
        if let Some(new) = &repo.renamed {
            let path = call.target.replacen(repository, new, 1);
            let status = if method == "GET" { 301 } else { 307 };
            let mut answer = Answer::says(status, "Moved Permanently");
            answer
                .headers
                .push(("location", format!("{}{path}", self.url)));
            return answer;
        }
        if let Some(lacks) = repo.lacks {
            let mut answer = Answer::says(403, "Resource not accessible by personal access token");
            answer
                .headers
                .push(("x-accepted-github-permissions", lacks.to_owned()));
            return answer;
        }
        match (method, rest) {
            ("GET", ["contents", ".github", "workflows", file]) => {
                let key = (query["ref"].clone(), (*file).to_owned());
                match repo.files.get(&key) {
                    Some(text) => Answer {
                        status: 200,
                        headers: vec![("content-type", "application/vnd.github.raw+json".into())],
                        body: text.clone().into_bytes(),
                    },
                    None => Answer::says(404, "Not Found"),
                }
            }
            ("GET", ["commits"]) => match repo.commits.get(&query["sha"]) {
                Some(commit) => Answer::json(200, &json!([commit])),
                None => Answer::says(404, "No commit found for SHA: x"),
            },
            ("POST", ["actions", "workflows", file, "dispatches"]) => {
                self.dispatch(repository, file, &actor, &call.body)
            }
            ("GET", ["actions", "workflows", file, "runs"]) => {
                if !repo.files.keys().any(|(_, name)| name == file) {
                    return Answer::says(404, "Not Found");
                }
                self.runs(repository, Some(file), query)
            }
            ("GET", ["actions", "runs"]) => self.runs(repository, None, query),
            (method, ["actions", "runs", id, rest @ ..]) => {
                let found = repo
                    .runs
                    .iter()
                    .find(|run| run.id.to_string() == **id)
                    .cloned();
                match found {
                    Some(run) => self.of_run(method, repository, &run, rest, query, &call.body),
                    None => Answer::says(404, "Not Found"),
                }
            }
            _ => Answer::says(404, "Not Found"),
        }
    }

    fn dispatch(&mut self, repository: &str, file: &str, actor: &str, body: &Value) -> Answer {
        let branch = body["ref"].as_str().unwrap();
        let key = (branch.to_owned(), file.to_owned());
        let repo = &self.repos[repository];
        if !repo.files.keys().any(|(_, name)| name == file) {
            return Answer::says(404, "Not Found");
        }
        let Some(text) = repo.files.get(&key) else {
            return Answer::says(422, &format!("No ref found for: {branch}"));
        };
        if !text.contains("workflow_dispatch") {
            return Answer::says(422, "Workflow does not have 'workflow_dispatch' trigger");
        }
        let wanted = body.get("return_run_details") == Some(&json!(true));
        if wanted && self.details == Details::Unknown {
            return Answer::says(
                422,
                "Invalid request. \"return_run_details\" is not permitted",
            );
        }
        let short = branch.trim_start_matches("refs/heads/").to_owned();
        if let Some(commit) = self.pushed.take() {
            self.repo(repository).commits.insert(short.clone(), commit);
        }
        let id = self.begin(repository, file, &short, actor, "workflow_dispatch");
        self.run(repository, id).inputs = body["inputs"].clone();
        if !wanted || self.details == Details::Ignored {
            return Answer::plain(204);
        }
        let path = format!("{repository}/actions/runs/{id}");
        Answer::json(
            200,
            &json!({"workflow_run_id": id, "run_url": format!("{}/repos/{path}", self.url),
                "html_url": format!("https://github.com/{path}")}),
        )
    }

    fn runs(
        &self,
        repository: &str,
        file: Option<&str>,
        query: &BTreeMap<String, String>,
    ) -> Answer {
        let shown = self.now() - self.lag;
        let is = |key: &str, value: &str| query.get(key).is_none_or(|wanted| wanted == value);
        let fits = |run: &&Run| {
            let status = query.get("status").is_none_or(|wanted| {
                run.status == *wanted || run.conclusion.as_ref() == Some(wanted)
            });
            let since = query
                .get("created")
                .is_none_or(|since| at(run.created).as_str() >= since.trim_start_matches(">="));
            run.created <= shown
                && file.is_none_or(|file| run.file == file)
                && is("branch", &run.branch)
                && is("event", &run.event)
                && is("actor", &run.actor)
                && status
                && since
        };
        let found = self.repos[repository].runs.iter().rev().filter(fits);
        let found: Vec<_> = found.map(|run| self.run_json(repository, run)).collect();
        self.page("workflow_runs", &found, query)
    }

    /// One page of `all`, with links to others.
    pub(super) fn page(
        &self,
        name: &str,
        all: &[Value],
        query: &BTreeMap<String, String>,
    ) -> Answer {
        let number = |key: &str, default: usize| {
            query.get(key).map_or(default, |text| text.parse().unwrap())
        };
        let (size, page) = (number("per_page", 30).min(100), number("page", 1));
        let some: Vec<_> = all.iter().skip((page - 1) * size).take(size).collect();
        let mut answer = Answer::json(200, &json!({"total_count": all.len(), name: some}));
        if page * size < all.len() {
            let (next, last) = (page + 1, all.len().div_ceil(size));
            let link = |page: usize, rel: &str| {
                format!("<{}/resource?page={page}>; rel=\"{rel}\"", self.url)
            };
            let links = format!("{}, {}", link(next, "next"), link(last, "last"));
            answer.headers.push(("link", links));
        }
        answer
    }

    fn of_run(
        &mut self,
        method: &str,
        repository: &str,
        run: &Run,
        rest: &[&str],
        query: &BTreeMap<String, String>,
        body: &Value,
    ) -> Answer {
        let done = run.status == "completed";
        match (method, rest) {
            ("GET", []) => Answer::json(200, &self.run_json(repository, run)),
            ("GET", ["jobs"]) => self.page("jobs", &run.jobs, query),
            ("GET", ["pending_deployments"]) => Answer::json(200, &json!(run.pending)),
            ("POST", ["rerun" | "rerun-failed-jobs"]) if !done => {
                Answer::says(403, "This workflow is already running")
            }
            ("POST", ["rerun" | "rerun-failed-jobs"]) => {
                self.run(repository, run.id).attempt += 1;
                self.advance(repository, run.id, "queued", None);
                Answer::json(201, &json!({}))
            }
            ("POST", ["cancel"]) if done => {
                Answer::says(409, "Cannot cancel a workflow run that is completed.")
            }
            ("POST", ["cancel"]) => {
                self.advance(repository, run.id, "completed", Some("cancelled"));
                Answer::json(202, &json!({}))
            }
            ("POST", ["pending_deployments"]) => {
                let ids = body["environment_ids"].as_array().unwrap();
                let run = self.run(repository, run.id);
                let waits =
                    |id: &Value| run.pending.iter().any(|it| it["environment"]["id"] == *id);
                if !ids.iter().all(waits) {
                    return Answer::says(
                        422,
                        "No pending deployment requests to approve or reject",
                    );
                }
                let (decided, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut run.pending)
                    .into_iter()
                    .partition(|it| ids.contains(&it["environment"]["id"]));
                run.pending = waiting;
                run.reviews.push(body.clone());
                let decided = decided.iter();
                let decided = decided.map(|it| deployment(repository, run, &it["environment"]));
                Answer::json(200, &Value::Array(decided.collect()))
            }
            _ => Answer::says(404, "Not Found"),
        }
    }
}
