//! Logging in with the client certificate of the connection.

use serde_json::json;
use vaultgram::broker::ports::StoreError;
use vaultgram::vault::{Method, Settings};

use crate::methods::by;
use crate::openbao::OpenBao;
use crate::tls::Authorities;
use crate::world::{SHIPPED, World, error, logged_out, settings};

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_a_role_takes_is_let_in() {
    let authorities = Authorities::new();
    let mut bao = OpenBao::start();
    let (address, server_authority) = bao.speak_tls();
    bao.put("app", &json!({"k": "v"}));
    bao.policy("vaultgram", SHIPPED);
    bao.must("POST", "sys/auth/cert", &json!({"type": "cert"}));
    let authority = std::fs::read_to_string(authorities.file("client-ca")).unwrap();
    for (role, name) in [("vaultgram", "client.example.org"), ("boss", "boss")] {
        let role_of = json!({
            "certificate": authority,
            "allowed_common_names": name,
            "token_policies": "vaultgram",
        });
        bao.must("POST", &format!("auth/cert/certs/{role}"), &role_of);
    }
    let showing = |name: &str, role: Option<&str>| -> Settings {
        let role = role.map(str::to_owned);
        let mut settings = settings(address.clone(), by("cert", Method::Cert { role }));
        settings.ca_cert = Some(server_authority.clone());
        settings.client_cert = Some(authorities.file(name));
        settings.client_key = Some(authorities.file(&format!("{name}-key")));
        settings
    };
    for role in [None, Some("vaultgram")] {
        let mut world = World::start(showing("client", role));
        assert_eq!(world.field("app", "k").await.unwrap(), r#""v""#);
        world.stop().await;
    }
    // A stranger's certificate; one that the role does not take; a role that is not there.
    for (name, role) in [
        ("stranger", None),
        ("stranger", Some("vaultgram")),
        ("client", Some("boss")),
        ("client", Some("nobody")),
    ] {
        let world = World::start(showing(name, role));
        assert_eq!(error(world.read("app").await), StoreError::LoggedOut);
        let reason = logged_out(&world.store).await;
        assert!(
            reason.contains("the certificate login is refused (status ")
                && reason.contains("check client_cert, whether a role takes it, role"),
            "{name} {role:?}: {reason}"
        );
    }
}
