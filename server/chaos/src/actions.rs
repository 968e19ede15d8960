//! What players do: one thing after the other, drawn by weight. Those who are services serve half of the time.

mod game;
mod others;
mod service;
mod set_up;

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use pitturu_protocol::codes::Code;
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::chat::{
    CloseRoom, CreateRoom, DeleteMessage, EditMessage, EnterRoom, HistoryFrom, InviteToRoom,
    JoinRoom, LeaveRoom, MarkRead, MemberRole, OpenDirect, OpenRoom, React, ReadHistory, RoomKind,
    RoomView, SendMessage, UpdateRoom,
};
use tokio::time::sleep;

pub use self::set_up::{GRANT_NOTE, last_word};
use crate::players::{KnownRoom, Link, Player, Read, World};
use crate::record::{Ask, Outcome, Reply};

/// Most rooms beside those of two players.
const ROOMS_MAX: usize = 10;

/// Of a hundred calls, so many are made again under the same key.
const AGAIN_PERCENT: u8 = 12;

/// Longest pause before a call is made again.
const AGAIN_AFTER_MS: u64 = 700;

/// Longest pause between two actions of one worker.
const PAUSE_MS: u64 = 25;

/// Handles of rooms, as they are written half of the time.
const HANDLES: &[&str] = &["lobby", "arena"];

const EMOJI: &[&str] = &["👍", "🎉", "gg", "😡"];

/// What a player can do, by how often.
const WEIGHTS: &[(u32, Action)] = &[
    (40, Action::Send),
    (6, Action::Edit),
    (3, Action::Delete),
    (7, Action::React),
    (6, Action::Mark),
    (8, Action::History),
    (5, Action::OpenFromStart),
    (3, Action::OpenFromNow),
    (4, Action::Close),
    (8, Action::Join),
    (3, Action::Leave),
    (3, Action::Enter),
    (2, Action::Doze),
    (4, Action::Moderate),
    (2, Action::Invite),
    (2, Action::Topic),
    (6, Action::People),
    (10, Action::Points),
    (7, Action::Items),
    (7, Action::Boards),
    (1, Action::Direct),
    (1, Action::Create),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Send,
    Edit,
    Delete,
    React,
    Mark,
    History,
    OpenFromStart,
    OpenFromNow,
    Close,
    Join,
    Leave,
    Enter,
    Doze,
    Moderate,
    Invite,
    Topic,
    People,
    Points,
    Items,
    Boards,
    Direct,
    Create,
}

/// Makes the rooms that everybody knows of, on a server that nobody breaks, and has everybody in them.
///
/// # Errors
/// Says what was refused.
pub async fn set_up(world: &Arc<World>) -> Result<(), String> {
    let mut rng = Rng::with_seed(world.seed);
    let owner = &world.players[0];
    for number in 0..3 {
        let kind = match number {
            2 => RoomKind::Private,
            _ => RoomKind::Public,
        };
        let mut worker = Worker::new(world, owner, &mut rng);
        worker.create(kind).await;
    }
    let rooms = world.rooms.read().clone();
    if rooms.len() < 3 {
        return Err("the first rooms could not be made".to_owned());
    }
    for player in &world.players[1..] {
        for known in &rooms[..2] {
            let mut worker = Worker::new(world, player, &mut rng);
            if !matches!(worker.join(known.room).await, Outcome::Done(_)) {
                return Err(format!("{} could not join", player.name));
            }
        }
    }
    for moderator in &world.players[1..3] {
        let mut worker = Worker::new(world, owner, &mut rng);
        let (room, user) = (rooms[0].room, moderator.user);
        worker.set_role(room, user, MemberRole::Moderator).await;
    }
    set_up::begin_game(world).await
}

/// One of a player's workers: acts until the world stops.
pub async fn work(world: Arc<World>, player: usize, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    while !world.has_stopped() {
        let mut worker = Worker::new(&world, &world.players[player], &mut rng);
        worker.act().await;
        let pause = rng.u64(..PAUSE_MS);
        sleep(Duration::from_millis(pause)).await;
    }
}

struct Worker<'a> {
    world: &'a World,
    player: &'a Player,
    rng: &'a mut Rng,
}

#[expect(clippy::needless_pass_by_value, reason = "as every reader of replies")]
fn view<M>(_: &M, view: RoomView) -> Reply {
    Reply::View(view.info.room, view.info.head, view.rev)
}

fn done<M, R>(_: &M, _: R) -> Reply {
    Reply::Done
}

impl<'a> Worker<'a> {
    const fn new(world: &'a World, player: &'a Player, rng: &'a mut Rng) -> Self {
        Self { world, player, rng }
    }

