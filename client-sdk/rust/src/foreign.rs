//! Code that is not the client's own and runs on its threads: callbacks, wakers, token stores, their errors, and what all of these own.
//!
//! It may panic, also when it is dropped, and it may use the client. So what panics is caught here, and none of it is called, cloned
//! or dropped while the client holds a lock.

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What `run` gives; nothing if it panics.
pub(crate) fn guarded<T>(run: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(value) => Some(value),
        Err(payload) => {
            // What a panic carries may panic when it is dropped. What that one carries is left alone: it could go on for ever.
            if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                std::mem::forget(another);
            }
            None
        }
    }
}

/// Something of the application's: dropping it does not panic.
pub(crate) struct Foreign<T>(Option<T>);

impl<T> Foreign<T> {
    pub(crate) fn new(held: T) -> Self {
        Self(Some(held))
    }

    /// Does `with` it what uses it up, guarded.
    pub(crate) fn used<U>(mut self, with: impl FnOnce(T) -> U) -> Option<U> {
        let held = self.0.take()?;
        guarded(|| with(held))
    }
}

impl<T> Deref for Foreign<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("it is held until it is used up")
    }
}

impl<T> Drop for Foreign<T> {
    fn drop(&mut self) {
        if let Some(held) = self.0.take() {
            guarded(|| drop(held));
        }
    }
}
