//! The page for Prometheus against the table that it is written from, and against Prometheus' own rules.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use pitturu_metrics::description::{Begins, Description, Kind, Metric};
use pitturu_metrics::labels::{ConnectionEnd, Label};
use pitturu_metrics::table;
use pitturu_protocol::codes::Code;
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::types::accounts::{Login, Register};
use pitturu_protocol::types::chat::{JoinRoom, RoomKind, SendEphemeral};
use pitturu_protocol::types::presence::RoomPresence;

use crate::chat::{again, create, say};
use crate::conformance::has_or_says_how;
use crate::launch::Server;
use crate::player::Player;
use crate::raw::PATIENCE;

/// What is written ahead of the samples of a metric, and they.
#[derive(Debug, Default)]
struct Family {
    help: Option<String>,
    kind: Option<String>,
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Sample {
    fn parse(line: &str) -> Self {
        let (series, value) = line.rsplit_once(' ').expect(line);
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.strip_suffix('}').expect(line);
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').expect(line);
            (name.to_owned(), value.trim_matches('"').to_owned())
        };
        Self {
            name: name.to_owned(),
            labels: labels.split_terminator(',').map(pair).collect(),
            value: value.parse().expect(line),
        }
    }
}

/// Metrics by name. What stands before the first blank line is the head of the answer.
struct Page(BTreeMap<String, Family>);

impl Page {
    fn of(server: &Server) -> Self {
        Self::parse(&body(server))
    }

    fn parse(text: &str) -> Self {
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let mut current = String::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(told) = line.strip_prefix("# HELP ") {
                let (name, help) = told.split_once(' ').unwrap();
                let family = families.entry(name.to_owned()).or_default();
                assert_eq!(family.help.replace(help.to_owned()), None, "{name} twice");
                name.clone_into(&mut current);
            } else if let Some(told) = line.strip_prefix("# TYPE ") {
                let (name, kind) = told.split_once(' ').unwrap();
                let family = families.entry(name.to_owned()).or_default();
                assert_eq!(family.kind.replace(kind.to_owned()), None, "{name} twice");
                name.clone_into(&mut current);
            } else {
                let sample = Sample::parse(line);
                let rest = sample.name.strip_prefix(&current).expect(line);
                assert!(["", "_bucket", "_sum", "_count"].contains(&rest), "{line}");
                families.get_mut(&current).unwrap().samples.push(sample);
            }
        }
        Self(families)
    }

    /// The value of one series, by its labels in the order of the table.
    fn value(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let samples = &self.0.get(name)?.samples;
        let is_it = |sample: &&Sample| {
            let values = sample.labels.iter().map(|(_, value)| value.as_str());
            sample.name == name && values.eq(labels.iter().copied())
        };
        samples.iter().find(is_it).map(|sample| sample.value)
    }
}

fn body(server: &Server) -> String {
    let page = server.ops_page("/metrics");
    let (head, body) = page.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    body.to_owned()
}

fn descriptions() -> impl Iterator<Item = Description> {
    table::all().map(Metric::description)
}

/// Everything on the page is in the table, as it is there.
fn check_against_table(page: &Page) {
    let table: BTreeMap<_, _> = descriptions().map(|it| (it.line.name, it)).collect();
    for (name, family) in &page.0 {
        let Some(described) = table.get(name.as_str()) else {
            panic!("{name} is not in the table");
        };
        assert_eq!(family.help.as_deref(), Some(described.line.help), "{name}");
        assert_eq!(
            family.kind.as_deref(),
            Some(described.kind.name()),
            "{name}"
        );
        assert!(!family.samples.is_empty(), "{name} has no samples");
        for sample in &family.samples {
            check_labels(sample, described);
        }
    }
}

