//! Who else is there: the members, as the watch tells them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::timeout;

use super::layout::MemberId;

/// When those who wait are told, after each other, that somebody ended: who was busy the first time, or
/// could not reach etcd, has another chance.
const BELLS: [Duration; 5] = [
    Duration::ZERO,
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
    Duration::from_secs(30),
];

/// A replica, for people to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Of its process; another after a restart.
    pub process: String,
    /// Whether it is this one.
    pub this: bool,
    /// What it says of itself.
    pub facts: Vec<u8>,
}

/// The members, as far as is known.
#[derive(Default)]
pub(super) struct Company {
    state: Mutex<State>,
    deaths: watch::Sender<u64>,
    bell: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    members: BTreeMap<MemberId, Vec<u8>>,
    /// Whether it is told of changes.
    known: bool,
}

impl Company {
    /// There are `members`, and nobody else.
    pub(super) fn reset(&self, members: BTreeMap<MemberId, Vec<u8>>) {
        let mut state = self.lock();
        state.known = true;
        let ended = state.members.keys().any(|id| !members.contains_key(id));
        state.members = members;
        drop(state);
        if ended {
            self.mourn();
        }
    }

    /// Changes may be missed from now on.
    pub(super) fn lose_sight(&self) {
        self.lock().known = false;
    }

    pub(super) fn came(&self, id: MemberId, facts: Vec<u8>) {
        self.lock().members.insert(id, facts);
    }

    pub(super) fn went(&self, id: MemberId) {
        self.lock().members.remove(&id);
        self.mourn();
    }

    /// Whether `id` is a member.
    pub(super) fn has(&self, id: MemberId) -> bool {
        self.lock().members.contains_key(&id)
    }

    /// Whether nobody but `process` is known to be there.
    pub(super) fn alone(&self, process: [u8; 16]) -> bool {
        let state = self.lock();
        state.known && state.members.keys().all(|id| id.process == process)
    }

    /// Whether `process` is known to be there, and it would be told if it went.
    pub(super) fn lives(&self, process: [u8; 16]) -> bool {
        let state = self.lock();
        state.known && state.members.keys().any(|id| id.process == process)
    }

    /// Whether of all members `me` is to claim `key` first. Each gets its share.
    pub(super) fn prefers(&self, me: MemberId, key: &str) -> bool {
        let state = self.lock();
        let weight = |id: &MemberId| {
            let mut hasher = Sha256::new();
            hasher.update(id.process);
            hasher.update(id.term.to_be_bytes());
            hasher.update(key);
            <[u8; 32]>::from(hasher.finalize())
        };
        let mine = weight(&me);
        state
            .members
            .keys()
            .all(|id| *id == me || weight(id) < mine)
    }

    /// For people.
    pub(super) fn list(&self, process: [u8; 16]) -> Vec<Member> {
        let state = self.lock();
        let members = state.members.iter().map(|(id, facts)| Member {
            process: hex::encode(id.process),
            this: id.process == process,
            facts: facts.clone(),
        });
        members.collect()
    }

    /// Somebody ended.
    pub(super) fn mourn(&self) {
        self.deaths.send_modify(|count| *count += 1);
    }

    /// Returns when somebody ended; more than once for each.
    pub(super) async fn bereaved(&self) {
        let mut bell = self.bell.subscribe();
        if bell.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// How often that was told.
    pub(super) fn bells(&self) -> u64 {
        *self.bell.borrow()
    }

    /// Tells those who wait in [`Company::bereaved`]. Never returns.
    pub(super) async fn toll(&self) {
        let mut deaths = self.deaths.subscribe();
        if *deaths.borrow() > 0 {
            deaths.mark_changed();
        }
        while deaths.changed().await.is_ok() {
            for pause in BELLS {
                if timeout(pause, deaths.changed()).await.is_ok() {
                    deaths.mark_changed();
                    break;
                }
                self.bell.send_modify(|count| *count += 1);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn id(number: u8) -> MemberId {
        MemberId {
            process: [number; 16],
            term: 1,
        }
    }

    fn company(numbers: &[u8]) -> Company {
        let company = Company::default();
        let members = numbers.iter().map(|number| (id(*number), vec![*number]));
        company.reset(members.collect());
        company
    }

    #[test]
    fn each_key_is_one_members_to_claim_first() {
        let company = company(&[1, 2, 3]);
        let mut shares = [0; 4];
        for key in (0..900).map(|number| format!("claims/{number}")) {
            let preferred: Vec<_> = (1..=3).filter(|n| company.prefers(id(*n), &key)).collect();
            let [one] = preferred[..] else {
                panic!("{key}: {preferred:?}")
            };
            shares[usize::from(one)] += 1;
        }
        assert!(shares[1..].iter().all(|share| *share > 200), "{shares:?}");
        assert!(
            Company::default().prefers(id(1), "k"),
            "nobody else is known"
        );
    }

    #[test]
    fn knows_who_is_there_only_while_it_is_told() {
        assert!(!Company::default().alone([1; 16]));
        let company = company(&[1]);
        assert!(company.alone([1; 16]));
        assert!(!company.lives([2; 16]));
        company.came(id(2), vec![]);
        assert!(!company.alone([1; 16]));
        assert!(company.lives([2; 16]));
        company.went(id(2));
        assert!(company.alone([1; 16]));
        assert!(company.lives([1; 16]) && !company.lives([2; 16]));
        company.lose_sight();
        assert!(!company.alone([1; 16]));
        assert!(!company.lives([1; 16]));
    }

    #[test]
    fn lists_what_each_says_of_itself() {
        let members = company(&[1, 2]).list([2; 16]);
        assert_eq!(
            members.iter().map(|it| it.this).collect::<Vec<_>>(),
            [false, true]
        );
        assert_eq!(members[0].process, "01".repeat(16));
        assert_eq!(members[0].facts, [1]);
    }

    /// At which seconds [`Company::bereaved`] returns, when somebody ends at each of `deaths`.
    async fn bells(deaths: &[u64]) -> Vec<u64> {
        let company = company(&[1, 2]);
        let start = Instant::now();
        let mut heard = vec![];
        let listen = async {
            while start.elapsed() < Duration::from_secs(100) {
                company.bereaved().await;
                heard.push(start.elapsed().as_secs());
            }
        };
        let die = async {
            for at in deaths {
                tokio::time::sleep_until(start + Duration::from_secs(*at)).await;
                company.went(id(2));
            }
        };
        let living = async { tokio::join!(company.toll(), listen, die) };
        timeout(Duration::from_secs(200), living).await.unwrap_err();
        heard
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_busy_when_somebody_ended_is_told_again() {
        assert_eq!(bells(&[]).await, [0; 0]);
        assert_eq!(bells(&[5]).await, [5, 6, 9, 19, 49]);
        assert_eq!(
            bells(&[5, 7]).await,
            [5, 6, 7, 8, 11, 21, 51],
            "at once, each time"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_missing_from_a_new_list_has_ended() {
        let company = company(&[1, 2]);
        let reset = async {
            company.reset([(id(1), vec![]), (id(3), vec![])].into());
        };
        let told = timeout(Duration::from_secs(1), async {
            tokio::select! {
                () = company.toll() => {}
                ((), ()) = async { tokio::join!(company.bereaved(), reset) } => {}
            }
        });
        told.await.unwrap();
        assert!(company.has(id(3)) && !company.has(id(2)));
    }
}
