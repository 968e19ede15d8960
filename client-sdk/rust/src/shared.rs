//! What the handles of a client and its task share: the machine, who waits for answers, and the published state.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use pitturu_protocol::client::{
    ClientConnection, ClockEstimate, Connection, Output, Request, Ticket,
};
use pitturu_protocol::codes::{Code, Fault};
use tokio::sync::{Notify, oneshot, watch};

use crate::clock::ServerClock;
use crate::error::CallError;
use crate::event::ConnectionState;
use crate::foreign::guarded;
use crate::subscribers::{Subscribers, lock, notify};
use crate::transport::{Socket, TransportStats};
use crate::transport_choice::{Transport, TransportPreference};

pub(crate) type Answer = Result<Bytes, Fault>;

pub(crate) struct Shared {
    core: Mutex<Core>,
    /// Woken when a handle has given the machine something to do.
    pub(crate) work: Notify,
    began: Instant,
    pub(crate) subscribers: Arc<Subscribers>,
    /// Never behind the machine: it is set before whoever changed the machine goes on.
    pub(crate) connection: watch::Sender<ConnectionState>,
}

struct Core {
    machine: ClientConnection,
    answers: HashMap<Ticket, oneshot::Sender<Answer>>,
    /// What ended the last connection.
    why: Option<Arc<str>>,
    /// The client has been closed, or its task is gone.
    closed: bool,
    /// What the task uses, as it last said.
    transports: (Option<Transport>, TransportStats),
    /// What the application wants from now on.
    preference: Option<TransportPreference>,
}

/// What the task has to do next.
pub(crate) struct Todo {
    pub(crate) outputs: Vec<Output>,
    pub(crate) closed: bool,
    /// When to tick.
    pub(crate) timeout: Option<u64>,
    pub(crate) preference: Option<TransportPreference>,
}

impl Shared {
    pub(crate) fn new(machine: ClientConnection) -> Self {
        let offline = ConnectionState::Offline {
            retry_at: None,
            why: None,
        };
        Self {
            core: Mutex::new(Core {
                machine,
                answers: HashMap::new(),
                why: None,
                closed: false,
                transports: (None, TransportStats::default()),
                preference: None,
            }),
            work: Notify::new(),
            began: Instant::now(),
            subscribers: Arc::default(),
            connection: watch::Sender::new(offline),
        }
    }

    /// Milliseconds since the client was made: the machine's clock.
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The time of the machine's clock; absent when it is so far away that it never comes.
    pub(crate) fn instant(&self, ms: u64) -> Option<Instant> {
        self.began.checked_add(Duration::from_millis(ms))
    }

    pub(crate) fn server_clock(&self, estimate: ClockEstimate) -> ServerClock {
        ServerClock::new(self.began, estimate)
    }

    /// Gives the machine a call. `timeout` becomes its deadline.
    pub(crate) fn call(
        &self,
        mut request: Request,
        timeout: Option<Duration>,
    ) -> Result<(Ticket, oneshot::Receiver<Answer>), CallError> {
        request.deadline = timeout.map(|timeout| {
            let ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
            self.now().saturating_add(ms)
        });
        let (to, answer) = oneshot::channel();
        let mut core = lock(&self.core);
        if core.closed {
            return Err(CallError::Closed);
        }
        let ticket = core.machine.call(request)?;
        match core.machine.poll_answer(ticket) {
            // Nobody waits yet who could be woken by it.
            Some(at_once) => drop(to.send(at_once)),
            None => drop(core.answers.insert(ticket, to)),
        }
        drop(core);
        self.publish();
        notify(&self.work);
        Ok((ticket, answer))
    }

    pub(crate) fn cancel(&self, ticket: Ticket) {
        let mut core = lock(&self.core);
        let waiting = core.answers.remove(&ticket);
        if waiting.is_some() {
            core.machine.cancel(ticket);
        }
        drop(core);
        if waiting.is_some() {
            self.publish();
            notify(&self.work);
        }
        // Wakes whoever has polled the call.
        guarded(|| drop(waiting));
    }

