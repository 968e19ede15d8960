//! The PittuRu server.
//!
//! - [`services`]: what runs behind the calls;
//! - [`store`]: what lasts.

pub mod services;
pub mod store;
