//! A server in memory, on the real connection machine. Its state outlives connections, as a store would.

use std::collections::{BTreeMap, HashMap, HashSet};

use pitturu_protocol::backoff::Jitter;
use pitturu_protocol::codec;
use pitturu_protocol::codes::{CloseCode, Code, Fault};
use pitturu_protocol::frame::{self, CallId, Cursor, ServerFrame, Stream};
use pitturu_protocol::ids::{ConnectionId, RoomId, SessionId, UserId};
use pitturu_protocol::limits;
use pitturu_protocol::methods::{Access, Method, MethodInfo};
use pitturu_protocol::server::{ClientEvent, ServerConnection, TimerAction, Timing};
use pitturu_protocol::types::accounts::{Identity, RefreshTokens, Role, SignedIn};
use pitturu_protocol::types::chat::{
    CloseRoom, EphemeralSent, JoinRoom, MemberRole, Membership, Message, MessageSent, OpenRoom,
    React, Reacted, ReactionChanged, Retention, RoomInfo, RoomKind, RoomView, SendMessage, Sent,
};
use pitturu_protocol::types::inbox::{InboxAdded, InboxEntry};
use pitturu_protocol::types::system::{
    Done, Echo, Echoed, Goaway, GoawayReason, Hello, Limits, Resume, Resumed, ResumedRoom,
    StreamPosition, Welcome,
};

const TIMING: Timing = Timing {
    hello_ms: 1_000,
    ping_ms: 300,
};
const ACCESS_MS: u64 = 4_000;
const PAGE: usize = 5;
/// Longest time for a refusal to reach the client and for what it sent before that to arrive.
const ON_THE_WAY_MS: u64 = 200;

pub(crate) fn room_id(number: u8) -> RoomId {
    RoomId::from_bytes([number; 10])
}

fn user_id(index: usize) -> UserId {
    UserId::from_bytes([u8::try_from(index).unwrap(); 10])
}

/// One entry of a stream, encoded, with the cursor after it.
#[derive(Clone)]
struct Entry {
    frame: Vec<u8>,
    after: Cursor,
    is_message: bool,
    text: String,
}

#[derive(Default)]
struct Log(Vec<Entry>);

impl Log {
    fn head(&self) -> Cursor {
        self.0.last().map_or(Cursor::default(), |entry| entry.after)
    }

    fn after(&self, cursor: Cursor) -> impl Iterator<Item = &Entry> {
        let first = self.0.partition_point(|entry| {
            entry.after.seq <= cursor.seq && entry.after.rev <= cursor.rev
        });
        self.0[first..].iter().filter(move |entry| {
            if entry.is_message {
                entry.after.seq > cursor.seq
            } else {
                entry.after.rev > cursor.rev
            }
        })
    }
}

struct Account {
    refresh: String,
    /// Key and reply of the last refresh.
    last: Option<(String, Vec<u8>)>,
    generation: u32,
    access: HashMap<String, u64>,
    inbox: Log,
    /// Sends to a room are refused until then.
    limited: HashMap<RoomId, u64>,
    /// Number of the newest send to a room that has arrived, taken or refused.
    arrived: HashMap<RoomId, u32>,
    first_arrivals: HashSet<(RoomId, u32)>,
    /// The first send to a room that was refused and has not come again, and when.
    refused: HashMap<RoomId, (u32, u64)>,
}

pub(crate) struct Server {
    accounts: Vec<Account>,
    rooms: BTreeMap<RoomId, Log>,
    stored: HashMap<(usize, String), (Vec<u8>, Vec<u8>)>,
    pub(crate) calm: bool,
    /// Whether it refuses sends that are too fast. Those on the wire already when the client learns of it may then
    /// overtake the refused one.
    pub(crate) limits_sends: bool,
    /// Whether it may leave an entry out by a fault of its own.
    pub(crate) loses_entries: bool,
    /// Whether no send is given up, so that the ones behind a refused one must wait for it.
    pub(crate) sends_wait: bool,
    pub(crate) reused_refresh_tokens: u32,
    /// The keys of all frames that any connection has brought.
    keys: HashSet<String>,
    /// What the first attempts had seen of their room, until they are decided.
    first_heads: HashMap<String, u64>,
    /// Calls that were decided and whose first attempt had told what it had seen.
    pub(crate) first_attempts: u64,
    said_for_the_moment: u32,
}

