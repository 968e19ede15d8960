//! QUIC: [`endpoint`] has the socket, admits connections and shakes hands; [`link`] is what a session drives. `webtransport` is
//! what browsers put between the two.
//!
//! Nothing outside this folder names quinn.

use pitturu_metrics::labels::Transport;

mod closing;
pub mod endpoint;
mod guarded_socket;
pub mod link;
mod sender;
mod webtransport;

/// What native QUIC is in metrics.
const TRANSPORT: Transport = Transport::Quic;
