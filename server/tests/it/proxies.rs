//! Players behind a proxy: who they are to the server, by HAProxy, by nginx, and by hand.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pitturu_protocol::types::accounts::ListSessions;
use tokio::net::TcpSocket;

use crate::crowd::{self, Light};
use crate::launch::Server;
use crate::raw::{PATIENCE, request};

mod by_hand;
mod programs;

use programs::Front;

/// Players at once, each with an address of its own.
const PLAYERS: u32 = 2_000;

/// What a server is started with that believes proxies on this machine, and lets nobody else have much.
const STRICT: [&str; 5] = [
    "listen.proxies=127.0.0.1/32",
    "listen.connections_per_address_max=2",
    "limits.sign_in_per_second=1",
    "limits.sign_in_burst=3",
    "log.addresses=full",
];

/// The address of a player: all of 127.0.0.0/8 is this machine's.
fn address_of(player: u32) -> Ipv4Addr {
    let [_, _, high, low] = player.to_be_bytes();
    Ipv4Addr::new(127, 1, high, low)
}

/// A connection from this address.
async fn connect_from(source: Ipv4Addr, to: SocketAddr) -> tokio::net::TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((source, 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

async fn player_from(
    source: Ipv4Addr,
    to: SocketAddr,
    headers: &[(&'static str, &'static str)],
) -> Result<Light, String> {
    Light::over(connect_from(source, to).await, headers).await
}

/// Signs in, and asks where from.
async fn seen_as(player: &mut Light, name: &str) -> IpAddr {
    player.sign_in(name).await;
    let sessions = player.call(&ListSessions {}).await.unwrap().sessions;
    let current = sessions.into_iter().find(|session| session.current);
    current.unwrap().address.unwrap().parse().unwrap()
}

/// All players come through the front, and none can be more than the server lets an address be, or somebody else.
async fn try_crowd(front: SocketAddr, server: &Server) {
    let mut players = Vec::new();
    for first in (1..=PLAYERS).step_by(50) {
        let batch = (first..first + 50).map(|number| async move {
            let source = address_of(number);
            let mut player = player_from(source, front, &[]).await.unwrap();
            assert_eq!(
                seen_as(&mut player, &format!("player{number}")).await,
                source
            );
            player
        });
        players.extend(futures_util::future::join_all(batch).await);
    }
    assert_eq!(players.len(), PLAYERS as usize);

    let full = address_of(PLAYERS / 2);
    let _second = player_from(full, front, &[]).await.unwrap();
    for headers in [
        &[][..],
        &[("X-Forwarded-For", "203.0.113.99")],
        &[("X-Forwarded-For", "203.0.113.99, 127.0.0.1")],
    ] {
        let refused = player_from(full, front, headers).await.err();
        assert!(refused.unwrap().contains("429"), "{headers:?}");
    }

    try_direct(server.ws).await;
}

/// Who comes by itself is who it is, whatever it says.
async fn try_direct(ws: SocketAddr) {
    let stranger = Ipv4Addr::new(127, 9, 9, 9);
    let claims = [
        ("X-Forwarded-For", "203.0.113.1"),
        ("Forwarded", "for=203.0.113.2"),
    ];
    let mut held = Vec::new();
    for (number, claim) in claims.into_iter().enumerate() {
        let mut player = player_from(stranger, ws, &[claim]).await.unwrap();
        let seen = seen_as(&mut player, &format!("stranger{number}")).await;
        assert_eq!(seen, stranger, "{claim:?}");
        held.push(player);
    }
    let refused = player_from(stranger, ws, &[("X-Forwarded-For", "203.0.113.3")]).await;
    assert!(refused.err().unwrap().contains("429"));

    let other = connect_from(Ipv4Addr::new(127, 9, 9, 8), ws).await;
    let mut other = other.into_std().unwrap();
    other.set_nonblocking(false).unwrap();
    other.set_read_timeout(Some(PATIENCE)).unwrap();
    other.write_all(&by_hand::header("203.0.113.4")).unwrap();
    other.write_all(request("").as_bytes()).unwrap();
    let mut answer = String::new();
    other.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

/// How often a handshake was refused for this reason.
fn refused(server: &Server, reason: &str) -> u64 {
    let series =
        format!("pitturu_handshakes_refused_total{{transport=\"ws\",reason=\"{reason}\"}} ");
    let page = server.ops_page("/metrics");
    let value = page.lines().find_map(|line| line.strip_prefix(&series));
    value.map_or(0, |value| value.parse().unwrap())
}

fn wait_until(what: &str, server: &Server, is_so: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "{what}\n{}", server.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn start(more: &[&str]) -> Server {
    Server::start(&[&STRICT[..], more].concat())
}

#[test]
fn two_thousand_players_behind_haproxy() {
    crowd::raise_open_files();
    let server = start(&["listen.proxy_protocol=true"]);
    let Some(front) = Front::haproxy(server.ws) else {
        return;
    };
    crowd::runtime().block_on(try_crowd(front.address, &server));
    // Its checks say LOCAL, and are answered as any request that is none for a WebSocket.
    wait_until("it asks for health", &server, || {
        refused(&server, "not_websocket") > 0
    });
    assert_eq!(refused(&server, "proxy_header"), 0);
}

#[test]
fn two_thousand_players_behind_nginx_by_x_forwarded_for() {
    crowd::raise_open_files();
    let server = start(&[]);
    let Some(front) = Front::nginx_x_forwarded_for(server.ws) else {
        return;
    };
    crowd::runtime().block_on(async {
        try_crowd(front.address, &server).await;
        // This nginx passes the other header on as it comes.
        let source = address_of(PLAYERS + 1);
        let claim = ("Forwarded", "for=203.0.113.99");
        let mut player = player_from(source, front.address, &[claim]).await.unwrap();
        let seen = seen_as(&mut player, "disputed").await;
        assert_eq!(seen, Ipv4Addr::LOCALHOST, "who it is, nobody knows");
    });
    wait_until("the operator is told", &server, || {
        server.log().contains("name two addresses")
    });
}

#[test]
fn two_thousand_players_behind_nginx_by_forwarded() {
    crowd::raise_open_files();
    let server = start(&[]);
    let Some(front) = Front::nginx_forwarded(server.ws) else {
        return;
    };
    crowd::runtime().block_on(async {
        try_crowd(front.address, &server).await;
        for (number, claim) in ["for=203.0.113.99", "for=203.0.113.99;x=\"", "nonsense"]
            .into_iter()
            .enumerate()
        {
            let source = address_of(PLAYERS + 1 + u32::try_from(number).unwrap());
            let headers = [("Forwarded", claim)];
            let player = player_from(source, front.address, &headers).await;
            let seen = seen_as(&mut player.unwrap(), &format!("claims{number}")).await;
            // A quote without an end takes in what nginx has written.
            let is_known = !claim.ends_with('"');
            let expected = if is_known {
                source
            } else {
                Ipv4Addr::LOCALHOST
            };
            assert_eq!(seen, expected, "{claim}");
        }
    });
}
