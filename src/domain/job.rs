//! A job: whatever proves over the network who it is, by a token of an issuer that is trusted or by
//! a signature.

use std::collections::BTreeMap;

/// What tokens may say of a job, by the names that policies use: what its issuer calls itself, GitHub's
/// and GitLab's claims, and of Kubernetes' the names in `kubernetes.io`. All of it is text.
pub const CLAIMS: [&str; 37] = [
    "iss",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "repository_visibility",
    "ref",
    "ref_type",
    "ref_protected",
    "base_ref",
    "head_ref",
    "sha",
    "environment",
    "workflow",
    "workflow_ref",
    "job_workflow_ref",
    "event_name",
    "actor",
    "actor_id",
    "run_id",
    "run_number",
    "run_attempt",
    "runner_environment",
    "project_id",
    "project_path",
    "namespace_id",
    "namespace_path",
    "pipeline_id",
    "pipeline_source",
    "job_id",
    "user_id",
    "user_login",
    "environment_protected",
    "deployment_tier",
    "namespace",
    "service_account",
    "pod",
];

/// Those that tell one attempt of one run from all others: what was granted to one is not granted
/// to the next.
const OF_THE_RUN: [&str; 8] = [
    "repository_id",
    "run_id",
    "run_attempt",
    "project_id",
    "pipeline_id",
    "job_id",
    "environment",
    "ref",
];

/// Those that name who set it going, by number: the first there is.
const OF_WHOM: [&str; 2] = ["actor_id", "user_id"];

/// What GitHub's tokens say of their issuer, and where its runs are seen.
const GITHUB: (&str, &str) = (
    "https://token.actions.githubusercontent.com",
    "https://github.com",
);

/// As many signs of a commit's name as people look at.
const SHORT_SHA: usize = 7;

/// Longest name of an issuer, in bytes.
const MAX_ISSUER: usize = 32;

/// A job, known by what its issuer says of it, or as the owner of a signing key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Job {
    /// Whose word it is: the name of an issuer in the configuration, or where the job signs for itself,
    /// the owner of its key.
    pub issuer: String,
    /// The token's `sub`; of a signing key, the name of its owner.
    pub subject: String,
    /// What the token says, by the names in [`CLAIMS`].
    pub claims: BTreeMap<&'static str, String>,
}

impl Job {
    /// The value of one claim.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&str> {
        self.claims.get(name).map(String::as_str)
    }

    /// Whose doing it is, as an account at the issuer: the number of who set it going, else the
    /// subject.
    #[must_use]
    pub fn account(&self) -> &str {
        let number = OF_WHOM.iter().find_map(|name| self.claim(name));
        number.unwrap_or(&self.subject)
    }

    /// Whether `other` is the same attempt of the same run.
    #[must_use]
    pub fn is_same_run(&self, other: &Self) -> bool {
        let same = |name: &&str| self.claim(name) == other.claim(name);
        self.issuer == other.issuer && self.subject == other.subject && OF_THE_RUN.iter().all(same)
    }

    /// Everything that is known, for the job to see.
    #[must_use]
    pub fn facts(&self) -> BTreeMap<String, String> {
        let own = [("issuer", &self.issuer), ("subject", &self.subject)];
        let claims = self.claims.iter().map(|(name, text)| (*name, text));
        let facts = own.into_iter().chain(claims);
        facts
            .map(|(name, text)| (name.to_owned(), text.clone()))
            .collect()
    }

    /// Where people see the run, if its issuer is one that says so: GitHub or GitLab.
    #[must_use]
    pub fn run_url(&self) -> Option<String> {
        let issuer = self.claim("iss")?;
        let plain = |name: &str| {
            let known = |sign: char| sign.is_ascii_alphanumeric() || "-_./".contains(sign);
            self.claim(name).filter(|text| text.chars().all(known))
        };
        if let Some(run) = plain("run_id") {
            let (server, repository) = (github(issuer)?, plain("repository")?);
            let attempt = plain("run_attempt").map(|number| format!("/attempts/{number}"));
            let attempt = attempt.unwrap_or_default();
            return Some(format!("{server}/{repository}/actions/runs/{run}{attempt}"));
        }
        let project = plain("project_path")?;
        let (kind, number) = match plain("job_id") {
            Some(job) => ("jobs", job),
            None => ("pipelines", plain("pipeline_id")?),
        };
        Some(format!("{issuer}/{project}/-/{kind}/{number}"))
    }

    /// For people: `acme/web refs/heads/main at 0123abc, run 7 attempt 1, environment production, by alice`.
    #[must_use]
    pub fn describe(&self) -> String {
        let first = |names: &[&str]| names.iter().find_map(|name| self.claim(name));
        let mut place = first(&["repository", "project_path"])
            .unwrap_or(&self.subject)
            .to_owned();
        if let Some(reference) = self.claim("ref") {
            place = format!("{place} {reference}");
        }
        if let Some(commit) = self.claim("sha").and_then(|sha| sha.get(..SHORT_SHA)) {
            place = format!("{place} at {commit}");
        }
        let run = first(&["run_id", "pipeline_id"]).map(|run| {
            let attempt = self.claim("run_attempt");
            let attempt = attempt.map(|number| format!(" attempt {number}"));
            format!("run {run}{}", attempt.unwrap_or_default())
        });
        let named = |name: &str, what: &str| self.claim(name).map(|it| format!("{what} {it}"));
        let by = first(&["actor", "user_login"]).map(|who| format!("by {who}"));
        let parts = [Some(place), run, named("environment", "environment"), by];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// Where a GitHub that calls itself `issuer` in its tokens shows its runs: the one of everybody, an
/// enterprise's in GitHub's cloud, or on its own server.
fn github(issuer: &str) -> Option<String> {
    if issuer == GITHUB.0 {
        return Some(GITHUB.1.to_owned());
    }
    let cloud = issuer.strip_prefix("https://token.actions.");
    if let Some(host) = cloud.filter(|host| host.ends_with(".ghe.com")) {
        return Some(format!("https://{host}"));
    }
    issuer.strip_suffix("/_services/token").map(str::to_owned)
}

/// The name in [`CLAIMS`] that `name` is.
#[must_use]
pub fn claim(name: &str) -> Option<&'static str> {
    CLAIMS.iter().copied().find(|known| *known == name)
}

