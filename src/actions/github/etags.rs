//! Answers that GitHub need not send again: it says that they still hold, which costs nothing.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::actions::github::wire::Answer;

/// Most answers that are kept: all that is watched and told of, which is asked for in turn, so that the
/// answer that gave way would always be the next one wanted.
const MAX: usize = 1024;
/// Largest answer that is kept, in bytes: a watch's twenty runs are about 400 KiB.
const MAX_SIZE: usize = 512 << 10;
/// Most bytes of all of them.
const MAX_TOTAL: usize = 32 << 20;

/// The answers, the one used last in front.
#[derive(Default)]
pub(super) struct Etags {
    kept: Mutex<VecDeque<Kept>>,
}

struct Kept {
    key: Key,
    etag: String,
    answer: Answer,
}

/// What was asked, by whom, and in which form.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) whose: String,
    pub(super) target: String,
    pub(super) accept: &'static str,
}

impl Etags {
    /// The name of the answer at hand and the answer.
    pub(super) fn find(&self, key: &Key) -> Option<(String, Answer)> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let position = kept.iter().position(|it| it.key == *key)?;
        let found = kept.remove(position)?;
        let result = (found.etag.clone(), found.answer.clone());
        kept.push_front(found);
        Some(result)
    }

    /// Keeps an answer, if it has a name.
    pub(super) fn keep(&self, key: Key, answer: &Answer) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|it| it.key != key);
        let Some(etag) = answer.header("etag") else {
            return;
        };
        if answer.status != 200 || answer.body.len() > MAX_SIZE || etag.len() > 200 {
            return;
        }
        let (etag, answer) = (etag.to_owned(), answer.clone());
        kept.push_front(Kept { key, etag, answer });
        let mut total = 0;
        let fitting = kept.iter().take(MAX).take_while(|it| {
            total += it.answer.body.len();
            total <= MAX_TOTAL
        });
        let fitting = fitting.count();
        kept.truncate(fitting);
    }
}

#[cfg(test)]
mod tests {
    use hyper::body::Bytes;
    use hyper::header::{ETAG, HeaderMap, HeaderValue};

    use super::*;

    fn key(target: &str) -> Key {
        Key {
            whose: "a".to_owned(),
            target: target.to_owned(),
            accept: "x",
        }
    }

    fn answer(size: usize) -> Answer {
        Answer {
            status: 200,
            headers: HeaderMap::from_iter([(ETAG, HeaderValue::from_static("\"1\""))]),
            body: Bytes::from(vec![0; size]),
        }
    }

    #[test]
    fn the_one_used_longest_ago_gives_way() {
        let etags = Etags::default();
        for number in 0..MAX {
            etags.keep(key(&number.to_string()), &answer(1));
        }
        assert!(etags.find(&key("0")).is_some());
        etags.keep(key("new"), &answer(1));
        assert!(etags.find(&key("0")).is_some());
        assert!(etags.find(&key("1")).is_none());
        assert_eq!(etags.kept.lock().unwrap().len(), MAX);
    }

    #[test]
    fn all_that_is_watched_and_told_of_is_kept() {
        let etags = Etags::default();
        // 200 watches; 300 runs, and their jobs.
        for number in 0..800 {
            etags.keep(key(&number.to_string()), &answer(20_000));
        }
        for number in 0..800 {
            assert!(etags.find(&key(&number.to_string())).is_some(), "{number}");
        }
    }

    #[test]
    fn all_of_them_together_are_bounded() {
        let etags = Etags::default();
        let most = MAX_TOTAL / MAX_SIZE;
        for number in 0..=most {
            etags.keep(key(&number.to_string()), &answer(MAX_SIZE));
        }
        assert!(etags.find(&key("0")).is_none());
        assert!(etags.find(&key("1")).is_some());
        assert_eq!(etags.kept.lock().unwrap().len(), most);
    }

    #[test]
    fn what_is_large_nameless_or_anothers_is_not_found() {
        let etags = Etags::default();
        etags.keep(key("large"), &answer(MAX_SIZE + 1));
        let mut nameless = answer(1);
        nameless.headers.clear();
        etags.keep(key("nameless"), &nameless);
        etags.keep(key("mine"), &answer(1));
        let theirs = Key {
            whose: "b".to_owned(),
            ..key("mine")
        };
        for key in [key("large"), key("nameless"), theirs] {
            assert!(etags.find(&key).is_none());
        }
    }
}
