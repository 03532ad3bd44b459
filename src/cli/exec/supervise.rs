//! A command that is restarted, or gets a signal, when its secrets change.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, getpgrp, kill_process};
use rustix::termios::tcgetpgrp;
use tokio::process::{Child, Command};

use crate::cli::address::Address;
use crate::cli::exec::child::Plan;
use crate::cli::exec::memory_file::MemoryFile;
use crate::cli::exec::{ExecArgs, OnChange};
use crate::cli::exit::{Exit, Failure};
use crate::cli::fetch::{Fetched, fetch};
use crate::cli::signals::Signals;
use crate::cli::watch::Watch;

/// What is handed on to the command. The terminal's own, as for its size or for Ctrl-Z, reach it
/// without us.
const HANDED_ON: &[Signal] = &[
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::TERM,
    Signal::USR1,
    Signal::USR2,
];

/// After which a command that is being restarted is not started again.
const LAST: &[Signal] = &[Signal::INT, Signal::QUIT, Signal::TERM];

/// What ends the wait for a command.
enum Event {
    Ended(io::Result<ExitStatus>),
    Changed(Vec<Fetched>),
}

/// Runs the command until it ends by itself.
pub(super) async fn run(
    arguments: &ExecArgs,
    interval: Duration,
    plan: &Plan<'_>,
    addresses: &[Address],
    mut fetched: Vec<Fetched>,
) -> Result<ExitCode, Failure> {
    // Nobody looks at how long it takes, and the terminal is the command's.
    let socket = arguments.common.socket()?.watched(false);
    // Before there is a command: none is missed.
    let mut signals = Signals::listen(HANDED_ON)?;
    let (mut child, mut files) = start(plan, plan.prepare(&fetched)?)?;
    loop {
        let mut watch = Watch::new(socket.clone(), interval, addresses, &fetched);
        drop(fetched);
        let renew = async || fetch(&socket, addresses).await;
        match next(&mut child, &mut signals, watch.next(renew)).await {
            Event::Ended(status) => return code(status),
            Event::Changed(fresh) => fetched = fresh,
        }
        match arguments.on_change {
            OnChange::Signal(signal) => {
                say("note: a secret has changed: the command gets a signal\n");
                match plan.rewrite(&files, &fetched) {
                    Ok(()) => send(&child, signal),
                    Err(failure) => goes_on(&failure),
                }
            }
            OnChange::Restart => {
                // Before the command is stopped: whoever wrote a value that cannot be handed over
                // would stop it for good.
                let prepared = match plan.prepare(&fetched) {
                    Ok(prepared) => prepared,
                    Err(failure) => {
                        goes_on(&failure);
                        continue;
                    }
                };
                say("note: a secret has changed: the command is restarted\n");
                if let Some(status) = stop(&mut child, &mut signals, arguments.grace).await {
                    return code(status);
                }
                // Or the new one would have the old values open too.
                drop(files);
                (child, files) = start(plan, prepared)?;
            }
        }
    }
}

fn start(
    plan: &Plan<'_>,
    (command, files): (std::process::Command, Vec<MemoryFile>),
) -> Result<(Child, Vec<MemoryFile>), Failure> {
    let child = Command::from(command).kill_on_drop(true).spawn();
    let child = child.map_err(|error| plan.not_run(&error))?;
    Ok((child, files))
}

/// Hands signals on until the command ends or its secrets have `changed`. One that was told to end
/// is only waited for.
async fn next(
    child: &mut Child,
    signals: &mut Signals,
    changed: impl Future<Output = Vec<Fetched>>,
) -> Event {
    let mut changed = pin!(changed);
    let mut ending = false;
    loop {
        tokio::select! {
            biased;
            status = child.wait() => return Event::Ended(status),
            signal = signals.next() => {
                ending |= signal == Signal::TERM;
                hand_on(child, signal);
            }
            fetched = &mut changed, if !ending => return Event::Changed(fetched),
        }
    }
}

/// Ends the command. Its status, where it is not to be started again.
async fn stop(
    child: &mut Child,
    signals: &mut Signals,
    grace: Duration,
) -> Option<io::Result<ExitStatus>> {
    send(child, Signal::TERM);
    let mut last = false;
    let mut grace = pin!(tokio::time::sleep(grace));
    let mut killed = false;
    loop {
        tokio::select! {
            status = child.wait() => return last.then_some(status),
            () = &mut grace, if !killed => {
                killed = true;
                send(child, Signal::KILL);
            }
            signal = signals.next() => {
                last |= LAST.contains(&signal);
                hand_on(child, signal);
            }
        }
    }
}

/// Hands a signal on, unless the command has it from the terminal.
fn hand_on(child: &Child, signal: Signal) {
    if ![Signal::INT, Signal::QUIT].contains(&signal) || !in_foreground() {
        send(child, signal);
    }
}

/// Whether Ctrl-C on the terminal reaches us and the command alike.
fn in_foreground() -> bool {
    let terminal = File::open("/dev/tty");
    terminal.is_ok_and(|terminal| tcgetpgrp(&terminal) == Ok(getpgrp()))
}

fn send(child: &Child, signal: Signal) {
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(pid) = id.and_then(Pid::from_raw) {
        // It may have ended, or become another user's: then it is not ours to stop.
        kill_process(pid, signal).ok();
    }
}

/// The code of a command that ended: its own, or what a shell says of a signal.
fn code(status: io::Result<ExitStatus>) -> Result<ExitCode, Failure> {
    let status = status.map_err(|error| {
        Failure::new(
            Exit::Software,
            format!("cannot wait for the command: {error}"),
        )
    })?;
    let code = status.code().or_else(|| Some(128 + status.signal()?));
    let code = code.and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(Exit::Software.into(), ExitCode::from))
}

/// What a new value that cannot be handed over comes to.
fn goes_on(failure: &Failure) {
    let what = &failure.what;
    say(&format!(
        "warning: {what}: the command goes on with the value before\n"
    ));
}

fn say(what: &str) {
    drop(io::stderr().write_all(what.as_bytes()));
}
