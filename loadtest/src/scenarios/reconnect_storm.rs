//! All connections are lost at once and come back: a router restarts, or a server is replaced.

use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use pitturu_protocol::frame::Cursor;
use pitturu_protocol::ids::RoomId;
use serde::{Deserialize, Serialize};

use super::{Play, whole};
use crate::clock::{self, SECOND};
use crate::outcome::Outcome;
use crate::plan::Window;
use crate::player::{Delivery, Failed, Pace, Player, nanoseconds};
use crate::report::{Better, Check, Figure};
use crate::tally::{Op, count};
use crate::thread_players::{Hold, ThreadPlayers, Waits};

/// From the beginning of the measured part to the loss of the connections.
const CUT_AFTER: u64 = SECOND;

/// Longest time for a player to come back, once it tries.
const BACK_WITHIN: u64 = 60 * SECOND;

/// Longest time for one connection, after which the SDKs try again: what says over UDP that it was given up may be lost in the storm.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Bound of the first random pause before another attempt; each attempt doubles it.
const PAUSE_FIRST: u64 = SECOND / 10;

/// Bound of the longest pause.
const PAUSE_MAX: u64 = 5 * SECOND;

/// Parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Args)]
pub struct Options {
    /// Connections that are lost; rounded up to fill the rooms.
    #[arg(long, default_value_t = 10_000)]
    pub connections: u64,
    /// Members of each room who lose their connection.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub members: u64,
    /// Rooms in which one more member stays connected and writes, so that there is something to catch up with.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    pub rooms_active: u64,
    /// Messages per second of all those writers together.
    #[arg(long, default_value_t = 100.0)]
    pub rate: f64,
    /// Bytes of each message's text.
    #[arg(long, default_value_t = 128)]
    pub size: usize,
    /// Seconds over which the players spread their return, at random; 0: all at once.
    #[arg(long, default_value_t = 0.0)]
    pub within: f64,
}

/// One member, ready.
struct Ready {
    number: u64,
    player: Player,
    access: String,
}

impl Waits for Ready {
    fn player(&mut self) -> Option<&mut Player> {
        Some(&mut self.player)
    }
}

impl Play for Options {
    fn players(&self) -> u64 {
        self.lost() + self.active()
    }

    fn rooms(&self) -> u64 {
        self.connections.div_ceil(self.members).max(1)
    }

    fn offered(&self) -> Vec<(Op, f64)> {
        vec![(Op::Send, self.rate)]
    }

    async fn play(self, thread: Rc<ThreadPlayers>) -> Result<(), Failed> {
        let waiting = thread
            .gather(|number| {
                let thread = Rc::clone(&thread);
                let room = thread.plan.room(self.room_of(number));
                async move {
                    let route = thread.plan.route(number);
                    let mut player = Player::connect(route, None, &thread.tally).await?;
                    let access = player.sign_in(thread.plan.seed, number).await?.access;
                    player.join(room).await?;
                    Ok(Ready {
                        number,
                        player,
                        access,
                    })
                }
            })
            .await?;
        let (window, players) = thread.ready(waiting).await;
        let options = Rc::new(self);
        thread
            .each(players, |ready| {
                let (options, thread) = (Rc::clone(&options), Rc::clone(&thread));
                async move {
                    if ready.number < options.lost() {
                        let hold = thread.hold();
                        options.lose_and_return(thread, hold, window, ready).await;
                    } else {
                        options.go_on_writing(thread, window, ready).await;
                    }
                }
            })
            .await;
        Ok(())
    }

    fn figures(&self, outcome: &Outcome) -> Vec<Figure> {
        let mut figures = Vec::new();
        let Some(last) = outcome.longest(Op::Recover) else {
            return figures;
        };
        let mut add = |name: &str, title: &str, value, unit: &str| {
            figures.push(Figure {
                name: name.to_owned(),
                title: title.to_owned(),
                value,
                unit: unit.to_owned(),
                better: Some(Better::Lower),
            });
        };
        let title = "from the loss until the last one was back";
        add("last_back", title, last, "s");
        let cut = i64::try_from(CUT_AFTER / SECOND).unwrap_or_default();
        let back = i64::try_from(whole(last.ceil())).unwrap_or_default();
        if let Some(cpu) = outcome.server_cpu(cut..cut + back) {
            let each = cpu * 1e6 / self.lost() as f64;
            let title = "server CPU until the last one was back, per connection";
            add("cpu_per_return", title, each, "µs");
        }
        figures
    }

