//! `bao proxy`, which does part of our job: benches measure beside it, and it remembers secrets.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "shared by a test and a bench; both may panic"
)]

use std::path::PathBuf;
use std::process::Child;

use serde_json::json;

use crate::openbao::{bao, spawn_bound_to_us};
use crate::stage::Stage;

/// `bao proxy` with a Unix listener and automatic sign-in, killed with this value.
pub(crate) struct BaoProxy {
    child: Child,
    socket: PathBuf,
    pid_file: PathBuf,
}

impl BaoProxy {
    /// Starts it, with `more` in its configuration, and waits until it is signed in.
    pub(crate) async fn start(stage: &Stage, more: &str) -> Self {
        let proxy = Self::spawn(stage, more);
        stage
            .wait("bao proxy listens", || {
                proxy.socket.exists() && proxy.pid_file.exists()
            })
            .await;
        let token = || {
            let log = std::fs::read_to_string(stage.path("proxy.log")).unwrap();
            log.contains("authentication successful")
        };
        stage.wait("bao proxy is signed in", token).await;
        proxy
    }

    /// As [`BaoProxy::start`], without waiting.
    pub(crate) fn spawn(stage: &Stage, more: &str) -> Self {
        let policies = json!({"policies": ["vaultgram-broker"]});
        let token = tokio::task::block_in_place(|| stage.bao.token(&policies));
        let file = |name: &str, text: &str| {
            let path = stage.path(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let (socket, pid_file) = (stage.path("proxy.sock"), stage.path("proxy.pid"));
        for left in [&socket, &pid_file, &stage.path("proxy.log")] {
            std::fs::remove_file(left).ok();
        }
        let config = format!(
            "pid_file = \"{}\"\nvault {{\n  address = \"{}\"\n}}\nauto_auth {{\n  method {{\n    \
             type = \"token_file\"\n    config = {{\n      token_file_path = \"{}\"\n    }}\n  \
             }}\n}}\napi_proxy {{\n  use_auto_auth_token = true\n}}\nlistener \"unix\" {{\n  \
             address = \"{}\"\n  tls_disable = true\n}}\n{more}",
            pid_file.display(),
            stage.bao.address(),
            file("proxy_token", &token),
            socket.display(),
        );
        let arguments = [
            "proxy".to_owned(),
            format!("-config={}", file("proxy.hcl", &config)),
        ];
        let child = spawn_bound_to_us(&bao(), &arguments, &stage.path("proxy.log"));
        Self {
            child,
            socket,
            pid_file,
        }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.socket.clone()
    }

    pub(crate) fn pid(&self) -> u32 {
        let pid = std::fs::read_to_string(&self.pid_file).unwrap();
        pid.trim().parse().unwrap()
    }
}

impl Drop for BaoProxy {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}
