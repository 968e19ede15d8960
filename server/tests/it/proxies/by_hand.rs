//! Headers of the PROXY protocol, right and wrong ones, and headers of requests, from a proxy that is this test.

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::*;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header that brings a connection from this address.
pub(super) fn header(source: &str) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    let ports = [0x12, 0x67, 1, 187];
    match source.parse().unwrap() {
        IpAddr::V4(v4) => {
            bytes.extend([0x21, 0x11, 0, 12]);
            bytes.extend(v4.octets());
            bytes.extend([10, 0, 0, 1]);
        }
        IpAddr::V6(v6) => {
            bytes.extend([0x21, 0x21, 0, 36]);
            bytes.extend(v6.octets());
            bytes.extend([1; 16]);
        }
    }
    bytes.extend(ports);
    bytes
}

fn local() -> Vec<u8> {
    [SIGNATURE, &[0x20, 0, 0, 0]].concat()
}

/// Sends these bytes from this machine's own address; the connection, and the first line of the answer. None: it was closed without one.
fn send(ws: SocketAddr, bytes: &[u8]) -> (TcpStream, Option<String>) {
    let mut tcp = TcpStream::connect(ws).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    // Who is closed on may meet that while it sends.
    let _ = tcp.write_all(bytes);
    let mut line = Vec::new();
    let mut byte = [0];
    while let Ok(1) = tcp.read(&mut byte) {
        line.push(byte[0]);
        if byte[0] == b'\n' {
            return (tcp, Some(String::from_utf8(line).unwrap()));
        }
    }
    (tcp, None)
}

fn connect(ws: SocketAddr, header: &[u8]) -> (TcpStream, u16) {
    let (tcp, line) = send(ws, &[header, request("").as_bytes()].concat());
    let line = line.expect("an answer");
    (tcp, line.split(' ').nth(1).unwrap().parse().unwrap())
}

#[test]
fn players_are_counted_by_the_networks_that_a_header_names() {
    let server = start(&[
        "listen.proxy_protocol=true",
        "listen.connections_per_address_max=1",
    ]);
    let mut held = Vec::new();
    for (source, status) in [
        ("203.0.113.7", 101),
        ("203.0.113.7", 429),
        ("::ffff:203.0.113.7", 429),
        ("203.0.113.8", 101),
        ("2001:db8::1", 101),
        ("2001:db8::ffff:2", 429),
        ("2001:db8:0:1::1", 101),
    ] {
        let (tcp, came) = connect(server.ws, &header(source));
        assert_eq!(came, status, "{source}");
        held.push(tcp);
    }
    // The proxy itself has a place as well, and one.
    for status in [101, 429] {
        let (tcp, came) = connect(server.ws, &local());
        assert_eq!(came, status);
        held.push(tcp);
    }
    for address in ["203.0.113.7", "2001:db8:0:1::1", "127.0.0.1"] {
        let opened = |line: &str| {
            line.contains("\"connection opened\"")
                && line.contains(&format!("\"address\":\"{address}\""))
        };
        wait_until(address, &server, || server.log().lines().any(opened));
    }
}

#[test]
fn a_proxy_that_says_nothing_or_nonsense_is_closed_on() {
    let server = start(&["listen.proxy_protocol=true"]);
    let whole = header("203.0.113.7");
    let with = |at: usize, value: u8| {
        let mut bytes = whole.clone();
        bytes[at] = value;
        [&bytes, request("").as_bytes()].concat()
    };
    let mut wrong = vec![
        request("X-Forwarded-For: 203.0.113.7\r\n").into_bytes(),
        b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n".to_vec(),
        // Another signature, version, command, family and transport.
        with(0, b'G'),
        with(11, 0),
        with(12, 0x11),
        with(12, 0x2f),
        with(13, 0x41),
        with(13, 0x12),
        // Lengths that lie: shorter than the addresses, longer than anything.
        with(15, 11),
        with(14, 0xff),
    ];
    // The request behind it ends too early for a rest of so many bytes.
    wrong.push([&with(14, 0x0f)[..], b"GET"].concat());
    for bytes in &wrong {
        let mut tcp = TcpStream::connect(server.ws).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = tcp.write_all(bytes);
        let _ = tcp.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = tcp.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{bytes:?}: {answer:?}");
    }
    // A header that ends anywhere.
    for end in 1..whole.len() {
        let mut tcp = TcpStream::connect(server.ws).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.write_all(&whole[..end]).unwrap();
        tcp.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = tcp.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{end}: {answer:?}");
    }
    let expected = (wrong.len() + whole.len() - 1) as u64;
    wait_until("each is counted", &server, || {
        refused(&server, "proxy_header") == expected
    });
    let (_tcp, status) = connect(server.ws, &whole);
    assert_eq!(status, 101);
}

