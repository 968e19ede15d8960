//! What players may do: the product's rules as pure functions.
//!
//! Rows, caller and time are arguments; what is to be stored and told comes out as a value. Nothing here performs I/O, reads
//! a clock, starts a task or draws a random number, so a rule is tested by calling it.
//!
//! - [`rooms`]: the rules of a room, and its rows;
//! - [`accounts`]: accounts, sessions, passwords and roles; [`audit_log`]: what is kept of what the staff does;
//! - [`friends`]: friendship, requests and blocks, one player's side;
//! - [`boards`]: leaderboards: seasons, scores and places;
//! - [`game_data`]: what a game's team writes about its game, in one file;
//! - [`items`]: what players buy, own and use up; [`rewards`]: what rules give them;
//! - [`lists`]: the lists of a player that others write to; [`signals`]: what one entity tells another;
//! - [`reports`]: what players report to the staff;
//! - [`points`]: the ledger of a player's points;
//! - [`word_list`]: the built-in word filter;
//! - [`pages`]: how many items a page of a list has.
//!
//! What the texts of a request may hold is decided before: they come here in the normal forms of `pitturu_text`.

pub mod accounts;
pub mod audit_log;
pub mod boards;
pub mod friends;
pub mod game_data;
pub mod items;
pub mod lists;
pub mod pages;
pub mod points;
pub mod reports;
pub mod rewards;
pub mod rooms;
pub mod signals;
pub mod word_list;
