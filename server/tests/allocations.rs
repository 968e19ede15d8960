//! What the hot path allocates, counted: a program of its own, since the counting allocator is the program's.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::task::{Context, Waker};

use allocation_counter::{AllocationInfo, measure};
use bytes::Bytes;
use pitturu_protocol::frame::Cursor;
use pitturu_protocol::ids::{ConnectionId, RoomId, UserId};
use pitturu_protocol::types::chat::Message;
use pitturu_protocol::types::presence::PlayerPresence;
use pitturu_server::chat::recent::message_frame;
use pitturu_server::connections::connection::Connection;
use pitturu_server::connections::link::{Broadcast, Peer};
use pitturu_server::connections::opening::Opening;
use pitturu_server::connections::outbox::{Cut, LatestKey, Outbox};
use pitturu_server::owners::followers::{Delivered, Followers};

const ROOM: RoomId = RoomId::from_bytes([7; 10]);

const OUTBOX_BYTES: usize = 256 * 1024;

/// A message of 128 bytes becomes an event: copies of its name and text, the encoder's buffer and its growth, the count of
/// who shares the bytes, and the list of what goes out together.
const EVENT_ALLOCATIONS_MAX: u64 = 6;

/// What an idle connection's shared part may take, its outbox included: a size of the allocator, less the two counts of
/// an `Arc`. One byte more costs each connection 64.
#[cfg(target_os = "linux")]
const CONNECTION_BYTES_MAX: usize = 448 - 2 * size_of::<usize>();

struct Room {
    followers: Followers,
    connections: Vec<Arc<Connection>>,
}

impl Room {
    /// A room in its steady state: everybody has got events before.
    fn of(members: u32) -> Self {
        let mut room = Self {
            followers: Followers::default(),
            connections: Vec::new(),
        };
        for number in 0..members {
            let mut id = [0; 10];
            id[..4].copy_from_slice(&number.to_be_bytes());
            let peer = Peer {
                address: Ipv4Addr::LOCALHOST.into(),
                transport: &"ws",
                secure: false,
            };
            let id_of_connection = ConnectionId::from_bytes(id);
            let connection = Arc::new(Connection::new(
                id_of_connection,
                peer,
                OUTBOX_BYTES,
                Arc::default(),
            ));
            room.followers.add(
                Arc::clone(&connection),
                UserId::from_bytes(id),
                Opening::numbered(0),
            );
            room.followers
                .catch_up(connection.id, ROOM, Cursor::default(), &[]);
            room.connections.push(connection);
        }
        for events in [1, 3] {
            room.deliver(&messages(events));
        }
        room
    }

    /// Encodes and delivers an event for each message, then has each driver send what waits.
    fn deliver(&mut self, messages: &[Message]) {
        let mut bytes = 0;
        for message in messages {
            let frame = message_frame(ROOM, message);
            bytes += frame.len();
            let around = (Cursor::default(), Cursor::default());
            self.followers.deliver(ROOM, frame, around);
            let delivered = self.followers.flush();
            let sent = self.connections.len() as u64;
            assert_eq!(delivered, Delivered { sent, cut: 0 });
        }
        for connection in &self.connections {
            let outbox = &connection.outbox;
            let rest = outbox.begin_turn(&Context::from_waker(Waker::noop()));
            assert_eq!(rest, None);
            let batch = outbox.take_batch().expect("the events wait");
            assert_eq!(batch.len(), bytes);
            assert_eq!(outbox.take_batch(), None);
            assert!(outbox.end_turn(false, false));
        }
    }
}

fn messages(count: u64) -> Vec<Message> {
    let message = |seq| Message {
        seq,
        from: UserId::from_bytes([3; 10]),
        name: "Player One".to_owned(),
        text: "x".repeat(128),
        at: 1_800_000_000_000,
        data: None,
        reply_to: None,
        edited_at: None,
        deleted_by: None,
        reactions: Vec::new(),
    };
    (1..=count).map(message).collect()
}

/// What it takes to deliver `events` and to send them: allocations for a room of one, and for each member on top of it.
fn delivery(events: u64, members: u32) -> (u64, f64) {
    let [alone, together] = [1, members].map(|members| {
        let mut room = Room::of(members);
        let messages = messages(events);
        let info = measure(|| room.deliver(&messages));
        assert_nothing_is_kept(info);
        info.count_total
    });
    let for_each = (together - alone) as f64 / f64::from(members - 1);
    (alone, for_each)
}

fn assert_nothing_is_kept(info: AllocationInfo) {
    assert_eq!((info.count_current, info.bytes_current), (0, 0), "{info:?}");
}

#[test]
fn an_event_is_encoded_once_and_costs_a_member_no_allocation() {
    let (event, member) = delivery(1, 1_000);
    assert!(event <= EVENT_ALLOCATIONS_MAX, "{event} for the event");
    assert!(member == 0.0, "{member} for each member");
}

/// The queue behind the first frame, grown by doubling from four, and the message in which the frames are put together.
#[test]
fn events_that_wait_together_cost_a_member_the_queue_and_one_message() {
    for (events, allocations) in [(2, 2.0), (5, 2.0), (8, 3.0), (64, 6.0)] {
        let (_, member) = delivery(events, 100);
        assert!(member <= allocations, "{member} for {events} events");
    }
}

#[test]
fn an_answer_costs_nothing_beyond_its_bytes() {
    let outbox = Outbox::new(OUTBOX_BYTES);
    let frame = Bytes::from_static(b"reply");
    let info = measure(|| {
        for call in 1..=4 {
            outbox.answer(call, frame.clone());
            assert_eq!(outbox.take_batch().as_ref(), Some(&frame));
            assert_eq!(outbox.snapshot(Bytes::new()).answered.len(), 1);
        }
    });
    assert_eq!(info.count_total, 0);
}

#[test]
fn an_outbox_in_which_nothing_waits_keeps_no_memory() {
    let outbox = Outbox::new(OUTBOX_BYTES);
    let frame = Bytes::from_static(&[0; 100]);
    let state = Broadcast::new(frame.clone());
    let info = measure(|| {
        for call in 0..64 {
            outbox.answer(call, frame.clone());
            outbox.catch_up(&frame).expect("there is room");
            let user = UserId::from_bytes([u8::try_from(call).expect("few calls"); 10]);
            outbox.latest(LatestKey::of::<PlayerPresence>(user), &state);
        }
        outbox.revoke(64, frame.clone());
        outbox.answer(64, frame.clone());
        outbox.cut(Cut {
            room: ROOM,
            opening: Opening::numbered(0),
            cursor: Cursor::default(),
            until: Some(Cursor::default()),
        });
        while outbox.take_batch().is_some() {}
        assert_eq!(outbox.snapshot(Bytes::new()).answered.len(), 65);
        assert!(outbox.take_cut().is_some());
    });
    assert!(info.count_total > 0, "the counter counts");
    assert_nothing_is_kept(info);
}

#[cfg(target_os = "linux")]
#[test]
fn the_shared_part_of_a_connection_fits_into_its_size_class() {
    let bytes = size_of::<Connection>();
    assert!(bytes <= CONNECTION_BYTES_MAX, "{bytes} bytes");
}
