//! Of which kind a mount is: version 1 answers some requests of version 2, and means another thing.

use rustify::endpoint::Endpoint;
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use serde::Deserialize;
use tracing::warn;

use crate::broker::ports::StoreError;
use crate::domain::SecretPath;
use crate::vault::client::{Access, Client};
use crate::vault::kv::{failed, refusal};

/// Refuses a path on a mount of another kind.
pub(super) async fn must_be_version_2(
    client: &Client,
    access: &Access,
    path: &SecretPath,
) -> Result<(), StoreError> {
    if is_version_2(client, access, path).await? {
        return Ok(());
    }
    warn!(
        event = "vault.mount_unusable",
        mount = path.mount(),
        advice = "enable KV version 2 there, or take the mount out of the configuration"
    );
    Err(StoreError::Invalid)
}

/// Whether `path` lies on a KV version 2 mount; supposed so where Vault does not say.
async fn is_version_2(
    client: &Client,
    access: &Access,
    path: &SecretPath,
) -> Result<bool, StoreError> {
    #[derive(Deserialize)]
    struct Envelope {
        data: Mount,
    }
    #[derive(Deserialize)]
    struct Mount {
        #[serde(rename = "type")]
        kind: String,
        options: Option<Options>,
    }
    #[derive(Deserialize)]
    struct Options {
        version: Option<String>,
    }
    let answer = client
        .call(access, MountRequest { path })
        .await
        .map_err(|failure| failed(&failure))?;
    match answer.status {
        200 => {}
        // Not for us to know, or a server that has no such request.
        403 | 404 => return Ok(true),
        _ => return Err(refusal(answer)),
    }
    let Envelope { data: mount } =
        serde_json::from_slice(&answer.body).map_err(|_| StoreError::Invalid)?;
    let version = mount.options.and_then(|options| options.version);
    Ok(mount.kind == "kv" && version.as_deref() == Some("2"))
}

/// Which mount a path lies on; vaultrs has no such request.
struct MountRequest<'a> {
    path: &'a SecretPath,
}

impl Endpoint for MountRequest<'_> {
    type Response = ();
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        format!("sys/internal/ui/mounts/{}", self.path)
    }

    fn method(&self) -> RequestMethod {
        RequestMethod::GET
    }
}
