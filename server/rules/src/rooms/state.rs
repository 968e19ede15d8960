//! What a room is, and what it shows of itself.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::accounts::Role;
use pitturu_protocol::types::chat::{
    Ban, Bans, Member, MemberRole, Members, Membership, Retention, RoomInfo, RoomKind,
};

use super::Effects;
use super::rows::{MemberRow, MemberState, RoomRow, StoredRoom};
use crate::pages::Page;
use crate::signals::PlayerSignal;

/// Who acts, and when.
#[derive(Clone, Debug)]
pub struct Actor {
    /// The player.
    pub user: UserId,
    /// Their display name.
    pub name: Arc<str>,
    /// Their role in the whole product.
    pub role: Role,
    /// Milliseconds since 1970: for what is stored or shown.
    pub now: u64,
    /// Milliseconds on a clock that never jumps: for intervals.
    pub steady_ms: u64,
}

/// Decides whether a room may carry a text. Must answer at once.
pub trait TextFilter: Send + Sync + fmt::Debug {
    /// Whether the text may be sent.
    fn allows(&self, room: RoomId, text: &str) -> bool;
}

/// Bounds and defaults of all rooms, from the configuration.
#[derive(Clone, Debug)]
pub struct ChatLimits {
    /// Most members of one room.
    pub members_max: u32,
    /// What a room keeps when its creator does not say.
    pub retention: Retention,
    /// The word filter.
    pub filter: Option<Arc<dyn TextFilter>>,
}

impl Default for ChatLimits {
    fn default() -> Self {
        Self {
            members_max: 100_000,
            retention: Retention::default(),
            filter: None,
        }
    }
}

/// A room in memory: its rows, and what its order needs.
#[derive(Debug)]
pub struct Room {
    pub(super) row: RoomRow,
    pub(super) members: BTreeMap<UserId, MemberRow>,
    pub(super) joined: u32,
    pub(super) first: u64,
    pub(super) changes_first: u64,
    pub(super) head: u64,
    pub(super) rev: u64,
    pub(super) last_at: u64,
    pub(super) blocked: bool,
    pub(super) wrote_at: HashMap<UserId, u64>,
    pub(super) typed_at: HashMap<UserId, u64>,
    pub(super) limits: Arc<ChatLimits>,
}

impl Room {
    /// The room as the store has it. `blocked`: one of a direct room's two players has blocked the other.
    pub fn load(loaded: StoredRoom, blocked: bool, limits: Arc<ChatLimits>) -> Self {
        let joined = loaded
            .members
            .iter()
            .filter(|member| member.state == MemberState::Member)
            .count();
        Self {
            head: loaded.head,
            rev: loaded.rev,
            first: loaded.first,
            changes_first: loaded.changes_first,
            last_at: loaded.last_at,
            joined: u32::try_from(joined).unwrap_or(u32::MAX),
            members: loaded
                .members
                .into_iter()
                .map(|member| (member.user, member))
                .collect(),
            row: loaded.row,
            blocked,
            wrote_at: HashMap::new(),
            typed_at: HashMap::new(),
            limits,
        }
    }

    /// The room's id.
    pub const fn id(&self) -> RoomId {
        self.row.room
    }

    /// Newest message's sequence, whether or not it is durable yet.
    pub const fn head(&self) -> u64 {
        self.head
    }

    /// Newest change's revision, whether or not it is durable yet.
    pub const fn rev(&self) -> u64 {
        self.rev
    }

    /// The room's row.
    pub const fn row(&self) -> &RoomRow {
        &self.row
    }

    /// Whether the room was deleted.
    pub const fn is_deleted(&self) -> bool {
        self.row.deleted
    }

    /// Notes that a direct room's players have blocked each other, or no longer.
    pub fn set_blocked(&mut self, blocked: bool) {
        self.blocked = blocked;
    }

    /// Members, online or not.
    pub const fn member_count(&self) -> u32 {
        self.joined
    }

    /// Oldest message that is kept.
    pub const fn first(&self) -> u64 {
        self.first
    }

    /// Oldest change that is kept.
    pub const fn changes_first(&self) -> u64 {
        self.changes_first
    }

    pub(super) fn place(&self, user: UserId) -> Option<&MemberRow> {
        self.members
            .get(&user)
            .filter(|member| member.state == MemberState::Member)
    }

    /// The caller's row, if they are a member.
    pub fn member(&self, user: UserId) -> Result<&MemberRow, Fault> {
        match self.members.get(&user) {
            Some(member) if member.state == MemberState::Member => Ok(member),
            Some(MemberRow {
                state: MemberState::Banned { .. },
                ..
            }) => Err(Fault::of(Code::Banned)),
            _ if self.row.kind == RoomKind::Public => Err(Fault::of(Code::NotAMember)),
            Some(MemberRow {
                state: MemberState::Invited,
                ..
            }) => Err(Fault::of(Code::NotAMember)),
            _ => Err(Fault::of(Code::RoomNotFound)),
        }
    }

