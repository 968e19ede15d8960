//! The slow walk over all rooms that removes what is past its time.

use std::time::Duration;

use pitturu_store::StoreError;
use pitturu_store::clock::removal_ms;

use super::RoomOwners;
use super::store::RoomStore;
use crate::chat::command::Command;

/// Pause between two walks.
const WALK_EVERY: Duration = Duration::from_secs(10 * 60);

/// Rooms looked at between two rests.
const STEP: usize = 100;

/// Rest between two steps, so that a walk costs next to nothing.
const REST: Duration = Duration::from_millis(100);

/// Walks until the process ends.
pub async fn run(rooms: RoomStore, owners: RoomOwners) {
    let mut tick = tokio::time::interval(WALK_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        if let Err(error) = walk(&rooms, &owners).await {
            tracing::warn!(%error, "the walk of retention begins again later");
        }
    }
}

async fn walk(rooms: &RoomStore, owners: &RoomOwners) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let page = rooms.rooms_page(after, STEP).await?;
        let Some(last) = page.last() else {
            break;
        };
        after = Some(last.room);
        for row in &page {
            let bounded = row.retention.age_ms.is_some() || row.retention.messages.is_some();
            if bounded && !row.deleted {
                owners.send(Command::Retain(row.room));
            }
        }
        tokio::time::sleep(REST).await;
    }
    while rooms.entities().sweep(removal_ms()).await? {
        tokio::time::sleep(REST).await;
    }
    Ok(())
}
