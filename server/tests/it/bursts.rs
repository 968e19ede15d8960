//! Many players at the same moment: nobody is disconnected, everything arrives, and presence grows linearly.

use std::sync::Arc;
use std::time::Duration;

use pitturu_protocol::codec;
use pitturu_protocol::events::Event;
use pitturu_protocol::types::chat::{CloseRoom, MessageSent, SendMessage};
use pitturu_protocol::types::presence::RoomPresence;
use tokio::sync::Barrier;

use crate::crowd::{self, Light};
use crate::launch::Server;

const SENDERS: usize = 500;

#[test]
fn everyone_in_a_room_of_500_writes_at_once() {
    crowd::raise_open_files();
    let server = Server::start(&[]);
    let address = server.ws;
    let received = crowd::runtime().block_on(async move {
        let mut crowd = crowd::guests(address, SENDERS, "writer").await;
        let room = crowd[0].create_room("everyone").await.info.room;
        for player in &mut crowd[1..] {
            player.join(room).await;
        }
        let start = Arc::new(Barrier::new(SENDERS));
        let tasks = crowd.into_iter().enumerate().map(|(number, mut player)| {
            let start = Arc::clone(&start);
            tokio::spawn(async move {
                start.wait().await;
                let request = SendMessage {
                    room,
                    text: format!("message {number}"),
                    data: None,
                    reply_to: None,
                };
                player.begin(&request).await;
                let mut texts = Vec::with_capacity(SENDERS);
                for seq in 1..=SENDERS as u64 {
                    let sent: MessageSent = player.event().await;
                    assert_eq!(sent.msg.seq, seq);
                    texts.push(sent.msg.text);
                }
                texts
            })
        });
        let mut received = Vec::new();
        for task in tasks.collect::<Vec<_>>() {
            received.push(task.await.expect("no player is disconnected"));
        }
        received
    });
    for texts in &received {
        assert_eq!(texts, &received[0], "one order for all");
    }
    let mut texts = received[0].clone();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), SENDERS);
    println!(
        "500 × 500: {} messages arrived, nobody was disconnected",
        SENDERS * SENDERS
    );
}

/// Joins so many players at once and returns how many presence events all of them got until everyone knew the
/// final number.
async fn join_storm(address: std::net::SocketAddr, players: usize) -> usize {
    let crowd = crowd::guests(address, players, &format!("storm{players}-")).await;
    let (mut owner, _) = Light::guest(address, &format!("owner{players}")).await;
    let room = owner.create_room("storm").await.info.room;
    let start = Arc::new(Barrier::new(players));
    let tasks: Vec<_> = crowd
        .into_iter()
        .map(|mut player| {
            let start = Arc::clone(&start);
            tokio::spawn(async move {
                start.wait().await;
                player.join(room).await;
                let mut presences = 0;
                loop {
                    let (event, body) = player.any_event().await;
                    if event != RoomPresence::NUMBER {
                        continue;
                    }
                    presences += 1;
                    let presence: RoomPresence = codec::decode(&body).expect("the event's type");
                    if presence.online as usize == players + 1 {
                        assert_eq!(presence.members as usize, players + 1);
                        return (player, presences);
                    }
                }
            })
        })
        .collect();
    let mut total = 0;
    let mut crowd = Vec::with_capacity(players);
    for task in tasks {
        let (player, presences) = task.await.expect("no player is disconnected");
        total += presences;
        crowd.push(player);
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    total
}

#[test]
fn a_thousand_players_join_one_room_at_once() {
    crowd::raise_open_files();
    let server = Server::start(&[]);
    let address = server.ws;
    let counts = crowd::runtime().block_on(async move {
        let mut counts = Vec::new();
        for players in [250, 500, 1_000] {
            counts.push((players, join_storm(address, players).await));
        }
        counts
    });
    for (players, presences) in &counts {
        println!(
            "{players} players join at once: {presences} presence events, {:.1} for each player (every join to everyone would be {})",
            *presences as f64 / *players as f64,
            players * players
        );
    }
    for (players, presences) in counts {
        assert!(
            presences <= players * 40,
            "{presences} presence events for {players} players"
        );
    }
}

/// More players than the store reads for at once. Each opening of a new room begins a back-fill, while the player's next
/// call reads as well: neither may wait for the other.
#[test]
fn players_make_rooms_one_after_the_other_and_all_at_once() {
    const MAKERS: usize = 64;
    const ROOMS: usize = 12;
    crowd::raise_open_files();
    let server = Server::start(&["limits.write_per_second=1000", "limits.write_burst=1000"]);
    let address = server.ws;
    crowd::runtime().block_on(async move {
        let crowd = crowd::guests(address, MAKERS, "maker").await;
        let tasks = crowd.into_iter().map(|mut player| {
            tokio::spawn(async move {
                for number in 0..ROOMS {
                    let view = player.create_room(&format!("room {number}")).await;
                    let room = view.info.room;
                    player.call(&CloseRoom { room }).await.unwrap();
                }
            })
        });
        let made = futures_util::future::join_all(tasks);
        let made = tokio::time::timeout(crowd::PATIENCE, made).await;
        for outcome in made.expect("nobody waits for ever") {
            outcome.unwrap();
        }
    });
}
