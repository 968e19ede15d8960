//! The calls that have no answer yet: waiting, on the wire, or refused and waiting to be repeated.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::frame::{CallId, ClientFrame};
use crate::ids::RoomId;
use crate::limits::CALLS_IN_FLIGHT_MAX;
use crate::methods::{Access, Effect, Method, MethodInfo};

use crate::types::boards::FollowBoard;
use crate::types::presence::SetPresence;

use super::request::{CALLS_HELD_BYTES_MAX, CALLS_HELD_MAX, Consequence, Refused, Request, Ticket};

mod answered;
mod lost;

pub(super) use answered::AfterFault;

/// Places on the wire that the application's calls leave free for the machine's own.
const RESERVED: usize = 4;

const _: () = assert!(RESERVED < CALLS_IN_FLIGHT_MAX);

/// Who waits for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    App,
    /// Nobody any more, but the machine must hear what became of it.
    Detached,
    Resume,
    Reopen(RoomId),
    Close,
    Refresh,
    /// Follows a leaderboard again.
    Follow,
    /// Asks for the server's clock.
    Clock,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    OnWire(CallId),
    RepeatAt(u64),
}

/// A call that the server has not answered.
#[derive(Clone, Copy, Debug)]
struct OnWire {
    ticket: Ticket,
    /// That of the call, which may have been given up.
    ordering_key: Option<RoomId>,
}

/// A call without an answer.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) request: Request,
    pub(super) owner: Owner,
    pub(super) consequence: Consequence,
    /// Its reply may not say what is open on this connection: it may be the stored one of an earlier connection, or the
    /// room may have been closed after it.
    pub(super) distrusted: bool,
    /// The room that it is about, if its method runs there.
    pub(super) room: Option<RoomId>,
    /// Calls with the same key go out in their order.
    ordering_key: Option<RoomId>,
    /// The newest sequence of its room that was known when the call was made, until it is put on the wire for the first time.
    first_head: Option<u64>,
    state: State,
    refusals: u32,
    sign_in_refusals: u32,
    /// Number of the sign-in under which it was last sent.
    sign_in: u32,
}

impl Pending {
    /// Whether its answer says what the connection is from then on, which another connection would not know.
    fn changes_connection(&self) -> bool {
        !matches!(self.owner, Owner::App | Owner::Clock) || self.consequence != Consequence::None
    }

    /// Whether it is about what is open on one connection, and means nothing on another.
    const fn is_bound(&self) -> bool {
        matches!(
            self.owner,
            Owner::Detached
                | Owner::Resume
                | Owner::Reopen(_)
                | Owner::Close
                | Owner::Follow
                | Owner::Clock
        )
    }
}

#[derive(Debug, Default)]
pub(super) struct Calls {
    pending: BTreeMap<Ticket, Pending>,
    waiting: BTreeSet<Ticket>,
    /// The machine's own, which go before the application's.
    waiting_own: BTreeSet<Ticket>,
    /// Calls that the server has not answered, also those that nobody waits for any more: they take a place all the same.
    on_wire: HashMap<CallId, OnWire>,
    deadlines: BTreeSet<(u64, Ticket)>,
    repeats: BTreeSet<(u64, Ticket)>,
    /// Refused calls of each ordering key, in order. Later calls with the key stay behind them.
    refused_in_order: BTreeMap<RoomId, BTreeSet<Ticket>>,
    /// How many calls of each ordering key the connection before a handover has yet to answer. Others with the key stay behind them.
    before_in_order: HashMap<RoomId, usize>,
    bytes: usize,
    last_ticket: u64,
    last_call: CallId,
    /// The newest call that the connection before a handover was asked.
    last_before: CallId,
}

impl Calls {
    /// Takes a call of the application's. `head` gives the newest sequence that is known of a room.
    pub(super) fn take(
        &mut self,
        request: Request,
        head: impl FnOnce(RoomId) -> Option<u64>,
    ) -> Result<Ticket, Refused> {
        request.check()?;
        if self.pending.len() >= CALLS_HELD_MAX
            || self.bytes + request.body.len() > CALLS_HELD_BYTES_MAX
        {
            return Err(Refused::QueueFull);
        }
        let consequence = Consequence::of(&request)?;
        let room = request.room()?;
        let first_head = room.filter(|_| request.is_first_write()).and_then(head);
        let ticket = self.insert(request, Owner::App, consequence, room);
        if let Some(pending) = self.pending.get_mut(&ticket) {
            pending.first_head = first_head;
        }
        Ok(ticket)
    }

    /// What was known of rooms when calls were made says nothing any more of earlier attempts.
    pub(super) fn forget_first_heads(&mut self) {
        for pending in self.pending.values_mut() {
            pending.first_head = None;
        }
    }

