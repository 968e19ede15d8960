//! Players chat while strangers flood the server's UDP port with handshakes that are never finished, and must not feel it.

use std::rc::Rc;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::Play;
use super::chat::Chat;
use crate::flood::Flood;
use crate::floor::Floor;
use crate::outcome::Outcome;
use crate::player::{Delivery, Failed};
use crate::report::Check;
use crate::tally::Op;
use crate::thread_players::ThreadPlayers;

const MIB: f64 = (1 << 20) as f64;

/// Connections of one address where the flood comes from, as a server has it that nobody has configured.
const PER_ADDRESS: u64 = 512;

/// Parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Args)]
pub struct Options {
    /// Members of the room, all with the room open.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    pub members: u64,
    /// Messages per second in the room; they are not stored.
    #[arg(long, default_value_t = 50.0)]
    pub rate: f64,
    /// Bytes of each message's text.
    #[arg(long, default_value_t = 128)]
    pub size: usize,
    /// What the server is flooded with, or, as its floor, a socket that throws it away.
    #[command(flatten)]
    #[serde(flatten)]
    pub flood: Flood,
    /// Megabytes by which the server's memory may grow from the beginning of the load.
    #[arg(long, default_value_t = 64.0, allow_negative_numbers = true)]
    pub growth_max: f64,
}

impl Play for Options {
    fn players(&self) -> u64 {
        self.members
    }

    fn rooms(&self) -> u64 {
        1
    }

    fn floor(&self) -> Option<Floor> {
        Some(Floor::Discard)
    }

    fn offered(&self) -> Vec<(Op, f64)> {
        let deliveries = self.rate * self.members as f64;
        vec![(Op::Send, self.rate), (Op::Deliver, deliveries)]
    }

    /// The port that is flooded is there whatever the players come by, and strangers have the places that strangers have.
    fn settings(&self) -> Vec<String> {
        let per_address = PER_ADDRESS.max(2 * self.members);
        vec![
            "listen.quic=127.0.0.1:0".to_owned(),
            format!("listen.connections_per_address_max={per_address}"),
        ]
    }

    async fn play(self, thread: Rc<ThreadPlayers>) -> Result<(), Failed> {
        self.chat().play(thread).await
    }

    fn checks(&self, outcome: &Outcome) -> Vec<Check> {
        let mut checks = self.chat().checks(outcome);
        let memory = outcome.resources.values();
        let mut memory = memory.filter_map(|used| Some(used.server?.memory_bytes));
        if let Some(from) = memory.next() {
            let most = memory.fold(from, u64::max);
            let grown = (most - from) as f64 / MIB;
            checks.push(Check {
                title: "the flood costs the server no memory".to_owned(),
                held: grown <= self.growth_max,
                detail: format!("{grown:.1} MiB more, at most {}", self.growth_max),
            });
        }
        checks
    }

    fn with_load(mut self, load: f64) -> (Self, &'static str) {
        self.flood.initials = load;
        (self, "initials")
    }
}

impl Options {
    fn chat(&self) -> Chat {
        Chat {
            rooms: 1,
            members: self.members,
            rate: self.rate,
            size: self.size,
            delivery: Delivery::Ephemeral,
        }
    }
}
