//! Tests against the running server and its transport. Each starts what it needs on free ports and stops it.

// Clippy allows these in functions that are tests, but not in those that tests call.
#![allow(clippy::unwrap_used, clippy::print_stdout, unreachable_pub)]

mod bursts;
mod conformance;
mod crowd;
mod echo;
mod hostile;
mod idle_memory;
mod launch;
mod lifecycle;
mod neighbour;
mod player;
mod raw;
mod rfc6455;
mod rfc6455_cases;
mod sign_in;
mod slow_reader;
