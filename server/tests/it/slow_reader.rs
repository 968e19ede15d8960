//! Readers at 64 kbit/s in a room of 2,000 messages a second: never disconnected, nothing lost, memory flat.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pitturu_protocol::codec;
use pitturu_protocol::events::Event;
use pitturu_protocol::frame::{ClientFrame, Cursor, ServerFrame, Stream, call};
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::types::accounts::LoginGuest;
use pitturu_protocol::types::chat::{JoinRoom, MessageSent, SendMessage};
use pitturu_protocol::types::system::StreamPosition;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::crowd::{self, Light, PATIENCE};
use crate::launch::Server;
use crate::player::hello;
use crate::raw::{BINARY, message};

const SLOW_READERS: usize = 8;
const SENDERS: usize = 10;
const MESSAGES_PER_SECOND: usize = 2_000;
const FLOOD: Duration = Duration::from_secs(20);

/// 64 kbit/s, read in ten portions a second.
const PORTION: usize = 800;
const PORTION_EVERY: Duration = Duration::from_millis(100);

/// Text of a message: large enough that an unbounded backlog would show.
const TEXT_BYTES: usize = 600;

/// What the server's memory may grow by while the backlog grows to ten times as much.
const GROWTH_MAX: u64 = 32 * 1024 * 1024;

/// Where a slow reader stands.
#[derive(Default)]
struct Progress {
    hurry: AtomicBool,
    seq: AtomicU64,
}

struct SlowReader {
    stream: TcpStream,
    buffer: VecDeque<u8>,
    room: RoomId,
    progress: Arc<Progress>,
}

impl SlowReader {
    async fn join(address: SocketAddr, name: &str, room: RoomId, progress: Arc<Progress>) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket
            .set_recv_buffer_size(16 * 1024)
            .expect("a small buffer");
        socket.connect(&address.into()).expect("the server listens");
        socket.set_nonblocking(true).expect("for tokio");
        let mut stream = TcpStream::from_std(socket.into()).expect("in a runtime");
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: {}\r\n\r\n",
            pitturu_protocol::SUBPROTOCOL
        );
        stream
            .write_all(request.as_bytes())
            .await
            .expect("connected");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("an answer"));
        }
        assert!(
            head.starts_with(b"HTTP/1.1 101"),
            "{}",
            String::from_utf8_lossy(&head)
        );
        let login = LoginGuest {
            secret: format!("{name:-<32}"),
            name: Some(name.to_owned()),
            device: None,
        };
        let mut frames = hello();
        frames.extend(call(1, &login, None));
        frames.extend(call(2, &JoinRoom { room }, None));
        let mut reader = Self {
            stream,
            buffer: VecDeque::new(),
            room,
            progress,
        };
        reader.say(&frames).await;
        reader
    }

    async fn say(&mut self, frames: &[u8]) {
        let bytes = message(BINARY, frames);
        self.stream.write_all(&bytes).await.expect("connected");
    }

    /// Reads until `last` was read, at its own pace until told to hurry.
    async fn run(mut self, last: Arc<AtomicU64>) {
        let mut portion = vec![0; 64 * 1024];
        loop {
            let hurry = self.progress.hurry.load(Ordering::Relaxed);
            let size = if hurry { portion.len() } else { PORTION };
            let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut portion[..size]));
            let count = read.await.expect("something comes").expect("connected");
            assert!(count > 0, "the server has disconnected a slow reader");
            self.buffer.extend(&portion[..count]);
            self.take_messages().await;
            let last = last.load(Ordering::Relaxed);
            if last > 0 && self.progress.seq.load(Ordering::Relaxed) == last {
                return;
            }
            if !hurry {
                tokio::time::sleep(PORTION_EVERY).await;
            }
        }
    }

    async fn take_messages(&mut self) {
        while let Some((opcode, payload)) = self.next_frame() {
            assert_eq!(opcode, 2, "only binary messages come: {payload:?}");
            let mut rest = &payload[..];
            while !rest.is_empty() {
                let (frame, after) = ServerFrame::read(rest).expect("a frame");
                rest = after;
                self.take(frame).await;
            }
        }
    }

    async fn take(&mut self, frame: ServerFrame<'_>) {
        match frame {
            ServerFrame::Ping { nonce, .. } => {
                self.say(&ClientFrame::Pong { nonce }.encode()).await
            }
            ServerFrame::Fault { fault, .. } => panic!("refused: {fault}"),
            ServerFrame::Gap { from, to, .. } => panic!("nothing was removed, but {from} to {to}"),
            ServerFrame::Event { event, body } if event == MessageSent::NUMBER => {
                let sent: MessageSent = codec::decode(body).expect("the event's type");
                let before = self.progress.seq.swap(sent.msg.seq, Ordering::Relaxed);
                // The first one is wherever the reader joined.
                assert!(
                    before == 0 || before + 1 == sent.msg.seq,
                    "{before} then {}",
                    sent.msg.seq
                );
            }
            ServerFrame::Event { event, body } if event == StreamPosition::NUMBER => {
                let position: StreamPosition = codec::decode(body).expect("the event's type");
                if !position.live && position.stream == self.room.to_string() {
                    let ack = ClientFrame::Ack {
                        stream: Stream::Room(self.room),
                        cursor: Cursor {
                            seq: position.seq,
                            rev: position.rev,
                        },
                    };
                    self.say(&ack.encode()).await;
                }
            }
            _ => {}
        }
    }

    /// Takes a whole WebSocket frame out of the buffer.
    fn next_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let bytes = self.buffer.make_contiguous();
        let (head, length) = match *bytes.get(1)? {
            126 => (
                4,
                u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)),
            ),
            127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)),
            short => (2, u64::from(short)),
        };
        let end = head + usize::try_from(length).expect("fits in memory");
        let payload = bytes.get(head..end)?.to_vec();
        let opcode = bytes[0] & 0x0f;
        self.buffer.drain(..end);
        Some((opcode, payload))
    }
}

