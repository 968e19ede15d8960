pub(crate) mod signals;

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Waker};
use std::time::Duration;

use pitturu_protocol::ids::{ConnectionId, RoomId, SessionId, UserId};
use pitturu_protocol::methods::Method as _;
use pitturu_protocol::types::accounts::{Identity, Role};
use pitturu_protocol::types::chat::{CreateRoom, OpenRoom, RoomKind, SendEphemeral};
use pitturu_rules::rooms::{Actor, ChatLimits};
use pitturu_store::Ports;
use pitturu_store::embedded::Embedded;
use pitturu_store::embedded::engine::EngineOptions;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::Span;

use super::blocks::Blocks;
use super::command::{Ask, Command, Create, Follow, NewRoom, ReplyTo, RoomCall};
use super::request::{DecideRequest, FollowRequest};
use super::store::RoomStore;
use super::{Environment, RoomOwners, start};
use crate::connections::call::PendingCall;
use crate::connections::call_metrics::Moment;
use crate::connections::connection::{Connection, Player};
use crate::connections::link::{Broadcast, InlineWrite, InlineWriter, Peer};
use crate::io_threads::IoThreads;
use crate::owners::executor::OFFLOAD_FANOUT_MIN;
use crate::players::store::PlayerStore;

const ROOM: RoomId = RoomId::from_bytes([1; 10]);

const USER: UserId = UserId::from_bytes([2; 10]);

const PATIENCE: Duration = Duration::from_secs(20);

fn actor() -> Actor {
    Actor {
        user: USER,
        name: "Ana".into(),
        role: Role::Player,
        sanctions: None,
        now: pitturu_store::clock::now_ms(),
        steady_ms: pitturu_store::clock::Steady::now().as_ms(),
    }
}

/// One of many connections of one player.
fn connection(number: usize) -> Arc<Connection> {
    connection_of(USER, number)
}

pub(crate) fn connection_of(user: UserId, number: usize) -> Arc<Connection> {
    let mut id = [0; 10];
    id[..8].copy_from_slice(&number.to_be_bytes());
    let peer = Peer {
        address: Ipv4Addr::LOCALHOST.into(),
        transport: &"ws",
        secure: false,
    };
    let connection = Connection::new(ConnectionId::from_bytes(id), peer, 1 << 20, Arc::default());
    let identity = Identity {
        user,
        session: SessionId::from_bytes([3; 10]),
        role: Role::Player,
        guest: false,
        expires_at: u64::MAX,
    };
    connection.set_player(Some(Player::new(identity, "Ana".into())));
    Arc::new(connection)
}

/// A socket that first waits until its I/O thread has done something else.
#[derive(Debug)]
struct Needy {
    io_thread: Handle,
    is_thread_free: Mutex<Option<bool>>,
    sent: mpsc::Sender<()>,
}

impl InlineWriter for Needy {
    fn try_send(&self, _: &Broadcast) -> InlineWrite {
        let mut is_thread_free = self.is_thread_free.lock().expect("nobody panics");
        if is_thread_free.is_none() {
            let (answer, answered) = mpsc::channel();
            self.io_thread.spawn(async move { answer.send(()) });
            *is_thread_free = Some(answered.recv_timeout(PATIENCE).is_ok());
        }
        self.sent.send(()).expect("the test counts");
        InlineWrite::Sent
    }
}

fn say(connection: &Arc<Connection>) -> Command {
    Command::Call(Box::new(RoomCall {
        room: ROOM,
        recipient: Arc::clone(connection).into(),
        actor: actor(),
        address: Ipv4Addr::LOCALHOST.into(),
        call: PendingCall::new(1, SendEphemeral::NUMBER, Moment::now()),
        ask: Ask::Decide(
            DecideRequest::SendEphemeral(SendEphemeral {
                room: ROOM,
                text: "hello".into(),
            }),
            None,
        ),
        key: None,
        span: Span::none(),
    }))
}

