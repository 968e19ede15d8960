//! Coming back with a token that is none: whatever a hello says and whatever follows it, nothing changes before the token is checked.
//!
//! Generated clients say hello with tokens that are cut, changed, unsigned, of another server or of a session that has ended, in
//! frames that are torn, repeated or out of order, and go on as if they had been welcomed: cursors, openings, calls, acks. Found is
//! whatever moves before the check of the token: reads and writes of the store, entities that are loaded, players that are listed,
//! presence and events that others hear, and bytes that are kept.

use pitturu_protocol::codec;
use pitturu_protocol::codes::Code;
use pitturu_protocol::frame::{CallId, ClientFrame, Cursor, Stream, call};
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::limits::NOTE_BYTES_MAX;
use pitturu_protocol::methods::{Access, METHODS};
use pitturu_protocol::server::Timing;
use pitturu_protocol::types::accounts::{Authenticate, Logout, RefreshTokens, SignedIn};
use pitturu_protocol::types::chat::{JoinRoom, OpenRoom};
use pitturu_protocol::types::friends::{AcceptFriend, RequestFriend};
use pitturu_protocol::types::presence::{PlayerPresence, SetPresence, Status};
use pitturu_protocol::types::system::{Hello, Resume, RoomCursor, Welcome};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::world::{Came, Client, World, message};
use super::{SessionConfig, let_others_run};
use crate::chat::store::entity as room_entity;
use crate::connections::link::memory::Options;
use crate::players::entity as player_entity;
use crate::players::tests::until_quiet;

/// Generated clients, unless `PROPTEST_CASES` says otherwise.
const CLIENTS: u32 = 400;

/// A header that asks for no signature, in base64.
const UNSIGNED: &str = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";

/// What a client shows as its token.
#[derive(Clone, Debug)]
enum Token {
    Absent,
    Text(String),
    Long(usize),
    /// The victim's, cut there.
    Cut(Index),
    /// The victim's, with another character there.
    Changed(Index),
    /// The victim's claims without a signature.
    Unsigned,
    /// The victim's claims under the signature of somebody else's.
    Spliced,
    /// One that another server has made for a player of the same name.
    OfAnotherServer,
    /// The victim's refresh token.
    Refresh,
    /// Of a session that has ended. To know it, the store is asked.
    Ended,
}

/// How it says hello.
#[derive(Clone, Debug)]
enum Greeting {
    /// It does not.
    Absent,
    Whole(Fields),
    /// It ends within its frame.
    Torn(Fields, Index),
    /// The fields come in this order, some of them more than once, some not.
    Shuffled(Fields, Vec<u8>),
    Bytes(Vec<u8>),
}

#[derive(Clone, Debug)]
struct Fields {
    v: u16,
    sdk_bytes: usize,
    token: Token,
    presence: Option<(Status, usize)>,
}

/// A frame behind it.
#[derive(Clone, Debug)]
enum Frame {
    /// Cursors of rooms and the inbox that may lie, and come twice.
    Resume(Option<u64>, Vec<(u8, u64, u64)>),
    Open(u8, Option<u64>, Option<u64>),
    Join(u8),
    Send(u8),
    Present(Status),
    /// A call that needs a player, with any body.
    Method(Index, Vec<u8>),
    Authenticate(Token),
    RefreshTokens(Token),
    /// The number of the last call once more.
    Again(u8),
    Ack(Option<u8>, u64, u64),
    Cancel(CallId),
    Input(u8, Vec<u8>),
    Datagram(Vec<u8>),
    Bytes(Vec<u8>),
    /// Another hello.
    Hello(Box<Greeting>),
}

#[derive(Clone, Debug)]
struct Attempt {
    greeting: Greeting,
    /// So many frames come before it.
    before: usize,
    frames: Vec<Frame>,
    /// Each frame is a message, or all are one.
    apart: bool,
}

fn tokens() -> impl Strategy<Value = Token> + Clone {
    prop_oneof![
        1 => Just(Token::Absent),
        2 => ".{0,80}".prop_map(Token::Text),
        1 => (2_000_usize..60_000).prop_map(Token::Long),
        3 => any::<Index>().prop_map(Token::Cut),
        3 => any::<Index>().prop_map(Token::Changed),
        1 => Just(Token::Unsigned),
        1 => Just(Token::Spliced),
        2 => Just(Token::OfAnotherServer),
        1 => Just(Token::Refresh),
        3 => Just(Token::Ended),
    ]
}

