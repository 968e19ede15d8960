//! The owners of rooms and players as one process has them, and calls to them.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::frame::{CallId, ServerFrame};
use pitturu_protocol::ids::{ConnectionId, RoomId, UserId};
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::accounts::Role;
use pitturu_protocol::types::chat::{
    CreateRoom, InviteToRoom, JoinRoom, KickMember, LeaveRoom, RoomKind, RoomView,
};
use pitturu_rules::friends::Other;
use pitturu_rules::rooms::identity::RoomIds;
use pitturu_rules::rooms::{Actor, ChatLimits, Target};
use pitturu_store::clock::now_ms;
use pitturu_store::entities::{Entities, EntityId};
use tokio::sync::oneshot;
use tracing::Span;

use super::faulty::Faulty;
use crate::chat::blocks::Blocks;
use crate::chat::command::{Ask, Command, Create, Follow, NewRoom, ReplyTo, RoomCall};
use crate::chat::request::{DecideRequest, FollowRequest};
use crate::chat::store::{self, RoomStore};
use crate::chat::tests::connection_of;
use crate::chat::{self, RoomOwners};
use crate::connections::call::PendingCall;
use crate::connections::call_metrics::Moment;
use crate::connections::caller::IdempotencyKey;
use crate::connections::connection::Connection;
use crate::connections::recipient::{Node, Recipient};
use crate::io_threads::IoThreads;
use crate::owners::answering;
use crate::owners::signals::{Routes, wake_senders};
use crate::players::store::PlayerStore;
use crate::players::tests::{Grown, PATIENCE, key, until_quiet, user};
use crate::players::{self, PlayerOwners};

/// Who owns all rooms.
pub(super) const OWNER: u16 = 3;

/// The room of this number.
pub(super) fn room(number: u8) -> RoomId {
    RoomId::from_bytes([number; 10])
}

/// A call of one of the players.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    Request(u16, u16),
    Accept(u16, u16),
    Remove(u16, u16),
    Block(u16, u16),
    Unblock(u16, u16),
    /// The owner makes a room.
    Create(u8),
    Join(u16, u8),
    Leave(u16, u8),
    /// The owner invites.
    Invite(u8, u16),
    /// The owner kicks.
    Kick(u8, u16),
}

impl Act {
    pub(super) fn random(random: &mut fastrand::Rng) -> Self {
        let (one, other) = if random.bool() { (1, 2) } else { (2, 1) };
        let room = random.u8(1..=2);
        match random.u8(..11) {
            0 | 1 => Self::Request(one, other),
            2 | 3 => Self::Accept(one, other),
            4 => Self::Remove(one, other),
            5 => Self::Block(one, other),
            6 => Self::Unblock(one, other),
            7 => Self::Join(one, room),
            8 => Self::Leave(one, room),
            9 => Self::Invite(room, one),
            _ => Self::Kick(room, one),
        }
    }

    /// Who calls, and the entity that decides.
    pub(super) fn caller_and_entity(self) -> (UserId, EntityId) {
        match self {
            Self::Request(by, _)
            | Self::Accept(by, _)
            | Self::Remove(by, _)
            | Self::Block(by, _)
            | Self::Unblock(by, _) => (user(by), players::entity(user(by))),
            Self::Join(by, number) | Self::Leave(by, number) => {
                (user(by), store::entity(room(number)))
            }
            Self::Create(number) | Self::Invite(number, _) | Self::Kick(number, _) => {
                (user(OWNER), store::entity(room(number)))
            }
        }
    }
}

/// Takes the answers of rooms.
#[derive(Debug, Default)]
struct Answers {
    waiting: Mutex<HashMap<CallId, oneshot::Sender<Result<(), Code>>>>,
}

impl Node for Answers {
    fn answer(&self, _: ConnectionId, call: CallId, frame: Bytes) {
        let answer = match ServerFrame::read(&frame).unwrap().0 {
            ServerFrame::Reply { .. } => Ok(()),
            ServerFrame::Fault { fault, .. } => Err(fault.code),
            other => panic!("no answer: {other:?}"),
        };
        let waiting = self.waiting.lock().remove(&call);
        // Whoever asked may have seen the process crash.
        let _ = waiting.expect("a call is answered once").send(answer);
    }
}

/// One process.
pub(super) struct Process {
    pub(super) store: Faulty,
    pub(super) rooms: RoomStore,
    pub(super) players: PlayerStore,
    io_threads: IoThreads,
    room_owners: RoomOwners,
    player_owners: PlayerOwners,
    answers: Arc<Answers>,
    calls: AtomicU64,
}

