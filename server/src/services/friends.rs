//! Friends, requests and blocks.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_protocol::limits::PAGE_BYTES_MAX;
use pitturu_protocol::types::friends::{
    AcceptFriend, BlockPlayer, Friend, FriendState, Friends as FriendPage, ListFriends,
    RemoveFriend, RequestFriend, UnblockPlayer,
};
use pitturu_protocol::types::system::Done;
use pitturu_rules::pages::page_items;
use pitturu_store::StoreError;
use pitturu_store::accounts::Accounts;
use pitturu_store::friends::{FRIENDS_MAX, FriendError, FriendRow, Friends, Pair};

use super::accounts::keyed;
use crate::connections::caller::Caller;
use crate::connections::session_notifier::{Presences, SessionNotifier};

/// The calls of [`pitturu_protocol::types::friends`], and who is whose friend for everybody who asks.
pub struct FriendService {
    store: Arc<dyn Friends>,
    accounts: Arc<dyn Accounts>,
    notifier: Arc<dyn SessionNotifier>,
    presences: Arc<dyn Presences>,
}

impl FriendService {
    /// Friends in this store.
    pub fn new(
        store: Arc<dyn Friends>,
        accounts: Arc<dyn Accounts>,
        notifier: Arc<dyn SessionNotifier>,
        presences: Arc<dyn Presences>,
    ) -> Self {
        Self {
            store,
            accounts,
            notifier,
            presences,
        }
    }

    /// [`ListFriends`].
    pub async fn list_friends(
        &self,
        caller: &Caller,
        request: ListFriends,
    ) -> Result<FriendPage, Fault> {
        let user = caller.user()?;
        let limit = page_items(request.limit)?;
        let rows = self
            .store
            .list(user, request.state, request.after, limit + 1)
            .await?;
        let mut more = rows.len() > limit;
        let users = rows.iter().take(limit).map(|row| row.user).collect();
        let names: HashMap<UserId, String> = self
            .accounts
            .accounts(users)
            .await?
            .into_iter()
            .map(|account| (account.user, account.profile.name))
            .collect();
        let mut friends = Vec::with_capacity(rows.len().min(limit));
        let mut bytes = 0;
        for row in rows.into_iter().take(limit) {
            let name = names.get(&row.user).cloned().unwrap_or_default();
            let friend = self.friend(row, name);
            bytes += codec::encode(&friend).len();
            if bytes > PAGE_BYTES_MAX && !friends.is_empty() {
                more = true;
                break;
            }
            friends.push(friend);
        }
        Ok(FriendPage { friends, more })
    }

    /// [`RequestFriend`]. Two requests that cross make friends.
    pub async fn request_friend(
        &self,
        caller: &Caller,
        request: RequestFriend,
    ) -> Result<Friend, Fault> {
        let pair = pair(caller, request.user)?;
        let row = self
            .store
            .request(pair, keyed(caller, Some(pair.user)))
            .await?
            .value;
        if row.state == FriendState::Friend {
            self.notifier.friends_changed(pair.user, pair.other);
        }
        self.shown(row).await
    }

    /// [`AcceptFriend`].
    pub async fn accept_friend(
        &self,
        caller: &Caller,
        request: AcceptFriend,
    ) -> Result<Friend, Fault> {
        let pair = pair(caller, request.user)?;
        let row = self
            .store
            .accept(pair, keyed(caller, Some(pair.user)))
            .await?
            .value;
        self.notifier.friends_changed(pair.user, pair.other);
        self.shown(row).await
    }

    /// [`RemoveFriend`].
    pub async fn remove_friend(
        &self,
        caller: &Caller,
        request: RemoveFriend,
    ) -> Result<Done, Fault> {
        let pair = pair(caller, request.user)?;
        self.store
            .remove(pair, keyed(caller, Some(pair.user)))
            .await?;
        self.notifier.friends_changed(pair.user, pair.other);
        Ok(Done {})
    }

    /// [`BlockPlayer`].
    pub async fn block_player(&self, caller: &Caller, request: BlockPlayer) -> Result<Done, Fault> {
        let pair = pair(caller, request.user)?;
        self.store
            .block(pair, keyed(caller, Some(pair.user)))
            .await?;
        self.notifier.friends_changed(pair.user, pair.other);
        Ok(Done {})
    }

    /// [`UnblockPlayer`].
    pub async fn unblock_player(
        &self,
        caller: &Caller,
        request: UnblockPlayer,
    ) -> Result<Done, Fault> {
        let pair = pair(caller, request.user)?;
        match self
            .store
            .unblock(pair, keyed(caller, Some(pair.user)))
            .await
        {
            Err(FriendError::NotFriends) => {
                return Err(Fault::new(Code::NotFound, "the player is not blocked"));
            }
            unblocked => unblocked?,
        };
        self.notifier.friends_changed(pair.user, pair.other);
        Ok(Done {})
    }

    /// The friends of a player, at most [`FRIENDS_MAX`].
    ///
    /// # Errors
    /// Those of the store.
    pub async fn friends_of(&self, user: UserId) -> Result<Vec<UserId>, StoreError> {
        let rows = self
            .store
            .list(user, Some(FriendState::Friend), None, FRIENDS_MAX as usize)
            .await?;
        Ok(rows.into_iter().map(|row| row.user).collect())
    }

    /// Whether one of the two has blocked the other.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn is_blocked_either(&self, one: UserId, other: UserId) -> Result<bool, StoreError> {
        self.store.blocked_either(one, other).await
    }

    async fn shown(&self, row: FriendRow) -> Result<Friend, Fault> {
        let account = self.accounts.account(row.user).await?;
        Ok(self.friend(
            row,
            account
                .map(|account| account.profile.name)
                .unwrap_or_default(),
        ))
    }

    fn friend(&self, row: FriendRow, name: String) -> Friend {
        Friend {
            user: row.user,
            name,
            state: row.state,
            since: row.since,
            presence: (row.state == FriendState::Friend).then(|| self.presences.presence(row.user)),
        }
    }
}

fn pair(caller: &Caller, other: UserId) -> Result<Pair, Fault> {
    let user = caller.user()?;
    if user == other {
        return Err(Fault::invalid("user", "that is you"));
    }
    Ok(Pair {
        user,
        other,
        at: caller.now,
    })
}
