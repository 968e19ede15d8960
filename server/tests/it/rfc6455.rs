//! RFC 6455 over raw TCP: what each sequence of bytes must bring about. The table is in `rfc6455_cases`.

use std::time::Duration;

use pitturu_server::transport::handshake::Origins;

use crate::echo::{self, Bounds};
use crate::raw::{BINARY, CLOSE, PING, PONG, RawSocket, http, message, request};
use crate::rfc6455_cases::{Case, Expect, cases};

fn run(case: &Case) {
    let mut socket = RawSocket::connect(echo::shared());
    for chunk in &case.send {
        if !socket.try_send(chunk) {
            // The server may have closed before it had everything; what it said still counts.
            break;
        }
    }
    for (index, expect) in case.expect.iter().enumerate() {
        let about = format!("{} {}, answer {index}", case.id, case.name);
        let frame = socket.next();
        match (expect, frame) {
            (Expect::Message(payload), Some(frame)) => {
                assert_eq!(frame.first, 0x80 | BINARY, "{about}");
                assert!(frame.payload == *payload, "{about}: another payload");
            }
            (Expect::Pong(payload), Some(frame)) => {
                assert_eq!(frame.first, 0x80 | PONG, "{about}");
                assert_eq!(&frame.payload, payload, "{about}");
            }
            (Expect::Close(code), Some(frame)) => {
                assert_eq!(frame.first, 0x80 | CLOSE, "{about}: {frame:?}");
                assert_eq!(frame.close_code(), *code, "{about}");
                assert!(frame.payload.len() <= 125, "{about}");
                let reason = frame.payload.get(2..).unwrap_or_default();
                assert!(std::str::from_utf8(reason).is_ok(), "{about}");
            }
            (Expect::End, None) => {}
            (expect, frame) => panic!("{about}: expected {expect:?}, got {frame:?}"),
        }
    }
}

/// Each group is a test of its own, so that a failure names it.
macro_rules! groups {
    ($($name:ident $group:literal;)*) => {
        $(
            #[test]
            fn $name() {
                let mut ran = 0;
                for case in cases().iter().filter(|case| case.group() == $group) {
                    run(case);
                    ran += 1;
                }
                assert!(ran > 0, "the group is empty");
            }
        )*

        #[test]
        fn every_case_belongs_to_a_group_that_runs() {
            let groups = [$($group),*];
            let all = cases();
            for case in &all {
                assert!(groups.contains(&case.group()), "{} is not run", case.id);
            }
            let ids: std::collections::HashSet<&str> =
                all.iter().map(|case| case.id.as_str()).collect();
            assert_eq!(ids.len(), all.len(), "two cases have the same id");
            println!("{} cases", all.len());
        }
    };
}

groups! {
    group_01_framing "1";
    group_02_pings_and_pongs "2";
    group_03_reserved_bits "3";
    group_04_opcodes "4";
    group_05_fragmentation "5";
    group_06_utf8 "6";
    group_07_close_handling "7";
    group_09_limits "9";
    group_10_auto_fragmentation "10";
    group_12_compression_is_not_agreed "12";
    group_14_masking "14";
}

#[test]
fn compression_is_never_agreed() {
    for offer in [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; server_no_context_takeover, x-webkit-deflate-frame",
    ] {
        let header = format!("Sec-WebSocket-Extensions: {offer}\r\n");
        let mut socket = RawSocket::connect_with(echo::shared(), &header);
        let response = socket.response.to_ascii_lowercase();
        assert!(!response.contains("sec-websocket-extensions"), "{response}");
        socket.send(&message(BINARY, b"plain"));
        assert_eq!(socket.next().unwrap().payload, b"plain");
    }
}

#[test]
fn the_handshake_refuses_with_a_status_and_a_text() {
    let usual = request("");
    let long = request(&format!("X-Long: {}\r\n", "x".repeat(20_000)));
    for (what, request, status, says) in [
        (
            "plain GET",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            426,
            "pitturu.v1",
        ),
        ("POST", usual.replace("GET", "POST"), 405, "GET"),
        (
            "HTTP/1.0",
            usual.replace("HTTP/1.1", "HTTP/1.0"),
            400,
            "handshake",
        ),
        (
            "no version",
            usual.replace("Version: 13", "Version: 8"),
            426,
            "13",
        ),
        (
            "no key",
            usual.replace("Sec-WebSocket-Key", "X-Key"),
            400,
            "handshake",
        ),
        (
            "bad key",
            usual.replace("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="),
            400,
            "handshake",
        ),
        (
            "no subprotocol",
            usual.replace("pitturu.v1", "chat"),
            400,
            "pitturu.v1",
        ),
        (
            "another path",
            usual.replace("GET / ", "GET /admin "),
            404,
            "/ws",
        ),
        (
            "no HTTP",
            "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n".to_owned(),
            400,
            "handshake",
        ),
        ("long head", long, 431, "8192"),
    ] {
        let response = http(echo::shared(), &request);
        let line = format!("HTTP/1.1 {status} ");
        assert!(response.starts_with(&line), "{what}: {response}");
        assert!(response.contains(says), "{what}: {response}");
    }
}

