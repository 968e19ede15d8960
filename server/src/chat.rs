//! Rooms: the kind of entity that chat is made of.
//!
//! - [`command`]: what is said to a room, and what it hears back; [`request`]: calls of rooms by what they need;
//! - [`live_room`]: a room at its owner: rules, recent messages, followers, and what waits for the disk;
//! - [`recent`]: its newest messages, ready to send; [`history`]: pages of the past, for readers and for back-fill;
//! - [`directory`]: finding rooms, and making them;
//! - [`retention`]: the walk that removes what is past its time.

pub mod command;
pub mod directory;
pub mod history;
pub mod live_room;
pub mod recent;
pub mod request;
pub mod retention;

#[cfg(test)]
mod tests;
