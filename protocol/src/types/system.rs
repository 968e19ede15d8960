//! What belongs to the connection itself.

use serde::{Deserialize, Serialize};

use crate::codes::Fault;
use crate::ids::{ConnectionId, RoomId};
use crate::types::accounts::Identity;
use crate::types::chat::RoomView;
use crate::types::presence::SetPresence;

/// First frame of a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Hello {
    /// Protocol version, [`crate::VERSION`].
    pub v: u16,
    /// Name and version of the client library, for logs: `rust/0.1.0`.
    pub sdk: String,
    /// Access token. Without it the connection begins signed out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What others see of the player from the moment on in which `token`, or else `RefreshTokens`, signs them in: the first
    /// sign-in on the connection. Any other sign-in begins online. What the player has set on a connection that is still there
    /// counts more, except that `offline` counts more than what another hello brought. A note that `SetPresence` would refuse is
    /// left out, and `in_game` counts as `online`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence: Option<SetPresence>,
}

/// Answer to [`Hello`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Welcome {
    /// Protocol version of the server.
    pub v: u16,
    /// Name of this connection in the server's logs.
    pub conn: ConnectionId,
    /// The server's clock.
    pub now: u64,
    /// Which history of its store the server has: a random number that changes when a backup is restored. Cursors of another epoch mean
    /// nothing here; see [`Resume::epoch`].
    pub epoch: u64,
    /// A silence longer than twice this many milliseconds means that the connection is dead.
    pub ping_ms: u32,
    /// Who is signed in, when the token was good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// Why the token was refused. The connection is open and signed out: refresh, or sign in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Fault>,
    /// Bounds that this server enforces.
    pub limits: Limits,
    /// Where the same server takes QUIC connections, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quic: Option<QuicAddress>,
}

/// Where a server takes QUIC connections, on the host that the client has connected to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct QuicAddress {
    /// UDP port.
    pub port: u16,
    /// SHA-256 of the certificates to trust, each 64 hexadecimal digits in lower case: the one in use, and the one that comes after
    /// it. Absent where the certificate is that of a public or known authority; in development mode the server makes them up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificate_hashes: Vec<String>,
}

/// Bounds that a server enforces on one connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Limits {
    /// Longest frame in bytes.
    pub frame_bytes: u32,
    /// Longest message in bytes.
    pub message_bytes: u32,
    /// Most calls without an answer.
    pub calls: u32,
    /// Most rooms open at once.
    pub rooms: u32,
}

/// The server will close the connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Goaway {
    /// Why.
    pub reason: GoawayReason,
    /// Whether to connect again.
    pub reconnect: bool,
    /// Spread the return over this many milliseconds.
    pub within_ms: u64,
}

/// Why a server sends its clients away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum GoawayReason {
    /// It stops, for good or to start again.
    Shutdown,
    /// It hands its clients to other nodes.
    Drain,
}

/// A reply without content.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Done {}

/// Returns the data and the server's clock. For latency and clock offset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Echo {
    /// Anything, at most 61,440 bytes.
    #[serde(with = "serde_bytes")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::types::bin_schema"))]
    pub data: Vec<u8>,
}

/// Reply to [`Echo`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Echoed {
    /// What was sent.
    #[serde(with = "serde_bytes")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::types::bin_schema"))]
    pub data: Vec<u8>,
    /// The server's clock.
    pub now: u64,
}

/// Takes up the streams of an earlier connection where the client's cursors stand. What was missed follows as
/// events, in order and in pages, each page after the client's `ack` of the one before it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Resume {
    /// The epoch of the cursors, from the welcome of the connection on which they were reached. Where it is not the server's, the
    /// store was restored since: the cursors are not looked at, rooms begin at their newest and the inbox at its beginning. 0 is no
    /// server's. Absent: the cursors are taken as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// Sequence of the last inbox entry received. Absent: the inbox is not followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inbox: Option<u64>,
    /// The rooms to open, at most 24; more are resumed by further calls.
    #[serde(default)]
    pub rooms: Vec<RoomCursor>,
}

/// How far a client has come in a room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RoomCursor {
    /// The room.
    pub room: RoomId,
    /// Sequence of the last message received.
    pub seq: u64,
    /// Revision of the last change received.
    pub rev: u64,
}

/// Reply to [`Resume`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Resumed {
    /// Newest sequence of the inbox.
    pub inbox: u64,
    /// One outcome per room asked for, in the same order.
    pub rooms: Vec<ResumedRoom>,
}

/// What became of one room of a [`Resume`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ResumedRoom {
    /// The room.
    pub room: RoomId,
    /// The open room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<RoomView>,
    /// Why it could not be opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

/// Where a followed stream stands: sent at the end of each page of a back-fill, and when it has become live.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StreamPosition {
    /// A room's id, or `inbox`.
    pub stream: String,
    /// Sequence up to which everything has been sent.
    pub seq: u64,
    /// Revision up to which everything has been sent.
    pub rev: u64,
    /// Newest sequence of the stream.
    pub head: u64,
    /// True: new entries now arrive as they happen. False: a page has ended, and the next comes after an `ack`.
    pub live: bool,
}