/// Sends its share of the flood and reads everything, live, as a fast member.
async fn flood(mut player: Light, room: RoomId, until: Instant) -> u64 {
    let pause = Duration::from_secs(1) * u32::try_from(SENDERS * 10).expect("small")
        / u32::try_from(MESSAGES_PER_SECOND).expect("small");
    let request = SendMessage {
        room,
        text: "x".repeat(TEXT_BYTES),
        data: None,
        reply_to: None,
    };
    let mut tick = tokio::time::interval(pause);
    let (mut sent, mut seq) = (0, 0);
    while Instant::now() < until {
        tick.tick().await;
        for _ in 0..10 {
            player.begin(&request).await;
            sent += 1;
        }
        while let Some(event) = player.ready_event().await {
            seq = newer(seq, &event);
        }
    }
    sent
}

fn newer(seq: u64, (event, body): &(u16, Vec<u8>)) -> u64 {
    if *event != MessageSent::NUMBER {
        return seq;
    }
    let sent: MessageSent = codec::decode(body).expect("the event's type");
    assert!(
        seq == 0 || sent.msg.seq == seq + 1,
        "{seq} then {}",
        sent.msg.seq
    );
    sent.msg.seq
}

#[test]
fn slow_readers_lose_nothing_and_cost_nothing() {
    let server = Server::start(&[
        "limits.chat_per_second=100000",
        "limits.chat_burst=100000",
        "store.memtable=1MiB",
        "store.cache=1MiB",
        "heartbeat.ping=5s",
    ]);
    let address = server.ws;
    crowd::runtime().block_on(async {
        let (mut owner, _) = Light::guest(address, "owner").await;
        let room = owner.create_room("flood").await.info.room;
        drop(owner);
        let last = Arc::new(AtomicU64::new(0));
        let mut progress = Vec::new();
        let mut slow = Vec::new();
        for number in 0..SLOW_READERS {
            let own = Arc::new(Progress::default());
            let name = format!("slow{number}");
            let reader = SlowReader::join(address, &name, room, Arc::clone(&own)).await;
            progress.push(own);
            slow.push(tokio::spawn(reader.run(Arc::clone(&last))));
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let until = Instant::now() + FLOOD;
        let mut floods = Vec::new();
        for mut player in crowd::guests(address, SENDERS, "fast").await {
            player.join(room).await;
            floods.push(tokio::spawn(flood(player, room, until)));
        }
        tokio::time::sleep(FLOOD / 4).await;
        let early = server.resident_bytes();
        let mut sent = 0;
        for flood in floods {
            sent += flood.await.expect("a fast member sees everything in order");
        }
        let late = server.resident_bytes();
        let head = drained_head(address, room).await;
        let slowest = slowest(&progress);
        let backlog = (head - slowest) * TEXT_BYTES as u64 * SLOW_READERS as u64;
        println!(
            "{sent} messages sent ({} per second), the slowest of {SLOW_READERS} readers has read {slowest}; backlog {} MiB, \
             server memory {} MiB early and {} MiB late in the flood",
            sent / FLOOD.as_secs(),
            backlog >> 20,
            early >> 20,
            late >> 20,
        );
        assert!(slowest > 0 && backlog > 3 * GROWTH_MAX, "the readers are not slow: {backlog}");
        assert!(late.saturating_sub(early) < GROWTH_MAX, "memory grew with the backlog");
        last.store(head, Ordering::Relaxed);
        for own in &progress {
            own.hurry.store(true, Ordering::Relaxed);
        }
        for reader in slow {
            reader.await.expect("a slow reader is never disconnected and misses nothing");
        }
        println!("all slow readers have read all {head} messages, each once and in order");
    });
}

fn slowest(progress: &[Arc<Progress>]) -> u64 {
    let read = progress.iter().map(|own| own.seq.load(Ordering::Relaxed));
    read.min().unwrap_or_default()
}

/// The room's newest message once all that was sent has been taken.
async fn drained_head(address: SocketAddr, room: RoomId) -> u64 {
    let (mut late, _) = Light::guest(address, "late").await;
    late.join(room).await;
    let mut head = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let request = pitturu_protocol::types::chat::ReadHistory {
            room,
            from: None,
            limit: Some(1),
        };
        let history = late.call(&request).await.expect("members may read");
        if history.head == head {
            return head;
        }
        head = history.head;
    }
}
