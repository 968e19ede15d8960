//! Everybody in one room writes at the same moment, again and again: a goal is scored.

use std::collections::BTreeMap;
use std::rc::Rc;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::chat::Chat;
use super::{Play, whole};
use crate::clock::SECOND;
use crate::floor::Floor;
use crate::outcome::Outcome;
use crate::plan::Window;
use crate::player::{Delivery, Failed, Pace, Player};
use crate::report::{Better, Check, Figure, Subject};
use crate::tally::Op;
use crate::thread_players::ThreadPlayers;

/// From the beginning of a second to its burst, so that what comes of it is counted in that second.
const AFTER: u64 = SECOND / 10;

/// Parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Args)]
pub struct Options {
    /// Members, each of whom writes in every burst.
    #[arg(long, default_value_t = 500)]
    pub members: u64,
    /// Seconds from one burst to the next.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub every: u32,
    /// Bytes of each message's text.
    #[arg(long, default_value_t = 128)]
    pub size: usize,
    /// Do not store the messages.
    #[arg(long)]
    #[serde(default)]
    pub ephemeral: bool,
}

impl Play for Options {
    fn players(&self) -> u64 {
        self.members
    }

    fn rooms(&self) -> u64 {
        1
    }

    fn floor(&self) -> Option<Floor> {
        Some(Floor::FanOut)
    }

    async fn play(self, thread: Rc<ThreadPlayers>) -> Result<(), Failed> {
        let chat = self.chat();
        let waiting = thread
            .gather(|number| {
                let thread = Rc::clone(&thread);
                async move { chat.enter(&thread, number).await }
            })
            .await?;
        let (window, players) = thread.ready(waiting).await;
        thread
            .each(players, |player| {
                self.member(Rc::clone(&thread), window, player)
            })
            .await;
        Ok(())
    }

    fn figures(&self, outcome: &Outcome) -> Vec<Figure> {
        let mut last = self.last_deliveries(outcome);
        last.sort_by(f64::total_cmp);
        let Some(longest) = last.last().copied() else {
            return Vec::new();
        };
        let figure = |name: &str, title: &str, value| Figure {
            name: name.to_owned(),
            title: title.to_owned(),
            value,
            unit: "ms".to_owned(),
            better: Some(Better::Lower),
        };
        vec![
            figure(
                "burst_delivered_median",
                "until the last delivery of a burst, median of the bursts",
                last[last.len() / 2],
            ),
            figure(
                "burst_delivered_max",
                "until the last delivery of a burst, longest",
                longest,
            ),
        ]
    }

    fn checks(&self, outcome: &Outcome) -> Vec<Check> {
        self.chat().checks(outcome)
    }

    fn with_load(mut self, load: f64) -> (Self, &'static str) {
        self.members = whole(load);
        (self, "members")
    }
}

impl Options {
    /// A room as in the steady scenario, with everybody as its writer.
    fn chat(&self) -> Chat {
        Chat {
            rooms: 1,
            members: self.members,
            rate: self.members as f64 / f64::from(self.every),
            size: self.size,
            delivery: if self.ephemeral {
                Delivery::Ephemeral
            } else {
                Delivery::Durable
            },
        }
    }

    fn member(
        &self,
        thread: Rc<ThreadPlayers>,
        window: Window,
        mut player: Player,
    ) -> impl Future<Output = ()> + use<> {
        let chat = self.chat();
        let pace = Pace::every(first(window, self.every), u64::from(self.every) * SECOND);
        async move {
            let room = thread.plan.room(0);
            let subject = thread.plan.subject;
            let played = player
                .play(window.end, Some(pace), |player, intended| match subject {
                    Subject::Server => player.send(room, chat.size, chat.delivery, intended),
                    Subject::Floor => player.send_bare(room, chat.size, chat.delivery, intended),
                })
                .await;
            if played.is_ok() {
                thread.drain(&mut player).await;
                player.leave();
            }
        }
    }

    /// Milliseconds until the last delivery of each burst of the measured part.
    fn last_deliveries(&self, outcome: &Outcome) -> Vec<f64> {
        let mut bursts = BTreeMap::new();
        for (second, slice) in outcome.by_second.range(0..) {
            let latency = &slice.times(Op::Deliver).latency;
            if !latency.is_empty() {
                let burst = bursts.entry(second / i64::from(self.every)).or_insert(0);
                *burst = latency.max().max(*burst);
            }
        }
        let milliseconds = |microseconds: u64| microseconds as f64 / 1e3;
        bursts.into_values().map(milliseconds).collect()
    }
}

/// The first burst of the warm-up, such that one comes early in the measured part.
fn first(window: Window, every: u32) -> u64 {
    window.start + (window.from - window.start) % (u64::from(every) * SECOND) + AFTER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_comes_early_in_the_measured_part() {
        for (warm_up, every) in [(0, 5), (3, 5), (5, 5), (12, 5), (3, 1), (2, 7)] {
            let window = Window::new(100 * SECOND, warm_up, 10);
            let mut pace = Pace::every(first(window, every), u64::from(every) * SECOND);
            assert!(pace.next >= window.start);
            while pace.next < window.from {
                pace.advance();
            }
            assert_eq!(pace.next, window.from + AFTER, "{warm_up} {every}");
        }
    }
}
