//! Policies tell callers apart by what the kernel says of them, and by nothing they say.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Stdio;

use crate::support::{Reply, Server, environment, own_uid, run, serve, text, tool};

fn canonical(program: &str) -> String {
    let found = std::env::split_paths(&environment("PATH").unwrap())
        .map(|folder| folder.join(program))
        .find(|path| path.exists())
        .unwrap();
    let path = std::fs::canonicalize(found).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Asks with curl, or a copy of it, as another user where `uid` says so.
async fn status(server: &Server, curl: &Path, uid: Option<u32>) -> String {
    ask(server, curl, uid, "GET", "secret/data/django/database").await
}

async fn ask(server: &Server, curl: &Path, uid: Option<u32>, method: &str, target: &str) -> String {
    let mut command = server.client(curl);
    command.args([
        "--silent",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code}",
    ]);
    command.args(["--header", "X-Vault-Token: root"]);
    command.arg("--unix-socket").arg(&server.path);
    command.args(["--request", method]);
    command.arg(format!("http://localhost/v1/{target}"));
    if let Some(uid) = uid {
        command.uid(uid);
    }
    text(&run(&mut command).await.stdout)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_user_decides_and_a_token_does_not() {
    let permit = |uid: u32| {
        let text = r#"permit (principal == UnixPeer::"@", action, resource) ;"#;
        text.replace('@', &uid.to_string())
    };
    let curl = canonical("curl");
    let mine = serve(&permit(own_uid()), |_| {});
    assert_eq!(status(&mine, Path::new(&curl), None).await, "200");
    let anothers = serve(&permit(own_uid() + 1), |_| {});
    assert_eq!(status(&anothers, Path::new(&curl), None).await, "403");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_is_another_principal() {
    if own_uid() != 0 {
        // Only root can become somebody else; the test above holds the rule for all.
        return;
    }
    let server = serve(
        r#"permit (principal == UnixPeer::"65534", action, resource);"#,
        |settings| settings.mode = 0o666,
    );
    // The temporary folder is root's alone.
    let folder = server.path.parent().unwrap();
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let curl = canonical("curl");
    assert_eq!(status(&server, Path::new(&curl), Some(65534)).await, "200");
    assert_eq!(status(&server, Path::new(&curl), Some(65533)).await, "403");
    assert_eq!(status(&server, Path::new(&curl), None).await, "403", "root");
    // Nor may they unlock chat, whatever the policy permits them.
    let curl = Path::new(&curl);
    let unlock = "vaultgram/unlock";
    assert_eq!(ask(&server, curl, Some(65534), "POST", unlock).await, "403");
    assert_eq!(ask(&server, curl, None, "POST", unlock).await, "200");
    assert_eq!(ask(&server, curl, None, "GET", unlock).await, "405");
    let metrics = "sys/metrics?format=prometheus";
    assert_eq!(
        ask(&server, curl, Some(65533), "GET", metrics).await,
        "200",
        "metrics are for everybody who can connect"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_executable_decides() {
    let curl = canonical("curl");
    let policy = format!(
        r#"permit (principal is UnixPeer, action, resource)
           when {{ principal has executable && principal.executable == "{curl}" }};"#
    );
    let server = serve(&policy, |_| {});
    assert_eq!(status(&server, Path::new(&curl), None).await, "200");

    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("curl");
    std::fs::copy(&curl, &copy).unwrap();
    assert_eq!(
        status(&server, &copy, None).await,
        "403",
        "a copy is another program"
    );

    // This very process is neither.
    assert_eq!(
        server.get("/v1/secret/data/django/database").await.status,
        403
    );
}

/// The child connects and ends; then the parent speaks on the child's connection.
const GHOST: &str = r#"
import os, socket, sys
mine, childs = socket.socketpair()
if os.fork() == 0:
    stream = socket.socket(socket.AF_UNIX)
    stream.connect(sys.argv[1])
    socket.send_fds(childs, [b"x"], [stream.fileno()])
    os._exit(0)
_, fds, _, _ = socket.recv_fds(mine, 1, 1)
os.wait()
print("ended", flush=True)
stream = socket.socket(fileno=fds[0])
stream.sendall(b"GET /v1/auth/token/lookup-self HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
while part := stream.recv(65536):
    sys.stdout.buffer.write(part)
"#;

#[tokio::test]
async fn a_process_that_has_ended_has_no_executable() {
    let server = serve("", |_| {});
    let mut ghost = std::process::Command::new(tool("venv/bin/python"))
        .args(["-c", GHOST])
        .arg(&server.path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(ghost.stdout.take().unwrap());
    let mut line = String::new();
    // On the only thread, so that the server looks at the ghost when it has ended.
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "ended\n");
    let rest = tokio::task::spawn_blocking(move || {
        let mut answer = String::new();
        stdout.read_to_string(&mut answer).unwrap();
        ghost.wait().unwrap();
        answer
    });
    let answer = rest.await.unwrap();
    let reply = Reply::parse(&answer);
    let meta = &reply.json()["data"]["meta"];
    assert_eq!(meta["uid"], own_uid().to_string(), "{answer}");
    assert_eq!(meta["executable"], serde_json::Value::Null, "{answer}");
}

#[tokio::test]
async fn lookup_self_says_who_is_asking() {
    let server = serve("", |_| {});
    let reply = server.get("/v1/auth/token/lookup-self").await;
    let data = &reply.json()["data"];
    assert_eq!(data["display_name"], format!("uid:{}", own_uid()));
    assert_eq!(data["meta"]["uid"], own_uid().to_string());
    assert_eq!(data["meta"]["pid"], std::process::id().to_string());
    let executable = std::env::current_exe().unwrap();
    assert_eq!(data["meta"]["executable"], executable.to_str().unwrap());
    assert_eq!(data["policies"], serde_json::json!([]));
    assert_eq!(data["id"], "");
}
