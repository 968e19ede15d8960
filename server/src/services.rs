//! What calls do. Rooms run at their owner, in the room's order; accounts, profiles and friends run for the caller, side by side.

pub mod accounts;
pub mod caller;
pub mod connections;
pub mod friends;
pub mod profile;
pub mod rooms;
