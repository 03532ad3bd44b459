//! Several front ends on one account, each with a session of its own, that share one state.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use telegram_dc::{Chat, DeviceInfo, Fault, User};
use vaultgram::domain::VersionState;
use vaultgram::telegram::{FileSession, StrangerReply};

use super::changes::code;
use super::company::{Company, Member};
use super::support::{
    A_WHILE, ALICE, BROKER, GET, MALLORY, Process, VALUE, World, key, login_with, until,
};

/// A message that holds a value.
const PUT: &str = "/put_secret new a=hunter2";

/// A front end, and the process that it is.
pub(crate) struct Replica {
    pub(crate) member: Arc<Member>,
    process: Process,
}

impl Replica {
    /// Whether it would know `value` again.
    pub(crate) fn knows(&self, value: &str) -> bool {
        !self.process.broker.leaks_in(value).is_empty()
    }

    pub(crate) async fn kill(self) {
        self.process.kill().await;
        self.member.end();
    }

    /// It sees and says nothing more in chat, and the others do not take it for ended.
    pub(crate) async fn fall_silent(self) {
        self.process.kill().await;
    }
}

impl World {
    /// One more front end, connected.
    pub(crate) async fn replica(&self, company: &Arc<Company>) -> Replica {
        let member = company.join();
        let path = (1..).map(|number| {
            let name = format!("{number}.session");
            self.session_path().with_file_name(name)
        });
        let path = path.filter(|path| !path.exists()).find(|_| true).unwrap();
        let login = vaultgram::telegram::Login {
            user: Some(BROKER),
            ..login_with(&self.dc, self.dc.provision_alike(BROKER))
        };
        drop(FileSession::create(&path, key(), &login).unwrap());
        let process = self.launch_on(&path, member.clone()).await;
        process.connected().await;
        Replica { member, process }
    }

    async fn two(&self, company: &Arc<Company>) -> [Replica; 2] {
        [self.replica(company).await, self.replica(company).await]
    }

    /// Both have seen all that was written before: Bob is answered.
    async fn settled(&self) {
        self.quiet().await;
        tokio::time::sleep(A_WHILE).await;
    }

    fn reads(&self) -> usize {
        self.store.reads.load(Ordering::SeqCst)
    }
}

/// Those of `two` by who has the claims that are open: that one first.
pub(crate) fn by_claim(company: &Company, two: [Replica; 2]) -> (Replica, Replica) {
    let owner = company.owner("claims/").unwrap();
    let [one, other] = two;
    if owner == 0 {
        (one, other)
    } else {
        (other, one)
    }
}

#[tokio::test]
async fn each_command_is_answered_once() {
    const ALL: usize = 200;
    let (mut world, company) = (World::new().await, Company::new());
    world.settings.command_age = Duration::from_mins(10);
    let _two = world.two(&company).await;
    for _ in 0..ALL {
        world.send(ALICE, GET);
    }
    world
        .until("the answers", |world| world.answers(ALICE).len() >= ALL)
        .await;
    world.settled().await;
    assert_eq!(world.answers(ALICE).len(), ALL);
    assert_eq!(world.reads(), ALL);
    // With Bob's.
    assert_eq!(world.dc.count("messages.sendMessage"), 201);
}

#[tokio::test]
async fn what_one_does_not_answer_the_other_does() {
    let (world, company) = (World::new().await, Company::new());
    let two = world.two(&company).await;
    world.store.stuck.store(true, Ordering::SeqCst);
    world.send(ALICE, GET);
    until("it is read", || world.reads() == 1).await;
    let (dead, _other) = by_claim(&company, two);
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(world.reads(), 1, "one reads");
    dead.kill().await;
    world.store.stuck.store(false, Ordering::SeqCst);
    world.answer(ALICE, |m| m.text.contains(VALUE)).await;
    world.settled().await;
    assert_eq!((world.answers(ALICE).len(), world.reads()), (1, 2));
}

#[tokio::test]
async fn a_change_that_one_may_have_made_is_interrupted() {
    let (mut world, company) = (World::keeping().await, Company::new());
    world.settings.command_age = Duration::from_mins(10);
    let two = world.two(&company).await;
    world.audit.slow.store(true, Ordering::SeqCst);
    world.send(ALICE, "/patch_secret django/database a=b");
    until("it is begun", || {
        world.audit.begun.load(Ordering::SeqCst) == 1
    })
    .await;
    let (dead, _other) = by_claim(&company, two);
    dead.kill().await;
    world
        .answer(ALICE, |m| m.text.contains("interrupted"))
        .await;
    world.settled().await;
    assert_eq!(world.answers(ALICE).len(), 1);
}

