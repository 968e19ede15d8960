//! Every scenario in a tiny form, through the program itself, against a server and against its floor.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(clippy::print_stdout, reason = "what a failed test has measured")]
#![allow(unreachable_pub, reason = "modules of one test program")]

mod bench;
mod lossy;
mod transports;

use bench::{Bench, Measured};
use pitturu_loadtest::report::Subject::{Floor, Server};

#[test]
fn idle() {
    let measured = Bench::with_floor(&["idle", "--connections", "12", "--members", "4"]);
    for run in measured.both() {
        assert_eq!(run.connections, 12);
        assert_eq!(run.total("delivered"), 0);
    }
    let server = measured.of(Server);
    assert_eq!(server.ready("connect"), 12);
    assert_eq!(server.ready("open"), 12);
}

#[test]
fn room() {
    let measured = Bench::with_floor(&["room", "--members", "6", "--rate", "30"]);
    let server = measured.of(Server);
    assert!(server.total("persisted") > 0);
    assert_eq!(server.total("delivered"), server.total("persisted") * 6);
    assert_eq!(server.done("deliver"), server.total("delivered"));
    let floor = measured.of(Floor);
    assert_eq!(floor.total("delivered"), floor.done("late") * 6);
}

#[test]
fn rooms() {
    let arguments = ["rooms", "--rooms", "3", "--members", "4", "--rate", "60"];
    let measured = Bench::with_floor(&arguments);
    let server = measured.of(Server);
    assert!(server.total("accepted") > 0);
    assert_eq!(server.total("persisted"), 0);
    assert_eq!(server.total("delivered"), server.total("accepted") * 4);
    let floor = measured.of(Floor);
    assert_eq!(floor.total("delivered"), floor.done("late") * 4);
}

#[test]
fn durable() {
    let arguments = ["durable", "--rooms", "3", "--members", "4", "--rate", "60"];
    let measured = Bench::with_floor(&arguments);
    let server = measured.of(Server);
    assert!(server.total("persisted") > 0);
    assert_eq!(server.total("accepted"), 0);
    assert_eq!(server.total("delivered"), server.total("persisted") * 4);
}

#[test]
fn echo() {
    let measured = Bench::with_floor(&["echo", "--connections", "4", "--rate", "40"]);
    for run in measured.both() {
        // Four connections, each with 10 calls per second for two seconds.
        assert_eq!(run.done("echo"), 80);
        assert_eq!(run.errors("echo"), 0);
    }
}

#[test]
fn echo_as_fast_as_it_is_answered() {
    let measured = Bench::with_floor(&["echo", "--connections", "2", "--depth", "3"]);
    for run in measured.both() {
        assert!(run.done("echo") > 0);
    }
}

#[test]
fn ledger() {
    let arguments = ["ledger", "--connections", "12", "--depth", "3"];
    let alone = Bench::alone(&arguments);
    let server = alone.of(Server);
    assert!(server.done("move") > 0);
    assert_eq!(server.errors("move"), 0);
    // Every fourth connection is the admin's.
    assert_eq!(server.total("wallets_right"), 9);
    assert_eq!(server.total("wallets_wrong"), 0);
}

#[test]
fn ledger_of_players_with_several_connections() {
    let arguments = ["ledger", "--connections", "16", "--rate", "80"];
    let arguments = [&arguments[..], &["--hot", "2", "--hot-share", "100"]].concat();
    let measured = Bench::alone(&arguments);
    let server = measured.of(Server);
    // Sixteen connections, each with five movements per second for two seconds.
    assert_eq!(server.done("move"), 160);
    assert_eq!(server.total("wallets_right"), 2);
}

#[test]
fn scores() {
    let arguments = ["scores", "--connections", "16", "--boards", "2"];
    let alone = Bench::alone(&arguments);
    let server = alone.of(Server);
    assert!(server.done("submit") > 0);
    assert_eq!(server.errors("submit"), 0);
    assert!(server.total("rank_changed") > 0);
    for asked in ["list_top_scores", "list_scores_around", "get_score"] {
        assert!(server.total(asked) > 0, "{asked}");
    }
    // Every fourth connection is the service's; each player is on both leaderboards.
    assert_eq!(server.total("scores_right"), 24);
    assert_eq!(server.total("scores_counted"), 24);
    assert_eq!(server.total("scores_wrong"), 0);
}

#[test]
fn scores_at_a_rate() {
    let arguments = ["scores", "--connections", "8", "--rate", "40"];
    let arguments = [&arguments[..], &["--asks", "0", "--hot-share", "100"]].concat();
    let measured = Bench::alone(&arguments);
    let server = measured.of(Server);
    // Two connections, each with twenty submissions per second for two seconds.
    assert_eq!(server.done("submit"), 80);
    assert_eq!(server.total("scores_right"), 6);
}

#[test]
fn burst() {
    let measured = Bench::with_floor(&["burst", "--members", "6", "--every", "1"]);
    let server = measured.of(Server);
    // Two bursts of six messages.
    assert_eq!(server.total("persisted"), 12);
    assert_eq!(server.total("delivered"), 72);
    assert_eq!(measured.of(Floor).total("delivered"), 72);
    for run in measured.both() {
        assert!(run.figure("burst_delivered_median") <= run.figure("burst_delivered_max"));
    }
}

