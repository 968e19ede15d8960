//! What an idle connection costs in memory.

use std::time::Duration;

use crate::crowd::{self, Light};
use crate::launch::Server;

const IDLE: usize = 10_000;
const SIGNED_IN: usize = 2_000;

/// Memory of the server for each idle connection that has said hello, in bytes.
const IDLE_BYTES_MAX: f64 = 8.0 * 1024.0;

#[test]
fn ten_thousand_idle_connections_cost_at_most_8_kib_each() {
    crowd::raise_open_files();
    let server = Server::start(&[]);
    let address = server.ws;
    let settle = || std::thread::sleep(Duration::from_secs(2));
    let runtime = crowd::runtime();
    let mut crowd: Vec<Light> = Vec::with_capacity(IDLE);
    // The first ones pay for what the server sets up once.
    crowd.extend(runtime.block_on(connect(address, 100)));
    settle();
    let before = server.resident_bytes();
    for _ in 0..IDLE / 100 {
        crowd.extend(runtime.block_on(connect(address, 100)));
    }
    settle();
    let idle = (server.resident_bytes() - before) as f64 / IDLE as f64;
    println!("{IDLE} idle connections: {idle:.0} bytes of server memory each");
    drop(crowd);
    settle();

    let before = server.resident_bytes();
    let crowd = runtime.block_on(async {
        let mut crowd = crowd::guests(address, SIGNED_IN, "idle").await;
        let room = crowd[0].create_room("quiet").await.info.room;
        for player in &mut crowd[1..] {
            player.join(room).await;
        }
        crowd
    });
    settle();
    let signed_in = server.resident_bytes().saturating_sub(before) as f64 / SIGNED_IN as f64;
    println!(
        "{SIGNED_IN} of them signed in, in one room: {signed_in:.0} bytes each, on memory used before"
    );
    assert_eq!(crowd.len(), SIGNED_IN);
    assert!(
        idle <= IDLE_BYTES_MAX,
        "{idle:.0} bytes for each idle connection"
    );
}

async fn connect(address: std::net::SocketAddr, count: usize) -> Vec<Light> {
    futures_util::future::join_all((0..count).map(|_| Light::connect(address))).await
}
