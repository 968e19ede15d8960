//! The server as a process of its own: started, killed, paused, stopped, and asked to break.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// User name of the admin.
pub const ADMIN: &str = "root";

/// Password of the admin.
pub const ADMIN_PASSWORD: &str = "a password of nobody";

/// Longest time for a server to start, or to end when asked.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longest time for a page of the operations port.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// Log lines kept for a violation.
const LINES_KEPT: usize = 300;

/// The server must not refuse for being asked too often, and its outboxes are small, so that slow readers are cut soon.
const SETTINGS: &[&str] = &[
    "limits.chat_per_second=1000000",
    "limits.chat_burst=1000000",
    "limits.write_per_second=1000000",
    "limits.write_burst=1000000",
    "limits.read_per_second=1000000",
    "limits.read_burst=1000000",
    "limits.service_per_second=1000000",
    "limits.service_burst=1000000",
    "limits.sign_in_per_second=1000000",
    "limits.sign_in_burst=1000000",
    "limits.free_per_second=1000000",
    "limits.free_burst=1000000",
    "limits.frames_per_second=1000000",
    "limits.outbox=64KiB",
    "accounts.bcrypt_cost=4",
    "server.shutdown_timeout=2s",
    "store.memtable=1MiB",
    "store.free_min=16MiB",
];

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Its process.
    #[error("the server's process: {0}")]
    Process(#[from] io::Error),
    /// It ended, or took too long, before it was ready.
    #[error("the server does not start; its last lines:\n{0}")]
    NotReady(String),
    /// It ended in another way than asked.
    #[error("the server ended with {0} when it was asked to stop; its last lines:\n{1}")]
    BadEnd(ExitStatus, String),
}

/// How a server is started.
#[derive(Clone, Debug)]
pub struct Installation {
    /// The program and its first arguments.
    pub program: (PathBuf, Vec<String>),
    /// Protections to leave out.
    pub undone: Vec<String>,
    settings: Vec<String>,
    folder: Arc<TempDir>,
    written: Arc<Mutex<Written>>,
}

/// What servers have written to standard error.
#[derive(Debug, Default)]
struct Written {
    lines: VecDeque<String>,
    /// By point and action.
    acted: BTreeMap<String, u64>,
    /// What no run may bring about, whatever is broken.
    panics: Vec<String>,
}

impl Installation {
    /// A server with a new folder for its data.
    ///
    /// # Errors
    /// Those of the folder.
    pub fn new(program: (PathBuf, Vec<String>), undone: Vec<String>) -> io::Result<Self> {
        Ok(Self {
            program,
            undone,
            settings: Vec::new(),
            folder: Arc::new(TempDir::new()?),
            written: Arc::default(),
        })
    }

    /// Has it know this game, and start with these settings, each time.
    ///
    /// # Errors
    /// Those of the file that says what the game has.
    pub fn with_game(mut self, game: &str, settings: &[&str]) -> io::Result<Self> {
        let file = self.folder.path().join("game.toml");
        std::fs::write(&file, game)?;
        self.settings = settings.iter().map(ToString::to_string).collect();
        self.settings.push(format!("game.file={}", file.display()));
        Ok(self)
    }

    /// Starts it on the data of the last time, with points armed from the start.
    ///
    /// # Errors
    /// [`ServerError`].
    pub fn start(&self, more: &Start) -> Result<Server, ServerError> {
        let mut command = self.command();
        command
            .args(["--listen", "127.0.0.1:0"])
            .args(["--set", "ops.listen=127.0.0.1:0"])
            // Its clients have WebSocket alone.
            .args(["--set", "listen.quic="])
            .args(["--set", &format!("accounts.admins={ADMIN}")])
            .args(["--set", "log.format=json"])
            .env("CHAOS_UNDO", self.undone.join(","))
            .env("CHAOS_ARM", more.armed.join(","))
            .env("CHAOS_CLOCK", more.clock_offset_ms.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let own = self.settings.iter().chain(&more.settings);
        for setting in SETTINGS.iter().copied().chain(own.map(String::as_str)) {
            command.args(["--set", setting]);
        }
        let mut child = command.spawn()?;
        let ready = self.listen(&mut child);
        match ready.recv_timeout(PATIENCE) {
            Ok((ws, ops)) => Ok(Server {
                child,
                ws,
                ops,
                paused: false,
            }),
            Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(ServerError::NotReady(self.last_lines()))
            }
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn backups(&self) -> PathBuf {
        self.folder.path().join("backups")
    }

    /// Makes this one's data out of a backup of another one, and takes its master keys. Whether that was done, and what is said.
    ///
    /// # Errors
    /// Those of files, and of the process.
    pub fn restore(&self, from: &Self, name: &str) -> io::Result<(bool, String)> {
        let keys = |installation: &Self| installation.data().with_extension("master");
        std::fs::copy(keys(from), keys(self))?;
        let mut command = self.command();
        command.arg("restore").arg(from.backups().join(name));
        Ok(said(&command.stdin(Stdio::null()).output()?))
    }

    /// The program on this data.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program.0);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PITTURU_")) {
            command.env_remove(name);
        }
        command
            .args(&self.program.1)
            .args(["--dev", "--data", &self.data().to_string_lossy()])
            .args([
                "--set",
                &format!("backup.folder={}", self.backups().display()),
            ])
            .current_dir(self.folder.path());
        command
    }

    /// Has the ledger added up while no server runs. Whether it does add up, and what is said.
    ///
    /// # Errors
    /// Those of the process.
    pub fn verify_ledger(&self) -> io::Result<(bool, String)> {
        let mut command = self.command();
        command.args(["--set", "store.free_min=16MiB", "ledger", "verify"]);
        Ok(said(&command.stdin(Stdio::null()).output()?))
    }

