//! What becomes of a call that the server has answered or refused.

use crate::codes::{Code, Fault, Retry};
use crate::frame::CallId;
use crate::methods::{Access, Effect};

use super::super::request::Ticket;
use super::{Calls, OnWire, Owner, Pending, State, access, effect};

/// How often a call goes back to waiting because the server did not know the player.
const SIGN_IN_REFUSALS_MAX: u32 = 3;

/// What became of a refused call.
pub(in crate::client) enum AfterFault {
    /// It will be repeated.
    Kept,
    /// It will be repeated after the player has signed in anew; the number of the sign-in that was refused.
    NeedsSignIn(u32),
    /// It has ended.
    Ended(Ticket, Box<Pending>),
    /// No such call: answered, cancelled or never made.
    Unknown,
}

impl Calls {
    /// The server has answered a call.
    fn off_wire(&mut self, call: CallId) -> Option<Ticket> {
        let OnWire {
            ticket,
            ordering_key,
        } = self.on_wire.remove(&call)?;
        if let Some(room) = ordering_key
            && let Some(calls) = self.before_in_order.get_mut(&room)
            && call <= self.last_before
        {
            *calls -= 1;
            if *calls == 0 {
                self.before_in_order.remove(&room);
            }
        }
        Some(ticket)
    }

    /// A reply came: the call has ended.
    pub(in crate::client) fn answered(&mut self, call: CallId) -> Option<(Ticket, Pending)> {
        let ticket = self.off_wire(call)?;
        Some((ticket, self.remove(ticket)?))
    }

    /// A fault came. `wait_ms` gives the wait before the n-th repetition.
    pub(in crate::client) fn refused(
        &mut self,
        call: CallId,
        fault: &Fault,
        now: u64,
        wait_ms: impl FnOnce(u32) -> u64,
    ) -> AfterFault {
        let Some(ticket) = self.off_wire(call) else {
            return AfterFault::Unknown;
        };
        let Some(pending) = self.pending.get_mut(&ticket) else {
            return AfterFault::Unknown;
        };
        if needs_sign_in(fault.code)
            && access(pending.request.method) != Access::Anyone
            && pending.owner != Owner::Detached
        {
            pending.sign_in_refusals += 1;
            if pending.sign_in_refusals <= SIGN_IN_REFUSALS_MAX {
                let sign_in = pending.sign_in;
                self.wait(ticket);
                return AfterFault::NeedsSignIn(sign_in);
            }
        }
        if repeats(pending, fault) {
            let at = now.saturating_add(wait_ms(pending.refusals));
            if pending
                .request
                .deadline
                .is_none_or(|deadline| at < deadline)
            {
                pending.refusals = pending.refusals.saturating_add(1);
                pending.state = State::RepeatAt(at);
                self.repeats.insert((at, ticket));
                if let Some(room) = pending.ordering_key {
                    self.refused_in_order
                        .entry(room)
                        .or_default()
                        .insert(ticket);
                }
                return AfterFault::Kept;
            }
        }
        match self.remove(ticket) {
            Some(pending) => AfterFault::Ended(ticket, Box::new(pending)),
            None => AfterFault::Unknown,
        }
    }
}

/// Whether the server refused because it does not know the player.
pub(in crate::client) fn needs_sign_in(code: Code) -> bool {
    matches!(
        code,
        Code::Unauthenticated | Code::TokenExpired | Code::TokenInvalid
    )
}

/// Whether a refused call is sent again by itself: where the server said when to, and a repetition does no harm.
fn repeats(pending: &Pending, fault: &Fault) -> bool {
    match pending.owner {
        Owner::App => {
            let harmless = match effect(pending.request.method) {
                Effect::Reads => !pending.request.is_momentary(),
                Effect::Writes => pending.request.key.is_some(),
            };
            harmless && matches!(fault.code, Code::RateLimited | Code::Overloaded)
        }
        Owner::Detached | Owner::Close | Owner::Clock => false,
        Owner::Resume | Owner::Reopen(_) | Owner::Refresh | Owner::Follow => {
            fault.code.retry() == Retry::Later
        }
    }
}