fn statuses() -> impl Strategy<Value = Status> + Clone {
    select(vec![
        Status::Online,
        Status::Away,
        Status::Offline,
        Status::InGame,
    ])
}

fn greetings() -> impl Strategy<Value = Greeting> {
    let v = prop_oneof![8 => Just(pitturu_protocol::VERSION), 1 => any::<u16>()];
    let bytes = prop_oneof![3 => 0_usize..40, 1 => 0_usize..60_000];
    let presence = proptest::option::of((statuses(), bytes.clone()));
    let fields =
        (v, bytes, tokens(), presence).prop_map(|(v, sdk_bytes, token, presence)| Fields {
            v,
            sdk_bytes,
            token,
            presence,
        });
    prop_oneof![
        1 => Just(Greeting::Absent),
        12 => fields.clone().prop_map(Greeting::Whole),
        2 => (fields.clone(), any::<Index>()).prop_map(|(fields, at)| Greeting::Torn(fields, at)),
        4 => (fields, vec(0_u8..4, 0..8)).prop_map(|(fields, order)| Greeting::Shuffled(fields, order)),
        1 => vec(any::<u8>(), 0..40).prop_map(Greeting::Bytes),
    ]
}

fn frames() -> impl Strategy<Value = Frame> {
    let cursor = || prop_oneof![Just(0), Just(u64::MAX), 0..20_u64, any::<u64>()];
    let room = || 0_u8..4;
    let body = || vec(any::<u8>(), 0..60);
    prop_oneof![
        4 => (proptest::option::of(cursor()), vec((room(), cursor(), cursor()), 0..40))
            .prop_map(|(inbox, rooms)| Frame::Resume(inbox, rooms)),
        2 => (room(), proptest::option::of(cursor()), proptest::option::of(cursor()))
            .prop_map(|(room, seq, rev)| Frame::Open(room, seq, rev)),
        1 => room().prop_map(Frame::Join),
        1 => room().prop_map(Frame::Send),
        1 => statuses().prop_map(Frame::Present),
        3 => (any::<Index>(), body()).prop_map(|(method, body)| Frame::Method(method, body)),
        2 => tokens().prop_map(Frame::Authenticate),
        2 => tokens().prop_map(Frame::RefreshTokens),
        1 => room().prop_map(Frame::Again),
        2 => (proptest::option::of(room()), cursor(), cursor())
            .prop_map(|(room, seq, rev)| Frame::Ack(room, seq, rev)),
        1 => (0_u32..12).prop_map(Frame::Cancel),
        1 => (room(), body()).prop_map(|(room, data)| Frame::Input(room, data)),
        1 => body().prop_map(Frame::Datagram),
        1 => body().prop_map(Frame::Bytes),
        1 => greetings().prop_map(|greeting| Frame::Hello(Box::new(greeting))),
    ]
}

fn attempts() -> impl Strategy<Value = Attempt> {
    let before = prop_oneof![6 => Just(0_usize), 1 => 1_usize..4];
    (greetings(), before, vec(frames(), 0..8), any::<bool>()).prop_map(
        |(greeting, before, frames, apart)| Attempt {
            greeting,
            before,
            frames,
            apart,
        },
    )
}

/// A server on which somebody is whom others would like to be.
struct Scene {
    world: World,
    victim: Client,
    friend: Client,
    fellow: Client,
    user: UserId,
    tokens: SignedIn,
    /// A player who is not there, and whose session has ended.
    sleeper: SignedIn,
    another_server: SignedIn,
    open_room: RoomId,
    /// One that nobody has opened since the server was started.
    cold_room: RoomId,
}

/// What there is to be changed.
#[derive(Clone, Debug, PartialEq)]
struct State {
    /// Reads and writes of the store.
    asked: usize,
    changed: usize,
    loads: [usize; 4],
    players: usize,
    connections: usize,
    open_rooms: Vec<RoomId>,
    presence: Status,
    /// Messages that the victim, the friend and the fellow member have not asked for.
    heard: [usize; 3],
}

