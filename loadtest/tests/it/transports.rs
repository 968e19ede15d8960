//! The same scenarios over the other transports: all that they check must hold there as well.

use crate::bench::{Bench, Measured};
use pitturu_loadtest::report::Subject;

/// Plays a scenario with or without its floor.
fn play(transport: &'static str, floor: bool, arguments: &str) -> Measured {
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let measured = Bench::over(transport, floor).run(&arguments).that_held();
    let subjects: Vec<Subject> = measured.all().map(|run| run.subject).collect();
    assert_eq!(subjects.contains(&Subject::Floor), floor);
    for run in measured.all() {
        assert_eq!(run.parameter("transport"), transport);
        let errors: u64 = run
            .operations
            .iter()
            .flat_map(|operation| operation.errors.values())
            .sum();
        assert_eq!(errors, 0, "{:?}", run.operations);
    }
    measured
}

/// How many were delivered, by the server and by the floor, for each message that was sent.
fn deliveries(measured: &Measured) -> [u64; 2] {
    let server = measured.of(Subject::Server);
    let sent = server.total("persisted") + server.total("accepted");
    let floor = measured.of(Subject::Floor);
    assert!(sent > 0 && floor.done("late") > 0);
    [
        server.total("delivered") / sent,
        floor.total("delivered") / floor.done("late"),
    ]
}

/// Connects, echoes and passes on, at the server and at its floor.
fn with_floors(transport: &'static str) {
    let [idle, paced, room, crowded] = at_once(
        [
            "idle --connections 12 --members 4",
            "echo --connections 4 --rate 40",
            "room --members 6 --rate 30",
            "room --members 20 --rate 60 --size 1000 --ephemeral",
        ]
        .map(|arguments| (transport, true, arguments)),
    );
    // By itself: it takes all the processor that there is.
    let deep = play(
        transport,
        true,
        "echo --connections 2 --depth 8 --size 2000",
    );
    assert_eq!(idle.of(Subject::Server).ready("connect"), 12);
    for run in idle.both() {
        assert_eq!(run.connections, 12);
        assert!(run.figure("memory_per_connection") > 0.0);
    }
    for run in paced.both() {
        // Four connections, each with 10 calls per second for two seconds.
        assert_eq!(run.done("echo"), 80);
    }
    for run in deep.both() {
        assert!(run.done("echo") > 0);
    }
    assert_eq!(deliveries(&room), [6, 6]);
    assert_eq!(deliveries(&crowded), [20, 20]);
}

/// Plays all of these at the same time: they wait more than they work.
fn at_once<const N: usize>(plays: [(&'static str, bool, &'static str); N]) -> [Measured; N] {
    std::thread::scope(|scope| {
        plays
            .map(|(transport, floor, arguments)| {
                scope.spawn(move || play(transport, floor, arguments))
            })
            .map(|played| played.join().unwrap())
    })
}

#[test]
fn floors_over_wss() {
    with_floors("wss");
}

#[test]
fn floors_over_quic() {
    with_floors("quic");
}

#[test]
fn floors_over_webtransport() {
    with_floors("webtransport");
}

/// Plays these over QUIC, which shares least with WebSocket, native and under WebTransport, and some over TLS as well.
macro_rules! scenarios {
    ($($name:ident: $($transport:literal)+, $floor:literal, $arguments:literal;)*) => {
        $(
            #[test]
            fn $name() {
                at_once([$(($transport, $floor, $arguments)),+]);
            }
        )*
    };
}

scenarios! {
    rooms: "wss" "quic" "webtransport", true, "rooms --rooms 3 --members 4 --rate 60";
    durable: "quic" "webtransport", true, "durable --rooms 3 --members 4 --rate 60";
    burst: "wss" "quic" "webtransport", true, "burst --members 6 --every 1";
    join_storm: "quic" "webtransport", false, "join-storm --members 20";
    slow_readers: "wss" "quic" "webtransport", false, "slow-readers --members 8 --slow 2 --slow-bytes 1000 --rate 60";
    reconnect_storm: "wss" "quic" "webtransport", false,
        "reconnect-storm --connections 18 --members 5 --rooms-active 2 --rate 40 --within 0.5";
    connect_storm: "wss" "quic" "webtransport", false, "connect-storm --rate 10 --stay 0.2 --sign-in";
    evening: "quic" "webtransport", false, "evening --arrivals 5 --stay 2 --rooms 3 --chat 3";
    ledger: "quic" "webtransport", false, "ledger --connections 12 --depth 3";
    scores: "quic" "webtransport", false, "scores --connections 16 --boards 2";
    cold_rooms: "quic" "webtransport", false, "cold-rooms --rooms 60 --active 10 --rooms-each 25 --rate 40";
}

/// The sender is a floor; there is no server to play it.
#[test]
fn states() {
    for (transport, arguments) in [
        ("ws", "states --players 4"),
        ("wss", "states --players 4"),
        ("quic", "states --players 4"),
        ("quic", "states --players 4 --datagrams"),
        ("webtransport", "states --players 4 --datagrams"),
    ] {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let measured = Bench::over(transport, false).run(&arguments).that_held();
        assert_eq!(measured.all().count(), 1);
        let floor = measured.of(Subject::Floor);
        // Four players, each with 30 states per second for two seconds, or a few less on a busy machine.
        let states = floor.total("states");
        assert!((60..=248).contains(&states), "{transport}: {states}");
        assert_eq!(floor.done("deliver"), states + floor.total("states_old"));
        // A look for each millisecond.
        let looks = floor.done("age");
        assert!((4_000..=8_400).contains(&looks), "{transport}: {looks}");
    }
    let arguments = ["states", "--datagrams", "--players", "1"];
    assert_eq!(Bench::over("wss", false).code(&arguments), Some(2));
}

/// Where wrong passwords are a part of the scenario, so are errors.
#[test]
fn sign_in_storm() {
    let arguments = "sign-in-storm --rate 3 --accounts 2 --members 4 --chat 10";
    let arguments: Vec<&str> = arguments.split(' ').collect();
    for transport in ["quic", "webtransport"] {
        let measured = Bench::over(transport, false).run(&arguments).that_held();
        let server = measured.of(Subject::Server);
        assert_eq!(server.done("sign_in") + server.errors("sign_in"), 6);
        assert_eq!(server.total("delivered"), server.total("persisted") * 4);
    }
}
