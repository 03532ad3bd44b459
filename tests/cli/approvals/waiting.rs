//! Jobs that wait until somebody has decided.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command};

use serde_json::json;

use super::{ASKER, CODED, Host, LEAD, ends};
use crate::served::wait_for;
use crate::waiting::{answer, serve_at};
use crate::{Ran, vaultgram};

/// A command that waits, once it has said that it does; the request it waits for.
fn waits_for(mut command: Command) -> (Child, String) {
    let mut child = command.spawn().unwrap();
    let mut said = String::new();
    let mut err = BufReader::new(child.stderr.take().unwrap());
    err.read_line(&mut said).unwrap();
    let id = said.strip_prefix("note: request ").unwrap_or_default();
    let id = id.split(' ').next().unwrap_or_default().to_owned();
    assert_eq!(id.len(), 6, "{said}");
    // What comes after it is read by whoever waits for its end.
    std::thread::spawn(move || err.read_to_end(&mut vec![]).ok());
    (child, id)
}

/// As [`waits_for`], with all that it says on standard error in a file.
fn waits_into(host: &Host, name: &str, mut command: Command) -> (Child, String) {
    let file = std::fs::File::create(host.0.path(name)).unwrap();
    let child = command.stderr(file).spawn().unwrap();
    let said = wait_for(&host.0.path(name), |text| text.ends_with('\n'));
    let id = said.strip_prefix("note: request ").unwrap_or_default();
    let id = id.split(' ').next().unwrap_or_default().to_owned();
    assert_eq!(id.len(), 6, "{said}");
    (child, id)
}

#[test]
fn a_job_waits_until_somebody_agrees() {
    let Some(host) = Host::shared() else { return };
    let request = ["request", "prod/b", "--reason", "nightly report", "--wait"];
    let (child, id) = waits_for(host.command(ASKER, &request));
    // Another of the kind waits for the same request, and so does a read.
    let (second, same) = waits_for(host.command(ASKER, &request));
    let (get, of_get) = waits_for(host.command(ASKER, &["get", "prod/b#password", "--wait"]));
    assert_eq!((&id, &id), (&same, &of_get));
    ends(&host.run(ASKER, &["approve", &id]), 77, "your own");
    let voted = host.good(LEAD, &["approve", &id]);
    assert!(
        voted.starts_with(&format!("request {id} is granted, for ")),
        "{voted}"
    );
    for child in [child, second] {
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(
            ran.out
                .starts_with(&format!("request {id} is granted, for ")),
            "{ran:?}"
        );
    }
    let got = Ran::from(get.wait_with_output().unwrap());
    assert_eq!((got.code, got.out.as_str()), (0, "hunter2"));
    assert_eq!(host.good(ASKER, &["get", "prod/b#password"]), "hunter2");
    // It is granted already, and a job that starts again need not ask anew.
    let said = host.good(ASKER, &request);
    assert!(said.contains("is granted"), "{said}");
    ends(
        &host.run(ASKER, &request[..4]),
        64,
        "this is granted already",
    );

    let extend = ["extend", &id, "--reason", "it still runs", "--wait"];
    let (child, more) = waits_for(host.command(ASKER, &extend));
    host.good(CODED, &["approve", &more]);
    let ran = Ran::from(child.wait_with_output().unwrap());
    let said = format!("request {more} is granted: what {id} was granted lasts longer\n");
    assert_eq!((ran.code, ran.out), (0, said));

    let said = host.good(LEAD, &["revoke", &id]);
    assert_eq!(
        said,
        format!("uid:65532 revoked what request {id} was granted\n")
    );
    ends(
        &host.run(ASKER, &["get", "prod/b"]),
        77,
        "this needs approval",
    );
}

#[test]
fn a_job_that_waits_hears_a_no() {
    let Some(host) = Host::shared() else { return };
    let request = ["request", "prod/c", "--reason", "nightly report", "--wait"];
    let (child, id) = waits_into(host, "denied", host.command(ASKER, &request));
    let said = host.good(LEAD, &["deny", &id, "not", "during the freeze"]);
    assert_eq!(
        said,
        format!("uid:65532 denied request {id}: not during the freeze\n")
    );
    assert_eq!(Ran::from(child.wait_with_output().unwrap()).code, 77);
    let err = std::fs::read_to_string(host.0.path("denied")).unwrap();
    assert!(err.ends_with(&format!("error: {said}")), "{err}");
    ends(
        &host.run(LEAD, &["approve", &id]),
        77,
        "uid:65532 denied it (not during the freeze)",
    );
}

