//! The rules of accounts and sessions: what one player's entity decides of the player's own, pure and synchronous.
//!
//! Everything here concerns one player, but for two things. A user name, or a guest's secret, has one account: a [`Claim`], which
//! the store keeps, is made before the account, and [`Account::void`] makes sure that a claim which led to no account never will.
//! And there is always an admin: roles are given by [`Staff`], an entity of its own, which tells the player's.
//!
//! - [`rows`]: what is stored; [`refusal`]: limits, and why a call is refused;
//! - [`account`]: one player's account, sessions and reset tokens; `deletion`: its end; [`sanctions`]: what the staff decides against the
//!   player; [`staff`]: who has which role.

pub mod account;
mod deletion;
pub mod refusal;
pub mod rows;
pub mod sanctions;
pub mod staff;

#[cfg(test)]
mod tests;

pub use account::{Account, AccountEffects, AccountNews};
pub use deletion::NOBODY;
pub use pitturu_protocol::limits::SESSIONS_MAX;
pub use refusal::{AccountRefusal, RESETS_MAX, VOID_KNOWN_MS, VOIDS_MAX};
pub use rows::{
    AccountRow, Claim, Deletion, Grant, GuestRow, Hidden, Login, Nonce, PasswordChange,
    ProfileChange, ProfileRow, ResetRow, Rotated, Rotation, SecretHash, SessionRow,
};
pub use sanctions::{Sanction, Sanctions};
pub use staff::{RoleChange, Shown, Staff, StaffEffects};
