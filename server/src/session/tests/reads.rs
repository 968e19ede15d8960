//! Reading goes on while the store takes nothing: not for the staff alone, and not only what is in memory.

use std::collections::BTreeSet;

use pitturu_protocol::codec;
use pitturu_protocol::codes::Code;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::methods::{Access, Effect, METHODS};
use pitturu_store::StoreError;
use serde_json::{Value, json};

use super::world::{Raw, World, message};
use crate::connections::link::memory::Options;

/// A good request of every method that only reads and needs a sign-in.
fn request(method: &str, room: RoomId, user: UserId) -> Value {
    match method {
        "Resume" => json!({"inbox": 0, "rooms": [{"room": room, "seq": 0, "rev": 0}]}),
        "GetProfiles" | "GetPresence" => json!({"users": [user]}),
        "FindPlayer" => json!({"username": "root"}),
        "SetPresence" => json!({"status": "online"}),
        "SearchRooms" => json!({"query": "room"}),
        "OpenRoom" | "CloseRoom" | "ListMembers" | "ListBans" | "ReadHistory" | "Typing" => {
            json!({"room": room})
        }
        "ListReactions" => json!({"room": room, "seq": 1, "emoji": "👍"}),
        "SendEphemeral" => json!({"room": room, "text": "hello"}),
        "ListPointsDays" => json!({"day": 20_000}),
        "ListTopScores" | "ListScoresAround" | "ListFriendScores" | "GetScore" | "ListSeasons"
        | "FollowBoard" | "UnfollowBoard" => json!({"board": "best"}),
        "GetPlayerRecord" => json!({"user": user}),
        "FindPlayers" => json!({"name": "a"}),
        "ExportPlayer" | "GetWallet" | "ListMovements" | "ListInventory" | "ListItemChanges"
        | "GetRewards" => json!({"user": user}),
        _ => json!({}),
    }
}

#[tokio::test]
async fn whoever_may_read_something_still_may_when_the_store_takes_nothing() {
    let world = World::new().await;
    let (mut admin, _) = world.registered("root").await;
    let (mut player, one) = world.guest("ana", Options::default()).await;
    let user = one.identity.user;
    let room = admin.create_room().await;
    player.join(room).await;
    admin.call(&message(room)).await.expect("a member may");
    let mut unavailable = BTreeSet::new();
    for refusal in [StoreError::unavailable("a test"), StoreError::Busy] {
        world.entities.refuse(Some(refusal));
        for info in METHODS.iter().filter(|info| info.effect == Effect::Reads) {
            let body = codec::encode(&request(info.name, room, user));
            let raw = Raw {
                method: info.number,
                body,
            };
            let client = match info.access {
                Access::Anyone => continue,
                _ => &mut admin,
            };
            if let Err(fault) = client.call_raw(&raw, info.name).await {
                // Whatever else is refused was looked at.
                if matches!(fault.code, Code::StorageUnavailable | Code::Overloaded) {
                    unavailable.insert(info.name);
                }
                assert_ne!(fault.code, Code::InvalidArgument, "{}: {fault}", info.name);
                assert_ne!(fault.code, Code::BadRequest, "{}: {fault}", info.name);
            }
        }
    }
    assert_eq!(unavailable, BTreeSet::new());
}
