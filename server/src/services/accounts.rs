//! Accounts.

pub mod lockout;
pub mod names;
pub mod passwords;
