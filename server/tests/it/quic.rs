//! QUIC on real sockets: players of the SDK beside those of WebSocket, and clients that do wrong.

mod admission;
mod certificates;
mod hostile;
mod lossy;
mod moves;
mod players;
mod raw;
mod relay;
mod storms;
mod web;
mod webtransport;
mod webtransport_hostile;

use crate::launch::Server;
use crate::player::{Came, Player, hello};

const QUIC: &str = "listen.quic=127.0.0.1:0";

/// The hash of the certificate, as a WebSocket connection is told it.
fn told_hash(server: &Server) -> [u8; 32] {
    let mut player = Player::silent(server.ws);
    player.send(&hello());
    let Came::Welcome(welcome) = player.next() else {
        panic!("no welcome");
    };
    let told = welcome.quic.unwrap();
    assert_eq!(told.port, server.quic.unwrap().port());
    assert_eq!(
        told.certificate_hashes.len(),
        2,
        "this one and the next one"
    );
    let hash = &told.certificate_hashes[0];
    assert_eq!(hash.len(), 64);
    std::array::from_fn(|at| u8::from_str_radix(&hash[2 * at..2 * at + 2], 16).unwrap())
}

/// The value of a counter or gauge with these labels, 0 while it has none.
fn metric(server: &Server, line: &str) -> f64 {
    let page = server.ops_page("/metrics");
    let found = page.lines().find_map(|text| text.strip_prefix(line));
    found.expect(line).trim().parse().unwrap()
}

#[test]
fn a_server_without_quic_tells_of_none() {
    let server = Server::start(&[]);
    let mut player = Player::silent(server.ws);
    player.send(&hello());
    let Came::Welcome(welcome) = player.next() else {
        panic!("no welcome");
    };
    assert_eq!((welcome.quic, server.quic), (None, None));
}
