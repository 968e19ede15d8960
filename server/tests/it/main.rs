//! Tests against the running server and its transport. Each starts what it needs on free ports and stops it.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(clippy::print_stdout, reason = "what a test has measured")]
#![allow(
    clippy::cast_possible_truncation,
    reason = "the values are cut on purpose"
)]
#![allow(unreachable_pub, reason = "modules of one test program")]

mod admin;
mod audit_log;
mod automod;
mod backup;
mod backup_refusals;
mod bursts;
mod call_metrics;
mod chat;
mod conformance;
mod crowd;
mod deploy;
mod echo;
mod ephemeral;
mod erasure;
mod examples;
mod hostile;
mod idle_memory;
mod kill_nine;
mod launch;
mod lifecycle;
mod logs;
mod metrics;
mod moderation;
mod neighbour;
mod open_files;
mod paused;
mod player;
mod private_files;
mod proxies;
mod quic;
mod raw;
mod reload;
mod reports;
mod rfc6455;
mod rfc6455_cases;
mod sdk_node;
mod sdk_rust;
mod sign_in;
mod signals;
mod slow_reader;
mod two_sdks;
