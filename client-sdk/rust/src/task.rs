//! The task behind a client: it has the socket and the clock, and does what the machine says.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use pitturu_protocol::client::{ClientConnection, Connection, Output, Request, Ticket};
use pitturu_protocol::codes::Fault;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinSet;

use crate::error::CallError;
use crate::event::{ConnectionState, Gap, ServerEvent};
use crate::subscribers::{Subscribers, lock};
use crate::tokens::TokenStore;
use crate::transport::{Connector, Incoming, Socket};

pub(crate) type Answer = Result<Bytes, Fault>;

/// What the handles and the task share.
pub(crate) struct Shared {
    core: Mutex<Core>,
    /// Woken when a handle has given the machine something to do.
    work: Notify,
    began: Instant,
    pub(crate) subscribers: Arc<Subscribers>,
    pub(crate) connection: watch::Sender<ConnectionState>,
}

struct Core {
    machine: ClientConnection,
    answers: HashMap<Ticket, oneshot::Sender<Answer>>,
    /// The task is to end, or has ended.
    closed: bool,
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
                closed: false,
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

    fn instant(&self, ms: u64) -> Instant {
        self.began + Duration::from_millis(ms)
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
        let mut core = lock(&self.core);
        if core.closed {
            return Err(CallError::Closed);
        }
        let ticket = core.machine.call(request)?;
        let (to, answer) = oneshot::channel();
        core.answers.insert(ticket, to);
        drop(core);
        self.work.notify_one();
        Ok((ticket, answer))
    }

    pub(crate) fn cancel(&self, ticket: Ticket) {
        let mut core = lock(&self.core);
        if core.answers.remove(&ticket).is_some() {
            core.machine.cancel(ticket);
            self.work.notify_one();
        }
    }

    /// Lets `with` do something to the machine, and the task carry it out.
    pub(crate) fn with<T>(&self, with: impl FnOnce(&mut ClientConnection, u64) -> T) -> T {
        let result = self.drive(with);
        self.work.notify_one();
        result
    }

    /// As [`Self::with`], for the task itself.
    fn drive<T>(&self, with: impl FnOnce(&mut ClientConnection, u64) -> T) -> T {
        with(&mut lock(&self.core).machine, self.now())
    }

    /// Ends the task, once the server has been told.
    pub(crate) fn close(&self) {
        let mut core = lock(&self.core);
        core.closed = true;
        core.machine.stop();
        self.work.notify_one();
    }
}

type Connecting = Pin<Box<dyn Future<Output = Result<Box<Socket>, String>> + Send>>;

enum Link {
    None,
    Connecting(Connecting),
    Open(Box<Socket>),
}

/// The work behind a client. Nothing happens unless [`Task::run`] is awaited.
#[must_use = "a client does nothing unless its task runs"]
pub struct Task {
    shared: Arc<Shared>,
    connector: Connector,
    tokens: Arc<dyn TokenStore>,
    link: Link,
    goodbyes: JoinSet<()>,
    behind: bool,
    why: Option<Arc<str>>,
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task").finish_non_exhaustive()
    }
}

enum Happened {
    Work,
    Connected(Result<Box<Socket>, String>),
    Incoming(Incoming),
}

impl Task {
    pub(crate) fn new(
        shared: Arc<Shared>,
        connector: Connector,
        tokens: Arc<dyn TokenStore>,
    ) -> Self {
        Self {
            shared,
            connector,
            tokens,
            link: Link::None,
            goodbyes: JoinSet::new(),
            behind: false,
            why: None,
        }
    }

    /// Runs until the client is closed or its last handle is gone.
    pub async fn run(mut self) {
        self.shared.drive(ClientConnection::start);
        loop {
            let (outputs, closed, timeout) = self.take_outputs();
            for output in outputs {
                self.carry_out(output);
            }
            if closed {
                break;
            }
            self.pause_or_go_on();
            self.transmit();
            while self.goodbyes.try_join_next().is_some() {}
            match self.wait(timeout).await {
                Happened::Work => {}
                Happened::Connected(Ok(socket)) => {
                    self.link = Link::Open(socket);
                    self.why = None;
                    self.shared.drive(ClientConnection::connected);
                }
                Happened::Connected(Err(why)) => self.disconnected(None, &why),
                Happened::Incoming(Incoming::Message(message)) => {
                    self.shared
                        .drive(|machine, now| machine.received(now, &message));
                }
                Happened::Incoming(Incoming::Closed { code, why }) => {
                    self.disconnected(code, &why);
                }
            }
        }
        self.shared.subscribers.end();
        while self.goodbyes.join_next().await.is_some() {}
    }

