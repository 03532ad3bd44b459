//! vaultrs, the Rust client of Vault: its strict types take what the socket says.

use std::collections::HashMap;

use serde_json::{Value, json};
use vaultrs::api::ResponseWrapper;
use vaultrs::api::kv2::requests::{ReadSecretRequest, SetSecretRequestOptions};
use vaultrs::client::{Client, VaultClient, VaultClientSettingsBuilder};
use vaultrs::error::ClientError;
use vaultrs::{kv1, kv2, sys, token, transit};

use crate::pair::Pair;

#[tokio::test(flavor = "multi_thread")]
async fn vaultrs_reads_and_writes() {
    let pair = tokio::task::spawn_blocking(Pair::start).await.unwrap();
    let client = client(&pair);
    let ours = &client;

    let secret: Value = kv2::read(ours, "secret", "app/db").await.unwrap();
    assert_eq!(secret["username"], "u3");
    let secret: Value = kv2::read_version(ours, "secret", "app/db", 1)
        .await
        .unwrap();
    assert_eq!(secret["username"], "u1");
    let none = kv2::read::<Value>(ours, "secret", "app/none").await;
    assert!(
        matches!(none, Err(ClientError::APIError { code: 404, .. })),
        "{none:?}"
    );
    let denied = kv2::read::<Value>(ours, "secret", "private/key").await;
    assert!(
        matches!(denied, Err(ClientError::APIError { code: 403, .. })),
        "{denied:?}"
    );
    let names = kv2::list(ours, "secret", "app").await.unwrap();
    assert!(names.contains(&"db".to_owned()), "{names:?}");
    let metadata = kv2::read_metadata(ours, "secret", "app/db").await.unwrap();
    assert_eq!((metadata.current_version, metadata.versions.len()), (3, 3));

    let fields = json!({"a": "1"});
    let first = kv2::set(ours, "secret", "app/rs", &fields).await.unwrap();
    assert_eq!(first.version, 1);
    let cas = || SetSecretRequestOptions { cas: 1 };
    let second = kv2::set_with_options(ours, "secret", "app/rs", &fields, cas()).await;
    assert_eq!(second.unwrap().version, 2);
    let late = kv2::set_with_options(ours, "secret", "app/rs", &fields, cas()).await;
    assert!(
        matches!(late, Err(ClientError::APIError { code: 400, .. })),
        "{late:?}"
    );
    kv2::delete_latest(ours, "secret", "app/rs").await.unwrap();
    kv2::undelete_versions(ours, "secret", "app/rs", vec![2])
        .await
        .unwrap();
    kv2::delete_versions(ours, "secret", "app/rs", vec![1])
        .await
        .unwrap();
    kv2::destroy_versions(ours, "secret", "app/rs", vec![1])
        .await
        .unwrap();
    let metadata = kv2::read_metadata(ours, "secret", "app/rs").await.unwrap();
    assert!(metadata.versions["1"].destroyed && !metadata.versions["2"].destroyed);

    let fields = HashMap::from([("a", "1")]);
    kv1::set(ours, "legacy", "app/rs", &fields).await.unwrap();
    let old: Value = kv1::get(ours, "legacy", "app/rs").await.unwrap();
    assert_eq!(old, json!({"a": "1"}));
    kv1::delete(ours, "legacy", "app/rs").await.unwrap();

    let sealed = transit::data::encrypt(ours, "transit", "mail", "aGk=", None).await;
    let sealed = sealed.unwrap().ciphertext;
    let opened = transit::data::decrypt(ours, "transit", "mail", &sealed, None);
    assert_eq!(opened.await.unwrap().plaintext, "aGk=");

    let endpoint = ReadSecretRequest::builder()
        .mount("secret")
        .path("app/other")
        .build();
    let wrapped = endpoint.unwrap().wrap(ours).await.unwrap();
    assert_eq!(
        wrapped.lookup(ours).await.unwrap().creation_path,
        "secret/data/app/other"
    );
    assert_eq!(wrapped.unwrap(ours).await.unwrap().data, json!({"a": "b"}));
    assert!(wrapped.lookup(ours).await.is_err(), "it works once");

    let health = sys::health(ours).await.unwrap();
    assert!(health.initialized && !health.sealed);
    assert_eq!(format!("{:?}", sys::status(ours).await.unwrap()), "OK");
    let uid = rustix::process::getuid().as_raw();
    let me = token::lookup_self(ours).await.unwrap();
    assert_eq!(me.display_name, format!("uid:{uid}"));
    client.revoke().await.unwrap();
}

/// vaultrs' own builder knows no sockets; reqwest does, and every field of the client is public.
fn client(pair: &Pair) -> VaultClient {
    // No TLS is spoken on it, but reqwest wants somebody who could.
    drop(rustls::crypto::ring::default_provider().install_default());
    let settings = VaultClientSettingsBuilder::default()
        .address("http://localhost")
        .token("")
        .build()
        .unwrap();
    let mut client = VaultClient::new(settings).unwrap();
    client.http.http = reqwest::Client::builder()
        .unix_socket(pair.socket.as_path())
        .build()
        .unwrap();
    client
}
