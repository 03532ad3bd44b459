//! What proves who asks, and what proves nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use tokio::time::Instant;

use super::{Elsewhere, KEY, ends};
use crate::Ran;
use crate::openbao::free_port;
use crate::runner::JOB_TOKEN;

#[test]
fn a_job_signs_in_once_by_what_github_says_of_it() {
    let elsewhere = Elsewhere::shared();
    let before = elsewhere.issuer.made();
    let ran = elsewhere.run(&[
        "exec",
        "--env",
        "U=app/db#user",
        "--env",
        "P=app/db#password",
        "--",
        "sh",
        "-c",
        "echo $U $P",
    ]);
    assert_eq!(
        (ran.code, ran.out.as_str(), ran.err.as_str()),
        (0, "annette hunter2-elsewhere\n", "")
    );
    assert!(elsewhere.issuer.made() > before);
    let ran = elsewhere.run(&["status", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let said: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(said["socket"], elsewhere.address);
    assert_eq!(said["caller"]["repository"], "acme/web");
    ends(
        &elsewhere.run(&["get", "private/x"]),
        77,
        "permission denied",
    );
    // The policy is about what its token says.
    let log = elsewhere.served.log();
    assert!(!log.contains(JOB_TOKEN) && !log.contains("hunter2-elsewhere"));
}

/// A server that gives these answers, in turn; and what it was asked, each time that it has given one.
fn made_up(answers: Vec<(&'static str, &'static str)>) -> (String, Receiver<String>) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", server.local_addr().unwrap());
    (address, serve(move || server, answers))
}

/// A server that is there once `bind` has ended.
fn serve(
    bind: impl FnOnce() -> TcpListener + Send + 'static,
    answers: Vec<(&'static str, &'static str)>,
) -> Receiver<String> {
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let server = bind();
        let answer = |(status, answer): (&str, &str)| {
            let (stream, _) = server.accept().unwrap();
            let mut reader = BufReader::new(stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert!(reader.read_line(&mut head).unwrap() > 0);
            }
            let mut lines = head.lines();
            let length = lines.find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
            reader.read_exact(&mut body).unwrap();
            let length = answer.len();
            let said = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{answer}");
            reader.get_mut().write_all(said.as_bytes()).unwrap();
            format!("{head}{}", String::from_utf8(body).unwrap())
        };
        for asked in answers.into_iter().map(answer) {
            // A test may have heard enough.
            tell.send(asked).ok();
        }
    });
    told
}

const REFUSED: (&str, &str) = ("403 Forbidden", r#"{"errors":["no"]}"#);

/// Asks the server at `address`, as a job of GitLab.
fn as_gitlab(address: &str, arguments: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        ("VAULTGRAM_JWT", "a.b.c"),
        ("VAULTGRAM_ROLE", "gitlab"),
        ("VAULTGRAM_SOCKET", address),
    ];
    crate::vaultgram(folder.path(), &variables, arguments)
}

#[test]
fn a_session_is_opened_once_and_ended() {
    let opened = r#"{"auth":{"client_token":"vgs.made-here","lease_duration":600}}"#;
    let mount = r#"{"request_id":"","lease_id":"","renewable":false,"lease_duration":0,"data":{
        "path":"secret/","type":"kv","options":{"version":"1"}}}"#;
    // One that has no time for a login is asked again.
    let (address, serving) = made_up(vec![
        ("503 Service Unavailable", "{}"),
        ("200 OK", opened),
        ("200 OK", mount),
        REFUSED,
        ("204 No Content", ""),
    ]);
    ends(&as_gitlab(&address, &["get", "secret/x"]), 77, "no");
    let asked: Vec<_> = serving.iter().collect();
    for login in &asked[..2] {
        let target = "POST /v1/auth/jwt/login HTTP/1.1\r\n";
        assert!(login.starts_with(target), "{login}");
        let said = r#"{"role":"gitlab","jwt":"a.b.c"}"#;
        assert!(
            login.ends_with(said) && !login.contains("x-vault-token"),
            "{login}"
        );
    }
    for (asked, target) in asked[2..].iter().zip([
        "GET /v1/sys/internal/ui/mounts/secret/x?",
        "GET /v1/secret/x ",
        "POST /v1/auth/token/revoke-self ",
    ]) {
        assert!(asked.starts_with(target), "{asked}");
        assert!(
            asked.contains("\r\nx-vault-token: vgs.made-here\r\n"),
            "{asked}"
        );
    }
}

