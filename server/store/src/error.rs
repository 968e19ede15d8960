//! Why the store did not do what it was asked.

use std::sync::Arc;

use pitturu_protocol::codes::{Code, Fault};

/// Time after which a full write queue is worth another try, in milliseconds: a few commits of a busy disk.
const BUSY_RETRY_AFTER_MS: u64 = 250;

/// Time after which a store that cannot write is worth another try, in milliseconds.
const UNAVAILABLE_RETRY_AFTER_MS: u64 = 2_000;

/// The reason of a store that was closed.
const CLOSED: &str = "the store is closed";

/// Why the store did not do what it was asked. Nothing was changed, and nothing will be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The write queue is full. Worth trying again soon.
    #[error("the store's write queue is full")]
    Busy,
    /// The store cannot write or read now: full disk, failing disk, closing.
    #[error("the store is not available: {0}")]
    Unavailable(Arc<str>),
    /// The write rests on a state that is no longer the stored one. The owner loads again.
    #[error("the write rests on an outdated state: {0}")]
    Conflict(&'static str),
    /// The position of a page is not one that the store has handed out.
    #[error("the position is not one of this list's")]
    InvalidPosition,
    /// A stored row does not decode, or a write's code broke off. Logged; needs a person.
    #[error("a stored row is damaged: {0}")]
    Damaged(Arc<str>),
}

impl StoreError {
    /// [`StoreError::Unavailable`] for this reason.
    pub fn unavailable(reason: impl AsRef<str>) -> Self {
        Self::Unavailable(reason.as_ref().into())
    }

    /// [`StoreError::Unavailable`] because the process ends.
    pub fn closed() -> Self {
        Self::unavailable(CLOSED)
    }

    /// Whether the store was closed, which is no fault: nothing comes after it.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Unavailable(reason) if **reason == *CLOSED)
    }

    /// [`StoreError::Damaged`] for this row or reason.
    pub fn damaged(what: impl AsRef<str>) -> Self {
        Self::Damaged(what.as_ref().into())
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => {
                Self::new(Code::Overloaded, error.to_string()).retry_after_ms(BUSY_RETRY_AFTER_MS)
            }
            // The reason names folders, which are no client's business.
            StoreError::Unavailable(_) => {
                Self::of(Code::StorageUnavailable).retry_after_ms(UNAVAILABLE_RETRY_AFTER_MS)
            }
            StoreError::Conflict(_) => {
                Self::new(Code::Unavailable, "another write came first; try again")
            }
            StoreError::InvalidPosition => Self::invalid("after", error.to_string()),
            StoreError::Damaged(_) => Self::of(Code::Internal),
        }
    }
}
