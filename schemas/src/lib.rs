//! What is derived from the protocol's tables, for readers in other languages.
//!
//! Reading order:
//! - [`catalog`]: the tables of methods and events with the JSON Schema of each body;
//! - [`frames`]: the layout of each frame, held to the codec by the vectors;
//! - [`sample`] and [`wire`]: example values, and how they travel; [`integers`]: where integers stand in them;
//!   [`fullest`]: the longest of each that a server sends;
//! - [`api`], [`asyncapi`], [`vectors`], [`typescript`], [`guide`]: one file each for what is written;
//! - [`output`]: the list of all files, each of them [`derived`].

pub mod api;
pub mod asyncapi;
pub mod catalog;
mod close_ranges;
pub mod derived;
pub mod frames;
pub mod fullest;
pub mod guide;
pub mod integers;
pub mod output;
pub mod sample;
mod shapes;
pub mod typescript;
pub mod vectors;
pub mod wire;
mod yaml;
