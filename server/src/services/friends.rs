//! Friends, requests and blocks.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::friends::{
    AcceptFriend, BlockPlayer, Friend, FriendState, Friends as FriendPage, ListFriends,
    RemoveFriend, RequestFriend, UnblockPlayer,
};
use pitturu_protocol::types::system::Done;
use pitturu_rules::friends::{FRIENDS_MAX, FriendRefusal, Other};
use pitturu_rules::pages::{Page, page_items};
use pitturu_store::StoreError;
use serde::de::DeserializeOwned;

use crate::connections::caller::Caller;
use crate::connections::session_notifier::Presences;
use crate::players::PlayerOwners;
use crate::players::command::Ask;
use crate::players::store::{FriendRow, PlayerStore};

/// The calls of [`pitturu_protocol::types::friends`], and who is whose friend for everybody who asks.
pub struct FriendService {
    players: PlayerStore,
    owners: PlayerOwners,
    presences: Arc<dyn Presences>,
}

impl FriendService {
    /// Friends of these players.
    pub const fn new(
        players: PlayerStore,
        owners: PlayerOwners,
        presences: Arc<dyn Presences>,
    ) -> Self {
        Self {
            players,
            owners,
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
            .players
            .friends(user, request.state, request.after, limit + 1)
            .await?;
        let users = rows.iter().take(limit).map(|row| row.user).collect();
        let names: HashMap<UserId, String> = self
            .players
            .accounts(users)
            .await?
            .into_iter()
            .map(|account| (account.user, account.profile.name))
            .collect();
        let friends = rows.into_iter().map(|row| {
            let name = names.get(&row.user).cloned().unwrap_or_default();
            self.friend(row, name)
        });
        let (friends, more) = Page::of(limit, friends).into_parts();
        Ok(FriendPage { friends, more })
    }

    /// [`RequestFriend`]. Two requests that cross make friends.
    pub async fn request_friend(
        &self,
        caller: &Caller,
        request: RequestFriend,
    ) -> Result<Friend, Fault> {
        let (user, other) = pair(caller, request.user)?;
        let ask = Ask::Request(self.other(user, other).await?, self.name(user).await?);
        self.shown(self.ask(caller, ask).await?).await
    }

    /// [`AcceptFriend`].
    pub async fn accept_friend(
        &self,
        caller: &Caller,
        request: AcceptFriend,
    ) -> Result<Friend, Fault> {
        let (user, other) = pair(caller, request.user)?;
        let ask = Ask::Accept(self.other(user, other).await?, self.name(user).await?);
        self.shown(self.ask(caller, ask).await?).await
    }

    /// [`RemoveFriend`].
    pub async fn remove_friend(
        &self,
        caller: &Caller,
        request: RemoveFriend,
    ) -> Result<Done, Fault> {
        let (_, other) = pair(caller, request.user)?;
        self.ask::<FriendState>(caller, Ask::Remove(other)).await?;
        Ok(Done {})
    }

    /// [`BlockPlayer`].
    pub async fn block_player(&self, caller: &Caller, request: BlockPlayer) -> Result<Done, Fault> {
        let (user, other) = pair(caller, request.user)?;
        let ask = Ask::Block(self.other(user, other).await?);
        self.ask::<Option<FriendState>>(caller, ask).await?;
        Ok(Done {})
    }

    /// [`UnblockPlayer`].
    pub async fn unblock_player(
        &self,
        caller: &Caller,
        request: UnblockPlayer,
    ) -> Result<Done, Fault> {
        let (_, other) = pair(caller, request.user)?;
        self.ask::<()>(caller, Ask::Unblock(other)).await?;
        Ok(Done {})
    }

    /// Has the caller's entity decide.
    async fn ask<T: DeserializeOwned>(&self, caller: &Caller, ask: Ask) -> Result<T, Fault> {
        let key = caller.key.clone();
        let body = self
            .owners
            .ask(caller.user()?, ask, key, caller.now)
            .await?;
        codec::decode(&body).map_err(|_| Fault::of(Code::Internal))
    }

    /// What the caller's entity has to know of another player.
    async fn other(&self, user: UserId, other: UserId) -> Result<Other, Fault> {
        let exists = self.players.account(other).await?.is_some();
        Ok(self.players.other(user, other, exists).await?)
    }

    async fn name(&self, user: UserId) -> Result<String, Fault> {
        let account = self.players.account(user).await?;
        let account = account.ok_or_else(|| Fault::of(Code::Unauthenticated))?;
        Ok(account.profile.name)
    }

    /// The friends of a player, at most [`FRIENDS_MAX`].
    ///
    /// # Errors
    /// Those of the store.
    pub async fn friends_of(&self, user: UserId) -> Result<Vec<UserId>, StoreError> {
        let rows = self
            .players
            .friends(user, Some(FriendState::Friend), None, FRIENDS_MAX as usize)
            .await?;
        Ok(rows.into_iter().map(|row| row.user).collect())
    }

    /// Whether one of the two has blocked the other.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn is_blocked_either(&self, one: UserId, other: UserId) -> Result<bool, StoreError> {
        self.players.blocked_either(one, other).await
    }

    async fn shown(&self, row: FriendRow) -> Result<Friend, Fault> {
        let account = self.players.account(row.user).await?;
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

/// The caller, and the other player.
fn pair(caller: &Caller, other: UserId) -> Result<(UserId, UserId), Fault> {
    let user = caller.user()?;
    if user == other {
        return Err(FriendRefusal::Yourself.into());
    }
    Ok((user, other))
}
