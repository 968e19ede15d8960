//! A server without sockets, and its clients.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use pitturu_protocol::codec;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::events::Event;
use pitturu_protocol::frame::{CallId, ClientFrame, Cursor, ServerFrame, Stream, call};
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::accounts::{Login, LoginGuest, Register, SignedIn};
use pitturu_protocol::types::chat::{CreateRoom, JoinRoom, RoomKind, SendMessage};
use pitturu_protocol::types::presence::SetPresence;
use pitturu_protocol::types::system::{Goaway, Hello, StreamPosition, Welcome};
use pitturu_rules::game_data::Game;
use pitturu_rules::rooms::ChatLimits;
use pitturu_rules::word_list::WordList;
use pitturu_store::embedded::Embedded;
use pitturu_store::embedded::engine::{EngineOptions, READS_AT_ONCE_MAX};
use pitturu_store::master_keys::MasterKeys;
use pitturu_store::{Ports, StoreError, clock};
use pitturu_text::username::Username;
use tempfile::TempDir;

use super::faulty::FaultyEntities;
use crate::connections::link::memory::{self, MemoryPeer, Options};
use crate::connections::link::{CloseReason, Peer};
use crate::io_threads::{IoThreads, RunningIoThreads};
use crate::replaceable::Replaceable;
use crate::services::accounts::AccountsConfig;
use crate::services::accounts::masters::Masters;
use crate::services::accounts::passwords::PasswordConfig;
use crate::services::accounts::reset_delivery::{ResetDelivery, ResetMessage};
use crate::services::{Services, ServicesConfig};
use crate::session::rates::{Allowance, Allowances, Rates};
use crate::session::{self, SessionConfig, SessionContext};

/// The real services over a store in a folder of their own.
pub(super) struct World {
    pub(super) context: Arc<SessionContext>,
    pub(super) entities: Arc<FaultyEntities>,
    pub(super) resets: Arc<Resets>,
    store: Embedded,
    config: SessionConfig,
    game: &'static str,
    rooms_max: usize,
    _threads: RunningIoThreads,
    dir: TempDir,
}

/// Counts reset tokens that are on their way to players.
#[derive(Default)]
pub(super) struct Resets(AtomicUsize);

impl Resets {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl ResetDelivery for Resets {
    fn deliver(&self, _: ResetMessage) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// What players may not say to each other.
pub(super) const LISTED_WORD: &str = "borogove";

/// What the game has that is played here, unless a test says otherwise.
const GAME: &str = "
[boards.best]
operator = 'best'

[items.potion]
price = 2
consumable = true

[items.hat]
price = 3
stock = 100

[rewards.rules.play]
on = 'play'
points = 1
";

impl World {
    pub(super) async fn new() -> Self {
        Self::with(SessionConfig::default()).await
    }

    pub(super) async fn with(session: SessionConfig) -> Self {
        let dir = TempDir::new().expect("a folder");
        Self::over(dir, session, 100, GAME).await
    }

    /// A server of this game.
    pub(super) async fn with_game(game: &'static str) -> Self {
        let dir = TempDir::new().expect("a folder");
        Self::over(dir, SessionConfig::default(), 100, game).await
    }

    /// A player may be in so many rooms.
    pub(super) async fn with_rooms_max(rooms_max: usize) -> Self {
        let dir = TempDir::new().expect("a folder");
        Self::over(dir, SessionConfig::default(), rooms_max, GAME).await
    }

    /// Stops the server and starts it again on the same folder.
    pub(super) async fn restarted(self) -> Self {
        self.store.engine().close();
        Self::over(self.dir, self.config, self.rooms_max, self.game).await
    }

    /// Stops the server and starts it again with another game.
    pub(super) async fn restarted_with(self, game: &'static str) -> Self {
        Self { game, ..self }.restarted().await
    }

