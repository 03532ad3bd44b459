//! `vaultgram generate …`: what a program in a container, a pod or a unit needs, so that it finds its
//! secrets in files, and in `NAME_FILE` where each is.
//!
//! Everywhere a file is its user's alone, and that user or unit is also who asks: the policy that is
//! printed along is about them.

use std::collections::BTreeSet;
use std::io::Write;

use clap::{Args, Subcommand};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior, Value, context};

use crate::cli::exec::environment::Named;
use crate::cli::exit::{Exit, Failure};
use crate::cli::show;
use crate::domain::signs::{is_invisible, one_line};

const COMPOSE: &str = include_str!("templates/generate/compose.yaml");
const KUBERNETES: &str = include_str!("templates/generate/kubernetes.yaml");
const SYSTEMD: &str = include_str!("templates/generate/systemd.conf");

/// The image, where nobody names another.
const IMAGE: &str = concat!("ghcr.io/example/vaultgram:", env!("CARGO_PKG_VERSION"));
/// Longest name of a service, a unit or a secret, in bytes: what Kubernetes takes.
const LONGEST: usize = 63;

/// `vaultgram generate …`
#[derive(Debug, Subcommand)]
pub enum Generate {
    /// Print an override for a service of a compose file
    Compose(ComposeArgs),
    /// Print a drop-in for a unit, and what vaultgram is to be told of it
    Systemd(SystemdArgs),
    /// Print a patch for a Deployment
    Kubernetes(KubernetesArgs),
}

/// Arguments of `generate compose`.
#[derive(Debug, Args)]
#[command(after_help = "\
A container of vaultgram's beside the service writes the files into memory that both see, and again
when a secret changes. It asks as the service's user, on the socket in the volume \"vaultgram-socket\".

Examples:
  vaultgram generate compose --service web --user 1000 \\
      DB_PASSWORD=django/database#password > compose.override.yaml
  docker compose config --quiet

Exit codes: 0 done, 64 usage, 73 cannot write.")]
pub struct ComposeArgs {
    /// The service's name in the compose file
    #[arg(long, value_name = "NAME", value_parser = service)]
    pub service: String,
    /// The number of the user that the service runs as
    #[arg(long, value_name = "UID")]
    pub user: u32,
    /// vaultgram's image
    #[arg(long, value_name = "IMAGE", default_value = IMAGE, value_parser = image)]
    pub image: String,
    /// What a secret is to be called, and which it is
    #[arg(required = true, value_name = "NAME=PATH#field[@version]")]
    pub secrets: Vec<Named>,
}

/// Arguments of `generate systemd`.
#[derive(Debug, Args)]
#[command(after_help = "\
systemd asks vaultgram itself (LoadCredential=), and the unit needs nothing of vaultgram.

Examples:
  vaultgram generate systemd --unit app.service DB_PASSWORD=django/database#password \\
      > /etc/systemd/system/app.service.d/vaultgram.conf

Exit codes: 0 done, 64 usage, 73 cannot write.")]
pub struct SystemdArgs {
    /// The unit
    #[arg(long, value_name = "UNIT", value_parser = unit)]
    pub unit: String,
    /// What a secret is to be called, and which it is
    #[arg(required = true, value_name = "NAME=PATH#field[@version]")]
    pub secrets: Vec<Named>,
}

/// Arguments of `generate kubernetes`.
#[derive(Debug, Args)]
#[command(after_help = "\
A container of vaultgram's that starts before the others writes the files into memory that the pod
shares, and again when a secret changes. It asks over HTTPS, as the pod's service account.

Examples:
  vaultgram generate kubernetes --deployment web --user 1000 \\
      DB_PASSWORD=django/database#password > secrets.yaml
  kubectl kustomize .

Exit codes: 0 done, 64 usage, 73 cannot write.")]
pub struct KubernetesArgs {
    /// The Deployment's name
    #[arg(long, value_name = "NAME", value_parser = service)]
    pub deployment: String,
    /// The container in it that reads the files [default: called as the Deployment]
    #[arg(long, value_name = "NAME", value_parser = service)]
    pub container: Option<String>,
    /// The number of the user that the container runs as
    #[arg(long, value_name = "UID")]
    pub user: u32,
    /// vaultgram's image
    #[arg(long, value_name = "IMAGE", default_value = IMAGE, value_parser = image)]
    pub image: String,
    /// Where vaultgram answers
    #[arg(long, value_name = "ADDRESS", value_parser = address,
        default_value = "https://vaultgram-https.vaultgram.svc:8443")]
    pub address: String,
    /// What a secret is to be called, and which it is
    #[arg(required = true, value_name = "NAME=PATH#field[@version]")]
    pub secrets: Vec<Named>,
}

