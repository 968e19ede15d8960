//! What is measured: a server or a floor started for the run, or a server that runs already.

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::certificate;
use crate::floor::{Floor, LISTENING};
use crate::link::Transport;
use crate::probe::Probe;
use crate::report::Subject;

/// Longest time for a server to start; one with much data reads it first.
const START_WITHIN: Duration = Duration::from_secs(120);

/// Longest time for a server to stop before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(40);

/// Why there is nothing to measure.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program.
    #[error("starting {program}: {error}")]
    Spawn {
        /// Which.
        program: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// It ended, or took too long.
    #[error("{program} does not start; its last lines:\n{lines}")]
    NotReady {
        /// Which.
        program: PathBuf,
        /// What it wrote last.
        lines: String,
    },
    /// No folder for the data.
    #[error("a folder for the server's data: {0}")]
    Folder(io::Error),
    /// No certificate for TLS and QUIC.
    #[error("a certificate for the server: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// What is measured.
#[derive(Debug)]
pub struct Target {
    /// Which.
    pub subject: Subject,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it listens for QUIC; absent where it does not, or that is not known.
    pub quic: Option<SocketAddr>,
    /// Where its process can be seen.
    pub probe: Option<Probe>,
    /// How long it took to start; absent when it ran already.
    pub started_in: Option<Duration>,
    process: Option<Process>,
}

/// A program started for the run, stopped when dropped.
#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let asked = Instant::now();
        while asked.elapsed() < STOP_WITHIN {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The game's file, in the folder in which the server runs.
pub const GAME_FILE: &str = "game.toml";

/// The files of the server's certificate and its key, there as well.
const CERTIFICATE_FILES: (&str, &str) = ("cert.pem", "key.pem");

/// A server's program, data and settings.
#[derive(Debug)]
pub struct Installation {
    program: PathBuf,
    folder: TempDir,
    settings: Vec<String>,
    transport: Transport,
}

impl Installation {
    /// A server for this transport, with a new folder for its data, below `data` or the system's place for temporary files. What its
    /// game has is put into [`GAME_FILE`] there.
    pub fn new(
        program: PathBuf,
        transport: Transport,
        data: Option<&Path>,
        settings: Vec<String>,
        game: Option<String>,
    ) -> Result<Self, StartError> {
        // The server runs in a folder of its own.
        let program = std::path::absolute(&program).unwrap_or(program);
        let folder = match data {
            Some(data) => TempDir::new_in(data),
            None => TempDir::new(),
        };
        let folder = folder.map_err(StartError::Folder)?;
        if let Some(game) = game {
            std::fs::write(folder.path().join(GAME_FILE), game).map_err(StartError::Folder)?;
        }
        if needs_certificate(transport, &settings) {
            let made = certificate::make()?;
            let (certificate, key) = CERTIFICATE_FILES;
            for (file, pem) in [
                (certificate, made.cert.pem()),
                (key, made.signing_key.serialize_pem()),
            ] {
                std::fs::write(folder.path().join(file), pem).map_err(StartError::Folder)?;
            }
        }
        Ok(Self {
            program,
            folder,
            settings,
            transport,
        })
    }

    /// Starts it, on the data of the last time.
    pub fn start(&self) -> Result<Target, StartError> {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PITTURU_")) {
            command.env_remove(name);
        }
        command
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(self.folder.path().join("data"))
            .args(["--set", "ops.listen=127.0.0.1:0"])
            .args(["--set", "log.format=json"])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if listens_secretly(self.transport) {
            let listens = listener(self.transport);
            command.args(["--set", &format!("listen.{listens}=127.0.0.1:0")]);
        }
        if needs_certificate(self.transport, &self.settings) {
            let (certificate, key) = CERTIFICATE_FILES;
            command.args(["--set", &format!("listen.cert={certificate}")]);
            command.args(["--set", &format!("listen.key={key}")]);
        }
        for setting in &self.settings {
            command.args(["--set", setting]);
        }
        let began = Instant::now();
        let mut child = spawn(command, &self.program)?;
        let lines = child.stderr.take().expect("it is piped");
        let process = Process(child);
        let listens = listener(self.transport);
        let (address, quic) = wait_for(&self.program, BufReader::new(lines), |line| {
            let quic = address_of_server(line, listener(Transport::Quic));
            Some((address_of_server(line, listens)?, quic))
        })?;
        Ok(Target {
            subject: Subject::Server,
            address,
            quic,
            probe: Some(Probe::Process(process.0.id())),
            started_in: Some(began.elapsed()),
            process: Some(process),
        })
    }
}

impl Target {
    /// Starts a floor: this program under another command.
    pub fn floor(floor: Floor, transport: Transport, threads: usize) -> Result<Self, StartError> {
        let program = std::env::current_exe().map_err(StartError::Folder)?;
        let mut command = Command::new(&program);
        command
            .args(["floor", floor.name(), "--transport", transport.name()])
            .args(["--threads", &threads.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = spawn(command, &program)?;
        let lines = child.stdout.take().expect("it is piped");
        let process = Process(child);
        let address = wait_for(&program, BufReader::new(lines), |line| {
            line.strip_prefix(LISTENING)?.parse().ok()
        })?;
        Ok(Self {
            subject: Subject::Floor,
            address,
            quic: None,
            probe: Some(Probe::Process(process.0.id())),
            started_in: None,
            process: Some(process),
        })
    }

    /// A server or floor that runs already.
    pub const fn running(subject: Subject, address: SocketAddr, probe: Option<Probe>) -> Self {
        Self {
            subject,
            address,
            quic: None,
            probe,
            started_in: None,
            process: None,
        }
    }

    /// Stops it, if it was started for the run.
    pub fn stop(self) {
        drop(self.process);
    }
}

fn spawn(mut command: Command, program: &Path) -> Result<Child, StartError> {
    command.spawn().map_err(|error| StartError::Spawn {
        program: program.to_owned(),
        error,
    })
}

/// Reads lines until one says where the program listens, and goes on reading for as long as it writes.
fn wait_for<T: Send + 'static>(
    program: &Path,
    lines: impl BufRead + Send + 'static,
    address: impl Fn(&str) -> Option<T> + Send + 'static,
) -> Result<T, StartError> {
    let (out, found) = mpsc::channel();
    std::thread::spawn(move || {
        for line in lines.lines().map_while(Result::ok) {
            // Once the address is known, nobody listens any more.
            drop(match address(&line) {
                Some(address) => out.send(Ok(address)),
                None => out.send(Err(line)),
            });
        }
    });
    let deadline = Instant::now() + START_WITHIN;
    let mut last = Vec::new();
    loop {
        match found.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Ok(address)) => return Ok(address),
            Ok(Err(line)) => last.push(line),
            Err(_) => {
                let from = last.len().saturating_sub(20);
                return Err(StartError::NotReady {
                    program: program.to_owned(),
                    lines: last[from..].join("\n"),
                });
            }
        }
    }
}

/// What the server's listener for a transport is called, in its configuration and in what it says when it is ready.
const fn listener(transport: Transport) -> &'static str {
    match transport {
        Transport::Ws => "ws",
        Transport::Wss => "tls",
        Transport::Quic | Transport::WebTransport => "quic",
    }
}

/// Whether there is a certificate, for the players' transport or for what a scenario has the server listen for beside it.
fn needs_certificate(transport: Transport, settings: &[String]) -> bool {
    let by_quic = |setting: &String| setting.starts_with("listen.quic=");
    listens_secretly(transport) || settings.iter().any(by_quic)
}

/// Whether a transport needs a certificate, and a listener beside the one that is always there.
fn listens_secretly(transport: Transport) -> bool {
    transport != Transport::Ws
}

fn address_of_server(line: &str, listener: &str) -> Option<SocketAddr> {
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    (value.get("message")?.as_str()? == "ready")
        .then(|| value.get(listener)?.as_str()?.parse().ok())
        .flatten()
}
