//! Which of a direct room's players has blocked the other.
//!
//! The players' own rows decide that. A direct room reads them when it is loaded, and before it is made, and keeps nothing of it
//! in the store. While it is in memory each of the two entities tells it what changes, by a signal. The rows were read with the
//! version in which they stood, so a signal that comes again, or late, undoes nothing that is newer. A room that is not in memory
//! is told nothing: what reads the rows later finds the block there.

use std::collections::BTreeSet;

use pitturu_protocol::codec;
use pitturu_protocol::ids::UserId;
use pitturu_rules::signals::RoomSignal;
use pitturu_store::StoreError;

use crate::owners::signals::{Batch, Incoming, Taken};
use crate::players::store::PlayerStore;

/// Who blocks the other in a direct room. Of any other room nobody.
#[derive(Debug, Default)]
pub struct Blocks {
    blocked_by: BTreeSet<UserId>,
    incoming: Incoming,
}

impl Blocks {
    /// Reads how two players stand to each other. Whoever is told of changes by signals has to be known to their senders before this
    /// begins: what is decided later reaches it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn read(players: &PlayerStore, pair: [UserId; 2]) -> Result<Self, StoreError> {
        let mut blocks = Self::default();
        for side in players.blocks_between(pair).await? {
            blocks.set(side.user, side.blocks);
            blocks.incoming.knows(side.entity, side.applied);
        }
        Ok(blocks)
    }

    /// Whether one of the two blocks the other.
    pub fn any(&self) -> bool {
        !self.blocked_by.is_empty()
    }

    /// Takes what one of the two tells. It counts as applied at once, for nothing of it is to be stored here.
    pub fn take(&mut self, batch: Batch) {
        match self.incoming.take(batch) {
            Taken::Apply(batch, _) => {
                let user = UserId::from_bytes(batch.from.id());
                for signal in &batch.signals {
                    match codec::decode(&signal.body) {
                        Ok(RoomSignal::Blocked) => self.set(user, true),
                        Ok(RoomSignal::Unblocked) => self.set(user, false),
                        // It would be no better the next time.
                        Err(error) => {
                            let (from, version) = (batch.from, signal.version);
                            tracing::error!(%from, version, %error, "a signal is damaged");
                        }
                    }
                }
                batch.applied();
            }
            Taken::Known(batch) => batch.applied(),
            // Only those whose rows were read have something to say here.
            Taken::LookUp(from) => self.incoming.pass(from),
            Taken::Waiting => {}
        }
    }

    fn set(&mut self, user: UserId, blocks: bool) {
        if blocks {
            self.blocked_by.insert(user);
        } else {
            self.blocked_by.remove(&user);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pitturu_store::clock::Steady;
    use pitturu_store::entities::{Applied, Entities as _, EntityId, Kind, Signal};
    use pitturu_store::memory::Memory;

    use super::*;
    use crate::chat::store::ROOM;
    use crate::owners::journal::Journal;
    use crate::owners::signals::{Delivery, Outgoing, Routes};
    use crate::sync::Mutex;

    fn sender() -> EntityId {
        EntityId::new(Kind(2), [1; 10])
    }

    /// What a player tells a direct room by its commits.
    struct Player {
        routes: Arc<Routes>,
        journal: Journal,
        sent: Arc<Mutex<Vec<Batch>>>,
        answered: Arc<Mutex<Vec<Option<u64>>>>,
    }

    impl Player {
        fn new() -> Self {
            let routes = Arc::new(Routes::default());
            let sent: Arc<Mutex<Vec<_>>> = Arc::default();
            let answered: Arc<Mutex<Vec<_>>> = Arc::default();
            let (batches, receipts) = (Arc::clone(&sent), Arc::clone(&answered));
            routes.add(ROOM, move |delivery| {
                if let Delivery::Signals(batch) = delivery {
                    batches.lock().push(batch);
                }
            });
            routes.add(sender().kind(), move |delivery| {
                if let Delivery::Receipt(receipt) = delivery {
                    receipts.lock().push(receipt.up_to);
                }
            });
            Self {
                routes,
                journal: Journal::begin(sender(), Memory::new().fence()),
                sent,
                answered,
            }
        }

        /// Tells it with this version, and returns what the sender hears.
        fn tells(&self, blocks: &mut Blocks, version: u64, signal: RoomSignal) -> Option<u64> {
            let mut outgoing = Outgoing::new(&self.journal, Vec::new(), Arc::clone(&self.routes));
            let signal = Signal {
                to: EntityId::new(ROOM, [3; 10]),
                body: codec::encode(&signal),
            };
            outgoing.decided(version, vec![signal], Steady::at_ms(0));
            blocks.take(self.sent.lock().remove(0));
            self.answered.lock().remove(0)
        }
    }

    #[test]
    fn what_is_told_again_undoes_nothing_that_was_read_or_told_since() {
        let player = Player::new();
        let mut blocks = Blocks::default();
        let applied = Applied {
            from: sender(),
            incarnation: player.journal.incarnation(),
            version: 6,
        };
        blocks.incoming.knows(sender(), Some(applied));
        let mut tell = |version, signal| {
            let answered = player.tells(&mut blocks, version, signal);
            assert_eq!(answered, Some(version), "it needs not be told again");
            blocks.any()
        };
        assert!(!tell(5, RoomSignal::Blocked), "it was read");
        assert!(tell(7, RoomSignal::Blocked));
        assert!(!tell(8, RoomSignal::Unblocked));
        assert!(!tell(7, RoomSignal::Blocked), "it was told");
        assert!(tell(9, RoomSignal::Blocked));
    }

    #[test]
    fn who_is_none_of_the_two_is_answered_and_says_nothing() {
        let (player, mut blocks) = (Player::new(), Blocks::default());
        for version in [1, 2] {
            let answered = player.tells(&mut blocks, version, RoomSignal::Blocked);
            assert_eq!((answered, blocks.any()), (Some(version), false));
        }
    }
}
