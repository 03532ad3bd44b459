//! Where the state is: the configuration's mistakes, its key, and `state migrate` there and back.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use vaultgram::broker::ports::{Claim, Clock, Coordination, SystemClock};
use vaultgram::coordination::{Kept, LocalStore, StateFile};

use crate::config::{VARIABLES, check, mode};
use crate::etcd::Etcd;
use crate::openbao::wait_until;
use crate::{Ran, vaultgram};

const KEY: &str = "state-secret:0101010101010101010101010101010101010101010101010101010101010101";
const OTHER_KEY: &str =
    "state-secret:0202020202020202020202020202020202020202020202020202020202020202";

fn with_key(key: &'static str) -> Vec<(&'static str, &'static str)> {
    [VARIABLES, &[("VAULTGRAM_STATE_KEY", key)]].concat()
}

fn toml(etcd: &str) -> String {
    format!("[socket]\npath = \"x.sock\"\n[state.etcd]\n{etcd}\n")
}

const ENDPOINTS: &str = "endpoints = [\"http://127.0.0.1:2379\"]";

/// `vaultgram check` refuses the section `etcd` and says `told`, and no password.
fn tells(etcd: &str, told: &str) {
    let ran = check(&toml(etcd), "", &with_key(KEY));
    assert_eq!(ran.code, 78, "{etcd}: {ran:?}");
    assert!(
        ran.err.contains(told) && !ran.err.contains("hunter2"),
        "{etcd}: {ran:?}"
    );
}

#[test]
fn each_mistake_about_endpoints_is_told() {
    for (etcd, told) in [
        ("", "[state.etcd] endpoints: name etcd's nodes"),
        (
            "endpoints = [\"etcd:2379\"]",
            "write each like \"https://etcd-1.example.org:2379\"",
        ),
        (
            "endpoints = [\"https://u:hunter2@etcd:2379\"]",
            "write each like",
        ),
        (
            "endpoints = [\"https://etcd:2379/x:2379\"]",
            "with nothing after the port",
        ),
        ("endpoints = [\"https://etcd\"]", "write each like"),
        (
            "endpoints = [\"https://:hunter2@etcd:2379\"]",
            "write each like",
        ),
        ("endpoints = [\"https://u@etcd:2379\"]", "write each like"),
        (
            "endpoints = [\"https://etcd:2379/?q=:2379\"]",
            "write each like",
        ),
        (
            "endpoints = [\"https://etcd:2379/#f:2379\"]",
            "write each like",
        ),
        ("endpoints = [\"ftp://etcd:2379\"]", "write each like"),
        (
            &format!("endpoints = [{}]", "\"http://127.0.0.1:2379\", ".repeat(33)),
            "[state.etcd] endpoints: name etcd's nodes",
        ),
        (
            "endpoints = [\"http://etcd:2379\"]",
            "etcd would be spoken to without TLS",
        ),
        (
            "endpoints = [\"http://127.0.0.1:2379\", \"https://etcd:2379\"]\nca_file = \"ca.pem\"",
            "either all are https://, or none is",
        ),
    ] {
        tells(etcd, told);
    }
}

#[test]
fn each_mistake_about_etcd_is_told() {
    for (etcd, told) in [
        (
            "endpoints = [\"https://etcd:2379\"]",
            "[state.etcd] ca_file: missing",
        ),
        (
            "endpoints = [\"https://etcd:2379\"]\nca_file = \"ca.pem\"\ncert_file = \"c.pem\"",
            "cert_file and key_file: set both, or neither",
        ),
        (
            "endpoints = [\"https://etcd:2379\"]\nca_file = \"ca.pem\"\nkey_file = \"k.pem\"",
            "cert_file and key_file: set both, or neither",
        ),
        (
            &format!("{ENDPOINTS}\nca_file = \"ca.pem\""),
            "have no effect on http:// endpoints",
        ),
        (
            &format!("{ENDPOINTS}\nprefix = \"vaultgram\""),
            "[state.etcd] prefix: what the keys",
        ),
        (
            &format!("{ENDPOINTS}\nlease = \"1s\""),
            "[state.etcd] lease: must be from 2s to 60s",
        ),
        (
            &format!("{ENDPOINTS}\nprefix = \"/a b/\""),
            "[state.etcd] prefix: what the keys",
        ),
        (
            &format!("{ENDPOINTS}\nprefix = \"{}/\"", "a".repeat(64)),
            "[state.etcd] prefix: what the keys",
        ),
        (
            &format!("{ENDPOINTS}\nlease = \"61s\""),
            "[state.etcd] lease: must be from 2s to 60s",
        ),
        (
            &format!("{ENDPOINTS}\nlease = \"2500ms\""),
            "in whole seconds",
        ),
        (
            &format!("{ENDPOINTS}\nreplica = \"\""),
            "[state.etcd] replica: a name",
        ),
        (
            &format!("{ENDPOINTS}\nuser = \"vaultgram\""),
            "is missing: VAULTGRAM_ETCD_PASSWORD",
        ),
    ] {
        tells(etcd, told);
    }
    let both =
        "[socket]\n[state]\nfile = \"x\"\n[state.etcd]\nendpoints = [\"http://[::1]:2379\"]\n";
    let ran = check(both, "", &with_key(KEY));
    assert!(
        ran.err
            .contains("the state is in one place; remove one of them"),
        "{ran:?}"
    );
}

