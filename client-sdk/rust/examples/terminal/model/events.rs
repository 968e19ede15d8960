//! What the server tells.

use pitturu_client::types::chat::{LostReason, MessageSent};
use pitturu_client::types::inbox::{InboxAdded, InboxEntry};
use pitturu_client::types::presence::RoomPresence;
use pitturu_client::types::system::StreamPosition;
use pitturu_client::{Code, Fault, Gap, Missing, RoomId, ServerEvent, Stream, UserId};

use super::{Action, Model};
use crate::text::clean_line;

impl Model {
    pub(super) fn server(&mut self, event: ServerEvent) {
        match event {
            ServerEvent::MessageSent(sent) => self.message(&sent),
            ServerEvent::MessageEdited(edit) => {
                if let Some(room) = self.room_mut(edit.room) {
                    room.edit(edit.seq, edit.rev, &edit.text, edit.at);
                }
            }
            ServerEvent::MessageDeleted(deleted) => {
                if let Some(room) = self.room_mut(deleted.room) {
                    room.delete(deleted.seq, deleted.rev, deleted.by);
                }
            }
            ServerEvent::ReactionChanged(change) => {
                if let Some(room) = self.room_mut(change.room) {
                    room.react(change.seq, change.rev, &change.emoji, change.count);
                }
            }
            ServerEvent::AuthorErased(erased) => {
                if let Some(room) = self.room_mut(erased.room) {
                    room.erase_author(erased.seq, erased.rev);
                }
            }
            ServerEvent::InboxAdded(added) => self.inbox(added),
            ServerEvent::StreamPosition(position) => self.position(&position),
            ServerEvent::RoomUpdated(updated) => {
                if let Some(room) = self.room_mut(updated.info.room) {
                    room.take_info(&updated.info);
                }
            }
            ServerEvent::RoomLost(lost) => self.lost(lost.room, lost.reason),
            ServerEvent::ReadMarkerMoved(moved) => {
                let own = Some(moved.user) == self.me;
                if let Some(room) = self.room_mut(moved.room) {
                    let marker = if own {
                        &mut room.read
                    } else {
                        &mut room.peer_read
                    };
                    *marker = moved.read.max(*marker);
                }
            }
            ServerEvent::RoomPresence(presence) => self.presence(presence),
            ServerEvent::TypingStarted(typing) => {
                let now = self.now;
                if Some(typing.user) != self.me
                    && let Some(room) = self.room_mut(typing.room)
                {
                    room.note_typing(typing.user, &typing.name, now);
                }
            }
            ServerEvent::Gap(gap) => self.gap(gap),
            ServerEvent::StreamLost { stream, fault } => self.stream_lost(stream, &fault),
            ServerEvent::PlayerSuspended(told) => {
                let reason = clean_line(&told.reason);
                self.complain(format!("You are suspended: {reason}"));
            }
            ServerEvent::SignedOut(_) => {
                self.tell("The server has signed you out. Signing in again.");
                self.act(Action::SignIn);
            }
            _ => {}
        }
    }

    fn message(&mut self, sent: &MessageSent) {
        self.note_name(sent.msg.from, &sent.msg.name);
        let own = Some(sent.msg.from) == self.me;
        if let Some(room) = self.room_mut(sent.room) {
            let new = room.message(sent.msg.seq).is_none();
            room.add(&sent.msg);
            if own && new {
                room.echo(&sent.msg);
            }
        }
    }

    fn position(&mut self, position: &StreamPosition) {
        match position.stream.parse() {
            Ok(Stream::Inbox) => self.inbox_live |= position.live,
            Ok(Stream::Room(id)) => {
                if let Some(room) = self.room_mut(id) {
                    room.note_filling((!position.live).then_some(position.head));
                }
            }
            Err(_) => {}
        }
    }

    fn presence(&mut self, presence: RoomPresence) {
        let users = presence.users.unwrap_or_default();
        let unknown: Vec<UserId> = users
            .iter()
            .copied()
            .filter(|user| !self.names.contains_key(user))
            .collect();
        if !unknown.is_empty() {
            self.act(Action::Names(unknown));
        }
        if let Some(room) = self.room_mut(presence.room) {
            room.online = presence.online;
            room.members = presence.members;
            room.users = users;
        }
    }

    fn gap(&mut self, gap: Gap) {
        let Stream::Room(id) = gap.stream else {
            return;
        };
        if let Some(room) = self.room_mut(id) {
            match gap.missing {
                Missing::Messages => room.note_gap(gap.from, gap.to),
                Missing::Changes => room.loaded = false,
            }
        }
        self.follow(id);
    }

    fn lost(&mut self, id: RoomId, reason: LostReason) {
        let Some(title) = self.room(id).map(super::Room::title) else {
            return;
        };
        self.forget(id);
        match reason {
            LostReason::Left => self.tell(format!("You left {title}.")),
            LostReason::Kicked => self.complain(format!(
                "A moderator put you out of {title}. You may /join it again."
            )),
            LostReason::Banned => {
                self.complain(format!("A moderator has banned you from {title}."));
            }
            LostReason::Deleted => self.complain(format!("{title} was deleted.")),
        }
    }

    fn stream_lost(&mut self, stream: Stream, fault: &Fault) {
        let Stream::Room(id) = stream else {
            return;
        };
        let Some(title) = self.room(id).map(super::Room::title) else {
            return;
        };
        if matches!(
            fault.code,
            Code::RoomNotFound | Code::NotAMember | Code::Banned
        ) {
            self.forget(id);
            self.complain(format!("You are no longer in {title}."));
        } else if let Some(room) = self.room_mut(id) {
            room.open = false;
            self.follow(id);
        }
    }

    fn inbox(&mut self, added: InboxAdded) {
        if !self.inbox_live {
            return;
        }
        match added.entry {
            InboxEntry::RoomInvited { name, .. } => {
                let name = clean_line(&name);
                self.tell(format!("You are invited to {name}. /join {name} enters."));
                self.act(Action::ListRooms);
            }
            InboxEntry::DirectOpened { user, name, .. } => {
                self.note_name(user, &name);
                let name = clean_line(&name);
                self.tell(format!("{name} wants to write to you. Tab goes there."));
                self.act(Action::ListRooms);
            }
            InboxEntry::Muted { reason, .. } => {
                let reason = clean_line(&reason);
                self.complain(format!("You may not write anywhere: {reason}"));
            }
            InboxEntry::Unmuted | InboxEntry::RoomMuted { until: 0, .. } => {
                self.tell("You may write again.")
            }
            InboxEntry::RoomMuted { room, until, .. } => {
                let title = self
                    .room(room)
                    .map_or("a room".to_owned(), super::Room::title);
                let until = self.start.clock.short(until, self.now);
                self.complain(format!("You may not write in {title} until {until}."));
            }
            _ => {}
        }
    }
}
