//! The people: each asks, waits for the answer, and asks again; sometimes a few at once.
//!
//! The test that they are part of says in its root how long secrets stand, which commands are too
//! old, in which group the people are, and what excuses it takes beside those here.
#![allow(
    dead_code,
    reason = "shared by test targets, of which none uses all of it"
)]

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;
use telegram_dc::{Chat, Datacenter, Event, Message};
use tokio::sync::mpsc::Receiver;

use crate::stage::{BROKER, PASSWORD};
use crate::{COMMAND_AGE, CROWD, DELETE_AFTER, EXCUSES};

/// The longest anything takes: an outage, a restart and a flood wait one after the other.
const LOST: Duration = Duration::from_mins(2);
/// How much later than due a secret may be deleted, when the deletion too meets faults.
const LATE: Duration = Duration::from_mins(1);
/// Questions somebody asks at once.
const BURST: u64 = 5;

/// What somebody writes, and what its answer holds and no other answer does. `{n}` is the
/// command's number.
struct Question {
    chat: Chat,
    text: &'static str,
    answer: &'static str,
}

const fn private(text: &'static str, answer: &'static str) -> Question {
    let chat = Chat::User(BROKER);
    Question { chat, text, answer }
}

const fn in_group(text: &'static str, answer: &'static str) -> Question {
    let chat = Chat::Group(CROWD);
    Question { chat, text, answer }
}

const QUESTIONS: [Question; 11] = [
    private("/get_secret django/database", PASSWORD),
    private("/get_secret django/other#word", "unmistakable"),
    private("/get_secret django/nothing", "no secret at this path"),
    private("/get_secret payroll/key", "not permitted"),
    private("/get_secret django/database wrapped", "waits in Vault"),
    private("/get_secret django/database sealed", "AGE ENCRYPTED"),
    // Done twice, it would be asked whether to replace what exists.
    private(
        "/put_secret django/new/{n} value=sesame",
        "written as version 1",
    ),
    private("/status", "Vault:"),
    private("/help", "/get_secret PATH"),
    in_group("/list@vaultgram django/named", "only-this"),
    in_group(
        "/put_secret@vaultgram django/never value=sesame",
        "use another value",
    ),
];

/// Who showed a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    /// The broker, for as long as it is to stand.
    Answer,
    /// A person, of whom it goes at once.
    Persons,
}

/// The people and what they have been through.
pub(crate) struct Crowd {
    dc: Datacenter,
    /// What vaultgram logs to: shown when something is wrong.
    logs: Vec<PathBuf>,
    people: Vec<i64>,
    random: StdRng,
    events: Receiver<Event>,
    asked: u64,
    /// Of each person, the questions without an answer, in order, and since when.
    waiting: HashMap<i64, Vec<(usize, Instant)>>,
    /// When it was over with restarts.
    last_restart: Option<Instant>,
    /// Secrets that stand, by account and message.
    standing: HashMap<(i64, i32), (Whose, Instant)>,
    /// The longest that one of each stood.
    longest: BTreeMap<Whose, Duration>,
    answers: BTreeMap<&'static str, u64>,
    wrong: Vec<String>,
}

impl Crowd {
    pub(crate) fn new(
        dc: &Datacenter,
        logs: Vec<PathBuf>,
        people: Vec<i64>,
        random: StdRng,
    ) -> Self {
        Self {
            dc: dc.clone(),
            logs,
            people,
            random,
            events: dc.subscribe(),
            asked: 0,
            waiting: HashMap::new(),
            last_restart: None,
            standing: HashMap::new(),
            longest: BTreeMap::new(),
            answers: BTreeMap::new(),
            wrong: vec![],
        }
    }

    /// Asks until `commands` have been asked in all; `trouble` is called all the time, and makes
    /// a fault now and then.
    pub(crate) async fn run(&mut self, commands: u64, mut trouble: impl AsyncFnMut()) {
        let mut shown = Instant::now();
        while self.asked < commands {
            for person in self.people.clone() {
                if self.waiting.get(&person).is_none_or(Vec::is_empty) {
                    let burst = if self.random.random_range(0..10) == 0 {
                        BURST
                    } else {
                        1
                    };
                    // The same thing each time, or nobody could tell which one was interrupted.
                    let question = self.random.random_range(0..QUESTIONS.len());
                    for _ in 0..burst.min(commands - self.asked) {
                        self.ask(person, question);
                    }
                }
            }
            trouble().await;
            self.listen(Duration::from_millis(20)).await;
            self.look_for_losses();
            if shown.elapsed() > Duration::from_secs(10) {
                println!("{}", self.report());
                shown = Instant::now();
            }
        }
    }

    /// Waits until everything is answered and every secret is gone.
    pub(crate) async fn settle(&mut self) {
        while self.waiting.values().any(|asked| !asked.is_empty()) || !self.standing.is_empty() {
            self.listen(Duration::from_millis(50)).await;
            self.look_for_losses();
            let overdue = self.standing.values().map(|(_, at)| at.elapsed()).max();
            assert!(
                overdue.unwrap_or_default() < DELETE_AFTER + LATE,
                "{} secrets still stand, for {overdue:?}\n{}\n{}",
                self.standing.len(),
                self.about_standing(),
                last_lines(&self.log())
            );
        }
        // Whatever comes twice comes now.
        self.listen(Duration::from_secs(2)).await;
        self.look_for_losses();
    }

    /// The broker is not restarted any more: nothing asked from here on may be interrupted.
    pub(crate) fn without_restarts(&mut self) {
        self.last_restart = Some(Instant::now());
    }

