//! Connections that come at a steady rate, stay a moment and go again.

use std::rc::Rc;

use clap::Args;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::{Play, whole};
use crate::outcome::Outcome;
use crate::player::{Failed, Pace, Player, nanoseconds};
use crate::report::Check;
use crate::tally::{Op, count};
use crate::thread_players::{Hold, ThreadPlayers, Waiting};
use crate::{clock, plan::Window};

/// Parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Args)]
pub struct Options {
    /// Connections that begin per second.
    #[arg(long, default_value_t = 500.0)]
    pub rate: f64,
    /// Sign each in as a new guest.
    #[arg(long)]
    #[serde(default)]
    pub sign_in: bool,
    /// Seconds that each stays.
    #[arg(long, default_value_t = 1.0)]
    pub stay: f64,
}

impl Play for Options {
    /// Each is one of the connections of a second, again and again.
    fn players(&self) -> u64 {
        whole(self.rate)
    }

    fn offered(&self) -> Vec<(Op, f64)> {
        let mut offered = vec![(Op::Connect, self.rate)];
        if self.sign_in {
            offered.push((Op::SignIn, self.rate));
        }
        offered
    }

    /// Those who stay, and as many as begin in a second for those who are on their way.
    fn connections(&self) -> u64 {
        whole(self.rate * (self.stay + 1.0))
    }

    async fn play(self, thread: Rc<ThreadPlayers>) -> Result<(), Failed> {
        let (window, _) = thread.ready(Waiting::<()>::nobody()).await;
        let players = thread.players.clone().collect();
        let options = Rc::new(self);
        thread
            .each(players, |number| {
                Rc::clone(&options).come_and_go(Rc::clone(&thread), window, number)
            })
            .await;
        Ok(())
    }

    fn checks(&self, outcome: &Outcome) -> Vec<Check> {
        let mut checks = vec![
            outcome.nobody_was_disconnected(),
            outcome.none_failed(Op::Connect),
        ];
        if self.sign_in {
            checks.push(outcome.none_failed(Op::SignIn));
        }
        let begun = outcome.whole.times(Op::Connect).intended;
        let left = outcome.whole.count(count::LEFT);
        checks.push(Check {
            title: "every connection stayed until it left".to_owned(),
            held: begun == left,
            detail: format!("{left} of {begun}"),
        });
        checks
    }

    fn with_load(mut self, load: f64) -> (Self, &'static str) {
        self.rate = load;
        (self, "rate")
    }
}

impl Options {
    /// Begins this player's share of the connections, whatever becomes of them.
    async fn come_and_go(self: Rc<Self>, thread: Rc<ThreadPlayers>, window: Window, number: u64) {
        let mut pace = self.pace(window, number);
        let mut staying = JoinSet::new();
        let mut next_account = number;
        while pace.next < window.end {
            clock::sleep_until(pace.next).await;
            let intended = pace.advance();
            let hold = thread.hold();
            let visit = Rc::clone(&self).visit(Rc::clone(&thread), hold, next_account, intended);
            staying.spawn_local(visit);
            next_account += self.players();
            while staying.try_join_next().is_some() {}
        }
        staying.join_all().await;
    }

    /// The moments of one player, evenly between those of the others.
    fn pace(&self, window: Window, number: u64) -> Pace {
        let interval = nanoseconds(self.players() as f64 / self.rate);
        Pace::every(window.start + interval * number / self.players(), interval)
    }

    async fn visit(
        self: Rc<Self>,
        thread: Rc<ThreadPlayers>,
        hold: Hold,
        account: u64,
        intended: u64,
    ) {
        let route = thread.plan.route(account);
        // Failures are counted where they happen.
        let Ok(mut player) = Player::connect_at(route, None, &thread.tally, intended).await else {
            return;
        };
        if self.sign_in && player.sign_in(thread.plan.seed, account).await.is_err() {
            return;
        }
        let leaves = clock::now() + nanoseconds(self.stay);
        if player.listen_until(leaves).await.is_ok() {
            player.close().await;
        }
        drop(hold);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND;

    #[test]
    fn connections_begin_evenly_at_the_rate() {
        for rate in [0.5, 1.0, 2.5, 500.0] {
            let options = Options {
                rate,
                sign_in: false,
                stay: 1.0,
            };
            let window = Window::new(SECOND, 0, 20);
            let mut moments = Vec::new();
            for number in 0..options.players() {
                let mut pace = options.pace(window, number);
                while pace.next < window.end {
                    moments.push(pace.advance());
                }
            }
            moments.sort_unstable();
            assert!((moments.len() as f64 - 20.0 * rate).abs() <= 1.0, "{rate}");
            let apart = SECOND as f64 / rate;
            for pair in moments.windows(2) {
                let held = (pair[1] - pair[0]) as f64;
                assert!((held - apart).abs() < 10_000.0, "{held} of {apart}");
            }
        }
    }
}
