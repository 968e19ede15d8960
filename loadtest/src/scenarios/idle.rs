//! Connections that do nothing: what it costs to be there.

use std::rc::Rc;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{Play, whole};
use crate::floor::Floor;
use crate::outcome::Outcome;
use crate::player::{Failed, Player};
use crate::report::{Better, Figure, Subject};
use crate::thread_players::ThreadPlayers;

/// Parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Args)]
pub struct Options {
    /// Connections, each signed in.
    #[arg(long, default_value_t = 15_000)]
    pub connections: u64,
    /// Members of each room; every player is in one.
    #[arg(long, default_value_t = 10)]
    pub members: u64,
}

impl Play for Options {
    fn players(&self) -> u64 {
        self.connections
    }

    fn rooms(&self) -> u64 {
        self.connections.div_ceil(self.members)
    }

    fn floor(&self) -> Option<Floor> {
        Some(Floor::Echo)
    }

    async fn play(self, thread: Rc<ThreadPlayers>) -> Result<(), Failed> {
        let waiting = thread
            .gather(|number| {
                let thread = Rc::clone(&thread);
                async move {
                    let route = thread.plan.route(number);
                    match thread.plan.subject {
                        Subject::Floor => Player::bare_echo(route, &thread.tally).await,
                        Subject::Server => {
                            let mut player = thread.player(number).await?;
                            player.join(thread.plan.room(number / self.members)).await?;
                            Ok(player)
                        }
                    }
                }
            })
            .await?;
        let (_, players) = thread.ready(waiting).await;
        thread
            .each(players, |mut player| {
                let thread = Rc::clone(&thread);
                async move { thread.drain(&mut player).await }
            })
            .await;
        Ok(())
    }

    fn figures(&self, outcome: &Outcome) -> Vec<Figure> {
        let Some(server) = &outcome.server else {
            return Vec::new();
        };
        let each = server.cpu_seconds * 1e6 / self.connections as f64 / outcome.seconds;
        vec![Figure {
            name: "cpu_per_connection_second".to_owned(),
            title: "server CPU per connection and second".to_owned(),
            value: each,
            unit: "µs".to_owned(),
            better: Some(Better::Lower),
        }]
    }

    fn with_load(mut self, load: f64) -> (Self, &'static str) {
        self.connections = whole(load);
        (self, "connections")
    }
}
