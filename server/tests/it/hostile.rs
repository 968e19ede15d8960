//! Clients that break the rules: each gets its typed fault or close code, and its neighbours notice nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pitturu_protocol::codes::{CloseCode, Code};
use pitturu_protocol::frame::{ClientFrame, call};
use pitturu_protocol::limits::{FRAME_BYTES_MAX, MESSAGE_BYTES_MAX};
use pitturu_protocol::types::accounts::GetAccount;
use pitturu_protocol::types::system::{Echo, Hello};

use crate::launch::Server;
use crate::neighbour::{self, Neighbours};
use crate::player::{Came, Player, hello};
use crate::raw::{BINARY, PATIENCE, TEXT, close, frame, header, message};

const PROTOCOL_ERROR: u16 = CloseCode::ProtocolError.number();
const TOO_BIG: u16 = CloseCode::MessageTooBig.number();

fn echo(number: u32, size: usize) -> Vec<u8> {
    let data = vec![7; size];
    call(number, &Echo { data }, None)
}

/// A call whose body holds arrays in arrays.
fn nested(depth: usize) -> Vec<u8> {
    let mut bytes = vec![0x94, 2, 1, 0, 0x81, 0xa1, b'x'];
    bytes.extend(std::iter::repeat_n(0x91, depth));
    bytes.push(0xc0);
    bytes
}

fn beside_neighbours<'a>(settings: &[&'a str]) -> Vec<&'a str> {
    [settings, &neighbour::SETTINGS].concat()
}

/// What is sent after hello (or instead of it), and how that ends.
struct Attack {
    name: &'static str,
    greeted: bool,
    messages: Vec<Vec<u8>>,
    fault: bool,
    close: u16,
}

fn attacks() -> Vec<Attack> {
    let mut table = Vec::new();
    let mut add = |name, greeted, messages, close| {
        table.push(Attack {
            name,
            greeted,
            messages,
            fault: true,
            close,
        });
    };
    let whole = echo(1, 100);
    add(
        "truncated call",
        true,
        vec![whole[..20].to_vec()],
        PROTOCOL_ERROR,
    );
    add(
        "truncated hello",
        false,
        vec![hello()[..5].to_vec()],
        PROTOCOL_ERROR,
    );
    add("empty message", true, vec![Vec::new()], PROTOCOL_ERROR);
    add("no MessagePack", true, vec![vec![0xc1]], PROTOCOL_ERROR);
    add("no array", true, vec![vec![0x80]], PROTOCOL_ERROR);
    add("an empty array", true, vec![vec![0x90]], PROTOCOL_ERROR);
    add("unknown kind", true, vec![vec![0x91, 0x7f]], PROTOCOL_ERROR);
    add(
        "a frame of the server",
        true,
        vec![vec![0x92, 13, 1]],
        PROTOCOL_ERROR,
    );
    let claim = vec![0xdd, 0xff, 0xff, 0xff, 0xff];
    add(
        "an array that claims 4 billion elements",
        true,
        vec![claim],
        PROTOCOL_ERROR,
    );
    let claim = vec![0x94, 2, 1, 0, 0xdf, 0xff, 0xff, 0xff, 0xff];
    add(
        "a map that claims 4 billion entries",
        true,
        vec![claim],
        PROTOCOL_ERROR,
    );
    let claim = vec![
        0x94, 2, 1, 0, 0x81, 0xa1, b'd', 0xc6, 0xff, 0xff, 0xff, 0xff,
    ];
    add("bytes that claim 4 GiB", true, vec![claim], PROTOCOL_ERROR);
    add("deeply nested", true, vec![nested(40)], PROTOCOL_ERROR);
    add(
        "very deeply nested",
        true,
        vec![nested(60_000)],
        PROTOCOL_ERROR,
    );
    add(
        "a frame above its limit",
        true,
        vec![echo(1, FRAME_BYTES_MAX)],
        TOO_BIG,
    );
    add("call before hello", false, vec![echo(1, 1)], PROTOCOL_ERROR);
    let pong = ClientFrame::Pong { nonce: 1 }.encode();
    add("pong before hello", false, vec![pong], PROTOCOL_ERROR);
    add("second hello", true, vec![hello()], PROTOCOL_ERROR);
    add("call number 0", true, vec![echo(0, 1)], PROTOCOL_ERROR);
    add(
        "replayed call",
        true,
        vec![echo(1, 1), echo(1, 1)],
        PROTOCOL_ERROR,
    );
    add(
        "older call",
        true,
        vec![echo(9, 1), echo(8, 1)],
        PROTOCOL_ERROR,
    );
    let both = [echo(1, 1), vec![0xc1]].concat();
    add(
        "good frame, then a bad one",
        true,
        vec![both],
        PROTOCOL_ERROR,
    );
    let newer = ClientFrame::Hello(Hello {
        v: 99,
        sdk: "test/0".to_owned(),
        token: None,
        presence: None,
    });
    let unsupported = CloseCode::VersionUnsupported.number();
    add("another version", false, vec![newer.encode()], unsupported);
    table
}

