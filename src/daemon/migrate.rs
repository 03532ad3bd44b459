//! `vaultgram state migrate`: everything from the state file to etcd, or back.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::broker::ports::{Clock, SystemClock};
use crate::cli::exit::{Exit, Failure};
use crate::cli::state::{self, Migrate, Place, StateCommand};
use crate::cli::table::{Look, Table};
use crate::config::{EtcdConfig, StateConfig};
use crate::coordination::etcd::{AtRest, EtcdClient};
use crate::coordination::{Kept, OpenError, StateFile, What};
use crate::daemon::signals::unless_stopped;
use crate::daemon::{load, settings};

/// Runs a command about the state.
///
/// # Errors
/// With the exit codes that its help lists.
pub async fn state(command: &StateCommand, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        StateCommand::Keygen(arguments) => state::make_key(arguments, out),
        StateCommand::Migrate(arguments) => {
            let migrated = unless_stopped(Box::pin(migrate(arguments))).await?;
            let printed = print(&migrated, arguments.json, out);
            printed.map_err(|error| {
                Failure::new(Exit::CannotCreate, format!("standard output: {error}"))
            })
        }
    }
}

/// What was done.
#[derive(Serialize)]
struct Migrated {
    from: String,
    to: String,
    /// How much, by the first part of its key.
    entries: BTreeMap<String, Counts>,
    /// How to remove the mark on where it came from.
    unmark: String,
    next: String,
}

#[derive(Default, Serialize)]
struct Counts {
    values: usize,
    claims_done: usize,
    claims_not_done: usize,
}

async fn migrate(arguments: &Migrate) -> Result<Migrated, Failure> {
    let config_file = &arguments.config.config;
    let StateConfig::Etcd(config) = load(config_file)?.state else {
        let what = format!(
            "{}: there is no [state.etcd] section",
            config_file.display()
        );
        let hint = "name etcd there, in place of [state] file; the file is what --file names, state.redb \
                    beside the configuration by default";
        return Err(Failure::new(Exit::Config, what).hint(hint));
    };
    let beside = || config_file.with_file_name(StateConfig::DEFAULT_FILE);
    let path = arguments.file.clone().unwrap_or_else(beside);
    let here = path.display().to_string();
    let there = format!("etcd under {}", config.prefix);
    let etcd = at_rest(*config)?;
    let now = SystemClock.now();
    let (kept, from, to, unmark, next) = match arguments.to {
        Place::Etcd => {
            let (kept, unmark) = to_etcd(path, &etcd, &there, now).await?;
            let next = "start vaultgram; other replicas need a login and an audit of their own";
            (kept, here, there, unmark, next.to_owned())
        }
        Place::File => {
            let (kept, unmark) = to_file(path, &etcd, &there, now).await?;
            let next = format!("in place of [state.etcd], set [state] file = \"{here}\"");
            (kept, there, here, unmark, next)
        }
    };
    let mut entries = BTreeMap::<_, Counts>::new();
    for kept in kept {
        let part = kept.key.split('/').next().unwrap_or_default().to_owned();
        let counts = entries.entry(part).or_default();
        match kept.what {
            What::Set(_) => counts.values += 1,
            What::Done { .. } => counts.claims_done += 1,
            What::Claimed { .. } => counts.claims_not_done += 1,
        }
    }
    Ok(Migrated {
        from,
        to,
        entries,
        unmark,
        next,
    })
}

async fn to_etcd(
    path: PathBuf,
    etcd: &AtRest,
    there: &str,
    now: OffsetDateTime,
) -> Result<(Vec<Kept>, String), Failure> {
    let here = path.display().to_string();
    if !path.exists() {
        let what = format!("{here}: no such file");
        return Err(Failure::new(Exit::NotFound, what).hint("--file names the state file"));
    }
    let mut file = StateFile::open(path).map_err(unopened)?;
    if let Some(mark) = file.moved().map_err(unopened)? {
        return Err(Failure::new(
            Exit::CannotCreate,
            format!("{here}: {}", mark.problem()),
        ));
    }
    refuse_replicas(etcd, there).await?;
    if !etcd.is_empty().await.map_err(unreachable)? {
        let what = format!("there is something already in {there}");
        return Err(Failure::new(Exit::CannotCreate, what).hint(
            "set another [state.etcd] prefix, or remove what is there, if nobody needs it: etcdctl del \
             --prefix",
        ));
    }
    // The file is held meanwhile; etcd is by a mark.
    let begun = format!(
        "since {} it is being copied there from {here}",
        timestamp(now)
    );
    if !etcd.mark(&begun).await.map_err(unreachable)? {
        let what = format!("{there} is being copied, by another migration");
        return Err(Failure::new(Exit::TryAgain, what));
    }
    let since = milliseconds(now);
    let kept = file.everything(since).map_err(failed)?;
    etcd.fill(&kept, since).await.map_err(failed)?;
    compare(&kept, &etcd.everything(since).await.map_err(failed)?)?;
    refuse_replicas(etcd, there).await?;
    file.mark(&moved(there, now)).map_err(failed)?;
    etcd.unmark().await.map_err(failed)?;
    let mark = file.moved().map_err(failed)?;
    Ok((kept, mark.map(|mark| mark.remove).unwrap_or_default()))
}

