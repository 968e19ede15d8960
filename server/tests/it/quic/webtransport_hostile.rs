//! Clients that break the rules of HTTP/3 and WebTransport, and what the server makes of them.

use std::time::Duration;

use pitturu_protocol::codes::CloseCode;
use pitturu_protocol::limits::MESSAGE_BYTES_MAX;
use quinn::{Connection, SendStream, VarInt};
use tokio::time::{sleep, timeout};

use super::QUIC;
use super::raw::{PATIENCE, RawQuic};
use super::web::{
    OF_SESSION, Web, code, frame, h3, hidden_code, open_bi, open_uni, request, settings, status,
};
use crate::launch::Server;

const DATAGRAM_ERROR: u64 = 0x33;
const STREAM_CREATION_ERROR: u64 = 0x103;
const CLOSED_CRITICAL_STREAM: u64 = 0x104;
const FRAME_UNEXPECTED: u64 = 0x105;
const FRAME_ERROR: u64 = 0x106;
const EXCESSIVE_LOAD: u64 = 0x107;
const ID_ERROR: u64 = 0x108;
const SETTINGS_ERROR: u64 = 0x109;
const MISSING_SETTINGS: u64 = 0x10a;
const REQUEST_REJECTED: u64 = 0x10b;
const REQUEST_INCOMPLETE: u64 = 0x10d;
const DECOMPRESSION_FAILED: u64 = 0x200;

/// A length of 2^30, in eight bytes.
const HUGE: &[u8] = &[0xc0, 0, 0, 0, 0x40, 0, 0, 0];

/// A capsule that nobody knows.
const UNKNOWN_CAPSULE: u8 = 0x19;

#[tokio::test]
async fn settings_that_are_wrong_end_the_connection() {
    let server = Server::start(&[QUIC]);
    let huge = [&[0, 4][..], HUGE].concat();
    let long = [&[0, 4, 0x48, 1][..], &[0x21; 2_049]].concat();
    for (bytes, is_ended, expected) in [
        // Half a setting.
        (&[0, 4, 1, 0x33][..], false, FRAME_ERROR),
        (&[0, 7, 1, 0], false, MISSING_SETTINGS),
        // No datagrams, and datagrams that are switched off.
        (&[0, 4, 0], false, SETTINGS_ERROR),
        (&[0, 4, 2, 0x33, 0], false, SETTINGS_ERROR),
        (&huge, false, EXCESSIVE_LOAD),
        (&long, false, EXCESSIVE_LOAD),
        (&[0], true, CLOSED_CRITICAL_STREAM),
        (&[0, 4, 5, 0x33], true, CLOSED_CRITICAL_STREAM),
    ] {
        let (_endpoint, connection) = h3(&server).await;
        let _request = open_bi(&connection, &request("/", None)).await;
        let mut stream = open_uni(&connection, bytes).await;
        if is_ended {
            stream.finish().unwrap();
        }
        assert_eq!(code(&connection).await, expected, "{bytes:x?}");
    }
}

/// Packets may be lost, and streams are independent of each other. One that ends before it has a kind is nothing.
#[tokio::test]
async fn streams_that_say_nothing_keep_no_settings_waiting() {
    let server = Server::start(&[QUIC]);
    let (endpoint, connection) = h3(&server).await;
    // Numbers of streams are opened with all those below them.
    let silent = [
        connection.open_uni().await.unwrap(),
        connection.open_uni().await.unwrap(),
    ];
    let mut half = open_uni(&connection, &[0x40]).await;
    half.finish().unwrap();
    let _half = open_uni(&connection, &[0x40]).await;
    let settings = open_uni(&connection, &settings()).await;
    let (request, mut answer) = open_bi(&connection, &request("/", None)).await;
    assert_eq!(status(&mut answer).await, 200);
    let control = open_bi(&connection, OF_SESSION).await;
    let mut web = Web {
        client: RawQuic::with(endpoint, connection, control),
        settings,
        request,
        answer,
    };
    web.greet().await;
    // What they are they may say later.
    for mut stream in silent {
        stream.write_all(&[0x21]).await.unwrap();
    }
    web.client.echo().await;
}

/// The other way is left, of the control stream, the request's and the connection's code.
#[tokio::test]
async fn whoever_stops_a_stream_still_hears_why() {
    let server = Server::start(&[QUIC, "heartbeat.close_timeout=500ms"]);
    let wrong = CloseCode::ProtocolError;
    let mut web = Web::connect(&server).await;
    web.client.receiver.stop(VarInt::from_u32(7)).unwrap();
    web.client.send(&[0xc1]).await;
    assert_eq!(web.farewell().await.0, u32::from(wrong.number()));

    let mut web = Web::connect(&server).await;
    web.answer.stop(VarInt::from_u32(0x10c)).unwrap();
    sleep(Duration::from_millis(100)).await;
    web.client.send(&[0xc1]).await;
    web.client.last_words().await;
    let _ended = web.client.sender.finish();
    let told = hidden_code(&web.client.connection).await;
    assert_eq!(told, Some(u32::from(wrong.number())));
}

