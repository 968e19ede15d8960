//! Who may come in over QUIC, how many, and how everybody leaves.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use pitturu_protocol::ALPN;
use pitturu_protocol::codes::CloseCode;
use pitturu_protocol::limits::MESSAGE_BYTES_MAX;
use pitturu_protocol::types::system::GoawayReason;
use quinn::ConnectionError;
use tokio::time::timeout;

use super::raw::{PATIENCE, RawQuic, dial, endpoint, first_packets};
use super::{QUIC, metric};
use crate::launch::Server;
use crate::player::Player;

const RETRIES: &str = "pitturu_quic_retries_total";
const TIMEOUTS: &str = r#"pitturu_handshakes_refused_total{transport="quic",reason="timeout"}"#;
const ADDRESS_FULL: &str =
    r#"pitturu_handshakes_refused_total{transport="quic",reason="address_full"}"#;

fn wait_for(server: &Server, line: &str, least: f64) -> f64 {
    let until = Instant::now() + PATIENCE;
    loop {
        let value = metric(server, line);
        if value >= least {
            return value;
        }
        assert!(Instant::now() < until, "{line} is {value}, not {least}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sends each packet from a port of its own.
fn flood(server: &Server, packets: &[Vec<u8>]) -> Vec<UdpSocket> {
    let send = |packet: &Vec<u8>| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(packet, server.quic.unwrap()).unwrap();
        socket
    };
    packets.iter().map(send).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_first_packets_makes_everybody_show_their_address() {
    let (packets, _handshakes) = first_packets(60).await;
    let server = Server::start(&[QUIC, "quic.unvalidated_max=8", "quic.handshake_timeout=2s"]);
    let mut early = RawQuic::connect(&server).await;
    assert_eq!(metric(&server, RETRIES), 0.0);
    let _sockets = flood(&server, &packets);
    wait_for(&server, RETRIES, 52.0);
    // Whoever shows it comes in, and those who are in notice nothing.
    let mut late = RawQuic::connect(&server).await;
    late.echo().await;
    early.echo().await;
    let retries = metric(&server, RETRIES);
    assert!((52.0..=54.0).contains(&retries), "{retries}");
    // The few that were let in without it are given up, and their places are free.
    assert!(wait_for(&server, TIMEOUTS, 8.0) <= 9.0);
    RawQuic::connect(&server).await.echo().await;
    assert_eq!(metric(&server, RETRIES), retries);
}

#[tokio::test(flavor = "multi_thread")]
async fn below_the_threshold_nobody_has_to_show_anything() {
    let (packets, _handshakes) = first_packets(60).await;
    let server = Server::start(&[
        QUIC,
        "quic.unvalidated_max=100",
        "quic.handshake_timeout=1s",
    ]);
    let _sockets = flood(&server, &packets);
    RawQuic::connect(&server).await.echo().await;
    wait_for(&server, TIMEOUTS, 60.0);
    assert_eq!(metric(&server, RETRIES), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_handshakes_of_an_address_take_none_of_its_places() {
    let (packets, _handshakes) = first_packets(20).await;
    let server = Server::start(&[
        QUIC,
        "listen.connections_per_address_max=3",
        "quic.handshake_timeout=20s",
    ]);
    let _sockets = flood(&server, &packets);
    for mut client in [
        RawQuic::connect(&server).await,
        RawQuic::connect(&server).await,
    ] {
        client.echo().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_its_places_whatever_it_comes_by() {
    for retry in ["64", "0"] {
        let retry = format!("quic.unvalidated_max={retry}");
        let server = Server::start(&[QUIC, "listen.connections_per_address_max=2", &retry]);
        let websocket = Player::connect(server.ws);
        let mut quic = RawQuic::connect(&server).await;
        let endpoint = endpoint(&[ALPN]);
        match dial(&endpoint, server.quic.unwrap()).await {
            Err(ConnectionError::ConnectionClosed(closed)) => {
                // CONNECTION_REFUSED
                assert_eq!(u64::from(closed.error_code), 2, "{closed:?}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(metric(&server, ADDRESS_FULL), 1.0);
        quic.echo().await;
        drop(websocket);
        let until = Instant::now() + PATIENCE;
        let connection = loop {
            match dial(&endpoint, server.quic.unwrap()).await {
                Ok(connection) => break connection,
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
        };
        drop(connection);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_says_goodbye() {
    let mut server = Server::start(&[QUIC, "server.shutdown_spread=3s"]);
    let mut client = RawQuic::connect(&server).await;
    client.echo().await;
    let endpoint = endpoint(&[ALPN]);
    server.signal("TERM");
    assert_eq!(
        client.farewell().await,
        Some(u64::from(CloseCode::ShuttingDown.number()))
    );
    let goaway = client.goaway.take().unwrap();
    assert_eq!(goaway.reason, GoawayReason::Shutdown);
    assert!(goaway.reconnect && goaway.within_ms == 3_000, "{goaway:?}");
    assert!(server.wait().success());
    drop(endpoint);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_killed_tells_clients_of_before_by_the_shared_key() {
    const KEY: &str = "0123456789abcdef";
    for (after, is_told) in [(KEY, true), ("fedcba9876543210", false)] {
        let keys = [KEY, after].map(|key| format!("quic.reset_key={}", key.repeat(2)));
        let mut server = Server::start(&[QUIC, &keys[0]]);
        let at = format!("listen.quic={}", server.quic.unwrap());
        let mut client = RawQuic::connect(&server).await;
        client.echo().await;
        server.kill();
        let _server = Server::start_in(server.folder(), &[&at, &keys[1]]);
        // A datagram goes out on a path that is silent, unless something late has told it already.
        let datagram = vec![0; 100];
        let _told = client.connection.send_datagram(datagram.into());
        let within = if is_told {
            PATIENCE
        } else {
            Duration::from_secs(2)
        };
        match timeout(within, client.connection.closed()).await {
            Ok(ConnectionError::Reset) => assert!(is_told),
            Err(_elapsed) => assert!(!is_told),
            told => panic!("{told:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_outlives_the_address_of_its_client() {
    let server = Server::start(&[QUIC]);
    let mut client = RawQuic::connect(&server).await;
    client.echo().await;
    for _ in 0..3 {
        let before = client.endpoint.local_addr().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.endpoint.rebind(socket).unwrap();
        assert_ne!(client.endpoint.local_addr().unwrap(), before);
        client.echo().await;
    }
    let page = server.ops_page("/health/detailed");
    assert!(page.contains("\"connections\":1"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_above_the_windows_go_both_ways() {
    let server = Server::start(&[QUIC]);
    let mut client = RawQuic::connect(&server).await;
    let data: Vec<Vec<u8>> = (0..40_u8).map(|byte| vec![byte; 60_000]).collect();
    for data in data.chunks(10) {
        for data in data {
            client.begin_echo(data).await;
        }
        let mut echoed = client.echoed(data.len()).await;
        echoed.sort();
        assert!(echoed == data, "every echo brings its own data back");
    }
    // As many frames as fit into one message.
    let frames = client.echo_frames(&data[..4]);
    assert!(frames.len() > 240_000 && frames.len() <= MESSAGE_BYTES_MAX);
    client.send(&frames).await;
    assert_eq!(client.echoed(4).await.len(), 4);
}
