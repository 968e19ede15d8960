//! The client machine beyond its ordinary course: who may call when, what is the same on each connection, tokens that
//! others may change, what can't be read, servers of other versions, and rooms that several calls open and close.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "driven/boards.rs"]
mod boards;
#[path = "driven/clock.rs"]
mod clock;
#[path = "driven/epoch.rs"]
mod epoch;
#[path = "driven/handover.rs"]
mod handover;
#[path = "driven/machine.rs"]
mod machine;
#[path = "driven/newer.rs"]
mod newer;
#[path = "driven/openings.rs"]
mod openings;
#[path = "driven/play.rs"]
mod play;
#[path = "driven/standing.rs"]
mod standing;
#[path = "driven/unreadable.rs"]
mod unreadable;
