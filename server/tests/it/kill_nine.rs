//! The server is killed twenty times while clients of both SDKs send. They come back by themselves; no acknowledged message
//! is lost, none is there twice, and every live stream has every message once and in order.

use std::collections::{HashMap, HashSet};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pitturu_client::types::chat::RoomKind;
use pitturu_client::{BackOff, RoomId};
use pitturu_protocol::backoff::Jitter;

use crate::launch::Server;
use crate::sdk_node::{NodePlayers, has_node_sdk};
use crate::sdk_rust::{Message, Report, RustPlayer, digest, history};

const KILLS: u64 = 20;
const RUST_PLAYERS: usize = 4;
const NODE_PLAYERS: usize = 3;

/// Messages of one player at a time.
const UNDER_WAY: usize = 12;

/// Acknowledged messages of each SDK before every other kill.
const BETWEEN_KILLS: u64 = 50;

/// Longest time of the other lives. Some end while clients are coming back.
const SHORT_LIFE_MS: u64 = 400;

/// Longest time for anything that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

const BACK_OFF: BackOff = BackOff {
    base_ms: 20,
    cap_ms: 200,
};

pub(crate) const SETTINGS: &[&str] = &[
    "limits.chat_per_second=1000000",
    "limits.chat_burst=1000000",
    "limits.read_per_second=1000000",
    "limits.read_burst=1000000",
    "limits.frames_per_second=1000000",
];

/// A free address whose port the system gives to nobody who asks for any: nobody takes it while the server is down.
pub(crate) fn fixed_address() -> String {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let first_given = range
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse::<u32>().ok())
        .unwrap_or(32_768);
    let ports = 10_000..first_given.clamp(10_001, 65_536);
    let length = ports.end - ports.start;
    (0..length)
        .map(|n| ports.start + (std::process::id() * 7 + n) % length)
        .map(|port| format!("127.0.0.1:{port}"))
        .find(|address| TcpListener::bind(address).is_ok())
        .expect("a port is free")
}

/// The players of both SDKs, all of whom are sending.
struct Load {
    rust: Vec<RustPlayer>,
    node: NodePlayers,
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn start(runtime: &tokio::runtime::Runtime, url: &str) -> (Self, RoomId) {
        let mut rust = Vec::new();
        let mut room = None;
        for index in 0..RUST_PLAYERS {
            let name = format!("rust-{index}");
            let player = runtime.block_on(RustPlayer::connect(url, &name, BACK_OFF));
            let view = runtime.block_on(async {
                match room {
                    None => player.client.create_room(RoomKind::Public, "kills").await,
                    Some(room) => player.client.room(room).join().await,
                }
            });
            room = Some(view.unwrap().info.room);
            rust.push(player);
        }
        let room = room.expect("there is a Rust player");
        let mut node = NodePlayers::start();
        for index in 0..NODE_PLAYERS {
            let player = node.connect(url, &node_name(index), BACK_OFF);
            node.join(player, room);
        }
        let stop = Arc::<AtomicBool>::default();
        let mut tasks = Vec::new();
        for player in rust.iter().cloned() {
            let stop = Arc::clone(&stop);
            tasks.push(runtime.spawn(async move {
                let mut numbers = 1..;
                let next = || {
                    let number = numbers.next().filter(|_| !stop.load(Ordering::Relaxed))?;
                    Some(format!("{} {number}", player.name))
                };
                player.send_all(room, UNDER_WAY, next).await;
            }));
        }
        for index in 0..NODE_PLAYERS {
            node.begin(index as u64, &node_name(index), UNDER_WAY);
        }
        let load = Self {
            rust,
            node,
            stop,
            tasks,
        };
        (load, room)
    }

    /// Messages that the clients of each SDK have had acknowledged.
    fn acknowledged(&mut self) -> [u64; 2] {
        let rust = self.rust.iter().map(RustPlayer::acknowledged).sum();
        [rust, self.node.counts().acknowledged]
    }

    fn under_way(&mut self) -> u64 {
        let rust: u64 = self.rust.iter().map(RustPlayer::under_way).sum();
        rust + self.node.counts().under_way
    }

