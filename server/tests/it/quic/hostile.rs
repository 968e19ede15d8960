//! Clients that break the rules, and what the server makes of them.

use std::net::UdpSocket;
use std::time::Duration;

use pitturu_protocol::ALPN;
use pitturu_protocol::codes::{CloseCode, Code};
use pitturu_protocol::frame::ClientFrame;
use pitturu_protocol::framing::length;
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::limits::MESSAGE_BYTES_MAX;
use pitturu_protocol::types::system::Hello;
use quinn::{ConnectionError, VarInt};
use tokio::time::timeout;

use super::raw::{RawQuic, dial, endpoint};
use super::{QUIC, metric};
use crate::launch::Server;
use crate::player::hello;

/// The TLS alert `no_application_protocol`, as QUIC tells it.
const NO_PROTOCOL: u64 = 0x100 + 120;

fn number(code: CloseCode) -> Option<u64> {
    Some(u64::from(code.number()))
}

pub(super) fn input(seq: u64) -> Vec<u8> {
    ClientFrame::Input {
        room: RoomId::from_bytes([9; 10]),
        seq,
        data: b"left",
    }
    .encode()
}

#[tokio::test]
async fn a_length_that_lies_ends_the_connection() {
    let server = Server::start(&[QUIC]);
    for length in [MESSAGE_BYTES_MAX as u32 + 1, u32::MAX] {
        let mut client = RawQuic::connect(&server).await;
        client
            .sender
            .write_all(&length.to_be_bytes())
            .await
            .unwrap();
        assert_eq!(client.farewell().await, number(CloseCode::MessageTooBig));
    }
    // Fewer bytes than announced are waited for, and an end within them is no end of a message.
    let mut client = RawQuic::connect(&server).await;
    client.sender.write_all(&[0, 0, 1, 0, 7]).await.unwrap();
    let silence = timeout(Duration::from_millis(300), client.connection.closed()).await;
    assert!(silence.is_err(), "{silence:?}");
    client.sender.finish().unwrap();
    assert_eq!(client.farewell().await, number(CloseCode::ProtocolError));
}

#[tokio::test]
async fn an_empty_message_and_a_wrong_frame_are_explained() {
    let server = Server::start(&[QUIC]);
    for wrong in [&b""[..], b"\xc1"] {
        let mut client = RawQuic::connect(&server).await;
        client.send(wrong).await;
        assert_eq!(client.farewell().await, number(CloseCode::ProtocolError));
        assert_eq!(client.faults, [Code::BadRequest.number()], "{wrong:?}");
    }
}

#[tokio::test]
async fn there_is_one_stream_and_its_end_is_the_end() {
    let server = Server::start(&[QUIC]);
    let mut client = RawQuic::connect(&server).await;
    let connection = client.connection.clone();
    let within = Duration::from_millis(300);
    assert!(timeout(within, connection.open_bi()).await.is_err());
    client.echo().await;
    client.sender.finish().unwrap();
    assert_eq!(client.farewell().await, Some(0));

    // Those that HTTP/3 has are for HTTP/3.
    let mut client = RawQuic::connect(&server).await;
    let mut other = client.connection.open_uni().await.unwrap();
    other.write_all(&[0]).await.unwrap();
    assert_eq!(client.farewell().await, number(CloseCode::ProtocolError));

    let mut client = RawQuic::connect(&server).await;
    client.sender.reset(VarInt::from_u32(1)).unwrap();
    assert_eq!(client.farewell().await, number(CloseCode::ProtocolError));

    let mut client = RawQuic::connect(&server).await;
    client.receiver.stop(VarInt::from_u32(1)).unwrap();
    // The server meets it when it has something to say, at the latest with its next ping.
    loop {
        client.begin_echo(b"into the void").await;
        let closed = timeout(Duration::from_millis(50), client.connection.closed()).await;
        if closed.is_ok() {
            break;
        }
    }
    assert_eq!(client.close_code().await, number(CloseCode::ProtocolError));
}

/// What would explain it waits for a client that takes nothing. The code of the connection waits for nobody.
#[tokio::test]
async fn whoever_takes_no_message_still_hears_why() {
    let server = Server::start(&[QUIC, "heartbeat.close_timeout=100ms"]);
    let framed = |message: &[u8]| [&length(message.len())[..], message].concat();
    let wrong = framed(&[0xc1]);
    let later = ClientFrame::Hello(Hello {
        v: pitturu_protocol::VERSION + 1,
        sdk: "test/0".to_owned(),
        token: None,
        presence: None,
    });
    for (sent, code) in [
        (wrong.clone(), CloseCode::ProtocolError),
        (u32::MAX.to_be_bytes().to_vec(), CloseCode::MessageTooBig),
        (framed(&later.encode()), CloseCode::VersionUnsupported),
    ] {
        let mut client = RawQuic::shut(&server).await;
        client.sender.write_all(&sent).await.unwrap();
        assert_eq!(client.close_code().await, number(code), "{sent:x?}");
    }

    // It is welcome, as far as it knows, and is wrong then.
    let mut client = RawQuic::shut(&server).await;
    client.send(&hello()).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    client.sender.write_all(&wrong).await.unwrap();
    assert_eq!(client.close_code().await, number(CloseCode::ProtocolError));

    let mut client = RawQuic::connect(&server).await;
    client.receiver.stop(VarInt::from_u32(7)).unwrap();
    client.sender.write_all(&wrong).await.unwrap();
    assert_eq!(client.close_code().await, number(CloseCode::ProtocolError));

    let mut client = RawQuic::shut(&server).await;
    client.send(&hello()).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.signal("TERM");
    assert_eq!(client.close_code().await, number(CloseCode::ShuttingDown));
}

