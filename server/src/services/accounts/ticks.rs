//! The clock of delays, which nobody sets.

use std::fmt;
use std::sync::Arc;

use pitturu_store::clock::Steady;

/// Milliseconds since some moment, by a clock that is never set back.
#[derive(Clone)]
pub struct Ticks(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Ticks {
    /// A clock that tells what this function says.
    pub fn by(now: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Now.
    pub fn now(&self) -> u64 {
        (self.0)()
    }
}

impl Default for Ticks {
    fn default() -> Self {
        Self::by(|| Steady::now().as_ms())
    }
}

impl fmt::Debug for Ticks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.now())
    }
}
