//! [`Inboxes`] in the embedded store.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::inbox::{InboxAdded, InboxEntry};
use serde::{Deserialize, Serialize};

use super::Embedded;
use super::engine::{Limit, Range, Tx};
use super::keys::KeyBuilder;
use super::rows;
use super::tables::Table;
use crate::StoreError;
use crate::inboxes::{INBOX_ENTRIES_MAX, InboxHead, InboxListener, Inboxes};
use crate::rooms::PAGE_ROWS_MAX;

#[derive(Clone, Copy, Serialize, Deserialize)]
struct HeadRow {
    head: u64,
    first: u64,
}

fn entry_key(user: UserId, seq: u64) -> Vec<u8> {
    KeyBuilder::new().user(&user).number(seq).build()
}

/// Appends an entry to the player's inbox, as part of the write that causes it; its sequence.
///
/// # Errors
/// Those of [`Tx::get`].
pub(crate) fn append(
    tx: &mut Tx<'_>,
    user: UserId,
    entry: &InboxEntry,
    at: u64,
) -> Result<u64, StoreError> {
    let mut row = match tx.get(Table::InboxHeads, user.as_bytes())? {
        Some(row) => rows::decode(Table::InboxHeads, &row)?,
        None => HeadRow { head: 0, first: 1 },
    };
    row.head += 1;
    let added = InboxAdded {
        seq: row.head,
        at,
        entry: entry.clone(),
    };
    tx.put(
        Table::Inbox,
        entry_key(user, row.head),
        rows::encode(&added),
    );
    while row.head - row.first >= INBOX_ENTRIES_MAX {
        tx.delete(Table::Inbox, entry_key(user, row.first));
        row.first += 1;
    }
    tx.put(
        Table::InboxHeads,
        user.as_bytes().as_slice(),
        rows::encode(&row),
    );
    tx.inbox_appended(user, row.head);
    Ok(row.head)
}

impl Inboxes for Embedded {
    fn head(&self, user: UserId) -> BoxFuture<'static, Result<InboxHead, StoreError>> {
        let engine = self.engine().clone();
        async move {
            engine
                .read(move |view| {
                    let row = view.get(Table::InboxHeads, user.as_bytes())?;
                    let row = match row {
                        Some(row) => rows::decode(Table::InboxHeads, &row)?,
                        None => HeadRow { head: 0, first: 1 },
                    };
                    Ok(InboxHead {
                        head: row.head,
                        first: row.first,
                    })
                })
                .await
        }
        .boxed()
    }

    fn entries_after(
        &self,
        user: UserId,
        after: u64,
        limit: usize,
    ) -> BoxFuture<'static, Result<Vec<InboxAdded>, StoreError>> {
        let engine = self.engine().clone();
        let limit = Limit::rows(limit.min(PAGE_ROWS_MAX));
        async move {
            engine
                .read(move |view| {
                    let range = Range::prefix(user.as_bytes()).after(entry_key(user, after));
                    view.scan(Table::Inbox, &range, false, limit)?
                        .iter()
                        .map(|(_, row)| rows::decode(Table::Inbox, row))
                        .collect()
                })
                .await
        }
        .boxed()
    }

    fn listen(&self, listener: InboxListener) -> bool {
        self.engine().listen_to_inboxes(listener)
    }
}