#[test]
fn a_proxy_that_begins_and_does_not_go_on_is_closed_on() {
    let server = start(&[
        "listen.proxy_protocol=true",
        "listen.handshake_timeout=300ms",
    ]);
    let (_tcp, answer) = send(server.ws, &header("203.0.113.7")[..20]);
    assert_eq!(answer, None);
    wait_until("it is counted", &server, || {
        refused(&server, "timeout") == 1
    });
}

/// Those whose header is awaited have a place, so that not more of them can come than of anybody else.
#[test]
fn who_is_not_known_yet_counts_in_total() {
    let server = start(&[
        "listen.proxy_protocol=true",
        "listen.connections_max=3",
        "listen.handshake_timeout=5m",
    ]);
    let silent: Vec<_> = (0..3)
        .map(|_| TcpStream::connect(server.ws).unwrap())
        .collect();
    wait_until("all three are there", &server, || {
        let page = server.ops_page("/health/detailed");
        page.contains("\"connections\":3")
    });
    let (_tcp, status) = connect(server.ws, &header("203.0.113.7"));
    assert_eq!(status, 503);
    drop(silent);
    wait_until("they are gone", &server, || {
        let page = server.ops_page("/health/detailed");
        page.contains("\"connections\":0")
    });
    let (_tcp, status) = connect(server.ws, &header("203.0.113.7"));
    assert_eq!(status, 101);
}

/// A header comes before TLS begins, and a refusal goes through it.
#[test]
fn a_header_comes_before_tls() {
    let server = start(&[
        "listen.proxy_protocol=true",
        "listen.tls=127.0.0.1:0",
        "listen.connections_per_address_max=1",
        "listen.connections_max=2",
    ]);
    let tls = server.tls.unwrap();
    let mut trusted = RootCertStore::empty();
    let made_up = server.data().join("dev-cert.pem");
    trusted
        .add(CertificateDer::from_pem_file(made_up).unwrap())
        .unwrap();
    let config = ClientConfig::builder()
        .with_root_certificates(trusted)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    crowd::runtime().block_on(async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut held = Vec::new();
        for (source, expected) in [
            ("203.0.113.7", "HTTP/1.1 101 "),
            ("203.0.113.7", "HTTP/1.1 429 "),
            ("203.0.113.8", "HTTP/1.1 101 "),
            ("203.0.113.9", "HTTP/1.1 503 "),
        ] {
            let mut tcp = tokio::net::TcpStream::connect(tls).await.unwrap();
            tcp.write_all(&header(source)).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let mut stream = connector.connect(name, tcp).await.unwrap();
            stream.write_all(request("").as_bytes()).await.unwrap();
            let mut answer = [0; 13];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(answer, expected.as_bytes(), "{source}");
            if expected.contains("101") {
                held.push(stream);
            }
        }
    });
}

#[test]
fn headers_of_requests_are_believed_of_proxies_alone() {
    let server = start(&["listen.connections_per_address_max=1"]);
    let mut held = Vec::new();
    for (headers, status) in [
        ("X-Forwarded-For: 203.0.113.1\r\n", 101),
        ("X-Forwarded-For: 203.0.113.1\r\n", 429),
        ("X-Forwarded-For: 203.0.113.2, 203.0.113.1\r\n", 429),
        (
            "X-Forwarded-For: 203.0.113.1, 203.0.113.2, 127.0.0.1\r\n",
            101,
        ),
        ("Forwarded: for=\"[2001:db8::1]:99\"\r\n", 101),
        ("Forwarded: for=\"[2001:db8::2]\"\r\n", 429),
        (
            "Forwarded: for=203.0.113.3\r\nX-Forwarded-For: 203.0.113.3\r\n",
            101,
        ),
        // Nobody can be made out: the proxy itself, which has one place.
        (
            "Forwarded: for=203.0.113.4\r\nX-Forwarded-For: 203.0.113.5\r\n",
            101,
        ),
        ("X-Forwarded-For: nonsense\r\n", 429),
        ("", 429),
    ] {
        let (tcp, line) = send(server.ws, request(headers).as_bytes());
        let line = line.unwrap();
        assert!(line.contains(&format!(" {status} ")), "{headers}: {line}");
        held.push(tcp);
    }
}
