//! The entity that keeps everybody's role that is more than a player's. There is one, so that the last admin is known.
//!
//! Roles are decided here, and the player's entity is told by a signal, which sets the account's role and tells the player. A role
//! that the configuration gives comes the other way round; see [`pitturu_rules::accounts::staff`].

mod live_staff;

use std::sync::Arc;

use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{ID_BYTES, UserId};
use pitturu_protocol::types::accounts::Role;
use pitturu_rules::accounts::Staff;
use pitturu_store::StoreError;
use pitturu_store::entities::{
    Entities, EntityId, Kind, LoadedPart, Part, Row, RowKey, RowRange, Undelivered,
};
use tokio::sync::oneshot;

pub use self::live_staff::LiveStaff;
use super::Environment;
use super::command::{Answered, Asker};
use crate::connections::caller::IdempotencyKey;
use crate::io_threads::IoThreads;
use crate::owners::Owners;
use crate::owners::journal::Journal;
use crate::owners::signals::{Delivery, undelivered};

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

fn role_row(user: UserId, role: Option<Role>) -> (RowKey, Option<Vec<u8>>) {
    let key = [ROLES, user.as_bytes()].concat();
    (key, role.map(|role| codec::encode(&role)))
}

/// A role to be set.
#[derive(Debug)]
pub struct SetRoleCall {
    /// Whose.
    pub user: UserId,
    /// The role.
    pub role: Role,
    /// The role that the player's account showed a moment ago.
    pub seen: Role,
    /// The call's key, and the admin whose it is.
    pub key: Option<(UserId, IdempotencyKey)>,
    /// When it was read, in milliseconds since 1970.
    pub now: u64,
    /// Who is answered: a `bool`, whether the role is another one.
    pub to: Asker,
}

impl SetRoleCall {
    /// Refuses it. Whoever asked may have gone.
    fn refuse(self, fault: &Fault) {
        drop(self.to.send(Err(fault.clone())));
    }
}

/// What the owner of the staff is asked by the rest of the server.
#[derive(Debug)]
pub enum Command {
    /// Set a role.
    SetRole(Box<SetRoleCall>),
    /// From the owner of another entity.
    Delivery(Delivery),
}

impl From<Delivery> for Command {
    fn from(delivery: Delivery) -> Self {
        Self::Delivery(delivery)
    }
}

/// The staff as its owner takes it up.
#[derive(Debug)]
pub struct LoadedStaff {
    journal: Journal,
    staff: Staff,
    undelivered: Vec<Undelivered>,
}

async fn load(entities: Arc<dyn Entities>) -> Result<LoadedStaff, StoreError> {
    // Before the read: a failure in between makes the fence old, not the state.
    let fence = entities.fence();
    let parts = vec![Part::Rows(RowRange::prefix(ROLES))];
    let loaded = entities.load(entity(), parts).await?;
    let undelivered = undelivered(&entities, entity()).await?;
    let Some(loaded) = loaded else {
        return Ok(LoadedStaff {
            journal: Journal::begin(entity(), fence),
            staff: Staff::default(),
            undelivered,
        });
    };
    let rows = match loaded.parts.as_slice() {
        [LoadedPart::Rows(rows)] => rows.as_slice(),
        _ => return Err(StoreError::damaged("the staff was loaded in other parts")),
    };
    let roles = rows.iter().map(role).collect::<Result<Vec<_>, _>>()?;
    Ok(LoadedStaff {
        journal: Journal::of(entity(), &loaded),
        staff: Staff::load(roles),
        undelivered,
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
    /// Sets a player's role, whose account shows `seen`. Returns whether it is another one; the player's entity has heard of it by
    /// then, if it could.
    ///
    /// # Errors
    /// Those of [`Staff::set`] and of the store.
    pub async fn set_role(
        &self,
        user: UserId,
        role: Role,
        seen: Role,
        key: Option<(UserId, IdempotencyKey)>,
        now: u64,
    ) -> Result<bool, Fault> {
        let (to, answer) = oneshot::channel();
        self.send(Command::SetRole(Box::new(SetRoleCall {
            user,
            role,
            seen,
            key,
            now,
            to,
        })));
        let answer = answer.await;
        let Answered { body, .. } = answer.unwrap_or_else(|_| Err(Fault::of(Code::Unavailable)))?;
        codec::decode(&body).map_err(|_| Fault::of(Code::Internal))
    }
}