    async fn wait(&mut self, timeout: Option<u64>) -> Happened {
        let due = timeout.map(|at| self.shared.instant(at));
        let timer = async {
            match due {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let link = async {
            match &mut self.link {
                Link::None => std::future::pending().await,
                Link::Connecting(connecting) => Happened::Connected(connecting.await),
                Link::Open(socket) => Happened::Incoming(socket.next().await),
            }
        };
        tokio::select! {
            () = self.shared.work.notified() => Happened::Work,
            () = self.shared.subscribers.drained() => Happened::Work,
            () = timer => {
                self.shared.drive(ClientConnection::tick);
                Happened::Work
            }
            happened = link => happened,
        }
    }

    fn disconnected(&mut self, code: Option<u16>, why: &str) {
        tracing::debug!(code, why, "disconnected");
        if let (Link::Open(socket), Some(_)) = (std::mem::replace(&mut self.link, Link::None), code)
        {
            self.goodbyes.spawn(socket.close(1000));
        }
        self.why = Some(why.into());
        self.shared
            .drive(|machine, now| machine.disconnected(now, code));
    }

    /// What the machine wants, with the receivers of its answers, whether the client is closed, and when to tick.
    fn take_outputs(&mut self) -> (Vec<Output>, bool, Option<u64>) {
        let mut guard = lock(&self.shared.core);
        let core = &mut *guard;
        let mut outputs = Vec::new();
        while let Some(output) = core.machine.poll() {
            outputs.push(output);
        }
        (outputs, core.closed, core.machine.next_timeout())
    }

    fn transmit(&mut self) {
        let Link::Open(socket) = &mut self.link else {
            return;
        };
        let mut core = lock(&self.shared.core);
        while let Some(message) = core.machine.transmit() {
            socket.send(message);
        }
    }

    fn pause_or_go_on(&mut self) {
        let behind = self.shared.subscribers.is_behind(self.behind);
        if behind != self.behind {
            self.behind = behind;
            tracing::debug!(behind, "subscribers");
            self.shared.drive(|machine, _| machine.pause(behind));
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Connect => {
                self.link = Link::Connecting(Box::pin(self.connector.clone().connect()));
            }
            Output::Close(code) => {
                if let Link::Open(socket) = std::mem::replace(&mut self.link, Link::None) {
                    self.goodbyes.spawn(socket.close(code));
                }
                self.why
                    .get_or_insert_with(|| "the connection failed".into());
            }
            Output::Answer { ticket, result } => {
                let to = lock(&self.shared.core).answers.remove(&ticket);
                if let Some(to) = to
                    && to.send(result).is_err()
                {
                    tracing::trace!("an answer came after its call was given up");
                }
            }
            Output::Tokens(tokens) => self.tokens.save(&tokens),
            Output::Fault(fault) => {
                tracing::warn!(%fault, "the server found fault with the connection");
                self.why = Some(fault.to_string().into());
            }
            Output::Connection(connection) => {
                let state = self.state(connection);
                self.shared.connection.send_replace(state.clone());
                self.publish(&ServerEvent::Connection(state));
            }
            Output::Event { event, body } => match ServerEvent::decode(event, body) {
                Ok(event) => self.publish(&event),
                Err(error) => tracing::warn!(event, %error, "an event does not fit its type"),
            },
            Output::Gap {
                stream,
                missing,
                from,
                to,
            } => self.publish(&ServerEvent::Gap(Gap {
                stream,
                missing,
                from,
                to,
            })),
            Output::StreamLost { stream, fault } => {
                self.publish(&ServerEvent::StreamLost { stream, fault });
            }
            Output::State { room, tick, data } => {
                self.publish(&ServerEvent::State { room, tick, data });
            }
            Output::SignedIn(identity) => self.publish(&ServerEvent::SignedIn(identity)),
            Output::SignedOut(fault) => self.publish(&ServerEvent::SignedOut(fault)),
        }
    }

    fn publish(&self, event: &ServerEvent) {
        self.shared.subscribers.publish(event);
    }

    fn state(&self, connection: Connection) -> ConnectionState {
        match connection {
            Connection::Offline { retry_at } => ConnectionState::Offline {
                retry_at: retry_at.map(|at| self.shared.instant(at)),
                why: self.why.clone(),
            },
            Connection::Connecting => ConnectionState::Connecting,
            Connection::CatchingUp => ConnectionState::CatchingUp,
            Connection::Online => ConnectionState::Online,
            Connection::Stopped { code } => ConnectionState::Stopped { code },
        }
    }
}

impl Drop for Task {
    /// Calls that still wait must not wait for ever when the task is dropped before its end.
    fn drop(&mut self) {
        let mut core = lock(&self.shared.core);
        core.closed = true;
        core.answers.clear();
        drop(core);
        self.shared.subscribers.end();
    }
}
