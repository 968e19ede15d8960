//! The friends port on the embedded store.

use async_trait::async_trait;
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::friends::FriendState;
use pitturu_protocol::types::inbox::InboxEntry;
use serde::{Deserialize, Serialize};

use super::Embedded;
use super::accounts::{account_now, once};
use super::engine::{Limit, Range, Tx};
use super::inboxes;
use super::keys::KeyBuilder;
use super::rows;
use super::tables::Table;
use crate::StoreError;
use crate::accounts::{AccountError, AccountRow};
use crate::friends::{
    BLOCKS_MAX, FRIEND_REQUESTS_MAX, FRIENDS_MAX, FriendError, FriendLimit, FriendRow, Friends,
    Pair,
};
use crate::keyed::{KeyUse, Stored};

/// Every row that a player may have, and some: rows of others' requests, of own ones, friends and blocks.
const SCAN: Limit = Limit::rows((FRIENDS_MAX + 2 * FRIEND_REQUESTS_MAX + BLOCKS_MAX) as usize * 2);

/// How many rows a player has in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counts {
    friends: u32,
    requested: u32,
    received: u32,
    blocked: u32,
}

impl Counts {
    const fn of(&mut self, state: FriendState) -> &mut u32 {
        match state {
            FriendState::Friend => &mut self.friends,
            FriendState::Requested => &mut self.requested,
            FriendState::Received => &mut self.received,
            FriendState::Blocked => &mut self.blocked,
        }
    }
}

fn row_key(user: UserId, other: UserId) -> Vec<u8> {
    KeyBuilder::new().user(&user).user(&other).build()
}

fn row(tx: &Tx<'_>, user: UserId, other: UserId) -> Result<Option<FriendRow>, StoreError> {
    tx.get(Table::Friends, &row_key(user, other))?
        .map(|row| rows::decode(Table::Friends, &row))
        .transpose()
}

fn state(tx: &Tx<'_>, user: UserId, other: UserId) -> Result<Option<FriendState>, StoreError> {
    Ok(row(tx, user, other)?.map(|row| row.state))
}

fn counts(tx: &Tx<'_>, user: UserId) -> Result<Counts, StoreError> {
    tx.get(Table::FriendCounts, user.as_bytes())?
        .map_or(Ok(Counts::default()), |row| {
            rows::decode(Table::FriendCounts, &row)
        })
}

/// Puts, replaces or removes the row of `user` for `other`, and keeps the counts.
fn set(
    tx: &mut Tx<'_>,
    user: UserId,
    other: UserId,
    to: Option<FriendState>,
    since: u64,
) -> Result<(), StoreError> {
    let mut counts = counts(tx, user)?;
    if let Some(before) = state(tx, user, other)? {
        let count = counts.of(before);
        *count = count.saturating_sub(1);
    }
    let key = row_key(user, other);
    match to {
        Some(state) => {
            *counts.of(state) += 1;
            let row = FriendRow {
                user: other,
                state,
                since,
            };
            tx.put(Table::Friends, key, rows::encode(&row));
        }
        None => tx.delete(Table::Friends, key),
    }
    tx.put(
        Table::FriendCounts,
        user.as_bytes().as_slice(),
        rows::encode(&counts),
    );
    Ok(())
}

fn player(tx: &Tx<'_>, user: UserId) -> Result<AccountRow, FriendError> {
    account_now(tx, user).map_err(|error| match error {
        AccountError::Store(error) => error.into(),
        _ => FriendError::NoPlayer,
    })
}

fn befriend(tx: &mut Tx<'_>, pair: Pair) -> Result<FriendRow, FriendError> {
    let Pair { user, other, at } = pair;
    if counts(tx, user)?.friends >= FRIENDS_MAX {
        return Err(FriendLimit::Friends.into());
    }
    if counts(tx, other)?.friends >= FRIENDS_MAX {
        return Err(FriendLimit::TheirFriends.into());
    }
    let name = player(tx, user)?.profile.name;
    set(tx, user, other, Some(FriendState::Friend), at)?;
    set(tx, other, user, Some(FriendState::Friend), at)?;
    inboxes::append(tx, other, &InboxEntry::FriendAccepted { user, name }, at)?;
    Ok(FriendRow {
        user: other,
        state: FriendState::Friend,
        since: at,
    })
}

fn request(tx: &mut Tx<'_>, pair: Pair) -> Result<FriendRow, FriendError> {
    let Pair { user, other, at } = pair;
    player(tx, other)?;
    let mine = row(tx, user, other)?;
    let blocked = |state| state == Some(FriendState::Blocked);
    if blocked(mine.map(|row| row.state)) || blocked(state(tx, other, user)?) {
        return Err(FriendError::Blocked);
    }
    match mine {
        Some(row) if row.state == FriendState::Received => return befriend(tx, pair),
        Some(row) => return Ok(row),
        None => {}
    }
    let own = counts(tx, user)?;
    if own.friends >= FRIENDS_MAX {
        return Err(FriendLimit::Friends.into());
    }
    if own.requested >= FRIEND_REQUESTS_MAX {
        return Err(FriendLimit::Sent.into());
    }
    if counts(tx, other)?.received >= FRIEND_REQUESTS_MAX {
        return Err(FriendLimit::Received.into());
    }
    let name = player(tx, user)?.profile.name;
    set(tx, user, other, Some(FriendState::Requested), at)?;
    set(tx, other, user, Some(FriendState::Received), at)?;
    inboxes::append(tx, other, &InboxEntry::FriendRequested { user, name }, at)?;
    Ok(FriendRow {
        user: other,
        state: FriendState::Requested,
        since: at,
    })
}

