//! The TypeScript SDK in Node over the bad network: it is moved between WebSocket and WebTransport while it chats, with goodbyes and
//! without. `client-sdk/typescript/test/lossy/flips.ts` is its player.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use pitturu_client::{Client, ClientOptions, RoomId, TransportPreference};
use pitturu_lossy_link::{LossyLink, Pass, SERVER};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::super::moves::{Heard, Moments, NO_LIMITS, chatter, signed_in};
use super::{Cut, bad_link, on, percentile, rounds_or, runtime, told};
use crate::conformance::{has_node, has_or_says_how};
use crate::launch::Server;
use crate::sdk_node::NodeProcess;

/// How long everything may take to come that is under way.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is repeated, or came by two ways, has come within this.
const SECOND_TIME: Duration = Duration::from_secs(1);

/// A way that is left is given up after two seconds, with what was said there for the moment. Where an answer takes so long, that
/// may happen to one that was not cut.
const LATE: Duration = Duration::from_millis(1_500);

/// What the player in Node has heard and done.
#[derive(Deserialize)]
struct Report {
    /// As they came: sequence, text, and when, in milliseconds.
    messages: Vec<(u64, String, f64)>,
    moments: Vec<String>,
    other: Vec<String>,
    /// The sequence that the answer to each of its messages gave.
    sent: Vec<u64>,
    /// What it said for the moment: with an answer, and with the end of its connection in place of one.
    said: Vec<String>,
    cut_off: Vec<String>,
    /// Answers to other calls than those that got them.
    wrong: Vec<String>,
    /// When each flip was asked for, and when the client spoke on the other way.
    flips: Vec<(f64, f64)>,
    /// How long each answer took, in milliseconds.
    answered: Vec<f64>,
    handovers: usize,
}

fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../client-sdk/typescript")
}

/// Whether there are Node and what the player is made of.
fn has_player() -> bool {
    let packages = package().join("node_modules");
    has_node("ws")
        && has_or_says_how(
            "the npm packages of the TypeScript SDK",
            packages.join("@moq/web-transport").is_dir() && packages.join("vite").is_dir(),
            "make setup installs them",
        )
}

/// A server, a player of the Rust SDK beside it, and behind a bad link one of the TypeScript SDK.
struct Scene {
    link: LossyLink,
    node: NodeProcess,
    near: Runtime,
    stays: Client,
    room: RoomId,
    heard: Heard,
    _server: Server,
}

impl Scene {
    fn new(loss: f64, seed: u64) -> Option<Self> {
        let link = bad_link(loss, seed)?;
        let at = format!("{SERVER}:0");
        let folder = Arc::new(TempDir::new().unwrap());
        let quic = format!("listen.quic={at}");
        let settings: Vec<&str> = NO_LIMITS.into_iter().chain([quic.as_str()]).collect();
        let server = link
            .server()
            .run(|| Ok(Server::start_at(&at, folder, &settings)))
            .unwrap();
        let url = format!("ws://{}", server.ws);
        let mut node = NodeProcess::start(&package(), "test/lossy/start.mjs", |command| {
            link.client().spawn(command)
        });
        let enter = json!({ "do": "enter", "url": url, "name": "flips", "handle": "lobby" });
        done(&mut node, &enter);
        let near = runtime(link.server());
        let options = ClientOptions::new(url).transport(TransportPreference::WebSocket);
        let (stays, room, heard) = on(&near, async move {
            let stays = signed_in(options, "stays").await;
            let room = stays.enter_room("lobby").await.unwrap().info.room;
            stays.online().await.unwrap();
            let heard = Heard::by(&stays);
            heard.forget_the_past().await;
            (stays, room, heard)
        });
        Some(Self {
            link,
            node,
            near,
            stays,
            room,
            heard,
            _server: server,
        })
    }

    fn pass(&self, pass: Pass) {
        self.link.change_both(|conditions| conditions.pass = pass);
    }

    /// Moves the client to the other way, for the rest of the round.
    fn round(&mut self, number: usize, cut: Cut, every: Duration) {
        let began = Instant::now();
        let (to, old) = match number % 2 {
            0 => ("websocket", Pass::NoUdp),
            _ => ("webtransport", Pass::NoTcp),
        };
        self.pass(match cut {
            Cut::Before => old,
            Cut::Never | Cut::After => Pass::Everything,
        });
        done(&mut self.node, &json!({ "do": "flip", "to": to }));
        if cut == Cut::After {
            self.pass(old);
        }
        done(&mut self.node, &json!({ "do": "catch_up" }));
        sleep(every.saturating_sub(began.elapsed()));
    }