    async fn over(
        dir: TempDir,
        session: SessionConfig,
        rooms_max: usize,
        game: &'static str,
    ) -> Self {
        let store = Embedded::open(dir.path(), EngineOptions::default()).expect("a store");
        let (io_threads, threads) = IoThreads::start(1).expect("a thread");
        let resets = Arc::new(Resets::default());
        let services = ServicesConfig {
            shards: 1,
            chat: ChatLimits {
                filter: Some(Arc::new(WordList::new([LISTED_WORD]))),
                ..ChatLimits::default()
            },
            rooms_per_player_max: rooms_max,
            accounts: AccountsConfig {
                passwords: PasswordConfig {
                    cost: 4,
                    threads: 1,
                },
                admins: vec![Username::parse("root").unwrap()],
                ..AccountsConfig::default()
            },
            masters: Masters::new(MasterKeys::in_memory([7; 32])),
            reset_delivery: Some(resets.clone()),
            game: Arc::new(Game::of(toml::from_str(game).expect("a game")).expect("it fits")),
            keys_kept_ms: 48 * 60 * 60 * 1_000,
        };
        let mut ports = Ports::all(store.clone());
        let entities = Arc::new(FaultyEntities::new(ports.entities));
        ports.entities = entities.clone();
        let services = Services::start(ports, &io_threads, services, clock::now_ms()).await;
        Self {
            context: Arc::new(SessionContext {
                quic: tokio::sync::watch::channel(None).1,
                services: services.expect("the accounts open"),
                rates: Rates::new(&Allowances {
                    chat: Allowance::new(100_000, 100_000),
                    read: Allowance::new(100_000, 100_000),
                    free: Allowance::new(100_000, 100_000),
                    write: Allowance::new(100_000, 100_000),
                    sign_in: Allowance::new(100_000, 100_000),
                    service: Allowance::new(100_000, 100_000),
                }),
                config: Replaceable::new(session),
            }),
            entities,
            resets,
            store,
            config: session,
            rooms_max,
            game,
            _threads: threads,
            dir,
        }
    }

    /// Connects and says nothing.
    pub(super) fn connect(&self, options: Options) -> Client {
        self.connect_from(Ipv4Addr::LOCALHOST.into(), options)
    }

    /// The same from another address.
    pub(super) fn connect_from(&self, address: IpAddr, options: Options) -> Client {
        let (link, peer) = memory::pair(options);
        let from = Peer {
            address: address.into(),
            transport: &"memory",
            secure: true,
        };
        tokio::spawn(session::serve(link, from, Arc::clone(&self.context)));
        Client {
            peer,
            unread: VecDeque::new(),
            last_call: 0,
        }
    }

    /// Connects and says hello.
    pub(super) async fn greeted(&self, options: Options) -> Client {
        let mut client = self.connect(options);
        client.hello().await;
        client
    }

    /// Connects and signs in as a new guest.
    pub(super) async fn guest(&self, name: &str, options: Options) -> (Client, SignedIn) {
        let mut client = self.greeted(options).await;
        let login = LoginGuest {
            secret: format!("{name:-<32}"),
            name: Some(name.to_owned()),
            device: None,
        };
        let signed_in = client.call(&login).await.expect("a guest is welcome");
        (client, signed_in)
    }

    /// Connects and registers under this name.
    pub(super) async fn registered(&self, name: &str) -> (Client, SignedIn) {
        let mut client = self.greeted(Options::default()).await;
        let register = Register {
            username: name.to_owned(),
            password: "a good password".to_owned(),
            name: None,
            email: None,
            device: None,
        };
        let signed_in = client.call(&register).await.expect("the name is free");
        (client, signed_in)
    }

    /// Connects and signs in as who is [`registered`](Self::registered) under this name.
    pub(super) async fn signed_in(&self, name: &str) -> Client {
        let mut client = self.greeted(Options::default()).await;
        let login = Login {
            username: name.to_owned(),
            password: "a good password".to_owned(),
            device: None,
            known: None,
        };
        client.call(&login).await.expect("the account is there");
        client
    }

    /// Lets no write get to the disk as long as the result lives.
    pub(super) async fn hold_writes(&self) -> HeldWrites {
        let (release, released) = mpsc::channel::<()>();
        let (began, beginning) = tokio::sync::oneshot::channel();
        let engine = self.store.engine().clone();
        tokio::spawn(async move {
            let write = engine.write(move |_| {
                began.send(()).expect("the test waits");
                // Ends with the sender.
                let _ = released.recv();
                Ok::<(), StoreError>(())
            });
            write.await.expect("it writes nothing");
        });
        beginning.await.expect("the write begins");
        HeldWrites { _held: release }
    }