async fn to_file(
    path: PathBuf,
    etcd: &AtRest,
    there: &str,
    now: OffsetDateTime,
) -> Result<(Vec<Kept>, String), Failure> {
    let here = path.display().to_string();
    if let Some(mark) = etcd.moved().await.map_err(unreachable)? {
        return Err(Failure::new(
            Exit::CannotCreate,
            format!("{there}: {}", mark.problem()),
        ));
    }
    let since = milliseconds(now);
    let mut file = StateFile::open(path).map_err(unopened)?;
    if !file.everything(since).map_err(failed)?.is_empty()
        || file.moved().map_err(unopened)?.is_some()
    {
        let what = format!("there is something already in {here}");
        let hint = "--file names another file, or move this one away, with its mark";
        return Err(Failure::new(Exit::CannotCreate, what).hint(hint));
    }
    // The mark first: a replica that joins looks for it as a member, and is seen as one here.
    if !etcd.mark(&moved(&here, now)).await.map_err(unreachable)? {
        let what = format!("{there} is being copied, by another migration");
        return Err(Failure::new(Exit::TryAgain, what));
    }
    let copied = async {
        refuse_replicas(etcd, there).await?;
        let kept = etcd.everything(since).await.map_err(failed)?;
        file.fill(&kept).map_err(failed)?;
        compare(&kept, &file.everything(since).map_err(failed)?)?;
        Ok(kept)
    };
    let kept = match copied.await {
        Ok(kept) => kept,
        Err(failure) => {
            etcd.unmark().await.map_err(failed)?;
            return Err(failure);
        }
    };
    let mark = etcd.moved().await.map_err(failed)?;
    Ok((kept, mark.map(|mark| mark.remove).unwrap_or_default()))
}

fn at_rest(mut config: EtcdConfig) -> Result<AtRest, Failure> {
    let keys = settings::sealing(&config).map_err(|error| Failure::new(Exit::Config, error))?;
    let kv = Arc::new(EtcdClient::new(settings::etcd(&mut config)));
    Ok(AtRest::new(kv, &config.prefix, keys))
}

async fn refuse_replicas(etcd: &AtRest, there: &str) -> Result<(), Failure> {
    let run = match etcd.replicas().await.map_err(unreachable)? {
        0 => return Ok(()),
        1 => "a vaultgram runs".to_owned(),
        more => format!("{more} replicas of vaultgram run"),
    };
    let what = format!("{run} on {there}");
    Err(Failure::new(Exit::TryAgain, what).hint("stop them all first"))
}

/// What was read back must be what was there.
fn compare(kept: &[Kept], copied: &[Kept]) -> Result<(), Failure> {
    // Claims may have ended meanwhile.
    let now = milliseconds(SystemClock.now());
    let lasting = |kept: &[Kept]| {
        let mut kept: Vec<_> = kept.iter().filter(|it| it.lasts(now)).cloned().collect();
        kept.sort();
        kept
    };
    if lasting(kept) == lasting(copied) {
        return Ok(());
    }
    let what = "what was read back is not what was copied; nothing was changed where it came from";
    Err(Failure::new(Exit::Io, what).hint("remove the copy, and try again"))
}

fn moved(to: &str, now: OffsetDateTime) -> String {
    format!("it was copied to {to} at {}", timestamp(now))
}

fn timestamp(now: OffsetDateTime) -> String {
    let seconds = now.replace_nanosecond(0).unwrap_or(now);
    seconds.format(&Rfc3339).unwrap_or_default()
}

fn milliseconds(time: OffsetDateTime) -> i64 {
    time.unix_timestamp() * 1000 + i64::from(time.millisecond())
}

fn unopened(error: OpenError) -> Failure {
    let exit = match error {
        OpenError::InUse(_) => Exit::TryAgain,
        OpenError::Permissions(_)
        | OpenError::Damaged { .. }
        | OpenError::Moved { .. }
        | OpenError::Io { .. } => Exit::CannotCreate,
    };
    Failure::new(exit, error)
}

fn unreachable(error: impl fmt::Display) -> Failure {
    Failure::new(Exit::Unavailable, error).hint("vaultgram doctor says how etcd is")
}

fn failed(error: impl fmt::Display) -> Failure {
    Failure::new(Exit::Io, error)
}

fn print(migrated: &Migrated, json: bool, out: &mut dyn Write) -> std::io::Result<()> {
    if json {
        serde_json::to_writer(&mut *out, migrated)?;
        return writeln!(out);
    }
    let Migrated { from, to, .. } = migrated;
    let mut table = Table::new(["ENTRIES", "VALUES", "CLAIMS DONE", "CLAIMS NOT DONE"]);
    for (part, counts) in &migrated.entries {
        let numbers = [counts.values, counts.claims_done, counts.claims_not_done];
        let [values, done, not_done] = numbers.map(|number| number.to_string());
        table.row(Look::Plain, [part.clone(), values, done, not_done]);
    }
    write!(
        out,
        "copied from {from} to {to}, read back and found the same:\n\n{}\n\
         {from} is as it was, and marked, so that nobody goes on there by accident.\n\
         To go on there nonetheless: {}\n\
         Next: {}\n",
        table.text(false),
        migrated.unmark,
        migrated.next
    )
}