/// As when it is started anew: for a moment nobody is there, and then nobody has time.
#[test]
fn who_is_not_there_yet_is_waited_for_and_asked_with_another_proof() {
    let port = free_port();
    let later = move || {
        std::thread::sleep(Duration::from_secs(1));
        TcpListener::bind(("127.0.0.1", port)).unwrap()
    };
    let busy = ("503 Service Unavailable\r\nretry-after: 1", "{}");
    let serving = serve(later, vec![busy, REFUSED]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), KEY).unwrap();
    let address = format!("http://127.0.0.1:{port}");
    let variables = [
        ("VAULTGRAM_SIGNING_KEY_FILE", "shell/2026=key"),
        ("VAULTGRAM_SOCKET", &*address),
    ];
    let ran = crate::vaultgram(folder.path(), &variables, &["get", "secret/x"]);
    ends(&ran, 77, "no");
    let asked: Vec<_> = serving.iter().collect();
    let id = |asked: &str| {
        let mut lines = asked.lines();
        let id = lines.find_map(|line| line.strip_prefix("webhook-id: "));
        id.unwrap().to_owned()
    };
    assert_ne!(id(&asked[0]), id(&asked[1]), "an id counts once");
}

#[test]
fn a_session_that_is_over_is_opened_anew() {
    let over = r#"{"auth":{"client_token":"vgs.over","lease_duration":0}}"#;
    let opened = r#"{"auth":{"client_token":"vgs.new","lease_duration":600}}"#;
    let mount = r#"{"request_id":"","lease_id":"","renewable":false,"lease_duration":0,"data":{
        "path":"secret/","type":"kv","options":{"version":"1"}}}"#;
    let (address, serving) = made_up(vec![
        ("200 OK", over),
        ("200 OK", mount),
        ("200 OK", opened),
        REFUSED,
        ("204 No Content", ""),
    ]);
    ends(&as_gitlab(&address, &["get", "secret/x"]), 77, "no");
    let asked: Vec<_> = serving.iter().collect();
    assert!(asked[1].contains("vgs.over"), "{}", asked[1]);
    assert!(asked[3].contains("vgs.new") && asked[4].contains("vgs.new"));
}

#[test]
fn a_token_in_a_file_or_a_variable_counts_once() {
    let elsewhere = Elsewhere::shared();
    let get = ["get", "app/db#user", "--role", "gitlab"];
    let token = elsewhere.gitlab.token(&elsewhere.address);
    let file = elsewhere.secret("jwt", &format!("{token}\n"));
    let file = file.to_str().unwrap();
    let run = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = elsewhere.vaultgram(arguments);
        command.envs(variables.iter().copied());
        Ran::from(command.output().unwrap())
    };
    let with_file = [&get[..], &["--jwt-file", file]].concat();
    let ran = run(&with_file, &[]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "annette"), "{ran:?}");
    let ran = run(&with_file, &[]);
    ends(&ran, 77, "cannot sign in: this was used before");
    let other = elsewhere.gitlab.token(&elsewhere.address);
    let ran = run(&get, &[("VAULTGRAM_JWT", &other)]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "annette"), "{ran:?}");
    let wrong = elsewhere.gitlab.token("https://somebody.else");
    let ran = run(&get, &[("VAULTGRAM_JWT", &wrong)]);
    ends(&ran, 77, "the token is for another audience");
    assert!(!ran.err.contains(&wrong));
    let ran = run(&get, &[("VAULTGRAM_JWT", "hunter2")]);
    assert_eq!(ran.code, 64, "{ran:?}");
    assert!(!ran.err.contains("hunter2"), "{ran:?}");
}

