//! From a command to its reply: what the broker is asked, and what waits for a confirmation.

use std::sync::Arc;

use tracing::warn;

use super::command::{Command, KeyName, Mistake};
use super::confirm::{Found, Wish};
use super::handler::{Handler, Origin};
use super::reply::{Reply, Terms};
use crate::broker::ports::StoreError;
use crate::broker::{Asked, Beside, BrokerError, Hold, Outcome};
use crate::domain::policy::DenialReason;
use crate::domain::{Action, Caller, Delivery, Field, MountKind, Request, Target};

/// Signs of a confirmation's code: only its owner can use it, so it need not be long.
const CODE_LENGTH: usize = 4;

impl Handler {
    /// Does what `command` says, which is claimed; `None` when somebody else answers it.
    pub(super) async fn execute(
        &self,
        origin: &Origin,
        command: Result<Command, Mistake>,
    ) -> Option<Reply> {
        let locked = match self.broker.chat_locked().await {
            Ok(locked) => locked,
            Err(error) => return Some(Reply::failed(&BrokerError::Coordination(error))),
        };
        // These tell nothing.
        let harmless = matches!(
            command,
            Ok(Command::Start | Command::Help | Command::Status)
        );
        if locked && !harmless {
            return Some(Reply::locked());
        }
        let command = match command {
            Ok(command) => command,
            Err(mistake) => return Some(Reply::mistake(mistake)),
        };
        match command {
            Command::Start => Some(Reply::start()),
            Command::Help => Some(Reply::help()),
            Command::Status => {
                let health = self.broker.store_health().await;
                let mut reply = Reply::status(&self.status.get(), &health);
                reply.text.push_str(&self.outbox.queue(self.clock.now()));
                if locked {
                    reply.text.push('\n');
                    reply.text.push_str(&Reply::locked().text);
                }
                if self.broker.policy_news().borrow().problem.is_some() {
                    reply.text.push_str(
                        "\nThe policy in force is older than its files: something is wrong with \
                         them, as the log says.",
                    );
                }
                reply.text.push_str(&self.waiting_requests(origin).await);
                reply.text.push_str(&self.company().await);
                if self.status.is_blind() {
                    reply.text.push_str(
                        "\nI cannot look at my account's devices: a new one would go unnoticed.",
                    );
                }
                Some(reply)
            }
            Command::Read(target, delivery) => {
                self.perform(origin, Action::Read(delivery), target, vec![])
                    .await
            }
            Command::List(target) => self.perform(origin, Action::List, target, vec![]).await,
            Command::Versions(target) => {
                self.perform(origin, Action::Versions, target, vec![]).await
            }
            Command::Patch(target, fields) => {
                self.perform(origin, Action::Patch { over: None }, target, fields)
                    .await
            }
            Command::Undelete(target) => {
                self.perform(origin, Action::Undelete, target, vec![]).await
            }
            Command::Put(target, fields) => self.put(origin, target, fields).await,
            Command::Delete(target) => self.ask(origin, Action::Delete, target).await,
            Command::Rotate(target, recipe) => {
                let action = Action::Rotate {
                    recipe,
                    over: Some(0),
                };
                self.ask(origin, action, target).await
            }
            Command::Destroy(target) => self.ask(origin, Action::Destroy, target).await,
            Command::Invoke(target, delivery, fields) => {
                let action = Action::Invoke(delivery);
                self.perform(origin, action, target, fields).await
            }
            Command::Leases => self.leases(origin).await,
            Command::Watches => Some(self.watches(origin).await),
            Command::KeepLease(code, time) => self.keep_lease(origin, code, time).await,
            Command::RevokeLease(code) => self.revoke_lease(origin, code).await,
            Command::GetKeys => self.get_keys(origin).await,
            Command::Keys => match self.broker.keys(&origin.user).await {
                Ok(keys) => Some(Reply::keys(&keys)),
                Err(error) => Some(Reply::failed(&error)),
            },
            Command::RegisterKey(key) => match self.broker.check_key(&key) {
                Ok(key) => Some(self.question(origin, Wish::RegisterKey(key), 0)),
                Err(error) => Some(Reply::failed(&error)),
            },
            Command::ForgetKey(name) => self.forget_key(origin, name).await,
            Command::Pipeline(wish) => self.pipeline(origin, wish).await,
            Command::Approval(affair) => self.approvals(origin, affair).await,
            Command::Confirm(code) => self.confirm(origin, &code).await,
            Command::Cancel(code) => self.cancel(origin, &code),
        }
    }

