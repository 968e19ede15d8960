//! The wall clock of a whole server jumps, to and fro by an hour and by forty days: nobody is disconnected, nothing stalls, and
//! what is kept for a time goes when that has passed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pitturu_chaos::server::{Installation, Server, Start};
use pitturu_client::types::chat::MessageSent;
use pitturu_client::types::friends::RequestFriend;
use pitturu_client::types::presence::{SetPresence, Status};
use pitturu_client::{Client, ClientOptions, ConnectionState, new_guest_secret};
use tokio::time::{sleep, timeout};

use crate::PROGRAM;

const HOUR: i64 = 60 * 60 * 1_000;
const DAY: i64 = 24 * HOUR;

/// Where the clock stands, one after the other. It stays behind at the end: what was put in by a clock ahead would stay for weeks.
const OFFSETS: [i64; 6] = [0, HOUR, -HOUR, 40 * DAY, 0, -40 * DAY];

/// Players who come and go while the clock stands somewhere.
const VISITORS: usize = 5;

const PATIENCE: Duration = Duration::from_secs(30);

/// Longest time until the server has let go of everybody who left: keys are remembered for 20 s, idle rooms for 30 s.
const QUIET_WITHIN: Duration = Duration::from_secs(120);

/// What goes up and down with what the server holds in memory.
const HELD: [&str; 5] = [
    "pitturu_connections",
    r#"pitturu_entities_live{kind="players"}"#,
    r#"pitturu_entities_live{kind="rooms"}"#,
    "pitturu_signals_waiting",
    "pitturu_store_queue_jobs",
];

async fn online(server: &Server, name: &str) -> Client {
    let url = format!("ws://{}/ws", server.ws);
    let client = Client::connect(ClientOptions::new(url)).unwrap();
    let secret = new_guest_secret().unwrap();
    client.login_guest(&secret, Some(name)).await.unwrap();
    client
}

/// Comes, does a bit of everything, and goes.
async fn visit(server: &Server, name: &str, host: &Client) {
    let guest = online(server, name).await;
    let hall = guest.enter_room("hall").await.unwrap();
    let hall = guest.room(hall.info.room);
    let sent = hall.send(format!("{name} is here")).await.unwrap();
    hall.edit(sent.seq, "edited").await.unwrap();
    hall.react(sent.seq, "👍", true).await.unwrap();
    hall.mark_read(sent.seq).await.unwrap();
    let presence = SetPresence {
        status: Status::Away,
        note: None,
    };
    guest.call(presence).await.unwrap();
    let own = guest.enter_room(&format!("room-of-{name}")).await.unwrap();
    let own = guest.room(own.info.room);
    own.send("alone").await.unwrap();
    own.leave().await.unwrap();
    let user = host.identity().unwrap().user;
    guest.call(RequestFriend { user }).await.unwrap();
    hall.leave().await.unwrap();
    guest.close();
}

fn held(server: &Server) -> BTreeMap<&'static str, f64> {
    let page = server.ops_page("/metrics").unwrap();
    let value = |name: &'static str| {
        let mut lines = page.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        (name, value.expect(name).parse().unwrap())
    };
    HELD.into_iter().map(value).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jumps_of_the_clock_disconnect_nobody_and_nothing_stalls_or_grows() {
    let program = (PROGRAM.clone(), vec!["serve".to_owned()]);
    let installation = Installation::new(program, Vec::new()).unwrap();
    let settings = vec!["heartbeat.ping=1s".to_owned()];
    let start = Start {
        settings,
        ..Start::default()
    };
    let server = installation.start(&start).unwrap();
    let [ana, ben] = [online(&server, "Ana").await, online(&server, "Ben").await];
    let view = ana.enter_room("hall").await.unwrap();
    ben.enter_room("hall").await.unwrap();
    let hall = ana.room(view.info.room);
    let mut heard = {
        let (told, heard) = tokio::sync::mpsc::unbounded_channel();
        let listening = ben.on::<MessageSent>(move |sent| {
            let _ = told.send(sent.msg.text.clone());
        });
        (heard, listening)
    };
    let states = [ana.connection(), ben.connection()];
    for state in &states {
        assert_eq!(*state.borrow(), ConnectionState::Online);
    }

    for (round, offset) in OFFSETS.into_iter().enumerate() {
        assert!(server.order(&format!("clock/{offset}")));
        for visitor in 0..VISITORS {
            let name = format!("v{round}-{visitor}");
            let visit = visit(&server, &name, &ana);
            timeout(PATIENCE, visit).await.expect("nothing stalls");
        }
        let text = format!("round {round}");
        timeout(PATIENCE, hall.send(&text)).await.unwrap().unwrap();
        let told = async { while heard.0.recv().await.unwrap() != text {} };
        timeout(PATIENCE, told).await.expect("it is told");
        // Long enough for pings to be missed.
        sleep(Duration::from_secs(3)).await;
    }
    for state in &states {
        assert!(!state.has_changed().unwrap(), "nobody is disconnected");
    }

    // Who is still here: two players in one room.
    let quiet = BTreeMap::from([
        ("pitturu_connections", 2.0),
        (r#"pitturu_entities_live{kind="players"}"#, 0.0),
        (r#"pitturu_entities_live{kind="rooms"}"#, 1.0),
        ("pitturu_signals_waiting", 0.0),
        ("pitturu_store_queue_jobs", 0.0),
    ]);
    let began = Instant::now();
    while held(&server) != quiet {
        assert!(began.elapsed() < QUIET_WITHIN, "{:?}", held(&server));
        sleep(Duration::from_millis(500)).await;
    }
}
