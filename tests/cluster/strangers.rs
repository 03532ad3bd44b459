//! Whom etcd does not talk to at all: whoever has no certificate, or not the right one.

use std::process::Command;

use etcd_client::{Client, Error};

use crate::certificates::Certificate;
use crate::etcd::Etcd;
use crate::grants;

#[tokio::test(flavor = "multi_thread")]
async fn only_certificates_of_the_right_authority_are_heard() {
    let etcd = tokio::task::block_in_place(Etcd::start_cluster);
    grants::apply(&etcd).await;
    asks(&etcd, Some(&etcd.certificate("vaultgram")))
        .await
        .unwrap();

    let forged = etcd.forged_certificate("vaultgram");
    for (who, certificate) in [
        ("nobody", None),
        ("a forger", Some(&forged)),
        ("another node, to clients", Some(&etcd.certificate("peer"))),
        ("a server", Some(&etcd.certificate("server"))),
    ] {
        let answer = asks(&etcd, certificate).await;
        assert!(answer.is_err(), "{who} is heard");
    }
}

#[test]
fn only_nodes_are_heard_among_nodes() {
    let etcd = Etcd::start_cluster();
    assert!(asks_as_node(&etcd, Some(&etcd.certificate("peer"))));
    assert!(!asks_as_node(&etcd, None));
    // Who has any of these could otherwise write what it likes, past all users and roles.
    for client in ["root", "vault", "vaultgram", "server"] {
        assert!(
            !asks_as_node(&etcd, Some(&etcd.certificate(client))),
            "{client}"
        );
    }
    assert!(!asks_as_node(&etcd, Some(&etcd.forged_certificate("peer"))));
}

fn asks_as_node(etcd: &Etcd, certificate: Option<&Certificate>) -> bool {
    let mut curl = Command::new("curl");
    // curl takes the end of that port's HTTP/2 answers for an error.
    curl.args([
        "--http1.1",
        "--silent",
        "--fail",
        "--max-time",
        "10",
        "--cacert",
    ]);
    curl.arg(etcd.peer_trust());
    if let Some(of) = certificate {
        curl.arg("--cert")
            .arg(&of.certificate)
            .arg("--key")
            .arg(&of.key);
    }
    curl.arg(format!("https://{}/version", etcd.peer_sockets()[0]));
    let ran = curl.output().unwrap();
    ran.status.success() && String::from_utf8_lossy(&ran.stdout).contains("etcdserver")
}

async fn asks(etcd: &Etcd, certificate: Option<&Certificate>) -> Result<(), Error> {
    let mut client: Client = grants::client_with(etcd, certificate).await?;
    // What needs no permission: whoever is heard at all is told.
    client.member_list().await.map(drop)
}
