//! Players come, look around, chat, change rooms and go, as on an evening.

use std::rc::Rc;

use clap::Args;
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::types::chat::{LeaveRoom, ListRooms, MarkRead, ReadHistory, Typing};
use pitturu_protocol::types::system::Echo;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::{Play, whole};
use crate::clock::{self, SECOND};
use crate::outcome::Outcome;
use crate::plan::Window;
use crate::player::{Delivery, Failed, Pace, Player, exponential, nanoseconds};
use crate::report::{Check, Figure};
use crate::tally::{Op, count};
use crate::thread_players::{Hold, ThreadPlayers, Waits};

/// Echoes per second of one player.
const ECHOES: f64 = 0.05;

/// Read markers per second of one player.
const READ_MARKERS: f64 = 0.1;

/// Mean time that a player spends in one room.
const IN_ROOM: u64 = 60 * SECOND;

/// Share of the players who lose their connection instead of leaving; they come back for another stay.
const LOST: f64 = 0.2;

/// Mean time until one who lost the connection comes back.
const AWAY: u64 = SECOND;

/// Bytes of an echo's data.
const ECHO_BYTES: usize = 16;

/// Numbers of the players who come during the run, apart from those who are there at its beginning.
const COMERS_FROM: u64 = 100_000_000_000;

/// Numbers for the players who come by way of one player's share of the arrivals.
const COMERS_EACH: u64 = 100_000;

/// Parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Args)]
pub struct Options {
    /// Players who come per second, at random moments.
    #[arg(long, default_value_t = 20.0)]
    pub arrivals: f64,
    /// Mean of the seconds that each stays, at random.
    #[arg(long, default_value_t = 30.0)]
    pub stay: f64,
    /// Public rooms; everybody is in one.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    pub rooms: u64,
    /// Messages per second of each player, at random moments, each after a word that it is being written.
    #[arg(long, default_value_t = 0.2)]
    pub chat: f64,
    /// Bytes of each message's text.
    #[arg(long, default_value_t = 128)]
    pub size: usize,
}

/// A player who is there.
struct Guest {
    number: u64,
    player: Player,
    access: String,
    room: RoomId,
}

impl Waits for Guest {
    fn player(&mut self) -> Option<&mut Player> {
        Some(&mut self.player)
    }
}

impl Play for Options {
    /// Those who are there at any moment.
    fn players(&self) -> u64 {
        whole(self.arrivals * self.stay)
    }

    fn rooms(&self) -> u64 {
        self.rooms
    }

    /// Twice the mean, which chance does not reach.
    fn connections(&self) -> u64 {
        self.players() * 2
    }

    async fn play(self, thread: Rc<ThreadPlayers>) -> Result<(), Failed> {
        let options = Rc::new(self);
        let waiting = thread
            .gather(|number| {
                let (options, thread) = (Rc::clone(&options), Rc::clone(&thread));
                async move { options.arrive(&thread, number, clock::now()).await }
            })
            .await?;
        let (window, guests) = thread.ready(waiting).await;
        let mut staying = JoinSet::new();
        for guest in guests {
            let (options, thread) = (Rc::clone(&options), Rc::clone(&thread));
            staying.spawn_local(async move { options.stay(&thread, window, guest).await });
        }
        options.let_in(&thread, window, &mut staying).await;
        staying.join_all().await;
        Ok(())
    }

    /// What is offered is random, so that it is a figure and nothing that a second's count is held against.
    fn figures(&self, _outcome: &Outcome) -> Vec<Figure> {
        let players = self.arrivals * self.stay;
        let offered = |name: &str, title: &str, value| Figure {
            name: name.to_owned(),
            title: title.to_owned(),
            value,
            unit: "1/s".to_owned(),
            better: None,
        };
        let changes = players * SECOND as f64 / IN_ROOM as f64;
        vec![
            offered(
                "offered_arrivals",
                "arrivals, on the average",
                self.arrivals,
            ),
            offered(
                "offered_messages",
                "messages, on the average",
                players * self.chat,
            ),
            offered(
                "offered_marks",
                "read markers, on the average",
                players * READ_MARKERS,
            ),
            offered("offered_echoes", "echoes, on the average", players * ECHOES),
            offered(
                "offered_changes",
                "changes of room, on the average",
                changes,
            ),
        ]
    }

    fn checks(&self, outcome: &Outcome) -> Vec<Check> {
        let mut checks = vec![
            outcome.nobody_was_disconnected(),
            outcome.nothing_twice_or_passed_over(),
        ];
        let always = [Op::Connect, Op::SignIn, Op::Open, Op::Call];
        // What few players do may not happen in a short run.
        let sometimes = [Op::Send, Op::Echo, Op::Recover];
        let happened = |op: &Op| outcome.whole.times(*op).intended > 0;
        let all = always
            .into_iter()
            .chain(sometimes.into_iter().filter(happened));
        checks.extend(all.map(|op| outcome.none_failed(op)));
        checks
    }

    fn with_load(mut self, load: f64) -> (Self, &'static str) {
        self.arrivals = load;
        (self, "arrivals")
    }
}

