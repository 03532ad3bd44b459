//! Tells the administrators of a policy that cannot be put in force: once for each problem.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use grammers_session::types::PeerId;
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use super::backoff::Backoff;
use super::handler::Handler;
use super::outbox::input_peer;
use super::reply::Reply;

/// How long all admins together may take to be told; then it is tried again later.
pub(super) const TELL: Duration = Duration::from_secs(20);
/// The most of a problem that is shown, in characters.
const MAX_SHOWN: usize = 1000;

/// How a word to the administrators is called in the log.
#[derive(Clone, Copy)]
pub(super) struct Named {
    pub(super) told: &'static str,
    pub(super) untold: &'static str,
}

const POLICY: Named = Named {
    told: "telegram.policy.told",
    untold: "telegram.policy.untold",
};

impl Handler {
    /// Tells every admin by the deadline; whether that is done with: somebody heard it, and
    /// nobody else may hear it later. The same `id` is told to nobody twice.
    pub(super) async fn tell_admins(
        &self,
        text: &str,
        id: i64,
        deadline: Instant,
        named: Named,
    ) -> bool {
        let admins = self.broker.telegram_admins();
        let sendings = admins.iter().filter_map(|admin| {
            let user = PeerId::user(*admin)?;
            // Contacts, and anybody for a bot, can be named without a hash.
            let hash = self.session.access_hash(user).unwrap_or(0);
            // The same in every round and after every restart, so that nobody is told twice.
            let random_id = id ^ admin.rotate_left(32);
            let reply = Reply::plain(text.to_owned());
            let peer = input_peer(user, hash);
            let sending = self.outbox.send(peer, reply, None, random_id);
            let left = deadline.saturating_duration_since(Instant::now());
            Some(async move { (admin, timeout(left, sending).await) })
        });
        let (mut heard, mut later) = (admins.is_empty(), false);
        for (user, sent) in join_all(sendings).await {
            match sent.map(|sent| sent.result) {
                Ok(Ok(_)) => {
                    debug!(event = named.told, user);
                    heard = true;
                }
                Ok(Err(error)) => {
                    warn!(event = named.untold, user, %error);
                    later |= error.may_pass();
                }
                Err(_) => {
                    warn!(event = named.untold, user, error = "time-out");
                    later = true;
                }
            }
        }
        heard && !later
    }

    /// Follows the policy for as long as it is polled.
    pub(super) async fn tell_of_policy(self: Arc<Self>) {
        let mut news = self.broker.policy_news();
        let mut backoff = Backoff::new(Duration::from_secs(5), Duration::from_hours(1));
        let mut told: Option<String> = None;
        // The problem to tell of, with an id that stays the same however often it is tried.
        let mut due: Option<(String, i64)> = None;
        loop {
            let problem = news.borrow_and_update().problem.clone();
            if problem.is_none() {
                told = None;
            }
            let problem = problem.filter(|problem| told.as_ref() != Some(problem));
            due = match (problem, due) {
                (None, _) => None,
                (Some(problem), Some(due)) if due.0 == problem => Some(due),
                (Some(problem), _) => {
                    backoff.reset();
                    let id = id(&problem, self.clock.now().unix_timestamp());
                    Some((problem, id))
                }
            };
            if let Some((problem, id)) = &due {
                let deadline = Instant::now() + TELL;
                if self
                    .tell_admins(&said(problem), *id, deadline, POLICY)
                    .await
                {
                    told = due.take().map(|(problem, _)| problem);
                }
            }
            let changed = match &due {
                Some(_) => timeout(backoff.next(), news.changed()).await,
                None => Ok(news.changed().await),
            };
            // The broker is no more.
            if let Ok(Err(_)) = changed {
                return;
            }
        }
    }
}

fn said(problem: &str) -> String {
    let mut shown: String = problem.chars().take(MAX_SHOWN).collect();
    if shown.len() < problem.len() {
        shown.push('…');
    }
    format!(
        "The policy files changed, and cannot be put in force; the policy of before stays in \
         force:\n{shown}"
    )
}

/// Names this problem, as it came up then.
fn id(problem: &str, since: i64) -> i64 {
    let mut hasher = DefaultHasher::new();
    (problem, since).hash(&mut hasher);
    hasher.finish().cast_signed()
}