impl Scene {
    async fn new() -> Self {
        let quiet = SessionConfig {
            timing: Timing {
                hello_ms: 600_000,
                ping_ms: 3_600_000,
            },
            ..SessionConfig::default()
        };
        let other = World::new().await;
        let (_, another_server) = other.guest("victim", Options::default()).await;
        let world = World::with(quiet).await;
        let (mut victim, tokens) = world.guest("victim", Options::default()).await;
        let (mut friend, of_friend) = world.guest("friend", Options::default()).await;
        let (mut sleeper, of_sleeper) = world.guest("sleeper", Options::default()).await;
        let user = tokens.identity.user;
        friend
            .call(&RequestFriend { user })
            .await
            .expect("anybody may");
        let accept = AcceptFriend {
            user: of_friend.identity.user,
        };
        while victim.call(&accept).await.is_err() {
            let_others_run().await;
        }
        let open_room = victim.create_room().await;
        let cold_room = victim.create_room().await;
        victim.call(&message(cold_room)).await.expect("it is sent");
        sleeper
            .call(&Logout {})
            .await
            .expect("whoever is signed in");
        drop((victim, friend, sleeper));
        // What a room has yet to tell would have it loaded by the start.
        let entities = std::sync::Arc::clone(&world.entities);
        until_quiet(&(entities as _)).await;

        let world = world.restarted().await;
        let back = async |tokens: &SignedIn| {
            let mut client = world.connect(Options::default());
            let welcome = client.hello_with(Some(&tokens.access), None).await;
            assert!(welcome.identity.is_some(), "{welcome:?}");
            client
        };
        let mut victim = back(&tokens).await;
        let friend = back(&of_friend).await;
        let (mut fellow, _) = world.guest("fellow", Options::default()).await;
        victim
            .call(&super::open(open_room))
            .await
            .expect("a member");
        fellow.join(open_room).await;
        let mut scene = Self {
            world,
            victim,
            friend,
            fellow,
            user,
            tokens,
            sleeper: of_sleeper,
            another_server,
            open_room,
            cold_room,
        };
        scene.rest().await;
        scene
    }

    /// Waits until nothing moves any more, and drops what came meanwhile.
    async fn rest(&mut self) {
        let mut before = None;
        loop {
            for client in [&mut self.victim, &mut self.friend, &mut self.fellow] {
                super::answers_calls(client).await;
            }
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            let now = self.state();
            if now.heard == [0; 3] && before.as_ref() == Some(&now) {
                return;
            }
            before = Some(now);
        }
    }

    fn state(&self) -> State {
        let (entities, registry) = (&self.world.entities, &self.world.context.services.registry);
        let rooms = [self.open_room, self.cold_room].map(room_entity);
        let players = [self.user, self.sleeper.identity.user].map(player_entity);
        State {
            asked: entities.asked(),
            changed: entities.changed(),
            loads: [rooms[0], rooms[1], players[0], players[1]].map(|it| entities.loads(it)),
            players: registry.player_count(),
            connections: registry.connections_of(self.user).len(),
            open_rooms: registry.open_rooms_of(self.user),
            presence: registry.presence(self.user).status,
            heard: [&self.victim, &self.friend, &self.fellow].map(|client| client.peer.waiting()),
        }
    }

    fn room(&self, number: u8) -> RoomId {
        match number {
            0 => self.open_room,
            1 => self.cold_room,
            number => RoomId::from_bytes([number; 10]),
        }
    }

    fn token(&self, token: &Token) -> Option<String> {
        let good = &self.tokens.access;
        let (claims, _) = good.rsplit_once('.').expect("a signature");
        Some(match token {
            Token::Absent => return None,
            Token::Text(text) => text.clone(),
            Token::Long(bytes) => "x".repeat(*bytes),
            Token::Cut(at) => good[..at.index(good.len())].to_owned(),
            Token::Changed(at) => {
                // The last character has bits that stand for nothing.
                let at = at.index(good.len() - 1);
                let other = if &good[at..=at] == "A" { "B" } else { "A" };
                format!("{}{other}{}", &good[..at], &good[at + 1..])
            }
            Token::Unsigned => {
                let body = claims.split_once('.').expect("a body").1;
                format!("{UNSIGNED}.{body}.")
            }
            Token::Spliced => {
                let other = &self.sleeper.access;
                let (_, signature) = other.rsplit_once('.').expect("a signature");
                format!("{claims}.{signature}")
            }
            Token::OfAnotherServer => self.another_server.access.clone(),
            Token::Refresh => self.tokens.refresh.clone(),
            Token::Ended => self.sleeper.access.clone(),
        })
    }

