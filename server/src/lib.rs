//! The PittuRu server.
//!
//! - [`config`]: keys and values; [`app`]: what is started in which order, and the way out;
//! - [`assembly`]: the services over one store;
//! - [`lanes`]: the threads that serve connections;
//! - [`transport`]: sockets; [`session`]: one connection, from hello to goodbye;
//! - [`hub`]: all connections, by player;
//! - [`router`]: rooms and their owners;
//! - [`services`]: the product's rules;
//! - [`ops`]: health, metrics, logs.

pub mod app;
pub mod assembly;
pub mod config;
pub mod hub;
pub mod lanes;
pub mod ops;
pub mod random;
pub mod router;
pub mod services;
pub mod session;
pub mod transport;