#[derive(Clone, Copy)]
struct Feed {
    cursor: Cursor,
    live: bool,
    waits_for_ack: bool,
}

/// One connection at the server.
pub(crate) struct Session {
    connection: ServerConnection,
    player: Option<(usize, u64)>,
    feeds: BTreeMap<Stream, Feed>,
    out: Vec<Vec<u8>>,
    pub(crate) closed: Option<u16>,
}

impl Session {
    pub(crate) fn next_at(&self) -> u64 {
        self.connection.next_at()
    }

    fn close(&mut self, code: CloseCode) {
        self.closed.get_or_insert(code.number());
    }

    fn event<E: pitturu_protocol::events::Event>(&mut self, event: &E) {
        self.out.push(frame::event(event));
    }

    fn say(&mut self, frame: &ServerFrame<'_>) {
        self.out.push(frame.encode());
    }

    /// What there is to send, several frames in a message at random.
    pub(crate) fn take_messages(&mut self, random: &mut Jitter) -> Vec<Vec<u8>> {
        let mut messages: Vec<Vec<u8>> = Vec::new();
        for frame in self.out.drain(..) {
            match messages.last_mut() {
                Some(last) if random.up_to(2) > 0 => last.extend(frame),
                _ => messages.push(frame),
            }
        }
        messages
    }
}

impl Server {
    pub(crate) fn new(players: usize, rooms: u8) -> Self {
        let accounts = (0..players)
            .map(|index| Account {
                refresh: format!("refresh {index} 0"),
                last: None,
                generation: 0,
                access: HashMap::new(),
                inbox: Log::default(),
                limited: HashMap::new(),
                arrived: HashMap::new(),
                first_arrivals: HashSet::new(),
                refused: HashMap::new(),
            })
            .collect();
        Self {
            accounts,
            rooms: (0..rooms)
                .map(|room| (room_id(room), Log::default()))
                .collect(),
            stored: HashMap::new(),
            calm: false,
            limits_sends: false,
            loses_entries: false,
            sends_wait: false,
            reused_refresh_tokens: 0,
            keys: HashSet::new(),
            first_heads: HashMap::new(),
            first_attempts: 0,
            said_for_the_moment: 0,
        }
    }

    pub(crate) fn first_refresh(&self, player: usize) -> String {
        self.accounts[player].refresh.clone()
    }

    pub(crate) fn head(&self, player: usize, stream: Stream) -> (u64, u64) {
        let head = self.log(player, stream).head();
        (head.seq, head.rev)
    }

    pub(crate) fn texts(&self, room: RoomId) -> impl Iterator<Item = &str> {
        self.rooms[&room]
            .0
            .iter()
            .filter(|entry| entry.is_message)
            .map(|entry| entry.text.as_str())
    }

    pub(crate) fn text(&self, room: RoomId, seq: u64) -> &str {
        let log = &self.rooms[&room].0;
        let index = log.partition_point(|entry| entry.after.seq < seq);
        &log[index].text
    }

    fn log(&self, player: usize, stream: Stream) -> &Log {
        match stream {
            Stream::Inbox => &self.accounts[player].inbox,
            Stream::Room(room) => &self.rooms[&room],
        }
    }

    pub(crate) fn accept(&self, now: u64, phase: u64) -> Session {
        Session {
            connection: ServerConnection::new(TIMING, now, phase),
            player: None,
            feeds: BTreeMap::new(),
            out: Vec::new(),
            closed: None,
        }
    }

    /// The number of what is said for the moment in a room.
    pub(crate) fn say_for_the_moment(&mut self) -> u32 {
        self.said_for_the_moment += 1;
        self.said_for_the_moment
    }

    /// Tells a connection that has the room open.
    pub(crate) fn tell_for_the_moment(session: &mut Session, room: RoomId, number: u32) {
        if session.closed.is_none() && session.feeds.contains_key(&Stream::Room(room)) {
            session.event(&EphemeralSent {
                room,
                from: user_id(0),
                name: String::new(),
                text: number.to_string(),
                at: 0,
            });
        }
    }

