//! Room that a store keeps for a write before the write is decided.

use std::fmt;
use std::sync::Arc;

/// A store that keeps room.
pub(crate) trait Reserved: Send + Sync {
    /// Keeps room for so many bytes no longer.
    fn release(&self, bytes: usize);
}

/// Room for one write. Whoever decides reserves first: what the store can't take is refused before anything has changed, and
/// what was decided is taken in any case. Given back when dropped.
pub struct Reservation {
    store: Option<Arc<dyn Reserved>>,
    bytes: usize,
}

impl Reservation {
    pub(crate) fn new(store: Arc<dyn Reserved>, bytes: usize) -> Self {
        Self {
            store: Some(store),
            bytes,
        }
    }

    /// The bytes that were kept, which the store now counts otherwise.
    pub(crate) fn into_bytes(mut self) -> usize {
        self.store = None;
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(store) = self.store.take() {
            store.release(self.bytes);
        }
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reservation({} bytes)", self.bytes)
    }
}
