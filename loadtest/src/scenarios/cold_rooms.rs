//! Many rooms that exist, of which few are used: what is not used must cost nothing.
//!
//! Two plays of the same parameters: one makes the rooms; the other, after the server was started again on the same
//! data, finds them and writes in some.

use std::rc::Rc;

use clap::{Args, ValueEnum};
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::types::chat::{CloseRoom, CreateRoom, ListMyRooms, RoomKind};
use serde::{Deserialize, Serialize};

use super::{Play, whole};
use crate::clock::{self, SECOND};
use crate::outcome::Outcome;
use crate::plan::{Share, Window};
use crate::player::{Delivery, Failed, Pace, Player};
use crate::report::{Better, Check, Figure};
use crate::tally::{Op, count};
use crate::thread_players::ThreadPlayers;

/// Owners of one thread who make rooms at the same time. A connection makes one room after the other, so that it
/// takes many to fill the server's commits.
const MAKERS_CONCURRENCY: usize = 256;

/// Rooms in one page of a list.
const PAGE: u32 = 200;

/// Rooms that a connection may have open.
const OPEN_MAX: u64 = 256;

/// Which of the two plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The owners make their rooms, before the run.
    #[default]
    Build,
    /// The owners find their rooms and write in some.
    Use,
}

/// Parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Args)]
pub struct Options {
    /// Rooms that exist.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub rooms: u64,
    /// Rooms that are used; at most 256 of each owner.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub active: u64,
    /// Rooms of each owner.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u64).range(1..))]
    pub rooms_each: u64,
    /// Messages per second in all used rooms together.
    #[arg(long, default_value_t = 500.0)]
    pub rate: f64,
    /// Bytes of each message's text.
    #[arg(long, default_value_t = 128)]
    pub size: usize,
    /// Which part is played.
    #[arg(long, value_enum, default_value_t, hide = true)]
    #[serde(default)]
    pub stage: Stage,
}

impl Play for Options {
    /// The owners.
    fn players(&self) -> u64 {
        self.rooms.div_ceil(self.rooms_each)
    }

    fn offered(&self) -> Vec<(Op, f64)> {
        match self.stage {
            Stage::Build => Vec::new(),
            Stage::Use => vec![(Op::Send, self.rate)],
        }
    }

    async fn play(self, thread: Rc<ThreadPlayers>) -> Result<(), Failed> {
        let options = Rc::new(self);
        match options.stage {
            Stage::Build => options.build(thread).await,
            Stage::Use => options.make_use(thread).await,
        }
    }

    fn figures(&self, outcome: &Outcome) -> Vec<Figure> {
        let mut figures = Vec::new();
        let mut add = |name: &str, title: &str, value, unit: &str, better| {
            figures.push(Figure {
                name: name.to_owned(),
                title: title.to_owned(),
                value,
                unit: unit.to_owned(),
                better: Some(better),
            });
        };
        if self.stage == Stage::Build {
            let rate = outcome.preparation.count(count::ROOMS_MADE_PER_SECOND);
            let title = "rooms made per second";
            add(
                "rooms_made_per_second",
                title,
                rate as f64,
                "1/s",
                Better::Higher,
            );
        }
        if let Some(server) = &outcome.server {
            let title = "server memory before the players came, per existing room";
            let each = server.memory_before_bytes as f64 / self.rooms as f64;
            if self.stage == Stage::Use {
                add("memory_per_cold_room", title, each, "bytes", Better::Lower);
            }
        }
        figures
    }

    fn checks(&self, outcome: &Outcome) -> Vec<Check> {
        let mut checks = vec![outcome.nobody_was_disconnected()];
        let (name, title) = match self.stage {
            Stage::Build => (count::ROOMS_MADE, "every room was made"),
            Stage::Use => (count::ROOMS_FOUND, "every owner found all rooms again"),
        };
        let rooms = outcome.preparation.count(name);
        checks.push(Check {
            title: title.to_owned(),
            held: rooms == self.rooms,
            detail: format!("{rooms} of {}", self.rooms),
        });
        if self.stage == Stage::Use {
            checks.push(outcome.none_failed(Op::Open));
            // Each owner is alone in its rooms.
            checks.push(outcome.every_message_arrived(1));
            checks.push(outcome.nothing_twice_or_passed_over());
        }
        checks
    }

    fn with_load(mut self, load: f64) -> (Self, &'static str) {
        self.rate = load;
        (self, "rate")
    }
}

impl Options {
    /// How many of these things are one owner's.
    fn share(&self, owner: u64, total: u64) -> u64 {
        let share = Share {
            index: owner,
            of: self.players(),
        };
        let range = share.range(total);
        range.end - range.start
    }

    /// Rooms that one owner uses.
    fn active_of(&self, owner: u64) -> u64 {
        let owned = self.share(owner, self.rooms);
        self.share(owner, self.active).min(owned).min(OPEN_MAX)
    }

