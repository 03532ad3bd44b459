//! Several secrets at once, for commands that hand values on: all of them or none.

use std::collections::{BTreeMap, BTreeSet};

use hyper::StatusCode;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::cli::address::{Address, MountedPath, explain, find_mount};
use crate::cli::client::Socket;
use crate::cli::exit::{Exit, Failure};
use crate::cli::secret::{Lease, Told};
use crate::domain::signs::one_line;

/// What was at one address.
pub(super) struct Fetched {
    /// Its path, with the mount found.
    pub(super) path: MountedPath,
    /// The version read; `None` where there are none.
    pub(super) version: Option<u64>,
    /// What the values hang on, where they do.
    pub(super) lease: Option<Lease>,
    /// The field that was asked for, or all.
    pub(super) values: BTreeMap<String, Value>,
}

impl Fetched {
    /// The value, where one field was asked for.
    pub(super) fn text(&self) -> Result<Zeroizing<String>, Failure> {
        let value = self.values.values().next();
        value.map(Value::text).ok_or_else(missing)
    }
}

/// One value. No `Debug`: it is secret.
#[derive(Clone)]
pub(super) struct Value(Zeroizing<String>);

impl Value {
    fn new(json: &RawValue) -> Self {
        Self(Zeroizing::new(json.get().to_owned()))
    }

    /// The JSON that Vault has.
    pub(super) fn json(&self) -> &str {
        &self.0
    }

    /// A string without quotes and escapes; anything else as JSON.
    pub(super) fn text(&self) -> Zeroizing<String> {
        serde_json::from_str(&self.0).map_or_else(|_| self.0.clone(), Zeroizing::new)
    }
}

/// The reads that it takes to have all of `addresses`: one for each path and version. Where only one
/// field of a path is wanted, no other leaves the broker.
pub(super) fn reads(addresses: &[Address]) -> Vec<Address> {
    let mut wanted: BTreeMap<(&str, Option<u64>), BTreeSet<Option<&str>>> = BTreeMap::new();
    for address in addresses {
        let fields = wanted.entry((&address.path, address.version)).or_default();
        fields.insert(address.field.as_deref());
    }
    let read = |((path, version), fields): ((&str, _), BTreeSet<Option<&str>>)| {
        let only = fields.first().copied().flatten();
        Address {
            path: path.to_owned(),
            field: only.filter(|_| fields.len() == 1).map(str::to_owned),
            version,
        }
    };
    wanted.into_iter().map(read).collect()
}

/// Reads what is at each of `addresses`, in their order.
///
/// # Errors
/// When one of them cannot be read, or lacks the field.
pub(super) async fn fetch(socket: &Socket, addresses: &[Address]) -> Result<Vec<Fetched>, Failure> {
    let mut found = BTreeMap::new();
    for Address {
        path,
        field,
        version,
    } in reads(addresses)
    {
        let read = read(socket, &path, version, field.as_deref()).await?;
        found.insert((path, version), read);
    }
    let at = |address: &Address| {
        let of = (address.path.clone(), address.version);
        let found = found.get(&of).ok_or_else(missing)?;
        pick(found, address.field.as_deref())
    };
    addresses.iter().map(at).collect()
}

/// Reads one path.
async fn read(
    socket: &Socket,
    path: &str,
    version: Option<u64>,
    field: Option<&str>,
) -> Result<Fetched, Failure> {
    let named = |failure: Failure| Failure {
        what: format!("{path}: {}", failure.what),
        ..failure
    };
    let mounted = find_mount(socket, path).await.map_err(named)?;
    let answer = socket.get(&mounted.values(field, version)).await?;
    if answer.status != StatusCode::OK {
        return Err(named(explain(&answer)));
    }
    let told = Told::of(mounted.kind, &answer).map_err(named)?;
    let values = told.values.0.iter();
    Ok(Fetched {
        version: told.version.as_ref().map(|(number, _)| *number),
        values: values
            .map(|(name, json)| (name.clone(), Value::new(json)))
            .collect(),
        lease: told.lease,
        path: mounted,
    })
}

/// The part of `found` that was asked for.
fn pick(found: &Fetched, field: Option<&str>) -> Result<Fetched, Failure> {
    let mut values = found.values.clone();
    if let Some(field) = field {
        values.retain(|name, _| name == field);
        if values.is_empty() {
            let names: Vec<String> = found.values.keys().map(|name| one_line(name)).collect();
            let what = format!("{} has no field \"{field}\"", found.path.full());
            return Err(
                Failure::new(Exit::NotFound, what).hint(format!("it has: {}", names.join(", ")))
            );
        }
    }
    Ok(Fetched {
        path: found.path.clone(),
        version: found.version,
        lease: found.lease.clone(),
        values,
    })
}

fn missing() -> Failure {
    Failure::new(Exit::Software, "a path was not read")
}
