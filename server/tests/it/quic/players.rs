//! Players of the Rust SDK over QUIC.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pitturu_client::{
    BackOff, Client, ClientOptions, ConnectionState, Events, ServerEvent, new_guest_secret,
};
use tokio::time::timeout;

use super::raw::PATIENCE;
use super::{QUIC, metric, told_hash};
use crate::launch::Server;

const BACK_OFF: BackOff = BackOff {
    base_ms: 50,
    cap_ms: 200,
};

pub(super) async fn signed_in(options: ClientOptions, name: &str) -> Client {
    let client = Client::connect(options.back_off(BACK_OFF)).unwrap();
    let secret = new_guest_secret().unwrap();
    client.login_guest(&secret, Some(name)).await.unwrap();
    client
}

/// Texts of the room as they come, until there are so many.
pub(super) async fn texts(events: &mut Events, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < count {
        let event = timeout(PATIENCE, events.next()).await.unwrap().unwrap();
        match event {
            ServerEvent::MessageSent(sent) => texts.push(sent.msg.text.clone()),
            ServerEvent::Gap(gap) => panic!("{gap:?}"),
            _ => {}
        }
    }
    texts
}

#[tokio::test(flavor = "multi_thread")]
async fn players_of_both_transports_share_a_room() {
    let server = Server::start(&[QUIC]);
    let quic = format!("quic://{}", server.quic.unwrap());
    let options = ClientOptions::new(quic).trust_certificate_hash(told_hash(&server));
    let one = signed_in(options, "quic").await;
    let other = signed_in(ClientOptions::new(format!("ws://{}", server.ws)), "ws").await;
    let mut events = [one.events(), other.events()];
    let room = one.enter_room("lobby").await.unwrap().info.room;
    other.enter_room("lobby").await.unwrap();
    let long = "x".repeat(3_000);
    for number in 0..20 {
        let from = if number % 2 == 0 { &one } else { &other };
        from.room(room)
            .send(format!("{number} {long}"))
            .await
            .unwrap();
    }
    let sent: Vec<String> = (0..20).map(|number| format!("{number} {long}")).collect();
    for events in &mut events {
        assert!(texts(events, 20).await == sent);
    }
    let history = one.room(room).history(None, Some(20)).await.unwrap();
    assert_eq!(history.messages.len(), 16, "a page of 48 KiB");
    let opened = |transport: &str| {
        let line = format!("pitturu_connections_opened_total{{transport=\"{transport}\"}}");
        metric(&server, &line)
    };
    // Whoever came by WebSocket may have moved on to QUIC since.
    assert!(opened("ws") >= 1.0 && opened("quic") >= 1.0);
}

/// A certificate for `localhost` in files, so that a server that is started again has the same.
fn certificate(folder: &Path) -> (PathBuf, PathBuf, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (cert, key, made.cert.pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_player_resumes_where_the_lost_connection_ended() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key, pem) = certificate(folder.path());
    let port = {
        let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let settings = [
        format!("listen.quic=127.0.0.1:{port}"),
        format!("listen.cert={}", cert.display()),
        format!("listen.key={}", key.display()),
        "heartbeat.ping=300ms".to_owned(),
        format!("quic.reset_key={}", "0123456789abcdef".repeat(2)),
        format!("quic.token_key={}", "fedcba9876543210".repeat(2)),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let mut server = Server::start(&settings);
    let options = ClientOptions::new(format!("quic://localhost:{port}")).trust_pem(pem);
    let player = signed_in(options, "stays").await;
    let mut events = player.events();
    let room = player.enter_room("lobby").await.unwrap().info.room;
    player.room(room).send("before").await.unwrap();
    assert_eq!(texts(&mut events, 1).await, ["before"]);

    for round in 0..2 {
        // Once without a goodbye, and once with one.
        if round == 0 {
            server.kill();
        } else {
            assert!(server.stop().success());
        }
        let during = player.room(room).send(format!("during {round}")).send();
        server = Server::start_in(server.folder(), &settings);
        let other = signed_in(ClientOptions::new(format!("ws://{}", server.ws)), "ws").await;
        other.enter_room("lobby").await.unwrap();
        other
            .room(room)
            .send(format!("missed {round}"))
            .await
            .unwrap();
        during.await.unwrap();
        let mut came = texts(&mut events, 2).await;
        came.sort();
        assert_eq!(came, [format!("during {round}"), format!("missed {round}")]);
    }
    assert!(player.stats().welcomes >= 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_does_not_match_is_not_believed() {
    let server = Server::start(&[QUIC]);
    let url = format!("quic://{}", server.quic.unwrap());
    let mut wrong = told_hash(&server);
    wrong[31] ^= 1;
    for options in [
        ClientOptions::new(&url),
        ClientOptions::new(&url).trust_certificate_hash(wrong),
    ] {
        let client = Client::connect(options.back_off(BACK_OFF)).unwrap();
        let mut state = client.connection();
        let refused = state.wait_for(|state| {
            matches!(state, ConnectionState::Offline { why: Some(why), .. } if why.contains("certificate"))
        });
        timeout(PATIENCE, refused).await.unwrap().unwrap();
        assert_eq!(client.stats().welcomes, 0);
    }
    // The right one beside it is enough.
    let options = ClientOptions::new(&url)
        .trust_certificate_hash(wrong)
        .trust_certificate_hash(told_hash(&server));
    let client = Client::connect(options).unwrap();
    timeout(PATIENCE, client.online()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_closes_is_gone_at_once() {
    let server = Server::start(&[QUIC, "heartbeat.ping=10m"]);
    let url = format!("quic://{}", server.quic.unwrap());
    let options = ClientOptions::new(url).trust_certificate_hash(told_hash(&server));
    let client = signed_in(options, "leaves").await;
    client.close();
    for _ in 0..600 {
        if server
            .ops_page("/health/detailed")
            .contains("\"connections\":0")
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{}", server.ops_page("/health/detailed"));
}
