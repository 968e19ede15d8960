//! The generator at one end of a bad network, and a floor at the other.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use pitturu_loadtest::report::Report;
use pitturu_lossy_link::{Conditions, LossyLink, SERVER, Way, open_or_leave_out};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_loadtest");

/// Stopped when dropped.
struct Sender(Child);

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// 99 of 100 looks at the state that players have find it at most this old, in milliseconds.
fn age_p99(link: &LossyLink, transport: &str, more: &[&str]) -> f64 {
    let listen = format!("{SERVER}:0");
    let mut floor = Command::new(PROGRAM);
    floor
        .args(["floor", "states", "--transport", transport])
        .args(["--listen", &listen])
        .stdout(Stdio::piped());
    let mut floor = Sender(link.server().spawn(&mut floor).unwrap());
    let mut line = String::new();
    let mut lines = BufReader::new(floor.0.stdout.take().unwrap());
    lines.read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").unwrap();

    let folder = TempDir::new().unwrap();
    let json = folder.path().join("report.json");
    let mut run = Command::new(PROGRAM);
    run.args(["run", "--seconds", "5", "--warm-up", "1"])
        .args(["--transport", transport, "--address", address, "--json"])
        .arg(&json)
        .args(["states", "--players", "10"])
        .args(more)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let status = link.client().spawn(&mut run).unwrap().wait().unwrap();
    assert!(status.success(), "{transport} {more:?}");
    let report: Report = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let age = report.runs[0].operation("age").unwrap();
    let latency = &age.latency;
    println!(
        "{transport} {more:?}: p50 {} ms, p99 {} ms, p99.9 {} ms",
        latency.p50_ms, latency.p99_ms, latency.p999_ms
    );
    latency.p99_ms
}

#[test]
fn over_losses_datagrams_are_fresher_than_a_stream() {
    let Some(link) = open_or_leave_out(Conditions {
        delay: Duration::from_millis(40),
        loss: 0.05,
        seed: 7,
        ..Conditions::default()
    }) else {
        return;
    };
    let ages = [("ws", &[][..]), ("quic", &[]), ("quic", &["--datagrams"])]
        .map(|(transport, more)| age_p99(&link, transport, more));
    let [ws, stream, datagrams] = ages;
    assert!(link.counts(Way::ToClient).lost > 100);
    // What is lost on a stream is waited for: a round trip of 80 ms, with all that is behind it.
    assert!(datagrams < ws && datagrams < stream, "{ages:?}");
    // It is under way for 40 ms, and the next one is made after 33.
    assert!(ages.iter().all(|&age| age > 70.0), "{ages:?}");
}
