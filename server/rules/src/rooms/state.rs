//! What a room is, and what it shows of itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::mem::discriminant;
use std::sync::Arc;

use pitturu_protocol::codes::Fault;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::accounts::Role;
use pitturu_protocol::types::chat::{
    Ban, Bans, ListBans, ListMembers, Member, MemberRole, Members, Retention, RoomInfo, RoomKind,
};

use super::Effects;
use super::markers::MovedMarkers;
use super::rows::{MemberRow, MemberState, RoomRow, SanctionRow, StoredRoom};
use crate::accounts::Sanctions;
use crate::pages::{Page, page_items};
use crate::signals::{Listed, PlayerSignal};

/// Sanctions beyond twice as many as were left the last time before those that have run out are looked for.
const SANCTIONS_SLACK: usize = 64;

/// Most sanctions that one commit lets go.
const SANCTIONS_SWEPT_MAX: usize = 1_000;

/// Who acts, and when.
#[derive(Clone, Debug)]
pub struct Actor {
    /// The player.
    pub user: UserId,
    /// Their display name.
    pub name: Arc<str>,
    /// Their role in the whole product.
    pub role: Role,
    /// What the staff has decided against them; absent if nothing ever was.
    pub sanctions: Option<Arc<Sanctions>>,
    /// Milliseconds since 1970: for what is stored or shown.
    pub now: u64,
    /// Milliseconds on a clock that never jumps: for intervals.
    pub steady_ms: u64,
}

impl Actor {
    /// That the actor may put words before others, as far as the whole product goes.
    ///
    /// # Errors
    /// They are muted everywhere.
    pub fn may_speak(&self) -> Result<(), Fault> {
        let sanctions = self.sanctions.as_ref();
        sanctions.map_or(Ok(()), |sanctions| sanctions.may_speak(self.now))
    }
}