    /// A refresh token that is as wrong.
    fn refresh(&self, token: &Token) -> String {
        let good = &self.tokens.refresh;
        match token {
            Token::Cut(at) => good[..at.index(good.len())].to_owned(),
            Token::Changed(at) => {
                let at = at.index(good.len() - 1);
                let other = if &good[at..=at] == "A" { "B" } else { "A" };
                format!("{}{other}{}", &good[..at], &good[at + 1..])
            }
            Token::OfAnotherServer => self.another_server.refresh.clone(),
            Token::Refresh => self.tokens.access.clone(),
            token => self.token(token).unwrap_or_default(),
        }
    }

    fn greeting(&self, greeting: &Greeting) -> Option<Vec<u8>> {
        let whole = |fields: &Fields| {
            ClientFrame::Hello(Hello {
                v: fields.v,
                sdk: "x".repeat(fields.sdk_bytes),
                token: self.token(&fields.token),
                presence: fields.presence.map(presence),
            })
            .encode()
        };
        match greeting {
            Greeting::Absent => None,
            Greeting::Whole(fields) => Some(whole(fields)),
            Greeting::Torn(fields, at) => {
                let mut frame = whole(fields);
                frame.truncate(at.index(frame.len()));
                Some(frame)
            }
            Greeting::Shuffled(fields, order) => Some(self.shuffled(fields, order)),
            Greeting::Bytes(bytes) => Some(bytes.clone()),
        }
    }

    /// A hello whose map has these fields, whatever that makes of it.
    fn shuffled(&self, fields: &Fields, order: &[u8]) -> Vec<u8> {
        let count = u8::try_from(order.len()).expect("few");
        let mut frame = vec![0x92, 1, 0x80 | count];
        for field in order {
            let (name, value) = match field {
                0 => ("v", codec::encode(&fields.v)),
                1 => ("sdk", codec::encode(&"x".repeat(fields.sdk_bytes))),
                2 => ("token", codec::encode(&self.token(&fields.token))),
                _ => ("presence", codec::encode(&fields.presence.map(presence))),
            };
            frame.extend(codec::encode(&name));
            frame.extend(value);
        }
        frame
    }

    /// The encoded frame, or the datagram.
    fn frame(&self, frame: &Frame, last: &mut CallId) -> Result<Vec<u8>, Vec<u8>> {
        let mut next = || {
            *last += 1;
            *last
        };
        Ok(match frame {
            Frame::Resume(inbox, rooms) => {
                let cursor = |&(room, seq, rev): &(u8, u64, u64)| RoomCursor {
                    room: self.room(room),
                    seq,
                    rev,
                };
                let rooms = rooms.iter().map(cursor).collect();
                call(
                    next(),
                    &Resume {
                        epoch: None,
                        inbox: *inbox,
                        rooms,
                    },
                    None,
                )
            }
            Frame::Open(room, seq, rev) => {
                let (room, seq, rev) = (self.room(*room), *seq, *rev);
                call(next(), &OpenRoom { room, seq, rev }, None)
            }
            Frame::Join(room) => call(
                next(),
                &JoinRoom {
                    room: self.room(*room),
                },
                Some("key"),
            ),
            Frame::Send(room) => call(next(), &message(self.room(*room)), Some("key")),
            Frame::Present(status) => call(next(), &presence((*status, 3)), None),
            Frame::Method(method, body) => {
                let closed = METHODS
                    .iter()
                    .filter(|method| method.access != Access::Anyone);
                let closed: Vec<u16> = closed.map(|method| method.number).collect();
                raw_call(next(), *method.get(&closed), body)
            }
            Frame::Authenticate(token) => {
                let access = self.token(token).unwrap_or_default();
                call(next(), &Authenticate { access }, None)
            }
            Frame::RefreshTokens(token) => {
                let refresh = self.refresh(token);
                call(next(), &RefreshTokens { refresh }, Some("key"))
            }
            Frame::Again(room) => call(*last, &super::open(self.room(*room)), None),
            Frame::Ack(room, seq, rev) => {
                let stream = room.map_or(Stream::Inbox, |room| Stream::Room(self.room(room)));
                let cursor = Cursor {
                    seq: *seq,
                    rev: *rev,
                };
                ClientFrame::Ack { stream, cursor }.encode()
            }
            Frame::Cancel(call) => ClientFrame::Cancel { call: *call }.encode(),
            Frame::Input(room, data) => {
                let room = self.room(*room);
                ClientFrame::Input { room, seq: 1, data }.encode()
            }
            Frame::Datagram(bytes) => return Err(bytes.clone()),
            Frame::Bytes(bytes) => bytes.clone(),
            Frame::Hello(greeting) => self.greeting(greeting).unwrap_or_default(),
        })
    }

