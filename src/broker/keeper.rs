//! The keeper: of what is nobody's in particular, one replica at a time does it. Whose it is stands
//! in the coordination store; when that process ends, another takes it over.

use crate::broker::Broker;
use crate::broker::ports::CoordinationError;

/// What one replica does for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// Requests for approval expire, and are put away.
    Approvals,
    /// People are told in Telegram what nobody asked for just now.
    Chat,
}

impl Duty {
    /// Where it stands whose it is. None begins with another.
    fn key(self) -> &'static str {
        match self {
            Self::Approvals => "duties/approvals",
            Self::Chat => "duties/chat",
        }
    }
}

/// What this process knows of its duties.
pub(super) struct Duties {
    /// What it is called among those that share the store; random.
    name: String,
    approvals: tokio::sync::Mutex<Held>,
    chat: tokio::sync::Mutex<Held>,
}

/// Whether a duty is this process's.
#[derive(Default)]
struct Held {
    /// It is, for as long as this membership lasts.
    term: Option<u64>,
    /// What one that ended wrote there, whose heir this process is.
    left: Option<Vec<u8>>,
}

impl Duties {
    pub(super) fn new(number: u128) -> Self {
        Self {
            name: format!("{number:032x}"),
            approvals: tokio::sync::Mutex::default(),
            chat: tokio::sync::Mutex::default(),
        }
    }

    fn of(&self, duty: Duty) -> &tokio::sync::Mutex<Held> {
        match duty {
            Duty::Approvals => &self.approvals,
            Duty::Chat => &self.chat,
        }
    }

    /// What this process writes, in this membership: each time another value, so that of it and
    /// an heir of its, only one swaps it in.
    fn name_in(&self, term: u64) -> Vec<u8> {
        format!("{}/{term}", self.name).into_bytes()
    }
}

impl Broker {
    /// Whether `duty` is this process's now; it is taken on where nobody has it. Not for sure, and
    /// to be asked again before each step: whoever does something twice must do no harm.
    pub async fn on_duty(&self, duty: Duty) -> bool {
        let Some(term) = self.ports.coordination.term() else {
            return false;
        };
        let mut held = self.duties.of(duty).lock().await;
        if held.term == Some(term) {
            return true;
        }
        match self.take_on(duty, term, &mut held).await {
            Ok(taken) => {
                held.term = taken.then_some(term);
                if taken {
                    tracing::debug!(event = "broker.duty_taken", ?duty);
                }
                taken
            }
            Err(error) => {
                held.term = None;
                tracing::warn!(event = "broker.duty_unclear", ?duty, %error);
                false
            }
        }
    }

    /// Leaves `duty` to others, as far as it is this process's.
    pub async fn lay_down(&self, duty: Duty) {
        let mut held = self.duties.of(duty).lock().await;
        let Some(term) = held.term.take() else {
            return;
        };
        let (key, name) = (duty.key(), self.duties.name_in(term));
        if let Err(error) = self.ports.coordination.swap(key, Some(&name), None).await {
            // It is this process's again when it asks the next time.
            tracing::warn!(event = "broker.duty_not_laid_down", ?duty, %error);
        }
    }

    async fn take_on(
        &self,
        duty: Duty,
        term: u64,
        held: &mut Held,
    ) -> Result<bool, CoordinationError> {
        let (coordination, key) = (&self.ports.coordination, duty.key());
        let left = coordination.inherit(key).await?.into_iter();
        if let Some((_, value)) = left.into_iter().next() {
            held.left = Some(value);
        }
        let found = coordination.get(key).await?;
        let free = match &found {
            None => true,
            Some(value) => {
                held.left.as_ref() == Some(value) || value.starts_with(self.duties.name.as_bytes())
            }
        };
        if !free {
            return Ok(false);
        }
        let name = self.duties.name_in(term);
        let taken = coordination.swap(key, found.as_deref(), Some(&name));
        let taken = taken.await?;
        if taken {
            held.left = None;
        }
        Ok(taken)
    }
}