fn carry_out(server: &Server, attack: &Attack) {
    let mut player = if attack.greeted {
        Player::connect(server.ws)
    } else {
        Player::silent(server.ws)
    };
    for message in &attack.messages {
        player.send(message);
    }
    let (fault, code) = player.farewell();
    assert_eq!(code, Some(attack.close), "{}", attack.name);
    assert_eq!(fault.is_some(), attack.fault, "{}: {fault:?}", attack.name);
    if let Some(fault) = fault {
        assert_eq!(fault.code, Code::BadRequest, "{}: {fault}", attack.name);
        assert!(!fault.message.is_empty(), "{}", attack.name);
    }
}

#[test]
fn malformed_and_disorderly_clients_get_their_fault_and_code() {
    let server = Server::start(&[]);
    for attack in attacks() {
        carry_out(&server, &attack);
    }
    Player::connect(server.ws)
        .call(&Echo { data: vec![1] })
        .unwrap();
}

#[test]
fn transport_violations_get_their_code() {
    let server = Server::start(&[]);
    let longer = vec![0; MESSAGE_BYTES_MAX + 1];
    for (name, bytes, code) in [
        ("text", message(TEXT, b"hello"), 1003),
        ("malformed text", message(TEXT, b"\xff"), 1007),
        ("reserved bit", frame(0xc0 | BINARY, b"x"), 1002),
        ("reserved opcode", frame(0x83, b"x"), 1002),
        ("a message too long", message(BINARY, &longer), 1009),
        (
            "a claim of 8 EiB",
            header(0x80 | BINARY, 1 << 63, true),
            1009,
        ),
    ] {
        let mut player = Player::connect(server.ws);
        player.socket.try_send(&bytes);
        player.socket.try_send(&[0; 4]);
        assert_eq!(player.farewell().1, Some(code), "{name}");
    }
    let mut player = Player::connect(server.ws);
    player.socket.send(&close(4000, b"bye"));
    assert_eq!(player.farewell().1, Some(4000), "a close is echoed");
}

#[test]
fn unknown_methods_and_bad_bodies_are_refused_without_closing() {
    let server = Server::start(&[]);
    let mut player = Player::connect(server.ws);
    for (number, method, body, code) in [
        (1, 9_999, &[0x80][..], Code::UnknownMethod),
        (2, 0, &[0x80], Code::BadRequest),
        (
            3,
            0,
            &[0x81, 0xa4, b'd', b'a', b't', b'a', 0x05],
            Code::BadRequest,
        ),
        (4, 14, &[0x80], Code::Unauthenticated),
    ] {
        let frame = ClientFrame::Call {
            call: number,
            method,
            body,
            key: None,
            head: None,
        };
        player.send(&frame.encode());
        match player.next() {
            Came::Fault(call, fault) => {
                assert_eq!((call, fault.code), (number, code), "{fault}");
            }
            other => panic!("{other:?}"),
        }
    }
    player.send(&echo(5, 3));
    assert!(matches!(player.next(), Came::Reply(5, _)));
}

#[test]
fn who_never_says_hello_is_closed() {
    let server = Server::start(&["heartbeat.hello_timeout=400ms"]);
    let mut player = Player::silent(server.ws);
    let began = Instant::now();
    let (_, code) = player.farewell();
    assert_eq!(code, Some(CloseCode::HandshakeTimeout.number()));
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[test]
fn who_never_answers_pings_is_closed() {
    let server = Server::start(&["heartbeat.ping=300ms"]);
    let mut lively = Player::connect(server.ws);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Says nothing of its own, but answers pings.
        scope.spawn(|| {
            while !over.load(Ordering::Acquire) {
                lively.answer_pings(Duration::from_millis(100));
            }
            lively.call(&Echo { data: vec![1] }).unwrap();
        });
        let mut quiet = Player::connect(server.ws);
        quiet.pongs = false;
        let began = Instant::now();
        let (_, code) = quiet.farewell();
        assert_eq!(code, Some(CloseCode::HeartbeatMissed.number()));
        assert!(began.elapsed() >= Duration::from_millis(500));
        over.store(true, Ordering::Release);
    });
}