/// Whether an issuer can have this name: small letters, digits and `-`, and no word that accounts
/// and members of groups begin with.
#[must_use]
pub fn is_issuer(name: &str) -> bool {
    let taken = ["telegram", "uid", "gid", "unit", "person", "group"];
    let sign = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=MAX_ISSUER).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(sign)
        && !taken.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(claims: &[(&'static str, &str)]) -> Job {
        let claims = claims
            .iter()
            .map(|(name, text)| (*name, (*text).to_owned()));
        Job {
            issuer: "github".to_owned(),
            subject: "repo:acme/web:ref:refs/heads/main".to_owned(),
            claims: claims.collect(),
        }
    }

    #[test]
    fn another_attempt_is_another_run() {
        let run = [
            ("repository_id", "7"),
            ("run_id", "30"),
            ("run_attempt", "1"),
        ];
        let one = job(&run);
        assert!(one.is_same_run(&job(&run)));
        let same = [run[0], run[1], run[2], ("sha", "abc"), ("actor", "alice")];
        assert!(one.is_same_run(&job(&same)), "of what is the same anyway");
        for (place, name) in ["repository_id", "run_id", "run_attempt"]
            .iter()
            .enumerate()
        {
            let mut other = run;
            other[place] = (name, "2");
            assert!(!one.is_same_run(&job(&other)), "{name}");
        }
        let mut other = one.clone();
        other.subject.push('x');
        assert!(!one.is_same_run(&other));
        let mut other = one.clone();
        other.issuer = "gitlab".to_owned();
        assert!(!one.is_same_run(&other));
    }

    #[test]
    fn whose_doing_it_is_is_a_number_where_there_is_one() {
        assert_eq!(job(&[("actor_id", "5"), ("user_id", "6")]).account(), "5");
        assert_eq!(job(&[("user_id", "6")]).account(), "6");
        assert_eq!(job(&[]).account(), "repo:acme/web:ref:refs/heads/main");
    }

    #[test]
    fn is_described_by_what_people_look_at() {
        let full = job(&[
            ("repository", "acme/web"),
            ("ref", "refs/heads/main"),
            ("sha", "0123abcd0123abcd"),
            ("run_id", "30"),
            ("run_attempt", "2"),
            ("environment", "production"),
            ("actor", "alice"),
        ]);
        assert_eq!(
            full.describe(),
            "acme/web refs/heads/main at 0123abc, run 30 attempt 2, environment production, by alice"
        );
        assert_eq!(job(&[]).describe(), "repo:acme/web:ref:refs/heads/main");
    }

    #[test]
    fn a_run_is_seen_where_its_issuer_has_it() {
        let url = |issuer: &'static str, more: &[(&'static str, &str)]| {
            job(&[&[("iss", issuer)], more].concat()).run_url()
        };
        let run = [("repository", "acme/web"), ("run_id", "30")];
        let again = [run[0], run[1], ("run_attempt", "2")];
        for (issuer, claims, expected) in [
            (
                GITHUB.0,
                &run[..],
                "https://github.com/acme/web/actions/runs/30",
            ),
            (
                GITHUB.0,
                &again,
                "https://github.com/acme/web/actions/runs/30/attempts/2",
            ),
            (
                "https://token.actions.acme.ghe.com",
                &run,
                "https://acme.ghe.com/acme/web/actions/runs/30",
            ),
            (
                "https://git.acme.org/_services/token",
                &run,
                "https://git.acme.org/acme/web/actions/runs/30",
            ),
            (
                "https://gitlab.acme.org",
                &[("project_path", "a/b/c"), ("pipeline_id", "7")],
                "https://gitlab.acme.org/a/b/c/-/pipelines/7",
            ),
            (
                "https://gitlab.acme.org",
                &[
                    ("project_path", "a/b"),
                    ("pipeline_id", "7"),
                    ("job_id", "8"),
                ],
                "https://gitlab.acme.org/a/b/-/jobs/8",
            ),
        ] {
            assert_eq!(url(issuer, claims).as_deref(), Some(expected));
        }
        assert_eq!(url("https://elsewhere.org", &run), None);
        assert_eq!(url(GITHUB.0, &run[..1]), None);
        let odd = [("repository", "acme/web?x"), run[1]];
        assert_eq!(url(GITHUB.0, &odd), None);
        assert_eq!(job(&run).run_url(), None);
    }

    #[test]
    fn no_issuer_has_a_name_that_means_something_else() {
        for name in ["github", "gitlab-eu", "k8s"] {
            assert!(is_issuer(name), "{name}");
        }
        let long = "a".repeat(33);
        for name in [
            "", "uid", "telegram", "person", "GitHub", "1a", "a:b", "a b", &long,
        ] {
            assert!(!is_issuer(name), "{name}");
        }
    }
}
