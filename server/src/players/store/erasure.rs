//! What is looked for when somebody's account is erased.

use pitturu_protocol::ids::UserId;
use pitturu_rules::accounts::NOBODY;
use pitturu_rules::lists::{InboxMark, Offer};
use pitturu_store::StoreError;
use pitturu_store::entities::{Bounds, PAGE_ROWS_MAX, RowKey, RowRange, Space};
use sha2::{Digest, Sha256};

use super::super::entity;
use super::{INBOX_MARKS, OFFERS, PlayerStore, decode};

/// Names by which the configuration makes no admin any more, as hashes. Claimed by nobody's entity, and never released.
const SPENT_NAMES: Space = Space(4);

fn spent_key(folded: &str) -> RowKey {
    Sha256::digest(folded.as_bytes()).to_vec()
}

impl PlayerStore {
    /// Has the configuration make nobody an admin by this folded name any more: whoever had it is erased, and whoever takes it is somebody
    /// else. What is kept is a hash, which shows the name to whoever guesses it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn spend_name(&self, folded: &str) -> Result<(), StoreError> {
        let key = spent_key(folded);
        let claimed = self.entities.claim(SPENT_NAMES, key, entity(NOBODY), None);
        claimed.await.map(drop)
    }

    /// Whether [`Self::spend_name`] was called for the name.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn is_name_spent(&self, folded: &str) -> Result<bool, StoreError> {
        let key = spent_key(folded);
        Ok(self.entities.claimed(SPENT_NAMES, &key).await?.is_some())
    }

    /// Of whose doing, among these players, another one's inbox and list of rooms have something.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn traces_of(&self, user: UserId, by: &[UserId]) -> Result<Vec<UserId>, StoreError> {
        let bounds = Bounds::rows(PAGE_ROWS_MAX);
        let (mut after, mut of) = (None, Vec::new());
        loop {
            let range = RowRange::prefix(INBOX_MARKS).after(after.take());
            let marks = self.entities.rows(entity(user), range, bounds).await?;
            for (_, row) in &marks {
                let mark: InboxMark = decode("inbox mark", row)?;
                of.extend(mark.by);
            }
            match marks.len() == PAGE_ROWS_MAX {
                true => after = marks.into_iter().last().map(|(key, _)| key),
                false => break,
            }
        }
        let offers = RowRange::prefix(OFFERS);
        for (_, row) in self.entities.rows(entity(user), offers, bounds).await? {
            let offer: Offer = decode("offer", &row)?;
            of.push(offer.by);
        }
        Ok(by.iter().copied().filter(|by| of.contains(by)).collect())
    }
}