impl Process {
    /// Starts a process on a store, and has it go on with what an earlier one did not see applied.
    pub(super) fn start(store: Faulty, io_threads: &IoThreads) -> Self {
        let entities: Arc<dyn Entities> = Arc::new(store.clone());
        let routes = Arc::new(Routes::default());
        let rooms = RoomStore::new(Arc::clone(&entities));
        let players = PlayerStore::new(Arc::clone(&entities));
        let environment = chat::Environment {
            rooms: rooms.clone(),
            players: players.clone(),
            routes: Arc::clone(&routes),
            limits: Arc::new(ChatLimits::default()),
        };
        let room_owners = chat::start(io_threads, 1, &environment);
        let environment = players::Environment {
            players: players.clone(),
            game: Arc::default(),
            routes: Arc::clone(&routes),
            notifier: Arc::new(Grown::default()),
            direct_rooms: Arc::new(RoomIds::new([7; 32])),
        };
        let player_owners = players::start(io_threads, 2, &environment);
        let (one, other) = (room_owners.announcer(), player_owners.announcer());
        assert!(entities.listen_to_reports(Box::new(move || {
            one();
            other();
        })));
        tokio::spawn(wake_senders(entities, routes));
        Self {
            store,
            rooms,
            players,
            io_threads: io_threads.clone(),
            room_owners,
            player_owners,
            answers: Arc::default(),
            calls: AtomicU64::new(0),
        }
    }

    /// The next process, after this one has crashed or was stopped.
    pub(super) fn restarted(&self) -> Self {
        self.restarted_with(|_| {})
    }

    /// The same, on a store to which this was done.
    pub(super) fn restarted_with(&self, prepare: impl FnOnce(&Faulty)) -> Self {
        let store = tokio::task::block_in_place(|| self.store.reopen());
        prepare(&store);
        Self::start(store, &self.io_threads)
    }

    pub(super) async fn until_quiet(&self) {
        let entities: Arc<dyn Entities> = Arc::new(self.store.clone());
        until_quiet(&entities).await;
    }

    /// Makes a call of one player about another without a key, and waits for nothing.
    pub(super) fn begin(&self, act: Act) {
        let (by, ask) = match act {
            Act::Request(by, other) => {
                let reachable = Other {
                    exists: true,
                    ..Other::missing(user(other))
                };
                (by, players::command::Ask::Request(reachable, String::new()))
            }
            Act::Remove(by, other) => (by, players::command::Ask::Remove(user(other))),
            other => panic!("{other:?} can't be begun"),
        };
        let (to, _) = oneshot::channel();
        let call = answering::Call {
            id: user(by),
            ask,
            key: None,
            now: now_ms(),
            to: to.into(),
        };
        let call = Box::new(call);
        self.player_owners.send(answering::Command::Call(call));
    }

    /// Makes a call under a key.
    pub(super) async fn call(&self, act: Act, text: &str) -> Result<(), Code> {
        let key = key(text, 0, 0);
        match act {
            Act::Request(by, other)
            | Act::Accept(by, other)
            | Act::Remove(by, other)
            | Act::Block(by, other)
            | Act::Unblock(by, other) => self.ask_player(act, by, other, key).await,
            Act::Create(number) => {
                let hall = CreateRoom {
                    kind: RoomKind::Private,
                    name: "hall".to_owned(),
                    topic: None,
                    slow_mode_ms: None,
                    retention: None,
                };
                self.create(room(number), hall, key).await
            }
            Act::Join(by, number) => self.join(by, room(number), key).await,
            Act::Leave(by, number) => {
                let request = LeaveRoom { room: room(number) };
                let method = LeaveRoom::NUMBER;
                let request = DecideRequest::LeaveRoom(request);
                self.decide(by, room(number), method, request, key).await
            }
            Act::Invite(number, who) => {
                let request = DecideRequest::InviteToRoom(InviteToRoom {
                    room: room(number),
                    user: user(who),
                });
                let method = InviteToRoom::NUMBER;
                self.decide(OWNER, room(number), method, request, key).await
            }
            Act::Kick(number, who) => {
                let request = DecideRequest::KickMember(KickMember {
                    room: room(number),
                    user: user(who),
                    reason: None,
                });
                let method = KickMember::NUMBER;
                self.decide(OWNER, room(number), method, request, key).await
            }
        }
    }