#[test]
fn join_storm() {
    let measured = Bench::alone(&["join-storm", "--members", "20"]);
    let server = measured.of(Server);
    assert_eq!(server.done("open"), 20);
    assert!(server.figure("all_joined") > 0.0);
    let told = server.total("presence") as f64 / 20.0;
    assert!((server.figure("presence_per_player") - told).abs() < 1e-9);
}

#[test]
fn slow_readers() {
    let measured = Bench::alone(&SLOW);
    let server = measured.of(Server);
    assert!(server.total("persisted") > 0);
    assert_eq!(server.done("deliver"), server.total("persisted") * 6);
    assert_eq!(server.done("deliver_late"), server.total("persisted") * 2);
    assert!(server.figure("memory_at_end") > 0.0);
}

const SLOW: [&str; 9] = [
    "slow-readers",
    "--members",
    "8",
    "--slow",
    "2",
    "--slow-bytes",
    "1000",
    "--rate",
    "60",
];

#[test]
fn reconnect_storm() {
    let measured = Bench::alone(&[
        "reconnect-storm",
        "--connections",
        "18",
        "--members",
        "5",
        "--rooms-active",
        "2",
        "--rate",
        "40",
        "--within",
        "0.5",
    ]);
    let server = measured.of(Server);
    // Four rooms of five who are lost, two of them with one more who stays.
    assert_eq!(server.connections, 22);
    assert_eq!(server.done("recover"), 20);
    assert_eq!(server.errors("recover"), 0);
    assert!(server.done("connect") >= 20);
    let delivered = server.done("deliver") + server.done("deliver_late");
    assert_eq!(delivered, server.total("persisted") * 6);
    assert_eq!(server.total("duplicates") + server.total("missing"), 0);
    assert!(server.figure("last_back") > 0.0);
}

#[test]
fn connect_storm() {
    let arguments = [
        "connect-storm",
        "--rate",
        "10",
        "--stay",
        "0.2",
        "--sign-in",
    ];
    let measured = Bench::alone(&arguments);
    let server = measured.of(Server);
    assert_eq!(server.done("connect"), 20);
    assert_eq!(server.done("sign_in"), 20);
    assert_eq!(server.total("left"), 20);
}

#[test]
fn sign_in_storm() {
    let measured = Bench::alone(&[
        "sign-in-storm",
        "--rate",
        "3",
        "--accounts",
        "2",
        "--members",
        "4",
        "--chat",
        "10",
    ]);
    let server = measured.of(Server);
    assert_eq!(server.done("sign_in") + server.errors("sign_in"), 6);
    assert_eq!(server.done("connect"), 6);
    assert_eq!(server.total("delivered"), server.total("persisted") * 4);
}

#[test]
fn evening() {
    let measured = Bench::alone(&[
        "evening",
        "--arrivals",
        "5",
        "--stay",
        "2",
        "--rooms",
        "3",
        "--chat",
        "3",
    ]);
    let server = measured.of(Server);
    assert!(server.done("open") >= server.total("list_rooms"));
    assert!(server.total("persisted") > 0);
    assert!(server.total("delivered") >= server.total("persisted"));
    assert!(server.total("typing") > 0);
    assert_eq!(server.total("duplicates") + server.total("missing"), 0);
}

#[test]
fn flood() {
    let measured = Bench::with_floor(&FLOOD);
    for run in measured.both() {
        assert_eq!(run.total("delivered"), run.total("accepted") * 6);
        assert!(run.figure("flood_rate") > 0.0);
    }
    // Whoever throws the flood away asks nobody to show anything.
    assert!(measured.of(Server).figure("flood_shown_rate") > 0.0);
    let sink = measured.of(Floor);
    let mut figures = sink.figures.iter();
    assert!(!figures.any(|figure| figure.name == "flood_shown_rate"));
}

/// The first 64 handshakes are let in without showing anything.
const FLOOD: [&str; 11] = [
    "flood",
    "--members",
    "6",
    "--rate",
    "30",
    "--initials",
    "200",
    "--handshakes",
    "50",
    "--ports",
    "8",
];

#[test]
fn a_server_of_others_is_not_flooded() {
    let arguments = ["--address", "127.0.0.1:9", "flood"];
    assert_eq!(Bench::server().code(&arguments), Some(2));
}

#[test]
fn cold_rooms() {
    let measured = Bench::alone(&[
        "cold-rooms",
        "--rooms",
        "60",
        "--active",
        "10",
        "--rooms-each",
        "25",
        "--rate",
        "40",
    ]);
    for run in measured.all() {
        match run.parameter("stage") {
            "build" => assert_eq!(run.ready("create"), 60),
            "use" => {
                assert_eq!(run.ready("open"), 10);
                assert!(run.total("persisted") > 0);
                assert_eq!(run.total("delivered"), run.total("persisted"));
            }
            other => panic!("stage {other}"),
        }
    }
}

#[test]
fn a_broken_check_is_the_exit_code() {
    let mut arguments = SLOW.to_vec();
    arguments.push("--growth-max=-1000000");
    let Measured { code, checks, .. } = Bench::server().run(&arguments);
    assert_eq!(code, Some(1));
    let broken: Vec<&str> = checks
        .iter()
        .filter(|it| !it.1)
        .map(|it| it.0.as_str())
        .collect();
    assert_eq!(broken, ["slow readers cost the server no memory"]);
}

#[test]
fn without_a_server_nothing_is_measured() {
    let code = Bench::without_server().code(&["idle", "--connections", "1"]);
    assert_eq!(code, Some(2));
}