    /// Looks at the machine.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&ClientConnection) -> T) -> T {
        at(&lock(&self.core).machine)
    }

    /// Lets `act` do something to the machine, and publishes what comes of it. A closed client stays as it is.
    pub(crate) fn drive(&self, act: impl FnOnce(&mut ClientConnection, u64)) {
        let mut core = lock(&self.core);
        if !core.closed {
            act(&mut core.machine, self.now());
        }
        drop(core);
        self.publish();
    }

    /// As [`Self::drive`], when a connection has ended or begun: `why` is told while there is none.
    pub(crate) fn drive_because(
        &self,
        why: Option<&str>,
        act: impl FnOnce(&mut ClientConnection, u64),
    ) {
        lock(&self.core).why = why.map(Arc::from);
        self.drive(act);
    }

    /// Notes why the connection is about to end, unless that is known already.
    pub(crate) fn note_why(&self, why: &str, replace: bool) {
        let mut core = lock(&self.core);
        if replace || core.why.is_none() {
            core.why = Some(why.into());
        }
        drop(core);
        self.publish();
    }

    /// What the machine wants.
    pub(crate) fn todo(&self) -> Todo {
        let mut guard = lock(&self.core);
        let core = &mut *guard;
        Todo {
            outputs: std::iter::from_fn(|| core.machine.poll()).collect(),
            closed: core.closed,
            timeout: core.machine.next_timeout(),
            preference: core.preference.take(),
        }
    }

    /// The messages that are to be sent. Whether there were any.
    pub(crate) fn transmit(&self, mut send: impl FnMut(Vec<u8>)) -> bool {
        let mut core = lock(&self.core);
        let mut has_sent = false;
        while let Some(message) = core.machine.transmit() {
            send(message);
            has_sent = true;
        }
        has_sent
    }

    /// Sends datagrams, and says how long they may be.
    pub(crate) fn transmit_datagrams(&self, socket: &mut Socket) {
        let mut core = lock(&self.core);
        core.machine
            .set_datagram_bytes_max(socket.datagram_bytes_max());
        while let Some(datagram) = core.machine.transmit_datagram() {
            socket.send_datagram(datagram);
        }
    }

    /// The messages that are to be sent over the other connection of a handover.
    pub(crate) fn transmit_other(&self, mut send: impl FnMut(Vec<u8>)) {
        let mut core = lock(&self.core);
        while let Some(message) = core.machine.transmit_other() {
            send(message);
        }
    }

    /// Says what carries the connection, and what has.
    pub(crate) fn use_transports(&self, used: (Option<Transport>, TransportStats)) {
        lock(&self.core).transports = used;
    }

    pub(crate) fn transports(&self) -> (Option<Transport>, TransportStats) {
        lock(&self.core).transports
    }

    pub(crate) fn prefer(&self, preference: TransportPreference) {
        lock(&self.core).preference = Some(preference);
    }

    /// What a call that has ended is told: one that was too late also hears why there was no connection.
    pub(crate) fn explained(&self, fault: Fault) -> Fault {
        let core = lock(&self.core);
        let standing = match core.machine.connection() {
            Connection::Offline { .. } | Connection::Connecting if fault.code == Code::Deadline => {
                match core.machine.stats().welcomes {
                    0 => "never connected",
                    _ => "not connected",
                }
            }
            _ => return fault,
        };
        let why = core.why.as_deref().unwrap_or("no answer so far");
        let message = format!("No answer came in time; {standing}: {why}");
        Fault {
            message: Fault::new(fault.code, message).message,
            ..fault
        }
    }

    /// Who waits for the answer to a call.
    pub(crate) fn take_waiting(&self, ticket: Ticket) -> Option<oneshot::Sender<Answer>> {
        lock(&self.core).answers.remove(&ticket)
    }

    /// Closes the client: from now on nothing is taken, and the task ends once the server has been told.
    pub(crate) fn close(&self) {
        let mut core = lock(&self.core);
        if !core.closed {
            core.machine.stop();
            core.closed = true;
        }
        drop(core);
        self.publish();
        notify(&self.work);
    }

    /// The task is gone. Whoever waits must not wait for ever.
    pub(crate) fn abandon(&self) {
        self.close();
        let answers = std::mem::take(&mut lock(&self.core).answers);
        self.subscribers.end();
        for (_, waiting) in answers {
            guarded(|| drop(waiting));
        }
    }

    /// Publishes where the machine stands. The machine's lock is taken within that of the channel, and never held while the channel
    /// wakes who waits for it: they may use the client at once.
    fn publish(&self) {
        let state = self.state(&lock(&self.core));
        if *self.connection.borrow() == state {
            return;
        }
        guarded(|| {
            self.connection.send_if_modified(|told| {
                let state = self.state(&lock(&self.core));
                let differs = *told != state;
                *told = state;
                differs
            })
        });
    }

    fn state(&self, core: &Core) -> ConnectionState {
        self.shown(core.machine.connection(), core.why.clone())
    }

    /// The machine's state as applications see it, with why there is no connection.
    fn shown(&self, connection: Connection, why: Option<Arc<str>>) -> ConnectionState {
        match connection {
            Connection::Offline { retry_at } => ConnectionState::Offline {
                retry_at: retry_at.and_then(|at| self.instant(at)),
                why,
            },
            Connection::Connecting => ConnectionState::Connecting,
            Connection::CatchingUp => ConnectionState::CatchingUp,
            Connection::Online => ConnectionState::Online,
            Connection::Stopped { code } => ConnectionState::Stopped { code },
        }
    }

    /// As the state was when the machine told of it.
    pub(crate) fn told(&self, connection: Connection) -> ConnectionState {
        let why = lock(&self.core).why.clone();
        self.shown(connection, why)
    }
}
