//! What players do: one file per scenario.

use std::rc::Rc;

use clap::Subcommand;
use serde::{Deserialize, Serialize};

use crate::floor::Floor;
use crate::outcome::Outcome;
use crate::player::Failed;
use crate::report::{Check, Figure};
use crate::tally::Op;
use crate::thread_players::ThreadPlayers;

mod admin;
mod burst;
mod chat;
mod cold_rooms;
mod connect_storm;
mod echo;
mod evening;
mod flood;
mod idle;
mod join_storm;
mod ledger;
mod reconnect_storm;
mod scores;
mod sign_in_storm;
mod slow_readers;
mod states;

pub use cold_rooms::{Options as ColdRooms, Stage};

/// What a scenario is made of. Its fields are its parameters on the command line.
pub(crate) trait Play: Clone {
    /// How many players take part.
    fn players(&self) -> u64;

    /// Rooms that are made before the run.
    fn rooms(&self) -> u64 {
        0
    }

    /// The bare program to compare with, if there is one for this.
    fn floor(&self) -> Option<Floor> {
        None
    }

    /// Whether the server can play it, too; else it is for floors alone.
    fn has_server(&self) -> bool {
        true
    }

    /// How many operations per second are meant to begin, of each paced kind.
    fn offered(&self) -> Vec<(Op, f64)> {
        Vec::new()
    }

    /// Connections of one player that may be open at once.
    fn connections(&self) -> u64 {
        self.players()
    }

    /// Settings that the server needs beside those of every test, as `key=value`.
    fn settings(&self) -> Vec<String> {
        Vec::new()
    }

    /// What the server's game has, as its file says it; nothing when absent.
    fn game(&self) -> Option<String> {
        None
    }

    /// Plays the part of one thread.
    fn play(self, thread: Rc<ThreadPlayers>) -> impl Future<Output = Result<(), Failed>>;

    /// Figures of this scenario alone.
    fn figures(&self, _outcome: &Outcome) -> Vec<Figure> {
        Vec::new()
    }

    /// What must have held.
    fn checks(&self, outcome: &Outcome) -> Vec<Check> {
        vec![outcome.nobody_was_disconnected()]
    }

