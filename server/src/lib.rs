//! The PittuRu server.
//!
//! - [`app`] and [`config`]: the whole, and what an operator sets;
//! - [`transport`]: sockets, TLS, WebSocket;
//! - [`session`]: one connection, from hello to goodbye;
//! - [`router`]: rooms and their owners;
//! - [`services`]: the product's rules;
//! - [`store`]: what lasts;
//! - [`ops`]: health, metrics, logs.

pub mod app;
pub mod clock;
pub mod config;
pub mod ops;
pub mod router;
pub mod services;
pub mod session;
pub mod store;
pub mod transport;
