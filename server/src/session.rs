//! One connection, from hello to goodbye.
//!
//! - [`driver`]: the loop; [`hello`]: the answer to hello; [`sign_in`]: who is signed in by a reply;
//! - [`calls`]: from a call's bytes to whoever answers it; [`handlers`]: which service that is; [`replies`]: what is answered
//!   on the spot; [`rates`]: how much each caller may call;
//! - [`backfill`]: streams read on from the store.

pub mod backfill;
pub mod calls;
pub mod driver;
pub mod handlers;
pub mod hello;
pub mod rates;
pub mod replies;
pub mod sign_in;

pub use driver::serve;
use std::time::Duration;

use pitturu_protocol::server::Timing;
use pitturu_protocol::types::system::QuicAddress;
use tokio::sync::watch;

use self::rates::Rates;
use crate::replaceable::Replaceable;
use crate::services::Services;

/// What all connections work with.
pub struct SessionContext {
    /// Everything that answers calls.
    pub services: Services,
    /// How much each caller may call.
    pub rates: Rates,
    /// Bounds of each connection that comes now.
    pub config: Replaceable<SessionConfig>,
    /// Where else clients may connect, as each of them is told.
    pub quic: watch::Receiver<Option<QuicAddress>>,
}

/// Bounds of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionConfig {
    /// Bytes of durable events that may wait for a slow reader before its streams are cut.
    pub outbox_bytes: usize,
    /// Heartbeat and handshake.
    pub timing: Timing,
    /// How long a closing connection may take to take its last bytes and confirm.
    pub close_timeout: Duration,
    /// Frames read per second; the rest waits in the network.
    pub frames_per_second: u32,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            outbox_bytes: 256 * 1024,
            timing: Timing::default(),
            close_timeout: Duration::from_secs(3),
            frames_per_second: 2_000,
        }
    }
}

#[cfg(test)]
mod tests;
