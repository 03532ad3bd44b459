//! A datacenter run by hand: people from the command line, messages from standard input.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use telegram_dc::{Chat, Datacenter, Event, Message, Options, Sender, User};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::task::JoinSet;

/// Run a simulated Telegram datacenter on 127.0.0.1.
///
/// Clients that can be told an address, and either an auth key or an RSA key, connect
/// to it as to Telegram. People given with --user act from standard input, one line a
/// message; everything that happens is printed.
#[derive(Parser)]
#[command(
    version,
    after_help = "Lines of standard input:
  1001 > 5000: hello      person 1001 writes to person 5000
  1001 > group 40: hello  to a group (or: supergroup 50)
  1001 press 5000 #3 yes  press the button with the data yes under message 3
  quit                    stop, as the end of the input does

Example:
  telegram-dc --user 1001:Alice --user 5000:Broker --group '40:Ops:1001,5000' --keys keys/
  writes keys/5000.key (the 256 bytes of an auth key that is signed in as 5000) and
  keys/datacenter.pem (the RSA key, for clients that make their own auth key)."
)]
struct Arguments {
    /// Port to listen on; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,

    /// Number of the datacenter.
    #[arg(long, default_value_t = 2)]
    dc: i32,

    /// A person: ID:NAME, or ID:NAME:PHONE to sign in with a code.
    #[arg(long = "user", value_name = "ID:NAME[:PHONE]", value_parser = parse_person, required = true)]
    users: Vec<Person>,

    /// A basic group: ID:TITLE:MEMBER,MEMBER,…
    #[arg(long = "group", value_name = "ID:TITLE:MEMBERS", value_parser = parse_group)]
    groups: Vec<GroupSpec>,

    /// A supergroup: ID:TITLE:MEMBER,MEMBER,…
    #[arg(long = "supergroup", value_name = "ID:TITLE:MEMBERS", value_parser = parse_group)]
    supergroups: Vec<GroupSpec>,

    /// Directory to write an auth key for every person to, and the RSA key.
    #[arg(long, value_name = "DIRECTORY")]
    keys: Option<PathBuf>,

    /// So many further keys that nobody is signed in with, for clients that sign in themselves.
    #[arg(long, value_name = "COUNT", default_value_t = 0, requires = "keys")]
    signed_out: u32,
}

#[derive(Clone)]
struct Person {
    user: User,
    phone: Option<String>,
}

#[derive(Clone)]
struct GroupSpec {
    id: i64,
    title: String,
    members: Vec<i64>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let told = writeln!(std::io::stderr(), "telegram-dc: {error}");
            if told.is_ok() {
                ExitCode::FAILURE
            } else {
                ExitCode::from(2)
            }
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), String> {
    let options = Options {
        dc_id: arguments.dc,
        port: arguments.port,
    };
    let dc = Datacenter::start(options)
        .await
        .map_err(|error| format!("cannot listen on 127.0.0.1:{}: {error}", arguments.port))?;
    say(&format!("datacenter {} at {}", dc.id(), dc.address()))?;
    let mut ids = Vec::new();
    for Person { user, phone } in arguments.users {
        let id = dc.add_user(user);
        if let Some((phone, code)) =
            phone.and_then(|phone| dc.login_code(&phone).map(|c| (phone, c)))
        {
            say(&format!("{id} signs in with {phone} and the code {code}"))?;
        }
        ids.push(id);
    }
    for group in &arguments.groups {
        dc.add_group(group.id, &group.title, &group.members);
    }
    for group in &arguments.supergroups {
        dc.add_supergroup(group.id, &group.title, &group.members);
    }
    if let Some(directory) = &arguments.keys {
        write_keys(&dc, directory, &ids, arguments.signed_out)?;
    }

    let mut events = dc.subscribe();
    let mut presses = JoinSet::new();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            biased;
            Some(event) = events.recv() => say(&describe(&event))?,
            Some(answer) = presses.join_next() => {
                say(&answer.unwrap_or_else(|error| format!("! {error}")))?;
            }
            line = lines.next_line() => match line.map_err(|error| error.to_string())?.as_deref() {
                None | Some("quit") => break,
                Some("") => {}
                Some(line) if line.split(' ').nth(1) == Some("press") => match Press::read(line) {
                    Ok(press) => drop(presses.spawn(press.carry_out(dc.clone()))),
                    Err(problem) => say(&format!("! {problem}"))?,
                },
                Some(line) => if let Err(problem) = act(&dc, line) {
                    say(&format!("! {problem}"))?;
                },
            },
        }
    }
    // What the last lines caused is still to be said.
    while let Ok(event) = events.try_recv() {
        say(&describe(&event))?;
    }
    dc.stop().await;
    Ok(())
}

fn say(line: &str) -> Result<(), String> {
    writeln!(std::io::stdout(), "{line}").map_err(|error| format!("cannot write: {error}"))
}

