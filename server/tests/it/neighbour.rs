//! Well-behaved players beside a hostile one: how long they wait for answers, and whether they miss anything.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pitturu_protocol::types::chat::{CreateRoom, JoinRoom, MessageSent, RoomKind, SendMessage};
use pitturu_protocol::types::system::Echo;

use crate::player::Player;

/// How long a phase is measured.
const PHASE: Duration = Duration::from_secs(2);

/// Pause between two echoes.
const ECHO_EVERY: Duration = Duration::from_millis(4);

/// One chat message per so many echoes.
const ECHOES_PER_MESSAGE: u64 = 4;

/// What a server needs so that the neighbours may chat this much.
pub(crate) const SETTINGS: [&str; 2] = ["limits.chat_per_second=1000", "limits.chat_burst=1000"];

/// An attack may not make the neighbour's p99 longer than this many times its own baseline …
const RATIO_MAX: u32 = 3;

/// … unless it stays below this, which a busy machine may reach by itself.
const FLOOR: Duration = Duration::from_millis(50);

/// Other programs disturb one round or another, an attack that works disturbs all of them.
const ROUNDS_MAX: u32 = 4;

#[derive(Clone, Debug, Default)]
struct Waits {
    echoes: Vec<Duration>,
    messages: Vec<Duration>,
}

fn p99(waits: &mut [Duration]) -> Duration {
    assert!(waits.len() >= 10, "only {} answers", waits.len());
    waits.sort_unstable();
    waits[(waits.len() * 99 / 100).min(waits.len() - 1)]
}

/// Two players who chat in a room of their own until the end.
pub(crate) struct Neighbours {
    waits: Arc<Mutex<Waits>>,
    stop: Arc<AtomicBool>,
    writer: JoinHandle<u64>,
    reader: JoinHandle<u64>,
}

impl Neighbours {
    /// Moves in.
    pub(crate) fn start(address: SocketAddr) -> Self {
        let (mut writer, _) = Player::guest(address, "neighbour-writer");
        let (mut reader, _) = Player::guest(address, "neighbour-reader");
        let room = writer
            .call(&CreateRoom {
                kind: RoomKind::Public,
                name: "next door".to_owned(),
                topic: None,
                slow_mode_ms: None,
                retention: None,
            })
            .unwrap()
            .info
            .room;
        reader.call(&JoinRoom { room }).unwrap();
        let waits = Arc::new(Mutex::new(Waits::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let writer = std::thread::spawn({
            let (waits, stop) = (Arc::clone(&waits), Arc::clone(&stop));
            move || {
                let mut sent = 0;
                for turn in 1u64.. {
                    if stop.load(Ordering::Acquire) {
                        break;
                    }
                    let began = Instant::now();
                    let data = turn.to_be_bytes().to_vec();
                    let echoed = writer.call(&Echo { data: data.clone() }).unwrap();
                    assert_eq!(echoed.data, data);
                    waits.lock().unwrap().echoes.push(began.elapsed());
                    if turn % ECHOES_PER_MESSAGE == 0 {
                        let began = Instant::now();
                        sent += 1;
                        let message = SendMessage {
                            room,
                            text: format!("message {sent}"),
                            data: None,
                            reply_to: None,
                        };
                        assert_eq!(writer.call(&message).unwrap().seq, sent);
                        waits.lock().unwrap().messages.push(began.elapsed());
                    }
                    std::thread::sleep(ECHO_EVERY);
                }
                let last = SendMessage {
                    room,
                    text: "last".to_owned(),
                    data: None,
                    reply_to: None,
                };
                writer.call(&last).unwrap().seq
            }
        });
        let reader = std::thread::spawn(move || {
            for expected in 1.. {
                let event: MessageSent = reader.event();
                assert_eq!(
                    event.msg.seq, expected,
                    "a message is missing or came twice"
                );
                if event.msg.text == "last" {
                    return expected;
                }
                assert_eq!(event.msg.text, format!("message {expected}"));
            }
            unreachable!("the sequence has no end")
        });
        Self {
            waits,
            stop,
            writer,
            reader,
        }
    }

    /// Measures their waits with nobody else around, then while `attack` runs again and again, compares, and checks that no
    /// message was lost.
    pub(crate) fn endure(self, what: &str, attack: impl Fn() + Send + Sync) {
        std::thread::sleep(Duration::from_millis(300));
        let unmoved = (1..=ROUNDS_MAX).any(|round| self.round(what, round, &attack));
        self.stop.store(true, Ordering::Release);
        let sent = self.writer.join().unwrap();
        let received = self.reader.join().unwrap();
        assert_eq!(sent, received, "the neighbour lost messages");
        assert!(unmoved, "{what}: the neighbour's p99 moved in every round");
    }

    /// One comparison; true if the neighbour noticed nothing.
    fn round(&self, what: &str, round: u32, attack: &(impl Fn() + Send + Sync)) -> bool {
        self.take();
        std::thread::sleep(PHASE);
        let mut baseline = self.take();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let attacking = scope.spawn(|| {
                attack();
                while !over.load(Ordering::Acquire) {
                    attack();
                }
            });
            std::thread::sleep(PHASE);
            over.store(true, Ordering::Release);
            attacking.join().unwrap();
        });
        let mut attacked = self.take();
        let pairs = [
            ("echo", &mut baseline.echoes, &mut attacked.echoes),
            ("chat", &mut baseline.messages, &mut attacked.messages),
        ];
        let mut unmoved = true;
        for (kind, before, during) in pairs {
            let (before, during) = (p99(before), p99(during));
            println!("{what}, round {round}: {kind} p99 {before:?} alone, {during:?} beside it");
            unmoved &= during <= (before * RATIO_MAX).max(FLOOR);
        }
        unmoved
    }

    fn take(&self) -> Waits {
        std::mem::take(&mut self.waits.lock().unwrap())
    }
}
