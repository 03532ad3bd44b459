//! Policies tell callers apart by what the kernel says of them, and by nothing they say.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use sha2::{Digest, Sha256};

use crate::support::{Reply, Server, environment, own_uid, run, serve, skipped, text, tool};

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
        return skipped("only root can become another user");
    }
    let server = serve_all(r#"permit (principal == UnixPeer::"65534", action, resource);"#);
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
async fn of_a_process_that_has_ended_only_the_user_is_known() {
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
    for name in ["executable", "groups", "unit", "slice"] {
        assert_eq!(meta[name], serde_json::Value::Null, "{answer}");
    }
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
    let executable = executable.to_str().unwrap();
    assert_eq!(data["meta"]["executable"], executable);
    assert_eq!(data["meta"]["socket"], "default");
    let description = data["meta"]["description"].as_str().unwrap();
    let expected = format!("uid {}, {executable}", own_uid());
    assert!(description.ends_with(&expected), "{description}");
    assert_eq!(data["policies"], serde_json::json!([]));
    assert_eq!(data["id"], "");
}

/// A socket that every user may connect to.
fn serve_all(policy: &str) -> Server {
    let server = serve(policy, |settings| settings.mode = 0o666);
    // The temporary folder is root's alone.
    let folder = server.path.parent().unwrap();
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    server
}

/// The status of a read, and what is known of the caller, when curl is started by `wrapper`.
async fn wrapped(server: &Server, wrapper: &[&str]) -> (String, serde_json::Value) {
    let curl = canonical("curl");
    let mut command = server.client(wrapper[0]);
    command.args(&wrapper[1..]).arg(&curl);
    command
        .args(["--silent", "--unix-socket"])
        .arg(&server.path)
        .args(["--output", "/dev/null", "--write-out", "%{http_code} "])
        .arg("http://localhost/v1/secret/data/django/database")
        .args(["--next", "--silent", "--unix-socket"])
        .arg(&server.path)
        .arg("http://localhost/v1/auth/token/lookup-self");
    let said = run(&mut command).await;
    let out = text(&said.stdout);
    let (status, json) = out
        .split_once(' ')
        .unwrap_or_else(|| panic!("{wrapper:?}: {said:?}"));
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    (status.to_owned(), json["data"]["meta"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_groups_of_another_user_decide() {
    if own_uid() != 0 {
        return skipped("only root can become another user with other groups");
    }
    let server = serve_all(
        r"permit (principal is UnixPeer, action, resource)
          when { principal has groups && principal.groups.contains(27) };",
    );
    let become_another = ["setpriv", "--reuid=65534", "--regid=65533"];
    let (status, meta) =
        wrapped(&server, &[&become_another[..], &["--groups=5,27"]].concat()).await;
    assert_eq!(
        (status.as_str(), &meta["groups"]),
        ("200", &"5,27,65533".into())
    );
    let (status, meta) = wrapped(&server, &[&become_another[..], &["--groups=5"]].concat()).await;
    assert_eq!(
        (status.as_str(), &meta["groups"]),
        ("403", &"5,65533".into())
    );
    let (status, _) = wrapped(&server, &["setpriv", "--regid=27", "--clear-groups"]).await;
    assert_eq!(status, "200", "the primary group is one of them");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hash_of_the_program_decides_wherever_it_lies() {
    let curl = canonical("curl");
    let mut program = std::fs::read(&curl).unwrap();
    let hash = hex::encode(Sha256::digest(&program));
    let server = serve(
        &format!(
            r#"permit (principal is UnixPeer, action, resource)
               when {{ principal has executable_sha256 && principal.executable_sha256 == "{hash}" }};"#
        ),
        |_| {},
    );
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    std::fs::copy(&curl, &copy).unwrap();
    for round in 0..2 {
        assert_eq!(
            status(&server, Path::new(&curl), None).await,
            "200",
            "{round}"
        );
        assert_eq!(status(&server, &copy, None).await, "200", "{round}");
    }
    program.push(0);
    std::fs::write(&copy, program).unwrap();
    assert_eq!(status(&server, &copy, None).await, "403", "another program");
    // Nobody looks where no policy asks.
    let server = serve("", |_| {});
    let (_, meta) = wrapped(&server, &["env"]).await;
    assert_eq!(meta["executable_sha256"], serde_json::Value::Null);
}

/// A folder of the control groups' tree, removed when dropped.
struct Cgroup(PathBuf);

impl Cgroup {
    fn make(path: PathBuf) -> std::io::Result<Self> {
        std::fs::create_dir(&path)?;
        // Where a folder can be made, processes need not be taken.
        std::fs::OpenOptions::new()
            .write(true)
            .open(path.join("cgroup.procs"))?;
        Ok(Self(path))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        std::fs::remove_dir(&self.0).ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_unit_decides_and_nothing_that_is_made_inside_it() {
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    let mut mounts = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    let Some(tree) = mounts.find(|mount| mount[2] == "cgroup2") else {
        return skipped("no cgroup2 file system is mounted");
    };
    let slice = format!("vaultgramtest{}.slice", std::process::id());
    let above = match Cgroup::make(Path::new(tree[1]).join(&slice)) {
        Ok(above) => above,
        Err(error) => return skipped(&format!("no control group can be made: {error}")),
    };
    let unit = |name: &str| Cgroup::make(above.0.join(name)).unwrap();
    let (deploy, other) = (unit("deploy.service"), unit("other.service"));
    let scope = format!("docker-{}.scope", "3f".repeat(32));
    let forged = Cgroup::make(deploy.0.join(&scope)).unwrap();
    let container = unit(&scope);

    let server = serve(
        &format!(
            r#"permit (principal is UnixPeer, action, resource) when {{
                 principal has unit && principal.unit == "deploy.service" &&
                 principal has slice && principal.slice == "{slice}" }};"#
        ),
        |_| {},
    );
    let enter = r#"echo $$ > "$0/cgroup.procs" && exec "$@""#;
    for (place, expected, is) in [
        (&deploy, "200", "deploy.service"),
        (&other, "403", "other.service"),
        (&forged, "200", "deploy.service"),
        (&container, "403", scope.as_str()),
    ] {
        let place = place.0.to_str().unwrap();
        let (status, meta) = wrapped(&server, &["sh", "-c", enter, place]).await;
        assert_eq!(status, expected, "{place}: {meta}");
        assert_eq!(
            (&meta["unit"], &meta["slice"]),
            (&is.into(), &slice.as_str().into())
        );
        let known = meta["container"].as_str();
        assert_eq!(known.is_some(), is == scope, "{place}: {meta}");
        let description = meta["description"].as_str().unwrap();
        let shown = if is == scope {
            "container 3f3f3f3f3f3f"
        } else {
            is
        };
        assert!(
            description.starts_with(&format!("{shown}, uid ")),
            "{description}"
        );
    }
    assert_eq!(wrapped(&server, &["env"]).await.0, "403", "in none of them");
    drop((forged, container, deploy, other));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_decides() {
    let policy = r#"permit (principal, action, resource)
                    when { context has socket && context.socket == "ci" };"#;
    let path = "/v1/secret/data/django/database";
    let ci = serve(policy, |settings| settings.name = "ci".to_owned());
    assert_eq!(ci.get(path).await.status, 200);
    assert_eq!(serve(policy, |_| {}).get(path).await.status, 403);
}