    /// Does what waits under `code`, as the new request `origin`.
    pub(super) async fn confirm(&self, origin: &Origin, code: &str) -> Option<Reply> {
        let wish = match self.pending.take(origin.user.id, code, &origin.id) {
            Found::Wish(wish) => wish,
            Found::Nothing => return Some(Reply::stale_code()),
            Found::Again => return None,
        };
        let (user, id) = (origin.user.clone(), origin.id.clone());
        let broker = Arc::clone(&self.broker);
        let (done, reply) = match wish {
            Wish::Secret {
                action,
                target,
                fields,
            } => {
                let request = request(origin, action, target.clone());
                let Some((result, fields)) = self.handle(origin.hold, request, fields).await else {
                    return Some(broken(origin));
                };
                let error = match result {
                    Ok(outcome) => return self.outcome(&outcome, action, &target),
                    Err(error) => error,
                };
                let mut reply = failed(origin, &error);
                let wish = Wish::Secret {
                    action,
                    target,
                    fields,
                };
                if error.passes()
                    && let Some(left) = self.pending.put_back(code, &id, wish)
                {
                    reply.still_waits(code, left);
                }
                return Some(reply);
            }
            Wish::RegisterKey(key) => {
                let work = async move { broker.register_key(&id, &user, &key).await };
                (self.whole(work).await, Reply::key_registered())
            }
            Wish::ForgetKey(key) => {
                let work = async move { broker.forget_key(&id, &user, &key).await };
                (self.whole(work).await, Reply::key_forgotten())
            }
        };
        Some(match done {
            Some(Ok(())) => reply,
            Some(Err(error)) => failed(origin, &error),
            None => broken(origin),
        })
    }

    /// Lets go of what waits under `code`.
    pub(super) fn cancel(&self, origin: &Origin, code: &str) -> Option<Reply> {
        match self.pending.take(origin.user.id, code, &origin.id) {
            Found::Wish(_) => Some(Reply::cancelled()),
            Found::Nothing => Some(Reply::stale_code()),
            Found::Again => None,
        }
    }

    /// Asks the broker, and says what came of it.
    pub(super) async fn perform(
        &self,
        origin: &Origin,
        action: Action,
        target: Target,
        fields: Vec<Field>,
    ) -> Option<Reply> {
        let request = request(origin, action, target.clone());
        let Some((result, _)) = self.handle(origin.hold, request, fields).await else {
            return Some(broken(origin));
        };
        match result {
            Ok(outcome) => self.outcome(&outcome, action, &target),
            Err(error) => Some(failed(origin, &error)),
        }
    }

    pub(super) fn outcome(
        &self,
        outcome: &Outcome,
        action: Action,
        target: &Target,
    ) -> Option<Reply> {
        let terms = Terms {
            delete_after: self.settings.delete_after,
            vault: self.settings.vault_address.as_deref(),
            now: self.clock.now(),
            action,
        };
        let reply = Reply::outcome(outcome, target, &terms);
        let told = reply.as_ref().and_then(|reply| reply.lease.as_ref());
        if let Outcome::Released(secret) = outcome
            && let Some(code) = secret.lease().and_then(|lease| lease.code.as_ref())
            && told.is_none()
        {
            // It does not fit into a message.
            self.broker.give_up(code);
        }
        reply
    }

    /// Writes a secret that does not exist; asks about one that does.
    async fn put(&self, origin: &Origin, target: Target, fields: Vec<Field>) -> Option<Reply> {
        let action = Action::Put { over: Some(0) };
        let request = request(origin, action, target.clone());
        let Some((result, fields)) = self.handle(origin.hold, request, fields).await else {
            return Some(broken(origin));
        };
        match result {
            Ok(outcome) => self.outcome(&outcome, action, &target),
            // Without a number there is nothing to replace for sure.
            Err(BrokerError::Store(StoreError::Conflict { current })) if current > 0 => {
                let action = Action::Put {
                    over: Some(current),
                };
                let wish = Wish::Secret {
                    action,
                    target,
                    fields,
                };
                Some(self.question(origin, wish, current))
            }
            Err(error) => Some(failed(origin, &error)),
        }
    }