    /// Cuts WebTransport, and says how long it took until the client was on WebSocket without being asked.
    fn leave_by_itself(&mut self, every: Duration) -> Duration {
        self.pass(Pass::Everything);
        sleep(every);
        self.pass(Pass::NoUdp);
        let found = done(&mut self.node, &json!({ "do": "find", "to": "websocket" }));
        sleep(every);
        ms(found["took_ms"].as_f64().unwrap())
    }

    fn begin(&mut self, stop: &Arc<AtomicBool>) -> JoinHandle<u32> {
        done(&mut self.node, &json!({ "do": "begin" }));
        let (stays, stop) = (self.stays.clone(), Arc::clone(stop));
        self.near
            .spawn(chatter(stays, self.room, "stays", Moments::Arrive, stop))
    }

    /// Waits until everything has come, and what else comes. Of what is said for the moment, this many.
    fn come_to_rest(&mut self, messages: usize, moments: usize) -> Report {
        let began = Instant::now();
        loop {
            let counts = done(&mut self.node, &json!({ "do": "counts" }));
            let is_there = |name: &str, least: usize| {
                usize::try_from(counts[name].as_u64().unwrap()).unwrap() >= least
            };
            let near = self.heard.messages.lock().len() >= messages;
            if near && is_there("messages", messages) && is_there("moments", moments) {
                break;
            }
            // What is missing, the checks name.
            if began.elapsed() > PATIENCE {
                break;
            }
            sleep(Duration::from_millis(50));
        }
        sleep(SECOND_TIME);
        let report = done(&mut self.node, &json!({ "do": "report" }));
        serde_json::from_value(report).unwrap()
    }
}

/// Has a command carried out.
fn done(node: &mut NodeProcess, command: &Value) -> Value {
    let answer = node.ask(command);
    assert_eq!(answer.get("error"), None, "{command}");
    answer
}

/// Each text with how often it is there.
fn counted<'a>(texts: impl IntoIterator<Item = &'a String>) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    for text in texts {
        *counts.entry(text.as_str()).or_default() += 1;
    }
    counts
}

/// What a player has sent.
fn numbered(name: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{name} {number}"))
        .collect()
}

/// Every message is there once, in one order for both, and is what its answer says.
fn check_messages(report: &Report, near: &[String], near_sent: usize) {
    let texts: Vec<&String> = report.messages.iter().map(|(_, text, _)| text).collect();
    let is_dense = report
        .messages
        .windows(2)
        .all(|two| two[1].0 == two[0].0 + 1);
    assert!(is_dense, "a hole, or one twice: {:?}", report.messages);
    assert!(
        texts.iter().copied().eq(near),
        "two orders: {texts:?}\n{near:?}"
    );
    for (name, sent) in [("stays", near_sent), ("flips", report.sent.len())] {
        let of = texts.iter().copied().filter(|text| text.starts_with(name));
        assert!(of.eq(&numbered(name, sent)), "{name}");
    }
    let own = report
        .messages
        .iter()
        .filter(|(_, text, _)| text.starts_with("flips"));
    assert!(own.map(|(seq, _, _)| *seq).eq(report.sent.iter().copied()));
}

/// What is said for the moment was heard once; of what was under way when a way was cut, not more than once. Returns how much of it the
/// client behind the link has not heard.
fn check_moments(report: &Report, near: &[String], near_sent: usize, may_miss: bool) -> usize {
    let near = counted(near);
    for text in &report.said {
        assert_eq!(near.get(text.as_str()), Some(&1), "{text}");
    }
    let by_near: Vec<String> = numbered("stays", near_sent)
        .into_iter()
        .step_by(2)
        .collect();
    let heard = counted(&report.moments);
    for (text, times) in near.iter().chain(&heard) {
        assert_eq!(*times, 1, "{text}");
        let is_known = [&report.said, &report.cut_off, &by_near]
            .iter()
            .any(|said| said.iter().any(|said| said == text));
        assert!(is_known, "{text}");
    }
    let missed: Vec<_> = report
        .said
        .iter()
        .chain(&by_near)
        .filter(|text| !heard.contains_key(text.as_str()))
        .collect();
    assert!(may_miss || missed.is_empty(), "{missed:?}");
    assert!(
        may_miss || report.cut_off.is_empty(),
        "{:?}",
        report.cut_off
    );
    missed.len()
}

