//! Who is connected, and what waits to be sent to them.
//!
//! - [`link`]: what a transport gives; [`connection`]: what everybody may know of a connection; [`open_rooms`]: the rooms that are
//!   open on it; [`opening`]: one opening of a room, or of the inbox;
//! - [`outbox`]: what waits to be sent on one; [`recipient`]: whoever is answered, here or on another node;
//! - [`address`]: where players connect from, and what the log shows of it; [`network`]: whom an address stands for; [`registry`]: all connections of this process, by player;
//! - [`caller`]: who calls; [`call`]: a call without an answer; [`call_metrics`]: what is counted of calls; [`automod`]: who is refused
//!   so much that the server acts on them by itself;
//! - [`session_notifier`]: what is told to the connections of a player.

pub mod address;
pub mod automod;
pub mod call;
pub mod call_metrics;
pub mod caller;
pub mod connection;
pub mod link;
pub mod network;
pub mod open_rooms;
pub mod opening;
pub mod outbox;
pub mod recipient;
pub mod registry;
pub mod session_notifier;
