//! What is noted of single calls, from when they were read to their answers, so that an operator can see where a slow one has spent
//! its time. `ops/traces.rs` sends it to a collector.
//!
//! Only some calls are traced; which, is decided when they are read. A [`CallTrace`] names one of them, or none, and is copied with
//! the call; a [`Part`] is what one entity does for it. Noting something for a call that is not traced is one comparison, and in a
//! server that is built without the feature `otlp` nothing: these types are empty there, and their methods too.
//!
//! Whatever is noted here leaves the server. It is a list of its own and not what log lines hold: names of methods and steps, ids of
//! connections, players and rooms, codes and times. No text that a player has written can get in.

use std::pin::Pin;
use std::time::Duration;

use pitturu_protocol::frame::CallId;
use pitturu_protocol::ids::{ConnectionId, UserId};

#[cfg(feature = "otlp")]
mod kept;
#[cfg(not(feature = "otlp"))]
mod left_out;

#[cfg(feature = "otlp")]
pub use self::kept::{
    CallTrace, Delivering, Noted, Part, Step, Trace, UNANSWERED_MAX, current, finish_old, open,
    set_share, shut, step,
};
#[cfg(not(feature = "otlp"))]
pub use self::left_out::{CallTrace, Delivering, Part, Step, current, step};

/// Whether this server can trace calls.
pub const ARE_BUILT: bool = cfg!(feature = "otlp");

/// What is done for a call.
pub type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A call that was read.
#[derive(Clone, Copy, Debug)]
pub struct CallRead {
    /// The connection.
    pub conn: ConnectionId,
    /// Who is signed in on it.
    pub user: Option<UserId>,
    /// Number on the connection.
    pub call: CallId,
    /// Number of the method.
    pub method: u16,
    /// How long ago it was read.
    pub ago: Duration,
}
