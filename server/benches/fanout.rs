//! Fan-out of one encoded event to a room's followers, and the outbox of one connection alone.
//!
//! Times and allocations are those of one iteration; the throughput in items is for each member, frame or answer.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use pitturu_protocol::frame::Cursor;
use pitturu_protocol::ids::{ConnectionId, RoomId, UserId};
use pitturu_protocol::types::chat::Message;
use pitturu_protocol::types::presence::RoomPresence;
use pitturu_server::chat::recent::message_frame;
use pitturu_server::connections::connection::Connection;
use pitturu_server::connections::link::{Broadcast, Framing, InlineWrite, InlineWriter, Peer};
use pitturu_server::connections::opening::Opening;
use pitturu_server::connections::outbox::{LatestKey, Outbox};
use pitturu_server::owners::followers::Followers;
use tikv_jemallocator::Jemalloc;

/// The allocator of the `pitturu` program.
#[global_allocator]
static ALLOCATOR: AllocProfiler<Jemalloc> = AllocProfiler::new(Jemalloc);

const ROOM: RoomId = RoomId::from_bytes([7; 10]);

const OUTBOX_BYTES: usize = 256 * 1024;

const MEMBERS: [u32; 5] = [1, 10, 100, 1_000, 9_000];

/// Deliveries in one iteration at least. Small rooms are repeated, so that the clock's own time does not show, and the
/// processor's caches hold no more of them than of a large room.
const DELIVERIES_MIN: u32 = 9_000;

const BATCHES: [usize; 3] = [1, 8, 64];

fn main() {
    divan::main();
}

/// What a connection is doing when an event comes.
#[derive(Clone, Copy)]
enum Driver {
    /// Its driver sleeps and is woken. The waker does nothing: what the runtime's takes is not part of this.
    Asleep,
    /// Its driver was woken by an event before, and has not run since.
    Woken,
    /// Its driver rests, and its transport takes messages past it. The socket takes no time: its own is not part of this.
    Open,
}

/// A framing that takes no time either.
static FRAMING: Framing = Framing::in_slot::<0>(Bytes::clone);

/// A socket that takes everything.
#[derive(Debug)]
struct Taker;

impl InlineWriter for Taker {
    fn try_send(&self, message: &Broadcast) -> InlineWrite {
        black_box(message.framed(&FRAMING));
        InlineWrite::Sent
    }
}

/// Rooms of the same size.
struct Rooms {
    rooms: Vec<Followers>,
    connections: Vec<Arc<Connection>>,
    frame: Bytes,
}

impl Rooms {
    fn of(members: u32) -> Self {
        let mut connections = Vec::new();
        let rooms = (0..DELIVERIES_MIN.div_ceil(members)).map(|_| {
            let mut followers = Followers::default();
            for _ in 0..members {
                let number = u32::try_from(connections.len()).expect("few connections");
                let connection = Arc::new(connection(number));
                let user = UserId::from_bytes(id(number));
                followers.add(Arc::clone(&connection), user, Opening::numbered(0));
                followers.catch_up(connection.id, ROOM, Cursor::default(), &[]);
                connections.push(connection);
            }
            followers
        });
        Self {
            rooms: rooms.collect(),
            frame: message_frame(ROOM, &message(128)),
            connections,
        }
    }

    fn settle(&self, driver: Driver) {
        for connection in &self.connections {
            let outbox = &connection.outbox;
            while outbox.take_batch().is_some() {}
            let rest = outbox.begin_turn(&Context::from_waker(Waker::noop()));
            assert_eq!(rest, None);
            assert!(outbox.end_turn(false, false));
            match driver {
                Driver::Asleep => {}
                Driver::Woken => outbox.catch_up(&self.frame).expect("it is empty"),
                Driver::Open => outbox.set_inline_writer(Some(Arc::new(Taker))),
            }
        }
    }

