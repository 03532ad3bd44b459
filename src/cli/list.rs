//! `vaultgram list`: the names in a folder.

use std::collections::VecDeque;
use std::io::{self, Write};

use clap::Args;
use clap::builder::styling::Style;
use hyper::StatusCode;
use serde::Serialize;

use crate::api::{Envelope, Keys};
use crate::cli::address::{Kind, MountedPath, explain, find_folder};
use crate::cli::client::Socket;
use crate::cli::common::Common;
use crate::cli::exit::{Exit, Failure};
use crate::cli::secret::not_understood;
use crate::cli::show;
use crate::domain::signs::one_line;

/// How deep `--recursive` goes.
const DEEPEST: usize = 16;
/// How many names `--recursive` lists.
const MOST: usize = 10_000;

/// Arguments of `list`.
#[derive(Debug, Args)]
#[command(after_help = "\
A name that ends with / is a folder. With --recursive, folders that policy does not let you list are
left out, and said on standard error.

Examples:
  vaultgram list                  the default mount
  vaultgram list django
  vaultgram list secret/ --recursive --json | jq -r '.names[]'

Exit codes: 0 done, 64 usage, 66 no such folder, 69 not available, 75 try again, 77 denied.")]
pub struct ListArgs {
    /// A folder, with or without its mount
    #[arg(value_name = "FOLDER", default_value = "", hide_default_value = true)]
    pub folder: String,
    /// What is in its folders too
    #[arg(long, short)]
    pub recursive: bool,
    /// How to ask.
    #[command(flatten)]
    pub common: Common,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    path: &'a str,
    names: &'a [String],
}

/// Prints the names in a folder to `out`, in `color`.
///
/// # Errors
/// With the exit codes that `vaultgram list --help` lists.
pub async fn run(arguments: &ListArgs, out: &mut dyn Write, color: bool) -> Result<(), Failure> {
    let socket = arguments.common.socket()?;
    let mut folder = find_folder(&socket, arguments.folder.trim_matches('/')).await?;
    if !folder.rest.is_empty() {
        folder.rest.push('/');
    }
    let names = if arguments.recursive {
        all_names(&socket, &folder).await?
    } else {
        names(&socket, &folder, "").await?
    };
    if arguments.common.json {
        let path = &folder.full();
        return show::json(
            &Printed {
                path,
                names: &names,
            },
            out,
        );
    }
    let bold = if color {
        Style::new().bold()
    } else {
        Style::new()
    };
    let shown = names.iter().map(|name| {
        let style = if name.ends_with('/') {
            bold
        } else {
            Style::new()
        };
        format!("{style}{}{style:#}\n", one_line(name))
    });
    show::write(shown.collect::<String>().as_bytes(), out)
}

/// The names in the folder `below` of `folder`.
async fn names(socket: &Socket, folder: &MountedPath, below: &str) -> Result<Vec<String>, Failure> {
    let path = MountedPath {
        rest: format!("{}{below}", folder.rest),
        ..folder.clone()
    };
    let target = match path.kind {
        Kind::Kv2 => path.kv2("metadata"),
        Kind::Kv1 | Kind::Engine => path.target(),
    };
    let answer = socket.get(&format!("{target}?list=true")).await?;
    match answer.status {
        StatusCode::OK => {
            let said: Envelope<Keys> =
                serde_json::from_slice(&answer.body).map_err(|_| not_understood())?;
            Ok(said.data.keys)
        }
        StatusCode::NOT_FOUND => {
            let what = format!("there is nothing in {}", path.full());
            Err(Failure::new(Exit::NotFound, what)
                .hint("`vaultgram list` without a folder lists the default mount"))
        }
        _ => Err(explain(&answer)),
    }
}

/// As [`names`], and those in its folders, which stand for themselves only where they cannot be
/// looked into.
async fn all_names(socket: &Socket, folder: &MountedPath) -> Result<Vec<String>, Failure> {
    let mut all = vec![];
    let mut left = VecDeque::from([(String::new(), 0)]);
    while let Some((below, depth)) = left.pop_front() {
        let found = match names(socket, folder, &below).await {
            Err(failure) if failure.exit == Exit::Denied && depth > 0 => {
                let shown = one_line(&below);
                drop(writeln!(io::stderr(), "warning: {shown} may not be listed"));
                continue;
            }
            found => found?,
        };
        for name in found {
            let name = format!("{below}{name}");
            if name.ends_with('/') && depth < DEEPEST {
                left.push_back((name, depth + 1));
            } else {
                all.push(name);
            }
        }
        if all.len() + left.len() > MOST {
            let what = format!("there are more than {MOST} names");
            return Err(Failure::new(Exit::Data, what).hint("list a folder further down"));
        }
    }
    all.sort_unstable();
    Ok(all)
}