    /// The same with another load, for a capacity search, and the name of what was changed.
    fn with_load(self, load: f64) -> (Self, &'static str);
}

macro_rules! scenarios {
    ($($(#[$doc:meta])* $variant:ident($options:ty) = $name:literal;)*) => {
        /// What is played.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Subcommand)]
        #[serde(rename_all = "kebab-case")]
        pub enum Scenario {
            $($(#[$doc])* $variant($options),)*
        }

        impl Scenario {
            /// Its name on the command line.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)* }
            }

            /// How many players take part.
            pub fn players(&self) -> u64 {
                match self { $(Self::$variant(options) => options.players(),)* }
            }

            /// Rooms that are made before the run.
            pub fn rooms(&self) -> u64 {
                match self { $(Self::$variant(options) => options.rooms(),)* }
            }

            /// The bare program to compare with, if there is one.
            pub fn floor(&self) -> Option<Floor> {
                match self { $(Self::$variant(options) => options.floor(),)* }
            }

            /// Whether the server can play it, too; else it is for floors alone.
            pub fn has_server(&self) -> bool {
                match self { $(Self::$variant(options) => options.has_server(),)* }
            }

            /// How many operations per second are meant to begin, of each paced kind.
            pub fn offered(&self) -> Vec<(Op, f64)> {
                match self { $(Self::$variant(options) => options.offered(),)* }
            }

            /// Connections that may be open at once.
            pub fn connections(&self) -> u64 {
                match self { $(Self::$variant(options) => options.connections(),)* }
            }

            /// Settings that the server needs beside those of every test.
            pub fn settings(&self) -> Vec<String> {
                match self { $(Self::$variant(options) => options.settings(),)* }
            }

            /// What the server's game has, as its file says it.
            pub fn game(&self) -> Option<String> {
                match self { $(Self::$variant(options) => options.game(),)* }
            }

            /// Plays the part of one thread.
            pub async fn play(self, thread: Rc<ThreadPlayers>) -> Result<(), Failed> {
                match self { $(Self::$variant(options) => options.play(thread).await,)* }
            }

            /// Figures of this scenario alone.
            pub fn figures(&self, outcome: &Outcome) -> Vec<Figure> {
                match self { $(Self::$variant(options) => options.figures(outcome),)* }
            }

            /// What must have held.
            pub fn checks(&self, outcome: &Outcome) -> Vec<Check> {
                match self { $(Self::$variant(options) => options.checks(outcome),)* }
            }

            /// The same with another load, and the name of what was changed.
            pub fn with_load(self, load: f64) -> (Self, &'static str) {
                match self {
                    $(Self::$variant(options) => {
                        let (options, name) = options.with_load(load);
                        (Self::$variant(options), name)
                    })*
                }
            }

            /// The parameters, by name, in their order.
            pub fn parameters(&self) -> Vec<(String, String)> {
                let value = match self {
                    $(Self::$variant(options) => serde_json::to_value(options),)*
                };
                let fields = value.ok().and_then(|value| value.as_object().cloned());
                fields.into_iter().flatten().map(|(name, value)| (name, plain(&value))).collect()
            }
        }
    };
}

scenarios! {
    /// Connections that do nothing, each signed in and in a room.
    Idle(idle::Options) = "idle";
    /// Connections that come at a steady rate and go again.
    ConnectStorm(connect_storm::Options) = "connect-storm";
    /// One large room.
    Room(chat::Room) = "room";
    /// Many small rooms; messages are not stored.
    Rooms(chat::Rooms) = "rooms";
    /// Many small rooms; each message is on disk before it is answered.
    Durable(chat::Durable) = "durable";
    /// Calls that come back, as many as the server answers or at a steady rate.
    Echo(echo::Options) = "echo";
    /// Players and an admin move points; in the end every wallet has what was answered.
    Ledger(ledger::Options) = "ledger";
    /// A service submits scores, players follow and ask; in the end every leaderboard has what was answered.
    Scores(scores::Options) = "scores";
    /// Everybody in a room writes at the same moment, again and again.
    Burst(burst::Options) = "burst";
    /// Everybody joins one room at the same moment.
    JoinStorm(join_storm::Options) = "join-storm";
    /// Some members of a busy room read slowly.
    SlowReaders(slow_readers::Options) = "slow-readers";
    /// A game's state at its tick: how old is what a player has of it? Of a bare sender; the server has no games yet.
    States(states::Options) = "states";
    /// All connections are lost at once and come back.
    ReconnectStorm(reconnect_storm::Options) = "reconnect-storm";
    /// Sign-ins with passwords at a steady rate, beside players who chat.
    SignInStorm(sign_in_storm::Options) = "sign-in-storm";
    /// Players chat while the server's UDP port is flooded.
    Flood(flood::Options) = "flood";
    /// Players come, chat, look around and go, as on an evening.
    Evening(evening::Options) = "evening";
    /// Many rooms that exist, of which few are used.
    ColdRooms(cold_rooms::Options) = "cold-rooms";
}

/// A parameter as on the command line.
fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A rate as a whole number of things, at least one.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(value: f64) -> u64 {
    // Loads are small positive numbers.
    value.round().max(1.0) as u64
}

/// Whether a number is among `some` of `all`, spread evenly.
const fn is_chosen(number: u64, some: u64, all: u64) -> bool {
    number * some / all != (number + 1) * some / all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_chosen_as_asked_for_and_spread() {
        for (some, all) in [(0, 5), (1, 5), (5, 5), (7, 50), (20, 200), (3, 10)] {
            let chosen: Vec<u64> = (0..all).filter(|&it| is_chosen(it, some, all)).collect();
            assert_eq!(chosen.len() as u64, some);
            for pair in chosen.windows(2) {
                assert!(pair[1] - pair[0] <= all.div_ceil(some));
            }
        }
    }
}
