//! vaultgram as a service of a real systemd, which hands its secrets to other units.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking"
)]

mod credentials;
mod environment;
mod machine;
mod notify;
#[path = "../support/openbao.rs"]
mod openbao;
mod units;

use machine::{PROGRAM, Plan};
use openbao::OpenBao;
use serde_json::json;

/// What `secret/app` holds; a shell or a JSON encoder would break it.
const PASSWORD: &str = "p\"$w\\ü 1";

/// A server with a secret.
fn vault() -> OpenBao {
    let bao = OpenBao::start();
    bao.put("app", &json!({"password": PASSWORD, "port": 5432}));
    bao
}

/// What all tests configure; `sockets` are the sections of sockets and credentials.
fn configure(plan: &Plan, bao: &OpenBao, sockets: &str) {
    plan.file("token", bao.root());
    plan.file(
        "vaultgram.toml",
        &format!(
            "{sockets}\n[vault]\naddress = \"{}\"\nrequest_timeout = \"2s\"\n\
             [audit]\nfile = \"/var/lib/vaultgram/audit.jsonl\"\n\
             [state]\nfile = \"/var/lib/vaultgram/state.redb\"\n",
            bao.address()
        ),
    );
    plan.file(
        "policy.cedar",
        r#"
        @id("apps-read-their-own")
        permit (principal == UnixPeer::"0", action == Action::"read", resource == Path::"secret/app")
        when { context has socket && context.socket == "credentials" && principal has unit &&
               (principal.unit == "app.service" || principal.unit == "whole.service") };
        @id("root-on-the-sockets")
        permit (principal == UnixPeer::"0", action == Action::"read", resource == Path::"secret/app")
        when { context has socket && context.socket != "credentials" };
        "#,
    );
}

/// A unit of vaultgram's own, as docs/systemd.md has it, with `more` lines.
fn service(plan: &Plan, name: &str, more: &str) {
    plan.unit(
        &format!("{name}.service"),
        &format!(
            "[Service]\nType=notify\nExecStart={PROGRAM} serve\n\
             Environment=VAULTGRAM_CONFIG=/vg/vaultgram.toml\nLoadCredential=vault_token:/vg/token\n\
             StateDirectory=vaultgram\nDynamicUser=yes\n\
             NoNewPrivileges=yes\nProtectSystem=strict\n{more}"
        ),
    );
}

/// Whether systemd can be run here: as root only. Who is not is told so.
fn can_boot() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        let said = "\nSKIPPED: systemd can only be run by root\n";
        std::io::Write::write_all(&mut std::io::stderr(), said.as_bytes()).unwrap();
    }
    root
}
