//! The PittuRu server.
//!
//! - [`store`]: what lasts.

pub mod store;
