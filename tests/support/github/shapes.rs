//! GitHub's answers, with the fields it has.

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use super::Answer;
use super::places::{account, repository, whole_repository, workflow};
use super::world::{Run, World};

/// A commit's hash, of a branch.
pub(crate) fn hash(of: &str) -> String {
    let byte = of
        .bytes()
        .fold(7_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
    format!("{byte:02x}").repeat(20)
}

/// As GitHub writes a time.
pub(crate) fn at(time: OffsetDateTime) -> String {
    time.replace_nanosecond(0)
        .unwrap()
        .format(&Rfc3339)
        .unwrap()
}

impl World {
    /// A run.
    pub(crate) fn run_json(&self, of: &str, run: &Run) -> Value {
        let actions = format!("{}/repos/{of}/actions", self.url);
        let api = format!("{actions}/runs/{}", run.id);
        let person = json!({"name": "Octo Cat", "email": "support@github.com"});
        json!({
            "id": run.id, "name": "Deploy", "node_id": "MDEyOldvcmtmbG93UnVuMjY5Mjg5",
            "check_suite_id": 42, "check_suite_node_id": "MDEwOkNoZWNrU3VpdGU0Mg==",
            "head_branch": run.branch, "head_sha": run.sha,
            "path": format!(".github/workflows/{}@{}", run.file, run.branch),
            "run_number": run.id - 900, "run_attempt": run.attempt, "event": run.event,
            "display_title": format!("Deploy of {}", run.branch),
            "status": run.status, "conclusion": run.conclusion, "workflow_id": 159_038,
            "url": api, "html_url": format!("https://github.com/{of}/actions/runs/{}", run.id),
            "pull_requests": [], "created_at": at(run.created), "updated_at": at(run.updated),
            "run_started_at": at(run.created), "actor": account(&run.actor),
            "triggering_actor": account(&run.actor), "jobs_url": format!("{api}/jobs"),
            "logs_url": format!("{api}/logs"), "artifacts_url": format!("{api}/artifacts"),
            "cancel_url": format!("{api}/cancel"), "rerun_url": format!("{api}/rerun"),
            "check_suite_url": format!("{}/repos/{of}/check-suites/42", self.url),
            "workflow_url": format!("{actions}/workflows/159038"),
            "previous_attempt_url": null, "referenced_workflows": [],
            "head_commit": {"id": run.sha, "tree_id": hash("t"), "message": "Fix the till",
                "timestamp": at(run.created), "author": person, "committer": person},
            "repository": repository(of), "head_repository": repository(of),
        })
    }

    /// What a webhook tells of a run.
    pub(crate) fn told_of_run(&self, of: &str, id: u64) -> Value {
        let run = self.repos[of].runs.iter().find(|run| run.id == id).unwrap();
        let action = match run.status.as_str() {
            "queued" => "requested",
            "completed" => "completed",
            _ => "in_progress",
        };
        let mut told = self.run_json(of, run);
        if action == "in_progress" {
            told.as_object_mut().unwrap().remove("display_title");
        }
        json!({"action": action, "workflow_run": told, "workflow": workflow(of, &run.file),
            "repository": whole_repository(of), "sender": account(&run.actor)})
    }
}

/// What a webhook tells of a [`job`] of a run.
pub(crate) fn told_of_job(of: &str, id: u64, job: &Value) -> Value {
    let mut told = job.clone();
    told["run_id"] = id.into();
    json!({"action": job["status"], "workflow_job": told, "repository": whole_repository(of),
        "sender": account("octocat")})
}

/// What was said of a deployment.
pub(super) fn deployment(of: &str, run: &Run, environment: &Value) -> Value {
    let url = format!("https://api.github.com/repos/{of}/deployments/1");
    json!({
        "url": url, "id": 1, "node_id": "MDEwOkRlcGxveW1lbnQx", "sha": run.sha,
        "ref": run.branch, "task": "deploy", "payload": {}, "environment": environment["name"],
        "description": null, "creator": account(&run.actor), "created_at": at(run.created),
        "updated_at": at(run.updated), "statuses_url": format!("{url}/statuses"),
        "repository_url": format!("https://api.github.com/repos/{of}"),
    })
}

/// A job with steps: name, status and conclusion of each.
pub(crate) fn job(
    id: u64,
    name: &str,
    status: &str,
    conclusion: Option<&str>,
    steps: &[(&str, &str, Option<&str>)],
) -> Value {
    let done = status == "completed";
    let steps = steps
        .iter()
        .enumerate()
        .map(|(number, (name, status, conclusion))| {
            json!({"name": name, "status": status, "conclusion": conclusion, "number": number + 1,
            "started_at": "2026-03-01T11:00:00Z", "completed_at": null})
        });
    json!({
        "id": id, "run_id": 1, "workflow_name": "Deploy", "head_branch": "main", "run_attempt": 1,
        "run_url": "https://api.github.com/repos/acme/shop/actions/runs/1", "node_id": "MDg6Q2hlY2tSdW4=",
        "head_sha": hash("main"), "url": format!("https://api.github.com/repos/acme/shop/actions/jobs/{id}"),
        "html_url": format!("https://github.com/acme/shop/actions/runs/1/job/{id}"),
        "status": status, "conclusion": conclusion, "created_at": "2026-03-01T11:00:00Z",
        "started_at": "2026-03-01T11:00:05Z",
        "completed_at": done.then_some("2026-03-01T11:02:00Z"),
        "name": name, "steps": steps.collect::<Vec<_>>(),
        "check_run_url": format!("https://api.github.com/repos/acme/shop/check-runs/{id}"),
        "labels": ["ubuntu-latest"], "runner_id": 1, "runner_name": "my runner",
        "runner_group_id": 2, "runner_group_name": "my runner group",
    })
}

/// Something that waits for agreement.
pub(crate) fn pending(id: u64, environment: &str, may: bool) -> Value {
    json!({
        "environment": {
            "id": id, "node_id": "MDExOkVudmlyb25tZW50MTYxMDg4MDY4", "name": environment,
            "url": format!("https://api.github.com/repos/acme/shop/environments/{environment}"),
            "html_url": "https://github.com/acme/shop/deployments/activity_log",
        },
        "wait_timer": 30, "wait_timer_started_at": "2026-03-01T11:00:00Z",
        "current_user_can_approve": may,
        "reviewers": [
            {"type": "User", "reviewer": account("octocat")},
            {"type": "Team", "reviewer": {"id": 1, "node_id": "MDQ6VGVhbTE=", "parent": null,
                "name": "Justice League", "slug": "justice-league", "description": null,
                "privacy": "closed", "permission": "admin", "type": "organization",
                "url": "https://api.github.com/teams/1",
                "html_url": "https://github.com/orgs/acme/teams/justice-league",
                "members_url": "https://api.github.com/teams/1/members{/member}",
                "repositories_url": "https://api.github.com/teams/1/repos"}},
        ],
    })
}

/// A commit, as a list has it.
pub(crate) fn commit(branch: &str, message: &str, author: &str) -> Value {
    let person =
        json!({"name": author, "email": "support@github.com", "date": "2026-03-01T10:00:00Z"});
    json!({
        "url": "https://api.github.com/repos/acme/shop/commits/6dcb09b", "sha": hash(branch),
        "node_id": "MDY6Q29tbWl0", "html_url": "https://github.com/acme/shop/commit/6dcb09b",
        "comments_url": "https://api.github.com/repos/acme/shop/commits/6dcb09b/comments",
        "commit": {
            "url": "https://api.github.com/repos/acme/shop/git/commits/6dcb09b",
            "author": person, "committer": person, "message": message, "comment_count": 0,
            "tree": {"url": "https://api.github.com/repos/acme/shop/tree/6dcb09b", "sha": hash("t")},
            "verification": {"verified": false, "reason": "unsigned", "signature": null,
                "payload": null, "verified_at": null},
        },
        "author": account("octocat"), "committer": account("octocat"), "parents": [],
    })
}

impl Answer {
    /// Nothing but a status.
    pub(crate) fn plain(status: u16) -> Self {
        Self {
            status,
            headers: vec![],
            body: vec![],
        }
    }

    /// JSON.
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/json; charset=utf-8".to_owned())],
            body: body.to_string().into_bytes(),
        }
    }

    /// A refusal.
    pub(crate) fn says(status: u16, message: &str) -> Self {
        let documentation = "https://docs.github.com/rest/actions/workflow-runs";
        let status_text = status.to_string();
        let body = json!({"message": message, "documentation_url": documentation,
            "status": status_text});
        Self::json(status, &body)
    }

    /// With the server's time.
    pub(super) fn dated(mut self, now: OffsetDateTime) -> Self {
        let form = format_description!(
            "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
        );
        self.headers.push(("date", now.format(&form).unwrap()));
        self
    }
}
