//! `vaultgram session show`: the account and its session, without any key.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cli::SessionShowArgs;
use crate::cli::exit::{Exit, Failure};
use crate::config::TelegramConfig;
use crate::daemon::serve::forbid_inspection;
use crate::daemon::signals::unless_stopped;
use crate::daemon::{application, load_telegram, session_key, settings};
use crate::domain::signs::one_line;
use crate::telegram::{self, Device, FileSession, Profile, SessionError, Summary};

/// What is shown.
struct Shown {
    summary: Summary,
    /// What Telegram says of the account, or why it was not asked.
    account: Result<(Profile, Vec<Device>), String>,
}

/// Prints what the session holds and what Telegram says of the account.
///
/// # Errors
/// When the session cannot be read.
pub async fn session_show(arguments: &SessionShowArgs, out: &mut dyn Write) -> Result<(), Failure> {
    forbid_inspection()?;
    let file = &arguments.config.config;
    let (config, _) = load_telegram(file)?;
    let shown = unless_stopped(look(&config, file)).await?;
    let printed = if arguments.json {
        let value = as_json(&config.session, &shown);
        serde_json::to_writer(&mut *out, &value)
            .map_err(std::io::Error::from)
            .and_then(|()| writeln!(out))
    } else {
        print(&config.session, &shown, out)
    };
    printed.map_err(|error| Failure::new(Exit::CannotCreate, format!("standard output: {error}")))
}

async fn look(config: &TelegramConfig, file: &Path) -> Result<Shown, Failure> {
    let cannot = |error: SessionError| Failure::new(Exit::CannotCreate, error);
    let key = session_key::required(&config.session_key).await?;
    let summary = FileSession::peek(&config.session, &key).map_err(cannot)?;
    let session = match FileSession::open(&config.session, key) {
        Ok(session) => Arc::new(session),
        Err(SessionError::InUse { owner, .. }) => {
            let account = Err(format!("not asked: the session is in use by {owner}"));
            return Ok(Shown { summary, account });
        }
        Err(error) => return Err(cannot(error)),
    };
    let application = application::resolve(&config.application, file).await?;
    let reach = settings::reach(config);
    let account = telegram::look(&session, application.id, &reach).await;
    Ok(Shown {
        summary,
        account: account.map_err(|error| error.to_string()),
    })
}

fn print(file: &Path, shown: &Shown, out: &mut dyn Write) -> std::io::Result<()> {
    let Shown { summary, account } = shown;
    writeln!(out, "file       {}", file.display())?;
    match (account, summary.user) {
        (Ok((profile, _)), _) => writeln!(out, "account    {}", describe(profile))?,
        (Err(_), Some(id)) => writeln!(out, "account    user {id}")?,
        (Err(_), None) => writeln!(out, "account    none: not signed in")?,
    }
    for dc in &summary.dcs {
        let home = if dc.id == summary.home_dc {
            ", home"
        } else {
            ""
        };
        let key = if dc.has_key { ", has a key" } else { "" };
        writeln!(out, "dc {:<8}{}{home}{key}", dc.id, dc.address)?;
    }
    writeln!(out, "peers      {}", summary.peers)?;
    let (pts, qts) = (summary.pts, summary.qts);
    let (channels, date) = (summary.channels, at(summary.date));
    writeln!(
        out,
        "updates    read to pts {pts}, qts {qts}, {date}; {channels} channels"
    )?;
    match account {
        Err(reason) => writeln!(out, "telegram   {reason}"),
        Ok((_, devices)) => devices.iter().try_for_each(|device| {
            let current = if device.current {
                " (this session)"
            } else {
                ""
            };
            writeln!(
                out,
                "device     {} on {}, from {}; since {}, last active {}{current}",
                printable(&device.app),
                printable(&device.device),
                printable(&device.from),
                at(device.created),
                at(device.active),
            )
        }),
    }
}

fn describe(profile: &Profile) -> String {
    let kind = if profile.bot { "bot" } else { "user" };
    let name = profile.username.as_ref();
    let name = name.map(|name| format!(" @{}", printable(name)));
    let phone = profile.phone.as_ref().map(|phone| format!(", {phone}"));
    format!(
        "{kind} {}{}{}",
        profile.id,
        name.unwrap_or_default(),
        phone.unwrap_or_default()
    )
}

/// Fit for a terminal, and not too long: these texts are made by applications.
fn printable(text: &str) -> String {
    one_line(text).chars().take(80).collect()
}

/// Seconds since 1970 as a date.
fn at(seconds: i32) -> String {
    OffsetDateTime::from_unix_timestamp(seconds.into())
        .ok()
        .filter(|_| seconds > 0)
        .and_then(|date| date.format(&Rfc3339).ok())
        .unwrap_or_else(|| "never".to_owned())
}

fn as_json(file: &Path, shown: &Shown) -> Value {
    let Shown { summary, account } = shown;
    let dcs: Vec<Value> = summary
        .dcs
        .iter()
        .map(|dc| json!({"id": dc.id, "address": dc.address, "has_key": dc.has_key}))
        .collect();
    let (profile, devices, problem) = match account {
        Ok((profile, devices)) => (Some(profile), Some(devices), None),
        Err(problem) => (None, None, Some(problem)),
    };
    let profile = profile.map(|profile| {
        json!({
            "username": profile.username,
            "phone": profile.phone,
            "bot": profile.bot,
        })
    });
    let device = |device: &Device| {
        json!({
            "current": device.current,
            "app": device.app,
            "device": device.device,
            "from": device.from,
            "created": at(device.created),
            "active": at(device.active),
        })
    };
    let devices = devices.map(|devices| devices.iter().map(device).collect::<Vec<_>>());
    json!({
        "file": file,
        "user": summary.user,
        "account": profile,
        "home_dc": summary.home_dc,
        "dcs": dcs,
        "peers": summary.peers,
        "updates": {
            "pts": summary.pts,
            "qts": summary.qts,
            "date": at(summary.date),
            "channels": summary.channels,
        },
        "devices": devices,
        "problem": problem,
    })
}