    /// Lets no read get to the disk as long as the result lives.
    pub(super) async fn hold_reads(&self) -> HeldReads {
        let mut held = Vec::new();
        for _ in 0..READS_AT_ONCE_MAX {
            let (release, released) = mpsc::channel::<()>();
            let (began, beginning) = tokio::sync::oneshot::channel();
            let engine = self.store.engine().clone();
            tokio::spawn(async move {
                let read = engine.read(move |_| {
                    began.send(()).expect("the test waits");
                    // Ends with the sender.
                    let _ = released.recv();
                    Ok::<(), StoreError>(())
                });
                read.await.expect("it reads nothing");
            });
            beginning.await.expect("the read begins");
            held.push(release);
        }
        HeldReads { _held: held }
    }
}

/// The store's writer, kept from writing.
pub(super) struct HeldWrites {
    _held: mpsc::Sender<()>,
}

/// Places of the store's reads, taken.
pub(super) struct HeldReads {
    _held: Vec<mpsc::Sender<()>>,
}

/// What came to a client.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Came {
    Welcome(Welcome),
    Reply(CallId, Vec<u8>),
    Fault(CallId, Fault),
    Event(u16, Vec<u8>),
    /// Sequences that are kept no longer.
    Gap(u64, u64),
    Ping(u32),
    Goaway(Goaway),
}

/// A call's method and encoded request.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    pub(super) method: u16,
    pub(super) body: Vec<u8>,
}

impl Raw {
    pub(super) fn of<M: Method>(request: &M) -> Self {
        Self {
            method: M::NUMBER,
            body: codec::encode(request),
        }
    }
}

/// One client, frame by frame.
pub(super) struct Client {
    pub(super) peer: MemoryPeer,
    unread: VecDeque<Came>,
    last_call: CallId,
}

/// The first frame of a client.
pub(super) fn hello() -> Vec<u8> {
    ClientFrame::Hello(Hello {
        v: pitturu_protocol::VERSION,
        sdk: "test/0".to_owned(),
        token: None,
        presence: None,
    })
    .encode()
}

impl Client {
    /// Says hello and waits for the welcome.
    pub(super) async fn hello(&mut self) -> Welcome {
        self.peer.send(hello()).await;
        match self.next().await {
            Some(Came::Welcome(welcome)) => welcome,
            other => panic!("no welcome but {other:?}"),
        }
    }

    /// Says hello with an access token, if there is one, and what others are to see, and waits for the welcome.
    pub(super) async fn hello_with(
        &mut self,
        token: Option<&str>,
        presence: Option<SetPresence>,
    ) -> Welcome {
        let hello = ClientFrame::Hello(Hello {
            v: pitturu_protocol::VERSION,
            sdk: "test/0".to_owned(),
            token: token.map(str::to_owned),
            presence,
        });
        self.peer.send(hello.encode()).await;
        match self.next().await {
            Some(Came::Welcome(welcome)) => welcome,
            other => panic!("no welcome but {other:?}"),
        }
    }

    /// The next frame; none after the last.
    pub(super) async fn next(&mut self) -> Option<Came> {
        while self.unread.is_empty() {
            let message = self.peer.receive().await?;
            assert!(!message.is_empty(), "a message holds at least one frame");
            let mut rest = &message[..];
            while !rest.is_empty() {
                let (frame, after) = ServerFrame::read(rest).expect("a frame");
                rest = after;
                self.unread.push_back(match frame {
                    ServerFrame::Welcome(welcome) => Came::Welcome(welcome),
                    ServerFrame::Reply { call, body } => Came::Reply(call, body.to_vec()),
                    ServerFrame::Fault { call, fault } => Came::Fault(call, fault),
                    ServerFrame::Event { event, body } => Came::Event(event, body.to_vec()),
                    ServerFrame::Gap { from, to, .. } => Came::Gap(from, to),
                    ServerFrame::Ping { nonce, .. } => Came::Ping(nonce),
                    ServerFrame::Goaway(goaway) => Came::Goaway(goaway),
                    other => panic!("nothing asks for {other:?}"),
                });
            }
        }
        self.unread.pop_front()
    }

    /// The next frame that is neither an event nor a ping.
    pub(super) async fn answer(&mut self) -> Option<Came> {
        loop {
            match self.next().await {
                Some(Came::Event(..) | Came::Gap(..) | Came::Ping(_)) => {}
                other => return other,
            }
        }
    }

    /// The encoded call and its number.
    pub(super) fn encode<M: Method>(&mut self, request: &M) -> (CallId, Vec<u8>) {
        self.last_call += 1;
        (self.last_call, call(self.last_call, request, None))
    }

    /// Sends a call.
    pub(super) async fn begin<M: Method>(&mut self, request: &M) -> CallId {
        let (number, frame) = self.encode(request);
        self.peer.send(frame).await;
        number
    }

