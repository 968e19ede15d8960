//! The entity that keeps everybody's role that is more than a player's, or was. There is one, so that the last admin is known.
//!
//! Roles are decided here, and who may decide them, and the player's entity is told by a signal, which sets the account's role and tells the player. A role
//! that the configuration gives comes the other way round; see [`pitturu_rules::accounts::staff`].

mod live_staff;

use std::sync::Arc;

use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{ID_BYTES, UserId};
use pitturu_protocol::types::accounts::Role;
use pitturu_rules::accounts::{RoleChange, Shown, Staff};
use pitturu_store::StoreError;
use pitturu_store::entities::{Entities, EntityId, Kind, LoadedPart, Part, Row, RowKey, RowRange};

pub use self::live_staff::LiveStaff;
use super::Environment;
use crate::connections::address::Address;
use crate::connections::caller::{Caller, IdempotencyKey};
use crate::io_threads::IoThreads;
use crate::owners::Owners;
use crate::owners::answering::{Answered, Loaded};
use crate::owners::journal::Journal;

/// The staff among the kinds of entities.
pub const STAFF: Kind = Kind(3);

/// Rows of roles: user.
const ROLES: &[u8] = b"r";

/// The id of the one entity of its kind.
const ID: UserId = UserId::from_bytes([0; ID_BYTES]);

/// The staff among entities.
pub fn entity() -> EntityId {
    EntityId::new(STAFF, ID)
}

fn role_row(user: UserId, role: Role) -> (RowKey, Option<Vec<u8>>) {
    let key = [ROLES, user.as_bytes()].concat();
    (key, Some(codec::encode(&role)))
}

/// What is asked of the staff.
#[derive(Clone, Copy, Debug)]
pub enum Ask {
    /// Set a role, by a call from this address. Answers a `bool`, whether the role is another one.
    SetRole(RoleChange, Address),
    /// Say which role a player has. Answers a `Role`.
    RoleOf(Shown),
}

async fn load(entities: Arc<dyn Entities>) -> Result<Loaded<Staff>, StoreError> {
    // Before the read: a failure in between makes the fence old, not the state.
    let fence = entities.fence();
    let parts = vec![Part::Rows(RowRange::prefix(ROLES))];
    let loaded = entities.load(entity(), parts).await?;
    let Some(loaded) = loaded else {
        return Ok(Loaded {
            journal: Journal::begin(entity(), fence),
            state: Staff::default(),
            undelivered: Vec::new(),
        });
    };
    let rows = match loaded.parts.as_slice() {
        [LoadedPart::Rows(rows)] => rows.as_slice(),
        _ => return Err(StoreError::damaged("the staff was loaded in other parts")),
    };
    let roles = rows.iter().map(role).collect::<Result<Vec<_>, _>>()?;
    Ok(Loaded {
        journal: Journal::of(entity(), &loaded),
        state: Staff::load(roles),
        undelivered: loaded.undelivered,
    })
}

fn role((key, row): &Row) -> Result<(UserId, Role), StoreError> {
    let user = key.last_chunk().copied().map(UserId::from_bytes);
    let role = codec::decode(row).ok();
    user.zip(role)
        .ok_or_else(|| StoreError::damaged("a row of roles is none"))
}

/// The owner of the staff.
pub type StaffOwner = Owners<LiveStaff>;

/// Starts the owner, whose task runs on one of these I/O threads.
pub fn start(io_threads: &IoThreads, environment: &Environment) -> StaffOwner {
    let owner = StaffOwner::start(io_threads, 1, environment);
    owner.route(&environment.routes);
    owner
}

impl StaffOwner {
    /// Sets a player's role. Returns whether it is another one; the player's entity has heard of it by then, if it could. The key is
    /// that of who sets it.
    ///
    /// # Errors
    /// Those of [`Staff::set`] and of the store.
    pub async fn set_role(
        &self,
        change: RoleChange,
        address: Address,
        key: Option<IdempotencyKey>,
        now: u64,
    ) -> Result<bool, Fault> {
        let key = key.map(|key| (change.by.user, key));
        let ask = Ask::SetRole(change, address);
        let Answered { body, is_repeated } = self.ask_under(ID, ask, key, now).await?;
        let is_another: bool = codec::decode(&body).map_err(|_| Fault::of(Code::Internal))?;
        Ok(is_another && !is_repeated)
    }

    /// The role of a player, behind every change of it that was acknowledged before.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn role_of(&self, shown: Shown, now: u64) -> Result<Role, Fault> {
        let Answered { body, .. } = self.ask_under(ID, Ask::RoleOf(shown), None, now).await?;
        codec::decode(&body).map_err(|_| Fault::of(Code::Internal))
    }

    /// A caller whom the staff knows as an admin at this moment: what the connection shows may be behind.
    ///
    /// # Errors
    /// [`Code::Forbidden`], and those of the store.
    pub async fn admin(&self, caller: &Caller) -> Result<Shown, Fault> {
        self.who(caller, |role| role == Role::Admin).await
    }

    /// A caller whom the staff knows as a moderator or an admin at this moment.
    ///
    /// # Errors
    /// [`Code::Forbidden`], and those of the store.
    pub async fn moderator(&self, caller: &Caller) -> Result<Shown, Fault> {
        self.who(caller, Role::keeps_order).await
    }

    /// A caller whom the staff knows as a server of the game or an admin at this moment.
    ///
    /// # Errors
    /// [`Code::Forbidden`], and those of the store.
    pub async fn service(&self, caller: &Caller) -> Result<Shown, Fault> {
        self.who(caller, Role::gives).await
    }

    /// Refuses one of the staff who would act on a player whose role is not below theirs, or on themselves.
    ///
    /// # Errors
    /// [`Code::Forbidden`], and those of the store.
    pub async fn check_below(&self, staff: Shown, of: Shown, now: u64) -> Result<(), Fault> {
        let is_below = staff.role.acts_on(self.role_of(of, now).await?);
        match is_below && of.user != staff.user {
            true => Ok(()),
            false => {
                let why =
                    "the player's role is not below yours: an admin has to take it away first";
                Err(Fault::new(Code::Forbidden, why))
            }
        }
    }

    async fn who(&self, caller: &Caller, may: fn(Role) -> bool) -> Result<Shown, Fault> {
        let identity = caller.identity()?;
        let shown = Shown {
            user: identity.user,
            role: identity.role,
        };
        let role = self.role_of(shown, caller.now).await?;
        match may(role) {
            true => Ok(Shown { role, ..shown }),
            false => Err(Fault::of(Code::Forbidden)),
        }
    }
}