fn check_labels(sample: &Sample, described: &Description) {
    let mut labels = sample.labels.clone();
    if described.kind == Kind::Histogram && sample.name.ends_with("_bucket") {
        let (bound, value) = labels.pop().unwrap();
        assert_eq!(bound, "le", "{sample:?}");
        assert!(value.parse::<f64>().is_ok(), "{sample:?}");
    }
    let names = labels.iter().map(|(name, _)| name.as_str());
    let listed = described.labels.iter().map(|label| label.name);
    assert!(names.eq(listed), "{sample:?}");
    for ((_, value), label) in labels.iter().zip(&described.labels) {
        assert!(label.values.contains(&value.as_str()), "{sample:?}");
    }
}

/// Every pair of values, or every value, or none.
fn series(described: &Description) -> Vec<Vec<&'static str>> {
    let mut all = vec![Vec::new()];
    for label in &described.labels {
        let with = |start: &Vec<&'static str>| {
            let start = start.clone();
            let values = label.values.iter();
            values.map(move |value| [&start[..], &[*value]].concat())
        };
        all = all.iter().flat_map(with).collect();
    }
    all
}

/// What has happened already when a server is ready: it has stored its keys, and taken time.
const MOVED_BY_THE_START: [&str; 2] = [
    "pitturu_store_committed_bytes_total",
    "process_cpu_seconds_total",
];

#[test]
fn a_fresh_server_shows_the_whole_table_with_what_grows_at_zero() {
    let server = Server::start(&[]);
    let page = Page::of(&server);
    check_against_table(&page);
    for described in descriptions() {
        let name = described.line.name;
        if described.line.begins == Begins::Later {
            continue;
        }
        if described.kind == Kind::Histogram {
            assert!(page.0.contains_key(name), "{name} is missing");
            continue;
        }
        for labels in series(&described) {
            let Some(value) = page.value(name, &labels) else {
                panic!("{name} {labels:?} is missing");
            };
            let may_have_moved = MOVED_BY_THE_START.contains(&name);
            if described.kind == Kind::Counter && !may_have_moved {
                assert!(value == 0.0, "{name} {labels:?} begins at {value}");
            }
        }
    }
    assert_eq!(page.value("pitturu_ready", &[]), Some(1.0));
    assert_eq!(page.value("pitturu_store_writable", &[]), Some(1.0));
    let open = page.value("process_open_fds", &[]).unwrap();
    assert!(page.value("process_max_fds", &[]).unwrap() > open);
}

#[test]
fn what_the_page_shows_later_is_what_the_table_says_so_of() {
    let later: BTreeSet<&str> = descriptions()
        .filter(|described| described.line.begins == Begins::Later)
        .map(|described| described.line.name)
        .collect();
    let server = Server::start(&[]);
    let page = Page::of(&server);
    for name in later {
        assert!(!page.0.contains_key(name), "{name} is there from the start");
    }
}

/// Uses a server a bit: sign-ins of both outcomes, a room, messages, refusals, connections that end.
fn use_a_bit(server: &Server) {
    let (mut ana, _) = Player::guest(server.ws, "Ana");
    let (mut ben, _) = Player::guest(server.ws, "Ben");
    let mut cho = Player::connect(server.ws);
    let signed_in = cho
        .call(&Register {
            username: "cho".into(),
            password: "correct horse".into(),
            name: None,
            email: None,
            device: None,
        })
        .unwrap();
    drop(again(server, signed_in));
    let wrong = Login {
        username: "cho".into(),
        password: "wrong horse".into(),
        device: None,
        known: None,
    };
    let fault = Player::connect(server.ws).call(&wrong).unwrap_err();
    assert_eq!(fault.code, Code::WrongCredentials);
    let room = create(&mut ana, RoomKind::Public, "hall", None).info.room;
    ben.call(&JoinRoom { room }).unwrap();
    say(&mut ana, room, "one");
    say(&mut ben, room, "two");
    let text = "psst".to_owned();
    ana.call(&SendEphemeral { room, text }).unwrap();
    let _told_at_the_next_tick: RoomPresence = ana.event();
    let nowhere = RoomId::from_bytes([9; 10]);
    let fault = ben.call(&JoinRoom { room: nowhere }).unwrap_err();
    assert_eq!(fault.code, Code::RoomNotFound);
}

