//! Jobs elsewhere: what they get over HTTPS from a real vaultgram, by a token of an issuer that is
//! this test's, a session or a signature.

mod action;
mod page;
mod proofs;
mod waiting;

use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::json;
use tempfile::TempDir;

use crate::Ran;
use crate::certificates::{Authority, Request};
use crate::openbao::{OpenBao, free_port, wait_until};
use crate::runner::Issuer;
use crate::served::Served;

/// The key that the owner `shell` signs with.
const KEY: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

const POLICIES: &str = r#"
@id("web-reads-app")
permit (principal is Job, action in [Action::"read", Action::"versions"], resource in Path::"secret/app")
when { principal has repository_id && principal.repository_id == "7" };
@id("shell-reads-app")
permit (principal == Job::"shell:shell", action == Action::"read", resource in Path::"secret/app");
@id("production")
@approvals("1") @approvers("leads") @reason("10") @grant("30m")
permit (principal is Job, action == Action::"read", resource in Path::"secret/production")
when { principal.issuer == "github" };
"#;

/// A vaultgram that jobs elsewhere reach, and who says what they are.
pub(crate) struct Elsewhere {
    pub(crate) served: Served,
    pub(crate) issuer: Issuer,
    /// Of jobs elsewhere than at GitHub.
    pub(crate) gitlab: Issuer,
    pub(crate) address: String,
    _certificates: TempDir,
}

impl Elsewhere {
    /// One for all tests: each has paths of its own.
    pub(crate) fn shared() -> &'static Self {
        static ELSEWHERE: OnceLock<Elsewhere> = OnceLock::new();
        ELSEWHERE.get_or_init(Self::start)
    }

    fn start() -> Self {
        let (bao, port) = (OpenBao::start(), free_port());
        let (issuer, gitlab) = (Issuer::start(), Issuer::start());
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path().to_owned(), "vaultgram's authority");
        let certificate = authority.issue(
            "server",
            &Request {
                common_name: "vaultgram",
                addresses: &[Ipv4Addr::LOCALHOST],
                key_usage: "digitalSignature",
                extended_key_usage: "serverAuth",
            },
        );
        let address = format!("https://127.0.0.1:{port}");
        let uid = rustix::process::geteuid().as_raw();
        let more = format!(
            "[https]\nlisten = \"127.0.0.1:{port}\"\ncert_file = \"{}\"\nkey_file = \"{}\"\n\
             [issuers.github]\nissuer = \"{issuer}\"\naudience = \"{address}\"\n\
             [issuers.gitlab]\nissuer = \"{gitlab}\"\naudience = \"{address}\"\n\
             [signing]\npath = \"secret/vaultgram/signing\"\n\
             [groups]\nleads = [\"uid:{uid}\"]\n",
            certificate.certificate.display(),
            certificate.key.display(),
            issuer = issuer.address(),
            gitlab = gitlab.address(),
        );
        bao.put("vaultgram/signing", &json!({"shell/2026": KEY}));
        bao.put(
            "app/db",
            &json!({"user": "annette", "password": "hunter2-elsewhere"}),
        );
        let policies = format!("{POLICIES}{}", page::block("policy"));
        let served = Served::with(bao, "", &more, &policies);
        std::fs::copy(authority.trust(), served.path("ca.pem")).unwrap();
        wait_until("vaultgram serves over HTTPS", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self {
            served,
            _certificates: folder,
            issuer,
            gitlab,
            address,
        }
    }

    /// `vaultgram` on another machine: it knows the address and its authority, and has no socket.
    pub(crate) fn vaultgram(&self, arguments: &[&str]) -> Command {
        let mut command = self.served.vaultgram(arguments);
        command
            .env("VAULTGRAM_SOCKET", &self.address)
            .env("VAULTGRAM_CACERT", self.served.path("ca.pem"));
        command
    }

    /// As in a job of GitHub.
    pub(crate) fn job(&self, arguments: &[&str]) -> Command {
        let mut command = self.vaultgram(arguments);
        command.envs(self.issuer.variables());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::from(self.job(arguments).output().unwrap())
    }

    /// A file with a key or a token in it.
    pub(crate) fn secret(&self, name: &str, text: &str) -> PathBuf {
        self.served.file(name, text)
    }
}

#[track_caller]
fn ends(ran: &Ran, code: i32, said: &str) {
    assert_eq!(ran.code, code, "{ran:?}");
    assert!(ran.err.contains(said), "{said:?}: {}", ran.err);
}