#[test]
fn a_request_in_single_bytes_is_understood() {
    use std::io::Write;
    use std::net::TcpStream;
    let mut tcp = TcpStream::connect(echo::shared()).unwrap();
    tcp.set_nodelay(true).unwrap();
    for byte in request("").bytes() {
        tcp.write_all(&[byte]).unwrap();
    }
    let mut response = [0; 12];
    std::io::Read::read_exact(&mut tcp, &mut response).unwrap();
    assert_eq!(&response, b"HTTP/1.1 101");
}

#[test]
fn frames_that_follow_the_request_at_once_are_not_lost() {
    use std::io::Write;
    use std::net::TcpStream;
    let mut tcp = TcpStream::connect(echo::shared()).unwrap();
    let mut bytes = request("").into_bytes();
    bytes.extend(message(BINARY, b"early"));
    tcp.write_all(&bytes).unwrap();
    tcp.set_read_timeout(Some(crate::raw::PATIENCE)).unwrap();
    let mut response = Vec::new();
    while !response.ends_with(b"early") {
        let mut byte = [0];
        std::io::Read::read_exact(&mut tcp, &mut byte).unwrap();
        response.push(byte[0]);
    }
}

#[test]
fn pages_of_other_origins_are_refused() {
    let address = echo::start(Bounds {
        origins: Origins::Listed(vec!["https://game.example".to_owned()]),
        ..Bounds::default()
    });
    for (origin, allowed) in [
        ("Origin: https://game.example\r\n", true),
        ("Origin: https://evil.example\r\n", false),
        ("", true),
    ] {
        let result = RawSocket::try_connect(address, origin);
        assert_eq!(result.is_ok(), allowed, "{origin}");
        if let Err(response) = result {
            assert!(response.starts_with("HTTP/1.1 403 "), "{response}");
        }
    }
}

#[test]
fn a_handshake_that_never_ends_is_cut_off() {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Instant;
    let address = echo::start(Bounds {
        handshake_timeout: Duration::from_millis(500),
        ..Bounds::default()
    });
    let mut tcp = TcpStream::connect(address).unwrap();
    tcp.set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    let began = Instant::now();
    loop {
        let _ = tcp.write_all(b"X");
        match tcp.read(&mut [0; 100]) {
            Ok(0) => break,
            Ok(_) => panic!("an answer to half a request"),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(_) => assert!(began.elapsed() < Duration::from_secs(15), "still open"),
        }
    }
    assert!(began.elapsed() >= Duration::from_millis(400));
}

#[test]
fn a_full_server_says_so_and_recovers() {
    let address = echo::start(Bounds {
        connections_max: 3,
        per_address_max: 2,
        ..Bounds::default()
    });
    let first = RawSocket::connect(address);
    let second = RawSocket::connect(address);
    let refused = RawSocket::try_connect(address, "").err().unwrap();
    assert!(refused.starts_with("HTTP/1.1 429 "), "{refused}");
    assert!(
        refused.to_ascii_lowercase().contains("retry-after: "),
        "{refused}"
    );
    drop(first);
    let began = std::time::Instant::now();
    while RawSocket::try_connect(address, "").is_err() {
        assert!(
            began.elapsed() < crate::raw::PATIENCE,
            "the place is not given back"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(second);

    let address = echo::start(Bounds {
        connections_max: 1,
        ..Bounds::default()
    });
    let _only = RawSocket::connect(address);
    let refused = RawSocket::try_connect(address, "").err().unwrap();
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
}

#[test]
fn a_flood_of_pings_is_closed() {
    let mut socket = RawSocket::connect(echo::shared());
    let pings: Vec<u8> = std::iter::repeat_n(message(PING, b"x"), 2_000)
        .flatten()
        .collect();
    socket.try_send(&pings);
    let mut pongs = 0;
    loop {
        let frame = socket.next().expect("a close frame comes first");
        match frame.opcode() {
            PONG => pongs += 1,
            _ => {
                assert_eq!(frame.close_code(), Some(4303));
                break;
            }
        }
    }
    assert!(pongs < 1_000, "{pongs}");
}

#[test]
fn fragments_without_end_are_closed() {
    let mut socket = RawSocket::connect(echo::shared());
    socket.send(&crate::raw::frame(BINARY, b"x"));
    let empty: Vec<u8> = std::iter::repeat_n(crate::raw::frame(0, b""), 10_000)
        .flatten()
        .collect();
    for _ in 0..200 {
        if !socket.try_send(&empty) {
            break;
        }
    }
    assert_eq!(socket.close_code(), Some(4303));
}