    async fn ask_player(
        &self,
        act: Act,
        by: u16,
        other: u16,
        key: IdempotencyKey,
    ) -> Result<(), Code> {
        let seen = self.players.other(user(by), user(other), true).await;
        let seen = seen.map_err(|error| Fault::from(error).code)?;
        let name = || format!("player {by}");
        let ask = match act {
            Act::Request(..) => players::command::Ask::Request(seen, name()),
            Act::Accept(..) => players::command::Ask::Accept(seen, name()),
            Act::Remove(..) => players::command::Ask::Remove(user(other)),
            Act::Block(..) => players::command::Ask::Block(seen),
            _ => players::command::Ask::Unblock(user(other)),
        };
        let owners = self.player_owners.clone();
        let (to, answer) = oneshot::channel();
        tokio::spawn(async move {
            let asked = owners.ask(user(by), ask, Some(key), now_ms()).await;
            let _ = to.send(asked.map(drop).map_err(|fault| fault.code));
        });
        self.answered(answer).await
    }

    async fn create(
        &self,
        room: RoomId,
        hall: CreateRoom,
        key: IdempotencyKey,
    ) -> Result<(), Code> {
        let (to, view) = oneshot::channel();
        self.room_owners.send(Command::Create(Box::new(Create {
            room,
            connection: self.connection(OWNER),
            actor: actor(OWNER),
            to: ReplyTo::Task(to.into()),
            new_room: NewRoom::Room(hall),
            key: Some(key),
            blocks: Blocks::default(),
        })));
        self.opened(view).await
    }

    async fn join(&self, by: u16, room: RoomId, key: IdempotencyKey) -> Result<(), Code> {
        let (to, view) = oneshot::channel();
        self.room_owners.send(Command::Follow(Box::new(Follow {
            connection: self.connection(by),
            actor: actor(by),
            request: FollowRequest::JoinRoom(JoinRoom { room }),
            joining: None,
            key: Some(key),
            to: ReplyTo::Task(to.into()),
            span: Span::none(),
        })));
        self.opened(view).await
    }

    async fn decide(
        &self,
        by: u16,
        room: RoomId,
        method: u16,
        request: DecideRequest,
        key: IdempotencyKey,
    ) -> Result<(), Code> {
        let number = self.next_call();
        let (to, answer) = oneshot::channel();
        self.answers.waiting.lock().insert(number, to);
        let node = Arc::clone(&self.answers) as Arc<dyn Node>;
        let from = ConnectionId::from_bytes([9; 10]);
        let about = match &request {
            DecideRequest::InviteToRoom(request) => Some(request.user),
            DecideRequest::BanMember(request) => Some(request.user),
            _ => None,
        };
        let target = about.map(|user| Target {
            user,
            exists: true,
            is_blocked: false,
            role: Role::Player,
        });
        self.room_owners.send(Command::Call(Box::new(RoomCall {
            room,
            recipient: Recipient::Remote(node, from),
            actor: actor(by),
            address: Ipv4Addr::LOCALHOST.into(),
            call: PendingCall::new(number, method, Moment::now()),
            ask: Ask::Decide(request, target),
            key: Some(key),
            span: Span::none(),
        })));
        self.answered(answer).await
    }

    async fn opened(&self, view: oneshot::Receiver<Result<RoomView, Fault>>) -> Result<(), Code> {
        let (to, answer) = oneshot::channel();
        tokio::spawn(async move {
            // Without an answer there is none to pass on.
            if let Ok(view) = view.await {
                let _ = to.send(view.map(drop).map_err(|fault| fault.code));
            }
        });
        self.answered(answer).await
    }

    /// Waits for an answer. A process that has crashed gives none.
    async fn answered(&self, mut answer: oneshot::Receiver<Result<(), Code>>) -> Result<(), Code> {
        let began = Instant::now();
        loop {
            let moment = Duration::from_millis(2);
            match tokio::time::timeout(moment, &mut answer).await {
                Ok(Ok(answer)) => return answer,
                _ if self.store.has_crashed() => return Err(Code::Unavailable),
                Ok(Err(_)) => panic!("a call is dropped without an answer"),
                Err(_) => assert!(began.elapsed() < PATIENCE, "a call is not answered"),
            }
        }
    }

    fn next_call(&self) -> CallId {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        CallId::try_from(number + 1).unwrap()
    }

    /// A new connection of a player, which reads nothing.
    fn connection(&self, number: u16) -> Arc<Connection> {
        let unique = usize::try_from(self.next_call()).unwrap();
        connection_of(user(number), unique)
    }
}

fn actor(number: u16) -> Actor {
    Actor {
        user: user(number),
        name: "player".into(),
        role: Role::Player,
        sanctions: None,
        now: now_ms(),
        steady_ms: pitturu_store::clock::Steady::now().as_ms(),
    }
}
