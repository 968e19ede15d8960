//! A room's settings, its beginning and its end.

use std::sync::Arc;

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::chat::{CreateRoom, MemberRole, RoomKind, UpdateRoom};
use pitturu_protocol::types::inbox::InboxEntry;

use super::identity::Handle;
use super::rows::{MemberRow, MemberState, RoomRow, StoredRoom};
use super::state::new_member;
use super::{Actor, ChatLimits, Effects, Room, RoomEvent};

/// Most members who are told by inbox that their room was deleted; from larger rooms it just disappears, and from their lists when
/// these are read.
const TELL_DELETED_MAX: usize = 1_000;

impl Room {
    /// A new public or private room, owned by the actor.
    pub fn create(
        room: RoomId,
        actor: &Actor,
        request: CreateRoom,
        limits: Arc<ChatLimits>,
    ) -> Result<(Self, Effects), Fault> {
        if request.kind == RoomKind::Direct {
            return Err(Fault::invalid(
                "kind",
                "public or private; direct rooms are made by OpenDirect",
            ));
        }
        actor.may_speak()?;
        let retention = request
            .retention
            .unwrap_or_else(|| limits.retention.clone());
        let row = RoomRow {
            room,
            kind: request.kind,
            name: request.name,
            handle: None,
            topic: shown(request.topic),
            slow_mode_ms: request.slow_mode_ms.unwrap_or_default(),
            retention,
            created_at: actor.now,
            peers: None,
            deleted: false,
        };
        let owner = new_member(actor.user, MemberRole::Owner, actor.now);
        Ok(Self::begin(row, vec![owner], limits))
    }

    /// The new room of a handle: public, and nobody's, or whoever came first could shut it for everybody. The product's staff
    /// keep order in it.
    ///
    /// # Errors
    /// The actor is muted everywhere: the handle is the room's name.
    pub fn create_common(
        room: RoomId,
        actor: &Actor,
        handle: Handle,
        limits: Arc<ChatLimits>,
    ) -> Result<(Self, Effects), Fault> {
        actor.may_speak()?;
        let row = RoomRow {
            room,
            kind: RoomKind::Public,
            name: handle.shown,
            handle: Some(handle.key),
            topic: None,
            slow_mode_ms: 0,
            retention: limits.retention.clone(),
            created_at: actor.now,
            peers: None,
            deleted: false,
        };
        let first = new_member(actor.user, MemberRole::Member, actor.now);
        Ok(Self::begin(row, vec![first], limits))
    }

    /// A new direct room between the actor and another player, to whom it is offered until they write in it.
    ///
    /// # Errors
    /// The actor is muted everywhere: the other is told of the room.
    pub fn create_direct(
        room: RoomId,
        actor: &Actor,
        peer: UserId,
        limits: Arc<ChatLimits>,
    ) -> Result<(Self, Effects), Fault> {
        actor.may_speak()?;
        let row = RoomRow {
            room,
            kind: RoomKind::Direct,
            name: String::new(),
            handle: None,
            topic: None,
            slow_mode_ms: 0,
            retention: limits.retention.clone(),
            created_at: actor.now,
            peers: Some([actor.user.min(peer), actor.user.max(peer)]),
            deleted: false,
        };
        let place = |user| new_member(user, MemberRole::Member, actor.now);
        let mut offered = place(peer);
        offered.invited_by = Some(actor.user);
        let members = vec![place(actor.user), offered];
        let (room, mut effects) = Self::begin(row, members, limits);
        let entry = InboxEntry::DirectOpened {
            room: room.id(),
            user: actor.user,
            name: actor.name.to_string(),
        };
        effects.tell(peer, actor.now, entry);
        Ok((room, effects))
    }

    fn begin(row: RoomRow, members: Vec<MemberRow>, limits: Arc<ChatLimits>) -> (Self, Effects) {
        let loaded = StoredRoom {
            row,
            members: Vec::new(),
            sanctions: Vec::new(),
            deleted: Vec::new(),
            head: 0,
            rev: 0,
            first: 1,
            changes_first: 1,
            last: None,
            last_at: 0,
        };
        let mut room = Self::load(loaded, false, limits);
        let mut effects = Effects::default();
        room.save_row(&mut effects);
        for member in members {
            room.save_member(member, &mut effects);
        }
        (room, effects)
    }

