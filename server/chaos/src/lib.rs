//! A server that is broken on purpose, and a model that remembers what it has promised.
//!
//! A run starts the server as a process of its own, lets players call it through a `proxy` that cuts their connections, and has
//! `faults` break it: kills, pauses, orderly ends, a disk that fails, a clock that jumps. Whatever a player asks and is told is
//! written down by `record`. When a round is over, everything comes to rest, an auditor reads all that the server has, and
//! `model` compares: with what was promised, and all views with one another. The model knows the protocol and nothing of the
//! server's code.
//!
//! - [`cli`], [`run`]: the command, and one round after the other;
//! - `server`: the process; `faults`: what is done to it; `proxy`: what is done to connections;
//! - `players`: who calls; `actions`: what they do; `sdk` and `raw`: by which client; `tokens`: sign-ins on their own;
//! - `backups`: copies of its store that it makes meanwhile, and what a server on one of them has;
//! - `record`: what was asked and told; `audit`: what the server has in the end; `model`: whether it may;
//! - `game`: the items, rewards and leaderboards of a round; `books`: a player's points, carried out again line by line; `report`: what is said about it;
//! - [`ledger`]: another kind of run, which only moves points, very many, and compares every line of every player's books.
//!
//! A round follows from its seed as far as chance goes; when threads and disks take their turns does not. A violation names the
//! seed of its round.

#![allow(unreachable_pub, reason = "modules of one program")]

pub mod cli;
pub mod ledger;
pub mod run;
pub mod server;

mod actions;
mod audit;
mod backups;
mod books;
mod faults;
mod game;
mod model;
mod players;
mod proxy;
mod raw;
mod record;
mod report;
mod sdk;
mod tokens;
