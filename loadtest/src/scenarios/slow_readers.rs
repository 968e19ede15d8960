//! One busy room in which some members read slowly: they must neither lose anything nor hold up the others.

use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{Play, is_chosen, whole};
use crate::clock;
use crate::link::{Lost, Route};
use crate::outcome::Outcome;
use crate::plan::Window;
use crate::player::{Delivery, Failed, Pace, Player};
use crate::report::{Better, Check, Figure};
use crate::tally::Op;
use crate::thread_players::ThreadPlayers;

/// Times per second that a slow member reads.
const READS_PER_SECOND: u64 = 10;

/// Receive buffer of a slow member's socket, so that the server feels how slowly it reads.
const RECEIVE_BUFFER_BYTES: u32 = 4_096;

/// Bytes per mebibyte.
const MIB: f64 = 1_048_576.0;

/// Parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Args)]
pub struct Options {
    /// Members, all with the room open.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(2..))]
    pub members: u64,
    /// Of those, members who read slowly and write nothing.
    #[arg(long, default_value_t = 20)]
    pub slow: u64,
    /// Bytes per second that each of them reads; 8,000 is a line of 64 kbit/s.
    #[arg(long, default_value_t = 8_000)]
    pub slow_bytes: u64,
    /// Messages per second in the room.
    #[arg(long, default_value_t = 500.0)]
    pub rate: f64,
    /// Bytes of each message's text.
    #[arg(long, default_value_t = 128)]
    pub size: usize,
    /// Mebibytes by which the server's memory may grow during the measured part.
    #[arg(long, default_value_t = 64.0)]
    pub growth_max: f64,
}

impl Play for Options {
    fn players(&self) -> u64 {
        self.members
    }

    fn rooms(&self) -> u64 {
        1
    }

    fn offered(&self) -> Vec<(Op, f64)> {
        let fast = self.fast() as f64;
        vec![(Op::Send, self.rate), (Op::Deliver, self.rate * fast)]
    }

    async fn play(self, thread: Rc<ThreadPlayers>) -> Result<(), Failed> {
        let waiting = thread
            .gather(|number| {
                let thread = Rc::clone(&thread);
                let slow = self.is_slow(number);
                async move {
                    let route = Route {
                        receive_buffer: slow.then_some(RECEIVE_BUFFER_BYTES),
                        ..thread.plan.route(number)
                    };
                    let mut player = Player::connect(route, None, &thread.tally).await?;
                    player.sign_in(thread.plan.seed, number).await?;
                    player.join(thread.plan.room(0)).await?;
                    Ok((number, player))
                }
            })
            .await?;
        let (window, players) = thread.ready(waiting).await;
        let options = Rc::new(self);
        thread
            .each(players, |(number, player)| {
                Rc::clone(&options).member(Rc::clone(&thread), window, number, player)
            })
            .await;
        Ok(())
    }

    fn figures(&self, outcome: &Outcome) -> Vec<Figure> {
        let mut figures = Vec::new();
        let mut add = |name: &str, title: &str, bytes: Option<u64>| {
            figures.extend(bytes.map(|bytes| Figure {
                name: name.to_owned(),
                title: title.to_owned(),
                value: bytes as f64,
                unit: "bytes".to_owned(),
                better: Some(Better::Lower),
            }));
        };
        let (from, to) = memory(outcome);
        add(
            "memory_at_start",
            "server memory at the start of the load",
            from,
        );
        add("memory_at_end", "server memory at the end of the load", to);
        figures
    }

    fn checks(&self, outcome: &Outcome) -> Vec<Check> {
        let mut checks = vec![
            outcome.nobody_was_disconnected(),
            outcome.every_message_arrived(self.members),
            outcome.nothing_twice_or_passed_over(),
        ];
        if let (Some(from), Some(to)) = memory(outcome) {
            let grown = (to as f64 - from as f64) / MIB;
            checks.push(Check {
                title: "slow readers cost the server no memory".to_owned(),
                held: grown <= self.growth_max,
                detail: format!("{grown:.1} MiB more, at most {}", self.growth_max),
            });
        }
        checks
    }

    fn with_load(mut self, load: f64) -> (Self, &'static str) {
        self.rate = load;
        (self, "rate")
    }
}

impl Options {
    /// Members who read slowly; at least one does not, and writes.
    fn slow(&self) -> u64 {
        self.slow.min(self.members - 1)
    }

    fn fast(&self) -> u64 {
        self.members - self.slow()
    }

    fn is_slow(&self, number: u64) -> bool {
        is_chosen(number, self.slow(), self.members)
    }

    /// Messages per second of one member; none for those who only read.
    fn rate_of(&self, number: u64) -> Option<f64> {
        let slow_before = number * self.slow() / self.members;
        let senders = whole(self.rate).min(self.fast());
        let writes = !self.is_slow(number) && is_chosen(number - slow_before, senders, self.fast());
        writes.then(|| self.rate / senders as f64)
    }

    async fn member(
        self: Rc<Self>,
        thread: Rc<ThreadPlayers>,
        window: Window,
        number: u64,
        mut player: Player,
    ) {
        let room = thread.plan.room(0);
        let played = if self.is_slow(number) {
            player.count_deliveries_as(Op::DeliverLate);
            read_slowly(&mut player, self.slow_bytes, window.end).await
        } else {
            let rate = self.rate_of(number);
            let pace = rate.map(|rate| Pace::new(window.start, rate));
            player
                .play(window.end, pace, |player, intended| {
                    player.send(room, self.size, Delivery::Durable, intended);
                })
                .await
        };
        if played.is_ok() {
            thread.drain(&mut player).await;
            player.leave();
        }
    }
}

/// Takes this many bytes per second, and from `until` on whatever comes.
async fn read_slowly(player: &mut Player, per_second: u64, until: u64) -> Result<(), Lost> {
    let at_once = (per_second / READS_PER_SECOND).max(1);
    player.read_at_most(usize::try_from(at_once).unwrap_or(usize::MAX));
    let pause = clock::SECOND * at_once / per_second.max(1);
    let mut next = clock::now();
    while next < until {
        if let Ok(stepped) = tokio::time::timeout_at(clock::instant(until), player.step()).await {
            stepped?;
        }
        next = next.max(clock::now().saturating_sub(pause)) + pause;
        clock::sleep_until(next.min(until)).await;
    }
    player.read_at_most(usize::MAX);
    Ok(())
}

/// Server memory at the beginning and the end of the measured part.
fn memory(outcome: &Outcome) -> (Option<u64>, Option<u64>) {
    let length = Duration::from_secs_f64(outcome.seconds.round()).as_secs();
    let end = i64::try_from(length).unwrap_or(i64::MAX);
    (outcome.memory_at(0), outcome.memory_at(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_members_write_at_the_rate_together() {
        for (members, slow, rate) in [(200, 20, 500.0), (10, 3, 4.0), (2, 5, 100.0), (7, 0, 1.0)] {
            let options = Options {
                members,
                slow,
                slow_bytes: 8_000,
                rate,
                size: 128,
                growth_max: 64.0,
            };
            let slow_ones = (0..members).filter(|&number| options.is_slow(number));
            assert_eq!(slow_ones.count() as u64, options.slow());
            let rates = (0..members).filter_map(|number| options.rate_of(number));
            let together: f64 = rates.sum();
            assert!((together - rate).abs() < 1e-6, "{together} of {rate}");
            let slow_writers = (0..members)
                .filter(|&number| options.is_slow(number) && options.rate_of(number).is_some());
            assert_eq!(slow_writers.count(), 0);
        }
    }
}