    pub(crate) fn tick(&mut self, now: u64, session: &mut Session) {
        if session.closed.is_some() {
            return;
        }
        match session.connection.due(now) {
            TimerAction::Nothing => {}
            TimerAction::Ping(nonce) => session.say(&ServerFrame::Ping { nonce, now }),
            TimerAction::Close(code) => session.close(code),
        }
        if session.player.is_some_and(|(_, expires)| expires <= now) {
            session.close(CloseCode::TokenExpired);
        }
    }

    pub(crate) fn send_away(&mut self, session: &mut Session) {
        if session.closed.is_none() && session.connection.greeted() {
            session.say(&ServerFrame::Goaway(Goaway {
                reason: GoawayReason::Drain,
                reconnect: true,
                within_ms: 300,
            }));
            session.close(CloseCode::Drain);
        }
    }

    pub(crate) fn add_to_inbox(&mut self, player: usize) {
        let inbox = &mut self.accounts[player].inbox;
        let seq = inbox.head().seq + 1;
        let added = InboxAdded {
            seq,
            at: 0,
            entry: InboxEntry::FriendRemoved { user: user_id(0) },
        };
        inbox.0.push(Entry {
            frame: frame::event(&added),
            after: Cursor { seq, rev: 0 },
            is_message: true,
            text: String::new(),
        });
    }

    pub(crate) fn receive(
        &mut self,
        now: u64,
        session: &mut Session,
        message: &[u8],
        random: &mut Jitter,
    ) {
        let mut rest = message;
        while !rest.is_empty() && session.closed.is_none() {
            let (said, after) = match session.connection.read(rest, now) {
                Ok(read) => read,
                Err(violation) => panic!("the client broke the protocol: {violation:?}"),
            };
            rest = after;
            match said {
                ClientEvent::Hello(hello) => self.hello(now, session, &hello),
                ClientEvent::Call {
                    call,
                    method,
                    body,
                    key,
                    head,
                } => {
                    self.attempted(key, head);
                    assert!(session.connection.calls_in_flight() <= limits::CALLS_IN_FLIGHT_MAX);
                    let key = key.map(str::to_owned);
                    let result = self.call(now, session, (call, method, body, key), random);
                    session.connection.answered(call);
                    match result {
                        Ok(None) => {}
                        Ok(Some(body)) => {
                            let frame = ServerFrame::Reply { call, body: &body }.encode();
                            if !self.calm && random.up_to(30) == 0 {
                                session.out.push(frame.clone());
                            }
                            session.out.push(frame);
                        }
                        Err(fault) => session.say(&ServerFrame::Fault { call, fault }),
                    }
                    self.start_feeds(session);
                }
                ClientEvent::Ack { stream, cursor } => {
                    if let Some(feed) = session.feeds.get_mut(&stream) {
                        // An ack of what was sent before the stream was opened anew is of no use.
                        let reached =
                            cursor.seq >= feed.cursor.seq && cursor.rev >= feed.cursor.rev;
                        feed.waits_for_ack &= !reached;
                    }
                    self.start_feeds(session);
                }
                ClientEvent::Beyond { method, fault, .. } => {
                    panic!("the client asked for {method} with {fault:?}")
                }
                ClientEvent::Cancel(_) | ClientEvent::Input { .. } | ClientEvent::Nothing => {}
            }
        }
    }

    /// A call that says that it is the first attempt is one: no frame with its key has come before.
    fn attempted(&mut self, key: Option<&str>, head: Option<u64>) {
        let Some(key) = key else { return };
        let is_new = self.keys.insert(key.to_owned());
        if let Some(head) = head {
            assert!(is_new, "{key} was sent before");
            self.first_heads.insert(key.to_owned(), head);
        }
    }

