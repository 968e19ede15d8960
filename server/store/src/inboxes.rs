//! Inboxes: a durable, dense stream for each player.

use futures_util::future::BoxFuture;
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::inbox::InboxAdded;

use super::StoreError;

/// Entries that an inbox keeps; older ones are removed as new ones come.
pub const INBOX_ENTRIES_MAX: u64 = 1_000;

/// Where an inbox stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InboxHead {
    /// Sequence of the newest entry; 0 before the first.
    pub head: u64,
    /// Oldest entry that is kept; 1 before the first.
    pub first: u64,
}

/// Told which player's inbox has grown, and to which sequence. Called after the commit, where it must not block;
/// one call may stand for several entries.
pub type InboxListener = Box<dyn Fn(UserId, u64) + Send + Sync>;

/// Inboxes. Entries are appended by the writes that cause them, in the same commit: [`super::rooms::RoomWrite::rows`]
/// and the writes of accounts and friends.
///
/// Sequences are dense from 1 for each player. The newest [`INBOX_ENTRIES_MAX`] entries are kept.
pub trait Inboxes: Send + Sync {
    /// Where the player's inbox stands.
    fn head(&self, user: UserId) -> BoxFuture<'static, Result<InboxHead, StoreError>>;

    /// The oldest kept entries after `after`, oldest first. A first entry later than `after + 1` means a gap.
    fn entries_after(
        &self,
        user: UserId,
        after: u64,
        limit: usize,
    ) -> BoxFuture<'static, Result<Vec<InboxAdded>, StoreError>>;

    /// Names the one listener. False if there is one already.
    fn listen(&self, listener: InboxListener) -> bool;
}
