//! Whoever is answered: a connection of this process, or one of another node.

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;
use pitturu_protocol::codes::Fault;
use pitturu_protocol::frame::CallId;
use pitturu_protocol::ids::{ConnectionId, ID_BYTES};
use tokio::sync::oneshot;

use super::call::PendingCall;
use super::connection::Connection;
use crate::sync::Mutex;

/// The way to another node of the cluster. It carries what is addressed to a connection there, in order, and may lose
/// everything when the node goes, and its connections with it.
pub trait Node: Send + Sync + Debug {
    /// Hands an encoded reply or fault to the connection's node, which counts it. Never waits.
    fn answer(&self, connection: ConnectionId, call: CallId, frame: Bytes);
}

/// A call that the server makes itself, and that no connection has asked for.
#[derive(Debug)]
pub struct OwnCall(Mutex<Option<oneshot::Sender<Result<(), Fault>>>>);

impl OwnCall {
    /// A call, and where its outcome comes once it is durable.
    pub fn new() -> (Arc<Self>, oneshot::Receiver<Result<(), Fault>>) {
        let (to, outcome) = oneshot::channel();
        (Arc::new(Self(Mutex::new(Some(to)))), outcome)
    }

    fn answer(&self, outcome: Result<(), Fault>) {
        if let Some(to) = self.0.lock().take() {
            // Whoever waits no longer does not need it.
            to.send(outcome).ok();
        }
    }
}

/// Whoever made a call and is answered.
///
/// Only answers go to other nodes one by one. Events don't: what follows an entity here is always a connection of this process,
/// or a node that passes on to its own.
#[derive(Clone, Debug)]
pub enum Recipient {
    /// A connection of this process.
    Local(Arc<Connection>),
    /// A connection of another node.
    Remote(Arc<dyn Node>, ConnectionId),
    /// The server itself.
    Own(Arc<OwnCall>),
}

impl Recipient {
    /// The connection that the call came on.
    pub fn id(&self) -> ConnectionId {
        match self {
            Self::Local(connection) => connection.id,
            Self::Remote(_, id) => *id,
            Self::Own(_) => ConnectionId::from_bytes([0; ID_BYTES]),
        }
    }

    /// Answers a call with an encoded reply.
    pub fn reply(&self, call: PendingCall, frame: Bytes) {
        match self {
            Self::Local(connection) => connection.reply(call, frame),
            Self::Remote(node, id) => match call.sendable(frame) {
                Ok(frame) => node.answer(*id, call.number, frame),
                Err(fault) => self.refuse(call, &fault),
            },
            Self::Own(own) => own.answer(Ok(())),
        }
    }

    /// Answers a call whose caller will hear more of at once; the reply goes out together with it. Returns the connection whose
    /// outbox has to be released afterwards, if there is one here.
    pub fn reply_corked(self, call: PendingCall, frame: Bytes) -> Option<Arc<Connection>> {
        match self {
            Self::Local(connection) => {
                connection.reply_corked(call, frame);
                Some(connection)
            }
            Self::Remote(..) | Self::Own(_) => {
                self.reply(call, frame);
                None
            }
        }
    }

    /// Refuses a call.
    pub fn refuse(&self, call: PendingCall, fault: &Fault) {
        match self {
            Self::Local(connection) => connection.refuse(call, fault),
            Self::Remote(node, id) => {
                let frame = call.fault_frame(fault.clone()).encode();
                node.answer(*id, call.number, frame.into());
            }
            Self::Own(own) => own.answer(Err(fault.clone())),
        }
    }
}

impl From<Arc<Connection>> for Recipient {
    fn from(connection: Arc<Connection>) -> Self {
        Self::Local(connection)
    }
}