    /// Sends a call and waits for its answer. Events and pings that come before it are dropped.
    pub(super) async fn call<M: Method>(&mut self, request: &M) -> Result<M::Reply, Fault> {
        let number = self.begin(request).await;
        match self.answer().await {
            Some(Came::Reply(call, body)) if call == number => {
                Ok(codec::decode(&body).expect("the method's reply"))
            }
            Some(Came::Fault(call, fault)) if call == number => Err(fault),
            other => panic!("no answer to {} but {other:?}", M::NAME),
        }
    }

    /// An encoded call under a key, and its number.
    pub(super) fn encode_raw(&mut self, raw: &Raw, key: &str) -> (CallId, Vec<u8>) {
        self.last_call += 1;
        let call = ClientFrame::Call {
            call: self.last_call,
            method: raw.method,
            body: &raw.body,
            key: Some(key),
            head: None,
        };
        (self.last_call, call.encode())
    }

    /// Waits for the answer to this call. Events and pings that come before it are dropped.
    pub(super) async fn answer_to(&mut self, number: CallId) -> Result<Vec<u8>, Fault> {
        match self.answer().await {
            Some(Came::Reply(call, body)) if call == number => Ok(body),
            Some(Came::Fault(call, fault)) if call == number => Err(fault),
            other => panic!("no answer to {number} but {other:?}"),
        }
    }

    /// The answer to this call, before or after those to others, which stay unread.
    pub(super) async fn answer_in_any_order(&mut self, number: CallId) -> Result<Vec<u8>, Fault> {
        let mut others = VecDeque::new();
        let answer = loop {
            match self.answer().await {
                Some(Came::Reply(call, body)) if call == number => break Ok(body),
                Some(Came::Fault(call, fault)) if call == number => break Err(fault),
                Some(other) => others.push_back(other),
                None => panic!("no answer to {number}"),
            }
        };
        others.append(&mut self.unread);
        self.unread = others;
        answer
    }

    /// Sends a call under a key and waits for its answer.
    pub(super) async fn call_raw(&mut self, raw: &Raw, key: &str) -> Result<Vec<u8>, Fault> {
        let (number, frame) = self.encode_raw(raw, key);
        self.peer.send(frame).await;
        self.answer_to(number).await
    }

    /// Calls under this key.
    pub(super) async fn call_under<M: Method>(
        &mut self,
        request: &M,
        key: &str,
    ) -> Result<M::Reply, Fault> {
        let body = self.call_raw(&Raw::of(request), key).await?;
        Ok(codec::decode(&body).expect("a reply"))
    }

    /// The next event of this kind. Whatever else comes is dropped.
    pub(super) async fn event<E: Event>(&mut self) -> E {
        loop {
            match self.next().await {
                Some(Came::Event(event, body)) if event == E::NUMBER => {
                    return codec::decode(&body).expect("the event's type");
                }
                Some(_) => {}
                None => panic!("no {} but the end", E::NAME),
            }
        }
    }

    /// Makes a room that everybody may join.
    pub(super) async fn create_room(&mut self) -> RoomId {
        let lobby = CreateRoom {
            kind: RoomKind::Public,
            name: "Lobby".to_owned(),
            topic: None,
            slow_mode_ms: None,
            retention: None,
        };
        let view = self.call(&lobby).await.expect("the room is made");
        view.info.room
    }

    /// Joins a room and waits until its stream is live.
    pub(super) async fn join(&mut self, room: RoomId) {
        self.call(&JoinRoom { room }).await.expect("it is public");
        while !self.event::<StreamPosition>().await.live {}
    }

    /// Tells the server that a page of a room has been processed.
    pub(super) async fn ack(&self, room: RoomId, position: &StreamPosition) {
        let ack = ClientFrame::Ack {
            stream: Stream::Room(room),
            cursor: Cursor {
                seq: position.seq,
                rev: position.rev,
            },
        };
        self.peer.send(ack.encode()).await;
    }

    /// Reads until the end: the fault about the connection, if one came, and what the transport was told.
    pub(super) async fn farewell(&mut self) -> (Option<Fault>, Option<CloseReason>) {
        let mut fault = None;
        while let Some(came) = self.next().await {
            if let Came::Fault(0, about_connection) = came {
                fault = Some(about_connection);
            }
        }
        (fault, self.peer.closed().await)
    }
}

/// A message of 500 bytes.
pub(super) fn message(room: RoomId) -> SendMessage {
    SendMessage {
        room,
        text: "x".repeat(500),
        data: None,
        reply_to: None,
    }
}
