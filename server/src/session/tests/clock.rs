//! The wall clock jumps under a running server, as the thread of the test sees it.

use std::time::Duration;

use pitturu_protocol::codes::Code;
use pitturu_protocol::frame::ClientFrame;
use pitturu_protocol::server::Timing;
use pitturu_protocol::types::chat::Typing;
use pitturu_protocol::types::chat::{JoinRoom, TypingStarted, UpdateRoom};
use pitturu_protocol::types::presence::RoomPresence;
use pitturu_store::clock::shift_here;
use tokio::time::timeout;

use super::world::{Came, Client, World, message};
use super::{PATIENCE, answers_calls};
use crate::connections::link::memory::Options;
use crate::session::SessionConfig;

const HOUR: i64 = 60 * 60 * 1_000;
const DAY: i64 = 24 * HOUR;

/// Pause between two messages of a member.
const SLOW_MS: u32 = 100;

/// Where the clock goes, one jump after the other.
const JUMPS: [i64; 6] = [HOUR, -HOUR, 0, 40 * DAY, -40 * DAY, 0];

/// Answers pings until so many have come.
async fn answers_pings(client: &mut Client, count: usize) {
    let mut pings = 0;
    while pings < count {
        let came = timeout(PATIENCE, client.next()).await;
        match came.expect("pings go on").expect("nobody is disconnected") {
            Came::Ping(nonce) => {
                client.peer.send(ClientFrame::Pong { nonce }.encode()).await;
                pings += 1;
            }
            Came::Goaway(goaway) => panic!("{goaway:?}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_jump_of_the_wall_clock_disconnects_nobody_and_stalls_nothing() {
    let world = World::with(SessionConfig {
        timing: Timing {
            ping_ms: 500,
            ..Timing::default()
        },
        ..SessionConfig::default()
    })
    .await;
    let (mut owner, _) = world.guest("Ana", Options::default()).await;
    let (mut member, _) = world.guest("Ben", Options::default()).await;
    let room = owner.create_room().await;
    member.join(room).await;
    let slow = UpdateRoom {
        room,
        name: None,
        topic: None,
        slow_mode_ms: Some(SLOW_MS),
        retention: None,
    };
    owner.call(&slow).await.expect("it is the owner");
    for (number, jump) in (0u8..).zip(JUMPS) {
        member.call(&message(room)).await.expect("it has waited");
        shift_here(jump);
        // What was counted before the jump is over when it would have been without one.
        if let Err(fault) = member.call(&message(room)).await {
            assert_eq!(fault.code, Code::SlowMode);
            let wait = fault.retry_after_ms.expect("it says how long");
            assert!(wait <= u64::from(SLOW_MS), "{jump}: {wait}");
        }
        tokio::time::sleep(Duration::from_millis(2 * u64::from(SLOW_MS))).await;
        member.call(&message(room)).await.expect("it has waited");
        tokio::time::sleep(Duration::from_millis(2 * u64::from(SLOW_MS))).await;

        tokio::join!(answers_pings(&mut owner, 2), answers_pings(&mut member, 2));
        answers_calls(&mut owner).await;

        // Who comes is seen to come.
        let name = format!("guest {number}");
        let (mut guest, _) = world.guest(&name, Options::default()).await;
        guest.call(&JoinRoom { room }).await.expect("it is public");
        let members = 3 + u32::from(number);
        let seen = async {
            while owner.event::<RoomPresence>().await.members < members {}
            guest.call(&Typing { room }).await.expect("it is a member");
            owner.event::<TypingStarted>().await;
        };
        timeout(PATIENCE, seen).await.expect("presence goes on");
    }
    shift_here(0);
    // Two pings that nobody answers still end a connection.
    let silent = async { while member.next().await.is_some() {} };
    timeout(PATIENCE, silent)
        .await
        .expect("who is silent is closed");
}
