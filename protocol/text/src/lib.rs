//! What players may write, and when two texts are the same: one place for all text that comes from outside.
//!
//! Nothing here performs I/O, reads a clock or draws a random number. Unicode's own data and algorithms come from ICU4X.
//!
//! - [`fold`]: normal forms, and the form in which two names are the same.

pub mod fold;