    /// A call was decided for the first time. Its client had seen nothing that came later.
    fn decided(&mut self, key: &str, body: &[u8]) {
        #[derive(serde::Deserialize)]
        struct InRoom {
            room: RoomId,
        }
        let InRoom { room } = codec::decode(body).unwrap();
        let seq = self.rooms[&room].head().seq;
        if let Some(head) = self.first_heads.remove(key) {
            assert!(head <= seq, "{key} had seen {head} of {seq}");
            self.first_attempts += 1;
        }
    }

    fn hello(&mut self, now: u64, session: &mut Session, hello: &Hello) {
        let found = hello.token.as_ref().map(|token| {
            self.accounts
                .iter()
                .enumerate()
                .find_map(|(index, account)| account.access.get(token).map(|at| (index, *at)))
                .filter(|(_, expires)| *expires > now)
        });
        session.player = found.flatten();
        let welcome = Welcome {
            v: pitturu_protocol::VERSION,
            epoch: 1,
            conn: ConnectionId::from_bytes([0; 10]),
            now,
            ping_ms: u32::try_from(TIMING.ping_ms).unwrap(),
            identity: session
                .player
                .map(|(index, expires)| identity(index, expires)),
            refused: (found == Some(None)).then(|| Fault::of(Code::TokenExpired)),
            limits: Limits {
                frame_bytes: 65_536,
                message_bytes: 262_144,
                calls: 16,
                rooms: 256,
            },
            quic: None,
        };
        session.say(&ServerFrame::Welcome(welcome));
    }

    /// The encoded reply, or none when the reply was pushed already.
    fn call(
        &mut self,
        now: u64,
        session: &mut Session,
        (call, method, body, key): (CallId, u16, &[u8], Option<String>),
        random: &mut Jitter,
    ) -> Result<Option<Vec<u8>>, Fault> {
        let access = MethodInfo::of(method).unwrap().access;
        if method == RefreshTokens::NUMBER {
            let request: RefreshTokens = codec::decode(body).unwrap();
            return self
                .refresh(now, session, &request.refresh, key.unwrap())
                .map(Some);
        }
        if method == Echo::NUMBER {
            let Echo { data } = codec::decode(body).unwrap();
            return Ok(Some(codec::encode(&Echoed { data, now })));
        }
        let Some((player, _)) = session.player else {
            assert_ne!(access, Access::Anyone);
            return Err(Fault::of(Code::Unauthenticated));
        };
        let key = key.map(|key| (player, key));
        if let Some(key) = &key
            && let Some((request, reply)) = self.stored.get(key)
        {
            assert_eq!(request, body, "a key was used for another request");
            return Ok(Some(reply.clone()));
        }
        let (reply, stores) = match method {
            SendMessage::NUMBER => {
                self.may_send(now, player, body, random)?;
                (codec::encode(&self.send(now, player, body)), true)
            }
            React::NUMBER => (codec::encode(&self.react(now, player, body)?), true),
            JoinRoom::NUMBER => {
                let JoinRoom { room } = codec::decode(body).unwrap();
                (codec::encode(&self.open(session, room, None)), true)
            }
            OpenRoom::NUMBER => {
                let open: OpenRoom = codec::decode(body).unwrap();
                let from = open.seq.zip(open.rev).map(|(seq, rev)| Cursor { seq, rev });
                (codec::encode(&self.open(session, open.room, from)), false)
            }
            CloseRoom::NUMBER => {
                let CloseRoom { room } = codec::decode(body).unwrap();
                session.feeds.remove(&Stream::Room(room));
                (codec::encode(&Done {}), false)
            }
            Resume::NUMBER => {
                let resumed = self.resume(session, &codec::decode(body).unwrap());
                session.out.push(frame::reply(call, &resumed));
                return Ok(None);
            }
            other => panic!("method {other} is not modelled"),
        };
        if let Some(key) = key
            && stores
        {
            self.decided(&key.1, body);
            self.stored.insert(key, (body.to_vec(), reply.clone()));
        }
        Ok(Some(reply))
    }

