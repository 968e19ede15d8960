//! WebTransport on the port of QUIC: how a session begins, what it carries, and how it ends.

use std::time::Duration;

use pitturu_protocol::codes::CloseCode;
use pitturu_protocol::types::system::GoawayReason;
use quinn::ReadToEndError;
use tokio::time::timeout;
use web_transport_proto::{Capsule, Settings};

use super::raw::{PATIENCE, RawQuic};
use super::web::{
    OF_SESSION, Web, code, fields, frame, h3, hidden_code, input, open_bi, open_uni, put_field,
    request, settings, status,
};
use super::{QUIC, metric};
use crate::launch::Server;
use crate::player::Player;

/// Nothing is wrong, says HTTP/3.
const NO_ERROR: u64 = 0x100;

fn told(code: CloseCode) -> (u32, String) {
    (u32::from(code.number()), code.name().to_owned())
}

#[tokio::test]
async fn the_server_says_all_that_browsers_of_any_draft_look_for() {
    let server = Server::start(&[QUIC]);
    let (_endpoint, connection) = h3(&server).await;
    let mut stream = connection.accept_uni().await.unwrap();
    let settings = Settings::read(&mut stream).await.unwrap();
    let mut said: Vec<(u64, u64)> = settings
        .iter()
        .map(|(name, value)| (name.0.into_inner(), value.into_inner()))
        .filter(|(name, _)| ![6, 0x2b60_3743].contains(name))
        .collect();
    said.sort_unstable();
    let ones = [
        0x8,
        0x33,
        0xff_d277,
        0x14e9_cd29,
        0x2b60_3742,
        0x2c7c_f000,
        0xc671_706a,
    ];
    assert_eq!(said, ones.map(|name| (name, 1)));
}

#[tokio::test]
async fn a_session_carries_messages_and_datagrams() {
    let server = Server::start(&[QUIC]);
    let mut web = Web::silent(&server).await;
    // One that overtakes hello is dropped.
    web.datagram(&[0], &input(1));
    web.greet().await;
    for seq in 2..50 {
        web.datagram(&[0], &input(seq));
    }
    let data: Vec<Vec<u8>> = (0..4_u8).map(|byte| vec![byte; 60_000]).collect();
    let frames = web.client.echo_frames(&data);
    web.client.send(&frames).await;
    let mut echoed = web.client.echoed(4).await;
    echoed.sort();
    assert!(echoed == data, "every echo brings its own data back");
    // Of a session that there is not: dropped.
    web.datagram(&[1], b"\xc1");
    web.client.echo().await;
    web.datagram(&[0], b"\xc1");
    assert_eq!(web.farewell().await, told(CloseCode::ProtocolError));
    assert_eq!(web.client.faults.len(), 1);
    // To a browser the end of the server's own stream of HTTP/3 is a violation, also while it takes in the goodbye.
    let mut settings = web.client.connection.accept_uni().await.unwrap();
    let read = settings.read_to_end(1_000).await;
    assert!(matches!(read, Err(ReadToEndError::Read(_))), "{read:?}");
    assert_eq!(code(&web.client.connection).await, NO_ERROR);
}

#[tokio::test]
async fn both_names_of_the_protocol_and_both_paths_are_taken() {
    let server = Server::start(&[QUIC]);
    let mut later = fields("CONNECT", "/ws");
    let at = later.len() - "\x0cwebtransport".len();
    later.truncate(at);
    later.extend_from_slice(b"\x0fwebtransport-h3");
    for asked in [
        request("/", None),
        request("/ws", None),
        request("/ws?x=1", None),
        frame(1, &later),
        // What nobody knows stands before it.
        [frame(0x21, b"grease"), request("/", None)].concat(),
    ] {
        let mut web = Web::asking(&server, &asked).await;
        web.greet().await;
        web.client.echo().await;
    }
}