/// Prints what was asked for to `out`.
///
/// # Errors
/// When a name cannot be used, or it cannot be written.
pub fn run(generate: &Generate, out: &mut dyn Write) -> Result<(), Failure> {
    let (template, named, own) = match generate {
        Generate::Compose(it) => {
            let own = context! { service => &it.service, user => it.user, image => &it.image };
            (COMPOSE, &it.secrets, own)
        }
        Generate::Systemd(it) => (SYSTEMD, &it.secrets, context! { unit => &it.unit }),
        Generate::Kubernetes(it) => {
            let own = context! {
                deployment => &it.deployment,
                container => it.container.as_ref().unwrap_or(&it.deployment),
                user => it.user,
                image => &it.image,
                address => &it.address,
            };
            (KUBERNETES, &it.secrets, own)
        }
    };
    let wanted = wanted(named)?;
    let text = render(template, context! { ..own, ..wanted })
        .map_err(|error| Failure::new(Exit::Software, error))?;
    show::write(text.as_bytes(), out)
}

fn render(template: &str, values: Value) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let mut syntax = SyntaxConfig::builder();
    environment.set_syntax(
        syntax
            .trim_blocks(true)
            .keep_trailing_newline(true)
            .build()?,
    );
    environment.render_str(template, values)
}

/// What the templates say of each secret, as `secrets`, and of all of them, as `paths`.
fn wanted(named: &[Named]) -> Result<Value, Failure> {
    let mut files = BTreeSet::new();
    let mut paths = BTreeSet::new();
    let mut secrets = vec![];
    for Named { name, address } in named {
        let refused = |what: &str, hint: &str| {
            let what = format!("\"{}\": {what}", one_line(name));
            Failure::new(Exit::Usage, what).hint(hint)
        };
        if !is_name(name) {
            let hint = "letters, digits and _, and no digit at the beginning, such as DB_PASSWORD";
            return Err(refused("no secret can be called so", hint));
        }
        let shown = address.to_string();
        if shown.contains(is_invisible) {
            let hint = "write the path and the field as `vaultgram list` shows them";
            return Err(refused("its path holds a sign that cannot be seen", hint));
        }
        // As Docker's secrets are called, and systemd's credentials.
        let file = name.to_ascii_lowercase();
        paths.insert(format!("Path::{}", quoted(&address.path)));
        secrets.push(context! {
            file => &file,
            variable => format!("{}_FILE", name.to_ascii_uppercase()),
            argument => quoted(&format!("{file}={shown}")),
            address => quoted(&shown),
        });
        if !files.insert(file) {
            return Err(refused("is given twice", "name each secret once"));
        }
    }
    let paths: Vec<String> = paths.into_iter().collect();
    Ok(context! { secrets => secrets, paths => paths })
}

/// As a string of JSON, which YAML, TOML and Cedar take too: no sign is in it that cannot be seen.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn is_name(name: &str) -> bool {
    let letter = |sign: char| sign.is_ascii_alphabetic() || sign == '_';
    let known = |sign: char| letter(sign) || sign.is_ascii_digit();
    name.starts_with(letter) && name.len() <= LONGEST && name.chars().all(known)
}

fn service(text: &str) -> Result<String, &'static str> {
    let known = |sign: char| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == '-';
    let edges = !text.starts_with('-') && !text.ends_with('-');
    let fits = edges && (1..=LONGEST).contains(&text.len()) && text.chars().all(known);
    fits.then(|| text.to_owned())
        .ok_or("small letters, digits and \"-\", at most 63")
}

fn unit(text: &str) -> Result<String, &'static str> {
    let known = |sign: char| sign.is_ascii_alphanumeric() || ":-_.@".contains(sign);
    let name = text.strip_suffix(".service").unwrap_or_default();
    let fits = (1..=200).contains(&name.len()) && name.chars().all(known);
    fits.then(|| text.to_owned())
        .ok_or("a service's name in full, such as app.service")
}

fn image(text: &str) -> Result<String, &'static str> {
    let known = |sign: char| sign.is_ascii_alphanumeric() || "-_./:@".contains(sign);
    let fits = (1..=500).contains(&text.len()) && text.chars().all(known);
    fits.then(|| text.to_owned())
        .ok_or("an image's name, such as registry.example.org/vaultgram@sha256:…")
}

fn address(text: &str) -> Result<String, &'static str> {
    let known = |sign: char| sign.is_ascii_alphanumeric() || "-.:[]/".contains(sign);
    let fits = text
        .strip_prefix("https://")
        .is_some_and(|rest| rest.chars().all(known));
    fits.then(|| text.to_owned())
        .ok_or("an address such as https://vaultgram.example.org:8443")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_break_out_are_refused() {
        for name in ["A", "_x", "DB_PASSWORD2"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "2A", "A-B", "A.B", "A B", "Ä", "A\n", &"x".repeat(64)] {
            assert!(!is_name(name), "{name:?}");
        }
        assert!(service("web-1").is_ok() && unit("app@1.service").is_ok());
        for text in ["", "-a", "a-", "Web", "a b", "a:\n"] {
            assert!(service(text).is_err(), "{text:?}");
        }
        for text in [
            "",
            ".service",
            "app",
            "a b.service",
            "a/b.service",
            "a\n.service",
        ] {
            assert!(unit(text).is_err(), "{text:?}");
        }
        for text in ["", "a b", "a\n", "a\"b", "${X}"] {
            assert!(image(text).is_err(), "{text:?}");
        }
        for text in ["http://x", "https://x y", "https://x\n", "https://$(A)"] {
            assert!(address(text).is_err(), "{text:?}");
        }
    }
}
