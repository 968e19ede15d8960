//! The configuration is read again on SIGHUP: what is taken over, what needs a restart, and what changes nothing.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::types::accounts::{GetAccount, Login, Register};
use pitturu_protocol::types::chat::{EnterRoom, SendMessage};
use pitturu_protocol::types::profile::UpdateProfile;
use pitturu_protocol::types::system::Echo;
use pitturu_server::config::table::KEYS;
use tempfile::TempDir;

use crate::chat::say;
use crate::launch::Server;
use crate::player::Player;
use crate::raw::{PATIENCE, RawSocket};

/// A server whose configuration is a file.
pub(crate) struct Configured {
    pub(crate) server: Server,
    folder: Arc<TempDir>,
    reloads: usize,
}

/// The text of a file with these keys.
fn file(keys: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in keys {
        let (section, key) = name.split_once('.').unwrap();
        // Keys are few: a table may be opened once only, so each is written inline.
        writeln!(text, "{section}.{key} = {value:?}").unwrap();
    }
    text
}

impl Configured {
    pub(crate) fn start(keys: &[(&str, &str)]) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        std::fs::write(folder.path().join("pitturu.toml"), file(keys)).unwrap();
        Self {
            server: Server::start_in(Arc::clone(&folder), &[]),
            folder,
            reloads: 0,
        }
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// Has the server read this file, and waits until it has.
    pub(crate) fn reload(&mut self, keys: &[(&str, &str)]) {
        self.write("pitturu.toml", &file(keys));
        self.server.signal("HUP");
        self.reloads += 1;
        self.wait_for(self.reloads, "configuration read again");
    }

