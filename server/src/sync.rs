//! What concurrent code is made of: locks, atomics, wake-ups, and threads apart, in one place, so that the model tests
//! (`server/model`) put those of a scheduler in their stead and try every order.

pub use std::sync::atomic::{AtomicBool, Ordering};

pub use futures_util::task::AtomicWaker;
pub use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::Handle;
pub use tokio::sync::Notify;

/// A way to have something done by a thread apart.
#[derive(Debug)]
pub struct Offload(Handle);

impl Offload {
    /// The threads apart of the runtime that this thread serves, if it serves one.
    pub fn from_here() -> Option<Self> {
        Handle::try_current().ok().map(Self)
    }

    /// Has it done. What `work` holds is dropped instead when the runtime is ending.
    pub fn run(self, work: impl FnOnce() + Send + 'static) {
        self.0.spawn_blocking(work);
    }
}