    async fn call<M: Method + Clone>(&mut self, ask: Ask, request: M, read: Read<M>) -> Outcome {
        let key = format!("{:x}-{}", self.world.seed, self.world.number());
        let outcome = self
            .world
            .call(self.player, ask.clone(), request.clone(), &key, read)
            .await;
        let again = ask.writes() && !matches!(outcome, Outcome::Refused(_));
        if again && self.rng.u8(..100) < AGAIN_PERCENT && !self.world.has_stopped() {
            let pause = self.rng.u64(..AGAIN_AFTER_MS);
            sleep(Duration::from_millis(pause)).await;
            return self.world.call(self.player, ask, request, &key, read).await;
        }
        outcome
    }

    fn draw(&mut self) -> Action {
        let all: u32 = WEIGHTS.iter().map(|(weight, _)| weight).sum();
        let mut left = self.rng.u32(..all);
        for (weight, action) in WEIGHTS {
            match left.checked_sub(*weight) {
                Some(rest) => left = rest,
                None => return *action,
            }
        }
        Action::Send
    }

    /// A room: the busiest one half of the time.
    fn room(&mut self) -> KnownRoom {
        let rooms = self.world.rooms.read();
        let any = rooms[self.rng.usize(..rooms.len())];
        let is_others = any
            .pair
            .is_some_and(|pair| !pair.contains(&self.player.user));
        match is_others || self.rng.bool() {
            true => rooms[0],
            false => any,
        }
    }