    /// Adds a call of the machine's own.
    pub(super) fn add<M: Method>(
        &mut self,
        owner: Owner,
        request: &M,
        key: Option<String>,
    ) -> Ticket {
        let request = Request {
            key,
            ..Request::of(request)
        };
        self.insert(request, owner, Consequence::None, None)
    }

    /// Adds a call of the machine's own that follows a leaderboard.
    pub(super) fn follow(&mut self, request: &FollowBoard) {
        let consequence = Consequence::Follows(request.board.clone());
        self.insert(Request::of(request), Owner::Follow, consequence, None);
    }

    /// Adds a call of the machine's own that goes out at `at`.
    pub(super) fn add_at<M: Method>(&mut self, owner: Owner, request: &M, at: u64) {
        let ticket = self.add(owner, request, None);
        self.unwait(ticket);
        if let Some(pending) = self.pending.get_mut(&ticket) {
            pending.state = State::RepeatAt(at);
            self.repeats.insert((at, ticket));
        }
    }

    fn insert(
        &mut self,
        request: Request,
        owner: Owner,
        consequence: Consequence,
        room: Option<RoomId>,
    ) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.bytes += request.body.len();
        if let Some(deadline) = request.deadline {
            self.deadlines.insert((deadline, ticket));
        }
        let ordering_key = room.filter(|_| request.keeps_order());
        let pending = Pending {
            request,
            owner,
            consequence,
            distrusted: false,
            room,
            ordering_key,
            first_head: None,
            state: State::Waiting,
            refusals: 0,
            sign_in_refusals: 0,
            sign_in: 0,
        };
        self.pending.insert(ticket, pending);
        self.wait(ticket);
        ticket
    }

    fn wait(&mut self, ticket: Ticket) {
        let Some(pending) = self.pending.get_mut(&ticket) else {
            return;
        };
        pending.state = State::Waiting;
        match pending.owner {
            Owner::App | Owner::Detached => self.waiting.insert(ticket),
            _ => self.waiting_own.insert(ticket),
        };
    }

    fn unwait(&mut self, ticket: Ticket) {
        self.waiting.remove(&ticket);
        self.waiting_own.remove(&ticket);
    }

    /// Whether a call of this owner has no answer yet.
    pub(super) fn has(&self, owner: Owner) -> bool {
        self.pending.values().any(|pending| pending.owner == owner)
    }

    /// Whether the application is closing the room.
    pub(super) fn closing(&self, room: RoomId) -> bool {
        self.pending
            .values()
            .any(|pending| pending.consequence == Consequence::Closes(room))
    }

    /// The room that this call closes.
    pub(super) fn closes(&self, ticket: Ticket) -> Option<RoomId> {
        match self.pending.get(&ticket)?.consequence {
            Consequence::Closes(room) => Some(room),
            _ => None,
        }
    }

    /// Whether a call is under way whose success signs a player in.
    pub(super) fn sign_in(&self) -> bool {
        self.pending.values().any(|pending| {
            matches!(
                pending.consequence,
                Consequence::SignsIn | Consequence::Authenticates(_)
            )
        })
    }

    /// What calls without an answer want others to see of the player, the newest first.
    pub(super) fn presences_asked_for(&self) -> impl Iterator<Item = &SetPresence> {
        let newest_first = self.pending.values().rev();
        newest_first.filter_map(|pending| match &pending.consequence {
            Consequence::SetsPresence(presence) => Some(presence),
            _ => None,
        })
    }

    /// A room was lost, or is being closed by the machine itself: calls on the wire that open rooms may have opened this one
    /// before.
    pub(super) fn distrust_openers(&mut self) {
        for on_wire in self.on_wire.values() {
            if let Some(pending) = self.pending.get_mut(&on_wire.ticket) {
                pending.distrusted = true;
            }
        }
    }

    /// The next call for the wire, as a frame. `limit`: most calls on the wire; `sign_in`: number of the
    /// sign-in, if the server knows the player or will by the time it reads this; `settling`: whether what changes the connection
    /// waits, because another one is about to take over.
    pub(super) fn next_frame(
        &mut self,
        limit: usize,
        sign_in: Option<u32>,
        settling: bool,
    ) -> Option<Vec<u8>> {
        let limit = limit.clamp(RESERVED + 1, CALLS_IN_FLIGHT_MAX);
        let free = limit.checked_sub(self.on_wire.len() + 1)?;
        let goes = |ticket: &&Ticket| {
            self.pending.get(ticket).is_some_and(|pending| {
                (sign_in.is_some() || access(pending.request.method) == Access::Anyone)
                    && !(settling && pending.changes_connection())
                    && !self.is_behind(**ticket, pending.ordering_key)
            })
        };
        let own = self.waiting_own.iter().find(goes);
        let ticket = *match own {
            None if free >= RESERVED => self.waiting.iter().find(goes)?,
            own => own?,
        };
        self.unwait(ticket);
        self.number();
        let pending = self.pending.get_mut(&ticket)?;
        let ordering_key = pending.ordering_key;
        let on_wire = OnWire {
            ticket,
            ordering_key,
        };
        self.on_wire.insert(self.last_call, on_wire);
        pending.state = State::OnWire(self.last_call);
        pending.sign_in = sign_in.unwrap_or_default();
        let frame = ClientFrame::Call {
            call: self.last_call,
            method: pending.request.method,
            body: &pending.request.body,
            key: pending.request.key.as_deref(),
            head: pending.first_head.take(),
        };
        Some(frame.encode())
    }

    /// The number of another call.
    pub(super) fn number(&mut self) -> CallId {
        self.last_call = self.last_call.wrapping_add(1).max(1);
        self.last_call
    }

    fn is_behind(&self, ticket: Ticket, ordering_key: Option<RoomId>) -> bool {
        ordering_key.is_some_and(|room| {
            let refused = self.refused_in_order.get(&room).and_then(BTreeSet::first);
            self.before_in_order.contains_key(&room) || refused.is_some_and(|first| *first < ticket)
        })
    }

    /// Gives a call up. Returns its number on the wire, when the server is to be told.
    pub(super) fn cancel(&mut self, ticket: Ticket) -> Option<CallId> {
        let pending = self.pending.get_mut(&ticket)?;
        if pending.owner != Owner::App {
            return None;
        }
        let on_wire = match pending.state {
            State::OnWire(call) => Some(call),
            State::Waiting | State::RepeatAt(_) => None,
        };
        if on_wire.is_some() && pending.consequence != Consequence::None {
            pending.owner = Owner::Detached;
            if let Some(deadline) = pending.request.deadline {
                self.deadlines.remove(&(deadline, ticket));
            }
            return None;
        }
        self.remove(ticket)?;
        on_wire
    }

    /// Returns calls to waiting whose time to be repeated has come.
    pub(super) fn repeat_due(&mut self, now: u64) {
        while let Some(&(at, ticket)) = self.repeats.first()
            && at <= now
        {
            self.repeats.pop_first();
            self.wait(ticket);
        }
    }

    /// The next call whose deadline has passed. It has to be [`cancel`](Self::cancel)led.
    pub(super) fn overdue(&self, now: u64) -> Option<Ticket> {
        self.deadlines
            .first()
            .filter(|(deadline, _)| *deadline <= now)
            .map(|(_, ticket)| *ticket)
    }

    /// When the next call must be repeated or given up.
    pub(super) fn next_timeout(&self) -> Option<u64> {
        let deadline = self.deadlines.first().map(|(at, _)| *at);
        let repeat = self.repeats.first().map(|(at, _)| *at);
        [deadline, repeat].into_iter().flatten().min()
    }

    /// Ends the application's calls that `which` picks by the number of their method, and returns them in order.
    pub(super) fn end(&mut self, which: impl Fn(u16) -> bool) -> Vec<Ticket> {
        let tickets: Vec<Ticket> = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.owner == Owner::App && which(pending.request.method))
            .map(|(ticket, _)| *ticket)
            .collect();
        for ticket in &tickets {
            self.remove(*ticket);
        }
        tickets
    }

    /// Ends the machine's own calls.
    pub(super) fn end_own(&mut self) {
        self.end_owned(|owner| owner != Owner::App);
    }

    /// Ends the machine's own calls of one kind.
    pub(super) fn end_owned(&mut self, which: impl Fn(Owner) -> bool) {
        let tickets: Vec<Ticket> = self
            .pending
            .iter()
            .filter(|(_, pending)| which(pending.owner))
            .map(|(ticket, _)| *ticket)
            .collect();
        for ticket in tickets {
            self.remove(ticket);
        }
    }

    fn remove(&mut self, ticket: Ticket) -> Option<Pending> {
        let pending = self.pending.remove(&ticket)?;
        self.bytes -= pending.request.body.len();
        if let Some(deadline) = pending.request.deadline {
            self.deadlines.remove(&(deadline, ticket));
        }
        match pending.state {
            State::Waiting => {
                self.unwait(ticket);
            }
            State::OnWire(_) => {}
            State::RepeatAt(at) => {
                self.repeats.remove(&(at, ticket));
            }
        }
        if let Some(room) = pending.ordering_key
            && let Some(refused) = self.refused_in_order.get_mut(&room)
        {
            refused.remove(&ticket);
            if refused.is_empty() {
                self.refused_in_order.remove(&room);
            }
        }
        Some(pending)
    }
}

pub(super) fn access(method: u16) -> Access {
    MethodInfo::of(method).map_or(Access::Player, |info| info.access)
}

fn effect(method: u16) -> Effect {
    MethodInfo::of(method).map_or(Effect::Writes, |info| info.effect)
}
