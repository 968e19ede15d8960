//! How a connection ends, also though the socket stands, and what is told of servers that do not fit.

use crate::codes::{CloseCode, Code, Fault, Reconnect};

use super::{ClientConnection, GOAWAY_MS_MAX, Output, Phase};

/// Why the machine gives a connection up.
#[derive(Debug)]
pub(super) enum Broken {
    /// What came does not follow the protocol, for this reason.
    Protocol(String),
    /// What came can't be read, which has been told.
    Unreadable,
    /// It came, but can't be used now.
    Unusable,
    /// The player whom the tokens sign in is suspended, as this fault says.
    Suspended(Fault),
}

impl Broken {
    pub(super) fn protocol(why: impl Into<String>) -> Self {
        Self::Protocol(why.into())
    }
}

impl ClientConnection {
    /// Gives the connection up over what the server sent. When the next one would end in the same way, it does not count as one
    /// that has lasted: the waits grow.
    pub(super) fn broke(&mut self, now: u64, broken: Broken) {
        let code = match broken {
            Broken::Suspended(fault) => return self.suspended(now, fault),
            Broken::Unusable => 1000,
            Broken::Unreadable => CloseCode::ProtocolError.number(),
            Broken::Protocol(why) => {
                self.mismatch(why);
                CloseCode::ProtocolError.number()
            }
        };
        if let Phase::Open { since } = &mut self.phase {
            *since = now;
        }
        self.outputs.push_back(Output::Close(code));
        self.lost(now, Reconnect::BackOff, None);
    }

    /// The player is suspended. The tokens are kept: they are good again when the suspension ends.
    pub(super) fn suspended(&mut self, now: u64, fault: Fault) {
        self.outputs.push_back(Output::Fault(fault));
        self.outputs.push_back(Output::Close(1000));
        self.lost(now, Reconnect::Never, Some(CloseCode::Suspended.number()));
    }

    pub(super) fn give_up(&mut self, now: u64, code: CloseCode) {
        self.outputs.push_back(Output::Close(code.number()));
        self.lost(now, Reconnect::BackOff, None);
    }

    /// The connection is gone: decides when to come back, and makes what was on the wire wait for it.
    pub(super) fn lost(&mut self, now: u64, after: Reconnect, code: Option<u16>) {
        let lasted = match self.phase {
            Phase::Open { since } => now.saturating_sub(since) >= self.config.stable_ms,
            Phase::Connecting { .. } | Phase::Handshaking { .. } => false,
            Phase::Idle | Phase::Loading | Phase::Waiting { .. } | Phase::Stopped { .. } => return,
        };
        if self.rescued(now, after) {
            return;
        }
        let goaway = self.goaway.take();
        if after == Reconnect::Never || goaway.as_ref().is_some_and(|goaway| !goaway.reconnect) {
            return self.halt(code);
        }
        if lasted {
            self.attempts = 0;
        }
        let wait = match (goaway, after) {
            (Some(goaway), _) => self.jitter.up_to(goaway.within_ms.min(GOAWAY_MS_MAX)),
            (None, Reconnect::Now) if lasted => 0,
            _ => self
                .config
                .back_off
                .wait_ms(self.attempts, &mut self.jitter),
        };
        self.attempts = self.attempts.saturating_add(1);
        self.phase = Phase::Waiting {
            at: now.saturating_add(wait),
        };
        self.detach();
        if after == Reconnect::AfterSignIn {
            self.access_refused(Fault::of(Code::Unauthenticated));
        }
    }

    pub(super) fn halt(&mut self, code: Option<u16>) {
        self.phase = Phase::Stopped { code };
        self.detach();
        self.calls.end_own();
        for ticket in self.calls.end(|_| true) {
            self.answer(ticket, Err(Fault::of(Code::Disconnected)));
        }
    }

    /// Forgets what belonged to the connection that is gone.
    pub(super) fn detach(&mut self) {
        self.messages.clear();
        self.play.disconnected();
        self.streams.disconnected();
        self.sign_in.disconnected();
        for ticket in self.calls.disconnected() {
            self.answer(ticket, Err(Fault::of(Code::Disconnected)));
        }
        self.end_calls_without_player();
    }

    /// Tells that client and server do not fit.
    pub(super) fn mismatch(&mut self, why: impl Into<String>) {
        let why = why.into();
        self.outputs.push_back(Output::Mismatch { why });
    }
}