    fn other(&mut self) -> &'a Player {
        let players = &self.world.players;
        let step = self.rng.usize(1..players.len());
        &players[(self.player.number + step) % players.len()]
    }

    async fn act(&mut self) {
        let is_service = self.world.services.contains(&self.player.number);
        if is_service && self.rng.bool() {
            self.serve().await;
            return;
        }
        let action = match self.draw() {
            // Whoever owns the rooms keeps order more than others do, and stays.
            Action::Leave | Action::Send if self.player.number == 0 => Action::Moderate,
            action => action,
        };
        let known = self.room();
        let room = known.room;
        match action {
            Action::Send => self.send(room).await,
            Action::Edit | Action::Delete => self.change_own(action).await,
            Action::React => self.react(room).await,
            Action::Mark => self.mark(room).await,
            Action::History => self.history(room).await,
            Action::OpenFromStart => self.open(room, true).await,
            Action::OpenFromNow => self.open(room, false).await,
            Action::Close => {
                self.call(Ask::Close { room }, CloseRoom { room }, done)
                    .await;
            }
            Action::Join => {
                self.join(room).await;
            }
            Action::Leave => {
                self.call(Ask::Leave { room }, LeaveRoom { room }, done)
                    .await;
            }
            Action::Enter => self.enter().await,
            Action::Doze => {
                if let Link::Raw(raw) = &self.player.link {
                    raw.doze(Duration::from_millis(self.rng.u64(100..2_500)));
                }
            }
            Action::Moderate => self.moderate(room).await,
            Action::Invite => self.invite(room).await,
            Action::Topic => self.topic(room).await,
            Action::People => self.people().await,
            Action::Points => self.points().await,
            Action::Items => self.items().await,
            Action::Boards => self.boards().await,
            Action::Direct => self.direct().await,
            Action::Create => {
                if self
                    .world
                    .rooms
                    .read()
                    .iter()
                    .filter(|known| known.pair.is_none())
                    .count()
                    < ROOMS_MAX
                {
                    self.create(RoomKind::Public).await;
                }
            }
        }
    }

    fn text(&mut self, kind: char) -> String {
        let number = self.world.number();
        let padding = match self.rng.u8(..10) {
            0 => self.rng.usize(500..2_500),
            _ => self.rng.usize(..40),
        };
        format!("{kind}{number} {}", "x".repeat(padding))
    }

    async fn send(&mut self, room: RoomId) {
        let text = self.text('m');
        let ask = Ask::Send {
            room,
            text: text.clone(),
        };
        let request = SendMessage {
            room,
            text,
            data: None,
            reply_to: None,
        };
        let outcome = self
            .call(ask, request, |_, sent| Reply::Sent(sent.seq))
            .await;
        match outcome {
            Outcome::Done(Reply::Sent(seq)) => self.player.has_sent(room, seq),
            // Who was put out comes back soon, or there would be nobody to talk.
            Outcome::Refused(Code::NotAMember) if self.rng.bool() => {
                self.join(room).await;
            }
            _ => {}
        }
    }

    async fn change_own(&mut self, action: Action) {
        let own = {
            let own = self.player.own.lock();
            match own.is_empty() {
                true => return,
                false => own[self.rng.usize(..own.len())],
            }
        };
        let (room, seq) = own;
        if action == Action::Delete {
            let ask = Ask::Delete { room, seq };
            let request = DeleteMessage { room, seq };
            self.call(ask, request, |_, changed| Reply::Changed(Some(changed.rev)))
                .await;
            return;
        }
        let text = self.text('e');
        let ask = Ask::Edit {
            room,
            seq,
            text: text.clone(),
        };
        let request = EditMessage { room, seq, text };
        self.call(ask, request, |_, changed| Reply::Changed(Some(changed.rev)))
            .await;
    }

    /// A message that somebody sent there, of those that are remembered.
    fn message_in(&mut self, room: RoomId) -> u64 {
        let someone = self.other();
        let own = someone.own.lock();
        let there: Vec<u64> = own
            .iter()
            .filter(|(of, _)| *of == room)
            .map(|(_, seq)| *seq)
            .collect();
        match there.is_empty() {
            true => 1,
            false => there[self.rng.usize(..there.len())],
        }
    }

    async fn react(&mut self, room: RoomId) {
        let seq = self.message_in(room);
        let emoji = EMOJI[self.rng.usize(..EMOJI.len())].to_owned();
        let on = self.rng.u8(..3) > 0;
        let ask = Ask::React {
            room,
            seq,
            emoji: emoji.clone(),
            on,
        };
        let request = React {
            room,
            seq,
            emoji,
            on,
        };
        self.call(ask, request, |_, reacted| Reply::Changed(reacted.rev))
            .await;
    }

    async fn mark(&mut self, room: RoomId) {
        let seq = self.message_in(room);
        let ask = Ask::Mark { room, seq };
        let request = MarkRead { room, seq };
        self.call(ask, request, |_, marker| {
            Reply::Marker(marker.read, marker.unread)
        })
        .await;
    }

    async fn history(&mut self, room: RoomId) {
        let seq = self.message_in(room);
        let from = match self.rng.u8(..4) {
            0 => Some(HistoryFrom::Before(seq)),
            1 => Some(HistoryFrom::After(seq)),
            _ => None,
        };
        let request = ReadHistory {
            room,
            from,
            limit: Some(self.rng.u32(1..60)),
        };
        let ask = Ask::History { room };
        self.call(ask, request, |_, page| {
            Reply::Page(page.messages, page.head, page.rev)
        })
        .await;
    }

    async fn open(&mut self, room: RoomId, from_start: bool) {
        // The SDK keeps the cursor by itself; only frames show what a cursor of one's own brings.
        let is_raw = matches!(self.player.link, Link::Raw(_));
        let from = (is_raw && from_start).then_some((0, 0));
        let request = OpenRoom {
            room,
            seq: from.map(|(seq, _)| seq),
            rev: from.map(|(_, rev)| rev),
        };
        self.call(Ask::Open { room, from }, request, view).await;
    }

    async fn join(&mut self, room: RoomId) -> Outcome {
        self.call(Ask::Join { room }, JoinRoom { room }, view).await
    }

    async fn invite(&mut self, room: RoomId) {
        let user = self.other().user;
        let ask = Ask::Invite { room, user };
        self.call(ask, InviteToRoom { room, user }, done).await;
    }

    async fn topic(&mut self, room: RoomId) {
        let topic = self.text('t').chars().take(60).collect::<String>();
        let ask = Ask::Topic {
            room,
            topic: topic.clone(),
        };
        let request = UpdateRoom {
            room,
            name: None,
            topic: Some(topic),
            slow_mode_ms: None,
            retention: None,
        };
        self.call(ask, request, |_, info| Reply::Info(Box::new(info)))
            .await;
    }

    /// Enters the room of a handle, half of the time to leave it again: so rooms of handles end, and begin anew.
    async fn enter(&mut self) {
        let handle = HANDLES[self.rng.usize(..HANDLES.len())];
        let request = EnterRoom {
            handle: match self.rng.bool() {
                true => handle.to_uppercase(),
                false => handle.to_owned(),
            },
        };
        let outcome = self.call(Ask::Enter { handle }, request, view).await;
        if let Outcome::Done(Reply::View(room, ..)) = outcome {
            self.world.know(KnownRoom {
                room,
                pair: None,
                handle: Some(handle),
            });
            if self.rng.bool() {
                self.call(Ask::Leave { room }, LeaveRoom { room }, done)
                    .await;
            }
        }
    }

    async fn direct(&mut self) {
        let peer = self.other().user;
        let request = OpenDirect { user: peer };
        let outcome = self.call(Ask::Direct { peer }, request, view).await;
        if let Outcome::Done(Reply::View(room, ..)) = outcome {
            self.world.know(KnownRoom {
                room,
                pair: Some([self.player.user, peer]),
                handle: None,
            });
        }
    }

    async fn create(&mut self, kind: RoomKind) {
        let name = format!("room-{}", self.world.number());
        let request = CreateRoom {
            kind,
            name: name.clone(),
            topic: None,
            slow_mode_ms: None,
            retention: None,
        };
        let outcome = self.call(Ask::Create { name }, request, view).await;
        if let Outcome::Done(Reply::View(room, ..)) = outcome {
            self.world.know(KnownRoom {
                room,
                pair: None,
                handle: None,
            });
        }
    }
}
