//! Every public call in every state of a client's life, and what foreign code can do to it.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "fake/server.rs"]
#[allow(
    dead_code,
    reason = "shared with the other tests of servers played by hand"
)]
mod server;

#[path = "standing/foreign.rs"]
mod foreign;
#[path = "standing/lifecycle.rs"]
mod lifecycle;
#[path = "standing/listeners.rs"]
mod listeners;
#[path = "standing/newer.rs"]
mod newer;
#[path = "standing/stores.rs"]
mod stores;

use pitturu_client::types::system::Resume;
use pitturu_client::{BackOff, ClientOptions, Tokens};

use server::Server;

fn options(server: &Server) -> ClientOptions {
    ClientOptions::new(server.url())
        .resume(Resume::default())
        .back_off(BackOff {
            base_ms: 10,
            cap_ms: 50,
        })
}

fn tokens(generation: u32) -> Tokens {
    Tokens {
        access: Some(format!("access {generation}")),
        refresh: Some(format!("refresh {generation}")),
    }
}