#[tokio::test]
async fn requests_that_are_wrong_end_the_connection() {
    let server = Server::start(&[QUIC]);
    let whole = request("/", None);
    let skipped = [&[0x21][..], HUGE].concat();
    let many = [0x21, 0].repeat(4 * 1024);
    for (bytes, is_ended, expected) in [
        (&[0, 1, 0][..], false, FRAME_UNEXPECTED),
        (&[], true, REQUEST_INCOMPLETE),
        (&whole[..10], true, REQUEST_INCOMPLETE),
        (&skipped, false, EXCESSIVE_LOAD),
        (&many, false, EXCESSIVE_LOAD),
        // A field of a table that there is not, half an integer, an empty head.
        (&[1, 3, 0, 0, 0x80], false, DECOMPRESSION_FAILED),
        (&[1, 3, 0, 0, 0xff], false, DECOMPRESSION_FAILED),
        (&[1, 0], false, DECOMPRESSION_FAILED),
        (OF_SESSION, false, ID_ERROR),
    ] {
        let (_endpoint, connection) = h3(&server).await;
        let _settings = open_uni(&connection, &settings()).await;
        let (mut sender, _receiver) = open_bi(&connection, bytes).await;
        if is_ended {
            sender.finish().unwrap();
        }
        assert_eq!(code(&connection).await, expected, "{bytes:x?}");
    }
}

/// Keeps streams open.
async fn beside(connection: &Connection, streams: &[&[u8]]) -> Vec<SendStream> {
    let mut open = Vec::new();
    for bytes in streams {
        open.push(open_uni(connection, bytes).await);
    }
    open
}

#[tokio::test]
async fn streams_of_http_are_read_and_dropped() {
    let server = Server::start(&[QUIC]);
    let mut web = Web::connect(&server).await;
    let connection = web.client.connection.clone();
    // Those of QPACK, and two that nobody knows.
    let streams: [&[u8]; 4] = [&[2], &[3], &[0x21], &[0x40, 0x40, 1, 2, 3]];
    let mut open = beside(&connection, &streams).await;
    for stream in &mut open {
        stream.write_all(&[0; 10_000]).await.unwrap();
        web.client.echo().await;
    }
    // What is of no use may end, and others may come.
    open.truncate(2);
    for _ in 0..20 {
        let mut stream = open_uni(&connection, &[0x21, 7]).await;
        stream.finish().unwrap();
    }
    let mut goaway = web.settings;
    goaway.write_all(&frame(7, &[0])).await.unwrap();
    web.client.echo().await;
}

#[tokio::test]
async fn streams_that_a_client_may_not_open_end_the_connection() {
    let server = Server::start(&[QUIC]);
    for (streams, expected) in [
        (&[&[1][..]][..], STREAM_CREATION_ERROR),
        (&[&[0, 4, 0]], STREAM_CREATION_ERROR),
        (&[&[2], &[2]], STREAM_CREATION_ERROR),
        (&[&[0x40, 0x54, 4]], ID_ERROR),
        (&[&[0x40, 0x54, 0x40, 0x99]], ID_ERROR),
    ] {
        let web = Web::connect(&server).await;
        let _streams = beside(&web.client.connection, streams).await;
        assert_eq!(code(&web.client.connection).await, expected);
    }
    for is_settings in [true, false] {
        let mut web = Web::connect(&server).await;
        if is_settings {
            web.settings.finish().unwrap();
        } else {
            let mut stream = open_uni(&web.client.connection, &[2]).await;
            stream.reset(VarInt::from_u32(0)).unwrap();
            // A reset may overtake the kind of the stream.
            if timeout(Duration::from_millis(500), web.client.connection.closed())
                .await
                .is_err()
            {
                continue;
            }
        }
        let connection = &web.client.connection;
        assert_eq!(code(connection).await, CLOSED_CRITICAL_STREAM);
    }
}

#[tokio::test]
async fn a_session_has_one_stream() {
    let server = Server::start(&[QUIC]);
    let error = u32::from(CloseCode::ProtocolError.number());
    for is_both_ways in [true, false] {
        let mut web = Web::connect(&server).await;
        let connection = web.client.connection.clone();
        let _another = if is_both_ways {
            open_bi(&connection, OF_SESSION).await.0
        } else {
            open_uni(&connection, &[0x40, 0x54, 0]).await
        };
        assert_eq!(web.farewell().await, (error, "protocol_error".to_owned()));
    }
    let web = Web::connect(&server).await;
    let _other = open_bi(&web.client.connection, &[0x40, 0x41, 4]).await;
    assert_eq!(code(&web.client.connection).await, ID_ERROR);
    // A reset for no reason is one of the client's mistakes.
    let mut web = Web::connect(&server).await;
    web.client.sender.reset(VarInt::from_u32(7)).unwrap();
    assert_eq!(web.farewell().await.0, error);
}

