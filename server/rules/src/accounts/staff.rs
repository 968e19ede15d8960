//! Who has a role that is more than a player's. There is one such list, so that the last admin is known.
//!
//! It is where roles are decided: the player's entity is told, and shows the role from then on. Only the configuration gives a
//! role the other way round: the player's entity takes it at sign-in, and tells the list, which tells it back. Whatever crossed on
//! the way, the player ends with what was decided here last. The list decides the caller's role, too: whoever it has demoted sets
//! no roles, whatever their account or their connections still show.

use std::collections::BTreeMap;

use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::accounts::Role;

use super::refusal::AccountRefusal;

/// What a decision about roles changes, all in one atomic commit.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct StaffEffects {
    /// Players whose row changed.
    pub rows: Vec<(UserId, Role)>,
    /// Players to be told their role.
    pub told: Vec<(UserId, Role)>,
}

/// A player, and the role that the account showed a moment ago: it may be behind the list, or ahead of it, by a role that the
/// configuration has given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Who.
    pub user: UserId,
    /// The role.
    pub role: Role,
}

/// A role to be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleChange {
    /// Who sets it.
    pub by: Shown,
    /// Whose it is.
    pub of: Shown,
    /// The role.
    pub role: Role,
}

/// Everybody whose role is more than a player's, or was: that a role was taken away is decided here, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Staff {
    roles: BTreeMap<UserId, Role>,
}

impl Staff {
    /// The list as it is stored.
    pub fn load(roles: impl IntoIterator<Item = (UserId, Role)>) -> Self {
        Self {
            roles: roles.into_iter().collect(),
        }
    }

    /// A player's role. Of whom nothing was decided the account is right.
    pub fn role_of(&self, shown: Shown) -> Role {
        self.roles.get(&shown.user).copied().unwrap_or(shown.role)
    }

    /// Sets a role. Returns whether it is another one.
    ///
    /// # Errors
    /// [`AccountRefusal::NotAnAdmin`], `LastAdmin`.
    pub fn set(
        &mut self,
        change: RoleChange,
        effects: &mut StaffEffects,
    ) -> Result<bool, AccountRefusal> {
        let RoleChange { by, of, role } = change;
        if self.role_of(by) != Role::Admin {
            return Err(AccountRefusal::NotAnAdmin);
        }
        let is_now = self.role_of(of);
        if is_now == role {
            return Ok(false);
        }
        if is_now == Role::Admin && !self.has_admin_beside(of.user) {
            return Err(AccountRefusal::LastAdmin);
        }
        self.put(of.user, role, effects);
        Ok(true)
    }

    /// The configuration has given a player a role. What was decided before stays, and the player is told.
    pub fn configured(&mut self, user: UserId, role: Role, effects: &mut StaffEffects) {
        match self.roles.get(&user) {
            Some(decided) => effects.told.push((user, *decided)),
            None => self.put(user, role, effects),
        }
    }

    fn has_admin_beside(&self, user: UserId) -> bool {
        let mut others = self.roles.iter().filter(|(other, _)| **other != user);
        others.any(|(_, role)| *role == Role::Admin)
    }

    fn put(&mut self, user: UserId, role: Role, effects: &mut StaffEffects) {
        self.roles.insert(user, role);
        effects.rows.push((user, role));
        effects.told.push((user, role));
    }
}
