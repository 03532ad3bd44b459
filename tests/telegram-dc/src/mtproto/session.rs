//! The rules for the messages of one session: their numbers, order and repetition.

use std::collections::{HashSet, VecDeque};

/// How many message numbers are remembered against repetition.
const REMEMBERED: usize = 4096;

/// A message may be this many seconds old, or this many ahead.
const MAX_AGE: i64 = 300;
const MAX_AHEAD: i64 = 30;

/// What to do with a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is new: act on it.
    Fresh,
    /// It came before: acknowledge, do not act.
    Repeated,
    /// It breaks a rule: answer `bad_msg_notification` with this code.
    Bad(i32),
}

/// A client's session as the server remembers it.
pub(crate) struct Session {
    id: i64,
    seen: HashSet<i64>,
    order: VecDeque<i64>,
    /// The highest message that wants an acknowledgement, by number: (number, sequence).
    newest: (i64, i32),
}

impl Session {
    pub(crate) fn new(id: i64) -> Self {
        Self {
            id,
            seen: HashSet::new(),
            order: VecDeque::new(),
            newest: (0, -1),
        }
    }

    pub(crate) fn id(&self) -> i64 {
        self.id
    }

    /// Judges a message's number by the server's time.
    pub(crate) fn judge_id(id: i64, now: i32) -> Verdict {
        let ahead = (id >> 32) - i64::from(now);
        if id % 4 != 0 {
            Verdict::Bad(18)
        } else if ahead < -MAX_AGE {
            Verdict::Bad(16)
        } else if ahead > MAX_AHEAD {
            Verdict::Bad(17)
        } else {
            Verdict::Fresh
        }
    }

    /// Judges a message's place in the session, and remembers it.
    pub(crate) fn judge(&mut self, id: i64, seq: i32) -> Verdict {
        if self.seen.contains(&id) {
            return Verdict::Repeated;
        }
        if seq % 2 != 0 {
            let (newest, newest_seq) = self.newest;
            if id > newest && seq <= newest_seq {
                return Verdict::Bad(32);
            }
            if id < newest && seq >= newest_seq {
                return Verdict::Bad(33);
            }
            self.newest = self.newest.max((id, seq));
        }
        self.seen.insert(id);
        self.order.push_back(id);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        Verdict::Fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_must_fit_the_time() {
        let at = |seconds: i64| seconds << 32;
        assert_eq!(Session::judge_id(at(1000), 1000), Verdict::Fresh);
        assert_eq!(Session::judge_id(at(1000) | 1, 1000), Verdict::Bad(18));
        assert_eq!(Session::judge_id(at(1000), 1301), Verdict::Bad(16));
        assert_eq!(Session::judge_id(at(1031), 1000), Verdict::Bad(17));
    }

    #[test]
    fn messages_are_taken_once_and_in_sequence() {
        let mut session = Session::new(1);
        assert_eq!(session.judge(8, 1), Verdict::Fresh);
        assert_eq!(session.judge(8, 1), Verdict::Repeated);
        assert_eq!(
            session.judge(12, 2),
            Verdict::Fresh,
            "an acknowledgement has an even number"
        );
        assert_eq!(session.judge(16, 1), Verdict::Bad(32));
        assert_eq!(session.judge(4, 3), Verdict::Bad(33));
        assert_eq!(session.judge(16, 3), Verdict::Fresh);
    }

    #[test]
    fn memory_is_bounded() {
        let mut session = Session::new(1);
        for id in 0..i64::try_from(REMEMBERED).unwrap() * 3 {
            session.judge(id * 4, 0);
        }
        assert_eq!(session.seen.len(), REMEMBERED);
        assert_eq!(session.order.len(), REMEMBERED);
    }
}