#[test]
fn each_mistake_about_its_secrets_is_told() {
    let ran = check(&toml(ENDPOINTS), "", VARIABLES);
    let told = "VAULTGRAM_STATE_KEY is not set, and what is in etcd is sealed with it";
    assert!(ran.code == 78 && ran.err.contains(told), "{ran:?}");
    let ran = check(&toml(ENDPOINTS), "", &with_key("hunter2"));
    let told = "VAULTGRAM_STATE_KEY is no key for the state";
    assert!(
        ran.code == 78 && ran.err.contains(told) && !ran.err.contains("hunter2"),
        "{ran:?}"
    );
    let password = [
        &with_key(KEY)[..],
        &[("VAULTGRAM_ETCD_PASSWORD", "hunter2")],
    ]
    .concat();
    let ran = check(&toml(ENDPOINTS), "", &password);
    assert!(
        ran.err.contains("[state.etcd] user: missing") && ran.code == 78,
        "{ran:?}"
    );

    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key.pem");
    std::fs::write(&key, "-").unwrap();
    mode(&key, 0o644);
    let files = format!(
        "endpoints = [\"https://etcd:2379\"]\nca_file = \"ca.pem\"\ncert_file = \"c.pem\"\n\
         key_file = \"{}\"",
        key.display()
    );
    let ran = check(&toml(&files), "", &with_key(KEY));
    assert!(ran.code == 78 && ran.err.contains("chmod o-rwx"), "{ran:?}");
}

#[test]
fn what_is_right_is_shown() {
    let ran = check(
        &toml("endpoints = [\"http://etcd:2379\"]\nplaintext = true\nreplica = \"a\""),
        "",
        &with_key(KEY),
    );
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let told = "state     etcd at http://etcd:2379, under /vaultgram/; this replica is a\n          \
                sealed with key ";
    assert!(ran.out.contains(told), "{ran:?}");
    let both = [
        &with_key(KEY)[..],
        &[("VAULTGRAM_STATE_KEY_PREVIOUS", OTHER_KEY)],
    ]
    .concat();
    let password = [&both[..], &[("VAULTGRAM_ETCD_PASSWORD", "hunter2")]].concat();
    let ran = check(&toml(&format!("{ENDPOINTS}\nuser = \"vg\"")), "", &password);
    assert!(
        ran.out.contains(", opened with key ") && ran.out.contains(", as vg;"),
        "{ran:?}"
    );
    assert!(
        !ran.out.contains("0101") && !ran.out.contains("hunter2"),
        "{ran:?}"
    );
}

#[test]
fn a_key_is_made_once() {
    let directory = tempfile::tempdir().unwrap();
    let made = vaultgram(directory.path(), &[], &["state", "keygen"]);
    assert!(
        made.code == 0 && made.out.contains("VAULTGRAM_STATE_KEY_FILE=state.key"),
        "{made:?}"
    );
    let key = std::fs::read_to_string(directory.path().join("state.key")).unwrap();
    assert!(!made.out.contains(key.trim()), "{made:?}");
    let config = directory.path().join("vaultgram.toml");
    std::fs::write(config, toml(ENDPOINTS)).unwrap();
    std::fs::write(directory.path().join("policy.cedar"), "").unwrap();
    let file = [VARIABLES, &[("VAULTGRAM_STATE_KEY_FILE", "state.key")]].concat();
    let ran = vaultgram(directory.path(), &file, &["check"]);
    let id = made.out.split(' ').nth(2).unwrap();
    assert!(
        ran.out.contains(&format!("sealed with key {id}\n")),
        "{made:?} {ran:?}"
    );
    let again = vaultgram(directory.path(), &[], &["state", "keygen", "--json"]);
    assert!(
        again.code == 73 && again.err.contains("there is a key already"),
        "{again:?}"
    );
}

