//! What the program answers to a shell: exit codes, and where words go.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use pitturu_loadtest::report::{
    Check, Host, LAYOUT, Latency, Operation, Report, Run, Subject, Usage, json,
};

/// Exit code, standard output, standard error.
fn loadtest(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    (code, text(output.stdout), text(output.stderr))
}

/// One run of 10,000 echoes, 99 of 100 within this time.
fn report(p99_ms: f64, held: bool) -> Report {
    let echo = Operation {
        name: "echo".to_owned(),
        offered_per_second: Some(1_000.0),
        achieved_per_second: 1_000.0,
        done: 10_000,
        errors: BTreeMap::new(),
        latency: Latency {
            samples: 10_000,
            p50_ms: 5.0,
            p99_ms,
            ..Latency::default()
        },
    };
    let check = Check {
        title: "nobody was disconnected".to_owned(),
        held,
        detail: "0 of 200 connections lost".to_owned(),
    };
    let run = Run {
        scenario: "echo".to_owned(),
        subject: Subject::Server,
        repetition: 1,
        parameters: Vec::new(),
        settings: Vec::new(),
        seconds: 10.0,
        connections: 200,
        operations: vec![echo],
        counts: BTreeMap::new(),
        server: None,
        generator: Usage::default(),
        figures: Vec::new(),
        timeline: Vec::new(),
        checks: vec![check],
        warnings: Vec::new(),
    };
    Report {
        layout: LAYOUT,
        began: "2026-01-31T12:00:00Z".to_owned(),
        command: "loadtest run echo".to_owned(),
        host: Host::default(),
        runs: vec![run],
        ratios: Vec::new(),
        capacity: None,
    }
}

fn written(folder: &Path, name: &str, report: &Report) -> PathBuf {
    let path = folder.join(name);
    json::write(&path, report).unwrap();
    path
}

#[test]
fn a_comparison_tells_the_shell_what_it_found() {
    let folder = tempfile::tempdir().unwrap();
    let before = written(folder.path(), "before.json", &report(20.0, true));
    let compare = |after: &Report, budgets: &[&str]| {
        let after = written(folder.path(), "after.json", after);
        let paths = [before.to_str().unwrap(), after.to_str().unwrap()];
        let budgets = budgets.iter().flat_map(|budget| ["--budget", budget]);
        let arguments: Vec<&str> = ["compare"]
            .into_iter()
            .chain(paths)
            .chain(budgets)
            .collect();
        loadtest(&arguments)
    };

    let (code, out, _) = compare(&report(20.0, true), &[]);
    assert_eq!(code, 0, "{out}");
    let (code, out, _) = compare(&report(40.0, true), &[]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("echo_p99"), "{out}");
    let (code, out, _) = compare(&report(40.0, true), &["p99=100%"]);
    assert_eq!(code, 0, "{out}");
    let (code, out, _) = compare(&report(40.0, true), &["p99=99%"]);
    assert_eq!(code, 1, "{out}");
    let (code, out, _) = compare(&report(20.0, false), &[]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("nobody was disconnected"), "{out}");

    let (code, out, error) = compare(&report(20.0, true), &["p99=much"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(error.contains("p99=much"), "{error}");
}

#[test]
fn a_report_that_is_not_there_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let before = written(folder.path(), "before.json", &report(20.0, true));
    let after = folder.path().join("after.json");
    let paths = [before.to_str().unwrap(), after.to_str().unwrap()];
    let (code, out, error) = loadtest(&["compare", paths[0], paths[1]]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(error.contains("after.json: no such file"), "{error}");
}

#[test]
fn a_search_that_makes_no_sense_is_refused() {
    for (arguments, told) in [
        (vec!["--from", "2", "--to", "1", "echo"], "above --to"),
        (vec!["--from", "0", "--to", "1", "echo"], "above 0"),
        (
            vec!["--from", "1", "--to", "2", "--within", "0", "echo"],
            "--within 0",
        ),
        (
            vec!["--from", "1", "--to", "2", "--objective", "p95<1ms", "echo"],
            "p50, p90, p99",
        ),
        (
            vec![
                "--from",
                "1",
                "--to",
                "2",
                "--objective",
                "achieved>0.9",
                "idle",
            ],
            "scenario idle paces none",
        ),
        (
            vec![
                "--from",
                "1",
                "--to",
                "2",
                "--server",
                "/nowhere/pitturu",
                "echo",
            ],
            "starting /nowhere/pitturu",
        ),
        (
            vec![
                "--from",
                "1",
                "--to",
                "2",
                "--address",
                "127.0.0.1:9",
                "--objective",
                "cpu<1",
                "echo",
            ],
            "--ops",
        ),
    ] {
        let arguments: Vec<&str> = ["capacity"].into_iter().chain(arguments).collect();
        let (code, out, error) = loadtest(&arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{error}");
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn a_load_at_which_no_player_gets_ready_is_broken_and_not_an_error() {
    // A port that was free a moment ago, where nobody listens.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let arguments = [
        "capacity",
        "--from",
        "1",
        "--to",
        "2",
        "--address",
        &address,
        "echo",
    ];
    let (code, out, _) = loadtest(&arguments);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("never held, broke at 1"), "{out}");
    assert!(out.contains("could not get ready"), "{out}");
}

/// Whoever started a generator or a floor may be killed; what it started must not go on alone.
#[cfg(target_os = "linux")]
#[test]
fn a_floor_ends_with_who_started_it() {
    use std::io::{BufRead, BufReader};
    let mut starter = Command::new("sh")
        .args(["-c", "\"$0\" floor fan-out & echo $!; wait"])
        .arg(env!("CARGO_BIN_EXE_loadtest"))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(starter.stdout.take().unwrap()).lines();
    let both = [
        lines.next().unwrap().unwrap(),
        lines.next().unwrap().unwrap(),
    ];
    let floor = both
        .iter()
        .find(|line| line.parse::<u32>().is_ok())
        .unwrap();
    assert!(both.iter().any(|line| line.starts_with("listening on ")));
    starter.kill().unwrap();
    starter.wait().unwrap();
    // Its end closes its output, and this pipe with it.
    let (ended, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || ended.send(lines.next().is_none()));
    let outcome = end.recv_timeout(std::time::Duration::from_secs(30));
    if outcome.is_err() {
        let _ = Command::new("kill").arg(floor).status();
    }
    assert_eq!(outcome, Ok(true), "the floor goes on alone");
}
