//! People, groups and policies in the configuration, and the commands about them.

use std::path::Path;

use crate::config::{VARIABLES, check, folder, mode};
use crate::{Ran, vaultgram};

#[test]
fn an_account_is_one_persons_and_members_exist() {
    let telegram = "[telegram]\nallowed_users = [1001, 1002]\nunix_users = { 1001 = 990 }\n";
    for (more, said) in [
        (
            "[people]\nalice = [\"telegram:1001\", \"uid:990\"]\n[groups]\na = [\"person:alice\"]\n",
            "",
        ),
        (
            "[people]\nalice = [\"gid:5\"]\n",
            "[people] alice: account 1 is not \"telegram:1001\"",
        ),
        (
            "[people]\n\"a b\" = []\n",
            "[people]: a name has 1 to 64 letters",
        ),
        (
            "[people]\nalice = [\"uid:5\"]\nbob = [\"uid:5\"]\n",
            "[people]: uid:5 is in \"alice\" and in \"bob\"",
        ),
        (
            "[people]\nalice = [\"telegram:1001\"]\nbob = [\"uid:990\"]\n",
            "[people]: telegram:1001 and uid:990 are one person by [telegram] unix_users",
        ),
        (
            "[groups]\na = [\"person:bob\"]\n",
            "nobody is called \"bob\"; add them to [people]",
        ),
    ] {
        let ran = check(&format!("{telegram}{more}"), "", VARIABLES);
        let code = if said.is_empty() { 0 } else { 78 };
        assert_eq!(ran.code, code, "{more}: {}", ran.err);
        assert!(ran.err.contains(said), "{more}: {}", ran.err);
    }
}