    /// What the actor may do here, members and the product's own staff alike.
    pub(super) fn authority(&self, actor: &Actor) -> Result<MemberRole, Fault> {
        let staff = match actor.role {
            _ if self.row.kind == RoomKind::Direct => None,
            Role::Admin => Some(MemberRole::Owner),
            Role::Moderator => Some(MemberRole::Moderator),
            Role::Player => None,
        };
        match (self.member(actor.user), staff) {
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

    /// What the room shows to `viewer` while `head` is its newest durable message.
    pub fn info(&self, viewer: UserId, head: u64) -> RoomInfo {
        let peer = self
            .row
            .peers
            .map(|[one, other]| if one == viewer { other } else { one });
        let peer_name = peer.and_then(|peer| self.members.get(&peer));
        RoomInfo {
            room: self.row.room,
            kind: self.row.kind,
            name: peer_name.map_or_else(|| self.row.name.clone(), |row| row.name.clone()),
            topic: self.row.topic.clone(),
            peer,
            members: self.joined,
            head,
            first: self.first.min(head + 1),
            slow_mode_ms: self.row.slow_mode_ms,
            retention: self.row.retention.clone(),
            created_at: self.row.created_at,
        }
    }

    /// The caller's own place.
    pub fn membership(&self, user: UserId) -> Result<Membership, Fault> {
        self.member(user).map(membership)
    }

    /// A page of members. `online` tells who has the room open.
    pub fn list_members(
        &self,
        actor: &Actor,
        only_online: bool,
        after: Option<UserId>,
        limit: usize,
        online: impl Fn(UserId) -> bool,
    ) -> Result<Members, Fault> {
        self.authority(actor)?;
        let members = self
            .rows_after(after)
            .filter(|row| row.state == MemberState::Member)
            .map(|row| Member {
                user: row.user,
                name: row.name.clone(),
                role: row.role,
                online: online(row.user),
                muted_until: row.muted_until,
                joined_at: row.joined_at,
            })
            .filter(|member| member.online || !only_online);
        let (members, more) = Page::of(limit, members).into_parts();
        Ok(Members { members, more })
    }

    /// A page of bans that are still in force.
    pub fn list_bans(
        &self,
        actor: &Actor,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Bans, Fault> {
        self.require(actor, MemberRole::Moderator)?;
        let bans = self.rows_after(after).filter_map(|row| match &row.state {
            MemberState::Banned { by, until, reason }
                if until.is_none_or(|until| until > actor.now) =>
            {
                Some(Ban {
                    user: row.user,
                    by: *by,
                    until: *until,
                    reason: reason.clone(),
                })
            }
            _ => None,
        });
        let (bans, more) = Page::of(limit, bans).into_parts();
        Ok(Bans { bans, more })
    }

    fn rows_after(&self, after: Option<UserId>) -> impl Iterator<Item = &MemberRow> {
        use std::ops::Bound;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.members
            .range((from, Bound::Unbounded))
            .map(|(_, row)| row)
    }

    pub(super) fn save_member(&mut self, row: MemberRow, effects: &mut Effects) {
        let was = self.place(row.user).is_some();
        let is = row.state == MemberState::Member;
        if was != is {
            self.joined = if is {
                self.joined + 1
            } else {
                self.joined.saturating_sub(1)
            };
            effects.rows.joined = Some(self.joined);
            effects
                .events
                .push(super::RoomEvent::MembersMoved(self.joined));
        }
        let before = self.members.get(&row.user);
        let is_listed = row.state.is_listed();
        if before.is_some_and(|row| row.state.is_listed()) != is_listed {
            let room = self.row.room;
            let signal = PlayerSignal::Room { room, is_listed };
            effects.signals.push((row.user, signal));
        }
        effects.rows.members.push(row.clone());
        if row.state == MemberState::Left {
            self.members.remove(&row.user);
        } else {
            self.members.insert(row.user, row);
        }
    }

    pub(super) fn save_row(&self, effects: &mut Effects) {
        effects.rows.row = Some(self.row.clone());
    }
}

/// A member's row from `joined_at` on.
pub(super) fn new_member(
    user: UserId,
    name: impl Into<String>,
    role: MemberRole,
    joined_at: u64,
) -> MemberRow {
    MemberRow {
        user,
        name: name.into(),
        role,
        state: MemberState::Member,
        read: 0,
        muted_until: None,
        joined_at,
        invited_by: None,
    }
}

/// What a player sees of their own place.
pub fn membership(row: &MemberRow) -> Membership {
    Membership {
        role: row.role,
        read: row.read,
        muted_until: row.muted_until,
        joined_at: row.joined_at,
    }
}