/// How many connections have ended, for whatever reason.
fn closed(page: &Page) -> f64 {
    let reasons = ConnectionEnd::values().into_iter();
    reasons
        .map(|reason| page.value("pitturu_connections_closed_total", &[reason]))
        .sum::<Option<f64>>()
        .expect("each reason is on the page")
}

#[test]
fn what_happens_is_counted_where_the_table_says() {
    let expected: &[(&str, &[&str], f64)] = &[
        ("pitturu_connections", &[], 0.0),
        ("pitturu_connections_opened_total", &["ws"], 5.0),
        ("pitturu_connections_opened_total", &["quic"], 0.0),
        ("pitturu_sign_ins_total", &["guest", "ok"], 2.0),
        ("pitturu_sign_ins_total", &["register", "ok"], 1.0),
        ("pitturu_sign_ins_total", &["access", "ok"], 1.0),
        ("pitturu_sign_ins_total", &["password", "refused"], 1.0),
        ("pitturu_wrong_passwords_total", &[], 1.0),
        ("pitturu_messages_total", &["stored"], 2.0),
        ("pitturu_messages_total", &["ephemeral"], 1.0),
        ("pitturu_deliveries_total", &["durable"], 4.0),
        ("pitturu_deliveries_total", &["volatile"], 2.0),
        ("pitturu_deliveries_dropped_total", &[], 0.0),
        ("pitturu_calls_total", &["JoinRoom", "ok"], 1.0),
        ("pitturu_calls_total", &["JoinRoom", "refused"], 1.0),
        ("pitturu_faults_total", &["write", "room_not_found"], 1.0),
        (
            "pitturu_faults_total",
            &["sign_in", "wrong_credentials"],
            1.0,
        ),
        ("pitturu_players_signed_in", &[], 0.0),
    ];
    let server = Server::start(&[]);
    use_a_bit(&server);
    let began = Instant::now();
    // Who has gone is noticed a moment later, and in one place after the other.
    let page = loop {
        let page = Page::of(&server);
        let values = expected
            .iter()
            .map(|&(name, labels, _)| (name, labels, page.value(name, labels)));
        let wanted = expected
            .iter()
            .map(|&(name, labels, count)| (name, labels, Some(count)));
        if values.clone().eq(wanted.clone()) && closed(&page) == 5.0 {
            break page;
        }
        if began.elapsed() > PATIENCE {
            assert_eq!(values.collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
            assert_eq!(closed(&page), 5.0, "each connection ends for one reason");
        }
    };
    check_against_table(&page);
    let latest = page.value("pitturu_deliveries_total", &["latest"]);
    assert!(latest > Some(0.0), "{latest:?}");
}

pub(crate) fn promtool() -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let found = Command::new(root.join(".ci/promtool")).output().unwrap();
    let program = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    let is_there = found.status.success();
    has_or_says_how("promtool", is_there, "make setup installs it").then_some(program)
}

/// What promtool says of a page; nothing if all is well.
fn linted(promtool: &str, page: &str) -> String {
    let mut lint = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    lint.stdin
        .take()
        .unwrap()
        .write_all(page.as_bytes())
        .unwrap();
    let output = lint.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert_eq!(output.status.success(), said.is_empty(), "{said}");
    said
}

#[test]
fn promtool_has_nothing_to_say_of_a_page() {
    let Some(promtool) = promtool() else {
        return;
    };
    let server = Server::start(&[]);
    assert_eq!(linted(&promtool, &body(&server)), "");
    use_a_bit(&server);
    assert_eq!(linted(&promtool, &body(&server)), "");
    let abbreviated = "# HELP pitturu_ms Time.\n# TYPE pitturu_ms counter\npitturu_ms 1\n";
    assert_ne!(linted(&promtool, abbreviated), "");
}
