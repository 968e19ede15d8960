//! Sockets: listeners, TLS, and the WebSocket link of a session.
//!
//! Nothing outside this folder names tungstenite, quinn or rustls. In reading order: [`listener`] accepts and counts
//! ([`connection_limiter`]), [`proxies`] says whom a proxy in front brings, [`handshake`] upgrades a [`socket`], and [`ws`] is the link that a session drives; what it sends
//! passes through [`wire`], which shares the bytes of a broadcast instead of copying them per connection. [`quic`] is the
//! other way in: it shares limits, threads and certificates with the first, and has a link of its own.

pub mod connection_limiter;
pub mod handshake;
pub mod listener;
pub mod proxies;
pub mod quic;
pub mod socket;
pub mod tls;
pub mod wire;
pub mod ws;

/// Where a broadcast keeps what each transport has made of it; see [`Framing`](crate::connections::link::Framing).
#[repr(usize)]
enum FramingSlot {
    WebSocket,
    Quic,
}
