//! Racing and moving over a bad network: the server at one end of a link that delays and loses packets, its players at both.

mod typescript;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pitturu_client::{Client, ClientOptions, ServerEvent, Transport, TransportPreference};
use pitturu_lossy_link::{Conditions, LossyLink, Namespace, Pass, SERVER, open_or_leave_out};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::moves::{Heard, Moments, NO_LIMITS, chatter, check_moved, move_to, one_port, signed_in};
use crate::launch::Server;

/// A server behind a link with a round trip of 80 ms.
struct Scene {
    link: LossyLink,
    _server: Server,
    url: String,
    pem: String,
    _folder: TempDir,
}

impl Scene {
    fn new(loss: f64, seed: u64) -> Option<Self> {
        let link = bad_link(loss, seed)?;
        let folder = TempDir::new().unwrap();
        let at = SERVER.to_string();
        let started = link
            .server()
            .run(|| Ok(one_port(folder.path(), &at, &NO_LIMITS)));
        let (server, address, pem) = started.unwrap();
        Some(Self {
            link,
            _server: server,
            url: format!("wss://{address}"),
            pem,
            _folder: folder,
        })
    }

    fn pass(&self, pass: Pass) {
        self.link.change_both(|conditions| conditions.pass = pass);
    }

    fn options(&self, preference: TransportPreference) -> ClientOptions {
        ClientOptions::new(&self.url)
            .trust_pem(self.pem.clone())
            .transport(preference)
    }
}

/// A link with a round trip of 80 ms.
fn bad_link(loss: f64, seed: u64) -> Option<LossyLink> {
    open_or_leave_out(Conditions {
        delay: Duration::from_millis(40),
        loss,
        seed,
        ..Conditions::default()
    })
}

/// A runtime all of whose sockets are in this namespace.
fn runtime(namespace: &Namespace) -> Runtime {
    let namespace = namespace.clone();
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .on_thread_start(move || namespace.enter().unwrap())
        .build()
        .unwrap()
}

/// Runs on the runtime's own threads, which the caller's is none of.
fn on<T: Send + 'static>(runtime: &Runtime, work: impl Future<Output = T> + Send + 'static) -> T {
    runtime.block_on(runtime.spawn(work)).unwrap()
}

fn percentile(sorted: &[Duration], part: usize) -> u128 {
    sorted[(sorted.len() - 1) * part / 100].as_millis()
}

/// When messages came, from here on.
fn arrivals(
    client: &Client,
    began: Instant,
) -> (Arc<Mutex<Vec<Duration>>>, pitturu_client::Subscription) {
    let came: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let guard = client.on_any({
        let came = Arc::clone(&came);
        move |event| {
            if let ServerEvent::MessageSent(_) = event {
                came.lock().push(began.elapsed());
            }
        }
    });
    (came, guard)
}

/// When the way is cut that the client leaves, without a goodbye: its packets are lost until the next round.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cut {
    Never,
    /// Before the flip.
    Before,
    /// When the client speaks on the other way, and awaits answers on this one.
    After,
}

/// Moves the client to the transport that it does not use.
async fn flip(client: Client) {
    let to = match client.transport() {
        Some(Transport::Quic) => Transport::WebSocket,
        _ => Transport::Quic,
    };
    move_to(&client, to).await;
}

/// The silences between messages, all of them and the longest one of each round.
fn told(came: &[Duration], rounds: &[(Duration, Duration)]) -> String {
    let mut between: Vec<Duration> = came.windows(2).map(|two| two[1] - two[0]).collect();
    between.sort();
    let longest = rounds.iter().filter_map(|(began, ended)| {
        let during = came
            .windows(2)
            .filter(|two| two[1] > *began && two[0] < *ended);
        during.map(|two| two[1] - two[0]).max()
    });
    let mut longest: Vec<Duration> = longest.collect();
    longest.sort();
    format!(
        "{} messages; between two p50 {} ms, p99 {} ms; the longest silence of a round p50 {} ms, p99 {} ms",
        came.len(),
        percentile(&between, 50),
        percentile(&between, 99),
        percentile(&longest, 50),
        percentile(&longest, 99),
    )
}

