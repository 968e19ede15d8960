//! Everybody joins one room at the same moment: the doors open.

use std::rc::Rc;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{Play, whole};
use crate::outcome::Outcome;
use crate::plan::Window;
use crate::player::{Failed, Player};
use crate::report::{Better, Check, Figure};
use crate::tally::{Op, count};
use crate::thread_players::{Hold, ThreadPlayers};

/// How often per second a room may tell its members who is there.
const PRESENCE_PER_SECOND_MAX: f64 = 4.0;

/// Parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Args)]
pub struct Options {
    /// Players, signed in before the storm.
    #[arg(long, default_value_t = 1_000)]
    pub members: u64,
}

impl Play for Options {
    fn players(&self) -> u64 {
        self.members
    }

    fn rooms(&self) -> u64 {
        1
    }

    async fn play(self, thread: Rc<ThreadPlayers>) -> Result<(), Failed> {
        let waiting = thread
            .gather(|number| {
                let thread = Rc::clone(&thread);
                async move { thread.player(number).await }
            })
            .await?;
        let (window, players) = thread.ready(waiting).await;
        thread
            .each(players, |player| {
                join(Rc::clone(&thread), thread.hold(), window, player)
            })
            .await;
        Ok(())
    }

    fn figures(&self, outcome: &Outcome) -> Vec<Figure> {
        let mut figures = Vec::new();
        let mut add = |name: &str, title: &str, value, unit: &str| {
            figures.push(Figure {
                name: name.to_owned(),
                title: title.to_owned(),
                value,
                unit: unit.to_owned(),
                better: Some(Better::Lower),
            });
        };
        if let Some(last) = outcome.longest(Op::Open) {
            add("all_joined", "time until all had joined", last, "s");
        }
        let members = self.members as f64;
        add(
            "presence_per_player",
            "presence events per player",
            outcome.whole.count(count::PRESENCE) as f64 / members,
            "",
        );
        add(
            "bytes_per_join",
            "bytes received by all players per join",
            outcome.whole.count(count::BYTES_IN) as f64 / members,
            "bytes",
        );
        figures
    }

    fn checks(&self, outcome: &Outcome) -> Vec<Check> {
        vec![
            outcome.nobody_was_disconnected(),
            self.all_joined(outcome),
            self.presence_is_bounded(outcome),
        ]
    }

    fn with_load(mut self, load: f64) -> (Self, &'static str) {
        self.members = whole(load);
        (self, "members")
    }
}

impl Options {
    fn all_joined(&self, outcome: &Outcome) -> Check {
        let (done, failed) = outcome.ended(Op::Open);
        Check {
            title: "all joined".to_owned(),
            held: done == self.members && failed == 0,
            detail: format!("{done} of {} joined, {failed} failed", self.members),
        }
    }

    /// Told of every other's join, each player would get as many events as there are players.
    fn presence_is_bounded(&self, outcome: &Outcome) -> Check {
        let seconds = outcome.by_second.keys().filter(|&&second| second >= 0);
        let most = PRESENCE_PER_SECOND_MAX * (seconds.count() as f64 + 1.0);
        let told = outcome.whole.count(count::PRESENCE) as f64 / self.members as f64;
        Check {
            title: "presence grows with the time and not with the joins".to_owned(),
            held: told > 0.0 && told <= most,
            detail: format!("{told:.1} events per player, at most {most:.0}"),
        }
    }
}

async fn join(thread: Rc<ThreadPlayers>, hold: Hold, window: Window, mut player: Player) {
    let room = thread.plan.room(0);
    if player.listen_until(window.from).await.is_err() {
        return;
    }
    let joined = player.join_at(room, window.from).await;
    drop(hold);
    if joined.is_ok() {
        thread.drain(&mut player).await;
    }
}
