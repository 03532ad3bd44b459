//! A real PostgreSQL server with passwords, for dynamic credentials.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "shared by tests, of which none uses all; they may panic"
)]

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use serde_json::json;
use tempfile::TempDir;

use crate::openbao::{OpenBao, free_port, spawn_bound_to_us, wait_until};

/// Who may make roles, and their password.
const ADMIN: (&str, &str) = ("admin", "pg-admin-4b1c");
/// `nobody`, on Debian: PostgreSQL does not run as root.
const NOBODY: u32 = 65534;

/// A server on a port of this machine. Ends with this value.
pub(crate) struct Postgres {
    port: u16,
    folder: TempDir,
    child: Option<Child>,
}

impl Postgres {
    /// Starts one that asks everybody for a password.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let password = folder.path().join("password");
        std::fs::write(&password, ADMIN.1).unwrap();
        if rustix::process::geteuid().is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
            chown(&password, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let data = folder.path().join("data");
        let arguments = [
            format!("--pgdata={}", data.display()),
            format!("--username={}", ADMIN.0),
            format!("--pwfile={}", password.display()),
            "--auth=scram-sha-256".to_owned(),
            "--no-sync".to_owned(),
            "--locale=C".to_owned(),
        ];
        let (program, arguments) = unprivileged(&programs().join("initdb"), &arguments);
        let made = Command::new(program)
            .args(arguments)
            .current_dir("/")
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");

        let port = free_port();
        let arguments = [
            format!("-D{}", data.display()),
            format!("-p{port}"),
            "-clisten_addresses=127.0.0.1".to_owned(),
            "-cunix_socket_directories=".to_owned(),
            "-cfsync=off".to_owned(),
        ];
        let (program, arguments) = unprivileged(&programs().join("postgres"), &arguments);
        let log = folder.path().join("log");
        let child = Some(spawn_bound_to_us(&program, &arguments, &log));
        let server = Self {
            port,
            folder,
            child,
        };
        wait_until("PostgreSQL serves", || server.lets_in(ADMIN.0, ADMIN.1));
        server
    }

    /// Whether it takes this user with this password.
    pub(crate) fn lets_in(&self, user: &str, password: &str) -> bool {
        self.run(user, password, "select current_user") == Some(format!("{user}\n"))
    }

    fn run(&self, user: &str, password: &str, statement: &str) -> Option<String> {
        let ran = Command::new("psql")
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("PGPASSWORD", password)
            .env("PGCONNECT_TIMEOUT", "10")
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", user])
            .args(["-d", "postgres", "-X", "-tA", "-c", statement])
            .output()
            .unwrap();
        let said = String::from_utf8(ran.stdout).unwrap();
        ran.status.success().then_some(said)
    }

    /// Mounts the engine at `database/` with the roles `app` (dynamic, an hour), `brief`
    /// (dynamic, three seconds) and `fixed` (a user that stays, its password rotated).
    pub(crate) fn mount_in(&self, bao: &OpenBao) {
        self.run(ADMIN.0, ADMIN.1, "create role fixed login")
            .unwrap();
        bao.must("POST", "sys/mounts/database", &json!({"type": "database"}));
        let connection = json!({
            "plugin_name": "postgresql-database-plugin",
            "connection_url": format!(
                "postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{}/postgres?sslmode=disable",
                self.port
            ),
            "username": ADMIN.0,
            "password": ADMIN.1,
            "allowed_roles": "*",
        });
        bao.must("POST", "database/config/pg", &connection);
        let role = json!({
            "db_name": "pg",
            "creation_statements": [
                "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';"
            ],
            "default_ttl": "1h",
            "max_ttl": "2h",
        });
        bao.must("POST", "database/roles/app", &role);
        let mut brief = role;
        brief["default_ttl"] = json!("3s");
        brief["max_ttl"] = json!("30m");
        bao.must("POST", "database/roles/brief", &brief);
        let fixed = json!({"db_name": "pg", "username": "fixed", "rotation_period": "1h"});
        bao.must("POST", "database/static-roles/fixed", &fixed);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.stdin.take());
            drop(child.wait());
        }
    }
}

/// `program`, as somebody else than root.
fn unprivileged(program: &Path, arguments: &[String]) -> (PathBuf, Vec<String>) {
    if !rustix::process::geteuid().is_root() {
        return (program.to_owned(), arguments.to_vec());
    }
    let nobody = [
        format!("--reuid={NOBODY}"),
        format!("--regid={NOBODY}"),
        "--clear-groups".to_owned(),
        program.display().to_string(),
    ];
    let all = nobody.into_iter().chain(arguments.iter().cloned());
    (PathBuf::from("/usr/bin/setpriv"), all.collect())
}

/// Where Debian keeps the server's programs, of whichever version.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok();
    let mut found = versions.into_iter().flatten().filter_map(|version| {
        let programs = version.ok()?.path().join("bin");
        programs.join("initdb").exists().then_some(programs)
    });
    found
        .next()
        .unwrap_or_else(|| panic!("PostgreSQL is missing; run: make tools"))
}
