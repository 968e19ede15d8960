//! Runs of the program, and what its report says.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pitturu_loadtest::report::{Operation, Report, Run, Subject};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_loadtest");

/// Seconds of the measured part, without a warm-up, so that all of the load is in it.
const SECONDS: &str = "2";

/// A way to run the program.
pub struct Bench {
    server: PathBuf,
    floor: bool,
    transport: &'static str,
}

/// What a run of the program said.
pub struct Measured {
    pub code: Option<i32>,
    /// Title of each check, and whether it held.
    pub checks: Vec<(String, bool)>,
    report: Report,
}

/// One run of a report.
pub struct Looked<'a>(&'a Run);

impl Bench {
    /// Against the server that was built with the program.
    pub fn server() -> Self {
        let folder = Path::new(PROGRAM)
            .parent()
            .expect("a program is in a folder");
        let server = folder.join("pitturu");
        assert!(
            server.exists(),
            "there is no {}: run `cargo build --bin pitturu`",
            server.display()
        );
        Self {
            server,
            floor: false,
            transport: "ws",
        }
    }

    /// Against nothing.
    pub fn without_server() -> Self {
        Self {
            server: PathBuf::from("/there/is/no/server"),
            floor: false,
            transport: "ws",
        }
    }

    /// Over this transport, with or without a floor.
    pub fn over(transport: &'static str, floor: bool) -> Self {
        Self {
            floor,
            transport,
            ..Self::server()
        }
    }

    /// Plays a scenario against the server; everything that it checks must hold.
    pub fn alone(scenario: &[&str]) -> Measured {
        Self::server().run(scenario).that_held()
    }

    /// The same against floor and server.
    pub fn with_floor(scenario: &[&str]) -> Measured {
        let bench = Self {
            floor: true,
            ..Self::server()
        };
        bench.run(scenario).that_held()
    }

    /// Plays a scenario and reads the report.
    pub fn run(&self, scenario: &[&str]) -> Measured {
        let folder = TempDir::new().unwrap();
        let json = folder.path().join("report.json");
        let output = self.output(scenario, &json);
        let Ok(bytes) = std::fs::read(&json) else {
            panic!(
                "{scenario:?} wrote no report: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        };
        let report: Report = serde_json::from_slice(&bytes).unwrap();
        let checks = report.runs.iter().flat_map(|run| &run.checks);
        let checks = checks.map(|check| {
            println!("{} {}: {}", check.held, check.title, check.detail);
            (check.title.clone(), check.held)
        });
        Measured {
            code: output.status.code(),
            checks: checks.collect(),
            report,
        }
    }

    /// Plays a scenario and says how the program ended.
    pub fn code(&self, scenario: &[&str]) -> Option<i32> {
        let folder = TempDir::new().unwrap();
        let output = self.output(scenario, &folder.path().join("report.json"));
        output.status.code()
    }

    fn output(&self, scenario: &[&str], json: &Path) -> Output {
        let mut command = Command::new(PROGRAM);
        command.args(["run", "--seconds", SECONDS, "--warm-up", "0", "--seed", "7"]);
        command.args(["--transport", self.transport]);
        command.arg("--server").arg(&self.server);
        command.arg("--json").arg(json);
        if self.floor {
            command.arg("--floor");
        }
        command.args(scenario).output().unwrap()
    }
}

impl Measured {
    pub fn that_held(self) -> Self {
        for (title, held) in &self.checks {
            assert!(held, "broken: {title}");
        }
        assert!(!self.checks.is_empty());
        assert_eq!(self.code, Some(0));
        self
    }

    /// All runs, in their order.
    pub fn all(&self) -> impl Iterator<Item = Looked<'_>> {
        self.report.runs.iter().map(Looked)
    }

    /// The run against this subject.
    pub fn of(&self, subject: Subject) -> Looked<'_> {
        let mut runs = self.all().filter(|run| run.0.subject == subject);
        runs.next().expect("there is a run against it")
    }

    /// Floor and server.
    pub fn both(&self) -> [Looked<'_>; 2] {
        assert_eq!(self.report.runs.len(), 2);
        [self.of(Subject::Floor), self.of(Subject::Server)]
    }
}

impl std::ops::Deref for Looked<'_> {
    type Target = Run;

    fn deref(&self) -> &Run {
        self.0
    }
}

impl Looked<'_> {
    /// A count, from the beginning of the load to the end of the drain.
    pub fn total(&self, name: &str) -> u64 {
        let seconds = self.timeline.iter();
        seconds.filter_map(|second| second.counts.get(name)).sum()
    }

    /// How many of an operation ended well in that time.
    pub fn done(&self, name: &str) -> u64 {
        self.instants(name).map(|instant| instant.done).sum()
    }

    /// How many failed in that time.
    pub fn errors(&self, name: &str) -> u64 {
        self.instants(name).map(|instant| instant.errors).sum()
    }

    fn instants(&self, name: &str) -> impl Iterator<Item = &pitturu_loadtest::report::Instant> {
        let seconds = self.0.timeline.iter();
        seconds.filter_map(move |second| second.operations.get(name))
    }

    /// How many of an operation ended well, where it was done while getting ready only.
    pub fn ready(&self, name: &str) -> u64 {
        assert_eq!(self.done(name), 0, "{name} in the run");
        self.operation(name).done
    }

    /// The times of an operation.
    pub fn operation(&self, name: &str) -> &Operation {
        let mut operations = self.operations.iter();
        operations
            .find(|operation| operation.name == name)
            .expect("the operation happened")
    }

    /// A figure of the scenario.
    pub fn figure(&self, name: &str) -> f64 {
        let mut figures = self.figures.iter();
        let figure = figures.find(|figure| figure.name == name);
        figure.expect("the scenario has this figure").value
    }

    /// A parameter as on the command line.
    pub fn parameter(&self, name: &str) -> &str {
        let mut parameters = self.parameters.iter();
        let found = parameters.find(|(held, _)| held == name);
        &found.expect("the scenario has this parameter").1
    }
}