/// Waits until so many calls of this connection have been answered.
async fn answers(connection: &Connection, calls: usize) {
    let answered = || {
        let snapshot = connection.outbox.snapshot(bytes::Bytes::new());
        snapshot.answered.len()
    };
    let all = async {
        let mut came = answered();
        while came < calls {
            tokio::time::sleep(Duration::from_millis(10)).await;
            came += answered();
        }
    };
    let all = tokio::time::timeout(PATIENCE, all).await;
    all.expect("the calls are answered");
}

async fn room_with_connections(rooms: &RoomOwners, count: usize) -> Vec<Arc<Connection>> {
    let connections: Vec<_> = (0..count).map(connection).collect();
    let (to, view) = oneshot::channel();
    rooms.send(Command::Create(Box::new(Create {
        room: ROOM,
        connection: Arc::clone(&connections[0]),
        actor: actor(),
        to: ReplyTo::Task(to.into()),
        new_room: NewRoom::Room(CreateRoom {
            kind: RoomKind::Public,
            name: "many".into(),
            topic: None,
            slow_mode_ms: None,
            retention: None,
        }),
        key: None,
        blocks: Blocks::default(),
    })));
    view.await.expect("it is answered").expect("it is made");
    for connection in &connections[1..] {
        let (to, view) = oneshot::channel();
        rooms.send(Command::Follow(Box::new(Follow {
            connection: Arc::clone(connection),
            actor: actor(),
            request: FollowRequest::OpenRoom(OpenRoom {
                room: ROOM,
                seq: None,
                rev: None,
            }),
            joining: None,
            key: None,
            to: ReplyTo::Task(to.into()),
            span: Span::none(),
        })));
        view.await.expect("it is answered").expect("it is open");
    }
    connections
}

#[tokio::test]
async fn a_broadcast_to_many_leaves_its_thread_free_and_the_shard_in_order() {
    let (io_threads, _threads) = IoThreads::start(1).expect("a thread");
    let dir = TempDir::new().expect("a folder");
    let store = Embedded::open(dir.path(), EngineOptions::default()).expect("a store");
    let ports = Ports::all(store);
    let environment = Environment {
        rooms: RoomStore::new(Arc::clone(&ports.entities)),
        players: PlayerStore::new(Arc::clone(&ports.entities)),
        routes: Arc::default(),
        limits: Arc::new(ChatLimits::default()),
    };
    let rooms = start(&io_threads, 1, &environment);
    let announcer = Box::new(rooms.announcer());
    assert!(ports.entities.listen_to_reports(announcer));
    let connections = room_with_connections(&rooms, OFFLOAD_FANOUT_MIN).await;
    // Whoever opens a room is told who is here, after the answer. What comes later is answered after that.
    rooms.send(say(&connections[0]));
    answers(&connections[0], 1).await;

    let io_thread = io_threads.of_task(0);
    let (sent, sending) = mpsc::channel();
    let socket = Arc::new(Needy {
        io_thread: io_thread.clone(),
        is_thread_free: Mutex::new(None),
        sent,
    });
    for connection in &connections {
        let outbox = &connection.outbox;
        // It rests only if nothing came meanwhile, such as who is here now.
        loop {
            while outbox.take_batch().is_some() {}
            outbox.begin_turn(&Context::from_waker(Waker::noop()));
            if outbox.end_turn(false, false) {
                break;
            }
        }
        outbox.set_inline_writer(Some(Arc::clone(&socket) as Arc<dyn InlineWriter>));
    }
    let speaker = Arc::clone(&connections[0]);
    let speaking = rooms.clone();
    io_thread.spawn(async move {
        speaking.send(say(&speaker));
        speaking.send(say(&speaker));
    });
    // Both events, in one message or in two, and what else the room tells.
    for _ in 0..connections.len() {
        sending.recv_timeout(2 * PATIENCE).expect("it reaches all");
    }
    let free = *socket.is_thread_free.lock().expect("nobody panics");
    assert_eq!(free, Some(true), "the I/O thread went on meanwhile");
    answers(&connections[0], 2).await;
}
