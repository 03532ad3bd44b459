//! Monitoring, with a real Prometheus and a real Alertmanager: what is exposed is what is documented, the
//! dashboard has data, and trouble is told.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "a test fails by panicking"
)]

mod alerts;
#[path = "../support/certificates.rs"]
mod certificates;
#[path = "../support/etcd.rs"]
mod etcd;
mod exposed;
mod hook;
#[path = "../support/openbao.rs"]
mod openbao;
mod prometheus;
mod rules;
#[path = "../support/stage.rs"]
mod stage;
mod world;

use std::path::{Path, PathBuf};

/// A file of the project.
fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    let path = project(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
