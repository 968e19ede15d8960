//! Players as calls about points, items and rewards reach them: a player's own, and, for those who give, those of others.

use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::accounts::Role;
use serde::de::DeserializeOwned;

use crate::connections::caller::Caller;
use crate::players::PlayerOwners;
use crate::players::command::Ask;
use crate::players::staff::StaffOwner;
use crate::players::store::PlayerStore;

/// What is stored of players, their owners, and who may do something about others.
#[derive(Clone)]
pub struct PlayersAccess {
    /// What is stored.
    pub store: PlayerStore,
    /// Their owners.
    pub owners: PlayerOwners,
    /// Who has a role that is more than a player's.
    pub staff: StaffOwner,
}

impl PlayersAccess {
    /// Whom a call is about: the caller, or, for services and admins, another player.
    ///
    /// # Errors
    /// [`Code::Forbidden`], [`Code::NotFound`].
    pub async fn whose(&self, caller: &Caller, user: Option<UserId>) -> Result<UserId, Fault> {
        let identity = caller.identity()?;
        let user = user.unwrap_or(identity.user);
        if user != identity.user {
            self.staff.service(caller).await?;
            self.check_exists(user).await?;
        }
        Ok(user)
    }

    /// Whether the caller is told who of the staff did what: admins and services are, players are not, also about themselves.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn is_told_who(&self, caller: &Caller) -> Result<bool, Fault> {
        // What the connection shows may be behind: whoever it lets pass is looked at.
        if !caller.identity()?.role.gives() {
            return Ok(false);
        }
        match self.staff.service(caller).await {
            Ok(_) => Ok(true),
            Err(fault) if fault.code == Code::Forbidden => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// An admin or a service that gives something to a player or takes it, with this note. An admin is a person, and says why. A service
    /// is a program, and its key may say it.
    ///
    /// # Errors
    /// [`Code::Forbidden`]; [`Code::InvalidArgument`] for an admin without a note; those of the store.
    pub async fn giver(&self, caller: &Caller, note: &str) -> Result<UserId, Fault> {
        let by = self.staff.service(caller).await?;
        if by.role == Role::Admin && note.is_empty() {
            let why = "an admin says why, in words that the player may read";
            return Err(Fault::invalid("note", why));
        }
        Ok(by.user)
    }

    /// Refuses a player that there is not.
    ///
    /// # Errors
    /// [`Code::NotFound`].
    pub async fn check_exists(&self, user: UserId) -> Result<(), Fault> {
        match self.store.account(user).await? {
            Some(_) => Ok(()),
            None => Err(Fault::of(Code::NotFound)),
        }
    }

    /// Has a player's entity decide something under the key of the call, which belongs to the caller.
    ///
    /// # Errors
    /// Those of the rules and of the store.
    pub async fn decide<T: DeserializeOwned>(
        &self,
        caller: &Caller,
        user: UserId,
        ask: Ask,
    ) -> Result<T, Fault> {
        let decided = self.decide_once(caller, user, ask).await;
        decided.map(|(value, _)| value)
    }

    /// As [`Self::decide`], and whether this call has brought it about, and not an earlier one under the same key.
    ///
    /// # Errors
    /// Those of the rules and of the store.
    pub async fn decide_once<T: DeserializeOwned>(
        &self,
        caller: &Caller,
        user: UserId,
        ask: Ask,
    ) -> Result<(T, bool), Fault> {
        let by = caller.user()?;
        let key = caller.key.clone().map(|key| (by, key));
        let answered = self.owners.ask_under(user, ask, key, caller.now).await?;
        let value = codec::decode(&answered.body).map_err(|_| Fault::of(Code::Internal))?;
        Ok((value, !answered.is_repeated))
    }
}