#[tokio::test]
async fn whoever_wrote_a_value_hears_of_it_however_long_it_took_before_one_died() {
    let (world, company) = (World::keeping().await, Company::new());
    // As after a minute.
    company.set_patience(A_WHILE / 7);
    let two = world.two(&company).await;
    world.audit.slow.store(true, Ordering::SeqCst);
    world.send(ALICE, PUT);
    until("it is begun", || {
        world.audit.begun.load(Ordering::SeqCst) == 1
    })
    .await;
    let gone = |world: &World| {
        let seen = world.dc.history(BROKER, Chat::User(ALICE));
        !seen.iter().any(|m| m.text == PUT)
    };
    world.until("the value is gone", gone).await;
    let (dead, _other) = by_claim(&company, two);
    tokio::time::sleep(A_WHILE / 2).await;
    dead.kill().await;
    world
        .answer(ALICE, |m| m.text.contains("interrupted"))
        .await;
    until("nobody waits", || company.count("unanswered/") == 0).await;
    assert_eq!(world.answers(ALICE).len(), 1);
}

#[tokio::test]
async fn an_edit_that_cannot_be_deleted_is_told_by_one() {
    let (world, company) = (World::keeping().await, Company::new());
    let _two = world.two(&company).await;
    let chat = Chat::User(BROKER);
    let sent = world.dc.send(ALICE, chat, "nothing").unwrap();
    let refusal = Fault::error(403, "MESSAGE_DELETE_FORBIDDEN");
    world.dc.fault("messages.deleteMessages", refusal, 100);
    let id = sent.id_for(ALICE).unwrap();
    world.dc.edit(ALICE, chat, id, PUT).unwrap();
    world
        .answer(ALICE, |m| m.text.contains("delete it yourself"))
        .await;
    world.settled().await;
    until("nobody waits", || company.count("unanswered/") == 0).await;
    assert_eq!(world.answers(ALICE).len(), 1);
}

#[tokio::test]
async fn an_answer_that_arrived_appears_once_and_is_deleted() {
    let (mut world, company) = (World::new().await, Company::new());
    world.settings.delete_after = Duration::from_secs(4);
    let two = world.two(&company).await;
    for replica in &two {
        replica.member.forget_to_finish();
    }
    world.send(ALICE, GET);
    world.answer(ALICE, |m| m.text.contains(VALUE)).await;
    let (dead, _other) = by_claim(&company, two);
    dead.kill().await;
    until("it is read again", || world.reads() == 2).await;
    let sent = |world: &World| world.dc.count("messages.sendMessage") == 2;
    world.until("it is sent again", sent).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(world.answers(ALICE).len(), 1);
    let gone = |world: &World| world.answers(ALICE).is_empty();
    world.until("it is gone", gone).await;
    until("no intent is left", || company.count("deletions/") == 0).await;
}

#[tokio::test]
async fn what_one_was_to_delete_the_other_deletes() {
    let (mut world, company) = (World::new().await, Company::new());
    world.settings.delete_after = Duration::from_secs(3);
    let two = world.two(&company).await;
    world.send(ALICE, GET);
    world.answer(ALICE, |m| m.text.contains(VALUE)).await;
    until("it is finished", || company.count("deletions/") == 1).await;
    let (dead, _other) = by_claim(&company, two);
    dead.kill().await;
    let gone = |world: &World| world.answers(ALICE).is_empty();
    world.until("it is gone", gone).await;
    until("no intent is left", || company.count("deletions/") == 0).await;
}

#[tokio::test]
async fn what_somebody_sent_one_the_other_deletes() {
    let (world, company) = (World::keeping().await, Company::new());
    let one = world.replica(&company).await;
    let flood = Fault::error(420, "FLOOD_WAIT_600");
    world.dc.fault("messages.deleteMessages", flood, 1);
    world
        .says(ALICE, PUT, "could not delete your message")
        .await;
    let stands = || {
        let seen = world.dc.history(BROKER, Chat::User(ALICE));
        seen.iter().any(|m| m.text == PUT)
    };
    // Of what was sent before it came, it hears from the state alone.
    let _two = world.replica(&company).await;
    world.settled().await;
    assert!(stands() && company.count("withdrawals/") == 1);
    one.kill().await;
    until("it is gone", || !stands()).await;
    until("no intent is left", || company.count("withdrawals/") == 0).await;
}

#[tokio::test]
async fn a_code_is_taken_by_whoever_gave_it() {
    let (world, company) = (World::keeping().await, Company::new());
    let _two = world.two(&company).await;
    for _ in 0..6 {
        let kept = world.kept.as_ref().unwrap();
        kept.write("app", &[("a", "b")]);
        let asked = world.ask(ALICE, "/delete_secret app").await;
        let confirm = format!("/confirm {}", code(&asked.text));
        world.says(ALICE, &confirm, "is deleted").await;
        world.says(ALICE, &confirm, "Nothing waits").await;
    }
}

