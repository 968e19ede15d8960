//! What is looked for when somebody's account is erased.

use pitturu_protocol::ids::UserId;
use pitturu_rules::lists::{InboxMark, Offer};
use pitturu_store::StoreError;
use pitturu_store::entities::{Bounds, PAGE_ROWS_MAX, RowRange};

use super::super::entity;
use super::{INBOX_MARKS, OFFERS, PlayerStore, decode};

impl PlayerStore {
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
