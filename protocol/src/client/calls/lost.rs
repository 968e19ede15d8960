//! What becomes of the calls on the wire when their connection ends, or when another one takes over.

use crate::frame::CallId;
use crate::methods::Effect;

use super::super::request::Ticket;
use super::{Calls, Owner, Pending, State, effect};

impl Calls {
    /// The connection is gone. What was on the wire waits for the next one; returns the calls that can't, because they
    /// write and have no key, and those that were for the moment.
    pub(in crate::client) fn disconnected(&mut self) -> Vec<Ticket> {
        self.on_wire.clear();
        self.before_in_order.clear();
        self.last_call = 0;
        self.last_before = 0;
        let mut ended = Vec::new();
        let tickets: Vec<Ticket> = self.pending.keys().copied().collect();
        for ticket in tickets {
            let Some(pending) = self.pending.get(&ticket) else {
                continue;
            };
            let was_on_wire = matches!(pending.state, State::OnWire(_));
            if was_on_wire || pending.request.is_momentary() || pending.is_bound() {
                ended.extend(self.lose(ticket).then_some(ticket));
            }
        }
        ended
    }

    /// The connection before a handover is gone: the same for the calls that it has not answered.
    pub(in crate::client) fn lost_before(&mut self) -> Vec<Ticket> {
        self.before_in_order.clear();
        let last = self.last_before;
        let lost = self.on_wire.extract_if(|call, _| *call <= last);
        let mut tickets: Vec<Ticket> = lost.map(|(_, on_wire)| on_wire.ticket).collect();
        tickets.sort_unstable();
        tickets.retain(|ticket| self.lose(*ticket));
        tickets
    }

    /// The connection of a call is gone. The call waits for another one, or is over; true: which is to be told.
    fn lose(&mut self, ticket: Ticket) -> bool {
        let Some(pending) = self.pending.get_mut(&ticket) else {
            return false;
        };
        let writes = effect(pending.request.method) == Effect::Writes;
        let is_over = pending.request.is_momentary() || writes && pending.request.key.is_none();
        match pending.owner {
            Owner::App if is_over => self.remove(ticket).is_some(),
            Owner::App | Owner::Refresh => {
                pending.distrusted |= writes;
                self.wait(ticket);
                false
            }
            _ => {
                self.remove(ticket);
                false
            }
        }
    }

    /// Whether no call on the wire changes its connection.
    pub(in crate::client) fn change_nothing_on_wire(&self) -> bool {
        let mut on_wire = self.on_wire.values();
        !on_wire.any(|on_wire| {
            let pending = self.pending.get(&on_wire.ticket);
            pending.is_some_and(Pending::changes_connection)
        })
    }

    /// Another connection takes over, for all calls but those that are on the wire.
    pub(in crate::client) fn handed_over(&mut self) {
        self.last_before = self.last_call;
        for on_wire in self.on_wire.values() {
            if let Some(room) = on_wire.ordering_key {
                *self.before_in_order.entry(room).or_default() += 1;
            }
        }
    }

    /// Whether it was the connection before that was asked this.
    pub(in crate::client) const fn is_before(&self, call: CallId) -> bool {
        call <= self.last_before
    }

    /// Whether the connection before has yet to answer anything.
    pub(in crate::client) fn awaits_before(&self) -> bool {
        self.on_wire.keys().any(|call| self.is_before(*call))
    }

    /// Whether any call on the wire has no answer yet.
    pub(in crate::client) fn awaits_any(&self) -> bool {
        !self.on_wire.is_empty()
    }

    /// Drops what was to open streams and to follow leaderboards again: all of it is asked for anew.
    pub(in crate::client) fn forget_resumes(&mut self) {
        self.end_owned(|owner| {
            matches!(
                owner,
                Owner::Resume | Owner::Reopen(_) | Owner::Close | Owner::Follow
            )
        });
    }
}
