//! Logging in with the service account of a pod.
//!
//! OpenBao's method asks the API server of the cluster whether a token is good (`TokenReview`).
//! There is no cluster here, so a small server answers that one question, in the shape and with
//! the refusals of a real API server; OpenBao and its method are the real ones.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;
use vaultgram::broker::ports::StoreError;
use vaultgram::vault::{Auth, Method};

use crate::methods::{Signer, bao_with, by, ending_in, let_in, replace, turned_away};
use crate::openbao::OpenBao;
use crate::world::{error, logged_out};

const UID: &str = "4f1c2d3e-0000-4000-8000-7f3a9c21aaaa";
const REVIEWER: &str = "the-reviewer-of-tokens";

/// An API server to which one token is good.
struct ApiServer {
    address: String,
    good: Arc<Mutex<String>>,
}

impl ApiServer {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let good = Arc::new(Mutex::new(String::new()));
        let tracker = TaskTracker::new();
        let known = good.clone();
        tracker.clone().spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tracker.spawn(review(client, known.clone()));
            }
        });
        Self { address, good }
    }

    fn accept_only(&self, token: &str) {
        token.clone_into(&mut self.good.lock().unwrap());
    }
}

/// Answers one request.
async fn review(mut client: TcpStream, good: Arc<Mutex<String>>) {
    let mut request = vec![];
    let (head, body) = loop {
        let mut buffer = [0; 4096];
        let count = client.read(&mut buffer).await.unwrap();
        request.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && let Ok(body) = serde_json::from_str::<Value>(body)
        {
            break (head.to_owned(), body);
        }
        assert!(count > 0, "half a request: {text}");
    };
    assert!(
        head.starts_with("POST /apis/authentication.k8s.io/v1/tokenreviews "),
        "{head}"
    );
    assert!(head.contains(&format!("Bearer {REVIEWER}")), "{head}");
    assert!(body["spec"]["token"].is_string(), "{body}");
    let status = if body["spec"]["token"] == *good.lock().unwrap() {
        json!({
            "authenticated": true,
            "user": {
                "username": "system:serviceaccount:apps:vaultgram",
                "uid": UID,
                "groups": [
                    "system:serviceaccounts",
                    "system:serviceaccounts:apps",
                    "system:authenticated",
                ],
            },
            "audiences": ["https://kubernetes.default.svc.cluster.local"],
        })
    } else {
        json!({"user": {}, "error": "[invalid bearer token, service account token has expired]"})
    };
    let answer = json!({
        "kind": "TokenReview",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"creationTimestamp": null},
        "spec": body["spec"],
        "status": status,
    })
    .to_string();
    let head = format!(
        "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        answer.len()
    );
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(answer.as_bytes()).await.unwrap();
}

/// A token as the API server puts it into a pod; `account` is the pod's service account.
fn pod_token(signer: &Signer<'_>, account: &str) -> String {
    let mut claims = ending_in(3600);
    claims["iss"] = json!("https://kubernetes.default.svc.cluster.local");
    claims["aud"] = json!(["https://kubernetes.default.svc.cluster.local"]);
    claims["sub"] = json!(format!("system:serviceaccount:apps:{account}"));
    claims["kubernetes.io"] = json!({
        "namespace": "apps",
        "pod": {"name": "vaultgram-0", "uid": "0d6a"},
        "serviceaccount": {"name": account, "uid": UID},
    });
    signer.sign("trusted", &claims)
}

fn trust(bao: &OpenBao, server: &ApiServer) {
    // It wants an authority even for plain HTTP.
    bao.must("POST", "sys/mounts/pki", &json!({"type": "pki"}));
    let root = json!({"common_name": "kubernetes", "ttl": "1h"});
    let root = bao.must("POST", "pki/root/generate/internal", &root);
    let cluster = json!({
        "kubernetes_ca_cert": root["data"]["certificate"],
        "kubernetes_host": server.address,
        "token_reviewer_jwt": REVIEWER,
        "disable_local_ca_jwt": true,
    });
    bao.must("POST", "auth/kubernetes/config", &cluster);
    let role = json!({
        "bound_service_account_names": ["vaultgram"],
        "bound_service_account_namespaces": ["apps"],
        "token_policies": "vaultgram",
    });
    bao.must("POST", "auth/kubernetes/role/vaultgram", &role);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_let_in_and_its_token_may_be_replaced() {
    let bao = bao_with("kubernetes", "kubernetes");
    let (signer, server) = (Signer::new(&bao), ApiServer::start().await);
    trust(&bao, &server);
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("token");
    let auth = |role: &str| -> Auth {
        let method = Method::Kubernetes {
            role: role.to_owned(),
            token_file: file.clone(),
        };
        by("kubernetes", method)
    };
    let token = pod_token(&signer, "vaultgram");
    server.accept_only(&token);
    replace(&file, &token);
    let world = let_in(&bao, auth("vaultgram")).await;

    let next = pod_token(&signer, "vaultgram");
    server.accept_only(&next);
    let path = "sys/leases/revoke-prefix/auth/kubernetes";
    bao.must("PUT", path, &Value::Null);
    assert_eq!(error(world.read("app").await), StoreError::LoggedOut);
    let reason = logged_out(&world.store).await;
    assert!(
        reason.starts_with("the Kubernetes login is refused (status 403"),
        "{reason}"
    );
    assert!(!reason.contains(&token), "{reason}");
    replace(&file, &next);
    world.ready().await;
    assert!(world.read("app").await.is_ok());

    let reason = turned_away(&bao, auth("nobody"), &[&next]).await;
    assert!(reason.contains("role"), "{reason}");
    let other = pod_token(&signer, "other");
    server.accept_only(&other);
    replace(&file, &other);
    let reason = turned_away(&bao, auth("vaultgram"), &[&other]).await;
    assert!(
        reason.contains("service account name not authorized"),
        "{reason}"
    );
}