/// Decides what players may say to others. Must answer at once.
pub trait TextFilter: Send + Sync + fmt::Debug {
    /// Whether the text may be said in this room, or, without one, to the player who gets a gift with it.
    fn allows(&self, room: Option<RoomId>, text: &str) -> bool;
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
    /// The number of whoever came last to stand to the room as they do.
    pub(super) arrivals: u64,
    pub(super) first: u64,
    pub(super) changes_first: u64,
    pub(super) head: u64,
    pub(super) rev: u64,
    pub(super) last_at: u64,
    pub(super) blocked: bool,
    pub(super) moved: MovedMarkers,
    pub(super) sanctions: BTreeMap<UserId, SanctionRow>,
    /// How many sanctions there were when those that had run out were last looked for.
    pub(super) sanctions_swept: usize,
    pub(super) deleted: BTreeSet<u64>,
    /// When players last wrote while the room was in slow mode, on the steady clock.
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
        let arrivals = loaded.members.iter().map(|row| row.number).max();
        let moved = MovedMarkers::load(loaded.last.as_ref());
        let members = loaded.members.into_iter();
        let mut members: BTreeMap<_, _> = members.map(|row| (row.user, row)).collect();
        moved.apply(&mut members);
        Self {
            head: loaded.head,
            rev: loaded.rev,
            first: loaded.first,
            changes_first: loaded.changes_first,
            last_at: loaded.last_at,
            joined: u32::try_from(joined).unwrap_or(u32::MAX),
            arrivals: arrivals.unwrap_or(0),
            members,
            moved,
            row: loaded.row,
            blocked,
            sanctions_swept: loaded.sanctions.len(),
            sanctions: loaded
                .sanctions
                .into_iter()
                .map(|row| (row.user, row))
                .collect(),
            deleted: loaded.deleted.into_iter().collect(),
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

    /// What the room shows to `viewer` while `head` is its newest durable message. A direct room has no name: the other player's
    /// is for the caller to put in, as it is now.
    pub fn info(&self, viewer: UserId, head: u64) -> RoomInfo {
        let peer = self
            .row
            .peers
            .map(|[one, other]| if one == viewer { other } else { one });
        RoomInfo {
            room: self.row.room,
            kind: self.row.kind,
            name: self.row.name.clone(),
            handle: self.row.handle.clone(),
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

    /// A page of members, without their names, which are for the caller to put in, as they are now. `online` tells who has the
    /// room open.
    pub fn list_members(
        &self,
        actor: &Actor,
        request: &ListMembers,
        online: impl Fn(UserId) -> bool,
    ) -> Result<Members, Fault> {
        self.authority(actor)?;
        let limit = page_items(request.limit)?;
        let members = self
            .rows_after(request.after)
            .filter(|row| row.state == MemberState::Member)
            .map(|row| Member {
                user: row.user,
                name: String::new(),
                role: row.role,
                online: online(row.user),
                muted_until: row.muted_until,
                joined_at: row.joined_at,
            })
            .filter(|member| member.online || !request.online);
        let (members, more) = Page::of(limit, members).into_parts();
        Ok(Members { members, more })
    }

    /// A page of bans that are still in force.
    pub fn list_bans(&self, actor: &Actor, request: &ListBans) -> Result<Bans, Fault> {
        self.require(actor, MemberRole::Moderator)?;
        let limit = page_items(request.limit)?;
        let bans = self
            .rows_after(request.after)
            .filter_map(|row| match &row.state {
                MemberState::Banned { by, until, reason } if row.state.is_in_force(actor.now) => {
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

    pub(super) fn save_member(&mut self, mut row: MemberRow, effects: &mut Effects) {
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
        if before.is_none_or(|before| discriminant(&before.state) != discriminant(&row.state)) {
            self.arrivals += 1;
            row.number = self.arrivals;
        }
        let before = self.members.get(&row.user);
        let listed = self.listed(&row);
        if before.and_then(|row| self.listed(row)) != listed {
            self.tell_listed(row.user, listed, effects);
        }
        self.moved.is_stored(row.user);
        effects.rows.members.push(row.clone());
        if row.state == MemberState::Left {
            self.members.remove(&row.user);
        } else {
            self.members.insert(row.user, row);
        }
    }

    /// How the room stands in the list of the player whose place this is.
    fn listed(&self, row: &MemberRow) -> Option<Listed> {
        match (&row.state, row.invited_by) {
            (MemberState::Member, Some(by)) if self.row.kind == RoomKind::Direct => {
                Some(Listed::Direct(by))
            }
            (MemberState::Member, _) => Some(Listed::Own),
            (MemberState::Invited, by) => Some(Listed::Invited(by.unwrap_or(row.user))),
            (MemberState::Banned { .. } | MemberState::Left, _) => None,
        }
    }

    pub(super) fn tell_listed(&self, user: UserId, listed: Option<Listed>, effects: &mut Effects) {
        let room = self.row.room;
        let signal = PlayerSignal::Room { room, listed };
        effects.signals.push((user, signal));
    }

    /// What limits a player here.
    pub(super) fn sanction(&self, user: UserId) -> SanctionRow {
        let held = self.sanctions.get(&user);
        held.copied().unwrap_or(SanctionRow::none(user))
    }

    /// Puts what limits a player, and lets go of what has run out.
    pub(super) fn save_sanction(&mut self, row: SanctionRow, now: u64, effects: &mut Effects) {
        let pause = u64::from(self.row.slow_mode_ms);
        self.put_sanction(row, now, effects);
        if self.sanctions.len() < 2 * self.sanctions_swept + SANCTIONS_SLACK {
            return;
        }
        let over = self
            .sanctions
            .values()
            .filter(|row| !row.matters(pause, now));
        let over: Vec<UserId> = over.map(|row| row.user).take(SANCTIONS_SWEPT_MAX).collect();
        for user in over {
            self.put_sanction(SanctionRow::none(user), now, effects);
        }
        self.sanctions_swept = self.sanctions.len();
    }

    fn put_sanction(&mut self, row: SanctionRow, now: u64, effects: &mut Effects) {
        let user = row.user;
        let matters = row.matters(u64::from(self.row.slow_mode_ms), now);
        if matters {
            self.sanctions.insert(user, row);
        } else if self.sanctions.remove(&user).is_none() {
            return;
        }
        effects.rows.sanctions.push((user, matters.then_some(row)));
    }

    /// Messages behind a read marker that are there and not deleted.
    pub fn unread(&self, read: u64) -> u64 {
        let from = read.max(self.first.saturating_sub(1));
        let deleted = self.deleted.range(from + 1..).count() as u64;
        super::messages::unread(self.head, self.first, read).saturating_sub(deleted)
    }

    pub(super) fn save_row(&self, effects: &mut Effects) {
        effects.rows.row = Some(self.row.clone());
    }
}

/// A member's row from `joined_at` on. It gets its number when it is saved.
pub(super) const fn new_member(user: UserId, role: MemberRole, joined_at: u64) -> MemberRow {
    MemberRow {
        user,
        role,
        state: MemberState::Member,
        read: 0,
        muted_until: None,
        joined_at,
        number: 0,
        invited_by: None,
        unasked: false,
    }
}
