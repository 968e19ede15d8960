//! Rooms in which some members write at a steady rate and all members read.

use std::rc::Rc;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{Play, is_chosen, whole};
use crate::floor::Floor;
use crate::outcome::Outcome;
use crate::plan::Window;
use crate::player::{Delivery, Failed, Pace, Player};
use crate::report::{Check, Subject};
use crate::tally::Op;
use crate::thread_players::ThreadPlayers;

/// One large room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Args)]
pub struct Room {
    /// Members, all with the room open.
    #[arg(long, default_value_t = 1_000)]
    pub members: u64,
    /// Messages per second in the room.
    #[arg(long, default_value_t = 50.0)]
    pub rate: f64,
    /// Bytes of each message's text.
    #[arg(long, default_value_t = 128)]
    pub size: usize,
    /// Do not store the messages.
    #[arg(long)]
    #[serde(default)]
    pub ephemeral: bool,
}

/// Many small rooms, messages not stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Args)]
pub struct Rooms {
    /// Rooms.
    #[arg(long, default_value_t = 100)]
    pub rooms: u64,
    /// Members of each.
    #[arg(long, default_value_t = 10)]
    pub members: u64,
    /// Messages per second in all rooms together.
    #[arg(long, default_value_t = 5_000.0)]
    pub rate: f64,
    /// Bytes of each message's text.
    #[arg(long, default_value_t = 128)]
    pub size: usize,
}

/// Many small rooms, each message on disk before it is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Args)]
pub struct Durable {
    /// As for `rooms`.
    #[command(flatten)]
    #[serde(flatten)]
    pub rooms: Rooms,
}

/// What the three have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chat {
    pub(super) rooms: u64,
    pub(super) members: u64,
    pub(super) rate: f64,
    pub(super) size: usize,
    pub(super) delivery: Delivery,
}

impl Chat {
    const fn players(self) -> u64 {
        self.rooms * self.members
    }

    /// Members who write, of all rooms: about one message per second each.
    fn senders(self) -> u64 {
        whole(self.rate).clamp(1, self.players())
    }

    fn is_sender(self, player: u64) -> bool {
        is_chosen(player, self.senders(), self.players())
    }

    pub(super) fn checks(self, outcome: &Outcome) -> Vec<Check> {
        let mut checks = vec![outcome.nobody_was_disconnected()];
        checks.push(outcome.every_message_arrived(self.members));
        if self.delivery == Delivery::Durable && outcome.subject == Subject::Server {
            checks.push(outcome.nothing_twice_or_passed_over());
        }
        checks
    }

    pub(super) async fn play(self, thread: Rc<ThreadPlayers>) -> Result<(), Failed> {
        let waiting = thread
            .gather(|number| {
                let thread = Rc::clone(&thread);
                async move { Ok((number, self.enter(&thread, number).await?)) }
            })
            .await?;
        let (window, players) = thread.ready(waiting).await;
        thread
            .each(players, |(number, player)| {
                self.member(Rc::clone(&thread), window, number, player)
            })
            .await;
        Ok(())
    }

    pub(super) async fn enter(self, thread: &ThreadPlayers, number: u64) -> Result<Player, Failed> {
        let route = thread.plan.route(number);
        let room = number / self.members;
        match thread.plan.subject {
            Subject::Server => {
                let mut player = thread.player(number).await?;
                player.join(thread.plan.room(room)).await?;
                Ok(player)
            }
            Subject::Floor => Player::bare(route, room, &thread.tally).await,
        }
    }

    pub(super) async fn member(
        self,
        thread: Rc<ThreadPlayers>,
        window: Window,
        number: u64,
        mut player: Player,
    ) {
        let room = thread.plan.room(number / self.members);
        let per_second = self.rate / self.senders() as f64;
        let pace = self
            .is_sender(number)
            .then(|| Pace::new(window.start, per_second));
        let subject = thread.plan.subject;
        let played = player
            .play(window.end, pace, |player, intended| match subject {
                Subject::Server => player.send(room, self.size, self.delivery, intended),
                Subject::Floor => player.send_bare(room, self.size, self.delivery, intended),
            })
            .await;
        if played.is_ok() {
            thread.drain(&mut player).await;
            player.leave();
        }
    }
}

impl From<&Room> for Chat {
    fn from(options: &Room) -> Self {
        Self {
            rooms: 1,
            members: options.members,
            rate: options.rate,
            size: options.size,
            delivery: if options.ephemeral {
                Delivery::Ephemeral
            } else {
                Delivery::Durable
            },
        }
    }
}

impl From<&Rooms> for Chat {
    fn from(options: &Rooms) -> Self {
        Self {
            rooms: options.rooms,
            members: options.members,
            rate: options.rate,
            size: options.size,
            delivery: Delivery::Ephemeral,
        }
    }
}

impl From<&Durable> for Chat {
    fn from(options: &Durable) -> Self {
        Self {
            delivery: Delivery::Durable,
            ..Self::from(&options.rooms)
        }
    }
}

macro_rules! play_chat {
    ($($options:ident, $rate:expr;)*) => {$(
        impl Play for $options {
            fn players(&self) -> u64 {
                Chat::from(self).players()
            }

            fn rooms(&self) -> u64 {
                Chat::from(self).rooms
            }

            fn floor(&self) -> Option<Floor> {
                Some(Floor::FanOut)
            }

            fn offered(&self) -> Vec<(Op, f64)> {
                let chat = Chat::from(self);
                vec![(Op::Send, chat.rate), (Op::Deliver, chat.rate * chat.members as f64)]
            }

            async fn play(self, thread: Rc<ThreadPlayers>) -> Result<(), Failed> {
                Chat::from(&self).play(thread).await
            }

            fn checks(&self, outcome: &Outcome) -> Vec<Check> {
                Chat::from(self).checks(outcome)
            }

            fn with_load(mut self, load: f64) -> (Self, &'static str) {
                let rate: fn(&mut Self) -> &mut f64 = $rate;
                *rate(&mut self) = load;
                (self, "rate")
            }
        }
    )*};
}

play_chat! {
    Room, |options| &mut options.rate;
    Rooms, |options| &mut options.rate;
    Durable, |options| &mut options.rooms.rate;
}
