//! One connection, from hello to goodbye.
//!
//! - [`link`]: what a transport gives;
//! - [`connection`]: what everybody may know of a connection; [`outbox`]: what waits to be sent on it;
//! - [`rates`]: how much each caller may call.

pub mod connection;
pub mod link;
pub mod outbox;
pub mod rates;
