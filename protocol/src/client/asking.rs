//! What the application asks for, and how it ends.

use bytes::Bytes;

use crate::codes::{Code, Fault};
use crate::frame::ClientFrame;
use crate::methods::Access;

use super::calls::access;
use super::{ClientConnection, Output, Phase, Refused, Request, Ticket};

impl ClientConnection {
    /// Takes a call. It goes out as soon as there is a connection, a place on the wire and, if the method needs one, a
    /// signed-in player. When nobody is signed in and nothing is under way that would sign somebody in, a call that needs a
    /// player ends at once with [`Code::Unauthenticated`].
    pub fn call(&mut self, request: Request) -> Result<Ticket, Refused> {
        if let Phase::Stopped { .. } = self.phase {
            return Err(Refused::Stopped);
        }
        let too_early = request.is_momentary() && !self.is_connected();
        let needs_player = access(request.method) != Access::Anyone;
        let ticket = self.calls.take(request, |room| self.streams.head(room))?;
        let fault = if needs_player && !self.can_become_signed_in() {
            Some(Code::Unauthenticated)
        } else {
            too_early.then_some(Code::Disconnected)
        };
        if let Some(code) = fault {
            self.drop_call(ticket);
            self.answer(ticket, Err(Fault::of(code)));
        }
        self.dispatch();
        self.tell();
        Ok(ticket)
    }

    /// The answer to this call alone, if it is among the outputs that were not taken yet: for a driver that wants to know at
    /// once whether a call was refused at once.
    pub fn poll_answer(&mut self, ticket: Ticket) -> Option<Result<Bytes, Fault>> {
        let is_it =
            |output: &Output| matches!(output, Output::Answer { ticket: of, .. } if *of == ticket);
        let at = self.outputs.iter().rposition(is_it)?;
        match self.outputs.remove(at)? {
            Output::Answer { result, .. } => Some(result),
            _ => None,
        }
    }

    /// Gives a call up: no answer will come. Whether it took effect is unknown. A call that opens or closes a room,
    /// signs in or out or sets the presence, and is on the wire already, still does so.
    pub fn cancel(&mut self, ticket: Ticket) {
        self.drop_call(ticket);
        self.end_calls_without_player();
        self.dispatch();
    }

    pub(super) fn drop_call(&mut self, ticket: Ticket) {
        let closes = self.calls.closes(ticket);
        if let Some(call) = self.calls.cancel(ticket) {
            self.send_about(call, &ClientFrame::Cancel { call }.encode());
        }
        if let Some(room) = closes {
            self.stays_open(room);
        }
    }

    pub(super) fn answer(&mut self, ticket: Ticket, result: Result<Bytes, Fault>) {
        self.outputs.push_back(Output::Answer { ticket, result });
    }

    /// Ends the calls that only a signed-in player may make.
    pub(super) fn end_calls_of_player(&mut self, fault: &Fault) {
        for ticket in self.calls.end(|method| access(method) != Access::Anyone) {
            self.answer(ticket, Err(fault.clone()));
        }
    }

    /// Ends the calls that need a player, if nobody is signed in and nothing would sign somebody in any more.
    pub(super) fn end_calls_without_player(&mut self) {
        if !self.can_become_signed_in() {
            self.end_calls_of_player(&Fault::of(Code::Unauthenticated));
        }
    }
}
