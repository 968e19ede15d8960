//! Both ends of real sockets. The client's end is a library's.

use std::future::poll_fn;
use std::task::Waker;
use std::time::SystemTime;

use bytes::Bytes;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::transport::tls::{Certificate, ServedCertificate};

async fn pair() -> (TlsTcp, TlsStream<TcpStream>) {
    let certificate = Certificate::short_lived(SystemTime::now()).unwrap();
    let acceptor = ServedCertificate::new(&certificate)
        .unwrap()
        .acceptor()
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.own().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connecting = async {
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await;
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, tcp.unwrap()).await.unwrap()
    };
    let accepting = async {
        let (tcp, _) = listener.accept().await.unwrap();
        acceptor.accept(tcp).await.unwrap().into_inner()
    };
    let ((tcp, tls), client) = tokio::join!(accepting, connecting);
    (TlsTcp::new(tcp, tls), client)
}

fn message(byte: u8, length: usize) -> Broadcast {
    Broadcast::new(Bytes::from(vec![byte; length]))
}

/// Has the writer send until the kernel takes no more; what it was asked to send, and the rest of that.
fn fill(writer: &dyn InlineWriter, length: usize) -> (Vec<u8>, Bytes) {
    let mut asked = Vec::new();
    for byte in (0..=u8::MAX).cycle() {
        let message = message(byte, length);
        let sent = writer.try_send(&message);
        if sent != InlineWrite::Refused {
            asked.extend_from_slice(message.framed(&FRAMING));
        }
        match sent {
            InlineWrite::Sent => {}
            InlineWrite::Partly(rest) => return (asked, rest),
            InlineWrite::Refused => panic!("it has room for what it has begun"),
        }
    }
    unreachable!("the kernel takes no end of bytes")
}

#[tokio::test]
async fn what_is_written_from_elsewhere_and_by_the_driver_comes_in_order() {
    let (mut server, mut client) = pair().await;
    let writer = server.inline_writer();
    let mut expected = Vec::new();
    for round in 0..50_u8 {
        let broadcast = message(round, usize::from(round) * 40);
        assert_eq!(writer.try_send(&broadcast), InlineWrite::Sent);
        expected.extend_from_slice(broadcast.framed(&FRAMING));
        assert!(!server.has_unsent());
        let own = [round; 100];
        server.write_all(&own).await.unwrap();
        server.flush().await.unwrap();
        expected.extend_from_slice(&own);
    }
    let mut received = vec![0; expected.len()];
    client.read_exact(&mut received).await.unwrap();
    assert!(received == expected);
}

#[tokio::test]
async fn what_the_kernel_does_not_take_at_once_follows() {
    // Within what the library holds, and beyond.
    for length in [500, 9_000, 60_000, 250_000] {
        let (mut server, mut client) = pair().await;
        let (mut expected, rest) = fill(server.inline_writer().as_ref(), length);
        assert!(server.has_unsent() || !rest.is_empty(), "{length}");
        expected.extend_from_slice(b"next");
        let receiving = async {
            let mut received = vec![0; expected.len()];
            client.read_exact(&mut received).await.unwrap();
            received
        };
        let sending = async {
            server.write_all(&rest).await.unwrap();
            server.write_all(b"next").await.unwrap();
            server.flush().await.unwrap();
            server.has_unsent()
        };
        let (received, unsent) = tokio::join!(receiving, sending);
        assert!(received == expected, "{length}");
        assert!(!unsent, "{length}");
    }
}

#[tokio::test]
async fn a_reader_that_stops_holds_little_memory() {
    let (mut server, mut client) = pair().await;
    let (asked, rest) = fill(server.inline_writer().as_ref(), 1 << 20);
    // The kernel may take some more by now.
    let mut context = Context::from_waker(Waker::noop());
    let mut taken = asked.len() - rest.len();
    let mut refused = 0;
    while refused < 1_000 {
        match Pin::new(&mut server).poll_write(&mut context, &[1; 100_000]) {
            Poll::Ready(count) => taken += count.unwrap(),
            Poll::Pending => refused += 1,
        }
    }
    // What the kernel holds comes, and what the library holds does not.
    let held = server.shared.tls.lock().wants_write();
    assert!(held);
    drop(server);
    let mut received = 0;
    let mut piece = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = client.read(&mut piece).await {
        received += count;
    }
    let held = taken - received;
    assert!((1..=64 * 1024).contains(&held), "{held}");
}

#[tokio::test]
async fn bytes_are_counted_and_come_as_they_were_sent() {
    let (mut server, mut client) = pair().await;
    let sent: Vec<u8> = (0..100_000_u32).map(|byte| byte.to_le_bytes()[0]).collect();
    let mut received = vec![0; sent.len()];
    let (wrote, read) = tokio::join!(client.write_all(&sent), server.read_exact(&mut received));
    wrote.unwrap();
    read.unwrap();
    assert!(received == sent);
    let heard = server.received();
    assert!((100_001..110_000).contains(&heard), "{heard}");
}

#[tokio::test]
async fn a_goodbye_is_told_from_a_connection_that_broke() {
    let (mut server, mut client) = pair().await;
    client.shutdown().await.unwrap();
    assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
    server.shutdown().await.unwrap();
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);

    let (mut server, client) = pair().await;
    client.into_inner().0.shutdown().await.unwrap();
    let error = server.read(&mut [0]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn what_is_no_tls_ends_the_connection_with_an_alert() {
    let (mut server, client) = pair().await;
    let (mut tcp, mut tls) = client.into_inner();
    tcp.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let error = server.read(&mut [0; 16]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    drop(server);
    let mut alert = Vec::new();
    tcp.read_to_end(&mut alert).await.unwrap();
    tls.read_tls(&mut &alert[..]).unwrap();
    let told = tls.process_new_packets().unwrap_err();
    assert!(matches!(told, rustls::Error::AlertReceived(_)), "{told}");
}

#[tokio::test]
async fn the_driver_is_woken_when_the_kernel_takes_more() {
    let (mut server, mut client) = pair().await;
    let (expected, rest) = fill(server.inline_writer().as_ref(), 2_000);
    assert!(rest.is_empty());
    let flushing = poll_fn(|cx| Pin::new(&mut server).poll_flush(cx));
    let reading = async {
        let mut received = vec![0; expected.len()];
        client.read_exact(&mut received).await.unwrap();
    };
    let (flushed, ()) = tokio::join!(flushing, reading);
    flushed.unwrap();
    assert!(!server.has_unsent());
}
