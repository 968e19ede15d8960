//! How a player stands to a room at a moment, and what they may do for it.
//!
//! Two things make that differ from the row that is stored. A ban that is over is as if the player had left. And what a room
//! decides of its members does not bind the product's moderators and admins as long as they are it: they keep order in all
//! rooms that are not direct, so no owner gets rid of them or silences them. What was decided of them is kept, and binds once
//! the role is gone. All that asks how somebody stands asks here.

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::accounts::Role;
use pitturu_protocol::types::chat::{MemberRole, Membership, RoomKind};

use super::rows::{MemberRow, MemberState};
use super::{Actor, Room};

/// Whether mutes and bans in a room of this kind bind a player of this role.
fn binds(kind: RoomKind, role: Role) -> bool {
    kind == RoomKind::Direct || !role.keeps_order()
}

/// What a place in a room of this kind says of a player of this role at this time, as far as it binds them.
fn binding(kind: RoomKind, place: Option<&MemberRow>, role: Role, now: u64) -> Option<&MemberRow> {
    let place = place.filter(|row| row.state.is_in_force(now));
    let is_bound = binds(kind, role);
    place.filter(|row| is_bound || !matches!(row.state, MemberState::Banned { .. }))
}

/// The place in a room of this kind of a player of this role, if it is a member's at this time: for who has read the rows of a room that
/// is not deleted.
///
/// # Errors
/// How they stand to the room instead. To be asked before anything that the call names is looked at.
pub fn member_of(
    kind: RoomKind,
    place: Option<&MemberRow>,
    role: Role,
    now: u64,
) -> Result<&MemberRow, Fault> {
    let is_public = kind == RoomKind::Public;
    match binding(kind, place, role, now).map(|row| (row, &row.state)) {
        Some((row, MemberState::Member)) => Ok(row),
        Some((row, MemberState::Banned { .. })) if is_public || !row.unasked => {
            Err(Fault::of(Code::Banned))
        }
        Some((_, MemberState::Invited)) => Err(Fault::of(Code::NotAMember)),
        _ if is_public => Err(Fault::of(Code::NotAMember)),
        _ => Err(Fault::of(Code::RoomNotFound)),
    }
}

impl Room {
    /// The row of a member.
    pub(super) fn place(&self, user: UserId) -> Option<&MemberRow> {
        self.members
            .get(&user)
            .filter(|member| member.state == MemberState::Member)
    }

    /// The row of a player, if it says something at this time.
    pub(super) fn held(&self, user: UserId, now: u64) -> Option<&MemberRow> {
        let held = self.members.get(&user);
        held.filter(|row| row.state.is_in_force(now))
    }

    /// The actor's own row, as far as it binds them.
    pub(super) fn own(&self, actor: &Actor) -> Option<&MemberRow> {
        let place = self.members.get(&actor.user);
        binding(self.row.kind, place, actor.role, actor.now)
    }

    /// Whether a player belongs to the room.
    pub fn is_member(&self, user: UserId) -> bool {
        self.place(user).is_some()
    }

    /// Whether the actor may know that there is such a room: it is public, they belong to it, are invited, were put out of it for
    /// a time that is not over, or keep order in all rooms that are not direct. To anybody else it answers as a room that
    /// does not exist, whatever is asked. To be asked before anything else.
    pub fn is_known_to(&self, actor: &Actor) -> bool {
        match (self.row.kind, self.own(actor)) {
            _ if self.row.deleted => false,
            (RoomKind::Public, _) => true,
            (RoomKind::Private, _) if actor.role.keeps_order() => true,
            (_, Some(row)) => !row.unasked,
            (_, None) => false,
        }
    }

    /// The actor's row, if they are a member.
    ///
    /// # Errors
    /// Those of [`member_of`].
    pub fn member(&self, actor: &Actor) -> Result<&MemberRow, Fault> {
        let place = self.members.get(&actor.user);
        member_of(self.row.kind, place, actor.role, actor.now)
    }

    /// The actor's own place.
    ///
    /// # Errors
    /// Those of [`Self::member`].
    pub fn membership(&self, actor: &Actor) -> Result<Membership, Fault> {
        self.member(actor).map(|row| membership(row, actor.role))
    }

    /// Whether the actor may put words into the room: messages, edits, reactions, ephemeral messages, typing.
    ///
    /// # Errors
    /// Those of [`Self::member`]; they are muted, here or everywhere; one of a direct room's two players has blocked the other.
    pub fn may_write(&self, actor: &Actor) -> Result<(), Fault> {
        let muted_until = self.member(actor)?.muted_until;
        actor.may_speak()?;
        let is_bound = binds(self.row.kind, actor.role);
        let muted_until = muted_until.filter(|until| *until > actor.now && is_bound);
        if let Some(until) = muted_until {
            return Err(Fault::of(Code::Muted).retry_after_ms(until - actor.now));
        }
        if self.row.kind == RoomKind::Direct && self.blocked {
            return Err(Fault::of(Code::Blocked));
        }
        Ok(())
    }

    /// Whether the actor may delete messages, be it their own alone.
    ///
    /// # Errors
    /// Those of [`Self::member`].
    pub fn may_delete(&self, actor: &Actor) -> Result<(), Fault> {
        self.authority(actor).map(drop)
    }

    /// What the actor may do here, members and the product's own staff alike.
    pub(super) fn authority(&self, actor: &Actor) -> Result<MemberRole, Fault> {
        let staff = match actor.role {
            _ if self.row.kind == RoomKind::Direct => None,
            Role::Admin => Some(MemberRole::Owner),
            Role::Moderator => Some(MemberRole::Moderator),
            Role::Player | Role::Service => None,
        };
        match (self.member(actor), staff) {
            (Ok(member), staff) => Ok(staff.map_or(member.role, |role| role.max(member.role))),
            (Err(_), Some(role)) => Ok(role),
            (Err(fault), None) => Err(fault),
        }
    }

    pub(super) fn require(&self, actor: &Actor, least: MemberRole) -> Result<MemberRole, Fault> {
        let authority = self.authority(actor)?;
        if authority < least {
            return Err(Fault::of(Code::Forbidden));
        }
        Ok(authority)
    }
}

/// What a player with this role in the whole product sees of their own place: a mute that does not bind them is none.
pub fn membership(row: &MemberRow, role: Role) -> Membership {
    Membership {
        role: row.role,
        read: row.read,
        muted_until: row.muted_until.filter(|_| !role.keeps_order()),
        joined_at: row.joined_at,
    }
}