    fn may_send(
        &mut self,
        now: u64,
        player: usize,
        body: &[u8],
        random: &mut Jitter,
    ) -> Result<(), Fault> {
        let send: SendMessage = codec::decode(body).unwrap();
        let number: u32 = send.text.split_once(':').unwrap().1.parse().unwrap();
        let account = &mut self.accounts[player];
        let arrived = account.arrived.entry(send.room).or_default();
        if account.first_arrivals.insert((send.room, number)) {
            assert!(number > *arrived, "send {number} came after {arrived}");
            *arrived = number;
            if self.sends_wait
                && let Some((first, at)) = account.refused.get(&send.room)
            {
                assert!(
                    now < *at + ON_THE_WAY_MS,
                    "send {number} went before {first}, which was refused at {at}"
                );
            }
        }
        if account
            .refused
            .get(&send.room)
            .is_some_and(|(first, _)| *first == number)
        {
            account.refused.remove(&send.room);
        }
        let until = account.limited.entry(send.room).or_default();
        if self.limits_sends && *until <= now && !self.calm && random.up_to(40) == 0 {
            *until = now + 300 + random.up_to(300);
        }
        if *until > now {
            account.refused.entry(send.room).or_insert((number, now));
            return Err(Fault::of(Code::RateLimited).retry_after_ms(*until - now));
        }
        Ok(())
    }

    fn send(&mut self, now: u64, player: usize, body: &[u8]) -> Sent {
        let send: SendMessage = codec::decode(body).unwrap();
        let log = self.rooms.get_mut(&send.room).unwrap();
        let after = Cursor {
            seq: log.head().seq + 1,
            rev: log.head().rev,
        };
        let sent = MessageSent {
            room: send.room,
            msg: Message {
                seq: after.seq,
                from: user_id(player),
                name: String::new(),
                text: send.text.clone(),
                at: now,
                data: None,
                reply_to: None,
                edited_at: None,
                deleted_by: None,
                reactions: Vec::new(),
            },
        };
        log.0.push(Entry {
            frame: frame::event(&sent),
            after,
            is_message: true,
            text: send.text,
        });
        Sent {
            seq: after.seq,
            at: now,
        }
    }

    fn react(&mut self, _: u64, player: usize, body: &[u8]) -> Result<Reacted, Fault> {
        let react: React = codec::decode(body).unwrap();
        let log = self.rooms.get_mut(&react.room).unwrap();
        if log.head().seq == 0 {
            return Ok(Reacted {
                rev: None,
                count: 0,
            });
        }
        let after = Cursor {
            seq: log.head().seq,
            rev: log.head().rev + 1,
        };
        let changed = ReactionChanged {
            room: react.room,
            rev: after.rev,
            seq: react.seq,
            user: user_id(player),
            emoji: react.emoji,
            on: true,
            count: 1,
        };
        log.0.push(Entry {
            frame: frame::event(&changed),
            after,
            is_message: false,
            text: String::new(),
        });
        Ok(Reacted {
            rev: Some(after.rev),
            count: 1,
        })
    }

    fn refresh(
        &mut self,
        now: u64,
        session: &mut Session,
        token: &str,
        key: String,
    ) -> Result<Vec<u8>, Fault> {
        let index: usize = token.split(' ').nth(1).unwrap().parse().unwrap();
        let account = &mut self.accounts[index];
        if account.last.as_ref().is_none_or(|(last, _)| *last != key) {
            if account.refresh != token {
                self.reused_refresh_tokens += 1;
                return Err(Fault::of(Code::RefreshReused));
            }
            account.generation += 1;
            account.refresh = format!("refresh {index} {}", account.generation);
            let access = format!("access {index} {}", account.generation);
            let expires_at = now + ACCESS_MS;
            account.access.insert(access.clone(), expires_at);
            let signed_in = SignedIn {
                identity: identity(index, expires_at),
                access,
                refresh: account.refresh.clone(),
                refresh_expires_at: now + 1_000_000,
                created: false,
            };
            account.last = Some((key, codec::encode(&signed_in)));
        }
        let (_, reply) = account.last.as_ref().unwrap();
        let signed_in: SignedIn = codec::decode(reply).unwrap();
        if signed_in.identity.expires_at > now {
            session.player = Some((index, signed_in.identity.expires_at));
        }
        Ok(reply.clone())
    }

