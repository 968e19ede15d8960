//! Profiles: what players show of themselves.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_protocol::limits::USERS_PER_CALL_MAX;
use pitturu_protocol::types::profile::{
    FindPlayer, GetProfile, GetProfiles, Profile, Profiles, UpdateProfile,
};
use pitturu_rules::names;
use pitturu_store::StoreError;
use pitturu_store::accounts::{AccountRow, Accounts, ProfileChange};

use super::accounts::keyed;
use crate::chat::directory::DisplayNames;
use crate::connections::caller::Caller;
use crate::connections::session_notifier::SessionNotifier;

/// Most display names that are remembered: one half of them young, one half old.
const NAMES_REMEMBERED_MAX: usize = 20_000;

/// The calls of [`pitturu_protocol::types::profile`], and the names of players for everybody who shows them.
pub struct ProfileService {
    store: Arc<dyn Accounts>,
    notifier: Arc<dyn SessionNotifier>,
    names: Mutex<Names>,
}

impl ProfileService {
    /// Profiles in this store.
    pub fn new(store: Arc<dyn Accounts>, notifier: Arc<dyn SessionNotifier>) -> Self {
        Self {
            store,
            notifier,
            names: Mutex::default(),
        }
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
        let accounts = self.store.accounts(request.users).await?;
        Ok(Profiles {
            profiles: accounts.into_iter().map(profile).collect(),
        })
    }

    /// [`FindPlayer`].
    pub async fn find_player(&self, _: &Caller, request: FindPlayer) -> Result<Profile, Fault> {
        let name = names::Username::parse(&request.username)?;
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
        let change = change(&request)?;
        let renamed = change.name.is_some();
        let updated = self
            .store
            .update_profile(user, change, keyed(caller, Some(user)))
            .await?;
        let account = self
            .store
            .account(user)
            .await?
            .ok_or_else(|| Fault::of(Code::TokenInvalid))?;
        if renamed {
            self.names().forget(user);
            self.notifier.renamed(user, &account.profile.name);
        }
        Ok(profile(AccountRow {
            profile: updated.value,
            ..account
        }))
    }

    /// The display name of a player, from memory where it can be.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn display_name(&self, user: UserId) -> Result<Option<Arc<str>>, StoreError> {
        let (known, epoch) = {
            let mut names = self.names();
            (names.get(user), names.epoch)
        };
        if known.is_some() {
            return Ok(known);
        }
        let Some(account) = self.store.account(user).await? else {
            return Ok(None);
        };
        let name: Arc<str> = account.profile.name.into();
        self.names().put(user, Arc::clone(&name), epoch);
        Ok(Some(name))
    }

    fn names(&self) -> parking_lot::MutexGuard<'_, Names> {
        self.names.lock()
    }
}

#[async_trait]
impl DisplayNames for ProfileService {
    async fn display_name(&self, user: UserId) -> Result<Option<Arc<str>>, StoreError> {
        Self::display_name(self, user).await
    }
}

/// Display names in two generations: when the young one is full it becomes the old one, and what was old is forgotten.
#[derive(Debug, Default)]
struct Names {
    young: HashMap<UserId, Arc<str>>,
    old: HashMap<UserId, Arc<str>>,
    /// Counts changes of names, so that a name read before a change is not remembered after it.
    epoch: u64,
}

impl Names {
    fn get(&mut self, user: UserId) -> Option<Arc<str>> {
        if let Some(name) = self.young.get(&user) {
            return Some(Arc::clone(name));
        }
        let name = self.old.remove(&user)?;
        self.put(user, Arc::clone(&name), self.epoch);
        Some(name)
    }

    fn put(&mut self, user: UserId, name: Arc<str>, epoch: u64) {
        if epoch != self.epoch {
            return;
        }
        if self.young.len() >= NAMES_REMEMBERED_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(user, name);
    }

    fn forget(&mut self, user: UserId) {
        self.epoch += 1;
        self.young.remove(&user);
        self.old.remove(&user);
    }
}

fn change(request: &UpdateProfile) -> Result<ProfileChange, Fault> {
    let name = match &request.name {
        Some(name) => Some(names::display_name("name", name)?),
        None => None,
    };
    let note = |field: &str, text: &Option<String>| match text {
        Some(text) => names::note(field, text).map(Some),
        None => Ok(None),
    };
    let language = match &request.language {
        Some(tag) => Some(names::language(tag)?),
        None => None,
    };
    Ok(ProfileChange {
        name,
        avatar: note("avatar", &request.avatar)?,
        bio: note("bio", &request.bio)?,
        language,
    })
}

fn profile(account: AccountRow) -> Profile {
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
