//! What runs behind the calls: accounts, profiles and friends run for the caller, side by side.

pub mod accounts;
pub mod caller;
pub mod connections;
pub mod friends;
pub mod profile;
