//! What ends a connection though the socket stands, and what is told of servers that do not fit.

use crate::codes::{CloseCode, Reconnect};

use super::{ClientConnection, Output, Phase};

/// Why the machine gives a connection up.
#[derive(Debug)]
pub(super) enum Broken {
    /// What came does not follow the protocol, for this reason.
    Protocol(String),
    /// What came can't be read, which has been told.
    Unreadable,
    /// It came, but can't be used now.
    Unusable,
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

    /// Tells that client and server do not fit.
    pub(super) fn mismatch(&mut self, why: impl Into<String>) {
        let why = why.into();
        self.outputs.push_back(Output::Mismatch { why });
    }
}
