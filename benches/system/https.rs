//! A job that reads over HTTPS: who vouches for it, and its session.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::Request;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};

use crate::certificates::{Authority, Request as Wanted};
use crate::issuer::{AUDIENCE, Issuer};
use crate::openbao::free_port;
use crate::socket::{Place, connect};
use crate::stage::Stage;

/// Where jobs are served, and what they need for it.
pub(crate) struct ForJobs {
    at: SocketAddr,
    issuer: Issuer,
    trust: Arc<ClientConfig>,
}

impl ForJobs {
    /// Adds it to the configuration of `stage`, which does not run yet.
    pub(crate) fn prepare(stage: &Stage) -> Self {
        let authority = Authority::new(stage.path("authority"), "authority");
        let certificate = authority.issue(
            "server",
            &Wanted {
                common_name: "vaultgram",
                addresses: &[Ipv4Addr::LOCALHOST],
                key_usage: "digitalSignature",
                extended_key_usage: "serverAuth",
            },
        );
        let (issuer, at) = (
            Issuer::start(),
            SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())),
        );
        let config = format!(
            "[https]\nlisten = \"{at}\"\ncert_file = \"{}\"\nkey_file = \"{}\"\n\
             [issuers.github]\nissuer = \"{}\"\naudience = \"{AUDIENCE}\"\n",
            certificate.certificate.display(),
            certificate.key.display(),
            issuer.address(),
        );
        let policy = "@id(\"jobs\") permit(principal is Job, action == Action::\"read\", \
                      resource in Path::\"secret/django\");\n";
        for (file, text) in [
            ("vaultgram.toml", config.as_str()),
            ("policy.cedar", policy),
        ] {
            let file = std::fs::File::options().append(true).open(stage.path(file));
            file.unwrap().write_all(text.as_bytes()).unwrap();
        }
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_file(authority.trust()).unwrap();
        roots.add(root).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let trust = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            at,
            issuer,
            trust: Arc::new(trust),
        }
    }

    /// Signs a job in.
    pub(crate) async fn sign_in(&self) -> Place {
        let place = |token| Place::Https(self.at, token, Arc::clone(&self.trust));
        let mut sender = connect(&place(String::new())).await.unwrap();
        let body = json!({"role": "github", "jwt": self.issuer.token(&json!({}))});
        let login = Request::post("/v1/auth/jwt/login")
            .header("Host", "localhost")
            .body(Full::from(body.to_string()))
            .unwrap();
        let answer = sender.send_request(login).await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let answer: Value = serde_json::from_slice(&body).unwrap();
        let token = answer["auth"]["client_token"].as_str();
        place(token.unwrap_or_else(|| panic!("{answer}")).to_owned())
    }
}