    fn checks(&self, outcome: &Outcome) -> Vec<Check> {
        let (back, failed) = outcome.ended(Op::Recover);
        let retries = outcome.whole.count(count::RETRIES);
        vec![
            outcome.nobody_was_disconnected(),
            Check {
                title: "everybody came back".to_owned(),
                held: back == self.lost() && failed == 0,
                detail: format!(
                    "{back} of {} back, {failed} given up, {retries} more attempts",
                    self.lost()
                ),
            },
            // Those who were lost, and the one who stayed.
            outcome.every_message_arrived(self.members + 1),
            outcome.nothing_twice_or_passed_over(),
        ]
    }

    fn with_load(mut self, load: f64) -> (Self, &'static str) {
        self.connections = whole(load);
        (self, "connections")
    }
}

impl Options {
    /// Connections that are lost.
    fn lost(&self) -> u64 {
        self.rooms() * self.members
    }

    /// Rooms with a writer who stays.
    fn active(&self) -> u64 {
        self.rooms_active.clamp(1, self.rooms())
    }

    /// Room of a player: first those who are lost, then those who stay.
    fn room_of(&self, number: u64) -> u64 {
        if number < self.lost() {
            number / self.members
        } else {
            (number - self.lost()) * self.rooms() / self.active()
        }
    }

    async fn go_on_writing(&self, thread: Rc<ThreadPlayers>, window: Window, mut ready: Ready) {
        let room = thread.plan.room(self.room_of(ready.number));
        let pace = Pace::new(window.start, self.rate / self.active() as f64);
        let played = ready
            .player
            .play(window.end, Some(pace), |player, intended| {
                player.send(room, self.size, Delivery::Durable, intended);
            })
            .await;
        if played.is_ok() {
            thread.drain(&mut ready.player).await;
            ready.player.leave();
        }
    }

    async fn lose_and_return(
        &self,
        thread: Rc<ThreadPlayers>,
        hold: Hold,
        window: Window,
        ready: Ready,
    ) {
        let Ready {
            number,
            mut player,
            access,
        } = ready;
        let room = thread.plan.room(self.room_of(number));
        let cut_at = window.from + CUT_AFTER;
        if player.listen_until(cut_at).await.is_err() {
            return;
        }
        let place = player.place(room).unwrap_or_default();
        let cursor = place.cursor.unwrap_or_default();
        player.cut();
        thread.tally.intend(Op::Recover);
        let away = fastrand::f64() * self.within;
        if away > 0.0 {
            clock::sleep_until(cut_at + nanoseconds(away)).await;
        }
        let back = come_back(&thread, number, &access, room, cursor).await;
        drop(hold);
        match back {
            Ok(mut player) => {
                thread.tally.done_now(Op::Recover, cut_at);
                thread.drain(&mut player).await;
            }
            Err(failed) => thread.tally.failed(Op::Recover, failed.code()),
        }
    }
}

/// Connects again until it works, and catches up with the room.
async fn come_back(
    thread: &ThreadPlayers,
    number: u64,
    access: &str,
    room: RoomId,
    mut cursor: Cursor,
) -> Result<Player, Failed> {
    let give_up = clock::now() + BACK_WITHIN;
    let mut pause_below = PAUSE_FIRST;
    loop {
        let attempt = tokio::time::timeout_at(
            clock::instant(give_up),
            take_up(thread, number, access, room, &mut cursor),
        );
        let failed = match attempt.await {
            Ok(Ok(player)) => return Ok(player),
            Ok(Err(failed @ (Failed::Refused(_) | Failed::Unreadable(_)))) => return Err(failed),
            Ok(Err(failed)) => failed,
            Err(_) => Failed::TimedOut,
        };
        thread.tally.count(count::RETRIES, 1);
        let next = clock::now() + fastrand::u64(0..pause_below);
        if next >= give_up {
            return Err(failed);
        }
        clock::sleep_until(next).await;
        pause_below = (pause_below * 2).min(PAUSE_MAX);
    }
}

/// One attempt. What came before it broke off need not come again.
async fn take_up(
    thread: &ThreadPlayers,
    number: u64,
    access: &str,
    room: RoomId,
    cursor: &mut Cursor,
) -> Result<Player, Failed> {
    let route = thread.plan.route(number);
    let connecting = Player::connect(route, Some(access.to_owned()), &thread.tally);
    let connected = tokio::time::timeout(CONNECT_WITHIN, connecting).await;
    let mut player = connected.unwrap_or(Err(Failed::TimedOut))?;
    if let Some(refused) = player.token_refused() {
        return Err(Failed::Refused(refused));
    }
    player.count_deliveries_as(Op::DeliverLate);
    player.resume(room, *cursor).await?;
    let caught_up = player.catch_up(room).await;
    if let Some(reached) = player.place(room).and_then(|place| place.cursor) {
        *cursor = reached;
    }
    caught_up?;
    player.count_deliveries_as(Op::Deliver);
    Ok(player)
}
