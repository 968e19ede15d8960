//! A sender sends every player the state of a game at its tick: how old is what they have of it?

use std::rc::Rc;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::Play;
use crate::floor::{Floor, StatesOrder};
use crate::outcome::Outcome;
use crate::player::{Failed, Player};
use crate::report::Check;
use crate::tally::{Op, count};
use crate::thread_players::ThreadPlayers;

/// Parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Args)]
pub struct Options {
    /// Players, each with a game of its own.
    #[arg(long, default_value_t = 20)]
    pub players: u64,
    /// States per second that each is sent.
    #[arg(long, default_value_t = 30.0)]
    pub rate: f64,
    /// Bytes of each state.
    #[arg(long, default_value_t = 400)]
    pub size: usize,
    /// Send them as datagrams, not on the stream; over QUIC.
    #[arg(long)]
    pub datagrams: bool,
}

impl Play for Options {
    fn players(&self) -> u64 {
        self.players
    }

    fn floor(&self) -> Option<Floor> {
        Some(Floor::States)
    }

    fn has_server(&self) -> bool {
        false
    }

    fn offered(&self) -> Vec<(Op, f64)> {
        vec![(Op::Deliver, self.rate * self.players as f64)]
    }

    async fn play(self, thread: Rc<ThreadPlayers>) -> Result<(), Failed> {
        let waiting = thread
            .gather(|number| {
                let route = thread.plan.route(number);
                let thread = Rc::clone(&thread);
                async move { Player::bare_states(route, &thread.tally).await }
            })
            .await?;
        // Ordered once somebody reads them, or the first ones would grow old in a queue of this program.
        let (window, mut players) = thread.ready(waiting).await;
        for player in &mut players {
            player.order_states(self.order())?;
        }
        thread
            .each(players, |mut player| async move {
                if player.listen_until(window.end).await.is_ok() {
                    // States would come for ever.
                    player.cut();
                }
            })
            .await;
        Ok(())
    }

    fn checks(&self, outcome: &Outcome) -> Vec<Check> {
        let states = outcome.measured.count(count::STATES);
        let old = outcome.measured.count(count::STATES_OLD);
        let sent = self.rate * self.players as f64 * outcome.seconds;
        vec![
            outcome.nobody_was_disconnected(),
            Check {
                title: "states came".to_owned(),
                held: states > 0,
                detail: format!(
                    "{states} new ones of about {sent:.0}, {old} came behind newer ones"
                ),
            },
        ]
    }

    fn with_load(mut self, load: f64) -> (Self, &'static str) {
        self.rate = load;
        (self, "rate")
    }
}

impl Options {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn order(&self) -> StatesOrder {
        StatesOrder {
            // Rates are small positive numbers.
            every_us: (1e6 / self.rate).round().max(1.0) as u64,
            bytes: self.size,
            datagrams: self.datagrams,
        }
    }
}