    fn deliver(&mut self) -> u64 {
        let mut sent = 0;
        for room in &mut self.rooms {
            let around = (Cursor::default(), Cursor::default());
            room.deliver(ROOM, self.frame.clone(), around);
            sent += room.flush().sent;
        }
        sent
    }

    fn bench(mut self, bencher: Bencher<'_, '_>, driver: Driver) {
        let members = self.connections.len();
        let rooms = std::cell::RefCell::new(&mut self);
        bencher
            .counter(ItemsCount::new(members))
            .with_inputs(|| rooms.borrow().settle(driver))
            .bench_local_values(|()| {
                let sent = rooms.borrow_mut().deliver();
                assert_eq!(sent, members as u64);
            });
    }
}

fn connection(number: u32) -> Connection {
    let peer = Peer {
        address: Ipv4Addr::LOCALHOST.into(),
        transport: &"ws",
        secure: false,
    };
    Connection::new(
        ConnectionId::from_bytes(id(number)),
        peer,
        OUTBOX_BYTES,
        Arc::default(),
    )
}

fn id(number: u32) -> [u8; 10] {
    let mut id = [0; 10];
    id[..4].copy_from_slice(&number.to_be_bytes());
    id
}

fn message(text_bytes: usize) -> Message {
    Message {
        seq: 123_456,
        from: UserId::from_bytes([3; 10]),
        name: "Player One".to_owned(),
        text: "x".repeat(text_bytes),
        at: 1_800_000_000_000,
        data: None,
        reply_to: None,
        edited_at: None,
        deleted_by: None,
        reactions: Vec::new(),
    }
}

#[divan::bench(args = MEMBERS, sample_size = 1)]
fn deliver_to_empty_outboxes(bencher: Bencher<'_, '_>, members: u32) {
    Rooms::of(members).bench(bencher, Driver::Asleep);
}

#[divan::bench(args = MEMBERS, sample_size = 1)]
fn deliver_where_one_waits(bencher: Bencher<'_, '_>, members: u32) {
    Rooms::of(members).bench(bencher, Driver::Woken);
}

#[divan::bench(args = MEMBERS, sample_size = 1)]
fn deliver_past_the_driver(bencher: Bencher<'_, '_>, members: u32) {
    Rooms::of(members).bench(bencher, Driver::Open);
}

#[divan::bench(args = BATCHES)]
fn outbox_push_and_take_batch(bencher: Bencher<'_, '_>, frames: usize) {
    let outbox = Outbox::new(OUTBOX_BYTES);
    let frame = message_frame(ROOM, &message(128));
    bencher.counter(ItemsCount::new(frames)).bench_local(|| {
        for _ in 0..frames {
            outbox.catch_up(black_box(&frame)).expect("it was emptied");
        }
        outbox.take_batch()
    });
}

#[divan::bench]
fn outbox_latest_replaces(bencher: Bencher<'_, '_>) {
    let outbox = Outbox::new(OUTBOX_BYTES);
    let state = Broadcast::new(message_frame(ROOM, &message(16)));
    let key = LatestKey::of::<RoomPresence>(ROOM);
    outbox.latest(key, &state);
    bencher
        .counter(ItemsCount::new(1_u32))
        .bench_local(|| outbox.latest(black_box(key), &state));
}

#[divan::bench]
fn outbox_latest_and_take_batch(bencher: Bencher<'_, '_>) {
    let outbox = Outbox::new(OUTBOX_BYTES);
    let state = Broadcast::new(message_frame(ROOM, &message(16)));
    let key = LatestKey::of::<RoomPresence>(ROOM);
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        outbox.latest(black_box(key), &state);
        outbox.take_batch()
    });
}

#[divan::bench]
fn outbox_answer_and_take_answered(bencher: Bencher<'_, '_>) {
    let outbox = Outbox::new(OUTBOX_BYTES);
    let frame = message_frame(ROOM, &message(16));
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        outbox.answer(black_box(1), frame.clone());
        (outbox.take_batch(), outbox.snapshot(Bytes::new()).answered)
    });
}