/// As of a container that ends, and starts again within the life of its token.
#[test]
fn files_wait_for_another_token_and_show_the_used_one_once() {
    let used = r#"{"errors":["this was used before, and counts once; get a new token"]}"#;
    let opened = r#"{"auth":{"client_token":"vgs.new","lease_duration":600}}"#;
    let mount = r#"{"request_id":"","lease_id":"","renewable":false,"lease_duration":0,"data":{
        "path":"secret/","type":"kv","options":{"version":"1"}}}"#;
    let secret = r#"{"request_id":"","lease_id":"","renewable":false,"lease_duration":0,"data":{
        "user":"ann"}}"#;
    let (address, serving) = made_up(vec![
        ("403 Forbidden", used),
        ("403 Forbidden", used),
        ("200 OK", opened),
        ("200 OK", mount),
        ("200 OK", secret),
        ("204 No Content", ""),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("jwt");
    let write = |text: &str| {
        std::fs::write(folder.path().join("new"), text).unwrap();
        std::fs::rename(folder.path().join("new"), &token).unwrap();
    };
    write("a.b.used");
    std::fs::create_dir(folder.path().join("secrets")).unwrap();
    let variables = [
        ("VAULTGRAM_JWT_FILE", "jwt"),
        ("VAULTGRAM_SOCKET", address.as_str()),
    ];
    let files = |wait: &str| {
        let wait = format!("--wait={wait}");
        let arguments = ["files", "--dir=secrets", &wait, "user=secret/x#user"];
        crate::vaultgram(folder.path(), &variables, &arguments)
    };
    let start = Instant::now();
    let ran = files("2s");
    ends(
        &ran,
        77,
        "cannot sign in: the token in its file was used before",
    );
    assert!(start.elapsed() > Duration::from_millis(700), "it waits");
    let jwt = || {
        let asked = serving.recv().unwrap();
        asked.rsplit('"').nth(1).unwrap().to_owned()
    };
    assert_eq!(jwt(), "a.b.used");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| files("1m"));
        assert_eq!(jwt(), "a.b.used");
        // Long enough for another try.
        std::thread::sleep(Duration::from_millis(1500));
        write("a.b.new");
        let ran = waiting.join().unwrap();
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    });
    assert_eq!(jwt(), "a.b.new");
    let written = std::fs::read_to_string(folder.path().join("secrets/user"));
    assert_eq!(written.unwrap(), "ann");
}

#[test]
fn a_signature_proves_whose_key_it_is() {
    let elsewhere = Elsewhere::shared();
    let signed = |key: &str, name: &str| {
        let file = elsewhere.secret(&format!("key-{}", key.len()), key);
        let named = format!("{name}={}", file.display());
        let arguments = ["get", "app/db#user", "--signing-key-file", &named];
        Ran::from(elsewhere.vaultgram(&arguments).output().unwrap())
    };
    let ran = signed(&format!("{KEY}\n"), "shell/2026");
    assert_eq!((ran.code, ran.out.as_str()), (0, "annette"), "{ran:?}");
    let ran = signed(KEY, "shell/2025");
    ends(&ran, 77, "the signature proves nothing");
    let other = format!("whsec_{}", "A".repeat(44));
    let ran = signed(&other, "shell/2026");
    assert_eq!(ran.code, 77, "{ran:?}");
    let ran = signed("hunter2", "shell/2026");
    ends(&ran, 65, "this is no signing key");
    assert!(!ran.err.contains("hunter2"));
}

#[test]
fn a_command_for_chat_is_signed_and_nobody_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), KEY).unwrap();
    std::fs::write(folder.path().join("other"), "hunter2").unwrap();
    let sign = |arguments: &[&str], key: &str| {
        let variables = [("VAULTGRAM_SIGNING_KEY_FILE", key)];
        crate::vaultgram(folder.path(), &variables, &[&["sign"], arguments].concat())
    };
    for (arguments, command) in [
        (&["a/b#c@2"][..], "/get_secret a/b#c@2 wrapped"),
        (&["a", "--delivery", "sealed"], "/get_secret a sealed"),
        (
            &["a", "--reason", " run 7\nfails"],
            "/request_secret a wrapped run 7 fails",
        ),
    ] {
        let ran = sign(arguments, "shell/2026=key");
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
        let (said, rest) = ran.out.trim_end().split_once(" id=").unwrap();
        assert_eq!(said, command);
        let [id, time, signature, key] = &rest.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{rest}")
        };
        let (time, signature) = (time.strip_prefix("ts="), signature.strip_prefix("sig=v1,"));
        assert_eq!(*key, "key=shell/2026");
        let secret = STANDARD
            .decode(KEY.strip_prefix("whsec_").unwrap())
            .unwrap();
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let signed = format!("{id}.{}.{command}", time.unwrap());
        let signature = STANDARD.decode(signature.unwrap()).unwrap();
        assert!(hmac::verify(&secret, signed.as_bytes(), &signature).is_ok());
    }
    let long = "x".repeat(4096);
    for (arguments, key, code) in [
        (&["a b"][..], "shell/2026=key", 64),
        (&["a", "--delivery", "message"], "shell/2026=key", 64),
        (&["a", "--reason", " "], "shell/2026=key", 64),
        (&["a", "--reason", &long], "shell/2026=key", 64),
        (&["a"], "key", 64),
        (&["a"], "shell/2026=other", 65),
        (&["a"], "shell/2026=nowhere", 66),
    ] {
        let ran = sign(arguments, key);
        assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{ran:?}");
        assert!(!ran.err.contains("hunter2"), "{ran:?}");
    }
}

