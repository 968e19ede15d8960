//! Starts the built server on free ports with a folder of its own, and stops it.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::raw::http;

/// Longest time for the server to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// Log lines kept for the message of a failed test.
const LINES_KEPT: usize = 2_000;

/// A running server.
pub(crate) struct Server {
    child: Child,
    /// Where players connect.
    pub(crate) ws: SocketAddr,
    /// Where players connect with TLS, if that is configured.
    pub(crate) tls: Option<SocketAddr>,
    /// Where players connect with QUIC, if that is configured.
    pub(crate) quic: Option<SocketAddr>,
    /// Health and metrics.
    pub(crate) ops: SocketAddr,
    folder: Arc<TempDir>,
    lines: Arc<Mutex<VecDeque<String>>>,
}

/// The program with an environment that holds none of its settings.
pub(crate) fn program() -> Command {
    without_settings(Command::new(env!("CARGO_BIN_EXE_pitturu")))
}

/// The program, which may have so many files open.
pub(crate) fn program_with_files(files: u32) -> Command {
    let mut command = Command::new("sh");
    let limited = format!("ulimit -n {files}; exec \"$0\" \"$@\"");
    command.args(["-c", &limited, env!("CARGO_BIN_EXE_pitturu")]);
    without_settings(command)
}

fn without_settings(mut command: Command) -> Command {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PITTURU_")) {
        command.env_remove(name);
    }
    command
}

impl Server {
    /// Starts in development mode with these settings (`section.key=value`) on top. There is no QUIC unless they say so: clients
    /// of the SDK would move there while a test looks at their WebSocket.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self::start_in(folder, settings)
    }

    /// Starts on the data of an earlier server.
    pub(crate) fn start_in(folder: Arc<TempDir>, settings: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", folder, settings)
    }

    /// Starts at this address, which may be that of an earlier server.
    pub(crate) fn start_at(ws: &str, folder: Arc<TempDir>, settings: &[&str]) -> Self {
        Self::run(program(), ws, folder, settings)
    }

    /// Starts with so many files that it may have open.
    pub(crate) fn start_with_files(files: u32, settings: &[&str]) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self::run(program_with_files(files), "127.0.0.1:0", folder, settings)
    }

    fn run(mut command: Command, ws: &str, folder: Arc<TempDir>, settings: &[&str]) -> Self {
        command
            .args(["--dev", "--listen", ws, "--data"])
            .arg(folder.path().join("data"))
            .args([
                "--set",
                "ops.listen=127.0.0.1:0",
                "--set",
                "listen.quic=",
                "--set",
                "log.format=json",
            ])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        for setting in settings {
            command.args(["--set", setting]);
        }
        let mut child = command.spawn().unwrap();
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (ready_out, ready) = mpsc::channel();
        std::thread::spawn({
            let lines = Arc::clone(&lines);
            move || {
                for line in stderr.lines().map_while(Result::ok) {
                    if let Some(addresses) = addresses_of(&line) {
                        let _ = ready_out.send(addresses);
                    }
                    let mut lines = lines.lock().unwrap();
                    if lines.len() == LINES_KEPT {
                        lines.pop_front();
                    }
                    lines.push_back(line);
                }
            }
        });
        match ready.recv_timeout(PATIENCE) {
            Ok(Addresses { ws, tls, quic, ops }) => Self {
                child,
                ws,
                tls,
                quic,
                ops,
                folder,
                lines,
            },
            Err(_) => {
                let _ = child.kill();
                let status = child.wait();
                let lines = lines.lock().unwrap();
                panic!("the server does not start: {status:?}\n{lines:#?}");
            }
        }
    }

    /// The folder that holds its data and serves as its working directory.
    pub(crate) fn folder(&self) -> Arc<TempDir> {
        Arc::clone(&self.folder)
    }

    /// Where it keeps its data.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Memory that it occupies, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(Path::new(&path)).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1));
        kib.unwrap().parse::<u64>().unwrap() * 1024
    }

    /// A page of the operations port: head and body.
    pub(crate) fn ops_page(&self, path: &str) -> String {
        http(
            self.ops,
            &format!("GET {path} HTTP/1.1\r\nHost: ops\r\n\r\n"),
        )
    }

    /// Its last log lines.
    pub(crate) fn log(&self) -> String {
        let lines = self.lines.lock().unwrap();
        lines.iter().cloned().collect::<Vec<_>>().join("\n")
    }

    /// Sends a signal by its name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "still running\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks it to stop and waits.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// Kills it without warning, as a crash would.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("log of the server:\n{}", self.log());
        }
    }
}

struct Addresses {
    ws: SocketAddr,
    tls: Option<SocketAddr>,
    quic: Option<SocketAddr>,
    ops: SocketAddr,
}

fn addresses_of(line: &str) -> Option<Addresses> {
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    if value.get("message")?.as_str()? != "ready" {
        return None;
    }
    let address = |name: &str| value.get(name)?.as_str()?.parse().ok();
    Some(Addresses {
        ws: address("ws")?,
        tls: address("tls"),
        quic: address("quic"),
        ops: address("ops")?,
    })
}
