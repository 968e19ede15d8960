//! A new room.

use std::sync::Arc;

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::frame::Cursor;
use pitturu_rules::rooms::{Effects, Room};
use pitturu_store::clock::Steady;
use pitturu_store::reservation::Reservation;

use super::super::Environment;
use super::super::command::{Create, NewRoom};
use super::super::recent::Recent;
use super::super::store;
use super::following::{PendingOpen, refuse_follow};
use super::{Context, LiveRoom};
use crate::connections::connection::Place;
use crate::owners::journal::Journal;
use crate::owners::keys::Keys;
use crate::owners::signals::Outgoing;

impl LiveRoom {
    /// A new room, to be committed by [`Self::commit_new`].
    pub(super) fn begin_new(
        environment: &Environment,
        life: u64,
        create: &Create,
        now: Steady,
    ) -> Result<(Self, Effects, Place), Fault> {
        let limits = Arc::clone(&environment.limits);
        let (id, actor) = (create.room, &create.actor);
        let place = create.connection.keep_place(id, actor.user)?;
        let (room, effects) = match &create.new_room {
            NewRoom::Room(request) => Room::create(id, actor, request.clone(), limits)?,
            NewRoom::Common(handle) => Room::create_common(id, actor, handle.clone(), limits)?,
            NewRoom::Direct(_) if create.blocks.any() => return Err(Fault::of(Code::Blocked)),
            NewRoom::Direct(peer) => Room::create_direct(id, actor, *peer, limits)?,
        };
        let journal = Journal::begin(store::entity(id), environment.rooms.entities().fence());
        let routes = Arc::clone(&environment.routes);
        let outgoing = Outgoing::new(&journal, Vec::new(), routes);
        let (recent, keys) = (
            Recent::new(id, Cursor::default(), Vec::new()),
            Keys::new(None),
        );
        let live = Self::begin(room, life, journal, recent, keys, outgoing, now);
        Ok((live, effects, place))
    }

    /// Hands a new room to the store; its creator is answered when it is durable.
    pub(super) fn commit_new(
        &mut self,
        context: &Context,
        (effects, place): (Effects, Place),
        reservation: Reservation,
        create: Create,
        now: Steady,
    ) {
        let Ok(shown) = self.shown_to(&create.actor) else {
            // Whoever makes a room is a member.
            return refuse_follow(create.into(), &super::no_such_room());
        };
        if let Some(key) = &create.key {
            // Nobody can wait: the room did not exist.
            // Nothing was carried out under it: the store does not know the room.
            self.keys.begin(create.actor.user, key);
        }
        let open = PendingOpen {
            place,
            joining: None,
            cursor: None,
            shown,
            key: create.key,
            to: create.to,
        };
        self.commit_open(context, Some(reservation), effects, open, now);
    }
}