    /// Rooms that are used, of all owners.
    fn active_rooms(&self) -> u64 {
        (0..self.players()).map(|owner| self.active_of(owner)).sum()
    }

    async fn build(self: Rc<Self>, thread: Rc<ThreadPlayers>) -> Result<(), Failed> {
        let began = clock::now();
        let gone = thread
            .gather_concurrently(MAKERS_CONCURRENCY, |owner| {
                Rc::clone(&self).make_rooms(Rc::clone(&thread), owner)
            })
            .await?;
        let made: u64 = thread
            .players
            .clone()
            .map(|owner| self.share(owner, self.rooms))
            .sum();
        let seconds = (clock::now() - began) as f64 / SECOND as f64;
        thread
            .tally
            .count(count::ROOMS_MADE_PER_SECOND, whole(made as f64 / seconds));
        thread.ready(gone).await;
        thread.over().await;
        Ok(())
    }

    async fn make_rooms(
        self: Rc<Self>,
        thread: Rc<ThreadPlayers>,
        owner: u64,
    ) -> Result<(), Failed> {
        let mut player = thread.player(owner).await?;
        for number in 0..self.share(owner, self.rooms) {
            let request = CreateRoom {
                kind: RoomKind::Private,
                name: format!("room {owner}-{number}"),
                topic: None,
                slow_mode_ms: None,
                retention: None,
            };
            let room = player.timed(Op::Create, &request).await?.info.room;
            player.begin(Op::Call, &CloseRoom { room }, clock::now());
            thread.tally.count(count::ROOMS_MADE, 1);
        }
        player.answered().await?;
        player.close().await;
        Ok(())
    }

    async fn make_use(self: Rc<Self>, thread: Rc<ThreadPlayers>) -> Result<(), Failed> {
        let waiting = thread
            .gather(|owner| Rc::clone(&self).find_rooms(Rc::clone(&thread), owner))
            .await?;
        let (window, owners) = thread.ready(waiting).await;
        let per_room = self.rate / self.active_rooms() as f64;
        thread
            .each(owners, |(rooms, player)| {
                Rc::clone(&self).write(Rc::clone(&thread), window, player, rooms, per_room)
            })
            .await;
        Ok(())
    }

    /// An owner comes back, looks through all rooms, and opens some.
    async fn find_rooms(
        self: Rc<Self>,
        thread: Rc<ThreadPlayers>,
        owner: u64,
    ) -> Result<(Vec<RoomId>, Player), Failed> {
        let mut player = thread.player(owner).await?;
        let mut rooms = Vec::new();
        loop {
            let request = ListMyRooms {
                after: rooms.last().copied(),
                limit: Some(PAGE),
            };
            let page = player.timed(Op::Call, &request).await?;
            rooms.extend(page.rooms.iter().map(|held| held.info.room));
            if !page.more {
                break;
            }
        }
        thread.tally.count(count::ROOMS_FOUND, rooms.len() as u64);
        fastrand::shuffle(&mut rooms);
        rooms.truncate(usize::try_from(self.active_of(owner)).unwrap_or(usize::MAX));
        for &room in &rooms {
            player.open(room).await?;
        }
        Ok((rooms, player))
    }

    async fn write(
        self: Rc<Self>,
        thread: Rc<ThreadPlayers>,
        window: Window,
        mut player: Player,
        rooms: Vec<RoomId>,
        per_room: f64,
    ) {
        let rate = per_room * rooms.len() as f64;
        let pace = (!rooms.is_empty()).then(|| Pace::new(window.start, rate));
        let mut next = rooms.iter().cycle();
        let played = player
            .play(window.end, pace, |player, intended| {
                if let Some(&room) = next.next() {
                    player.send(room, self.size, Delivery::Durable, intended);
                }
            })
            .await;
        if played.is_ok() {
            thread.drain(&mut player).await;
            player.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(rooms: u64, active: u64, rooms_each: u64) -> Options {
        Options {
            rooms,
            active,
            rooms_each,
            rate: 1.0,
            size: 16,
            stage: Stage::Use,
        }
    }

    #[test]
    fn the_used_rooms_are_shared_out_within_what_an_owner_may_have() {
        assert_eq!(options(1_000_000, 10_000, 400).active_rooms(), 10_000);
        assert_eq!(options(10, 4, 3).active_rooms(), 4);
        assert_eq!(options(10, 400, 3).active_rooms(), 10);
        assert_eq!(options(1_000, 1_000, 1_000).active_rooms(), OPEN_MAX);
        let some = options(1_001, 10, 400);
        let owned = (0..some.players()).map(|owner| some.share(owner, some.rooms));
        assert_eq!(owned.sum::<u64>(), 1_001);
    }
}
