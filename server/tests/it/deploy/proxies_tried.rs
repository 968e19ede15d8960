//! Players behind each proxy: they get through, come back after a restart, and can't say who they are not.

use std::sync::Arc;
use std::time::Duration;

use pitturu_client::types::accounts::GetAccount;
use pitturu_client::{BackOff, Client, ClientOptions, new_guest_secret};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::proxies::{Behind, Caddy, HaProxy, Nginx, Notes, Program, Proxy};
use crate::launch::Server;

const PATIENCE: Duration = Duration::from_secs(60);

const PROGRAMS: [Program; 3] = [Nginx, Caddy, HaProxy];

/// The first bytes of a PROXY header of version 2, and what follows for TCP over IPv4.
const PROXY_V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_player_talks_through_each_proxy_and_comes_back_after_a_restart() {
    for program in PROGRAMS {
        let mut server = Server::start(&[]);
        let behind = Behind {
            players: server.ws,
            ops: server.ops,
        };
        let Some(proxy) = program.start(behind) else {
            continue;
        };
        let options = ClientOptions::new(format!("wss://{}", proxy.tls))
            .trust_pem(proxy.certificate.clone())
            .back_off(BackOff {
                base_ms: 50,
                cap_ms: 500,
            });
        let client = Client::connect(options).unwrap();
        let secret = new_guest_secret().unwrap();
        let before = tokio::time::timeout(PATIENCE, client.login_guest(&secret, Some("Mina")));
        let before = before.await.expect("in time").unwrap();

        assert!(server.stop().success());
        let (folder, ops) = (server.folder(), format!("ops.listen={}", behind.ops));
        let again = Server::start_at(&behind.players.to_string(), folder, &[&ops]);
        let account = client.call(GetAccount {});
        let account = tokio::time::timeout(PATIENCE, account).await;
        let account = account.expect("in time").unwrap();
        assert_eq!(account.user, before.identity.user, "{program:?}");
        client.close();
        drop(again);
    }
}

/// Sends a request for an upgrade over TLS, as somebody who wants to be somebody else.
async fn lie(proxy: &Proxy) {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(proxy.certificate.as_bytes()).unwrap();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect(proxy.tls).await.unwrap();
    let name = ServerName::from(proxy.tls.ip());
    let connector = TlsConnector::from(Arc::new(config));
    let mut tls = connector.connect(name, tcp).await.unwrap();
    let host = proxy.tls;
    let head = format!(
        "GET /ws HTTP/1.1\r\nHost: {host}\r\nOrigin: https://example.org\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: pitturu.v1\r\n\
                X-Forwarded-For: 203.0.113.9\r\nForwarded: for=203.0.113.9\r\n\r\n"
    );
    tls.write_all(head.as_bytes()).await.unwrap();
    // Until it is answered; what the answer is does not matter.
    let _ = tls.read(&mut [0; 64]).await;
}

/// Values of a header.
fn header<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines
        .filter(|(header, _)| header.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_proxy_asks_for_the_upgrade_and_says_itself_whom_it_speaks_for() {
    for program in PROGRAMS {
        let notes = Notes::start();
        let behind = Behind {
            players: notes.address,
            ops: notes.address,
        };
        let Some(proxy) = program.start(behind) else {
            continue;
        };
        lie(&proxy).await;
        let head = notes.wait_for(|head| head.starts_with(b"GET /ws "));
        let head = String::from_utf8(head).unwrap();
        let host = proxy.tls.to_string();
        for (name, expected) in [
            ("X-Forwarded-For", &["127.0.0.1"][..]),
            ("Forwarded", &[]),
            ("Host", &[&host]),
            ("Origin", &["https://example.org"]),
            ("Upgrade", &["websocket"]),
            ("Sec-WebSocket-Protocol", &["pitturu.v1"]),
        ] {
            assert_eq!(header(&head, name), expected, "{program:?}: {name}\n{head}");
        }
        let connection = header(&head, "Connection").concat().to_lowercase();
        assert_eq!(connection, "upgrade", "{program:?}\n{head}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn haproxy_passes_bytes_through_behind_a_header_with_the_client_s_address() {
    let notes = Notes::start();
    let behind = Behind {
        players: notes.address,
        ops: notes.address,
    };
    let Some(proxy) = HaProxy.start(behind) else {
        return;
    };
    let mut tcp = TcpStream::connect(proxy.through).await.unwrap();
    let client = tcp.local_addr().unwrap();
    tcp.write_all(b"hello\r\n\r\n").await.unwrap();
    let came = notes.wait_for(|head| head.ends_with(b"hello\r\n\r\n"));
    let behind_signature = came.strip_prefix(PROXY_V2).expect("a PROXY header");
    // Two bytes of length, the client's address, the proxy's, and both ports.
    assert_eq!(behind_signature[2..6], [127, 0, 0, 1]);
    assert_eq!(behind_signature[10..12], client.port().to_be_bytes());
    assert_eq!(came.len(), PROXY_V2.len() + 2 + 12 + 9, "{came:?}");
}
