//! The link over two sockets of one process, where a test sees both ends.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pitturu_protocol::ALPN;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, ConnectionError, Endpoint};
use rustls::RootCertStore;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::*;
use crate::connections::link::{Broadcast, InlineWrite};
use crate::io_threads::{IoThreads, RunningIoThreads};
use crate::transport::connection_limiter::ConnectionLimiter;
use crate::transport::handshake::Origins;
use crate::transport::listener::AcceptContext;
use crate::transport::quic::endpoint::{QuicEndpoint, QuicSettings, bind};
use crate::transport::tls::{Certificate, ServedCertificate};

const PATIENCE: Duration = Duration::from_secs(20);

/// A link that no session drives, and the client at its other end.
struct Pair {
    link: QuicLink,
    client: Connection,
    sender: SendStream,
    receiver: RecvStream,
    connections: ConnectionLimiter,
    _endpoints: (QuicEndpoint, Endpoint),
    _threads: RunningIoThreads,
    _stop: watch::Sender<bool>,
}

async fn pair() -> Pair {
    let (io_threads, threads) = IoThreads::start(2).unwrap();
    let certificate = Certificate::short_lived(SystemTime::now()).unwrap();
    let served = ServedCertificate::new(&certificate).unwrap();
    let settings = QuicSettings {
        unvalidated_max: 64,
        first_packets_per_second: 2_000,
        handshake_timeout: PATIENCE,
        ping: PATIENCE,
        receive_window: 64 * 1024,
        send_window: 64 * 1024,
        reset_key: None,
        token_key: Some("t".repeat(32)),
    };
    let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let server = QuicEndpoint::open(socket, &served, &settings, &io_threads).unwrap();
    let connections = ConnectionLimiter::new(10, 10);
    let context = AcceptContext::new(connections.clone(), io_threads, Origins::Any, PATIENCE);
    let (links_to, mut links) = mpsc::unbounded_channel();
    let session = move |link, _peer| {
        let _sent = links_to.send(link);
        async {}
    };
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(server.clone().serve(Arc::new(context), session, stopped));

    let mut roots = RootCertStore::empty();
    roots.add(certificate.own().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let mut endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let crypto = QuicClientConfig::try_from(tls).unwrap();
    endpoint.set_default_client_config(ClientConfig::new(Arc::new(crypto)));
    let client = endpoint.connect(address, "localhost").unwrap();
    let client = client.await.unwrap();
    let (mut sender, receiver) = client.open_bi().await.unwrap();
    sender.write_all(&length(5)).await.unwrap();
    sender.write_all(b"hello").await.unwrap();
    let mut link = timeout(PATIENCE, links.recv()).await.unwrap().unwrap();
    let hello = Received::Message(Bytes::from_static(b"hello"));
    assert_eq!(receive(&mut link).await, Ok(hello));
    Pair {
        link,
        client,
        sender,
        receiver,
        connections,
        _endpoints: (server, endpoint),
        _threads: threads,
        _stop: stop,
    }
}

async fn receive(link: &mut QuicLink) -> Result<Received, LinkError> {
    timeout(PATIENCE, poll_fn(|cx| link.poll_receive(cx)))
        .await
        .unwrap()
}

#[tokio::test]
async fn datagrams_go_out_up_to_the_longest_that_the_path_takes() {
    let mut pair = pair().await;
    let most = pair.link.datagram_bytes_max().unwrap();
    assert!(most >= 1_000, "{most}");
    // Longer than any path of this test takes, also once the library has found out how much that is.
    pair.link.send_datagram(vec![1; 1_500].into());
    pair.link.send_datagram(vec![2; most].into());
    pair.link.send_datagram(Bytes::new());
    let mut received = Vec::new();
    for _ in 0..2 {
        let datagram = timeout(PATIENCE, pair.client.read_datagram()).await;
        received.push(datagram.unwrap().unwrap());
    }
    received.sort();
    assert_eq!(received, [Bytes::new(), vec![2; most].into()]);
}

#[tokio::test]
async fn neither_messages_nor_datagrams_keep_the_others_waiting() {
    let mut pair = pair().await;
    for byte in 0..4 {
        pair.sender.write_all(&length(1)).await.unwrap();
        pair.sender.write_all(&[byte]).await.unwrap();
        pair.client.send_datagram(vec![byte].into()).unwrap();
    }
    let (mut messages, mut datagrams) = (Vec::new(), Vec::new());
    while messages.len() + datagrams.len() < 8 {
        match receive(&mut pair.link).await.unwrap() {
            Received::Message(message) => messages.extend_from_slice(&message),
            Received::Datagram(datagram) => datagrams.extend_from_slice(&datagram),
        }
    }
    datagrams.sort_unstable();
    assert_eq!((messages, datagrams), (vec![0, 1, 2, 3], vec![0, 1, 2, 3]));
}

#[tokio::test]
async fn a_goodbye_comes_behind_all_that_was_sent() {
    let mut pair = pair().await;
    let sent: Vec<u8> = (0..100_000_u32)
        .map(|number| number.to_be_bytes()[3])
        .collect();
    pair.link.send(sent.clone().into()).unwrap();
    assert!(pair.link.has_unsent());
    let read = tokio::spawn(async move {
        let read = pair.receiver.read_to_end(200_000).await.unwrap();
        (read, pair.client.closed().await)
    });
    let reason = CloseReason::Protocol(CloseCode::Drain);
    timeout(PATIENCE, async {
        poll_fn(|cx| pair.link.poll_flush(cx)).await.unwrap();
        poll_fn(|cx| pair.link.poll_close(cx, reason)).await;
    })
    .await
    .unwrap();
    let (read, closed) = timeout(PATIENCE, read).await.unwrap().unwrap();
    assert!(read[..4] == length(sent.len()) && read[4..] == sent);
    let ConnectionError::ApplicationClosed(closed) = closed else {
        panic!("{closed:?}");
    };
    assert_eq!(closed.error_code, VarInt::from_u32(4001));
    assert_eq!(&closed.reason[..], b"drain");
    assert_eq!(pair.connections.count(), 1);
    drop(pair.link);
    assert_eq!(pair.connections.count(), 0);
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_waited_for() {
    let mut pair = pair().await;
    let message = Bytes::from(vec![7; 16 * 1024]);
    let mut sent = 0_usize;
    // The client's windows, the server's, and the link's own buffer: then there is no room.
    while timeout(
        Duration::from_millis(200),
        poll_fn(|cx| pair.link.poll_ready(cx)),
    )
    .await
    .is_ok()
    {
        pair.link.send(message.clone()).unwrap();
        sent += 1;
        assert!(sent < 1_000, "it takes everything");
    }
    let read = tokio::spawn(async move {
        let mut read = vec![0; sent * (16 * 1024 + 4)];
        pair.receiver.read_exact(&mut read).await.unwrap();
        pair.client
    });
    timeout(PATIENCE, poll_fn(|cx| pair.link.poll_flush(cx)))
        .await
        .unwrap()
        .unwrap();
    assert!(!pair.link.has_unsent());
    let client = timeout(PATIENCE, read).await.unwrap().unwrap();
    client.close(VarInt::from_u32(1000), b"");
    assert_eq!(
        receive(&mut pair.link).await,
        Err(LinkError::Closed(Some(1000)))
    );
}

#[tokio::test]
async fn what_is_written_from_elsewhere_and_by_the_driver_comes_in_order() {
    // Each with more than the window takes.
    for (size, count) in [(100, 3_000), (9_000, 100), (250_000, 3)] {
        let mut pair = pair().await;
        let writer = pair.link.take_inline_writer().unwrap();
        assert!(!pair.link.has_unsent());
        let mut expected = Vec::new();
        let mut messages = (0..count).map(|number: u32| {
            let message = Bytes::from(vec![number.to_be_bytes()[3]; size]);
            expected.extend_from_slice(&length(size));
            expected.extend_from_slice(&message);
            message
        });
        let mut refused = None;
        for message in messages.by_ref() {
            match writer.try_send(&Broadcast::new(message.clone())) {
                InlineWrite::Sent => {}
                InlineWrite::Partly(rest) => {
                    pair.link.send_rest(rest);
                    break;
                }
                InlineWrite::Refused => {
                    refused = Some(message);
                    break;
                }
            }
        }
        for message in refused.into_iter().chain(messages) {
            pair.link.send(message).unwrap();
        }
        assert!(pair.link.has_unsent(), "{size}");
        let read = tokio::spawn(async move {
            let mut read = vec![0; expected.len()];
            pair.receiver.read_exact(&mut read).await.unwrap();
            (read == expected, pair.client)
        });
        let flushed = timeout(PATIENCE, poll_fn(|cx| pair.link.poll_flush(cx)));
        flushed.await.unwrap().unwrap();
        let (is_same, _client) = timeout(PATIENCE, read).await.unwrap().unwrap();
        assert!(is_same, "{size}");
    }
}
