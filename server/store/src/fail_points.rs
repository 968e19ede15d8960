//! Named points at which a chaos run breaks the server: ends it as `kill -9` would, has a step fail, or holds it up.
//!
//! They exist with the feature `chaos` only. Without it every function here is empty, and the compiler leaves nothing of a call.
//! With it a point is armed by a text, at the start by the variable `CHAOS_ARM` (several with commas between), later by
//! `GET /chaos/arm/TEXT` of the operations port:
//!
//! | text | what happens |
//! |---|---|
//! | `store.commit=abort:3` | the third passage from now kills the process |
//! | `store.write=no_space:5` | the next five passages fail: no space is left |
//! | `store.sync=io:1` | the next passage fails with another error of the disk |
//! | `store.sync=delay:100:20` | each of the next twenty passages takes 100 ms longer |
//!
//! A protection can be left out by its name (`CHAOS_UNDO`, or `GET /chaos/undo/NAME`), so that a chaos run can show that it would be missed.
//! What a point has done is written to standard error, one line each: `chaos: POINT ACTION`.

#[cfg(any(feature = "chaos", test))]
#[cfg_attr(
    not(feature = "chaos"),
    allow(dead_code, reason = "only its tests run without the feature")
)]
mod armed;

#[cfg(feature = "chaos")]
pub use armed::{clock_offset_ms, control, fail, is_undone, pass};

#[cfg(not(feature = "chaos"))]
pub use absent::{clock_offset_ms, fail, is_undone, pass};

#[cfg(not(feature = "chaos"))]
mod absent {
    use std::io;

    /// A point that can end or delay the process.
    #[inline(always)]
    pub const fn pass(_point: &'static str) {}

    /// A point that can fail as well.
    ///
    /// # Errors
    /// Never without the feature `chaos`.
    #[inline(always)]
    pub const fn fail(_point: &'static str) -> io::Result<()> {
        Ok(())
    }

    /// Whether this protection is left out.
    #[inline(always)]
    pub const fn is_undone(_protection: &'static str) -> bool {
        false
    }

    /// Milliseconds that the wall clock is ahead of the system's.
    #[inline(always)]
    pub const fn clock_offset_ms() -> i64 {
        0
    }
}
