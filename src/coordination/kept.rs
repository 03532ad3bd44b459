//! The state as it is carried from one store to another.

use std::fmt;

/// An entry. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kept {
    /// Its key, as the port has it.
    pub key: String,
    /// What is there.
    pub what: What,
}

/// What is kept under a key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// It was set.
    Set(Vec<u8>),
    /// It is claimed: by now, by a process that has ended, so that whoever claims it next learns
    /// that it may be half done. Forgotten, it would be done twice.
    Claimed {
        /// When the claim ends.
        until: i64,
    },
    /// What it was claimed for is done. Forgotten, it would be done again.
    Done {
        /// When that may be forgotten.
        until: i64,
    },
}

impl Kept {
    /// Whether it is still of use at `now`.
    #[must_use]
    pub fn lasts(&self, now: i64) -> bool {
        match self.what {
            What::Set(_) => true,
            What::Claimed { until } | What::Done { until } => until > now,
        }
    }
}

// Values hold no secrets, and are still nobody's business.
impl fmt::Debug for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(value) => write!(f, "Set({} bytes)", value.len()),
            Self::Claimed { until } => write!(f, "Claimed({until})"),
            Self::Done { until } => write!(f, "Done({until})"),
        }
    }
}

/// That nobody starts on a state by accident: it was carried elsewhere, or is being.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// What was done, and when.
    pub text: String,
    /// How it is removed by whoever wants this state nonetheless.
    pub remove: String,
}

impl Mark {
    /// What to tell whoever starts on it.
    #[must_use]
    pub fn problem(&self) -> String {
        format!(
            "this state is not in use any more: {}; set [state] to where it is now, or, to go on with this \
             one as it was then, remove the mark: {}",
            self.text, self.remove
        )
    }
}