    /// Asks whether to go on with what cannot simply be repeated.
    pub(super) async fn ask(
        &self,
        origin: &Origin,
        mut action: Action,
        mut target: Target,
    ) -> Option<Reply> {
        let broker = Arc::clone(&self.broker);
        let (hold, request) = (origin.hold, request(origin, action, target.clone()));
        let asking = async move { broker.ask_held(hold, &request).await };
        let current = match self.whole(asking).await {
            Some(Ok(Asked::Confirm { current: 0 })) => {
                return Some(failed(origin, &BrokerError::Store(StoreError::NotFound)));
            }
            Some(Ok(Asked::Confirm { current })) => current,
            Some(Ok(Asked::ConfirmPipeline(action, preview))) => {
                return Some(self.pipeline_question(origin, action, target, &preview));
            }
            Some(Ok(Asked::Denied(denial))) => return Some(Reply::denied(denial.reason)),
            Some(Ok(Asked::NeedsApproval(waiting))) => {
                return Some(Reply::needs_approval(&waiting, action, &target));
            }
            Some(Ok(Asked::Duplicate)) => return None,
            Some(Ok(Asked::Interrupted)) => return Some(Reply::interrupted()),
            Some(Err(error)) => return Some(failed(origin, &error)),
            None => return Some(broken(origin)),
        };
        // The version they are shown, whatever is the newest when they confirm.
        match &mut action {
            Action::Delete if self.versioned(&target) => {
                target.version.get_or_insert(current);
            }
            Action::Put { over } | Action::Rotate { over, .. } => *over = Some(current),
            Action::Read(_)
            | Action::List
            | Action::Versions
            | Action::Patch { .. }
            | Action::Delete
            | Action::Undelete
            | Action::Destroy
            | Action::Unwrap
            | Action::Invoke(_)
            | Action::Pipeline(_) => {}
        }
        let wish = Wish::Secret {
            action,
            target,
            fields: vec![],
        };
        Some(self.question(origin, wish, current))
    }

    /// The broker's own Telegram keys: for administrators, as far as policy lets them.
    async fn get_keys(&self, origin: &Origin) -> Option<Reply> {
        if !self.broker.is_admin(&Caller::Telegram(origin.user.clone())) {
            return Some(Reply::denied(DenialReason::NotPermitted));
        }
        match self.broker.mounts().parse(&self.settings.keys_path) {
            Ok(target) => {
                let action = Action::Read(Delivery::Message);
                self.perform(origin, action, target, vec![]).await
            }
            Err(error) => Some(Reply::mistake(error.into())),
        }
    }

    async fn forget_key(&self, origin: &Origin, name: KeyName) -> Option<Reply> {
        let keys = match self.broker.keys(&origin.user).await {
            Ok(keys) => keys,
            Err(error) => return Some(Reply::failed(&error)),
        };
        let key = match name {
            KeyName::Number(number) => number.checked_sub(1).and_then(|place| keys.get(place)),
            KeyName::Key(name) => keys.iter().find(|known| known.key == name),
        };
        if let Some(key) = key {
            let wish = Wish::ForgetKey(key.key.clone());
            return Some(self.question(origin, wish, 0));
        }
        Some(Reply::failed(&BrokerError::UnknownKey))
    }

    /// Whether there are versions where `target` lies.
    fn versioned(&self, target: &Target) -> bool {
        let mounts = self.broker.mounts();
        mounts.kind(target.path.mount()) == Some(MountKind::Kv2)
    }

    /// Asks about `wish`, which waits from now on.
    fn question(&self, origin: &Origin, wish: Wish, current: u64) -> Reply {
        let current = match &wish {
            Wish::Secret { target, .. } => self.versioned(target).then_some(current),
            Wish::RegisterKey(_) | Wish::ForgetKey(_) => None,
        };
        let question = Reply::question(&wish, current);
        self.wait_for_answer(origin, wish, question)
    }

    /// Has `wish` wait from now on for the answer to `question`.
    pub(super) fn wait_for_answer(
        &self,
        origin: &Origin,
        wish: Wish,
        mut question: Reply,
    ) -> Reply {
        let code = || self.broker.code(CODE_LENGTH);
        match self.pending.add(origin.user.id, wish, code) {
            Ok(code) => {
                question.ask_for(code);
                question
            }
            Err(full) => Reply::too_many_questions(full),
        }
    }

    /// Asks the broker, and gives the values back; `None` after a fault of our own.
    async fn handle(
        &self,
        hold: Hold,
        request: Request,
        fields: Vec<Field>,
    ) -> Option<(Result<Outcome, BrokerError>, Vec<Field>)> {
        let broker = Arc::clone(&self.broker);
        self.whole(async move {
            let done = broker.handle_held(hold, request, Beside::fields(&fields));
            (done.await, fields)
        })
        .await
    }

    /// Does `work` of the broker's in a task that nobody cuts off: what it began to record, it
    /// ends. `None` after a fault of our own.
    pub(super) async fn whole<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        self.requests.spawn(work).await.ok()
    }
}

pub(super) fn failed(origin: &Origin, error: &BrokerError) -> Reply {
    warn!(event = "telegram.request_failed", request = %origin.id, error = error.name());
    Reply::failed(error)
}

pub(super) fn broken(origin: &Origin) -> Reply {
    warn!(event = "telegram.request_failed", request = %origin.id, error = "panic");
    Reply::broken()
}

pub(super) fn request(origin: &Origin, action: Action, target: Target) -> Request {
    Request {
        id: origin.id.clone(),
        caller: Caller::Telegram(origin.user.clone()),
        action,
        target,
    }
}