/// Flips every `every` for `rounds`, under chat, what is said for the moment and calls from both ends.
fn flips(loss: f64, seed: u64, cut: Cut, (rounds, every): (usize, Duration)) {
    let Some(scene) = Scene::new(loss, seed) else {
        return;
    };
    let far = runtime(scene.link.client());
    let near = runtime(scene.link.server());
    let options = scene.options(TransportPreference::Quic);
    let flips = on(&far, async move {
        let flips = signed_in(options, "flips").await;
        move_to(&flips, Transport::Quic).await;
        flips
    });
    let before = flips.stats().handovers;
    let options = scene.options(TransportPreference::WebSocket);
    let stays = on(&near, async move { signed_in(options, "stays").await });
    let stop = Arc::new(AtomicBool::new(false));
    let room = on(&near, {
        let stays = stays.clone();
        async move { stays.enter_room("lobby").await.unwrap().info.room }
    });
    let start = Instant::now();
    let (heard, came, _guard) = on(&far, {
        let flips = flips.clone();
        async move {
            flips.enter_room("lobby").await.unwrap();
            flips.online().await.unwrap();
            let heard = Heard::by(&flips);
            heard.forget_the_past().await;
            let (came, guard) = arrivals(&flips, start);
            (heard, came, guard)
        }
    });
    let moments = match cut {
        Cut::Never => Moments::Arrive,
        Cut::Before | Cut::After => Moments::MayBeLost,
    };
    let near_chatter = near.spawn(chatter(stays, room, "stays", Moments::Arrive, stop.clone()));
    let far_chatter = far.spawn(chatter(flips.clone(), room, "flips", moments, stop.clone()));
    let mut rounds_of = Vec::new();
    for _ in 0..rounds {
        let began = start.elapsed();
        let old = match flips.transport() {
            Some(Transport::Quic) => Pass::NoUdp,
            _ => Pass::NoTcp,
        };
        scene.pass(match cut {
            Cut::Before => old,
            Cut::Never | Cut::After => Pass::Everything,
        });
        on(&far, flip(flips.clone()));
        if cut == Cut::After {
            scene.pass(old);
        }
        std::thread::sleep((began + every).saturating_sub(start.elapsed()));
        rounds_of.push((began, start.elapsed()));
    }
    stop.store(true, Ordering::SeqCst);
    let far_sent = on(&far, async move { far_chatter.await.unwrap() });
    let near_sent = on(&near, async move { near_chatter.await.unwrap() });
    std::thread::sleep(Duration::from_secs(2));
    let stats = flips.stats();
    assert_eq!(stats.handovers - before, u64::try_from(rounds).unwrap());
    assert_eq!(stats.holes + stats.unreadable, 0);
    println!(
        "{rounds} flips at {loss} loss, cut {cut:?}: {}",
        told(&came.lock(), &rounds_of)
    );
    check_moved(&heard, [("flips", far_sent), ("stays", near_sent)], moments);
}

/// Rounds of the tests and how long each takes, or those of a longer measurement: `PITTURU_FLIPS=24 PITTURU_FLIP_SECONDS=5`.
fn rounds_or(rounds: u64, seconds: u64) -> (usize, Duration) {
    let setting = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |value| value.parse().unwrap())
    };
    (
        usize::try_from(setting("PITTURU_FLIPS", rounds)).unwrap(),
        Duration::from_secs(setting("PITTURU_FLIP_SECONDS", seconds)),
    )
}

#[test]
fn flips_over_a_link_that_loses_packets_lose_nothing_and_double_nothing() {
    for (loss, seed) in [(0.0, 3), (0.05, 4)] {
        flips(loss, seed, Cut::Never, rounds_or(6, 2));
    }
}

#[test]
fn flips_from_ways_that_are_cut_without_a_goodbye_lose_nothing_and_double_nothing() {
    for (loss, seed) in [(0.0, 6), (0.05, 7)] {
        for cut in [Cut::Before, Cut::After] {
            flips(loss, seed, cut, rounds_or(4, 3));
        }
    }
}

/// Time from nothing to a client that is online, each time with another client.
fn online_after(scene: &Scene, far: &Runtime, preference: TransportPreference) -> Duration {
    let options = scene.options(preference);
    on(far, async move {
        let began = Instant::now();
        let client = Client::connect(options).unwrap();
        client.online().await.unwrap();
        let took = began.elapsed();
        client.close();
        took
    })
}

#[test]
fn a_race_makes_no_player_wait() {
    let Some(scene) = Scene::new(0.0, 5) else {
        return;
    };
    let far = runtime(scene.link.client());
    let mut took = [(); 4].map(|()| Vec::new());
    // By turns, so that whatever else the machine does falls on all of them.
    for _ in 0..7 {
        took[0].push(online_after(&scene, &far, TransportPreference::WebSocket));
        for (of, pass) in [
            (1, Pass::Everything),
            (2, Pass::NoUdp),
            (3, Pass::RefusedUdp),
        ] {
            scene.pass(pass);
            took[of].push(online_after(&scene, &far, TransportPreference::Auto));
            scene.pass(Pass::Everything);
        }
    }
    let [websocket, open, dropped, refused] = took.map(|mut took| {
        took.sort();
        took[took.len() / 2]
    });
    println!(
        "online after: WebSocket alone {websocket:?}; UDP open {open:?}, dropped {dropped:?}, refused {refused:?}"
    );
    assert!(open <= websocket, "{open:?} of {websocket:?}");
    for blocked in [dropped, refused] {
        let later = blocked.saturating_sub(websocket);
        assert!(later <= Duration::from_millis(300), "{later:?} later");
    }
}
