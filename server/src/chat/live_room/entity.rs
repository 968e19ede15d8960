//! A room as its owner runs it.

use pitturu_metrics::labels::EntityKind;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::limits::PAGE_BYTES_MAX;
use pitturu_protocol::types::chat::LostReason;
use pitturu_store::StoreError;
use pitturu_store::clock::Steady;
use pitturu_store::entities::{Bounds, Kind};
use pitturu_store::fail_points::pass;

use super::super::Environment;
use super::super::blocks::Blocks;
use super::super::command::{Command, Create, Fetched, NewRoom, ReplyTo, Report};
use super::super::recent::RECENT_MAX;
use super::super::store::ROOM;
use super::broadcast::lose;
use super::following::refuse_follow;
use super::order::Asked;
use super::{Answer, Context, LiveRoom, Waiter};
use crate::call_traces::Part;
use crate::connections::outbox::Cut;
use crate::owners::entity::Entity;
use crate::owners::followers::Followers;
use crate::owners::keys::Keys;
use crate::owners::shard::{loaded_anew, overloaded};
use crate::owners::signals::{Delivery, Receipt};

/// How long a room without followers stays in memory, in milliseconds.
const IDLE_MS: u64 = 30_000;

/// What outlives a life of a room.
#[derive(Debug, Default)]
pub struct Kept {
    pub(super) followers: Followers,
    /// Keys of calls that were answered a moment ago.
    pub(super) keys: Keys<Waiter>,
    /// Whether players are still to be told something by the next life.
    owes: bool,
}

impl Entity for LiveRoom {
    type Id = RoomId;
    type Command = Command;
    type Creation = Box<Create>;
    type Environment = Environment;
    type Loaded = Box<Fetched>;
    type Report = Report;
    type Kept = Kept;

    const KIND: Kind = ROOM;
    const LABEL: EntityKind = EntityKind::Rooms;

    fn id_of(command: &Command) -> RoomId {
        command.room()
    }

    fn part_of(command: &Command) -> Part {
        match command {
            Command::Call(call) => call.call.trace().room(),
            Command::Close(close) => close.call.trace().room(),
            Command::Follow(follow) => follow.to.part(),
            Command::Create(create) => create.to.part(),
            _ => Part::NONE,
        }
    }

    fn is_worth_loading(command: &Command) -> bool {
        !matches!(
            command,
            Command::Detach(..) | Command::Visibility(..) | Command::Delivery(Delivery::Signals(_))
        )
    }

    fn creation(command: Command) -> Result<Box<Create>, Command> {
        match command {
            Command::Create(create) => Ok(create),
            command => Err(command),
        }
    }

    fn note_while_loading(kept: &mut Kept, command: &Command) {
        match command {
            Command::Detach(_, connection) => {
                kept.followers.remove(*connection);
            }
            Command::Visibility(_, user) => kept.followers.look_again(*user),
            Command::Delivery(Delivery::Wake(_)) => kept.owes = true,
            _ => {}
        }
    }

    fn is_awaited(kept: &Kept) -> bool {
        !kept.followers.is_empty() || kept.owes || kept.keys.remembers(Steady::now())
    }

    fn refuse(command: Command, fault: &Fault) {
        match command {
            Command::Call(call) => call.recipient.refuse(call.call, fault),
            Command::Create(create) => refuse_follow((*create).into(), fault),
            Command::Follow(follow) => refuse_follow(*follow, fault),
            Command::Close(close) => close.connection.refuse(close.call, fault),
            Command::Attach(room, connection, ..) if fault.code == Code::RoomNotFound => {
                // It was deleted, and its rows are gone: there is nothing to read on.
                lose(room, &[connection], LostReason::Deleted);
            }
            Command::Attach(room, connection, opening, cursor) => {
                connection.outbox.cut(Cut {
                    room,
                    opening,
                    cursor,
                    until: None,
                });
            }
            // What is loaded or made later reads what it says.
            Command::Delivery(Delivery::Signals(batch)) if fault.code == Code::RoomNotFound => {
                batch.applied();
            }
            Command::Delivery(Delivery::Signals(batch)) => batch.refused(),
            Command::Detach(..)
            | Command::Visibility(..)
            | Command::Retain(_)
            | Command::Delivery(Delivery::Receipt(_) | Delivery::Wake(_)) => {}
        }
    }