fn write_keys(
    dc: &Datacenter,
    directory: &Path,
    users: &[i64],
    signed_out: u32,
) -> Result<(), String> {
    let write = |name: String, content: &[u8]| {
        let path = directory.join(name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let written = options
            .open(&path)
            .and_then(|mut file| file.write_all(content));
        written.map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        say(&format!("wrote {}", path.display()))
    };
    std::fs::create_dir_all(directory)
        .map_err(|error| format!("cannot make {}: {error}", directory.display()))?;
    write("datacenter.pem".to_owned(), dc.public_key_pem().as_bytes())?;
    for user in users {
        write(format!("{user}.key"), &dc.provision_key(*user))?;
    }
    for number in 1..=signed_out {
        let key = dc.provision_signed_out_key();
        write(format!("signed-out-{number}.key"), &key)?;
    }
    Ok(())
}

/// Does what a line says, such as `1001 > 5000: hello`.
fn act(dc: &Datacenter, line: &str) -> Result<(), String> {
    let usage = || format!("not understood: {line:?}; write: FROM > TO: TEXT");
    let (who, text) = line.split_once(": ").ok_or_else(usage)?;
    let (from, to) = who.split_once('>').ok_or_else(usage)?;
    let from = from.trim().parse().map_err(|_| usage())?;
    let (kind, id) = to.trim().rsplit_once(' ').unwrap_or(("", to.trim()));
    let id = id.parse().map_err(|_| usage())?;
    let chat = match kind.trim() {
        "" => Chat::User(id),
        "group" => Chat::Group(id),
        "supergroup" => Chat::Channel(id),
        _ => return Err(usage()),
    };
    dc.send(from, chat, text)
        .map(drop)
        .map_err(|refusal| refusal.to_string())
}

/// A line such as `1001 press 5000 #3 approve:7`.
struct Press {
    user: i64,
    bot: i64,
    message: i32,
    data: String,
}

impl Press {
    fn read(line: &str) -> Result<Self, String> {
        let usage = || format!("not understood: {line:?}; write: FROM press BOT #MESSAGE DATA");
        let (user, rest) = line.split_once(" press ").ok_or_else(usage)?;
        let (bot, rest) = rest.split_once(" #").ok_or_else(usage)?;
        let (message, data) = rest.split_once(' ').ok_or_else(usage)?;
        Ok(Self {
            user: user.trim().parse().map_err(|_| usage())?,
            bot: bot.trim().parse().map_err(|_| usage())?,
            message: message.parse().map_err(|_| usage())?,
            data: data.to_owned(),
        })
    }

    /// Presses, and says what the bot answered.
    async fn carry_out(self, dc: Datacenter) -> String {
        let Self { user, bot, .. } = self;
        let pressed = dc.press(user, Chat::User(bot), self.message, self.data);
        match pressed.await {
            Ok(answer) => {
                let text = answer.text.unwrap_or_default();
                format!("[{user}] {bot} answers the press: {text}")
            }
            Err(refusal) => format!("! {refusal}"),
        }
    }
}

fn describe(event: &Event) -> String {
    match event {
        Event::New { account, message } => format!("[{account}] {}", line(message)),
        Event::Edited { account, message } => format!("[{account}] edited {}", line(message)),
        Event::Deleted {
            account,
            channel: None,
            ids,
        } => format!("[{account}] deleted {ids:?}"),
        Event::Deleted {
            account,
            channel: Some(channel),
            ids,
        } => {
            format!("[{account}] deleted {ids:?} in supergroup {channel}")
        }
    }
}

fn line(message: &Message) -> String {
    let from = match message.from {
        Sender::User(id) => id.to_string(),
        Sender::Channel(id) => format!("channel {id}"),
    };
    let place = match message.chat {
        Chat::User(_) => String::new(),
        Chat::Group(id) => format!(" in group {id}"),
        Chat::Channel(id) => format!(" in supergroup {id}"),
    };
    let line = format!("#{} from {from}{place}: {}", message.id, message.text);
    let document = message.document.iter();
    let document = document.map(|one| format!(" [{}, {} bytes]", one.name, one.bytes.len()));
    let buttons = message.buttons.iter().flatten().map(|button| {
        let data = String::from_utf8_lossy(&button.data);
        format!(" ({}: {data})", button.text)
    });
    std::iter::once(line)
        .chain(document)
        .chain(buttons)
        .collect()
}

fn parse_person(text: &str) -> Result<Person, String> {
    let mut parts = text.splitn(3, ':');
    let id = parse_id(parts.next())?;
    let name = parts
        .next()
        .filter(|name| !name.is_empty())
        .ok_or("a name is missing: ID:NAME")?;
    let phone = parts.next().map(str::to_owned);
    let user = User::new(id, name).username(name.to_lowercase());
    let user = match &phone {
        Some(phone) => user.phone(phone.as_str()),
        None => user,
    };
    Ok(Person { user, phone })
}

fn parse_group(text: &str) -> Result<GroupSpec, String> {
    let mut parts = text.splitn(3, ':');
    let id = parse_id(parts.next())?;
    let title = parts
        .next()
        .ok_or("a title is missing: ID:TITLE:MEMBERS")?
        .to_owned();
    let members = parts
        .next()
        .ok_or("members are missing: ID:TITLE:MEMBERS")?;
    let members = members
        .split(',')
        .map(|id| parse_id(Some(id)))
        .collect::<Result<_, _>>()?;
    Ok(GroupSpec { id, title, members })
}

fn parse_id(text: Option<&str>) -> Result<i64, String> {
    let text = text.unwrap_or_default();
    let id = text.trim().parse().ok().filter(|id| *id > 0);
    id.ok_or_else(|| format!("{text:?} is not an id: ids are positive numbers"))
}
