//! Profiles: what players show of themselves.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_protocol::limits::USERS_PER_CALL_MAX;
use pitturu_protocol::types::profile::{
    FindPlayer, GetProfile, GetProfiles, Profile, Profiles, UpdateProfile,
};
use pitturu_rules::accounts::{AccountRow, ProfileChange, ProfileRow};
use pitturu_rules::pages::Page;
use pitturu_store::StoreError;
use pitturu_text::username::Username;

use crate::chat::directory::DisplayNames;
use crate::connections::caller::Caller;
use crate::players::PlayerOwners;
use crate::players::command::{AccountAsk, Ask};
use crate::players::store::PlayerStore;

/// The calls of [`pitturu_protocol::types::profile`], and the names of players for everybody who shows them.
pub struct ProfileService {
    store: PlayerStore,
    owners: PlayerOwners,
}

impl ProfileService {
    /// Profiles of these players.
    pub const fn new(store: PlayerStore, owners: PlayerOwners) -> Self {
        Self { store, owners }
    }

    /// [`GetProfile`].
    pub async fn get_profile(
        &self,
        caller: &Caller,
        request: GetProfile,
    ) -> Result<Profile, Fault> {
        let user = match request.user {
            Some(user) => user,
            None => caller.user()?,
        };
        self.store
            .account(user)
            .await?
            .map(profile)
            .ok_or_else(|| Fault::of(Code::NotFound))
    }

    /// [`GetProfiles`].
    pub async fn get_profiles(&self, _: &Caller, request: GetProfiles) -> Result<Profiles, Fault> {
        if request.users.len() > USERS_PER_CALL_MAX {
            return Err(Fault::invalid(
                "users",
                format!("at most {USERS_PER_CALL_MAX} players at once"),
            ));
        }
        let users = request.users;
        let found = self.store.accounts(users.clone()).await?;
        let mut found = found.into_iter().peekable();
        let mut profiles = Page::new(users.len());
        let mut next = None;
        for (place, user) in users.iter().enumerate() {
            let Some(account) = found.next_if(|account| account.user == *user) else {
                continue;
            };
            if !profiles.push(profile(account)) {
                next = u32::try_from(place).ok();
                break;
            }
        }
        let (profiles, _) = profiles.into_parts();
        Ok(Profiles { profiles, next })
    }

    /// [`FindPlayer`].
    pub async fn find_player(&self, _: &Caller, request: FindPlayer) -> Result<Profile, Fault> {
        let name =
            Username::parse(&request.username).map_err(|refusal| refusal.fault("username"))?;
        self.store
            .account_named(&name.folded)
            .await?
            .map(profile)
            .ok_or_else(|| Fault::of(Code::NotFound))
    }

    /// [`UpdateProfile`].
    pub async fn update_profile(
        &self,
        caller: &Caller,
        request: UpdateProfile,
    ) -> Result<Profile, Fault> {
        let user = caller.user()?;
        let change = AccountAsk::UpdateProfile(change(request));
        let ask = Ask::Account(Box::new(change), caller.into());
        let updated = self
            .owners
            .ask(user, ask, caller.key.clone(), caller.now)
            .await?;
        let updated: ProfileRow = codec::decode(&updated).map_err(|_| Fault::of(Code::Internal))?;
        let account = self
            .store
            .account(user)
            .await?
            .ok_or_else(|| Fault::of(Code::TokenInvalid))?;
        Ok(profile(AccountRow {
            profile: updated,
            ..account
        }))
    }

    /// The display name of a player, from memory where it can be.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn display_name(&self, user: UserId) -> Result<Option<Arc<str>>, StoreError> {
        self.store.display_name(user).await
    }
}

#[async_trait]
impl DisplayNames for ProfileService {
    async fn display_name(&self, user: UserId) -> Result<Option<Arc<str>>, StoreError> {
        Self::display_name(self, user).await
    }
}

/// An empty text clears its field; a name is never empty.
fn change(request: UpdateProfile) -> ProfileChange {
    let shown = |text: String| Some(text).filter(|text| !text.is_empty());
    ProfileChange {
        name: request.name,
        avatar: request.avatar.map(shown),
        bio: request.bio.map(shown),
        language: request.language.map(shown),
    }
}

/// What a player shows of themselves.
pub(super) fn profile(account: AccountRow) -> Profile {
    Profile {
        user: account.user,
        username: account.login.map(|login| login.username),
        name: account.profile.name,
        avatar: account.profile.avatar,
        bio: account.profile.bio,
        language: account.profile.language,
        created_at: account.created_at,
    }
}