    fn wait_for(&self, times: usize, text: &str) {
        let until = Instant::now() + PATIENCE;
        while self.server.log().matches(text).count() < times {
            assert!(Instant::now() < until, "{text}\n{}", self.server.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Which keys a test of this file, or one that is named, has seen taken over.
const TRIED: [&str; 35] = [
    "listen.origins",
    "listen.proxies",
    "listen.proxy_protocol",
    "listen.connections_max",
    "listen.connections_per_address_max",
    "limits.outbox",
    "limits.frames_per_second",
    "limits.chat_per_second",
    "limits.chat_burst",
    "limits.write_per_second",
    "limits.write_burst",
    "limits.read_per_second",
    "limits.read_burst",
    "limits.service_per_second",
    "limits.service_burst",
    "limits.sign_in_per_second",
    "limits.sign_in_burst",
    "limits.free_per_second",
    "limits.free_burst",
    "chat.word_filter",
    "log.level",
    "log.addresses",
    // automod.rs
    "automod.flood_act",
    "automod.flood_refusals",
    "automod.flood_within",
    "automod.flood_lasts",
    "automod.flood_reason",
    "automod.filter_act",
    "automod.filter_refusals",
    "automod.filter_within",
    "automod.filter_lasts",
    "automod.filter_reason",
    // quic/certificates.rs
    "listen.cert",
    "listen.key",
    // ../traces/shown.rs
    "traces.sampled",
];

#[test]
fn each_key_that_is_taken_over_is_tried() {
    let marked: HashSet<&str> = KEYS
        .iter()
        .filter(|key| key.reloads)
        .map(|key| key.name)
        .collect();
    assert_eq!(marked, HashSet::from(TRIED));
}

#[test]
fn origins_and_numbers_of_connections_are_taken_over() {
    let mut configured = Configured::start(&[("listen.origins", "https://a.example")]);
    let ws = configured.server.ws;
    let may = |origin: &str| RawSocket::try_connect(ws, &format!("Origin: {origin}\r\n")).is_ok();
    assert!(may("https://a.example") && !may("https://b.example"));
    configured.reload(&[("listen.origins", "https://b.example:443")]);
    assert!(!may("https://a.example") && may("https://b.example"));

    let places = |most: usize| {
        let mut held = Vec::new();
        let mut refused = String::new();
        for _ in 0..=most {
            match RawSocket::try_connect(ws, "") {
                Ok(socket) => held.push(socket),
                Err(answer) => refused = answer,
            }
        }
        (held.len(), refused)
    };
    for (key, status) in [
        ("listen.connections_max", " 503 "),
        ("listen.connections_per_address_max", " 429 "),
    ] {
        for most in [2, 5] {
            configured.reload(&[(key, &most.to_string())]);
            wait_until_alone(&configured.server);
            let (held, refused) = places(most);
            assert_eq!(held, most, "{key}");
            assert!(refused.contains(status), "{key}: {refused}");
        }
    }
}

#[test]
fn proxies_are_taken_over() {
    let one_each = ("listen.connections_per_address_max", "1");
    let mut configured = Configured::start(&[one_each]);
    let ws = configured.server.ws;
    let from = |player: &str| RawSocket::try_connect(ws, &format!("X-Forwarded-For: {player}\r\n"));
    let first = from("203.0.113.1").unwrap();
    assert!(from("203.0.113.2").is_err(), "both count as this machine");
    let here = ("listen.proxies", "127.0.0.0/8");
    configured.reload(&[one_each, here]);
    let others = ["203.0.113.2", "203.0.113.3"].map(|player| from(player).unwrap());
    assert!(from("203.0.113.3").is_err());
    configured.reload(&[one_each, here, ("listen.proxy_protocol", "true")]);
    let answer = from("203.0.113.4").err();
    assert!(!answer.unwrap().contains("HTTP"), "there was no header");
    configured.reload(&[one_each]);
    drop((first, others));
    wait_until_alone(&configured.server);
    let _alone = from("203.0.113.5").unwrap();
    assert!(from("203.0.113.6").is_err());
}

fn wait_until_alone(server: &Server) {
    let until = Instant::now() + PATIENCE;
    while !server
        .ops_page("/health/detailed")
        .contains("\"connections\":0")
    {
        assert!(Instant::now() < until, "{}", server.log());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How many calls pass one after the other, and how long the first that does not is told to wait.
fn allowance(mut call: impl FnMut() -> Result<(), Fault>) -> (usize, u64) {
    for passed in 0..1_000 {
        if let Err(fault) = call() {
            assert_eq!(fault.code, Code::RateLimited, "{fault:?}");
            return (passed, fault.retry_after_ms.unwrap());
        }
    }
    panic!("all pass");
}

/// Whether somebody who has used everything up is told to wait about as long as for one call a second. A machine that stands still
/// between two calls lets time pass that counts, so it is looked at some times.
fn waits_about_a_second(mut call: impl FnMut() -> Result<(), Fault>) -> bool {
    (0..20).any(|_| {
        let (_, wait_ms) = allowance(&mut call);
        std::thread::sleep(Duration::from_millis(wait_ms));
        wait_ms > 400
    })
}

/// Changes burst and rate of a class of calls, and sees each in what passes.
fn try_rates(
    configured: &mut Configured,
    class: &str,
    mut call: impl FnMut() -> Result<(), Fault>,
) {
    let burst_key = format!("limits.{class}_burst");
    let rate_key = format!("limits.{class}_per_second");
    for (burst, rate) in [(2, 1), (5, 1), (3, 4)] {
        configured.reload(&[
            (&burst_key, &burst.to_string()),
            (&rate_key, &rate.to_string()),
        ]);
        let began = Instant::now();
        let (passed, wait_ms) = allowance(&mut call);
        // What the calls took counts as well.
        let earned = began.elapsed().as_millis() * u128::from(rate) / 1_000;
        let most = burst + 1 + usize::try_from(earned).unwrap();
        assert!((burst..=most).contains(&passed), "{class}: {passed}");
        let longest = 1_000 / rate + 1;
        assert!(wait_ms <= longest, "{class}: {wait_ms}");
        if rate == 1 {
            assert!(waits_about_a_second(&mut call), "{class}");
        }
    }
}

pub(crate) fn join(player: &mut Player, name: &str) -> RoomId {
    let handle = name.to_owned();
    player.call(&EnterRoom { handle }).unwrap().info.room
}

pub(crate) fn message(room: RoomId) -> SendMessage {
    SendMessage {
        room,
        text: "hello".to_owned(),
        data: None,
        reply_to: None,
    }
}

#[test]
fn rates_are_taken_over() {
    let mut configured =
        Configured::start(&[("accounts.admins", "boss"), ("accounts.bcrypt_cost", "4")]);
    let ws = configured.server.ws;
    let (mut player, _) = Player::guest(ws, "somebody");
    let room = join(&mut player, "here");
    let mut boss = Player::connect(ws);
    boss.call(&Register {
        username: "boss".to_owned(),
        password: "a good password".to_owned(),
        name: None,
        email: None,
        device: None,
    })
    .unwrap();
    try_rates(&mut configured, "chat", || {
        player.call(&message(room)).map(drop)
    });
    try_rates(&mut configured, "read", || {
        player.call(&GetAccount {}).map(drop)
    });
    try_rates(&mut configured, "write", || {
        let update = UpdateProfile {
            name: Some("Somebody".to_owned()),
            ..UpdateProfile::default()
        };
        player.call(&update).map(drop)
    });
    try_rates(&mut configured, "free", || {
        player.call(&Echo { data: vec![1] }).map(drop)
    });
    try_rates(&mut configured, "service", || {
        boss.call(&GetAccount {}).map(drop)
    });
    let mut stranger = Player::connect(ws);
    try_rates(&mut configured, "sign_in", || {
        let login = Login {
            username: "boss".to_owned(),
            password: "a wrong password".to_owned(),
            device: None,
            known: None,
        };
        match stranger.call(&login) {
            Err(fault) if fault.code == Code::RateLimited => Err(fault),
            _ => Ok(()),
        }
    });
}

#[test]
fn bounds_of_connections_are_taken_over_by_those_who_come() {
    let mut configured = Configured::start(&[("limits.frames_per_second", "10")]);
    let ws = configured.server.ws;
    let seconds = |count: usize| {
        let mut player = Player::connect(ws);
        let began = Instant::now();
        for _ in 0..count {
            player.call(&Echo { data: vec![1] }).unwrap();
        }
        began.elapsed().as_secs_f64()
    };
    assert!(seconds(25) > 1.0);
    configured.reload(&[("limits.frames_per_second", "2000")]);
    assert!(seconds(25) < 1.0);

    let many = ("limits.chat_burst", "1000000");
    let cuts = |configured: &Configured| {
        let page = configured.server.ops_page("/metrics");
        let line = page
            .lines()
            .find(|line| line.starts_with("pitturu_streams_cut_total "));
        line.and_then(|line| line.split(' ').nth(1))
            .map_or(0, |count| count.parse::<u64>().unwrap())
    };
    let flood = |configured: &Configured, name: &str| {
        let (mut reader, _) = Player::guest(ws, &format!("{name} reader"));
        let (mut writer, _) = Player::guest(ws, &format!("{name} writer"));
        join(&mut reader, name);
        let room = join(&mut writer, name);
        let before = cuts(configured);
        for _ in 0..800 {
            say(&mut writer, room, &"x".repeat(2_000));
        }
        cuts(configured) - before
    };
    configured.reload(&[many, ("limits.outbox", "64MiB")]);
    assert_eq!(flood(&configured, "patient"), 0);
    configured.reload(&[many, ("limits.outbox", "64KiB")]);
    assert!(flood(&configured, "short") > 0);
}

#[test]
fn words_levels_and_shown_addresses_are_taken_over() {
    let mut configured = Configured::start(&[]);
    let ws = configured.server.ws;
    let (mut player, _) = Player::guest(ws, "somebody");
    let room = join(&mut player, "here");
    let mut may_say = |text: &str| {
        let said = player.call(&SendMessage {
            text: text.to_owned(),
            ..message(room)
        });
        said.is_ok()
    };
    assert!(may_say("borogove") && may_say("rath"));
    let words = configured.write("words.txt", "borogove\n");
    configured.reload(&[("chat.word_filter", &words)]);
    assert!(!may_say("a borogove") && may_say("a rath"));
    // The same file with something else in it.
    configured.write("words.txt", "rath\n");
    configured.reload(&[("chat.word_filter", &words)]);
    assert!(may_say("a borogove") && !may_say("a rath"));
    configured.reload(&[]);
    assert!(may_say("a rath"));

    for (shown, text) in [
        ("full", "\"address\":\"127.0.0.1\""),
        ("network", "\"address\":\"127.0.0.0/24\""),
        ("none", "\"address\":\"hidden\""),
    ] {
        configured.reload(&[("log.addresses", shown)]);
        let before = configured.server.log().matches(text).count();
        drop(Player::connect(ws));
        configured.wait_for(before + 1, text);
    }
    let opened = "connection opened";
    configured.reload(&[("log.level", "info,pitturu_server::session=warn")]);
    let before = configured.server.log().matches(opened).count();
    drop(Player::connect(ws));
    configured.reload(&[("log.level", "info")]);
    let after = configured.server.log().matches(opened).count();
    assert_eq!(before, after, "the level was higher");
    drop(Player::connect(ws));
    configured.wait_for(after + 1, opened);
}

#[test]
fn a_file_that_is_bad_in_any_way_changes_nothing() {
    let good = ("listen.origins", "https://a.example");
    let mut configured = Configured::start(&[good]);
    let ws = configured.server.ws;
    let may = |origin: &str| RawSocket::try_connect(ws, &format!("Origin: {origin}\r\n")).is_ok();
    let said = "not read again, nothing was changed";
    for (index, (name, value)) in [
        ("listen.connections_max", "0"),
        ("listen.conections_max", "5"),
        ("log.level", "inof"),
        ("chat.word_filter", "no-such-list.txt"),
        ("game.file", "/"),
        ("quic.reset_key", "short"),
        ("accounts.refresh_life", "1m"),
    ]
    .into_iter()
    .enumerate()
    {
        let other = ("listen.origins", "https://b.example");
        configured.write("pitturu.toml", &file(&[other, (name, value)]));
        configured.server.signal("HUP");
        configured.wait_for(index + 1, said);
        let log = configured.server.log();
        let line = log.lines().rfind(|line| line.contains(said)).unwrap();
        assert!(line.contains(name) && line.contains("ERROR"), "{line}");
        assert!(
            may("https://a.example") && !may("https://b.example"),
            "{name}"
        );
    }
    configured.write("pitturu.toml", "not TOML");
    configured.server.signal("HUP");
    configured.wait_for(8, said);
    assert!(may("https://a.example") && !may("https://b.example"));
    configured.reload(&[("listen.origins", "https://b.example")]);
    assert!(may("https://b.example"));
}

#[test]
fn what_needs_a_restart_is_named_as_long_as_it_differs() {
    let mut configured = Configured::start(&[("heartbeat.ping", "20s")]);
    let other = [
        ("heartbeat.ping", "21s"),
        ("chat.shards", "3"),
        ("limits.chat_burst", "7"),
    ];
    for times in 1..=2 {
        configured.reload(&other);
        configured.wait_for(times, "needs a restart: chat.shards, heartbeat.ping");
    }
    configured.wait_for(1, "\"changed\":\"limits.chat_burst\"");
    configured.wait_for(1, "\"changed\":\"\"");
    configured.reload(&[("heartbeat.ping", "20s")]);
    let log = configured.server.log();
    assert_eq!(log.matches("needs a restart").count(), 2, "{log}");
}

#[test]
fn signals_that_mean_nothing_end_nothing() {
    let mut server = Server::start(&[]);
    let mut player = Player::connect(server.ws);
    // By name, and by number what not every `kill` has a name for: of a coprocessor, of input, of the power, real-time.
    for name in [
        "USR1", "USR2", "PIPE", "ALRM", "VTALRM", "PROF", "XCPU", "XFSZ", "WINCH", "CHLD", "URG",
        "HUP", "16", "29", "30", "34", "40", "64",
    ] {
        server.signal(name);
        player.call(&Echo { data: vec![1] }).unwrap();
    }
    drop(player);
    server.signal("QUIT");
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    assert!(server.log().contains("stopped"), "{}", server.log());
}
