//! The PittuRu server.
//!
//! - [`transport`]: sockets, TLS, WebSocket;
//! - [`session`]: one connection, from hello to goodbye;
//! - [`router`]: rooms and their owners;
//! - [`services`]: the product's rules;
//! - [`store`]: what lasts.

pub mod clock;
pub mod router;
pub mod services;
pub mod session;
pub mod store;
pub mod transport;
