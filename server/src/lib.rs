//! The PittuRu server.

pub mod session;
pub mod transport;