#[test]
fn what_proves_nothing_or_leads_nowhere_is_told() {
    let elsewhere = Elsewhere::shared();
    let ran = Ran::from(elsewhere.vaultgram(&["get", "app/db"]).output().unwrap());
    ends(&ran, 64, "nothing proves to https://127.0.0.1:");
    ends(&ran, 64, "permissions: id-token: write");

    let bad = elsewhere.secret("bad", "not a certificate");
    let bad = bad.to_str().unwrap();
    let job = |arguments: &[&str]| elsewhere.run(&[&["get", "app/db"], arguments].concat());
    ends(
        &job(&["--ca-file", bad]),
        78,
        "there is no certificate in it",
    );
    ends(&job(&["--ca-file", "/nowhere"]), 78, "/nowhere: ");
    ends(
        &job(&["--socket", "http://192.0.2.1:80"]),
        64,
        "use https://",
    );
    ends(
        &job(&["--socket", "https://127.0.0.1:1"]),
        69,
        "cannot connect",
    );
    ends(&job(&["--socket", "https://x/v1"]), 64, "follows the host");
    ends(&job(&["--audience", "other"]), 77, "another audience");
    ends(&job(&["--role", "other"]), 77, "not from a trusted issuer");

    // The system's authorities do not know this one.
    let mut command = elsewhere.job(&["get", "app/db"]);
    command.env_remove("VAULTGRAM_CACERT");
    let ran = Ran::from(command.output().unwrap());
    ends(&ran, 78, "--ca-file or VAULTGRAM_CACERT");

    let mut command = elsewhere.job(&["get", "app/db"]);
    command.env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "hunter2");
    let ran = Ran::from(command.output().unwrap());
    ends(&ran, 69, "GitHub makes no token: status 401");
    assert!(!ran.err.contains("hunter2"));
}

#[test]
fn no_secret_is_an_argument_of_what_is_run() {
    let elsewhere = Elsewhere::shared();
    // A program that the command becomes sees the arguments of its parent's place: none of ours.
    let script = elsewhere.secret(
        "look.sh",
        "#!/bin/sh\ncat /proc/*/cmdline 2>/dev/null | tr '\\0' ' '\n",
    );
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let script = script.to_str().unwrap();
    let ran = elsewhere.run(&["exec", "--env", "P=app/db#password", "--", script]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    for secret in [JOB_TOKEN, "hunter2-elsewhere", "vgs."] {
        assert!(!ran.out.contains(secret), "{secret}");
    }
}

#[test]
fn a_secret_is_no_option() {
    for option in [
        "--vaultgram-token",
        "--vaultgram-jwt",
        "--actions-id-token-request-token",
    ] {
        let ran = as_gitlab(
            "https://127.0.0.1:1",
            &["get", "secret/x", option, "t-0123"],
        );
        assert_eq!(ran.code, 64, "{ran:?}");
        assert!(ran.err.contains("unexpected argument"), "{ran:?}");
        assert!(!ran.err.contains("t-0123"), "{ran:?}");
    }
}

#[test]
fn the_session_in_a_variable_is_used_as_it_is() {
    let (address, serving) = made_up(vec![REFUSED]);
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        ("VAULTGRAM_TOKEN", "vgs.from-outside"),
        ("VAULTGRAM_SOCKET", address.as_str()),
    ];
    let ran = crate::vaultgram(folder.path(), &variables, &["get", "secret/x"]);
    ends(&ran, 77, "no");
    let asked: Vec<_> = serving.iter().collect();
    assert!(asked[0].contains("vgs.from-outside"), "{asked:?}");
}