    /// Changes the settings.
    pub fn update(
        &mut self,
        actor: &Actor,
        request: UpdateRoom,
        effects: &mut Effects,
    ) -> Result<(), Fault> {
        if self.row.kind == RoomKind::Direct {
            return Err(Fault::new(Code::Forbidden, "a direct room has no settings"));
        }
        self.require(actor, MemberRole::Owner)?;
        if request.name.is_some() || request.topic.is_some() {
            actor.may_speak()?;
        }
        let mut row = self.row.clone();
        if let Some(name) = request.name {
            row.name = name;
        }
        if request.topic.is_some() {
            row.topic = shown(request.topic);
        }
        if let Some(pause) = request.slow_mode_ms {
            row.slow_mode_ms = pause;
        }
        if let Some(retention) = request.retention {
            row.retention = retention;
        }
        if row == self.row {
            return Ok(());
        }
        effects.rows.row_before = Some(std::mem::replace(&mut self.row, row));
        self.save_row(effects);
        let info = self.info(actor.user, self.head);
        effects.events.push(RoomEvent::Updated(info));
        Ok(())
    }

    /// Deletes the room, as its owner or whoever keeps order in the whole product. Its rows are removed afterwards, in the background.
    pub fn delete_room(&mut self, actor: &Actor, effects: &mut Effects) -> Result<(), Fault> {
        if self.row.kind == RoomKind::Direct {
            return Err(Fault::new(
                Code::Forbidden,
                "a direct room can't be deleted",
            ));
        }
        let least = match actor.role.keeps_order() {
            true => MemberRole::Moderator,
            false => MemberRole::Owner,
        };
        self.require(actor, least)?;
        let members = self.members.values();
        let members = members.filter(|row| row.state == MemberState::Member);
        let members = members.map(|row| row.user).take(TELL_DELETED_MAX);
        let told: Vec<UserId> = members.collect();
        for user in &told {
            self.tell_listed(*user, None, effects);
        }
        self.end(effects);
        for user in told.into_iter().filter(|user| *user != actor.user) {
            let entry = InboxEntry::RoomDeleted {
                room: self.row.room,
                name: self.row.name.clone(),
                by: actor.user,
            };
            effects.tell(user, actor.now, entry);
        }
        Ok(())
    }

    /// Ends the room, and takes it out of the lists of all who are invited.
    pub(super) fn end(&mut self, effects: &mut Effects) {
        let invited = self.members.values();
        let invited = invited.filter(|row| row.state == MemberState::Invited);
        let invited: Vec<UserId> = invited.map(|row| row.user).collect();
        for user in invited {
            self.tell_listed(user, None, effects);
        }
        effects.rows.row_before = Some(self.row.clone());
        self.row.deleted = true;
        self.save_row(effects);
        effects.events.push(RoomEvent::Deleted);
    }

    /// The oldest sequence that the number of messages allows, when that is more than what is kept now.
    pub fn first_by_count(&self) -> Option<u64> {
        let keep = self.row.retention.messages?;
        let first = self.head.saturating_sub(keep).saturating_add(1);
        (first > self.first).then_some(first)
    }

    /// Decides that messages before `first` and changes before `changes_first` are no longer kept.
    pub fn retain_from(&mut self, first: u64, changes_first: u64, effects: &mut Effects) {
        self.first = self.first.max(first).min(self.head + 1);
        self.deleted = self.deleted.split_off(&self.first);
        self.changes_first = self.changes_first.max(changes_first).min(self.rev + 1);
        if self.first > self.head {
            // The newest message goes, and with it what its row says of markers.
            let moved = self.moved.take();
            let places = moved.filter_map(|user| self.members.get(&user));
            effects.rows.members.extend(places.cloned());
        }
    }
}

/// An empty topic or reason is none.
pub(super) fn shown(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}
