//! Questions to the person at the terminal. Without a terminal, answers come a line each from
//! standard input.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::{BufRead, IsTerminal, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::cli::exit::{Exit, Failure};
use crate::daemon::login::no_answer;
use crate::telegram::login::NoAnswer;

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

/// Says something on standard error; to a person whose standard error goes elsewhere, at the
/// terminal that they type at.
pub(super) fn say(text: &str) {
    let mut stderr = std::io::stderr();
    let mut terminal = None;
    if is_there() && !stderr.is_terminal() {
        terminal = OpenOptions::new().write(true).open("/dev/tty").ok();
    }
    let out: &mut dyn Write = match &mut terminal {
        Some(terminal) => terminal,
        None => &mut stderr,
    };
    // Nowhere is left to say that nobody hears it.
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// Asks and reads a line: what is shown without the spaces around it, what is hidden as it was
/// typed. A person who types nothing is asked again. Dropped while it waits, it leaves the
/// terminal as it was.
///
/// # Errors
/// [`NoAnswer::Cancelled`] when there are no more lines (Ctrl-D on a terminal);
/// [`NoAnswer::Failed`] when the line is too long, or no text.
pub(super) async fn ask(question: &str, echo: Echo) -> Result<Zeroizing<String>, NoAnswer> {
    // Before the question, so that nothing typed in answer to it is ever shown.
    let _hidden = (echo == Echo::Hidden).then(Hidden::new);
    loop {
        say(&format!("{question}: "));
        // Locked for one line only, so that the next answer is still there for the next.
        let reading = tokio::task::spawn_blocking(move || line(&mut std::io::stdin().lock(), echo));
        let failed = |error: &dyn Display| NoAnswer::Failed(format!("standard input: {error}"));
        let answer = reading.await.map_err(|error| failed(&error))??;
        if !answer.is_empty() || !is_there() {
            return Ok(answer);
        }
    }
}

/// Reads one line, or refuses what is none.
fn line(input: &mut dyn BufRead, echo: Echo) -> Result<Zeroizing<String>, NoAnswer> {
    let most = usize::from(MAX_ANSWER);
    // With room for all of it from the start, so that growing leaves no copies behind.
    let mut line = Zeroizing::new(Vec::with_capacity(most + 3));
    let failed = |what: &dyn Display| NoAnswer::Failed(format!("standard input: {what}"));
    // An answer, and the end of its line.
    let read = input.take(u64::from(MAX_ANSWER) + 3);
    let read = { read }.read_until(b'\n', &mut line);
    if read.map_err(|error| failed(&error))? == 0 {
        return Err(NoAnswer::Cancelled);
    }
    let answer = line.strip_suffix(b"\n").unwrap_or(&line);
    let answer = answer.strip_suffix(b"\r").unwrap_or(answer);
    if answer.len() > most {
        return Err(failed(&format!("an answer is longer than {most} bytes")));
    }
    let text = str::from_utf8(answer).map_err(|_| failed(&"an answer is not UTF-8 text"))?;
    Ok(Zeroizing::new(match echo {
        Echo::Shown => text.trim().to_owned(),
        // A space may be part of a password.
        Echo::Hidden => text.to_owned(),
    }))
}

/// Asks for a passphrase to be set, twice.
///
/// # Errors
/// When there is none, or the two differ.
pub(super) async fn new_passphrase(question: &str) -> Result<Zeroizing<String>, Failure> {
    let first = ask(question, Echo::Hidden).await.map_err(no_answer)?;
    if first.is_empty() {
        return Err(Failure::new(Exit::Usage, "the passphrase is empty"));
    }
    let again = ask("once more", Echo::Hidden).await.map_err(no_answer)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut input: &[u8], echo: Echo) -> (Result<String, NoAnswer>, &[u8]) {
        let answer = line(&mut input, echo).map(|answer| answer.to_string());
        (answer, input)
    }

    #[test]
    fn a_password_keeps_its_spaces_and_a_number_does_not() {
        for (input, echo, answer, rest) in [
            (" a b \r\nc\n", Echo::Hidden, " a b ", "c\n"),
            (" +49 \r\nc\n", Echo::Shown, "+49", "c\n"),
            ("\n", Echo::Hidden, "", ""),
            ("no end", Echo::Hidden, "no end", ""),
        ] {
            let expected = (Ok(answer.to_owned()), rest.as_bytes());
            assert_eq!(read(input.as_bytes(), echo), expected, "{input:?}");
        }
        assert_eq!(read(b"", Echo::Hidden).0, Err(NoAnswer::Cancelled));
    }

    #[test]
    fn what_is_too_long_or_no_text_is_an_error_and_not_cut() {
        let most = "x".repeat(MAX_ANSWER.into());
        let fits = format!("{most}\r\n");
        assert_eq!(
            read(fits.as_bytes(), Echo::Hidden),
            (Ok(most.clone()), &b""[..])
        );
        for over in [
            format!("{most}x\n"),
            format!("{most}xx\n"),
            format!("{most}{most}\n"),
        ] {
            let error = read(over.as_bytes(), Echo::Hidden).0.unwrap_err();
            assert!(error.to_string().contains("longer than 1024"), "{error}");
        }
        let error = read(b"\xff\n", Echo::Hidden).0.unwrap_err();
        assert!(error.to_string().contains("not UTF-8"), "{error}");
    }
}
