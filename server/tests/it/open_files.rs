//! The limit of open files: what it leaves for connections, and what happens when it is reached all the same.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

use pitturu_protocol::types::chat::{EnterRoom, MessageSent};
use pitturu_protocol::types::system::Echo;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::chat::say;
use crate::launch::{Server, program_with_files};
use crate::player::Player;
use crate::raw::{PATIENCE, RawSocket};

/// How many connections a server lets in that has too few files, as it says at the start.
fn let_in(server: &Server) -> usize {
    let log = server.log();
    let (_, rest) = log.split_once("of open files lets ").expect(&log);
    rest.split(' ').next().unwrap().parse().unwrap()
}

fn figure(server: &Server, name: &str) -> f64 {
    let page = server.ops_page("/metrics");
    let mut lines = page.lines();
    let line = lines.find(|line| line.split(' ').next() == Some(name));
    line.expect(name)
        .split(' ')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

/// Asks to come in; the status of the answer. None: closed without one.
fn ask(ws: SocketAddr) -> Option<String> {
    match RawSocket::try_connect(ws, "") {
        Ok(_) => Some("101".to_owned()),
        Err(answer) => answer.split(' ').nth(1).map(str::to_owned),
    }
}

#[test]
fn with_few_files_few_come_in_and_those_go_on() {
    let server = Server::start_with_files(300, &["server.threads=2", "heartbeat.ping=10m"]);
    let places = let_in(&server);
    assert!((10..100).contains(&places), "{places}");

    let mut players: Vec<Player> = (0..places)
        .map(|number| Player::guest(server.ws, &format!("player{number}")).0)
        .collect();
    let handle = "here".to_owned();
    let rooms = players.iter_mut().map(|player| {
        let handle = handle.clone();
        player.call(&EnterRoom { handle }).unwrap().info.room
    });
    let room = rooms.collect::<Vec<_>>()[0];

    // One after the other, each is told.
    for _ in 0..20 {
        assert_eq!(ask(server.ws).as_deref(), Some("503"));
    }
    // Of many at once that neither ask nor go, some are dropped. None has a place, and nobody else goes short.
    let mut crowd: Vec<TcpStream> = (0..600)
        .map(|_| TcpStream::connect(server.ws).unwrap())
        .collect();
    for round in 0..20 {
        let text = format!("still here, {round}");
        say(&mut players[0], room, &text);
        let last = players.last_mut().unwrap();
        while last.event::<MessageSent>().msg.text != text {}
        for page in ["/live", "/ready", "/health/detailed", "/metrics"] {
            let page = server.ops_page(page);
            assert!(page.starts_with("HTTP/1.1 200"), "{page}");
        }
    }
    assert!(figure(&server, "process_open_fds") < 300.0);
    assert!((figure(&server, "pitturu_accept_errors_total")).abs() < 0.5);
    for waiting in &mut crowd {
        waiting.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = Vec::new();
        // Closed on with its request unread, or with a refusal.
        let _ = waiting.read_to_end(&mut answer);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 503 "));
    }
    drop(crowd);

    drop(players.pop());
    let until = Instant::now() + PATIENCE;
    while ask(server.ws).as_deref() != Some("101") {
        assert!(Instant::now() < until, "nobody gets the place");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn with_too_few_files_for_itself_it_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let output = program_with_files(120)
        .args([
            "--dev",
            "--listen",
            "127.0.0.1:0",
            "--set",
            "ops.listen=127.0.0.1:0",
            "--data",
        ])
        .arg(folder.path().join("data"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("limit of open files is 120"), "{text}");
}

/// Files may run out for another reason. Then who comes has to wait, and the log does not fill.
#[test]
fn without_files_newcomers_wait_and_the_log_is_held() {
    crate::crowd::raise_open_files();
    let server = Server::start(&["server.threads=2"]);
    let mut player = Player::connect(server.ws);
    let pid = Pid::from_raw(i32::try_from(server.pid()).unwrap());
    let before = prlimit(
        pid,
        Resource::Nofile,
        Rlimit {
            // The standard streams have them all.
            current: Some(3),
            maximum: getrlimit(Resource::Nofile).maximum,
        },
    );
    let before = before.unwrap();
    let began = Instant::now();
    let waiting = std::thread::spawn({
        let ws = server.ws;
        move || ask(ws)
    });
    let said = || server.log().matches("can't accept").count();
    while said() == 0 {
        assert!(began.elapsed() < PATIENCE, "{}", server.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    // Many more were tried within the second, and a line says so. Who is in is served meanwhile.
    while !server.log().contains("\"kind\":\"accept failed\"") {
        assert!(began.elapsed() < PATIENCE, "{}", server.log());
        player.call(&Echo { data: vec![1] }).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    prlimit(pid, Resource::Nofile, before).unwrap();
    assert_eq!(waiting.join().unwrap().as_deref(), Some("101"));
    let tries = figure(&server, "pitturu_accept_errors_total");
    assert!(tries > said() as f64, "{tries}");
    let most = began.elapsed().as_secs() + 2;
    assert!(said() as u64 <= most, "{}", server.log());
}
