//! What `vaultgram doctor` says of etcd.

use std::fmt::Display;
use std::sync::Arc;

use crate::broker::ports::{Clock, SystemClock};
use crate::config::EtcdConfig;
use crate::coordination::etcd::{AtRest, EtcdClient};
use crate::daemon::settings;

/// etcd, and whether the replicas' keys are good for what is in it. It joins nobody.
pub(super) async fn examine(mut config: EtcdConfig) -> Result<String, String> {
    let keys = settings::sealing(&config)?;
    let reach = settings::etcd(&mut config);
    reach.check().await?;
    let etcd = Arc::new(EtcdClient::new(reach));
    let failed = |error: &dyn Display| error.to_string();
    let found = etcd.examine(&config.prefix).await;
    let found = found.map_err(|error| failed(&error))?;
    let state = AtRest::new(etcd, &config.prefix, keys);
    if let Some(mark) = state.moved().await.map_err(|error| failed(&error))? {
        return Err(mark.problem());
    }
    let replicas = state.replicas().await.map_err(|error| failed(&error))?;
    // Opens everything, which fails where it was sealed with another key.
    let now = SystemClock.now().unix_timestamp() * 1000;
    state
        .everything(now)
        .await
        .map_err(|error| failed(&error))?;
    let answer = found.nodes.iter().filter(|(_, facts)| facts.is_ok());
    let (answer, named) = (answer.count(), found.nodes.len());
    let version = found
        .nodes
        .iter()
        .find_map(|(_, facts)| facts.as_ref().ok());
    let version = version.map_or("", |facts| &facts.version);
    let members = match &found.members {
        Some((1, _)) => ", one member".to_owned(),
        Some((count, Some(leader))) => format!(", {count} members led by {leader}"),
        Some((count, None)) => format!(", {count} members without a leader"),
        None => String::new(),
    };
    let running = match replicas {
        0 => "no replica runs".to_owned(),
        1 => "1 replica runs".to_owned(),
        more => format!("{more} replicas run"),
    };
    let warnings = found.warnings(&config.prefix).into_iter();
    let warnings = warnings.map(|text| format!("; {text}"));
    Ok(format!(
        "etcd {version} answers at {answer} of {named} endpoints{members}; {running}{}",
        warnings.collect::<String>()
    ))
}
