//! The wire contract of PittuRu, `pitturu/1`, and the state machines of a connection.
//!
//! Nothing in this crate performs I/O, reads a clock or draws a random number: time, randomness
//! and bytes are arguments. The server drives [`server`], the Rust SDK [`client`]. The load generator has bare players of
//! its own, which read and write the same frames and bodies without the client's machine. The TypeScript SDK mirrors the
//! client's machine and is held to the same golden vectors.
//!
//! Reading order:
//! - [`frame`]: what travels in one message, built on [`scan`] and [`codec`];
//! - [`framing`]: where messages begin and end on a stream of bytes, for transports without messages of their own;
//! - [`ids`], [`limits`], [`bounds`], [`ranges`], [`codes`]: names, limits, the lengths and integers in bodies, and the two code tables;
//! - [`methods`] and [`events`]: the tables from which everything else is derived;
//! - [`types`]: the bodies of calls, replies and events;
//! - [`server`]: the state machine of a connection, as the server drives it;
//! - [`client`]: the state machine of a client across its connections, with its waits in [`backoff`].

pub mod backoff;
pub mod bounds;
pub mod client;
pub mod codec;
pub mod codes;
pub mod events;
pub mod frame;
pub mod framing;
pub mod ids;
pub mod limits;
pub mod methods;
pub mod ranges;
pub mod scan;
pub mod server;
pub mod types;

/// Version of the protocol that this crate speaks, sent in hello and welcome.
pub const VERSION: u16 = 1;

/// WebSocket subprotocol that both sides must agree on.
pub const SUBPROTOCOL: &str = "pitturu.v1";

/// Application protocol (ALPN) that both sides of a QUIC connection must agree on.
pub const ALPN: &[u8] = b"pitturu/1";
