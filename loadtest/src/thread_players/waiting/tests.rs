use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use pitturu_protocol::frame::{ClientFrame, ServerFrame};
use pitturu_protocol::ids::ConnectionId;
use pitturu_protocol::types::system::{Limits, Welcome};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::clock;
use crate::link::Transport;
use crate::plan::{Plan, Share};
use crate::player::Player;
use crate::report::Subject;
use crate::tally::count;
use crate::thread_players::{ThreadPlayers, WorkerEvent};

/// Longest time for a test, far above what it takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// The server's side of a connection.
struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    /// The next connection, which has said hello.
    async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = Self(tokio_tungstenite::accept_async(stream).await.unwrap());
        socket.read().await;
        socket
    }

    async fn read(&mut self) -> Vec<u8> {
        let message = self.0.next().await.unwrap().unwrap();
        message.into_data().to_vec()
    }

    async fn send(&mut self, frame: ServerFrame<'_>) {
        let message = Message::binary(frame.encode());
        self.0.send(message).await.unwrap();
    }

    async fn welcome(&mut self) {
        self.send(ServerFrame::Welcome(Welcome {
            v: pitturu_protocol::VERSION,
            epoch: 1,
            conn: ConnectionId::from_bytes([1; 10]),
            now: 0,
            ping_ms: 25_000,
            identity: None,
            refused: None,
            limits: Limits {
                frame_bytes: 1,
                message_bytes: 1,
                calls: 1,
                rooms: 1,
            },
            quic: None,
        }))
        .await;
    }

    /// Pings, and waits for the answer.
    async fn ping(&mut self, nonce: u32) {
        self.send(ServerFrame::Ping { nonce, now: 0 }).await;
        let answer = self.read().await;
        let (frame, _) = ClientFrame::read(&answer).unwrap();
        let is_answer = matches!(frame, ClientFrame::Pong { nonce: of } if of == nonce);
        assert!(is_answer, "{frame:?}");
    }
}

/// What a test plays with.
struct Stage {
    listener: TcpListener,
    thread: Rc<ThreadPlayers>,
    go: watch::Sender<Option<u64>>,
    events: RefCell<mpsc::UnboundedReceiver<WorkerEvent>>,
    lost: Cell<u64>,
}

impl Stage {
    async fn of(players: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let plan = Plan {
            subject: Subject::Server,
            transport: Transport::Ws,
            address: listener.local_addr().unwrap(),
            sources: 0,
            share: Share { index: 0, of: 1 },
            threads: 1,
            warm_up: 0,
            seconds: 1,
            seed: 7,
            rooms: Vec::new(),
        };
        let (events_in, events) = mpsc::unbounded_channel();
        let (go, gone) = watch::channel(None);
        let thread = ThreadPlayers::new(Arc::new(plan), 0..players, events_in, gone);
        Self {
            listener,
            thread: Rc::new(thread),
            go,
            events: RefCell::new(events),
            lost: Cell::new(0),
        }
    }

    async fn player(&self, number: u64) -> Player {
        let route = self.thread.plan.route(number);
        let connected = Player::connect(route, None, &self.thread.tally).await;
        connected.unwrap()
    }

    /// All players, once the load begins.
    async fn ready(&self) -> Vec<Player> {
        let gather = self.thread.gather(|number| async move {
            let player = self.player(number).await;
            Ok(player)
        });
        let waiting = gather.await.unwrap();
        self.thread.ready(waiting).await.1
    }

    /// Connections that players have lost, by what was counted up to now.
    fn lost(&self) -> u64 {
        let mut lost = self.lost.get() + self.thread.tally.take().count(count::DISCONNECTS);
        while let Ok(event) = self.events.borrow_mut().try_recv() {
            if let WorkerEvent::Slice(_, slice) = event {
                lost += slice.count(count::DISCONNECTS);
            }
        }
        self.lost.set(lost);
        lost
    }

    async fn until_one_is_lost(&self) {
        while self.lost() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Runs a test as the players of a thread are run.
fn on_a_thread<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let timed = async { tokio::time::timeout(PATIENCE, test).await };
    let outcome = LocalSet::new().block_on(&runtime, timed);
    outcome.expect("nobody waits for what does not come")
}

#[test]
fn pings_are_answered_while_others_get_ready() {
    on_a_thread(async {
        let stage = Stage::of(2).await;
        let server = async {
            let mut first = Socket::accept(&stage.listener).await;
            let mut second = Socket::accept(&stage.listener).await;
            // Whichever of the two this is, the other one is not ready.
            first.welcome().await;
            first.ping(1).await;
            first.ping(2).await;
            second.welcome().await;
            // Now those of other threads are not.
            second.ping(3).await;
            first.ping(4).await;
            stage.go.send_replace(Some(clock::now()));
            [first, second]
        };
        let (players, _sockets) = tokio::join!(stage.ready(), server);
        assert_eq!(players.len(), 2);
    });
}

#[test]
fn who_is_lost_while_others_get_ready_is_counted_once() {
    on_a_thread(async {
        let stage = Stage::of(2).await;
        let server = async {
            let mut first = Socket::accept(&stage.listener).await;
            let mut second = Socket::accept(&stage.listener).await;
            first.welcome().await;
            drop(first);
            stage.until_one_is_lost().await;
            second.welcome().await;
            second.ping(1).await;
            stage.go.send_replace(Some(clock::now()));
            second
        };
        let (mut players, second) = tokio::join!(stage.ready(), server);
        // Both listen on, and only the second has anything to lose.
        drop(second);
        for player in &mut players {
            player.listen().await;
        }
        assert_eq!(stage.lost(), 2);
    });
}

#[test]
fn pings_are_answered_while_something_else_is_done() {
    on_a_thread(async {
        let stage = Stage::of(1).await;
        let server = async {
            let mut socket = Socket::accept(&stage.listener).await;
            socket.welcome().await;
            socket
        };
        let (mut player, mut socket) = tokio::join!(stage.player(0), server);
        let done = player.listen_while(async {
            socket.ping(1).await;
            socket.ping(2).await;
            drop(socket);
            stage.until_one_is_lost().await;
            "done"
        });
        // It goes on without the connection.
        assert_eq!(done.await, "done");
        assert_eq!(stage.lost(), 1);
    });
}