#[test]
fn whoever_has_waited_enough_leaves_the_request_open() {
    let Some(host) = Host::shared() else { return };
    let request = ["request", "prod/d", "--reason", "nightly report", "--wait"];
    let ran = host.run(ASKER, &[&request[..], &["--timeout", "1s"]].concat());
    ends(&ran, 75, "nobody decided within that time; request ");

    let (child, id) = waits_into(host, "stopped", host.command(ASKER, &request));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(Ran::from(child.wait_with_output().unwrap()).code, 130);
    let err = std::fs::read_to_string(host.0.path("stopped")).unwrap();
    for said in [
        format!("error: cancelled; request {id} stays open\n"),
        format!("`vaultgram cancel {id}` takes it back\n"),
    ] {
        assert!(err.contains(&said), "{said}: {err}");
    }
    assert!(
        host.good(ASKER, &["requests", &id])
            .contains("waits for 1 of leads")
    );

    // What its requester takes back elsewhere is waited for no longer.
    let (child, same) = waits_into(host, "cancelled", host.command(ASKER, &request));
    assert_eq!(same, id);
    host.good(ASKER, &["cancel", &id]);
    assert_eq!(Ran::from(child.wait_with_output().unwrap()).code, 77);
}

#[test]
fn votes_are_counted_as_they_come_in() {
    let Some(host) = Host::shared() else { return };
    ends(
        &host.run(ASKER, &["get", "quick/a"]),
        75,
        "this needs approval by 2 of leads",
    );
    let request = ["request", "quick/a", "--wait"];
    let (child, id) = waits_into(host, "votes", host.command(ASKER, &request));
    let said = host.good(LEAD, &["approve", &id]);
    assert!(
        said.contains("waits for 2 of leads: 1 of 2 approved"),
        "{said}"
    );
    wait_for(&host.0.path("votes"), |text| {
        text.contains("1 of 2 approved")
    });
    ends(
        &host.run(LEAD, &["approve", &id]),
        77,
        "you approved this request already",
    );
    host.good(CODED, &["approve", &id]);
    assert_eq!(Ran::from(child.wait_with_output().unwrap()).code, 0);
}

/// What a vaultgram says of a request that waits for two people, or is in another state.
fn said(state: &str, ttl: Option<u64>) -> String {
    let entry = json!({"id": "R7K2XQ", "state": state, "since": "", "by": null, "why": null,
        "ttl": ttl, "requester": "alice", "account": "uid:1", "description": null,
        "action": "read", "delivery": "socket", "path": "secret/a", "reason": "", "opened": "",
        "waits_until": "", "granted_until": null, "once": false, "broken_glass": false,
        "review": null, "extends": null, "votes": [], "asks": []});
    let envelope = json!({"request_id": "", "lease_id": "", "renewable": false,
        "lease_duration": 0, "data": entry, "wrap_info": null, "warnings": null, "auth": null});
    answer("200 OK", "", &envelope.to_string())
}

#[test]
fn what_nobody_decides_in_time_ends_the_wait() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let now = std::time::Duration::ZERO;
    let away = answer(
        "503 Service Unavailable",
        "",
        r#"{"errors":["Vault is sealed"]}"#,
    );
    // It is away for a while, which is waited for.
    let answers = vec![
        (now, said("pending", Some(60))),
        (now, away),
        (now, said("expired", None)),
    ];
    serve_at(UnixListener::bind(&socket).unwrap(), answers);
    let arguments = [
        "request",
        "a",
        "--wait",
        "--socket",
        socket.to_str().unwrap(),
    ];
    let ran = vaultgram(folder.path(), &[], &arguments);
    ends(
        &ran,
        75,
        "error: nobody decided request R7K2XQ in time\nhint: ask for it anew\n",
    );
    assert!(
        ran.err
            .contains("warning: Vault is sealed: it is tried again\n"),
        "{ran:?}"
    );
}
