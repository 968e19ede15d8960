//! Certificates that are read again while the server runs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pitturu_client::ClientOptions;
use pitturu_protocol::ALPN;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::QUIC;
use super::moves::NO_LIMITS;
use super::players::{signed_in, texts};
use super::raw::{PATIENCE, RawQuic, credulous, dial, endpoint};
use crate::launch::Server;

/// Writes a certificate for `localhost` and its key, and gives it in both forms.
fn write_certificate(folder: &Path) -> (String, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    (made.cert.pem(), made.cert.der().to_vec())
}

/// What a new handshake over TCP is shown.
async fn shown_by_tls(server: &Server) -> Vec<u8> {
    let tcp = TcpStream::connect(server.tls.unwrap()).await.unwrap();
    let connector = TlsConnector::from(Arc::new(credulous(&[b"http/1.1"])));
    let name = ServerName::try_from("localhost").unwrap();
    let tls = connector.connect(name, tcp).await.unwrap();
    tls.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

/// What a new handshake of QUIC is shown.
async fn shown_by_quic(server: &Server) -> Vec<u8> {
    let endpoint = endpoint(&[ALPN]);
    let connection = dial(&endpoint, server.quic.unwrap()).await.unwrap();
    let identity = connection.peer_identity().unwrap();
    let chain = identity.downcast::<Vec<CertificateDer<'static>>>().unwrap();
    chain[0].to_vec()
}

async fn wait_until_log_has(server: &Server, text: &str) {
    let until = Instant::now() + PATIENCE;
    while !server.log().contains(text) {
        assert!(Instant::now() < until, "{text}\n{}", server.log());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_read_again_and_connections_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (pem, first) = write_certificate(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let settings = [
        format!("listen.cert={}", file("cert.pem")),
        format!("listen.key={}", file("key.pem")),
    ];
    let server = Server::start(&[QUIC, "listen.tls=127.0.0.1:0", &settings[0], &settings[1]]);
    let (tls, quic) = (server.tls.unwrap().port(), server.quic.unwrap().port());
    let options = |url: String| ClientOptions::new(url).trust_pem(pem.clone());
    let one = signed_in(options(format!("wss://localhost:{tls}")), "wss").await;
    let other = signed_in(options(format!("quic://localhost:{quic}")), "quic").await;
    let mut events = [one.events(), other.events()];
    let room = one.enter_room("lobby").await.unwrap().info.room;
    other.enter_room("lobby").await.unwrap();
    assert_eq!(shown_by_tls(&server).await, first);
    assert_eq!(shown_by_quic(&server).await, first);

    let (_, second) = write_certificate(folder.path());
    assert_eq!(
        shown_by_tls(&server).await,
        first,
        "nobody has asked for it"
    );
    server.signal("HUP");
    wait_until_log_has(&server, "configuration read again").await;
    assert_eq!(shown_by_tls(&server).await, second);
    assert_eq!(shown_by_quic(&server).await, second);

    for wrong in [
        "",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        std::fs::write(folder.path().join("cert.pem"), wrong).unwrap();
        server.signal("HUP");
        wait_until_log_has(&server, "nothing was changed: listen.cert").await;
    }
    // A key that belongs to another certificate.
    let third = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(folder.path().join("cert.pem"), third.cert.pem()).unwrap();
    server.signal("HUP");
    wait_until_log_has(&server, "does not belong to the first certificate").await;
    assert_eq!(shown_by_tls(&server).await, second);
    assert_eq!(shown_by_quic(&server).await, second);

    // Those who were there have noticed nothing.
    one.room(room).send("from wss").await.unwrap();
    other.room(room).send("from quic").await.unwrap();
    for events in &mut events {
        assert_eq!(texts(events, 2).await, ["from wss", "from quic"]);
    }
    assert_eq!((one.stats().welcomes, other.stats().welcomes), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_files_of_certificates_are_taken_over() {
    let server_folder = Arc::new(tempfile::tempdir().unwrap());
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let shown = folders
        .each_ref()
        .map(|folder| write_certificate(folder.path()).1);
    let configure = |cert: &Path, key: &Path| {
        let (cert, key) = (cert.join("cert.pem"), key.join("key.pem"));
        let text = format!(
            "[listen]\ncert = \"{}\"\nkey = \"{}\"\n",
            cert.display(),
            key.display()
        );
        std::fs::write(server_folder.path().join("pitturu.toml"), text).unwrap();
    };
    let [one, other] = folders.each_ref().map(|folder| folder.path());
    configure(one, one);
    let settings = [QUIC, "listen.tls=127.0.0.1:0"];
    let server = Server::start_in(Arc::clone(&server_folder), &settings);
    assert_eq!(shown_by_tls(&server).await, shown[0]);
    // Only one of the two.
    configure(other, one);
    server.signal("HUP");
    wait_until_log_has(&server, "nothing was changed: listen.key").await;
    assert_eq!(shown_by_tls(&server).await, shown[0]);
    configure(other, other);
    server.signal("HUP");
    wait_until_log_has(&server, "listen.cert, listen.key").await;
    assert_eq!(shown_by_tls(&server).await, shown[1]);
    assert_eq!(shown_by_quic(&server).await, shown[1]);
}

#[tokio::test]
async fn a_server_without_files_goes_on() {
    let server = Server::start(&[QUIC]);
    let mut client = RawQuic::connect(&server).await;
    let before = shown_by_quic(&server).await;
    server.signal("HUP");
    wait_until_log_has(&server, "configuration read again").await;
    client.echo().await;
    assert_eq!(shown_by_quic(&server).await, before);
}

/// Opens handshakes until told to stop. When each began, and what it was shown.
async fn keep_shaking_hands(
    server: Arc<Server>,
    stop: Arc<AtomicBool>,
    is_quic: bool,
) -> Vec<(Instant, Vec<u8>)> {
    let mut seen = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let began = Instant::now();
        let shown = match is_quic {
            true => shown_by_quic(&server).await,
            false => shown_by_tls(&server).await,
        };
        seen.push((began, shown));
    }
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_replaced_under_load_and_nobody_is_disconnected() {
    const REPLACED: usize = 6;
    const PLAYERS: usize = 8;
    let folder = tempfile::tempdir().unwrap();
    let (pem, first) = write_certificate(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let settings = [
        format!("listen.cert={}", file("cert.pem")),
        format!("listen.key={}", file("key.pem")),
    ];
    let own = [
        QUIC,
        "listen.tls=127.0.0.1:0",
        settings[0].as_str(),
        settings[1].as_str(),
    ];
    let server = Arc::new(Server::start(&[&own[..], &NO_LIMITS].concat()));
    let (tls, quic) = (server.tls.unwrap().port(), server.quic.unwrap().port());
    let mut players = Vec::new();
    for number in 0..PLAYERS {
        let url = match number % 2 {
            0 => format!("wss://localhost:{tls}"),
            _ => format!("quic://localhost:{quic}"),
        };
        let options = ClientOptions::new(url).trust_pem(pem.clone());
        let player = signed_in(options, &format!("player {number}")).await;
        let events = player.events();
        let room = player.enter_room("lobby").await.unwrap().info.room;
        players.push((player, events, room));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let hands = [true, false, true, false].map(|is_quic| {
        let (server, stop) = (Arc::clone(&server), Arc::clone(&stop));
        tokio::spawn(keep_shaking_hands(server, stop, is_quic))
    });
    let talking = {
        let (player, room, stop) = (players[0].0.clone(), players[0].2, Arc::clone(&stop));
        tokio::spawn(async move {
            let mut said = 0;
            while !stop.load(Ordering::SeqCst) {
                player.room(room).send(said.to_string()).await.unwrap();
                said += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            said
        })
    };
    // Each certificate, from when on no other may be shown.
    let mut shown = vec![(Instant::now(), first)];
    for count in 1..=REPLACED {
        let (_, next) = write_certificate(folder.path());
        server.signal("HUP");
        let until = Instant::now() + PATIENCE;
        while server.log().matches("configuration read again").count() < count {
            assert!(Instant::now() < until, "{}", server.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        shown.push((Instant::now(), next));
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    stop.store(true, Ordering::SeqCst);
    let said = talking.await.unwrap();
    for seen in hands {
        let seen = seen.await.unwrap();
        assert!(seen.len() > REPLACED, "only {} handshakes", seen.len());
        for (began, certificate) in seen {
            let index = shown.iter().position(|(_, known)| *known == certificate);
            let next = shown.get(index.expect("a whole certificate") + 1);
            let is_old = next.is_some_and(|(since, _)| *since < began);
            assert!(!is_old, "a handshake was shown one that had been replaced");
        }
    }
    let expected: Vec<String> = (0..said).map(|number: u64| number.to_string()).collect();
    for (player, events, _) in &mut players {
        assert_eq!(texts(events, expected.len()).await, expected);
        assert_eq!(player.stats().welcomes, 1, "nobody was disconnected");
    }
}