#[tokio::test]
async fn without_the_state_nobody_answers_and_with_it_one_does() {
    let (world, company) = (World::new().await, Company::new());
    let _two = world.two(&company).await;
    company.set_broken(true);
    world.send(ALICE, GET);
    tokio::time::sleep(2 * A_WHILE).await;
    assert!(world.answers(ALICE).is_empty() && world.reads() == 0);
    company.set_broken(false);
    world.answer(ALICE, |m| m.text.contains(VALUE)).await;
    world.settled().await;
    assert_eq!((world.answers(ALICE).len(), world.reads()), (1, 1));
}

#[tokio::test]
async fn who_lost_touch_sends_nothing_until_it_is_back() {
    let (world, company) = (World::new().await, Company::new());
    let two = world.two(&company).await;
    world.store.stuck.store(true, Ordering::SeqCst);
    world.send(ALICE, GET);
    until("it is read", || world.reads() == 1).await;
    let (lost, _other) = by_claim(&company, two);
    lost.member.lose_touch();
    until("the other reads it", || world.reads() == 2).await;
    world.store.stuck.store(false, Ordering::SeqCst);
    world.answer(ALICE, |m| m.text.contains(VALUE)).await;
    tokio::time::sleep(A_WHILE).await;
    assert_eq!(world.dc.count("messages.sendMessage"), 1);
    lost.member.come_back();
    world.settled().await;
    assert_eq!(world.answers(ALICE).len(), 1);
}

#[tokio::test]
async fn a_button_is_pressed_once() {
    let account = User::new(BROKER, "Broker").username("vault_bot");
    let world = World::on(account.bot("5000:token")).await.kept();
    let company = Company::new();
    let _two = world.two(&company).await;
    let lives = || world.kept.as_ref().unwrap().state("django/database", 1) == VersionState::Live;
    for confirmed in [false, true] {
        let asked = world.ask(ALICE, "/delete_secret django/database").await;
        let data = &asked.buttons.concat()[usize::from(!confirmed)].data;
        let before = world.dc.count("messages.setBotCallbackAnswer");
        let chat = Chat::User(BROKER);
        let answer = world.dc.press(ALICE, chat, asked.id, data).await.unwrap();
        assert_eq!(answer.text, None, "no alert: it is taken by whoever asked");
        let changed = |world: &World| {
            let answers = world.answers(ALICE);
            answers
                .iter()
                .any(|m| m.id == asked.id && m.buttons.is_empty())
        };
        world
            .until("the question says what happened", changed)
            .await;
        tokio::time::sleep(2 * A_WHILE).await;
        assert_eq!(world.dc.count("messages.setBotCallbackAnswer"), before + 1);
        assert_eq!(lives(), !confirmed);
    }
}

#[tokio::test]
async fn a_stranger_is_answered_once() {
    let (mut world, company) = (World::new().await, Company::new());
    world.settings.stranger_reply = StrangerReply::Sentence("I do not know you.".into());
    let _two = world.two(&company).await;
    world.send(MALLORY, "hello");
    world.answer(MALLORY, |_| true).await;
    world.settled().await;
    assert_eq!(world.dc.count("messages.sendMessage"), 2, "with Bob's");
}

#[tokio::test]
async fn replicas_do_not_alarm_each_other_and_strangers_do() {
    let (mut world, company) = (World::new().await, Company::new());
    world.admins.insert(ALICE);
    world.settings.lock_on_new_device = true;
    world.settings.watchdog_interval = Duration::from_millis(100);
    let one = world.replica(&company).await;
    world.ask(ALICE, "/help").await;
    until("the first round", || company.count("watchdog/login") == 1).await;
    // By the second they began are logins known.
    let a_second = Duration::from_millis(1100);
    tokio::time::sleep(a_second).await;
    let _two = world.replica(&company).await;
    until("the other's", || company.count("watchdog/own/") == 2).await;
    let looks = |more| {
        let look = "account.getAuthorizations";
        let (world, before) = (&world, world.dc.count(look));
        world.until("more rounds", move |world| {
            world.dc.count(look) > before + more
        })
    };
    looks(10).await;
    assert_eq!(company.count("locks/chat"), 0);
    // Both know each other, also once one is no more.
    assert!(company.count("watchdog/devices/") >= 2);
    one.kill().await;
    looks(5).await;
    assert_eq!(company.count("locks/chat"), 0);
    let told = |name: &'static str| {
        let answers = world.answers(ALICE);
        answers.iter().filter(|m| m.text.contains(name)).count()
    };
    tokio::time::sleep(a_second).await;
    let _three = world.replica(&company).await;
    looks(5).await;
    assert_eq!(company.count("locks/chat"), 0);
    world
        .dc
        .add_authorization(BROKER, DeviceInfo::new("Burglar's Pixel"));
    until("the lock", || company.count("locks/chat") == 1).await;
    until("Alice is told", || told("Burglar's Pixel") == 1).await;
    looks(10).await;
    assert_eq!(told("Burglar's Pixel"), 1);
    assert_eq!(told("A new device"), 1);
}