/// A folder with a configuration for `etcd`, and what runs there.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new(etcd: &Etcd) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let endpoints = format!("endpoints = {:?}", etcd.endpoints());
        std::fs::write(directory.path().join("vaultgram.toml"), toml(&endpoints)).unwrap();
        std::fs::write(directory.path().join("policy.cedar"), "").unwrap();
        Self { directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        vaultgram(self.path(), &with_key(KEY), arguments)
    }

    fn serve(&self, arguments: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_vaultgram"))
            .current_dir(self.path())
            .env_clear()
            .envs(with_key(KEY))
            .arg("serve")
            .args(arguments)
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn everything(&self, file: &str) -> Vec<Kept> {
        StateFile::open(self.path().join(file))
            .unwrap()
            .everything(now())
            .unwrap()
    }
}

fn now() -> i64 {
    SystemClock.now().unix_timestamp() * 1000
}

/// A state file as a vaultgram leaves it.
async fn fill(file: &Path) {
    let store = LocalStore::open(file.to_owned(), Arc::new(SystemClock)).unwrap();
    let in_an_hour = SystemClock.now() + Duration::from_hours(1);
    for key in ["claims/1", "claims/2", "claims/3"] {
        assert_eq!(store.claim(key, in_an_hour).await, Ok(Claim::Ours));
    }
    store.finish("claims/1").await.unwrap();
    store.finish("claims/2").await.unwrap();
    for number in 0..100 {
        store
            .put(&format!("deletions/{number:02}"), &[7; 1000])
            .await
            .unwrap();
    }
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_goes_to_etcd_and_back() {
    let etcd = Etcd::start();
    let place = Place::new(&etcd);
    let missing = place.run(&["state", "migrate", "--to", "etcd"]);
    assert!(
        missing.code == 66 && missing.err.contains("state.redb: no such file"),
        "{missing:?}"
    );
    let file = place.path().join("state.redb");
    fill(&file).await;
    let (bytes, kept) = (
        std::fs::read(&file).unwrap(),
        place.everything("state.redb"),
    );
    assert_eq!(kept.len(), 103);

    let there = place.run(&["state", "migrate", "--to", "etcd"]);
    assert_eq!((there.code, there.err.as_str()), (0, ""), "{there:?}");
    for told in [
        "copied from state.redb to etcd under /vaultgram/, read back and found the same:\n",
        "\nENTRIES    VALUES  CLAIMS DONE  CLAIMS NOT DONE\n",
        "\nclaims     0       2            1\n",
        "\ndeletions  100     0            0\n",
        "To go on there nonetheless: rm state.redb.moved\n",
    ] {
        assert!(there.out.contains(told), "{told}: {}", there.out);
    }
    assert_eq!(std::fs::read(&file).unwrap().len(), bytes.len());
    assert_eq!(place.everything("state.redb"), kept, "it is as it was");

    // Nobody starts where it came from, and it does not go twice.
    std::fs::write(
        place.path().join("old.toml"),
        "[socket]\npath = \"x.sock\"\n",
    )
    .unwrap();
    let serve = place.run(&["serve", "-c", "old.toml"]);
    assert!(
        serve.code == 73 && serve.err.contains("this state is not in use any more"),
        "{serve:?}"
    );
    assert!(serve.err.contains("rm "), "{serve:?}");
    let again = place.run(&["state", "migrate", "--to", "etcd"]);
    assert!(
        again.code == 73 && again.err.contains("not in use any more"),
        "{again:?}"
    );
    fill(&place.path().join("another.redb")).await;
    let onto = ["state", "migrate", "--to", "etcd", "--file", "another.redb"];
    let ran = place.run(&onto);
    assert!(
        ran.code == 73 && ran.err.contains("there is something already in etcd"),
        "{ran:?}"
    );
    assert!(!place.path().join("another.redb.moved").exists());
    // Neither onto a file that is marked, nor onto one that holds something.
    for file in ["state.redb", "another.redb"] {
        let ran = place.run(&["state", "migrate", "--to", "file", "--file", file]);
        let told = format!("there is something already in {file}");
        assert!(ran.code == 73 && ran.err.contains(&told), "{ran:?}");
    }

    // A replica that runs is left alone.
    let mut serving = place.serve(&[]);
    wait_until("it serves", || place.path().join("x.sock").exists());
    let back = [
        "state",
        "migrate",
        "--to",
        "file",
        "--file",
        "back.redb",
        "--json",
    ];
    wait_until("it is a member", || place.run(&back).code == 75);
    let busy = place.run(&back);
    assert!(
        busy.code == 75 && busy.err.contains("a vaultgram runs on etcd"),
        "{busy:?}"
    );
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&serving),
        rustix::process::Signal::TERM,
    )
    .unwrap();
    serving.wait().unwrap();

    let ran = place.run(&back);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    let said: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(said["from"], "etcd under /vaultgram/");
    assert_eq!(said["entries"]["deletions"]["values"], 100);
    assert_eq!(said["entries"]["claims"]["claims_not_done"], 1);
    let mut came_back = place.everything("back.redb");
    // What the replica that ran did for all may be there as well.
    came_back.retain(|kept| !kept.key.starts_with("duties/"));
    assert_eq!(came_back, kept);
    let again = place.run(&["state", "migrate", "--to", "file", "--file", "again.redb"]);
    assert!(
        again.code == 73 && again.err.contains("not in use any more"),
        "{again:?}"
    );
    let serve = place.run(&["serve"]);
    assert!(
        serve.code == 78 && serve.err.contains("etcdctl del /vaultgram/moved"),
        "{serve:?}"
    );
}

