//! What policy said before: equal questions have equal answers, and Cedar takes its time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use time::OffsetDateTime;

use crate::domain::need::Need;
use crate::domain::policy::Denial;
use crate::domain::{Action, Caller, Request, SecretPath, Terms};

/// The most answers that are remembered; one more, and it begins anew.
const MAX_ANSWERS: usize = 4096;

/// Everything that policies may look at. What is added to their context belongs here too.
#[derive(PartialEq, Eq, Hash)]
pub(in crate::domain) struct Question {
    caller: Caller,
    action: Action,
    path: SecretPath,
    /// With what a pipeline is started, or what its run is of.
    of: Option<String>,
    /// Where policies speak of time: the minute, which is all they see of it.
    minute: Option<i64>,
    /// Where policies speak of reasons.
    reason: Option<String>,
}

/// What is so rarely spoken of, and so rarely the same, that it only counts where it is.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::domain) struct Spoken {
    pub(in crate::domain) time: bool,
    pub(in crate::domain) reason: bool,
}

impl Question {
    pub(in crate::domain) fn of(
        request: &Request,
        reason: Option<&str>,
        now: OffsetDateTime,
        spoken: Spoken,
    ) -> Self {
        let mut caller = request.caller.clone();
        if let Caller::Unix(peer) = &mut caller {
            // No policy sees it, and each process has another.
            peer.pid = 0;
        }
        let of_pipeline = matches!(request.action, Action::Pipeline(_));
        Self {
            caller,
            action: request.action,
            path: request.target.path.clone(),
            of: of_pipeline.then(|| request.target.field.clone()).flatten(),
            minute: spoken.time.then(|| now.unix_timestamp().div_euclid(60)),
            reason: reason.filter(|_| spoken.reason).map(str::to_owned),
        }
    }
}

/// What the policies said.
#[derive(Clone)]
pub(in crate::domain) enum Answer {
    Allow { policies: Vec<String>, terms: Terms },
    Deny(Denial),
    Need(Need),
}

/// The answers of one set of policies.
#[derive(Default)]
pub(in crate::domain) struct Memo(Mutex<HashMap<Question, Answer>>);

impl Memo {
    /// The answer to `question`, where it was given before.
    pub(in crate::domain) fn known(&self, question: &Question) -> Option<Answer> {
        // Each change is one call, so a panic leaves the answers whole.
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(question).cloned()
    }

    /// The answer to `question`: the one given before, else the one that `ask` gives.
    pub(in crate::domain) fn answer(
        &self,
        question: Question,
        ask: impl FnOnce() -> Answer,
    ) -> Answer {
        if let Some(answer) = self.known(&question) {
            return answer;
        }
        let answer = ask();
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= MAX_ANSWERS {
            answers.clear();
        }
        answers.insert(question, answer.clone());
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::caller::UnixPeer;
    use crate::domain::policy::DenialReason;
    use crate::domain::{Delivery, RequestId, Target};

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn request(path: &str, pid: i32, uid: u32, delivery: Delivery) -> Request {
        Request {
            id: RequestId::Connection(1),
            caller: Caller::Unix(UnixPeer::known(uid, 1, pid)),
            action: Action::Read(delivery),
            target: Target {
                path: SecretPath::new("secret", path).unwrap(),
                field: None,
                version: None,
            },
        }
    }

    #[test]
    fn time_and_reason_count_only_where_policies_speak_of_them() {
        let request = request("a", 1, 1, Delivery::Socket);
        let of = |reason, seconds, spoken| {
            let now = NOW + time::Duration::seconds(seconds);
            Question::of(&request, reason, now, spoken)
        };
        let silent = Spoken::default();
        assert!(of(Some("x"), 0, silent) == of(Some("y"), 3600, silent));
        let time = Spoken {
            time: true,
            reason: false,
        };
        assert!(of(Some("x"), 0, time) == of(None, 59, time));
        assert!(of(None, 0, time) != of(None, 60, time));
        assert!(of(None, -1, time) != of(None, 0, time));
        let reason = Spoken {
            time: false,
            reason: true,
        };
        assert!(of(Some("x"), 0, reason) == of(Some("x"), 60, reason));
        assert!(of(Some("x"), 0, reason) != of(Some("y"), 0, reason));
        assert!(of(Some("x"), 0, reason) != of(None, 0, reason));
    }

    #[test]
    fn only_equal_questions_share_an_answer_and_none_is_kept_for_ever() {
        let memo = Memo::default();
        let mut asked = 0;
        let mut ask = |path: &str, pid, uid, delivery| {
            let request = request(path, pid, uid, delivery);
            let question = Question::of(&request, None, NOW, Spoken::default());
            memo.answer(question, || {
                asked += 1;
                Answer::Deny(Denial {
                    reason: DenialReason::NotPermitted,
                    policies: vec![],
                })
            });
        };
        ask("a", 1, 1, Delivery::Socket);
        ask("a", 2, 1, Delivery::Socket);
        ask("b", 1, 1, Delivery::Socket);
        ask("a", 1, 2, Delivery::Socket);
        ask("a", 1, 1, Delivery::Wrapped);
        for number in 0..MAX_ANSWERS {
            ask(&number.to_string(), 1, 1, Delivery::Socket);
        }
        ask("a", 1, 1, Delivery::Socket);
        assert_eq!(asked, 4 + MAX_ANSWERS + 1);
        assert!(memo.0.lock().unwrap().len() <= MAX_ANSWERS);
    }
}