#[tokio::test]
async fn without_the_protocols_name_there_is_no_handshake() {
    let server = Server::start(&[QUIC]);
    for alpn in [&[][..], &[&b"h2"[..]], &[b"pitturu/0", b"http/1.1"]] {
        let endpoint = endpoint(alpn);
        match dial(&endpoint, server.quic.unwrap()).await {
            Err(ConnectionError::ConnectionClosed(closed)) => {
                assert_eq!(u64::from(closed.error_code), NO_PROTOCOL, "{closed:?}");
            }
            other => panic!("{alpn:?}: {other:?}"),
        }
    }
    let both = endpoint(&[b"other", ALPN]);
    dial(&both, server.quic.unwrap()).await.unwrap();
    let refused = metric(
        &server,
        r#"pitturu_handshakes_refused_total{transport="quic",reason="tls"}"#,
    );
    assert!((refused - 3.0).abs() < 0.1, "{refused}");
}

#[tokio::test]
async fn whoever_opens_no_stream_is_closed() {
    let server = Server::start(&[QUIC, "quic.handshake_timeout=300ms"]);
    let endpoint = endpoint(&[ALPN]);
    let connection = dial(&endpoint, server.quic.unwrap()).await.unwrap();
    let client = RawQuic::on(endpoint, connection).await;
    assert_eq!(
        client.close_code().await,
        number(CloseCode::HandshakeTimeout)
    );
    // A stream without hello is another matter.
    let server = Server::start(&[QUIC, "heartbeat.hello_timeout=300ms"]);
    let mut client = RawQuic::silent(&server).await;
    client.sender.write_all(&[0]).await.unwrap();
    assert_eq!(client.farewell().await, number(CloseCode::HandshakeTimeout));
}

#[tokio::test]
async fn datagrams_carry_one_input_each_and_nothing_else() {
    let server = Server::start(&[QUIC]);
    let mut client = RawQuic::silent(&server).await;
    // One that overtakes hello is dropped.
    client.connection.send_datagram(input(1).into()).unwrap();
    client.send(&hello()).await;
    client.welcomed().await;
    for seq in 2..50 {
        client.connection.send_datagram(input(seq).into()).unwrap();
    }
    client.echo().await;
    let most = client.connection.max_datagram_size().unwrap();
    assert!(most > 1_100, "{most}");
    for wrong in [[input(1), input(2)].concat(), vec![0xc1], Vec::new()] {
        let mut client = RawQuic::connect(&server).await;
        client.connection.send_datagram(wrong.into()).unwrap();
        assert_eq!(client.farewell().await, number(CloseCode::ProtocolError));
        assert_eq!(client.faults.len(), 1);
    }
}

#[tokio::test]
async fn packets_that_are_none_disturb_nobody() {
    let server = Server::start(&[QUIC]);
    let mut client = RawQuic::connect(&server).await;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server.quic.unwrap()).unwrap();
    let unknown_version = [&[0xc0, 0xba, 0xbe, 0xfa, 0xce, 8][..], &[1; 1_300]].concat();
    let half_initial = [&[0xc3, 0, 0, 0, 1, 8][..], &[2; 600]].concat();
    let wrong_initial = [&[0xc3, 0, 0, 0, 1, 8][..], &[3; 1_300]].concat();
    for packet in [
        Vec::new(),
        vec![0],
        vec![0x40; 40],
        vec![0xff; 1_472],
        half_initial,
        wrong_initial,
    ] {
        socket.send(&packet).unwrap();
        client.echo().await;
    }
    socket.send(&unknown_version).unwrap();
    socket.set_read_timeout(Some(super::raw::PATIENCE)).unwrap();
    // Some of the above may have been answered with a reset; the negotiation says version 0.
    loop {
        let mut answer = [0; 2048];
        let count = socket.recv(&mut answer).unwrap();
        if answer[..count].get(1..5) == Some(&[0; 4]) {
            break;
        }
    }
    client.echo().await;
    RawQuic::connect(&server).await.echo().await;
}