fn ms(ms: f64) -> Duration {
    Duration::from_secs_f64(ms / 1_000.0)
}

/// The median and the longest but for one in a hundred.
fn spread(took: impl IntoIterator<Item = f64>) -> String {
    let mut took: Vec<Duration> = took.into_iter().map(ms).collect();
    took.sort();
    let [p50, p99] = [50, 99].map(|part| percentile(&took, part));
    format!("p50 {p50} ms, p99 {p99} ms")
}

/// The silences, and how long flips and answers took.
fn figures(report: &Report) -> String {
    let came: Vec<Duration> = report.messages.iter().map(|it| ms(it.2)).collect();
    let began = report.flips.iter().map(|flip| ms(flip.0));
    let ended = began.clone().skip(1).chain(came.last().copied());
    let rounds: Vec<_> = began.zip(ended).collect();
    format!(
        "{}; a flip took {}; {} calls, answered after {}",
        told(&came, &rounds),
        spread(report.flips.iter().map(|it| it.1 - it.0)),
        report.answered.len(),
        spread(report.answered.iter().copied()),
    )
}

/// Flips every `every` for `rounds`, under chat, what is said for the moment and calls from both ends; with `cuts` by turns.
fn flips(loss: f64, seed: u64, (rounds, every): (usize, Duration), cuts: &[Cut]) {
    let Some(mut scene) = Scene::new(loss, seed) else {
        return;
    };
    let is_cut = cuts != [Cut::Never];
    // So that it ends where it began, on WebTransport.
    let rounds = rounds.next_multiple_of(2);
    let stop = Arc::new(AtomicBool::new(false));
    let near_chatter = scene.begin(&stop);
    sleep(every);
    for number in 0..rounds {
        scene.round(number, cuts[number / 2 % cuts.len()], every);
    }
    let left = is_cut.then(|| scene.leave_by_itself(every));
    stop.store(true, Ordering::SeqCst);
    let finished = done(&mut scene.node, &json!({ "do": "finish" }));
    let of_node = |what: &str| usize::try_from(finished[what].as_u64().unwrap()).unwrap();
    let near_sent = on(&scene.near, async move { near_chatter.await.unwrap() });
    let near_sent = usize::try_from(near_sent).unwrap();
    let moments = if is_cut {
        0
    } else {
        of_node("said") + near_sent / 2
    };
    let report = scene.come_to_rest(of_node("sent") + near_sent, moments);

    assert_eq!(report.other, [] as [String; 0], "heard of a flip");
    assert_eq!(*scene.heard.other.lock(), [] as [String; 0]);
    assert_eq!(report.wrong, [] as [String; 0]);
    // The first one was from WebSocket, by which the client learnt where WebTransport is. One more is to be had where a way was silent
    // for three seconds, as on a busy machine.
    assert!(report.handovers > rounds, "{}", report.handovers);
    check_messages(&report, &scene.heard.messages.lock(), near_sent);
    let is_late = report.answered.iter().any(|took| ms(*took) > LATE);
    let missed = check_moments(
        &report,
        &scene.heard.moments.lock(),
        near_sent,
        is_cut || is_late,
    );
    println!(
        "TypeScript, {rounds} flips at {loss} loss, cut {cuts:?}: {}; said for the moment: {} unanswered, {missed} unheard",
        figures(&report),
        report.cut_off.len(),
    );
    if let Some(left) = left {
        println!("a way that was cut under the client was left after {left:?}");
    }
}

#[test]
fn flips_of_typescript_lose_nothing_and_double_nothing() {
    if !has_player() {
        return;
    }
    for (loss, seed) in [(0.0, 6), (0.05, 7)] {
        flips(loss, seed, rounds_or(4, 2), &[Cut::Never]);
    }
}

#[test]
fn flips_of_typescript_off_a_way_that_is_cut_lose_nothing_and_double_nothing() {
    if !has_player() {
        return;
    }
    for (loss, seed) in [(0.0, 8), (0.05, 9)] {
        flips(loss, seed, rounds_or(4, 3), &[Cut::Before, Cut::After]);
    }
}