#[tokio::test]
async fn a_second_request_is_rejected_and_the_session_goes_on() {
    let server = Server::start(&[QUIC]);
    let mut web = Web::connect(&server).await;
    let connection = web.client.connection.clone();
    for bytes in [request("/", None), frame(1, b"GET"), request("/", None)] {
        let (_sender, mut receiver) = open_bi(&connection, &bytes).await;
        let rejected = timeout(PATIENCE, receiver.read(&mut [0])).await.unwrap();
        let Err(quinn::ReadError::Reset(code)) = rejected else {
            panic!("{rejected:?}");
        };
        assert_eq!(code.into_inner(), REQUEST_REJECTED);
        web.client.echo().await;
    }
    // Not without end.
    loop {
        let Ok((mut sender, _receiver)) = connection.open_bi().await else {
            break;
        };
        if sender.write_all(&request("/", None)).await.is_err() {
            break;
        }
    }
    assert_eq!(code(&connection).await, EXCESSIVE_LOAD);
}

#[tokio::test]
async fn what_is_dropped_has_a_bound() {
    let server = Server::start(&[QUIC]);
    for stream in [&[0x21][..], &[2]] {
        let web = Web::connect(&server).await;
        let mut flood = open_uni(&web.client.connection, stream).await;
        while flood.write_all(&[0; 10_000]).await.is_ok() {}
        assert_eq!(code(&web.client.connection).await, EXCESSIVE_LOAD);
    }
    let web = Web::connect(&server).await;
    while let Ok(mut stream) = web.client.connection.open_uni().await {
        if stream.write_all(&[0x21]).await.is_err() || stream.finish().is_err() {
            break;
        }
    }
    assert_eq!(code(&web.client.connection).await, EXCESSIVE_LOAD);
}

#[tokio::test]
async fn capsules_that_lie_end_the_connection() {
    let server = Server::start(&[QUIC]);
    let huge = [&[UNKNOWN_CAPSULE][..], HUGE].concat();
    let huge_frame = [&[0x21][..], HUGE].concat();
    let huge_close = [&[0x68, 0x43][..], HUGE].concat();
    let long_close = [&[0x68, 0x43, 0x44, 5][..], &[b'x'; 1_029]].concat();
    for bytes in [
        frame(0, &huge),
        frame(0, &huge_close),
        frame(0, &long_close),
        frame(0, &[UNKNOWN_CAPSULE, 0].repeat(4_000)).repeat(9),
        huge_frame,
    ] {
        let mut web = Web::connect(&server).await;
        // It may be closed while this is written.
        let _written = web.request.write_all(&bytes).await;
        assert_eq!(code(&web.client.connection).await, EXCESSIVE_LOAD);
    }
    // One that is announced and does not come costs nothing.
    let mut web = Web::connect(&server).await;
    let bytes = [&[0][..], HUGE, &[0x68, 0x43, 0x40, 0x90, 1]].concat();
    web.request.write_all(&bytes).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    web.client.echo().await;
}

#[tokio::test]
async fn datagrams_without_a_session_end_the_connection() {
    let server = Server::start(&[QUIC]);
    for head in [&[][..], &[0x40], &[0xc0, 0, 0]] {
        let web = Web::connect(&server).await;
        web.datagram(head, b"");
        assert_eq!(code(&web.client.connection).await, DATAGRAM_ERROR);
    }
}

#[tokio::test]
async fn a_message_that_is_too_long_is_explained() {
    let server = Server::start(&[QUIC]);
    let mut web = Web::connect(&server).await;
    let length = MESSAGE_BYTES_MAX as u32 + 1;
    web.client
        .sender
        .write_all(&length.to_be_bytes())
        .await
        .unwrap();
    let told = (
        u32::from(CloseCode::MessageTooBig.number()),
        "message_too_big".to_owned(),
    );
    assert_eq!(web.farewell().await, told);
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_announce_much_and_send_nothing_hold_little() {
    let server = Server::start(&[
        QUIC,
        "listen.connections_per_address_max=1000",
        "quic.handshake_timeout=60s",
    ]);
    RawQuic::connect(&server).await.echo().await;
    let before = server.resident_bytes();
    let mut held = Vec::new();
    for _ in 0..200 {
        let (endpoint, connection) = h3(&server).await;
        // As long as they may be, and nothing of it.
        let settings = open_uni(&connection, &[0, 4, 0x48, 0, 0x33]).await;
        let request = open_bi(&connection, &[1, 0x60, 0, 0, 0]).await;
        held.push((endpoint, connection, settings, request));
    }
    sleep(Duration::from_millis(300)).await;
    let each = server.resident_bytes().saturating_sub(before) / 200;
    println!("{each} bytes for each unfinished handshake");
    assert!(each < 60 * 1024, "{each} bytes");
    RawQuic::connect(&server).await.echo().await;
}