    /// Fails if anything was not as it should be.
    pub(crate) fn verify(&self) {
        assert_eq!(self.answers.values().sum::<u64>(), self.asked);
        let mut longest = self.longest.values();
        assert!(
            longest.all(|longest| *longest < DELETE_AFTER + LATE),
            "secrets stood for {:?}",
            self.longest
        );
        let answered = self.answers.get("as expected").copied().unwrap_or_default();
        assert!(
            answered * 2 > self.asked,
            "most commands are answered for what they are"
        );
    }

    pub(crate) fn report(&self) -> String {
        let answers = self
            .answers
            .iter()
            .map(|(name, times)| format!("{times} {name}"));
        format!(
            "{} commands: {}; {} secrets stand; of ours the longest stood {:.1} s, of people's {:.1} s",
            self.asked,
            answers.collect::<Vec<_>>().join(", "),
            self.standing.len(),
            self.stood(Whose::Answer),
            self.stood(Whose::Persons),
        )
    }

    /// The longest that one stood, in seconds.
    fn stood(&self, whose: Whose) -> f64 {
        let longest = self.longest.get(&whose).copied();
        longest.unwrap_or_default().as_secs_f64()
    }

    fn ask(&mut self, person: i64, question: usize) {
        let Question { chat, text, .. } = QUESTIONS[question];
        let text = text.replace("{n}", &self.asked.to_string());
        self.dc.send(person, chat, text).unwrap();
        let asked = (question, Instant::now());
        self.waiting.entry(person).or_default().push(asked);
        self.asked += 1;
    }

    /// Takes in what happens within `time`.
    async fn listen(&mut self, time: Duration) {
        let end = tokio::time::Instant::now() + time;
        while let Ok(event) = tokio::time::timeout_at(end, self.events.recv()).await {
            match event.expect("the datacenter runs") {
                Event::New { account, message } => {
                    let whose = if message.text.starts_with('🔑') {
                        Some(Whose::Answer)
                    } else {
                        let value = message.text.contains("sesame");
                        value.then_some(Whose::Persons)
                    };
                    if let Some(whose) = whose {
                        let copy = (account, message.id);
                        self.standing.insert(copy, (whose, Instant::now()));
                    }
                    if message.chat == Chat::User(BROKER) && !message.out {
                        self.answered(account, &message);
                    }
                }
                Event::Deleted { account, ids, .. } => {
                    for id in ids {
                        if let Some((whose, since)) = self.standing.remove(&(account, id)) {
                            let longest = self.longest.entry(whose).or_default();
                            *longest = since.elapsed().max(*longest);
                        }
                    }
                }
                Event::Edited { account, message } => {
                    self.wrong
                        .push(format!("{account}: #{} was edited", message.id));
                }
            }
        }
    }

    fn answered(&mut self, person: i64, message: &Message) {
        let waiting = self.waiting.entry(person).or_default();
        if waiting.is_empty() {
            self.wrong
                .push(format!("{person}: answered twice: {}", message.text));
            return;
        }
        let (question, since) = waiting.remove(0);
        let Question { text, answer, .. } = QUESTIONS[question];
        let name = if message.text.contains(answer) {
            "as expected"
        } else if let Some(name) = excuse(&message.text) {
            name
        } else {
            self.wrong
                .push(format!("{person}: {text} is answered: {}", message.text));
            return;
        };
        if name == "too old" && since.elapsed() < COMMAND_AGE / 2 {
            self.wrong
                .push(format!("{person}: too old after {:?}", since.elapsed()));
        }
        if name == "interrupted" && self.last_restart.is_some_and(|last| since > last) {
            self.wrong
                .push(format!("{person}: interrupted without a restart"));
        }
        *self.answers.entry(name).or_default() += 1;
    }

    fn look_for_losses(&self) {
        assert!(
            self.wrong.is_empty(),
            "{}\n{}\n{}",
            self.wrong.join("\n"),
            self.report(),
            last_lines(&self.log())
        );
        for (person, asked) in &self.waiting {
            for (question, since) in asked {
                assert!(
                    since.elapsed() < LOST,
                    "{person}: no answer to {} for {:?}\n{}\nfirst of {person}:\n{}\nlast:\n{}",
                    QUESTIONS[*question].text,
                    since.elapsed(),
                    self.report(),
                    first_lines(&self.log(), &person.to_string()),
                    last_lines(&self.log())
                );
            }
        }
    }

    /// The oldest secret that stands, and what was logged about it.
    fn about_standing(&self) -> String {
        let Some((account, id)) = self.standing.keys().min_by_key(|(_, id)| *id) else {
            return String::new();
        };
        let mut text = String::new();
        for chat in [Chat::User(BROKER), Chat::Group(CROWD)] {
            let history = self.dc.history(*account, chat);
            let shown = history.iter().find(|message| message.id == *id);
            if let Some(message) = shown {
                text = format!("{account} #{id}, out: {}: {}\n", message.out, message.text);
            }
        }
        text + &first_lines(&self.log(), &format!("-{id}\""))
    }

    /// What was logged so far, of each after the other.
    fn log(&self) -> String {
        let logs = self.logs.iter().map(|file| {
            let text = std::fs::read(file).unwrap_or_default();
            String::from_utf8_lossy(&text).into_owned()
        });
        logs.collect()
    }
}

/// What may be said instead of an answer when things go wrong.
fn excuse(text: &str) -> Option<&'static str> {
    let usual = [
        ("too old", "too old"),
        ("interrupted", "interrupted"),
        ("Vault cannot be reached", "without Vault"),
        ("clocks disagree", "clocks disagree"),
    ];
    let mut all = usual.iter().chain(EXCUSES);
    let (_, name) = all.find(|(part, _)| text.contains(part))?;
    Some(name)
}

fn first_lines(log: &str, about: &str) -> String {
    let lines = log.lines().filter(|line| line.contains(about));
    lines.take(40).collect::<Vec<_>>().join("\n")
}

fn last_lines(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
