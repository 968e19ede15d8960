//! The PittuRu server.
//!
//! - [`transport`]: sockets; [`session`]: one connection, from hello to goodbye;
//! - [`hub`]: all connections, by player;
//! - [`router`]: rooms and their owners;
//! - [`services`]: the product's rules;
//! - [`store`]: what lasts.

pub mod clock;
pub mod hub;
pub mod random;
pub mod router;
pub mod services;
pub mod session;
pub mod store;
pub mod transport;
