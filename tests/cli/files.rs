//! `vaultgram files`: secrets in files of their own, as in `/run/secrets`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::exec::{end, send};
use crate::served::{Served, fields, wait_for};

#[test]
fn each_secret_is_in_a_file_that_is_its_owners_alone() {
    let served = Served::start();
    served.put("app/db", &fields());
    fs::create_dir(served.path("secrets")).unwrap();
    let given = ["db_password=app/db#password", "db.json=secret/app/db#json"];
    let run = |first: &[&str]| served.run(&[first, &given[..]].concat());

    let checked = run(&["files", "--dir", "secrets", "--check"]);
    assert_eq!(
        (checked.code, checked.out.as_str()),
        (66, ""),
        "{checked:?}"
    );
    assert!(
        checked.err.contains("secrets/db_password: is not there"),
        "{checked:?}"
    );

    let ran = run(&["files", "--dir", "secrets"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "secrets: 2 of 2 files written\n"),
        "{ran:?}"
    );
    for (name, content) in [
        ("db_password", "p<\"\\/ü😀& $HOME 'x' %0A\n::add-mask::no\n"),
        (
            "db.json",
            r#"{"empty":"","list":["leaf-secret",12.5,true]}"#,
        ),
    ] {
        let path = served.path("secrets").join(name);
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{name}");
    }
    let ran = run(&["files", "--dir", "secrets", "--json"]);
    assert_eq!(
        ran.out, "{\"dir\":\"secrets\",\"written\":0}\n",
        "nothing has changed"
    );

    let reads = served.reads();
    assert_eq!(run(&["files", "--dir", "secrets", "--check"]).code, 0);
    assert_eq!(served.reads(), reads, "nobody is asked");
    let path = served.path("secrets/db_password");
    fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(run(&["files", "--dir", "secrets", "--check"]).code, 66);
}

#[test]
fn nothing_is_written_where_one_cannot_be_read() {
    let served = Served::start();
    served.put("app/db", &json!({"user": "ann"}));
    served.put("private/db", &json!({"user": "eve"}));
    fs::create_dir(served.path("secrets")).unwrap();
    for (given, code) in [
        (&["a=app/db#user", "b=private/db#user"][..], 77),
        (&["a=app/db#user", "b=app/none#user"], 66),
        (&["a=app/db#user", "../b=app/db#user"], 64),
        (&["a=app/db#user", "a=app/db#user"], 64),
    ] {
        let ran = served.run(&[&["files", "--dir", "secrets"], given].concat());
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (code, ""),
            "{given:?}: {ran:?}"
        );
    }
    let ran = served.run(&["files", "--dir", "nowhere", "a=app/db#user"]);
    assert_eq!(ran.code, 73, "{ran:?}");
    assert_eq!(fs::read_dir(served.path("secrets")).unwrap().count(), 0);
}

#[test]
fn who_waits_has_them_as_soon_as_vault_is_there_and_again_when_they_change() {
    let served = Served::start();
    served.put("app/db", &json!({"user": "ann"}));
    fs::create_dir(served.path("secrets")).unwrap();
    served.bao.seal();
    let ran = served.run(&[
        "files",
        "--dir",
        "secrets",
        "--wait",
        "1s",
        "user=app/db#user",
    ]);
    assert_eq!((ran.code, ran.out.as_str()), (69, ""), "{ran:?}");
    let mut command =
        served.vaultgram(&["files", "--dir", "secrets", "--wait", "1m", "--watch=1s"]);
    let child = command.arg("user=app/db#user").spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    served.bao.unseal();
    let file = served.path("secrets/user");
    wait_for(&file, |text| text == "ann");
    served.put("app/db", &json!({"user": "eve"}));
    wait_for(&file, |text| text == "eve");
    send(&child, Signal::TERM);
    assert_eq!(end(child).0, Some(0));
}
