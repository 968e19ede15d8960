//! The rules of a room: pure and synchronous. Time, caller and rows are arguments; what is to be stored and told comes
//! out as [`Effects`], which the room's owner carries out.
//!
//! - [`rows`]: what is stored of a room; [`identity`]: ids that follow from who makes it;
//! - [`state`]: what a room is, and what it shows;
//! - [`standing`]: how a player stands to it at a moment, and what they may do for it;
//! - [`messages`]: send, edit, delete, react, read markers, ephemeral messages, typing;
//! - [`markers`]: read markers that sending moves;
//! - [`mod@membership`]: join, leave, invite, kick, ban, mute, roles;
//! - [`settings`]: create, update, delete, retention; `erasure`: what goes with a player's account.

pub mod effects;
mod erasure;
pub mod identity;
pub mod markers;
pub mod membership;
pub mod messages;
pub mod rows;
pub mod settings;
pub mod standing;
pub mod state;

#[cfg(test)]
mod tests;

pub use effects::{Effects, RoomEvent};
pub use membership::Target;
pub use standing::{member_of, membership};
pub use state::{Actor, ChatLimits, Room, TextFilter};