/// As docs/state.md says it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_is_changed_by_going_out_and_in_again() {
    let etcd = Etcd::start();
    let place = Place::new(&etcd);
    fill(&place.path().join("state.redb")).await;
    let (old, new) = (with_key(KEY), with_key(OTHER_KEY));
    let previous = ("VAULTGRAM_STATE_KEY_PREVIOUS", KEY);
    let both = [&new[..], &[previous]].concat();
    let migrate = |keys: &[_], to: &str, file: &str| {
        let arguments = ["state", "migrate", "--to", to, "--file", file];
        vaultgram(place.path(), keys, &arguments)
    };
    let doctor = |keys: &[_]| {
        let ran = vaultgram(place.path(), keys, &["doctor"]);
        ran.out.contains("ok    state")
    };
    let ran = migrate(&old, "etcd", "state.redb");
    assert_eq!(ran.code, 0, "{ran:?}");
    // What was written with the old key needs it.
    assert!(doctor(&both) && !doctor(&new));
    let ran = migrate(&both, "file", "carried.redb");
    assert_eq!(ran.code, 0, "{ran:?}");
    let kept = place.everything("carried.redb");
    assert_eq!(kept.len(), 103);
    let mut root = etcd_client::Client::connect(etcd.endpoints(), None)
        .await
        .unwrap();
    let all = etcd_client::DeleteOptions::new().with_prefix();
    root.delete("/vaultgram/", Some(all)).await.unwrap();
    let ran = migrate(&new, "etcd", "carried.redb");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(doctor(&new) && !doctor(&old));
    assert!(place.path().join("carried.redb.moved").exists());
    assert_eq!(place.everything("carried.redb"), kept);
}

#[test]
fn what_is_wrong_with_etcd_is_told() {
    let etcd = Etcd::start();
    let place = Place::new(&etcd);
    let doctor = |key| {
        let ran = vaultgram(place.path(), &with_key(key), &["doctor"]);
        let line = ran.out.lines().find(|line| line.contains(" state "));
        line.unwrap_or_else(|| panic!("{ran:?}")).to_owned()
    };
    let well = doctor(KEY);
    for told in [
        "ok    state",
        "etcd 3.4.23 answers at 1 of 1 endpoints, one member; no replica runs",
        "etcd 3.4.23 lets its users go around their roles",
        "it lets us write outside of /vaultgram/ too",
    ] {
        assert!(well.contains(told), "{well}");
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(fill(&place.path().join("state.redb")));
    assert_eq!(place.run(&["state", "migrate", "--to", "etcd"]).code, 0);
    let wrong = doctor(OTHER_KEY);
    assert!(
        wrong.contains("FAIL") && wrong.contains("sealed with another key"),
        "{wrong}"
    );
    let config = std::fs::read_to_string(place.path().join("vaultgram.toml")).unwrap();
    let tls = config.replace("http:", "https:") + "ca_file = \"none.pem\"\n";
    std::fs::write(place.path().join("tls.toml"), tls).unwrap();
    let ran = place.run(&["serve", "-c", "tls.toml"]);
    assert!(
        ran.code == 78 && ran.err.contains("none.pem: cannot be read: No such file"),
        "{ran:?}"
    );
    drop(etcd);
    let gone = doctor(KEY);
    assert!(gone.contains("FAIL") && gone.contains("refused"), "{gone}");
    let ran = place.run(&["state", "migrate", "--to", "file", "--file", "b.redb"]);
    assert!(ran.code == 69 && ran.err.contains("refused"), "{ran:?}");
}
