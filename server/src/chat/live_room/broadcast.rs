//! Publishing to the followers what has happened.

use std::sync::Arc;

use bytes::Bytes;
use pitturu_metrics::labels::{DeliveryClass, Lasting};
use pitturu_metrics::table;
use pitturu_protocol::frame;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::limits::PRESENCE_NAMED_MAX;
use pitturu_protocol::types::chat::{
    LostReason, ReadMarkerMoved, RoomKind, RoomLost, RoomUpdated, TypingStarted,
};
use pitturu_protocol::types::presence::RoomPresence;
use pitturu_rules::rooms::{Actor, RoomEvent};

use super::LiveRoom;
use crate::connections::connection::Connection;
use crate::connections::link::Broadcast;
use crate::connections::outbox::LatestKey;
use pitturu_store::clock::Steady;

/// Shortest time between two presence events of a small room, in milliseconds.
const PRESENCE_EVERY_MS: u64 = 500;

/// Largest number of players online among whom typing is passed on: beyond it, it is noise and grows with the square.
const TYPING_ONLINE_MAX: usize = 100;

impl LiveRoom {
    pub(super) fn publish(&mut self, event: RoomEvent, now: Steady) {
        match event {
            RoomEvent::Sent(message) => {
                table::MESSAGES.at(Lasting::Stored).increment();
                let before = self.recent.end();
                let frame = self.recent.push_message(message);
                let around = (before, self.recent.end());
                self.followers.deliver(self.id, frame, around);
            }
            RoomEvent::Said(said) => {
                table::MESSAGES.at(Lasting::Ephemeral).increment();
                self.followers.volatile(frame::event(&said).into(), None);
            }
            RoomEvent::Changed(row, message) => {
                let before = self.recent.end();
                let frame = self.recent.push_change(&row, &message);
                let around = (before, self.recent.end());
                self.followers.deliver(self.id, frame, around);
            }
            RoomEvent::Updated(info) => {
                let key = LatestKey::of::<RoomUpdated>(self.id);
                let frame = frame::event(&RoomUpdated { info });
                self.followers.latest(key, frame.into());
            }
            RoomEvent::MembersMoved(members) => {
                self.members_told = members;
                self.presence_changed(now);
            }
            RoomEvent::Lost(user, reason) => {
                let gone = self.followers.remove_user(user);
                lose(self.id, &gone, reason);
                self.presence_changed(now);
            }
            RoomEvent::Deleted => {
                let gone = self.followers.remove_all();
                lose(self.id, &gone, LostReason::Deleted);
            }
            RoomEvent::ReadMoved(user, read) => self.tell_read(user, read),
        }
    }

    /// Own devices hear of every move, the other player only in a direct room.
    fn tell_read(&mut self, user: UserId, read: u64) {
        let moved = ReadMarkerMoved {
            room: self.id,
            user,
            read,
        };
        let frame = Bytes::from(frame::event(&moved));
        let direct = self.room.row().kind == RoomKind::Direct;
        self.followers.latest_where(
            LatestKey::of::<ReadMarkerMoved>(self.id).and(user),
            &frame,
            |_, follower| direct || follower == user,
        );
    }

    pub(super) fn tell_typing(&mut self, actor: &Actor) {
        if self.followers.online() > TYPING_ONLINE_MAX {
            return;
        }
        let typing = TypingStarted {
            room: self.id,
            user: actor.user,
            name: actor.name.to_string(),
        };
        self.followers
            .volatile(frame::event(&typing).into(), Some(actor.user));
    }

    /// Puts presence in line for the next tick that is due. Larger rooms hear less often, so that presence traffic
    /// grows with the number of players and not with its square.
    pub(super) fn presence_changed(&mut self, now: Steady) {
        let online = self.followers.online() as u64;
        let pause = PRESENCE_EVERY_MS * (1 + online / 500);
        self.presence_due_at
            .get_or_insert(self.presence_sent_at.after_ms(pause).max(now));
    }

    pub(super) fn send_presence(&mut self, now: Steady) {
        self.presence_due_at = None;
        self.presence_sent_at = now;
        table::PRESENCE_EVENTS.add(self.followers.len() as u64);
        let frame = self.presence_frame();
        self.followers
            .latest(LatestKey::of::<RoomPresence>(self.id), frame);
    }

    /// Tells one connection alone who is here.
    pub(super) fn tell_presence_to(&self, connection: &Connection) {
        let state = Broadcast::new(self.presence_frame());
        let key = LatestKey::of::<RoomPresence>(self.id);
        connection.outbox.latest(key, &state);
        table::PRESENCE_EVENTS.increment();
        table::DELIVERIES.at(DeliveryClass::Latest).increment();
    }

    /// A player here has become hidden, or is so no longer.
    pub(super) fn look_again(&mut self, user: UserId, now: Steady) {
        let shown_before = self.followers.online();
        self.followers.look_again(user);
        if self.followers.online() != shown_before {
            self.presence_changed(now);
        }
    }

    /// Who is here, without those who hide.
    fn presence_frame(&self) -> Bytes {
        let online = self.followers.online();
        let users = (online <= PRESENCE_NAMED_MAX).then(|| {
            let mut users: Vec<UserId> = self.followers.users().collect();
            users.sort_unstable();
            users
        });
        let presence = RoomPresence {
            room: self.id,
            online: u32::try_from(online).unwrap_or(u32::MAX),
            members: self.members_told,
            users,
        };
        frame::event(&presence).into()
    }
}

/// Tells connections that a room is no longer theirs, and ends what they read of it.
pub(super) fn lose(room: RoomId, connections: &[Arc<Connection>], reason: LostReason) {
    let frame = Bytes::from(frame::event(&RoomLost { room, reason }));
    for connection in connections {
        connection.unfollow(room);
        connection.outbox.forget_cut(room);
        connection.outbox.control(frame.clone());
    }
}