#[test]
fn policies_may_be_a_folder_and_zones_and_admins_must_exist() {
    let directory = folder("[telegram]\n[policy]\nfiles = [\"rules\"]\n", "");
    let rules = directory.path().join("rules");
    std::fs::create_dir(&rules).unwrap();
    let checked = || vaultgram(directory.path(), VARIABLES, &["check"]);
    let ran = checked();
    assert!(
        ran.code == 78 && ran.err.contains("rules: has no *.cedar in it"),
        "{}",
        ran.err
    );
    let permit = |id: &str| {
        format!("@id(\"{id}\")\npermit(principal, action == Action::\"read\", resource);")
    };
    std::fs::write(rules.join("20-b.cedar"), permit("b")).unwrap();
    // As Kubernetes lays it out.
    std::fs::create_dir(rules.join("..2026")).unwrap();
    std::fs::write(rules.join("..2026/10-a.cedar"), permit("a")).unwrap();
    std::os::unix::fs::symlink("..2026", rules.join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/10-a.cedar", rules.join("10-a.cedar")).unwrap();
    for left in [
        ".hidden.cedar",
        ".#20-b.cedar",
        "20-b.cedar~",
        "README.md",
        "#20-b.cedar#",
    ] {
        std::fs::write(rules.join(left), "not a policy").unwrap();
    }
    let ran = checked();
    assert!(
        ran.code == 0 && ran.out.contains("policy    2 policies"),
        "{} {}",
        ran.out,
        ran.err
    );
    std::fs::write(rules.join("30-c.cedar"), permit("a")).unwrap();
    let ran = checked();
    assert!(
        ran.err
            .contains("rules/30-c.cedar:1:1: the id \"a\" is taken: rules/10-a.cedar:1:1"),
        "{}",
        ran.err
    );
    std::fs::remove_file(rules.join("30-c.cedar")).unwrap();
    mode(&rules, 0o777);
    let ran = checked();
    assert!(
        ran.code == 78 && ran.err.contains("run: chmod go-w"),
        "{}",
        ran.err
    );

    for (policy, said) in [
        ("timezone = \"Europe/Berlin\"", ""),
        (
            "timezone = \"hunter2\"",
            "[policy] timezone: this system knows no such zone",
        ),
        ("admins = \"ops\"\n[groups]\nops = []", ""),
        (
            "admins = \"ops\"",
            "[policy] admins: the group \"ops\" is not defined",
        ),
    ] {
        let ran = check(&format!("[telegram]\n[policy]\n{policy}\n"), "", VARIABLES);
        assert_eq!(ran.code == 0, said.is_empty(), "{policy}: {}", ran.err);
        assert!(
            ran.err.contains(said) && !ran.err.contains("hunter2"),
            "{}",
            ran.err
        );
    }
}

/// A folder with people, groups and policies that speak of many things.
fn many_things() -> tempfile::TempDir {
    folder(
        "[people]\nalice = [\"telegram:1001\", \"uid:1000\"]\n\
         [groups]\ndevelopers = []\nall = [\"group:developers\"]\n[socket]\n",
        r#"
@id("by-day")
@description("Alice, by day")
@cache("1m")
permit(principal in Person::"alice", action == Action::"read", resource in Path::"secret/a")
when { context.time.hour >= 9 && context.time.hour < 17 };

@id("developers")
permit(principal in Group::"all", action, resource in Path::"secret/a");

@id("no-messages")
forbid(principal, action == Action::"read", resource in Path::"secret/b")
when { context.delivery == "message" };

@id("b")
permit(principal is TelegramUser, action == Action::"read", resource in Path::"secret/b")
when { context has chat && context.chat == "private" };

@id("unit")
permit(principal == UnixPeer::"990", action == Action::"put", resource)
when { principal has unit && principal.unit == "deploy.service" && context.cas };

@id("reasoned")
permit(principal == UnixPeer::"990", action == Action::"destroy", resource)
when { context has reason };
"#,
    )
}

#[test]
fn the_schema_is_printed() {
    let ran = vaultgram(&std::env::temp_dir(), &[], &["policy", "schema"]);
    assert_eq!(ran.code, 0);
    assert_eq!(ran.out, vaultgram::domain::policy_load::SCHEMA);
}

#[test]
fn policies_are_validated_without_anything_else() {
    let directory = many_things();
    let run = |arguments: &[&str]| {
        let arguments: Vec<&str> = ["policy", "validate"]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        vaultgram(directory.path(), &[], &arguments)
    };
    let ran = run(&[]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(
        ran.out,
        "warning: developers permits every action, so writing and deleting too\n6 policies, correct\n"
    );
    let json: serde_json::Value = serde_json::from_str(&run(&["--json"]).out).unwrap();
    assert_eq!(json["policies"], 6);
    std::fs::write(
        directory.path().join("x.cedar"),
        "permit(principal in Group::\"x\",\n  action, resourc);",
    )
    .unwrap();
    let ran = run(&["x.cedar"]);
    assert_eq!(ran.code, 78);
    assert!(ran.err.starts_with("error: x.cedar:2:11: "), "{}", ran.err);
    let ran = run(&["x.cedar", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert!(ran.code == 78 && json["correct"] == false && json["problems"][0].is_string());
    let ran = run(&["no.cedar"]);
    assert!(
        ran.code == 78 && ran.err.contains("no.cedar: no such file"),
        "{}",
        ran.err
    );
}

pub(crate) fn explain(folder: &Path, line: &str) -> Ran {
    let words = ["policy", "explain"].into_iter().chain(line.split(' '));
    let arguments: Vec<&str> = words.collect();
    vaultgram(folder, &[], &arguments)
}

#[test]
fn an_answer_is_explained_with_what_would_change_it() {
    let directory = many_things();
    let run = |line: &str| explain(directory.path(), line);
    let day = "--at 2026-11-30T09:00";
    let night = "--at 2026-11-30T20:07";
    let ran = run(&format!("--as person:alice --read secret/a/x {day}"));
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(
        ran.out,
        "allowed: telegram:1001 (alice) may read secret/a/x, delivery message, private chat, monday \
         2026-11-30 09:00 (UTC)\n  by by-day (policy.cedar:2): Alice, by day\n  what is read may be \
         kept for 60 s\n\n\
         allowed: uid:1000 (alice) may read secret/a/x, delivery socket, monday 2026-11-30 09:00 \
         (UTC)\n  by by-day (policy.cedar:2): Alice, by day\n  what is read may be kept for 60 s\n"
    );
    let ran = run(&format!("--as telegram:1001 --read secret/a/x {night}"));
    assert_eq!(
        ran.out,
        "denied: telegram:1001 (alice) may not read secret/a/x, delivery message, private chat, \
         monday 2026-11-30 20:07 (UTC)\n  no policy permits it\n  it would be allowed\n    \
         at another time: tuesday 2026-12-01 09:00 (UTC)\n    to a member of the group all\n    \
         to a member of the group developers\n"
    );
    let changes = |line: &str| {
        let ran = run(&format!("{line} {day} --json"));
        let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        let answer = &json["answers"][0];
        let pair = |change: &serde_json::Value| {
            let to = change["to"].as_str().unwrap_or_default();
            format!("{}={to}", change["what"].as_str().unwrap())
        };
        let changes = answer["changes"].as_array().unwrap().iter().map(pair);
        (
            answer["allowed"].clone(),
            answer["policies"][0]["id"].clone(),
            changes.collect::<Vec<_>>(),
        )
    };
    let deny = serde_json::Value::from(false);
    let none = serde_json::Value::Null;
    assert_eq!(
        changes("--as telegram:7 --read secret/b/x"),
        (
            deny.clone(),
            "no-messages".into(),
            ["delivery=wrapped", "delivery=sealed", "delivery=socket"]
                .map(String::from)
                .to_vec()
        )
    );
    assert_eq!(
        changes("--as telegram:7 --read secret/b/x --delivery sealed --chat group"),
        (deny.clone(), none.clone(), vec!["chat=private".to_owned()])
    );
    assert_eq!(
        changes("--as uid:990 --put secret/c --unit deploy.service"),
        (deny.clone(), none.clone(), vec!["cas=true".to_owned()])
    );
    assert_eq!(
        changes("--as uid:990 --put secret/c --cas"),
        (
            deny.clone(),
            none.clone(),
            vec!["unit=deploy.service".to_owned()]
        )
    );
    assert_eq!(
        changes("--as uid:990 --destroy secret/c"),
        (deny.clone(), none.clone(), vec!["reason=".to_owned()])
    );
    // Two things at once are missing: nothing is promised.
    assert_eq!(changes("--as uid:990 --put secret/c"), (deny, none, vec![]));
}

#[test]
fn questions_that_mean_nothing_are_refused() {
    let directory = many_things();
    for (line, said) in [
        (
            "--as alice --read secret/a",
            "as: write telegram:1001, uid:990, person:alice, or a job by issuer and subject",
        ),
        (
            "--as person:bob --read secret/a",
            "as: nobody is called \"bob\"",
        ),
        (
            "--as uid:1 --read secret/a --chat group",
            "chat: is of Telegram",
        ),
        (
            "--as telegram:1 --read secret/a --unit a.service",
            "unit: is of local programs",
        ),
        (
            "--as uid:1 --list secret/a --delivery sealed",
            "delivery: is of read and invoke",
        ),
        (
            "--as uid:1 --read secret/a --at noon",
            "at: \"noon\" is no time",
        ),
        ("--as uid:1", "required"),
        ("--as uid:1 --read a --list b", "cannot be used with"),
    ] {
        let ran = explain(directory.path(), line);
        assert!(
            ran.code == 64 && ran.err.contains(said),
            "{line}: {} {}",
            ran.code,
            ran.err
        );
    }
}

#[test]
fn cases_are_tested_and_each_that_fails_is_placed() {
    let directory = many_things();
    let test = |cases: &str, more: &[&str]| {
        std::fs::write(directory.path().join("t.toml"), cases).unwrap();
        let arguments: Vec<&str> = ["policy", "test", "t.toml"]
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        vaultgram(directory.path(), &[], &arguments)
    };
    let case = |more: &str| {
        format!(
            "[[case]]\nname = \"one\"\nas = \"telegram:1001\"\nread = \"secret/a/x\"\nat = \"2026-11-30T09:00\"\n{more}\n"
        )
    };
    let good = case("expect = \"allow\"\nby = [\"by-day\"]");
    let ran = test(&good, &[]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "1 case, all as expected\n")
    );
    let bad = case("expect = \"deny\"");
    let ran = test(&format!("{good}\n{bad}"), &[]);
    assert_eq!(ran.code, 1);
    assert_eq!(
        ran.out,
        "t.toml:9: one: expected deny, got allow by by-day (policy.cedar:2), for telegram:1001\n"
    );
    assert!(
        ran.err.contains("1 answer not as expected, in 2 cases"),
        "{}",
        ran.err
    );
    let ran = test(&bad, &["--json"]);
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert!(
        ran.code == 1 && json["failed"][0]["place"] == "t.toml:1",
        "{}",
        ran.out
    );
    let other = case("expect = \"allow\"\nby = [\"developers\"]");
    assert_eq!(test(&other, &[]).code, 1);
    for (wrong, said) in [
        (
            case("expect = \"maybe\""),
            "t.toml:1: one: expect: write allow, deny, approval or reason",
        ),
        (
            case("expect = \"allow\"\nby = [\"x\"]"),
            "by: no policy is called \"x\"",
        ),
        (
            case("expect = \"allow\"\nlist = \"a\""),
            "name one action with its path",
        ),
        (
            case("expects = \"allow\""),
            "t.toml:6: unknown field `expects`",
        ),
    ] {
        let ran = test(&wrong, &[]);
        assert!(
            ran.code == 65 && ran.err.contains(said),
            "{wrong}: {} {}",
            ran.code,
            ran.err
        );
    }
    assert_eq!(
        vaultgram(directory.path(), &[], &["policy", "test", "no.toml"]).code,
        66
    );
}