    fn open(&self, session: &mut Session, room: RoomId, from: Option<Cursor>) -> RoomView {
        let head = self.rooms[&room].head();
        let cursor = from.unwrap_or(head);
        assert!(cursor.seq <= head.seq && cursor.rev <= head.rev);
        let feed = Feed {
            cursor,
            live: false,
            waits_for_ack: false,
        };
        session.feeds.insert(Stream::Room(room), feed);
        view(room, head)
    }

    fn resume(&self, session: &mut Session, resume: &Resume) -> Resumed {
        let (player, _) = session.player.unwrap();
        if let Some(seq) = resume.inbox {
            let feed = Feed {
                cursor: Cursor { seq, rev: 0 },
                live: false,
                waits_for_ack: false,
            };
            session.feeds.insert(Stream::Inbox, feed);
        }
        let rooms = resume
            .rooms
            .iter()
            .map(|one| {
                let cursor = Cursor {
                    seq: one.seq,
                    rev: one.rev,
                };
                ResumedRoom {
                    room: one.room,
                    view: Some(self.open(session, one.room, Some(cursor))),
                    fault: None,
                }
            })
            .collect();
        Resumed {
            inbox: self.accounts[player].inbox.head().seq,
            rooms,
        }
    }

    /// Sends the next page of every stream that is neither live nor waiting.
    fn start_feeds(&self, session: &mut Session) {
        let Some((player, _)) = session.player else {
            return;
        };
        for (stream, mut feed) in session.feeds.clone() {
            if feed.live || feed.waits_for_ack {
                continue;
            }
            let log = self.log(player, stream);
            for entry in log.after(feed.cursor).take(PAGE) {
                session.out.push(entry.frame.clone());
                feed.cursor = advance(feed.cursor, entry);
            }
            feed.live = feed.cursor == log.head();
            feed.waits_for_ack = !feed.live;
            session.event(&StreamPosition {
                stream: stream.to_string(),
                seq: feed.cursor.seq,
                rev: feed.cursor.rev,
                head: log.head().seq,
                live: feed.live,
            });
            session.feeds.insert(stream, feed);
        }
    }

    /// Pushes what is new to the streams that are live. Now and then one is lost by a fault of the server, comes twice, or
    /// the stream is cut as if the client were slow.
    pub(crate) fn fan_out(&self, session: &mut Session, random: &mut Jitter) {
        let Some((player, _)) = session.player else {
            return;
        };
        if session.closed.is_some() {
            return;
        }
        for (stream, mut feed) in session.feeds.clone() {
            if !feed.live {
                continue;
            }
            for entry in self.log(player, stream).after(feed.cursor) {
                let fate = if self.calm { 9 } else { random.up_to(300) };
                if fate == 0 {
                    feed.live = false;
                    break;
                }
                if fate != 1 || !self.loses_entries {
                    session.out.push(entry.frame.clone());
                }
                if fate == 2 {
                    session.out.push(entry.frame.clone());
                }
                feed.cursor = advance(feed.cursor, entry);
            }
            session.feeds.insert(stream, feed);
        }
        self.start_feeds(session);
    }
}

fn advance(cursor: Cursor, entry: &Entry) -> Cursor {
    if entry.is_message {
        Cursor {
            seq: entry.after.seq,
            ..cursor
        }
    } else {
        Cursor {
            rev: entry.after.rev,
            ..cursor
        }
    }
}

fn identity(index: usize, expires_at: u64) -> Identity {
    Identity {
        user: user_id(index),
        session: SessionId::from_bytes([0; 10]),
        role: Role::Player,
        guest: false,
        expires_at,
    }
}

fn view(room: RoomId, head: Cursor) -> RoomView {
    RoomView {
        info: RoomInfo {
            room,
            kind: RoomKind::Public,
            name: "room".into(),
            handle: None,
            topic: None,
            peer: None,
            members: 1,
            head: head.seq,
            first: 1,
            slow_mode_ms: 0,
            retention: Retention::default(),
            created_at: 0,
        },
        me: Membership {
            role: MemberRole::Member,
            read: 0,
            muted_until: None,
            joined_at: 0,
        },
        rev: head.rev,
        online: 1,
    }
}
