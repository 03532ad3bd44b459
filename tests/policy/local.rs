//! What policies see of local programs, and what they may not rest on.

use std::collections::BTreeSet;

use vaultgram::domain::caller::{ChatKind, UnixPeer};
use vaultgram::domain::{Caller, Policy};

use crate::{allows, load, telegram};

/// User 990 in its own group, of whom all else is unknown.
fn peer(change: impl FnOnce(&mut UnixPeer)) -> Caller {
    let mut peer = UnixPeer::known(990, 990, 7);
    change(&mut peer);
    Caller::Unix(peer)
}

/// Of whom `policy` asks this, and of whom that, is let in only when it is so.
fn told_apart(policy: &str, so: impl FnOnce(&mut UnixPeer), not_so: impl FnOnce(&mut UnixPeer)) {
    let policy = load(policy).unwrap_or_else(|errors| panic!("{errors:?}"));
    assert!(allows(&policy, peer(so), "a"));
    assert!(!allows(&policy, peer(not_so), "a"));
    assert!(!allows(&policy, peer(|_| {}), "a"), "unknown is not equal");
}

#[test]
fn programs_units_and_containers_can_be_told_apart() {
    let id = "3f".repeat(32);
    for name in [
        "executable",
        "executable_sha256",
        "unit",
        "slice",
        "container",
        "pod",
    ] {
        let policy = format!(
            "permit(principal is UnixPeer, action, resource)
             when {{ principal has {name} && principal.{name} == \"{id}\" }};"
        );
        let is = |text: &str| {
            let text = Some(text.to_owned());
            move |peer: &mut UnixPeer| match name {
                "executable" => peer.executable = text,
                "executable_sha256" => peer.executable_sha256 = text,
                "unit" => peer.unit = text,
                "slice" => peer.slice = text,
                "container" => peer.container = text,
                _ => peer.pod = text,
            }
        };
        told_apart(&policy, is(&id), is("other"));
    }
    told_apart(
        "permit(principal is UnixPeer, action, resource)
         when { principal has groups && principal.groups.contains(27) };",
        |peer| peer.groups = Some(BTreeSet::from([5, 27, 990])),
        |peer| peer.groups = Some(BTreeSet::from([5, 990])),
    );
    told_apart(
        "permit(principal in Group::\"deployers\", action, resource);",
        |peer| peer.unit = Some("deploy.service".to_owned()),
        |peer| peer.unit = Some("deploy2.service".to_owned()),
    );
}

#[test]
fn sockets_can_be_told_apart() {
    told_apart(
        "permit(principal, action, resource)
         when { context has socket && context.socket == \"ci\" };",
        |peer| peer.socket = Some("ci".to_owned()),
        |peer| peer.socket = Some("default".to_owned()),
    );
}

#[test]
fn only_sockets_that_exist_are_spoken_of() {
    let known = ["default".to_owned(), "ci".to_owned()];
    let check = |condition: &str| {
        let policy = format!(
            "@id(\"x\") forbid(principal, action, resource) when {{ context has socket && {condition} }};"
        );
        let checked = load(&policy).unwrap().check_sockets(&known);
        checked.map_err(|error| error.to_string())
    };
    for fine in [
        "context.socket == \"ci\"",
        "context.socket != \"default\"",
        "[\"ci\", \"default\"].contains(context.socket)",
    ] {
        assert_eq!(check(fine), Ok(()), "{fine}");
    }
    for wrong in [
        "context.socket == \"cii\"",
        "\"cii\" != context.socket",
        "!([\"ci\", \"cii\"].contains(context.socket))",
    ] {
        assert_eq!(
            check(wrong).unwrap_err(),
            "x: no socket is called \"cii\"; there is \"default\", \"ci\"",
            "{wrong}"
        );
    }
}

#[test]
fn hashes_are_looked_at_where_a_policy_speaks_of_them() {
    let speaks = |text: &str| load(text).unwrap().speaks_of_hashes();
    assert!(!speaks("permit(principal, action, resource);"));
    assert!(speaks(
        "permit(principal, action, resource);
         forbid(principal is UnixPeer, action, resource)
         unless { principal has executable_sha256 && principal.executable_sha256 == \"0\" };"
    ));
}

/// Not to be known never gets anybody more.
#[test]
fn what_is_not_always_known_cannot_open_anything() {
    let unit = "principal has unit && principal.unit == \"a.service\"";
    let deployers = "principal in Group::\"deployers\"";
    for (policy, expected) in [
        (
            format!("forbid(principal is UnixPeer, action, resource) when {{ {unit} }};"),
            "policy.cedar:1:56: whether principal has unit is not always known, and this policy \
             does not apply where it is not; turn it round: forbid (…) unless { principal has unit",
        ),
        (
            format!("permit(principal is UnixPeer, action, resource) unless {{ {unit} }};"),
            "this policy applies where it is not; turn it round: permit (…) when { principal has unit",
        ),
        (
            format!("permit(principal is UnixPeer, action, resource) when {{ !({unit}) }};"),
            "whether principal has unit",
        ),
        (
            format!("forbid(principal is UnixPeer, action, resource) when {{ principal.uid == 5 || ({unit}) }};"),
            "whether principal has unit",
        ),
        (
            "forbid(principal is UnixPeer, action, resource) unless { !(principal has groups) || principal.uid == 5 };"
                .to_owned(),
            "whether principal has groups",
        ),
        (
            format!("forbid(principal is UnixPeer, action, resource) unless {{ ({unit}) == false }};"),
            "whether principal has unit",
        ),
        (
            format!("forbid(principal is UnixPeer, action, resource) unless {{ if {unit} then false else true }};"),
            "whether principal has unit",
        ),
        (
            "forbid(principal in Group::\"deployers\", action, resource);".to_owned(),
            "policy.cedar:1:8: whether principal in Group::\"deployers\" is not always known",
        ),
        (
            "forbid(principal is UnixPeer in Group::\"deployers\", action, resource);".to_owned(),
            "whether principal in Group::\"deployers\"",
        ),
        (
            format!("forbid(principal, action, resource) when {{ {deployers} }};"),
            "whether principal in Group::\"deployers\"",
        ),
        (
            format!("permit(principal, action, resource) unless {{ {deployers} }};"),
            "whether principal in Group::\"deployers\"",
        ),
        (
            "forbid(principal, action, resource) when { principal in [Group::\"everyone\", Group::\"deployers\"] };".to_owned(),
            "whether principal in Group::\"deployers\"",
        ),
    ] {
        let errors = load(&policy).err().unwrap_or_else(|| panic!("accepted {policy}"));
        assert!(errors.iter().any(|error| error.contains(expected)), "{policy}: {errors:?}");
    }
}

#[test]
fn what_is_not_always_known_can_let_pass() {
    let loads = |text: &str| load(text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
    for fine in [
        "permit(principal in Group::\"deployers\", action, resource);",
        "forbid(principal in Group::\"developers\", action, resource);",
        "forbid(principal, action, resource) unless { principal in [Group::\"deployers\"] };",
        "permit(principal is UnixPeer, action, resource)
         when { principal has unit && principal.unit != \"a.service\" };",
        "forbid(principal is UnixPeer, action, resource)
         when { !(principal has groups && principal.groups.contains(27)) };",
        "forbid(principal, action, resource) when { context has chat && context.chat == \"group\" };",
    ] {
        loads(fine);
    }
    let policy: Policy = loads(
        "permit(principal, action, resource);
         forbid(principal is UnixPeer, action, resource)
         unless { principal has unit && principal.unit == \"deploy.service\" };",
    );
    assert!(allows(&policy, telegram(1, ChatKind::Private), "a"));
    let deploy = |peer: &mut UnixPeer| peer.unit = Some("deploy.service".to_owned());
    assert!(allows(&policy, peer(deploy), "a"));
    assert!(!allows(&policy, peer(|_| {}), "a"));
}
