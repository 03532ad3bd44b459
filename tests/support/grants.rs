//! The users and roles of `policies/etcd`, made in a real etcd, and clients with their certificates.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "shared by test targets, of which none uses all of it; tests may panic"
)]

use std::time::Duration;

use etcd_client::{
    Certificate as Trusted, Client, ConnectOptions, Error, Identity, Permission, PermissionType,
    TlsOptions, UserAddOptions,
};
use serde_json::Value;

use crate::certificates::Certificate;
use crate::etcd::Etcd;

/// How long one call may take, while the cluster is whole.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes the layout's users and roles in a cluster that has none, and turns its checks on.
pub(crate) async fn apply(etcd: &Etcd) {
    let mut root = client(etcd, "root").await;
    let list = |of: &Value, key: &str| of[key].as_array().unwrap().clone();
    let text = |of: &Value, key: &str| of[key].as_str().unwrap().to_owned();
    for role in list(etcd.layout(), "roles") {
        let name = text(&role, "name");
        root.role_add(name.as_str()).await.unwrap();
        for permission in list(&role, "permissions") {
            let access = match text(&permission, "access").as_str() {
                "read" => PermissionType::Read,
                "write" => PermissionType::Write,
                "readwrite" => PermissionType::Readwrite,
                other => panic!("access: {other}"),
            };
            let mut granted = Permission::new(access, text(&permission, "key"));
            if permission["prefix"].as_bool().unwrap() {
                granted = granted.with_prefix();
            }
            let done = root.role_grant_permission(name.as_str(), granted).await;
            done.unwrap();
        }
    }
    for user in list(etcd.layout(), "users") {
        let name = text(&user, "name");
        // They have no passwords: only a certificate with this common name is one of them.
        let options = UserAddOptions::new().with_no_pwd();
        root.user_add(name.as_str(), "", Some(options))
            .await
            .unwrap();
        for role in list(&user, "roles") {
            let done = root
                .user_grant_role(name.as_str(), role.as_str().unwrap())
                .await;
            done.unwrap();
        }
    }
    root.auth_enable().await.unwrap();
}

/// A client with a new certificate of the layout's: `vault`, `vaultgram`, `root`.
pub(crate) async fn client(etcd: &Etcd, file: &str) -> Client {
    let certificate = etcd.certificate(file);
    client_with(etcd, Some(&certificate)).await.unwrap()
}

/// A client with any certificate, or none. That it is refused shows only when it asks something.
pub(crate) async fn client_with(
    etcd: &Etcd,
    certificate: Option<&Certificate>,
) -> Result<Client, Error> {
    client_at(etcd, &etcd.endpoints(), certificate).await
}

/// As [`client_with`], of these nodes alone.
pub(crate) async fn client_at(
    etcd: &Etcd,
    endpoints: &[String],
    certificate: Option<&Certificate>,
) -> Result<Client, Error> {
    let file = |path: &std::path::Path| std::fs::read(path).unwrap();
    let mut tls = TlsOptions::new().ca_certificate(Trusted::from_pem(file(&etcd.trust())));
    if let Some(of) = certificate {
        tls = tls.identity(Identity::from_pem(file(&of.certificate), file(&of.key)));
    }
    let options = ConnectOptions::new()
        .with_tls(tls)
        .with_timeout(PATIENCE)
        .with_connect_timeout(PATIENCE);
    Client::connect(endpoints, Some(options)).await
}