fn accept(tx: &mut Tx<'_>, pair: Pair) -> Result<FriendRow, FriendError> {
    match row(tx, pair.user, pair.other)? {
        Some(row) if row.state == FriendState::Received => befriend(tx, pair),
        Some(row) if row.state == FriendState::Friend => Ok(row),
        Some(row) if row.state == FriendState::Blocked => Err(FriendError::Blocked),
        _ => Err(FriendError::NotFriends),
    }
}

/// Ends what is between the two, unless it is a block, and tells the other.
fn part(tx: &mut Tx<'_>, pair: Pair) -> Result<Option<FriendState>, StoreError> {
    let Pair { user, other, at } = pair;
    let before = state(tx, user, other)?.filter(|&state| state != FriendState::Blocked);
    if before.is_some() {
        set(tx, user, other, None, at)?;
        set(tx, other, user, None, at)?;
        inboxes::append(tx, other, &InboxEntry::FriendRemoved { user }, at)?;
    }
    Ok(before)
}

fn block(tx: &mut Tx<'_>, pair: Pair) -> Result<Option<FriendState>, FriendError> {
    let Pair { user, other, at } = pair;
    player(tx, other)?;
    if state(tx, user, other)? == Some(FriendState::Blocked) {
        return Ok(Some(FriendState::Blocked));
    }
    if counts(tx, user)?.blocked >= BLOCKS_MAX {
        return Err(FriendLimit::Blocks.into());
    }
    let before = part(tx, pair)?;
    set(tx, user, other, Some(FriendState::Blocked), at)?;
    Ok(before)
}

fn unblock(tx: &mut Tx<'_>, pair: Pair) -> Result<(), FriendError> {
    if state(tx, pair.user, pair.other)? != Some(FriendState::Blocked) {
        return Err(FriendError::NotFriends);
    }
    set(tx, pair.user, pair.other, None, pair.at)?;
    Ok(())
}

#[async_trait]
impl Friends for Embedded {
    async fn friend(&self, user: UserId, other: UserId) -> Result<Option<FriendRow>, StoreError> {
        self.engine()
            .get(Table::Friends, &row_key(user, other))?
            .map(|row| rows::decode(Table::Friends, &row))
            .transpose()
    }

    async fn list(
        &self,
        user: UserId,
        state: Option<FriendState>,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<FriendRow>, StoreError> {
        self.engine()
            .read(move |view| {
                let mut range = Range::prefix(user.as_bytes());
                if let Some(after) = after {
                    range = range.after(row_key(user, after));
                }
                let mut page = Vec::new();
                for (_, row) in view.scan(Table::Friends, &range, false, SCAN)? {
                    if page.len() == limit {
                        break;
                    }
                    let row: FriendRow = rows::decode(Table::Friends, &row)?;
                    if state.is_none_or(|state| state == row.state) {
                        page.push(row);
                    }
                }
                Ok(page)
            })
            .await
    }

    async fn blocked_either(&self, one: UserId, other: UserId) -> Result<bool, StoreError> {
        let view = self.engine().view()?;
        for key in [row_key(one, other), row_key(other, one)] {
            if let Some(row) = view.get(Table::Friends, &key)? {
                let row: FriendRow = rows::decode(Table::Friends, &row)?;
                if row.state == FriendState::Blocked {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    async fn request(
        &self,
        pair: Pair,
        key: Option<KeyUse>,
    ) -> Result<Stored<FriendRow>, FriendError> {
        self.engine()
            .write(move |tx| once(tx, key, FriendError::KeyReused, |tx| request(tx, pair)))
            .await
    }

    async fn accept(
        &self,
        pair: Pair,
        key: Option<KeyUse>,
    ) -> Result<Stored<FriendRow>, FriendError> {
        self.engine()
            .write(move |tx| once(tx, key, FriendError::KeyReused, |tx| accept(tx, pair)))
            .await
    }

    async fn remove(
        &self,
        pair: Pair,
        key: Option<KeyUse>,
    ) -> Result<Stored<FriendState>, FriendError> {
        self.engine()
            .write(move |tx| {
                once(tx, key, FriendError::KeyReused, |tx| {
                    part(tx, pair)?.ok_or(FriendError::NotFriends)
                })
            })
            .await
    }

    async fn block(
        &self,
        pair: Pair,
        key: Option<KeyUse>,
    ) -> Result<Stored<Option<FriendState>>, FriendError> {
        self.engine()
            .write(move |tx| once(tx, key, FriendError::KeyReused, |tx| block(tx, pair)))
            .await
    }

    async fn unblock(&self, pair: Pair, key: Option<KeyUse>) -> Result<Stored<()>, FriendError> {
        self.engine()
            .write(move |tx| once(tx, key, FriendError::KeyReused, |tx| unblock(tx, pair)))
            .await
    }
}