#[test]
fn a_slow_handshake_is_cut_off_and_hurts_nobody() {
    let server = Server::start(&beside_neighbours(&[
        "listen.handshake_timeout=1s",
        "listen.connections_per_address_max=200",
    ]));
    Neighbours::start(server.ws).endure("100 slow handshakes", || {
        let mut slow: Vec<TcpStream> = (0..100)
            .map(|_| {
                let tcp = TcpStream::connect(server.ws).unwrap();
                tcp.set_read_timeout(Some(PATIENCE)).unwrap();
                tcp
            })
            .collect();
        for letter in b"GET / HTTP/1.1\r\nX" {
            for tcp in &mut slow {
                // Those that are cut off already take no more.
                let _ = tcp.write_all(&[*letter]);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        for tcp in &mut slow {
            let ended = matches!(tcp.read(&mut [0; 64]), Ok(0) | Err(_));
            assert!(ended, "an answer to half a request");
        }
    });
}

#[test]
fn malformed_clients_do_not_slow_their_neighbours() {
    let server = Server::start(&beside_neighbours(&[]));
    let table = attacks();
    Neighbours::start(server.ws).endure("malformed clients", || {
        for attack in &table {
            carry_out(&server, attack);
        }
    });
}

#[test]
fn who_never_reads_is_closed_and_keeps_little() {
    let server = Server::start(&beside_neighbours(&["heartbeat.ping=500ms"]));
    let before = server.resident_bytes();
    Neighbours::start(server.ws).endure("20 clients that never read", || {
        let mut players: Vec<Player> = (0..20).map(|_| Player::connect(server.ws)).collect();
        let began = Instant::now();
        for player in &mut players {
            player
                .socket
                .tcp
                .set_write_timeout(Some(Duration::from_millis(20)))
                .unwrap();
        }
        // Each asks for far more than its sockets and outbox hold, until the server stops listening to it.
        let mut open = players.len();
        let mut number = 0;
        while open > 0 && began.elapsed() < Duration::from_millis(1_500) {
            number += 1;
            open = 0;
            for player in &mut players {
                let sent = player
                    .socket
                    .try_send(&message(BINARY, &echo(number, 60_000)));
                open += usize::from(sent);
            }
        }
    });
    let grown = server.resident_bytes().saturating_sub(before);
    println!("never reading: {} KiB more memory", grown / 1024);
    assert!(grown < 64 << 20, "{} MiB more memory", grown >> 20);
}

#[test]
fn who_never_reads_is_disconnected() {
    let server = Server::start(&["heartbeat.ping=300ms"]);
    let mut player = Player::connect(server.ws);
    let began = Instant::now();
    player
        .socket
        .tcp
        .set_write_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let mut number = 0;
    // The server stops reading when its outbox is full, then ends the connection for want of progress.
    while began.elapsed() < PATIENCE {
        number += 1;
        if !player
            .socket
            .try_send(&message(BINARY, &echo(number, 60_000)))
        {
            break;
        }
    }
    let gone = || {
        let page = server.ops_page("/health/detailed");
        page.contains("\"connections\":0")
    };
    while !gone() {
        assert!(
            began.elapsed() < 2 * PATIENCE,
            "{}",
            server.ops_page("/health/detailed")
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_flood_of_calls_is_refused_then_closed() {
    let server = Server::start(&beside_neighbours(&[]));
    Neighbours::start(server.ws).endure("floods of calls", || {
        let (mut player, _) = Player::guest(server.ws, "flooding");
        let mut flood = Vec::new();
        for number in 100..6_000 {
            flood.extend(message(BINARY, &call(number, &GetAccount {}, None)));
        }
        let mut writer = player.socket.tcp.try_clone().unwrap();
        let writing = std::thread::spawn(move || {
            // The server stops reading once it has closed.
            let _ = writer.write_all(&flood);
        });
        let mut refused = 0;
        let code = loop {
            match player.next() {
                Came::Reply(..) => {}
                Came::Fault(_, fault) => {
                    assert_eq!(fault.code, Code::RateLimited, "{fault}");
                    assert!(fault.retry_after_ms.is_some_and(|wait| wait > 0), "{fault}");
                    refused += 1;
                }
                Came::Closed(code) => break code,
                Came::Ended => break None,
                _ => {}
            }
        };
        assert!(refused > 0);
        assert_eq!(code, Some(CloseCode::Flooding.number()));
        writing.join().unwrap();
    });
}

#[test]
fn connections_that_come_and_go_do_not_slow_their_neighbours() {
    let server = Server::start(&beside_neighbours(&[]));
    Neighbours::start(server.ws).endure("connections that come and go", || {
        for _ in 0..20 {
            // Gone in the middle of a frame.
            let mut player = Player::connect(server.ws);
            player.socket.send(&message(BINARY, &echo(1, 1_000))[..500]);
        }
    });
    let began = Instant::now();
    while !server
        .ops_page("/health/detailed")
        .contains("\"connections\":0")
    {
        assert!(began.elapsed() < PATIENCE, "connections stay");
        std::thread::sleep(Duration::from_millis(50));
    }
}
