//! What is made before the players come: the rooms that they will be in.

use futures_util::{StreamExt, TryStreamExt};
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::types::chat::{CreateRoom, RoomKind};

use crate::link::Route;
use crate::plan::Share;
use crate::player::{Failed, Player};
use crate::tally::Tally;

/// Players who make rooms at the same time.
const MAKERS: u64 = 32;

/// Rooms that one player makes, below what a connection may have open.
const ROOMS_EACH: u64 = 50;

/// Numbers of the players who make rooms, apart from those who play.
const MAKERS_FROM: u64 = 900_000_000_000;

/// Makes this many public rooms.
pub async fn make_all(route: Route, seed: u64, count: u64) -> Result<Vec<RoomId>, Failed> {
    let makers = count.div_ceil(ROOMS_EACH);
    futures_util::stream::iter(0..makers)
        .map(|maker| async move {
            let share = Share {
                index: maker,
                of: makers,
            };
            make(route, seed, maker, share.range(count).count()).await
        })
        .buffered(usize::try_from(MAKERS).expect("few"))
        .try_concat()
        .await
}

async fn make(route: Route, seed: u64, maker: u64, count: usize) -> Result<Vec<RoomId>, Failed> {
    let mut player = Player::connect(route, None, &Tally::default()).await?;
    player.sign_in(seed, MAKERS_FROM + maker).await?;
    let mut rooms = Vec::with_capacity(count);
    for number in 0..count {
        let view = player
            .call(&public_room(format!("room {maker}-{number}")))
            .await?;
        rooms.push(view.info.room);
    }
    Ok(rooms)
}

/// A public room of this name.
pub fn public_room(name: String) -> CreateRoom {
    CreateRoom {
        kind: RoomKind::Public,
        name,
        topic: None,
        slow_mode_ms: None,
        retention: None,
    }
}
