//! A collector that fails costs traces and nothing else.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::{create, say, start};
use crate::collector::{Answers, Collector};
use crate::launch::Server;
use crate::player::Player;

/// The end of the server waits for traces for three seconds; the rest is for a machine that is busy.
const END_MAX: Duration = Duration::from_secs(15);

const DROPPED: &str = "pitturu_traces_dropped_total ";

/// So that it is the collector that is slow.
const FAST: &[&str] = &["limits.chat_per_second=100000", "limits.chat_burst=100000"];

fn dropped(server: &Server) -> u64 {
    let page = server.ops_page("/metrics");
    let line = page.lines().find_map(|line| line.strip_prefix(DROPPED));
    line.unwrap().trim().parse().unwrap()
}

/// Plays for a moment, and returns the slowest of the calls.
fn play(server: &Server, calls: usize) -> Duration {
    let (mut ana, _) = Player::guest(server.ws, "Ana");
    let room = create(&mut ana, "hall");
    let timed = |_| {
        let began = Instant::now();
        say(&mut ana, room, "hi");
        began.elapsed()
    };
    (0..calls).map(timed).max().unwrap()
}

fn ends_in_order(mut server: Server) -> String {
    let began = Instant::now();
    assert!(server.stop().success());
    assert!(began.elapsed() < END_MAX, "{:?}", began.elapsed());
    let log = server.log();
    assert!(log.contains("\"message\":\"stopped\""), "{log}");
    log
}

fn until_dropped(server: &Server, traces: u64) {
    let began = Instant::now();
    while dropped(server) < traces {
        assert!(began.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_collector_that_answers_500_costs_the_traces_and_one_warning() {
    let collector = Collector::start(Answers::Status(500));
    let server = start(&collector, "1", FAST);
    play(&server, 50);
    until_dropped(&server, 50);
    play(&server, 50);
    until_dropped(&server, 100);
    let log = ends_in_order(server);
    let warnings = log.matches("traces were dropped").count();
    assert_eq!(warnings, 1, "{log}");
    assert!(log.contains("it answers 500"), "{log}");
}

#[test]
fn a_collector_that_is_down_is_tried_again_and_holds_nothing_up() {
    // An address at which nobody listens.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("traces.endpoint=http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let server = Server::start(&[&[&endpoint[..], "traces.sampled=1"], FAST].concat());
    let slowest = play(&server, 100);
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    until_dropped(&server, 100);
    play(&server, 10);
    ends_in_order(server);
}

#[test]
fn a_collector_that_hangs_holds_nothing_up_and_its_queue_is_bounded() {
    let collector = Collector::start(Answers::Never);
    let server = start(&collector, "1", FAST);
    // The first are on their way, and what comes while they are fills the queue.
    play(&server, 1);
    let began = Instant::now();
    while collector.posted().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(20));
    }
    let slowest = play(&server, 2_100);
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    assert!(dropped(&server) > 0);
    let log = ends_in_order(server);
    assert!(log.contains("the last traces are left behind"), "{log}");
}

#[test]
fn a_collector_that_comes_back_in_time_gets_what_waited() {
    let place = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = place.local_addr().unwrap().to_string();
    drop(place);
    let endpoint = format!("traces.endpoint=http://{address}");
    let server = Server::start(&[&[&endpoint[..], "traces.sampled=1"], FAST].concat());
    play(&server, 1);
    // The first try is over by now, and the last one comes seconds later.
    std::thread::sleep(Duration::from_millis(1_500));
    let collector = Collector::at(&address, Answers::Ok);
    collector.trace_of("SendMessage");
    assert_eq!(dropped(&server), 0);
    ends_in_order(server);
}
