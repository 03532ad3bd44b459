//! What is to be done with a secret, or with a pipeline.

use crate::domain::{Delivery, PipelineAction, Recipe};

/// What one request asks to be done; each is an action of its own in the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Hand over its values.
    Read(Delivery),
    /// Name what lies in a folder.
    List,
    /// Tell its versions, without values.
    Versions,
    /// Write a new version that holds only what is given.
    Put {
        /// The version it replaces: 0 where there must be none yet. Another one than Vault has
        /// is refused (check-and-set). Where there are no versions, 1 is whatever is there.
        /// `None` replaces whatever is there, as Vault's own clients do unless told otherwise.
        over: Option<u64>,
    },
    /// Write a new version in which the fields given are changed.
    Patch {
        /// The version it is based on, as with [`Action::Put`].
        over: Option<u64>,
    },
    /// Delete a version, so that it can be undeleted.
    Delete,
    /// Undo a deletion.
    Undelete,
    /// Remove a version for good.
    Destroy,
    /// Replace one field by a random value.
    Rotate {
        /// How the value is made.
        recipe: Recipe,
        /// The version it is based on, as with [`Action::Put`].
        over: Option<u64>,
    },
    /// Hand over what a wrapping token holds that was made by reading it, or by invoking it.
    Unwrap,
    /// Ask an engine to do something with parameters, and hand over what it answers.
    Invoke(Delivery),
    /// Do something with a pipeline.
    Pipeline(PipelineAction),
}

impl Action {
    /// The name policies and the audit use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read(_) => "read",
            Self::List => "list",
            Self::Versions => "versions",
            Self::Put { .. } => "put",
            Self::Patch { .. } => "patch",
            Self::Delete => "delete",
            Self::Undelete => "undelete",
            Self::Destroy => "destroy",
            Self::Rotate { .. } => "rotate",
            Self::Unwrap => "unwrap",
            Self::Invoke(_) => "invoke",
            Self::Pipeline(action) => action.name(),
        }
    }

    /// Whether it changes what the store holds, as an engine may that is asked to do something, and
    /// as a wrapping token does that is used up.
    #[must_use]
    pub fn changes(self) -> bool {
        match self {
            Self::Put { .. }
            | Self::Patch { .. }
            | Self::Delete
            | Self::Undelete
            | Self::Destroy
            | Self::Rotate { .. }
            | Self::Unwrap
            | Self::Invoke(_) => true,
            Self::Pipeline(action) => action.changes(),
            Self::Read(_) | Self::List | Self::Versions => false,
        }
    }

    /// How the new value is made, where one is.
    #[must_use]
    pub fn recipe(self) -> Option<Recipe> {
        if let Self::Rotate { recipe, .. } = self {
            return Some(recipe);
        }
        None
    }

    /// Whether it is refused where another version has been written meanwhile (check-and-set);
    /// of actions that may say so.
    #[must_use]
    pub fn cas(self) -> Option<bool> {
        if let Self::Put { over } | Self::Patch { over } = self {
            return Some(over.is_some());
        }
        None
    }

    /// How the answer is handed over, where it is a secret.
    #[must_use]
    pub fn delivery(self) -> Option<Delivery> {
        if let Self::Read(delivery) | Self::Invoke(delivery) = self {
            return Some(delivery);
        }
        None
    }
}