#[tokio::test]
async fn other_requests_are_answered_by_a_status() {
    let listed = "listen.origins=https://game.example";
    let server = Server::start(&[QUIC, listed]);
    let mut other = fields("CONNECT", "/");
    put_field(&mut other, ":protocol", "connect-udp");
    let mut nobody = vec![0, 0];
    put_field(&mut nobody, ":method", "CONNECT");
    put_field(&mut nobody, ":scheme", "https");
    put_field(&mut nobody, ":path", "/");
    let mut large = fields("CONNECT", "/");
    large.resize(8 * 1024 + 1, 0);
    // Each of these bytes is `:method: GET`, one line of a table.
    let repeated = [&[0, 0][..], &[0xd1; 7_000]].concat();
    for (asked, expected, label) in [
        (frame(1, &fields("GET", "/")), 405, "method"),
        (request("/elsewhere", None), 404, "path"),
        (frame(1, &other), 501, "protocol"),
        (frame(1, &nobody), 400, "malformed"),
        (frame(1, &large), 431, "head_too_large"),
        (frame(1, &repeated), 431, "head_too_large"),
        (request("/", Some("https://evil.example")), 403, "origin"),
        (request("/", Some("null")), 403, "origin"),
    ] {
        let line = format!(
            r#"pitturu_handshakes_refused_total{{transport="webtransport",reason="{label}"}}"#
        );
        let before = metric(&server, &line);
        let (_endpoint, connection) = h3(&server).await;
        let _settings = open_uni(&connection, &settings()).await;
        let (_request, mut answer) = open_bi(&connection, &asked).await;
        assert_eq!(status(&mut answer).await, expected);
        let text = answer.read_to_end(1_000).await.unwrap();
        assert!(text.len() > 20, "a text for people: {text:?}");
        assert_eq!(code(&connection).await, NO_ERROR);
        assert_eq!(metric(&server, &line), before + 1.0, "{label}");
    }
    Web::asking(&server, &request("/", Some("https://GAME.example")))
        .await
        .greet()
        .await;
}

