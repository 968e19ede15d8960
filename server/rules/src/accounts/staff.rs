//! Who has a role that is more than a player's. There is one such list, so that the last admin is known.
//!
//! It is where roles are decided: the player's entity is told, and shows the role from then on. Only the configuration gives a
//! role the other way round: the player's entity takes it at sign-in, and tells the list, which tells it back. Whatever crossed on
//! the way, the player ends with what was decided here last.

use std::collections::BTreeMap;

use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::accounts::Role;

use super::refusal::AccountRefusal;

/// What a decision about roles changes, all in one atomic commit.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct StaffEffects {
    /// Players whose row changed; `None` is removed: an ordinary player.
    pub rows: Vec<(UserId, Option<Role>)>,
    /// Players to be told their role.
    pub told: Vec<(UserId, Role)>,
}

/// Everybody with a role that is more than a player's.
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

    /// A player's role.
    pub fn role(&self, user: UserId) -> Role {
        self.roles.get(&user).copied().unwrap_or(Role::Player)
    }

    /// Sets a role. `seen`: what the player's account shows, which may be ahead of the list, or behind it. Returns whether it is
    /// another one.
    ///
    /// # Errors
    /// [`AccountRefusal::LastAdmin`].
    pub fn set(
        &mut self,
        user: UserId,
        role: Role,
        seen: Role,
        effects: &mut StaffEffects,
    ) -> Result<bool, AccountRefusal> {
        let known = self.role(user);
        if known == role && (seen == role || self.roles.contains_key(&user)) {
            return Ok(false);
        }
        let is_admin = known == Role::Admin || seen == Role::Admin;
        if is_admin && role != Role::Admin && !self.has_admin_beside(user) {
            return Err(AccountRefusal::LastAdmin);
        }
        self.put(user, role, effects);
        Ok(true)
    }

    /// The configuration has given a player a role.
    pub fn configured(&mut self, user: UserId, role: Role, effects: &mut StaffEffects) {
        self.put(user, role, effects);
    }

    fn has_admin_beside(&self, user: UserId) -> bool {
        let mut others = self.roles.iter().filter(|(other, _)| **other != user);
        others.any(|(_, role)| *role == Role::Admin)
    }

    fn put(&mut self, user: UserId, role: Role, effects: &mut StaffEffects) {
        let row = (role != Role::Player).then_some(role);
        match row {
            Some(role) => self.roles.insert(user, role),
            None => self.roles.remove(&user),
        };
        effects.rows.push((user, row));
        effects.told.push((user, role));
    }
}
