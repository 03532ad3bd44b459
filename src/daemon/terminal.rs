//! Questions to the person at the terminal. Without a terminal, answers come a line each from
//! standard input.

use std::io::{BufRead, IsTerminal, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::cli::exit::{Exit, Failure};

/// Longest answer read, in bytes.
const MAX_ANSWER: u16 = 1024;

/// What typing shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Echo {
    /// What is typed.
    Shown,
    /// Nothing.
    Hidden,
}

/// Whether somebody is there.
pub(super) fn is_there() -> bool {
    std::io::stdin().is_terminal()
}

/// Says something on standard error.
pub(super) fn say(text: &str) {
    let mut stderr = std::io::stderr();
    // Nowhere is left to say that nobody hears it.
    drop(
        stderr
            .write_all(text.as_bytes())
            .and_then(|()| stderr.flush()),
    );
}

/// Asks on standard error and reads a line; `None` when there are no more (Ctrl-D on a
/// terminal). Dropped while it waits, it leaves the terminal as it was.
pub(super) async fn ask(question: &str, echo: Echo) -> Option<Zeroizing<String>> {
    // Before the question, so that nothing typed in answer to it is ever shown.
    let _hidden = (echo == Echo::Hidden).then(Hidden::new);
    say(&format!("{question}: "));
    let reading = tokio::task::spawn_blocking(|| {
        let mut line = Zeroizing::new(String::with_capacity(MAX_ANSWER.into()));
        // Locked for one line only, so that the next answer is still there for the next.
        let mut input = std::io::stdin().lock();
        let read = (&mut input as &mut dyn BufRead)
            .take(MAX_ANSWER.into())
            .read_line(&mut line)?;
        Ok::<_, std::io::Error>((read > 0).then(|| Zeroizing::new(line.trim().to_owned())))
    });
    reading.await.ok().and_then(Result::ok).flatten()
}

/// Asks for a passphrase to be set, twice.
///
/// # Errors
/// When there is none, or the two differ.
pub(super) async fn new_passphrase(question: &str) -> Result<Zeroizing<String>, Failure> {
    let cancelled = || Failure::new(Exit::Cancelled, "cancelled; nothing was written");
    let first = ask(question, Echo::Hidden).await.ok_or_else(cancelled)?;
    if first.is_empty() {
        return Err(Failure::new(Exit::Usage, "the passphrase is empty"));
    }
    let again = ask("once more", Echo::Hidden).await.ok_or_else(cancelled)?;
    if *first == *again {
        Ok(first)
    } else {
        Err(Failure::new(Exit::Usage, "the two passphrases differ"))
    }
}

/// A terminal that shows nothing but the end of the line, until this is dropped.
struct Hidden(Option<Termios>);

impl Hidden {
    fn new() -> Self {
        let stdin = std::io::stdin();
        // What is no terminal shows nothing anyway.
        let Ok(before) = tcgetattr(&stdin) else {
            return Self(None);
        };
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent.local_modes.insert(LocalModes::ECHONL);
        let set = tcsetattr(&stdin, OptionalActions::Flush, &silent);
        Self(set.is_ok().then_some(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(before) = &self.0
            && tcsetattr(std::io::stdin(), OptionalActions::Now, before).is_err()
        {
            say("the terminal may show nothing of what is typed; run: stty sane\n");
        }
    }
}
