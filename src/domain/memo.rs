//! What policy said before: equal questions have equal answers, and Cedar takes its time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::domain::need::Need;
use crate::domain::policy::Denial;
use crate::domain::{Action, Caller, Request, SecretPath, Terms};

/// The most answers that are remembered; one more, and it begins anew.
const MAX_ANSWERS: usize = 4096;

/// Everything that policies may look at. What is added to their context belongs here too: the
/// time of day would have to be a part of it.
#[derive(PartialEq, Eq, Hash)]
pub(in crate::domain) struct Question {
    caller: Caller,
    action: Action,
    path: SecretPath,
}

impl Question {
    pub(in crate::domain) fn of(request: &Request) -> Self {
        let mut caller = request.caller.clone();
        if let Caller::Unix(peer) = &mut caller {
            // No policy sees it, and each process has another.
            peer.pid = 0;
        }
        Self {
            caller,
            action: request.action,
            path: request.target.path.clone(),
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
    fn only_equal_questions_share_an_answer_and_none_is_kept_for_ever() {
        let memo = Memo::default();
        let mut asked = 0;
        let mut ask = |path: &str, pid, uid, delivery| {
            memo.answer(Question::of(&request(path, pid, uid, delivery)), || {
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