    fn missing() -> Fault {
        Fault::of(Code::RoomNotFound)
    }

    async fn load(
        environment: Environment,
        room: RoomId,
    ) -> Result<Option<Box<Fetched>>, StoreError> {
        let recent = Bounds {
            rows: RECENT_MAX,
            bytes: PAGE_BYTES_MAX,
        };
        let Some(mut loaded) = environment.rooms.load(room, recent).await? else {
            return Ok(None);
        };
        let blocks = match loaded.stored.row.peers {
            Some(pair) => Blocks::read(&environment.players, pair).await?,
            None => Blocks::default(),
        };
        let undelivered = std::mem::take(&mut loaded.loaded.undelivered);
        Ok(Some(Box::new(Fetched {
            room: loaded,
            blocks,
            undelivered,
        })))
    }

    fn take_up(
        context: &Context,
        life: u64,
        fetched: Box<Fetched>,
        kept: Kept,
        now: Steady,
    ) -> Self {
        Self::new(&context.environment, life, *fetched, kept, now)
    }

    async fn prepare(
        environment: &Environment,
        create: &mut Box<Create>,
    ) -> Result<(), StoreError> {
        if let NewRoom::Direct(peer) = create.new_room {
            let pair = [create.actor.user, peer];
            create.blocks = Blocks::read(&environment.players, pair).await?;
        }
        Ok(())
    }

    fn create(context: &Context, life: u64, mut create: Box<Create>, now: Steady) -> Option<Self> {
        let begun = Self::reserve(context).and_then(|reservation| {
            let (live, effects, place) = Self::begin_new(&context.environment, life, &create, now)?;
            Ok((reservation, live, (effects, place)))
        });
        match begun {
            Ok((reservation, mut live, effects)) => {
                live.blocks = std::mem::take(&mut create.blocks);
                live.commit_new(context, effects, reservation, *create, now);
                Some(live)
            }
            Err(fault) => {
                refuse_follow((*create).into(), &fault);
                None
            }
        }
    }

    fn life(&self) -> u64 {
        self.life
    }

    fn handle(&mut self, context: &Context, command: Command, now: Steady) {
        match command {
            Command::Call(_) | Command::Close(_) if context.is_full() => {
                Self::refuse(command, &overloaded());
            }
            Command::Follow(follow)
                if context.is_full() && matches!(follow.to, ReplyTo::Call(_)) =>
            {
                refuse_follow(*follow, &overloaded());
            }
            Command::Call(call) => self.ask(context, Asked::Call(call), now),
            Command::Follow(follow) => self.ask(context, Asked::Follow(follow), now),
            Command::Close(close) => self.ask(context, Asked::Close(close), now),
            Command::Create(create) => self.ask(context, create.into(), now),
            Command::Attach(_, connection, opening, cursor) => {
                self.attach(&connection, opening, cursor);
            }
            Command::Detach(_, connection) => self.detach(connection, now),
            Command::Visibility(_, user) => self.look_again(user, now),
            Command::Retain(_) => self.retain(context),
            Command::Delivery(Delivery::Signals(batch)) => {
                self.blocks.take(batch);
                self.room.set_blocked(self.blocks.any());
            }
            Command::Delivery(Delivery::Receipt(receipt)) => self.answered(context, &receipt, now),
            // It has been loaded by this, and sends.
            Command::Delivery(Delivery::Wake(_)) => {}
        }
    }

    fn report(&mut self, context: &Context, report: Report, now: Steady) {
        match report {
            Report::Message(seq, result) => self.fetched(context, seq, result, now),
            Report::Recalled(call, found) => {
                let user = call.actor.user;
                self.came(context, user, now, |room| {
                    room.recalled(context, *call, found, now);
                });
            }
            Report::Named(follow, name) => {
                let user = follow.actor.user;
                self.came(context, user, now, |room| {
                    room.named(context, *follow, name, now);
                });
            }
            Report::FollowRecalled(follow, found) => {
                let user = follow.actor.user;
                self.came(context, user, now, |room| {
                    room.follow_looked_up(context, *follow, found, now);
                });
            }
            Report::Outlived(bounds) => self.outlived(context, bounds, now),
            Report::Removed(result) => self.removed(result),
        }
    }