    /// Makes the attempt, and waits until the server has dealt with it all or has closed.
    async fn make(&self, attempt: &Attempt) -> Result<(), TestCaseError> {
        let before = self.state();
        let mut client = self.world.connect(Options::default());
        let (mut messages, mut last) = (Vec::new(), 0);
        for (number, frame) in attempt.frames.iter().enumerate() {
            if number == attempt.before {
                messages.extend(self.greeting(&attempt.greeting).map(Ok));
            }
            messages.push(self.frame(frame, &mut last));
        }
        if attempt.frames.len() <= attempt.before {
            messages.extend(self.greeting(&attempt.greeting).map(Ok));
        }
        // The last thing that is answered, whatever became of the others. Without a hello it is the end.
        last += 1;
        messages.push(Ok(call(last, &super::echo(), None)));
        send(&client, messages, attempt.apart).await;
        let welcome = answers(&mut client, last).await?;
        let_others_run().await;
        if let Some(welcome) = welcome {
            self.check_welcome(&welcome)?;
        }
        self.check(attempt, &before)?;
        drop(client);
        let_others_run().await;
        self.check(attempt, &before)
    }

    /// Nobody is signed in, and nothing is kept for when somebody is but what any hello may leave.
    fn check_welcome(&self, welcome: &Welcome) -> Result<(), TestCaseError> {
        prop_assert!(welcome.identity.is_none());
        let registry = &self.world.context.services.registry;
        let Some(connection) = registry.connection(welcome.conn) else {
            return Ok(());
        };
        prop_assert_eq!(connection.user(), None);
        prop_assert!(connection.open_rooms().is_empty());
        prop_assert!(connection.outbox.take_batch().is_none());
        let note = connection
            .take_restored_presence()
            .and_then(|kept| kept.note);
        prop_assert!(note.is_none_or(|note| note.len() <= NOTE_BYTES_MAX));
        Ok(())
    }

    fn check(&self, attempt: &Attempt, before: &State) -> Result<(), TestCaseError> {
        let mut now = self.state();
        if attempt.asks_the_store() {
            now.asked = before.asked;
        }
        prop_assert_eq!(&now, before);
        Ok(())
    }
}

impl Attempt {
    /// Whether it has shown what only the store knows to be no good any more.
    fn asks_the_store(&self) -> bool {
        let ended = |greeting: &Greeting| match greeting {
            Greeting::Whole(fields) | Greeting::Torn(fields, _) | Greeting::Shuffled(fields, _) => {
                matches!(fields.token, Token::Ended)
            }
            Greeting::Absent | Greeting::Bytes(_) => false,
        };
        let asks = |frame: &Frame| match frame {
            Frame::Authenticate(token) => matches!(token, Token::Ended),
            Frame::RefreshTokens(_) => true,
            Frame::Hello(greeting) => ended(greeting),
            _ => false,
        };
        ended(&self.greeting) || self.frames.iter().any(asks)
    }
}

fn presence((status, note_bytes): (Status, usize)) -> SetPresence {
    SetPresence {
        status,
        note: Some("n".repeat(note_bytes)),
    }
}