    fn wait_for_progress(&mut self) {
        let began = Instant::now();
        let before = self.acknowledged();
        loop {
            let now = self.acknowledged();
            if now
                .iter()
                .zip(before)
                .all(|(now, before)| *now >= before + BETWEEN_KILLS)
            {
                return;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "from {before:?} to {now:?} only"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops sending, and waits until every call has its answer.
    fn finish(&mut self, runtime: &tokio::runtime::Runtime) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks.drain(..) {
            let ended = runtime.block_on(async { tokio::time::timeout(PATIENCE, task).await });
            ended.expect("every call is answered").unwrap();
        }
        self.node.finish();
    }

    fn heads(&mut self) -> Vec<u64> {
        let mut heads: Vec<u64> = self.rust.iter().map(RustPlayer::head).collect();
        heads.extend(self.node.counts().heads);
        heads
    }

    fn reports(&mut self) -> Vec<Report> {
        let mut reports: Vec<Report> = self.rust.iter().map(RustPlayer::report).collect();
        for index in 0..NODE_PLAYERS {
            let (report, node_digest) = self.node.report(index as u64, &node_name(index));
            assert_eq!(digest(&report.seen), node_digest, "{}", report.name);
            reports.push(report);
        }
        reports
    }
}

fn node_name(index: usize) -> String {
    format!("node-{index}")
}

/// Guarantees 1 to 3 of the room's history.
fn check_history(history: &[Message], reports: &[Report]) {
    let head = history.len() as u64;
    assert!(
        history.iter().map(|(seq, _)| *seq).eq(1..=head),
        "sequences are not dense"
    );
    let mut texts = HashSet::new();
    for (seq, text) in history {
        assert!(
            texts.insert(text),
            "{text:?} is there twice, again as {seq}"
        );
    }
    let by_seq: HashMap<u64, &String> = history.iter().map(|(seq, text)| (*seq, text)).collect();
    for report in reports {
        assert!(
            report.failed.is_empty(),
            "{}: {:?}",
            report.name,
            report.failed
        );
        for (seq, text) in &report.acknowledged {
            assert_eq!(
                by_seq.get(seq),
                Some(&text),
                "{}: acknowledged as {seq}",
                report.name
            );
        }
        // All calls were answered, so what the room holds of a player is what was acknowledged, in the order of sending.
        let numbers = history.iter().filter_map(|(_, text)| {
            let number = text.strip_prefix(&report.name)?.trim_start();
            Some(number.parse::<usize>().unwrap())
        });
        assert!(
            numbers.eq(1..=report.acknowledged.len()),
            "{}: messages of one sender out of order",
            report.name
        );
    }
    let acknowledged: usize = reports.iter().map(|report| report.acknowledged.len()).sum();
    assert_eq!(
        history.len(),
        acknowledged,
        "messages that nobody had acknowledged"
    );
}

/// Guarantee 4, of every live stream.
fn check_seen(history: &[Message], reports: &[Report]) {
    for report in reports {
        assert!(
            report.troubles.is_empty(),
            "{}: {:?}",
            report.name,
            report.troubles
        );
        let differs = report
            .seen
            .iter()
            .zip(history)
            .find(|(seen, kept)| seen != kept);
        assert_eq!(
            differs, None,
            "{}: the first message that differs",
            report.name
        );
        assert_eq!(report.seen.len(), history.len(), "{}", report.name);
    }
}

#[test]
fn twenty_kills_lose_nothing_that_was_acknowledged() {
    if !has_node_sdk() {
        return;
    }
    let seed = std::env::var("PITTURU_KILL_SEED").map_or(u64::from(std::process::id()), |seed| {
        seed.parse().expect("PITTURU_KILL_SEED is a number")
    });
    println!("PITTURU_KILL_SEED={seed}");
    let mut random = Jitter::new(seed);
    let address = fixed_address();
    let url = format!("ws://{address}");
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut server = Server::start_at(&address, folder, SETTINGS);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (mut load, room) = Load::start(&runtime, &url);

    let began = Instant::now();
    let mut cut_off = 0;
    for kill in 1..=KILLS {
        if kill % 2 == 1 {
            load.wait_for_progress();
        }
        std::thread::sleep(Duration::from_millis(random.up_to(SHORT_LIFE_MS)));
        let under_way = load.under_way();
        assert!(under_way > 0, "kill {kill} meets no load");
        cut_off += under_way;
        server.kill();
        std::thread::sleep(Duration::from_millis(random.up_to(100)));
        server = Server::start_at(&address, server.folder(), SETTINGS);
    }
    load.wait_for_progress();
    load.finish(&runtime);
    let took = began.elapsed();

    let kept = runtime.block_on(history(&load.rust[0].client.room(room)));
    let head = kept.len() as u64;
    let caught_up = Instant::now();
    while load.heads().iter().any(|seen| *seen < head) {
        assert!(
            caught_up.elapsed() < PATIENCE,
            "head {head}, seen {:?}",
            load.heads()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let reports = load.reports();
    check_history(&kept, &reports);
    check_seen(&kept, &reports);
    for report in &reports {
        assert!(report.connections > 1, "{} never came back", report.name);
    }
    let resumes: u64 = reports.iter().map(|report| report.connections - 1).sum();
    assert!(resumes >= KILLS, "only {resumes} resumes");
    let players = reports.len();
    println!(
        "{head} messages acknowledged to {players} players, {KILLS} kills, {resumes} resumes, \
         {cut_off} calls under way at the kills, {took:?}"
    );
}
