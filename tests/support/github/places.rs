//! Whoever and wherever: accounts, Apps and repositories, with all that GitHub says of them.
//!
//! Their addresses are made by one pattern, since nobody goes there.

use serde_json::{Map, Value, json};

/// What an account has addresses of.
const OF_ACCOUNT: &str =
    "followers following gists starred subscriptions organizations repos events received_events";
/// What a repository has addresses of.
const OF_REPOSITORY: &str = "archive assignees blobs branches collaborators comments commits \
    compare contents contributors deployments downloads events forks git_commits git_refs \
    git_tags hooks issue_comment issue_events issues keys labels languages merges milestones \
    notifications pulls releases stargazers statuses subscribers subscription tags teams trees";
/// When they were made.
const MADE: &str = "2025-01-26T19:01:12Z";

/// An account, as it stands in everything.
pub(crate) fn account(login: &str) -> Value {
    let url = format!("https://api.github.com/users/{login}");
    let account = json!({
        "login": login, "id": 1, "node_id": "MDQ6VXNlcjE=", "type": "User", "site_admin": false,
        "avatar_url": "https://github.com/images/error/octocat_happy.gif", "gravatar_id": "",
        "url": url, "html_url": format!("https://github.com/{login}"),
    });
    with_addresses(account, &url, OF_ACCOUNT)
}

/// An account, as it is told what it is.
pub(super) fn whole_account(login: &str) -> Value {
    let more = json!({
        "name": login, "company": null, "blog": "", "location": null, "email": null,
        "hireable": null, "bio": null, "public_repos": 2, "public_gists": 1, "followers": 20,
        "following": 0, "created_at": MADE, "updated_at": MADE,
    });
    both(account(login), more)
}

/// An App.
pub(super) fn app(slug: &str) -> Value {
    json!({
        "id": 7, "slug": slug, "node_id": "MDExOkludGVncmF0aW9uMQ==", "owner": account("acme"),
        "name": slug, "description": "", "external_url": "https://example.com",
        "html_url": format!("https://github.com/apps/{slug}"), "created_at": MADE,
        "updated_at": MADE, "permissions": permissions(), "events": ["workflow_run"],
    })
}

/// Where an App is installed.
pub(super) fn installation(id: u64, owner: &str, slug: &str) -> Value {
    let url = format!("https://api.github.com/app/installations/{id}");
    json!({
        "id": id, "account": account(owner), "repository_selection": "selected",
        "access_tokens_url": format!("{url}/access_tokens"),
        "repositories_url": "https://api.github.com/installation/repositories",
        "html_url": format!("https://github.com/organizations/{owner}/settings/installations/{id}"),
        "app_id": 7, "app_slug": slug, "target_id": 1, "target_type": "Organization",
        "permissions": permissions(), "events": ["workflow_run"], "created_at": MADE,
        "updated_at": MADE, "single_file_name": null, "suspended_by": null, "suspended_at": null,
    })
}

/// What an App may.
pub(super) fn permissions() -> Value {
    json!({"actions": "write", "contents": "read", "metadata": "read"})
}

/// A repository, as it stands in what is of it.
pub(super) fn repository(full_name: &str) -> Value {
    let url = format!("https://api.github.com/repos/{full_name}");
    let (owner, name) = full_name.split_once('/').unwrap();
    let repository = json!({
        "id": 1_296_269, "node_id": "MDEwOlJlcG9zaXRvcnkxMjk2MjY5", "name": name,
        "full_name": full_name, "owner": account(owner), "private": true, "fork": false,
        "description": null, "url": url, "html_url": format!("https://github.com/{full_name}"),
    });
    with_addresses(repository, &url, OF_REPOSITORY)
}

/// A repository, as webhooks tell of it.
pub(super) fn whole_repository(full_name: &str) -> Value {
    let git = format!("github.com/{full_name}.git");
    let more = json!({
        "git_url": format!("git://{git}"), "ssh_url": format!("ssh://git@{git}"),
        "clone_url": format!("https://{git}"), "svn_url": format!("https://{git}"),
        "mirror_url": null, "homepage": null, "language": null, "license": null, "size": 108,
        "forks_count": 0, "stargazers_count": 0, "watchers_count": 0, "open_issues_count": 0,
        "forks": 0, "watchers": 0, "open_issues": 0, "default_branch": "main",
        "has_pages": false, "disabled": false, "pushed_at": MADE, "created_at": MADE,
        "updated_at": MADE,
    });
    both(repository(full_name), more)
}

/// A workflow, as webhooks tell of it.
pub(super) fn workflow(repository: &str, file: &str) -> Value {
    json!({
        "id": 159_038, "node_id": "MDg6V29ya2Zsb3cxNTkwMzg=", "name": "Deploy",
        "path": format!(".github/workflows/{file}"), "state": "active", "created_at": MADE,
        "updated_at": MADE,
        "url": format!("https://api.github.com/repos/{repository}/actions/workflows/159038"),
        "html_url": format!("https://github.com/{repository}/blob/main/.github/workflows/{file}"),
        "badge_url": format!("https://github.com/{repository}/workflows/Deploy/badge.svg"),
    })
}

fn with_addresses(of: Value, url: &str, names: &str) -> Value {
    let names = names.split_whitespace();
    let addresses = names.map(|name| (format!("{name}_url"), format!("{url}/{name}").into()));
    both(of, Value::Object(addresses.collect::<Map<_, _>>()))
}

fn both(mut one: Value, other: Value) -> Value {
    let Value::Object(other) = other else {
        panic!("{other}")
    };
    one.as_object_mut().unwrap().extend(other);
    one
}
