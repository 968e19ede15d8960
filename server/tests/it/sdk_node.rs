//! Players in one Node process, which use the built TypeScript SDK. Driven by JSON lines.

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use pitturu_client::{BackOff, RoomId};
use serde_json::{Value, json};

use crate::conformance::{has_node, has_or_says_how, interop};
use crate::sdk_rust::Report;

/// Longest time until Node answers, sending included.
const PATIENCE: Duration = Duration::from_secs(120);

/// A process that takes commands as JSON lines, and answers each with one.
pub struct NodeProcess {
    child: Child,
    commands: ChildStdin,
    answers: Receiver<String>,
}

/// The process.
pub struct NodePlayers(NodeProcess);

/// Where its players stand.
pub struct Counts {
    /// The newest message that each has seen.
    pub heads: Vec<u64>,
    pub acknowledged: u64,
    pub under_way: u64,
}

/// Whether there are Node, the built SDK and a WebSocket for it.
pub fn has_node_sdk() -> bool {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../client-sdk/typescript");
    has_node("ws")
        && has_or_says_how(
            "the built TypeScript SDK",
            sdk.join("dist/node.js").is_file() && sdk.join("node_modules/ws").is_dir(),
            "make test-rust builds it",
        )
}

impl NodeProcess {
    /// Runs this script, which `spawn` starts, in this folder.
    pub fn start(
        folder: &Path,
        script: &str,
        spawn: impl FnOnce(&mut Command) -> io::Result<Child>,
    ) -> Self {
        let mut command = Command::new("node");
        command
            .arg(script)
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = spawn(&mut command).unwrap();
        let commands = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (answer, answers) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if answer.send(line).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            commands,
            answers,
        }
    }

    fn tell(&mut self, command: &Value) {
        writeln!(self.commands, "{command}").unwrap();
    }

    fn answer(&mut self) -> Value {
        match self.answers.recv_timeout(PATIENCE) {
            Ok(line) => serde_json::from_str(&line).unwrap(),
            Err(error) => panic!("Node does not answer: {error}, {:?}", self.child.try_wait()),
        }
    }

    pub fn ask(&mut self, command: &Value) -> Value {
        self.tell(command);
        self.answer()
    }
}

impl NodePlayers {
    /// Starts the process, without players.
    pub fn start() -> Self {
        let process = NodeProcess::start(&interop(), "sdk_chat.mjs", Command::spawn);
        Self(process)
    }

    /// Adds a player who is signed in as a new guest.
    pub fn connect(&mut self, url: &str, name: &str, back_off: BackOff) -> u64 {
        let answer = self.0.ask(&json!({
            "do": "connect",
            "url": url,
            "name": name,
            "secret": format!("{name:-<32}"),
            "backOff": { "baseMs": back_off.base_ms, "capMs": back_off.cap_ms },
        }));
        answer["player"].as_u64().unwrap()
    }

    pub fn join(&mut self, player: u64, room: RoomId) {
        let answer = self
            .0
            .ask(&json!({ "do": "join", "player": player, "room": room.to_string() }));
        assert!(answer["head"].is_u64(), "{answer}");
    }

    /// Begins to send these, at most `most` at a time.
    pub fn send(&mut self, player: u64, texts: &[String], most: usize) {
        self.0
            .tell(&json!({ "do": "send", "player": player, "texts": texts, "most": most }));
    }

    /// Waits until all that [`Self::send`] got has been answered.
    pub fn sent(&mut self) {
        self.0.answer();
    }

    /// Begins to send `prefix 1`, `prefix 2`, … until [`Self::finish`].
    pub fn begin(&mut self, player: u64, prefix: &str, most: usize) {
        self.0
            .ask(&json!({ "do": "begin", "player": player, "prefix": prefix, "most": most }));
    }

    /// Stops sending, and waits for the answers.
    pub fn finish(&mut self) {
        self.0.ask(&json!({ "do": "finish" }));
    }

    pub fn counts(&mut self) -> Counts {
        let answer = self.0.ask(&json!({ "do": "counts" }));
        let heads = answer["heads"].as_array().unwrap();
        Counts {
            heads: heads.iter().map(|head| head.as_u64().unwrap()).collect(),
            acknowledged: answer["acknowledged"].as_u64().unwrap(),
            under_way: answer["under_way"].as_u64().unwrap(),
        }
    }

    /// What a player has seen and done, and the digest of what it saw as Node computes it.
    pub fn report(&mut self, player: u64, name: &str) -> (Report, String) {
        let answer = self.0.ask(&json!({ "do": "report", "player": player }));
        let messages = |what: &str| serde_json::from_value(answer[what].clone()).unwrap();
        let lines = |what: &str| {
            let lines = answer[what].as_array().unwrap();
            lines.iter().map(Value::to_string).collect()
        };
        let report = Report {
            name: name.to_owned(),
            seen: messages("seen"),
            acknowledged: messages("acknowledged"),
            failed: lines("failed"),
            troubles: lines("troubles"),
            connections: answer["connections"].as_u64().unwrap(),
        };
        (report, answer["digest"].as_str().unwrap().to_owned())
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