impl Options {
    /// Lets this thread's share of the arrivals come until the load ends.
    async fn let_in(
        self: &Rc<Self>,
        thread: &Rc<ThreadPlayers>,
        window: Window,
        staying: &mut JoinSet<()>,
    ) {
        let players = thread.players.end - thread.players.start;
        if players == 0 {
            return;
        }
        let rate = self.arrivals * players as f64 / self.players() as f64;
        let mut arrivals = Pace::poisson(window.start, rate);
        let mut number = COMERS_FROM + thread.players.start * COMERS_EACH;
        while arrivals.next < window.end {
            clock::sleep_until(arrivals.next).await;
            let intended = arrivals.advance();
            let (options, thread) = (Rc::clone(self), Rc::clone(thread));
            staying.spawn_local(async move {
                // What went wrong was counted where it did.
                if let Ok(guest) = options.arrive(&thread, number, intended).await {
                    options.stay(&thread, window, guest).await;
                }
            });
            number += 1;
            while staying.try_join_next().is_some() {}
        }
    }

    async fn arrive(
        &self,
        thread: &ThreadPlayers,
        number: u64,
        intended: u64,
    ) -> Result<Guest, Failed> {
        let route = thread.plan.route(number);
        let mut player = Player::connect_at(route, None, &thread.tally, intended).await?;
        let access = player.sign_in(thread.plan.seed, number).await?.access;
        player.timed(Op::Call, &ListRooms::default()).await?;
        thread.tally.count(count::LIST_ROOMS, 1);
        let room = thread.plan.room(fastrand::u64(0..self.rooms));
        enter(thread, &mut player, room).await?;
        Ok(Guest {
            number,
            player,
            access,
            room,
        })
    }

    /// From the arrival until the player goes, or until the run is over.
    async fn stay(&self, thread: &Rc<ThreadPlayers>, window: Window, mut guest: Guest) {
        loop {
            let leaves = clock::now() + exponential(nanoseconds(self.stay));
            if self
                .wander(thread, leaves.min(window.end), &mut guest)
                .await
                .is_err()
            {
                return;
            }
            if leaves >= window.end {
                thread.drain(&mut guest.player).await;
                guest.player.leave();
                return;
            }
            if fastrand::f64() >= LOST {
                // As a player does who sees the last message sent before going.
                if guest.player.answered().await.is_ok() {
                    guest.player.close().await;
                }
                return;
            }
            match come_back(thread, thread.hold(), guest).await {
                Some(back) => guest = back,
                None => return,
            }
        }
    }

    /// Chats in one room after the other.
    async fn wander(
        &self,
        thread: &ThreadPlayers,
        until: u64,
        guest: &mut Guest,
    ) -> Result<(), Failed> {
        loop {
            let moves = clock::now() + exponential(IN_ROOM);
            self.chat(moves.min(until), guest).await?;
            if moves >= until {
                return Ok(());
            }
            let room = guest.room;
            guest
                .player
                .timed_at(Op::Call, &LeaveRoom { room }, moves)
                .await?;
            guest.player.unfollow(room);
            thread.tally.count(count::LEAVE_ROOM, 1);
            guest.room = thread.plan.room(fastrand::u64(0..self.rooms));
            enter(thread, &mut guest.player, guest.room).await?;
        }
    }

    /// Does what one does in a room, at random moments, without waiting for answers.
    async fn chat(&self, until: u64, guest: &mut Guest) -> Result<(), Failed> {
        let room = guest.room;
        let all = self.chat + READ_MARKERS + ECHOES;
        let pace = Pace::poisson(clock::now(), all);
        let played = guest.player.play(until, Some(pace), |player, intended| {
            let drawn = fastrand::f64() * all;
            if drawn < self.chat {
                let typing = Typing { room };
                player.begin_counted(Op::Call, &typing, intended, Some(count::TYPING));
                player.send(room, self.size, Delivery::Durable, intended);
            } else if drawn < self.chat + READ_MARKERS {
                let place = player.place(room).unwrap_or_default();
                let seq = place.cursor.unwrap_or_default().seq;
                let mark = MarkRead { room, seq };
                player.begin_counted(Op::Call, &mark, intended, Some(count::MARK_READ));
            } else {
                let data = vec![0x2a; ECHO_BYTES];
                player.begin(Op::Echo, &Echo { data }, intended);
            }
        });
        Ok(played.await?)
    }
}

/// Joins a room and looks at what was said.
async fn enter(thread: &ThreadPlayers, player: &mut Player, room: RoomId) -> Result<(), Failed> {
    player.join(room).await?;
    let request = ReadHistory {
        room,
        from: None,
        limit: None,
    };
    player.timed(Op::Call, &request).await?;
    thread.tally.count(count::READ_HISTORY, 1);
    Ok(())
}

/// Loses the connection, and takes it up again by token and cursor.
async fn come_back(thread: &Rc<ThreadPlayers>, hold: Hold, guest: Guest) -> Option<Guest> {
    let place = guest.player.place(guest.room).unwrap_or_default();
    let cursor = place.cursor.unwrap_or_default();
    let Guest {
        number,
        player,
        access,
        room,
    } = guest;
    player.cut();
    let returns = clock::now() + exponential(AWAY);
    clock::sleep_until(returns).await;
    thread.tally.intend(Op::Recover);
    let route = thread.plan.route(number);
    let token = Some(access.clone());
    let back = async {
        let mut player = Player::connect_at(route, token, &thread.tally, returns).await?;
        player.count_deliveries_as(Op::DeliverLate);
        player.resume(room, cursor).await?;
        player.catch_up(room).await?;
        player.count_deliveries_as(Op::Deliver);
        Ok(player)
    };
    let back: Result<Player, Failed> = back.await;
    drop(hold);
    match back {
        Ok(player) => {
            // The time away is drawn, and says nothing of the server.
            thread.tally.done_now(Op::Recover, returns);
            Some(Guest {
                number,
                player,
                access,
                room,
            })
        }
        Err(failed) => {
            thread.tally.failed(Op::Recover, failed.code());
            None
        }
    }
}
