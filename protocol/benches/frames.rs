//! Frames: what it takes to write and to read them. Times and allocations are those of one frame.

use divan::counter::BytesCount;
use divan::{AllocProfiler, Bencher, black_box};
use pitturu_protocol::VERSION;
use pitturu_protocol::codec;
use pitturu_protocol::frame::{self, ClientFrame, ServerFrame};
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::server::{ClientEvent, ServerConnection, Timing};
use pitturu_protocol::types::chat::{Message, MessageSent, SendMessage, Sent};
use pitturu_protocol::types::system::Hello;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const ROOM: RoomId = RoomId::from_bytes([7; 10]);

const KEY: &str = "0123456789abcdef";

const TEXT_BYTES: [usize; 3] = [16, 128, 1_024];

/// Where the number of a call lies in its frame when it takes five bytes: after the array and the kind.
const CALL_AT: usize = 2;

fn main() {
    divan::Divan::default()
        .sample_size(100)
        .config_with_args()
        .main();
}

fn send_message(text_bytes: usize) -> SendMessage {
    SendMessage {
        room: ROOM,
        text: "x".repeat(text_bytes),
        data: None,
        reply_to: None,
    }
}

fn message_sent(text_bytes: usize) -> MessageSent {
    MessageSent {
        room: ROOM,
        msg: Message {
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
        },
    }
}

fn greeted() -> ServerConnection {
    let hello = Hello {
        v: VERSION,
        sdk: "bench".to_owned(),
        token: None,
        presence: None,
    };
    let mut connection = ServerConnection::new(Timing::default(), 0, 0);
    connection
        .read(&ClientFrame::Hello(hello).encode(), 0)
        .expect("hello is first");
    connection
}

/// The client writes a call.
#[divan::bench(args = TEXT_BYTES)]
fn encode_call(bencher: Bencher<'_, '_>, text_bytes: usize) {
    let request = send_message(text_bytes);
    bencher
        .counter(BytesCount::new(
            frame::call(70_000, &request, Some(KEY)).len(),
        ))
        .bench_local(|| frame::call(70_000, black_box(&request), Some(KEY)));
}

/// The server writes an event, once for all who follow.
#[divan::bench(args = TEXT_BYTES)]
fn encode_event(bencher: Bencher<'_, '_>, text_bytes: usize) {
    let event = message_sent(text_bytes);
    bencher
        .counter(BytesCount::new(frame::event(&event).len()))
        .bench_local(|| frame::event(black_box(&event)));
}

/// The server writes a reply.
#[divan::bench]
fn encode_reply(bencher: Bencher<'_, '_>) {
    let reply = Sent {
        seq: 123_456,
        at: 1_800_000_000_000,
    };
    bencher
        .counter(BytesCount::new(frame::reply(70_000, &reply).len()))
        .bench_local(|| frame::reply(70_000, black_box(&reply)));
}

/// The server reads a call up to its body, and settles it.
#[divan::bench(args = TEXT_BYTES)]
fn scan_call(bencher: Bencher<'_, '_>, text_bytes: usize) {
    let mut calls = Calls::of(text_bytes);
    bencher
        .counter(BytesCount::new(calls.bytes.len()))
        .bench_local(|| calls.read(|body| body.len()));
}

/// The server reads a call with its body, and settles it.
#[divan::bench(args = TEXT_BYTES)]
fn decode_call(bencher: Bencher<'_, '_>, text_bytes: usize) {
    let mut calls = Calls::of(text_bytes);
    bencher
        .counter(BytesCount::new(calls.bytes.len()))
        .bench_local(|| {
            calls.read(|body| codec::decode::<SendMessage>(body).expect("it was encoded so"))
        });
}

/// A client reads an event with its body.
#[divan::bench(args = TEXT_BYTES)]
fn decode_event(bencher: Bencher<'_, '_>, text_bytes: usize) {
    let bytes = frame::event(&message_sent(text_bytes));
    bencher
        .counter(BytesCount::new(bytes.len()))
        .bench_local(|| {
            let (frame, _) = ServerFrame::read(black_box(&bytes)).expect("it was encoded so");
            let ServerFrame::Event { body, .. } = frame else {
                unreachable!("an event was encoded");
            };
            codec::decode::<MessageSent>(body).expect("it was encoded so")
        });
}

/// A connection's calls, one after the other: the same bytes with another number each time.
struct Calls {
    connection: ServerConnection,
    bytes: Vec<u8>,
    next: u32,
}

impl Calls {
    fn of(text_bytes: usize) -> Self {
        let first = 70_000;
        Self {
            connection: greeted(),
            bytes: frame::call(first, &send_message(text_bytes), Some(KEY)),
            next: first,
        }
    }

    fn read<T>(&mut self, take: impl FnOnce(&[u8]) -> T) -> T {
        let number = self.next;
        self.next += 1;
        self.bytes[CALL_AT + 1..CALL_AT + 5].copy_from_slice(&number.to_be_bytes());
        let (said, _) = self
            .connection
            .read(black_box(&self.bytes), 1)
            .expect("numbers increase");
        let ClientEvent::Call { call, body, .. } = said else {
            unreachable!("a call was encoded");
        };
        let taken = take(body);
        assert!(self.connection.answered(call), "call {number} was read");
        taken
    }
}
