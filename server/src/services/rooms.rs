//! The rules of a room: pure and synchronous. Time, caller and rows are arguments; what is to be stored and told comes
//! out as [`Effects`], which the room's shard carries out.
//!
//! - [`state`]: what a room is, and what it shows;
//! - [`messages`]: send, edit, delete, react, read markers, ephemeral messages, typing;
//! - [`mod@membership`]: join, leave, invite, kick, ban, mute, roles;
//! - [`settings`]: create, update, delete, retention.

pub mod effects;
pub mod membership;
pub mod messages;
pub mod settings;
pub mod state;

#[cfg(test)]
mod tests;

pub use effects::{Effects, Happened};
pub use state::{Actor, ChatLimits, Room, TextFilter, membership};
