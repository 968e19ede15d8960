//! Signals while the server is starting, or reads its configuration again from a disk that does not answer.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pitturu_protocol::types::system::Echo;
use tempfile::TempDir;

use crate::launch::{Server, program};
use crate::player::Player;
use crate::raw::PATIENCE;

/// A file that is read for as long as nobody writes it.
fn slow_file(path: &Path) -> PathBuf {
    let made = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
    path.to_path_buf()
}

/// A process that is killed with its test.
struct Child(process::Child);

impl Child {
    fn signal(&self, name: &str) {
        let arguments = [format!("-{name}"), self.0.id().to_string()];
        let sent = Command::new("kill").args(arguments).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server whose list of words is slow from now on.
fn started() -> (Server, PathBuf, Arc<TempDir>) {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let words = folder.path().join("words");
    std::fs::write(&words, "").unwrap();
    let filter = format!("chat.word_filter={}", words.display());
    let settings = ["server.shutdown_timeout=1h", "heartbeat.ping=10m", &filter];
    let server = Server::start_in(Arc::clone(&folder), &settings);
    std::fs::remove_file(&words).unwrap();
    (server, slow_file(&words), folder)
}

fn wait_for(server: &Server, times: usize, text: &str) {
    let until = Instant::now() + PATIENCE;
    while server.log().matches(text).count() < times {
        assert!(Instant::now() < until, "{text}\n{}", server.log());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Has it read its configuration again, and gives it the time to begin.
fn hang_up(server: &Server) {
    server.signal("HUP");
    std::thread::sleep(Duration::from_millis(200));
}

#[test]
fn a_server_serves_while_its_configuration_is_read_from_a_slow_file() {
    let (mut server, words, _folder) = started();
    hang_up(&server);
    let health = server.ops_page("/ready");
    assert!(health.starts_with("HTTP/1.1 200 "), "{health}");
    let mut player = Player::connect(server.ws);
    player.call(&Echo { data: vec![1] }).unwrap();
    assert_eq!(server.log().matches("configuration read again").count(), 0);

    // However often it is asked for meanwhile, it is read once more.
    for _ in 0..3 {
        hang_up(&server);
    }
    for times in 1..=2 {
        std::fs::write(&words, "").unwrap();
        wait_for(&server, times, "configuration read again");
    }
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(server.log().matches("configuration read again").count(), 2);
    drop(player);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn the_end_waits_for_no_file_that_is_being_read() {
    let (mut server, _words, _folder) = started();
    hang_up(&server);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0), "{}", server.log());
    assert!(server.log().contains("stopped"), "{}", server.log());
}

#[test]
fn a_second_signal_ends_a_server_that_reads_a_slow_file() {
    let (mut server, _words, _folder) = started();
    let _stubborn = Player::connect(server.ws);
    hang_up(&server);
    server.signal("TERM");
    wait_for(&server, 1, "shutting down");
    server.signal("TERM");
    let status = server.wait();
    assert!(matches!(status.code(), Some(130 | 0)), "{status:?}");
}

#[test]
fn no_hang_up_ends_a_server_that_is_reading_its_configuration_for_the_first_time() {
    let folder = tempfile::tempdir().unwrap();
    let config = slow_file(&folder.path().join("pitturu.toml"));
    let child = program()
        .args(["--dev", "--listen", "127.0.0.1:0", "--data"])
        .arg(folder.path().join("data"))
        .args(["--set", "ops.listen=127.0.0.1:0", "--config"])
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut child = Child(child);
    // It can be opened once the server has opened it.
    let mut file = File::options().write(true).open(&config).unwrap();
    for name in ["HUP", "USR1", "ALRM"] {
        child.signal(name);
        std::thread::sleep(Duration::from_millis(100));
    }
    file.write_all(b"[chat]\n").unwrap();
    drop(file);
    // The banner comes when it is ready.
    let mut said = [0; 64];
    let read = child.0.stdout.as_mut().unwrap().read(&mut said).unwrap();
    let said = String::from_utf8_lossy(&said[..read]).into_owned();
    assert!(
        said.contains("PittuRu"),
        "{said:?} {:?}",
        child.0.try_wait()
    );
    // It is reading the file again now, as it was asked to before it was ready.
    child.signal("TERM");
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
}
