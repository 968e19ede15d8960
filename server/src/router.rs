//! Rooms and their owners: each room lives in one shard, which gives it its order.
//!
//! - [`command`]: what is said to a shard, and what it hears back;
//! - [`shard`]: the task that owns rooms;
//! - [`live_room`]: a room in its shard: rules, recent messages, followers, and what waits for the disk;
//! - [`history`]: pages of the past, for readers and for back-fill.

pub mod command;
pub mod followers;
pub mod history;
pub mod keys;
pub mod live_room;
pub mod recent;
pub mod request;
pub mod shard;
mod spread;

use std::sync::Arc;

use async_trait::async_trait;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{RoomId, UserId};
use tokio::sync::mpsc;

use self::command::Command;
use self::shard::{Context, Shard, refuse_command};
use crate::services::friends::FriendService;
use crate::services::rooms::ChatLimits;
use crate::store::StoreError;
use crate::store::rooms::{Messages, Rooms};

/// Calls that may wait for one shard. Beyond it, they are refused as overloaded.
pub const MAILBOX_MAX: usize = 65_536;

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
    shards: Arc<[ShardHandle]>,
}

#[derive(Debug)]
struct ShardHandle {
    mailbox: mpsc::Sender<Command>,
    /// Connections that are gone. Bounded by the rooms that connections have open.
    detached: mpsc::UnboundedSender<Command>,
}

impl Router {
    /// Starts so many shards. They stop when the last clone of the router is dropped.
    pub fn start(
        shards: usize,
        rooms: &Arc<dyn Rooms>,
        messages: &Arc<dyn Messages>,
        blocks: &Arc<dyn Blocks>,
        limits: &Arc<ChatLimits>,
    ) -> Self {
        let start = |_| {
            let (mailbox, commands) = mpsc::channel(MAILBOX_MAX);
            let (completions, completed) = mpsc::unbounded_channel();
            let context = Context::new(
                Arc::clone(rooms),
                Arc::clone(messages),
                Arc::clone(blocks),
                Arc::clone(limits),
                completions,
            );
            let (detached, gone) = mpsc::unbounded_channel();
            tokio::spawn(Shard::new(context).run(commands, gone, completed));
            ShardHandle { mailbox, detached }
        };
        Self {
            shards: (0..shards.max(1)).map(start).collect(),
        }
    }

    fn shard(&self, room: RoomId) -> &ShardHandle {
        let bytes = room.as_bytes();
        let hash = u64::from_be_bytes(bytes[2..].try_into().expect("an id has ten bytes"));
        let index = hash % self.shards.len() as u64;
        &self.shards[usize::try_from(index).expect("fewer shards than usize holds")]
    }

    /// Says something to a room's shard. When its mailbox is full, whoever waits for an answer is refused.
    pub fn send(&self, command: Command) {
        if let Err(error) = self.shard(command.room()).mailbox.try_send(command) {
            let fault = match &error {
                mpsc::error::TrySendError::Full(_) => {
                    Fault::of(Code::Overloaded).retry_after_ms(250)
                }
                mpsc::error::TrySendError::Closed(_) => Fault::of(Code::Unavailable),
            };
            refuse_command(error.into_inner(), &fault);
        }
    }

    /// Takes a connection out of a room, however full the mailbox is. May overtake calls of the same connection that still
    /// wait there; they find the connection gone or signed out.
    pub fn detach(&self, command: Command) {
        // A closed mailbox belongs to a server that has stopped.
        drop(self.shard(command.room()).detached.send(command));
    }
}