    fn refuse_report(report: Report) {
        let fault = loaded_anew();
        match report {
            Report::Recalled(call, _) => call.recipient.refuse(call.call, &fault),
            Report::Named(follow, _) | Report::FollowRecalled(follow, _) => {
                refuse_follow(*follow, &fault)
            }
            Report::Message(..) | Report::Outlived(_) | Report::Removed(_) => {}
        }
    }

    fn written(&mut self, context: &Context, now: Steady) {
        self.pending.written();
        pass("room.durable");
        self.settle(context, now);
        pass("room.told");
    }

    /// The followers are cut where they stand, so that they continue from what the store turns out to hold.
    fn fail(mut self, error: &StoreError) -> Kept {
        self.flush();
        let fault = Fault::from(error.clone());
        let mut closed = Vec::new();
        for pending in self.pending.take_all() {
            match pending.answer {
                Answer::Body(requester, _) | Answer::Members(requester, _) => {
                    self.refuse_requester(&requester, &fault);
                }
                Answer::View(open) => {
                    if let Some(key) = &open.key {
                        self.refuse_waiters(open.place.user(), key, &fault);
                    }
                    open.refuse(&fault);
                }
                Answer::Refused(asked, _) => self.refuse_asked(asked, &fault),
                // The store has no part in it.
                Answer::Closed(closing) => closed.push(closing),
                Answer::Retained(_) => {}
            }
        }
        self.held.refuse_all(&fault);
        for (_, queue) in std::mem::take(&mut self.edit_queues) {
            for requester in queue.into_requesters() {
                self.refuse_requester(&requester, &fault);
            }
        }
        for waiter in self.keys.take_waiters() {
            waiter.refuse(&fault);
        }
        for closing in closed {
            self.close(closing, Steady::now());
        }
        self.flush();
        self.followers.cut_all(self.id, self.recent.end());
        Kept {
            owes: !self.outgoing.is_empty(),
            followers: self.followers,
            keys: self.keys,
        }
    }

    fn pending_fanout(&self) -> Option<usize> {
        if self.followers.has_unsent() {
            return Some(self.followers.len());
        }
        (!self.answered.is_empty()).then_some(self.answered.len())
    }

    /// Whoever follows what they have caused gets answer and event at once.
    fn flush(&mut self) {
        self.followers.flush();
        for connection in self.answered.drain(..) {
            connection.outbox.uncork();
        }
        self.delivering.end(self.followers.len());
    }

    /// Presence that is due, memory to let go.
    fn tick(&mut self, now: Steady) {
        self.keys.forget_old(now);
        if self.pending.is_empty() {
            self.edit_queues.retain(|_, queue| !queue.is_idle(now));
            self.pending.shrink();
        }
        if self.presence_due_at.is_some_and(|due| due <= now) {
            self.send_presence(now);
        }
        self.outgoing.tick(now);
    }

    fn sweep(&mut self, context: &Context, _: Steady) -> bool {
        let wanted = self.wants_retention();
        if wanted {
            self.retain(context);
        }
        wanted
    }

    /// Nobody follows it, nothing waits, and it was not used for a while.
    fn is_idle(&self, now: Steady) -> bool {
        self.followers.is_empty()
            && self.pending.is_empty()
            && self.edit_queues.is_empty()
            && self.answered.is_empty()
            && self.outgoing.is_empty()
            && self.held.is_empty()
            && now >= self.used_at.after_ms(IDLE_MS)
    }

    fn is_quiet(&self) -> bool {
        !self.followers.is_empty()
            && self.pending.is_empty()
            && self.edit_queues.is_empty()
            && self.keys.is_empty()
            && self.outgoing.is_empty()
            && self.presence_due_at.is_none()
    }
}

impl LiveRoom {
    /// A player has applied what the room told them, or can't now.
    fn answered(&mut self, context: &Context, receipt: &Receipt, now: Steady) {
        let entities = context.environment.rooms.entities();
        self.outgoing.answered(receipt, entities.as_ref(), now);
    }

    /// Followers from an earlier life who are no members, as it turns out, lose the room.
    pub(super) fn drop_strangers(&mut self) {
        let strangers: Vec<UserId> = self
            .followers
            .everybody()
            .filter(|user| !self.room.is_member(*user))
            .collect();
        for user in strangers {
            let reason = if self.room.is_deleted() {
                LostReason::Deleted
            } else {
                LostReason::Kicked
            };
            lose(self.id, &self.followers.remove_user(user), reason);
        }
    }
}
