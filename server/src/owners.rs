//! Rooms and their owners: each room lives in one shard, which gives it its order.
//!
//! - [`command`]: what is said to a shard, and what it hears back;
//! - [`mailbox`]: what waits for a shard, and who runs it;
//! - [`shard`]: who owns rooms;
//! - [`live_room`]: a room in its shard: rules, recent messages, followers, and what waits for the disk;
//! - [`history`]: pages of the past, for readers and for back-fill.

pub mod followers;
pub mod keys;
pub mod mailbox;
pub mod shard;
pub(crate) mod spread;

use std::sync::Arc;

use async_trait::async_trait;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_rules::rooms::ChatLimits;
use pitturu_store::StoreError;
use pitturu_store::rooms::{Messages, Rooms};

use self::mailbox::ShardHandle;
use self::shard::{Context, Shard, refuse_command};
use crate::chat::command::Command;
use crate::lanes::Lanes;
use crate::services::friends::FriendService;

/// Who blocked whom, as direct rooms need to know.
#[async_trait]
pub trait Blocks: Send + Sync {
    /// Whether one of the two has blocked the other.
    async fn blocked(&self, one: UserId, other: UserId) -> Result<bool, StoreError>;
}

#[async_trait]
impl Blocks for FriendService {
    async fn blocked(&self, one: UserId, other: UserId) -> Result<bool, StoreError> {
        self.is_blocked_either(one, other).await
    }
}

/// Finds the shard of a room. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Router {
    shards: Arc<[Arc<ShardHandle>]>,
}

impl Router {
    /// Starts so many shards, whose tasks run on these lanes. They stop when the last clone of the router is dropped.
    pub fn start(
        lanes: &Lanes,
        shards: usize,
        rooms: &Arc<dyn Rooms>,
        messages: &Arc<dyn Messages>,
        blocks: &Arc<dyn Blocks>,
        limits: &Arc<ChatLimits>,
    ) -> Self {
        let start = |number| {
            ShardHandle::start(lanes.of_task(number), |mailbox| {
                Shard::new(Context::new(
                    Arc::clone(rooms),
                    Arc::clone(messages),
                    Arc::clone(blocks),
                    Arc::clone(limits),
                    mailbox,
                ))
            })
        };
        let shards: Arc<[Arc<ShardHandle>]> = (0..shards.max(1)).map(start).collect();
        let mailboxes: Vec<_> = shards
            .iter()
            .map(|shard| Arc::clone(shard.mailbox()))
            .collect();
        let is_first = rooms.listen_to_reports(Box::new(move || {
            mailboxes.iter().for_each(|mailbox| mailbox.announce());
        }));
        assert!(is_first, "a store has one router");
        Self { shards }
    }

    fn shard(&self, room: RoomId) -> &Arc<ShardHandle> {
        let bytes = room.as_bytes();
        let hash = u64::from_be_bytes(bytes[2..].try_into().expect("an id has ten bytes"));
        let index = hash % self.shards.len() as u64;
        &self.shards[usize::try_from(index).expect("fewer shards than usize holds")]
    }

    /// Says something to a room's shard, which mostly does it before this returns. When its mailbox is full, whoever
    /// waits for an answer is refused.
    pub fn send(&self, command: Command) {
        if let Err(command) = self.shard(command.room()).send(command) {
            refuse_command(command, &Fault::of(Code::Overloaded).retry_after_ms(250));
        }
    }

    /// Takes a connection out of a room, however full the mailbox is.
    pub fn detach(&self, command: Command) {
        self.shard(command.room()).insist(command);
    }
}