fn raw_call(call: CallId, method: u16, body: &[u8]) -> Vec<u8> {
    // Whatever it is, it is a whole value: else it would be the frame that is wrong.
    let body = codec::encode(&body);
    let call = ClientFrame::Call {
        call,
        method,
        body: &body,
        key: None,
        head: None,
    };
    call.encode()
}

async fn send(client: &Client, messages: Vec<Result<Vec<u8>, Vec<u8>>>, apart: bool) {
    let mut joined = Vec::new();
    for message in messages {
        match message {
            Err(datagram) => client.peer.send_datagram(datagram),
            Ok(frame) if apart => client.peer.send(frame).await,
            Ok(frame) => joined.extend(frame),
        }
    }
    if !apart {
        client.peer.send(joined).await;
    }
}

/// Waits for the answers to all calls, or the end. Returns the welcome, if the connection is still there.
async fn answers(client: &mut Client, last: CallId) -> Result<Option<Welcome>, TestCaseError> {
    let (mut welcome, mut missing) = (None, last);
    while missing > 0 {
        match client.next().await {
            None => return Ok(None),
            Some(Came::Welcome(came)) => welcome = Some(came),
            Some(Came::Reply(call, _)) if call == last => missing -= 1,
            Some(Came::Fault(call, fault)) if call > 0 => {
                let code = fault.code;
                prop_assert!(code != Code::Internal, "{fault:?}");
                missing -= 1;
            }
            Some(Came::Fault(..) | Came::Ping(_)) => {}
            Some(other) => return Err(TestCaseError::fail(format!("a stranger got {other:?}"))),
        }
    }
    Ok(welcome)
}

#[test]
fn nothing_changes_before_the_token_is_checked() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().expect("a runtime");
    let mut scene = runtime.block_on(Scene::new());
    let mut config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CLIENTS;
    }
    let outcome = TestRunner::new(config).run(&attempts(), |attempt| {
        runtime.block_on(scene.make(&attempt))
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    // The friend hears of the next change, and has heard of none before it.
    runtime.block_on(async {
        let away = presence((Status::Away, 3));
        scene.victim.call(&away).await.expect("the victim may");
        let told: PlayerPresence = scene.friend.event().await;
        assert_eq!(
            (told.presence.user, told.presence.status),
            (scene.user, Status::Away)
        );
    });
}

/// A good token, and a store that takes its time: what follows the hello waits, and stays in the network.
#[tokio::test]
async fn what_follows_a_hello_waits_until_its_token_is_checked() {
    let mut scene = Scene::new().await;
    let held = scene.world.hold_reads().await;
    let before = scene.state();
    let mut client = scene.world.connect(Options::default());
    let hello = ClientFrame::Hello(Hello {
        v: pitturu_protocol::VERSION,
        sdk: "test/0".to_owned(),
        token: Some(scene.tokens.access.clone()),
        presence: Some(presence((Status::Away, 3))),
    });
    client.peer.send(hello.encode()).await;
    client.peer.until_unread(0).await;
    let rooms = vec![RoomCursor {
        room: scene.cold_room,
        seq: 0,
        rev: 0,
    }];
    let (resume, frame) = client.encode(&Resume {
        epoch: None,
        inbox: None,
        rooms,
    });
    client.peer.send(frame).await;
    for _ in 0..3 {
        let (_, frame) = client.encode(&message(scene.open_room));
        client.peer.send(frame).await;
    }
    let_others_run().await;
    let now = State {
        asked: before.asked,
        ..scene.state()
    };
    assert_eq!(now, before);
    assert_eq!(
        client.peer.unread(),
        4,
        "the rest waits where it costs the client"
    );
    assert_eq!(client.peer.waiting(), 0);
    drop(held);
    assert!(
        matches!(client.next().await, Some(Came::Welcome(welcome)) if welcome.identity.is_some())
    );
    client
        .answer_in_any_order(resume)
        .await
        .expect("the victim's room");
    assert_eq!(scene.state().loads[1], before.loads[1] + 1);
    assert_eq!(scene.state().connections, before.connections + 1);
    super::answers_calls(&mut scene.victim).await;
}