    fn listen(&self, child: &mut Child) -> mpsc::Receiver<(SocketAddr, SocketAddr)> {
        let (ready_out, ready) = mpsc::channel();
        let Some(stderr) = child.stderr.take() else {
            return ready;
        };
        let written = Arc::clone(&self.written);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Some(addresses) = addresses_of(&line) {
                    let _ = ready_out.send(addresses);
                }
                written.lock().take(line);
            }
        });
        ready
    }

    /// How often each point has acted, by point and action.
    pub fn acted(&self) -> BTreeMap<String, u64> {
        self.written.lock().acted.clone()
    }

    /// Lines of the log that tell of a panic.
    pub fn panics(&self) -> Vec<String> {
        self.written.lock().panics.clone()
    }

    /// The last lines of the log.
    pub fn last_lines(&self) -> String {
        let written = self.written.lock();
        let lines: Vec<&str> = written.lines.iter().map(String::as_str).collect();
        lines.join("\n")
    }
}

impl Written {
    fn take(&mut self, line: String) {
        if let Some(acted) = line.strip_prefix("chaos: ") {
            *self.acted.entry(acted.to_owned()).or_default() += 1;
        }
        if line.contains("panicked at") || line.contains("broke off") {
            self.panics.push(line.clone());
        }
        if self.lines.len() == LINES_KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }
}

/// What differs from one start to the next.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Points, as the server's fail points read them.
    pub armed: Vec<String>,
    /// Settings, as `section.key=value`.
    pub settings: Vec<String>,
    /// Milliseconds that its wall clock is ahead.
    pub clock_offset_ms: i64,
}

/// A running server. Killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where players connect.
    pub ws: SocketAddr,
    ops: SocketAddr,
    paused: bool,
}

impl Server {
    /// Its operations port.
    pub const fn ops(&self) -> SocketAddr {
        self.ops
    }

    /// Kills it, as a crash would.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn signal(&self, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Takes all time away from it, or gives it back.
    pub fn pause(&mut self, paused: bool) {
        self.paused = paused;
        self.signal(if paused { Signal::STOP } else { Signal::CONT });
    }

    /// Has its writes beyond this place of any file fail half-way, or lets files grow again. Only Linux can do that to another
    /// process.
    pub fn limit_files(&self, bytes: Option<u64>) {
        #[cfg(target_os = "linux")]
        let _ = rustix::process::prlimit(
            Some(Pid::from_child(&self.child)),
            rustix::process::Resource::Fsize,
            rustix::process::Rlimit {
                current: bytes,
                maximum: None,
            },
        );
        #[cfg(not(target_os = "linux"))]
        drop(bytes);
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to stop, and waits. An armed point may kill it on its way: that is no bad end.
    ///
    /// # Errors
    /// [`ServerError::BadEnd`] when it fails, and when it takes too long.
    pub fn stop(mut self, installation: &Installation) -> Result<(), ServerError> {
        use std::os::unix::process::ExitStatusExt as _;
        self.signal(Signal::TERM);
        let asked = Instant::now();
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() || status.signal() == Some(9) => return Ok(()),
                Some(status) => {
                    return Err(ServerError::BadEnd(status, installation.last_lines()));
                }
                None if asked.elapsed() > PATIENCE => {
                    self.end();
                    let lines = installation.last_lines();
                    return Err(ServerError::NotReady(format!("it does not stop\n{lines}")));
                }
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// A page of the operations port. Nothing while the server is paused or gone.
    pub fn ops_page(&self, path: &str) -> Option<String> {
        answer(self.ops, "GET", path, ANSWERS_WITHIN).ok()
    }

    /// Arms a point, or gives another order to the fail points.
    pub fn order(&self, order: &str) -> bool {
        let answer = self.ops_page(&format!("/chaos/{order}"));
        answer.is_some_and(|answer| answer.ends_with("done\n"))
    }

    /// Whether signals are on their way, by the metrics.
    pub fn signals_wait(&self) -> bool {
        let Some(metrics) = self.ops_page("/metrics") else {
            return false;
        };
        let waiting = metrics
            .lines()
            .find_map(|line| line.strip_prefix("pitturu_signals_waiting "));
        waiting.expect("it is shown from the start") != "0"
    }

    /// How the store is, by the words of the health page.
    pub fn store_health(&self) -> StoreHealth {
        match self.ops_page("/health/detailed") {
            Some(page) if page.contains("mend the cause and restart") => StoreHealth::NeedsRestart,
            Some(page) if page.starts_with("HTTP/1.1 200") => StoreHealth::Ok,
            _ => StoreHealth::Failing,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Whether the store can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreHealth {
    /// It can.
    Ok,
    /// Not now, or the server does not say.
    Failing,
    /// Not before the operator has restarted the server.
    NeedsRestart,
}

/// Has the server with this operations port make a backup of this name, and waits. Whether it is made: not if the server ends meanwhile.
pub fn make_backup(ops: SocketAddr, name: &str) -> bool {
    let answer = answer(ops, "POST", &format!("/backup?name={name}"), PATIENCE);
    answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// What a process has said, and whether it did what it was asked.
fn said(ended: &Output) -> (bool, String) {
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    let errors = String::from_utf8_lossy(&ended.stderr);
    match ended.status.success() {
        true => (true, said),
        false => (false, format!("{said}{errors}")),
    }
}

fn answer(address: SocketAddr, method: &str, path: &str, within: Duration) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, within)?;
    stream.set_read_timeout(Some(within))?;
    stream.set_write_timeout(Some(within))?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: ops\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(page)
}

fn addresses_of(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    if value.get("message")?.as_str()? != "ready" {
        return None;
    }
    let address = |name: &str| value.get(name)?.as_str()?.parse().ok();
    Some((address("ws")?, address("ops")?))
}