#[tokio::test]
async fn a_client_leaves_by_a_capsule_or_by_the_end_of_a_stream() {
    let server = Server::start(&[QUIC, "heartbeat.ping=10m"]);
    for way in 0..5 {
        let mut web = Web::connect(&server).await;
        match way {
            0 => {
                let mut capsule = Vec::new();
                Capsule::CloseWebTransportSession {
                    code: 1000,
                    reason: "bye".to_owned(),
                }
                .encode(&mut capsule);
                // In two frames, with one that nobody knows between them.
                let (one, other) = capsule.split_at(3);
                let bytes = [frame(0, one), frame(0x21, b"x"), frame(0, other)].concat();
                web.request.write_all(&bytes).await.unwrap();
            }
            1 => web.request.finish().unwrap(),
            2 => web.request.reset(quinn::VarInt::from_u32(1)).unwrap(),
            3 => web.client.sender.finish().unwrap(),
            _ => {
                let gone = quinn::VarInt::from_u32(0x170d_7b68);
                web.client.sender.reset(gone).unwrap();
            }
        }
        assert_eq!(code(&web.client.connection).await, NO_ERROR, "{way}");
    }
    let until = std::time::Instant::now() + PATIENCE;
    while !server
        .ops_page("/health/detailed")
        .contains("\"connections\":0")
    {
        assert!(std::time::Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_page_that_does_not_answer_is_not_waited_for() {
    let server = Server::start(&[QUIC, "server.shutdown_timeout=20s"]);
    let mut web = Web::connect(&server).await;
    web.client.send(b"\xc1").await;
    web.client.last_words().await;
    // It keeps its half open. The server gives up, and the connection says why.
    let number = u32::from(CloseCode::ProtocolError.number());
    assert_eq!(hidden_code(&web.client.connection).await, Some(number));
}

#[tokio::test]
async fn half_a_handshake_is_given_up() {
    let server = Server::start(&[QUIC, "quic.handshake_timeout=400ms"]);
    let late = u32::from(CloseCode::HandshakeTimeout.number());
    let whole = request("/", None);
    for (settings, asked) in [
        (&[][..], &[][..]),
        (&settings(), &[]),
        (&settings()[..3], &whole),
        (&settings(), &whole[..20]),
        (&[], &whole),
    ] {
        let (_endpoint, connection) = h3(&server).await;
        let mut streams = Vec::new();
        if !settings.is_empty() {
            streams.push(open_uni(&connection, settings).await);
        }
        if !asked.is_empty() {
            let (sender, _receiver) = open_bi(&connection, asked).await;
            streams.push(sender);
        }
        assert_eq!(hidden_code(&connection).await, Some(late));
    }
    // With a session but no control stream, the session tells it.
    for bytes in [&[][..], &OF_SESSION[..2]] {
        let (_endpoint, connection) = h3(&server).await;
        let _settings = open_uni(&connection, &settings()).await;
        let (_request, mut answer) = open_bi(&connection, &whole).await;
        assert_eq!(status(&mut answer).await, 200);
        let _control = open_bi(&connection, bytes).await;
        let mut capsules = web_transport_proto::Http3CapsuleReader::new(&mut answer);
        let capsule = timeout(PATIENCE, capsules.read()).await.unwrap().unwrap();
        let (code, reason) = told(CloseCode::HandshakeTimeout);
        let expected = Capsule::CloseWebTransportSession { code, reason };
        assert_eq!(capsule, Some(expected));
        assert_eq!(hidden_code(&connection).await, Some(late));
    }
    let line = r#"pitturu_handshakes_refused_total{transport="webtransport",reason="timeout"}"#;
    assert!((metric(&server, line) - 7.0).abs() < 0.1);
}

#[tokio::test]
async fn an_address_has_its_places_whatever_it_comes_by() {
    let server = Server::start(&[QUIC, "listen.connections_per_address_max=3"]);
    let _websocket = Player::connect(server.ws);
    let mut native = RawQuic::connect(&server).await;
    let mut web = Web::connect(&server).await;
    let endpoint = super::raw::endpoint(&[b"h3"]);
    let refused = super::raw::dial(&endpoint, server.quic.unwrap()).await;
    assert!(refused.is_err(), "a fourth connection");
    native.echo().await;
    web.client.echo().await;
    drop(web);
    let until = std::time::Instant::now() + PATIENCE;
    while super::raw::dial(&endpoint, server.quic.unwrap())
        .await
        .is_err()
    {
        assert!(std::time::Instant::now() < until);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_says_goodbye() {
    let mut server = Server::start(&[QUIC, "server.shutdown_spread=3s"]);
    let mut web = Web::connect(&server).await;
    server.signal("TERM");
    assert_eq!(web.farewell().await, told(CloseCode::ShuttingDown));
    let goaway = web.client.goaway.take().unwrap();
    assert_eq!(goaway.reason, GoawayReason::Shutdown);
    assert!(server.wait().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_sessions_hold_about_as_much_as_idle_connections_of_quic() {
    const EACH: u64 = 300;
    let server = Server::start(&[QUIC, "listen.connections_per_address_max=1000"]);
    Web::connect(&server).await.client.echo().await;
    let (mut native, mut web) = (Vec::new(), Vec::new());
    let begin = server.resident_bytes();
    for _ in 0..EACH {
        native.push(RawQuic::connect(&server).await);
    }
    let between = server.resident_bytes();
    for _ in 0..EACH {
        web.push(Web::connect(&server).await);
    }
    let of_native = between.saturating_sub(begin) / EACH;
    let of_web = server.resident_bytes().saturating_sub(between) / EACH;
    println!("bytes for each idle connection: QUIC {of_native}, WebTransport {of_web}");
    assert!(of_web < of_native + 16 * 1024, "{of_native} {of_web}");
}
