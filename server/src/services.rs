//! The product's rules, area by area.

pub mod caller;
pub mod rooms;
