//! The task behind a client: it has the socket and the clock, and does what the machine says.

use std::sync::Arc;

use pitturu_protocol::client::{ClientConnection, Connection, Output, Ticket};
use pitturu_protocol::codes::CloseCode;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::event::{Gap, ServerEvent};
use crate::foreign::{Foreign, guarded};
use crate::links::{Heard, Links};
use crate::problem::Problem;
use crate::shared::{Answer, Shared};
use crate::tokens::{Keeper, Read, TokenStore, Tokens};
use crate::transport::{Incoming, Opened, Ways};

/// What the token store had to say.
enum FromStore {
    Read(Read),
    Saved(Option<Problem>),
}

/// The application's token store, as the task uses it.
struct Store {
    keeper: Keeper,
    has_read: bool,
    /// Answers come out of the chores by this.
    to: mpsc::UnboundedSender<FromStore>,
}

/// The work behind a client. Nothing happens unless [`Task::run`] is awaited. When it is dropped before its end, the client is
/// closed.
#[must_use = "a client does nothing unless its task runs"]
pub struct Task {
    shared: Arc<Shared>,
    links: Links,
    /// Those whose say is known.
    welcomes: u64,
    /// Goodbyes to servers, and what waits for the token store. None of them takes long.
    chores: JoinSet<()>,
    tokens: Option<Foreign<Arc<dyn TokenStore>>>,
    store: Option<Store>,
    from_store: Option<mpsc::UnboundedReceiver<FromStore>>,
    behind: bool,
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task").finish_non_exhaustive()
    }
}

enum Happened {
    Work,
    Link(Heard),
    Store(FromStore),
}

/// Becomes true once tokens are kept, or could not be.
type Kept = watch::Receiver<bool>;

impl Task {
    pub(crate) fn new(
        shared: Arc<Shared>,
        ways: Ways,
        tokens: Option<Arc<dyn TokenStore>>,
    ) -> Self {
        Self {
            shared,
            links: Links::new(ways),
            welcomes: 0,
            chores: JoinSet::new(),
            tokens: tokens.map(Foreign::new),
            store: None,
            from_store: None,
            behind: false,
        }
    }

    /// Runs until the client is closed or its last handle is gone.
    pub async fn run(mut self) {
        if let Some(tokens) = self.tokens.take() {
            let (to, from_store) = mpsc::unbounded_channel();
            self.from_store = Some(from_store);
            self.store = Some(Store {
                keeper: Keeper::start(tokens),
                has_read: false,
                to,
            });
        }
        self.shared.drive(ClientConnection::start);
        loop {
            let todo = self.shared.todo();
            if let Some(preference) = todo.preference {
                self.links.prefer(preference);
            }
            self.carry_out(todo.outputs);
            self.shared.subscribers.replay();
            if todo.closed {
                break;
            }
            self.pause_or_go_on();
            self.transmit();
            while self.chores.try_join_next().is_some() {}
            match self.wait(todo.timeout).await {
                Happened::Work => {}
                Happened::Link(heard) => self.heard(heard),
                Happened::Store(from) => self.heard_from_store(from),
            }
        }
        // What was to be kept is, before the program may end.
        while self.chores.join_next().await.is_some() {}
        while let Some(Ok(from)) = self
            .from_store
            .as_mut()
            .map(mpsc::UnboundedReceiver::try_recv)
        {
            self.heard_from_store(from);
        }
        self.shared.subscribers.end();
    }

    async fn wait(&mut self, timeout: Option<u64>) -> Happened {
        let due = timeout.and_then(|at| self.shared.instant(at));
        let timer = async {
            match due {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let is_online = self.shared.look(ClientConnection::connection) == Connection::Online;
        let from_store = async {
            match &mut self.from_store {
                Some(from_store) => from_store.recv().await,
                None => None,
            }
        };
        tokio::select! {
            () = self.shared.work.notified() => Happened::Work,
            () = self.shared.subscribers.drained() => Happened::Work,
            () = timer => {
                self.shared.drive(ClientConnection::tick);
                Happened::Work
            }
            heard = self.links.next(is_online) => Happened::Link(heard),
            Some(from) = from_store => Happened::Store(from),
        }
    }

    fn heard(&mut self, heard: Heard) {
        match heard {
            Heard::Opened => self.shared.drive_because(None, ClientConnection::connected),
            Heard::Message(message) => {
                self.shared
                    .drive(|machine, now| machine.received(now, &message));
                self.links
                    .has_heard(self.shared.look(ClientConnection::awaits_answers));
                self.look_for_welcome();
            }
            Heard::Closed { code, why, socket } => {
                tracing::debug!(code, why, "disconnected");
                if let Some(socket) = socket {
                    self.chores.spawn(socket.close(1000));
                }
                self.shared
                    .drive_because(Some(&why), |machine, now| machine.disconnected(now, code));
            }
            Heard::Other(Incoming::Message(message)) => {
                self.shared
                    .drive(|machine, now| machine.other_received(now, &message));
                self.look_for_welcome();
            }
            Heard::Other(Incoming::Closed { code, why }) => {
                tracing::debug!(code, why, "the other connection has closed");
                self.shared.drive(ClientConnection::other_disconnected);
            }
            Heard::Other(Incoming::Datagram(datagram)) | Heard::Datagram(datagram) => {
                self.shared
                    .drive(|machine, now| machine.datagram_received(now, &datagram));
            }
            Heard::Better(opened) => self.hand_over(opened),
            Heard::Nothing => {}
        }
    }

    /// A welcome says where the server takes QUIC.
    fn look_for_welcome(&mut self) {
        let welcomes = self.shared.look(|machine| machine.stats().welcomes);
        if welcomes != self.welcomes {
            self.welcomes = welcomes;
            let address = self.shared.look(|machine| machine.quic().cloned());
            self.links.told(address.as_ref());
        }
    }

    /// A connection is open beside the present one.
    fn hand_over(&mut self, opened: Opened) {
        let mut is_taken = false;
        self.shared
            .drive(|machine, now| is_taken = machine.hand_over(now));
        if let Some(refused) = self.links.offered(opened, is_taken) {
            self.chores.spawn(refused.close(1000));
        }
    }

    fn transmit(&mut self) {
        let awaits = self.shared.look(ClientConnection::awaits_answers);
        if let Some(socket) = self.links.present() {
            let has_sent = self.shared.transmit(|message| socket.send(message));
            self.shared.transmit_datagrams(socket);
            self.links.has_sent(has_sent && awaits);
        }
        if let Some(socket) = self.links.other() {
            self.shared.transmit_other(|message| socket.send(message));
        }
        self.shared.use_transports(self.links.used());
    }

    fn pause_or_go_on(&mut self) {
        let behind = self.shared.subscribers.is_behind(self.behind);
        if behind != self.behind {
            self.behind = behind;
            tracing::debug!(behind, "subscribers");
            self.shared.drive(|machine, _| machine.pause(behind));
        }
    }

    fn carry_out(&mut self, outputs: Vec<Output>) {
        let mut kept = None;
        let mut mismatch: Option<Arc<str>> = None;
        for output in outputs {
            match output {
                Output::Connect => self.links.connect(),
                Output::TakeOver => self.links.take_over(),
                Output::CloseOther(code) => {
                    if let Some(socket) = self.links.take_other() {
                        self.chores.spawn(socket.close(code));
                    }
                }
                Output::Close(code) => {
                    if let Some(socket) = self.links.take_present(code != 1000) {
                        self.chores.spawn(socket.close(code));
                    }
                    match mismatch.take() {
                        Some(why) => self.shared.note_why(&why, true),
                        None => self.shared.note_why(gave_up(code), false),
                    }
                }
                Output::Answer { ticket, result } => self.answer(ticket, result, kept.as_ref()),
                Output::ReadTokens => self.read_tokens(),
                Output::Tokens(tokens) => kept = self.keep_tokens(tokens),
                Output::Fault(fault) => {
                    tracing::warn!(%fault, "the server found fault with the connection");
                    self.shared.note_why(&fault.to_string(), true);
                }
                Output::Mismatch { why } => {
                    tracing::warn!(why, "client and server do not fit");
                    let why: Arc<str> = why.into();
                    mismatch = Some(Arc::clone(&why));
                    self.publish(&ServerEvent::Problem(Problem::Mismatch { why }));
                }
                other => self.tell(other),
            }
        }
    }

    /// Hands an answer to whoever waits. The answer of a sign-in waits until its tokens are kept, so that a program that ends
    /// right after it has not lost them.
    fn answer(&mut self, ticket: Ticket, result: Answer, kept: Option<&Kept>) {
        let Some(to) = self.shared.take_waiting(ticket) else {
            return;
        };
        let result = result.map_err(|fault| self.shared.explained(fault));
        // Whoever asked may have given up meanwhile.
        match kept.cloned() {
            None => drop(guarded(|| to.send(result))),
            Some(mut kept) => {
                self.chores.spawn(async move {
                    kept.wait_for(|kept| *kept).await.ok();
                    guarded(|| to.send(result));
                });
            }
        }
    }

    fn read_tokens(&mut self) {
        let Some(store) = &mut self.store else {
            return self
                .shared
                .drive(|machine, now| machine.tokens_read(now, None));
        };
        let first = !std::mem::replace(&mut store.has_read, true);
        let (reading, to) = (store.keeper.read(first), store.to.clone());
        self.chores.spawn(async move {
            // The task may have ended meanwhile.
            to.send(FromStore::Read(reading.await)).ok();
        });
    }

    fn keep_tokens(&mut self, tokens: Tokens) -> Option<Kept> {
        let store = self.store.as_ref()?;
        let (saving, to) = (store.keeper.save(tokens), store.to.clone());
        let (done, kept) = watch::channel(false);
        self.chores.spawn(async move {
            to.send(FromStore::Saved(saving.await)).ok();
            done.send_replace(true);
        });
        Some(kept)
    }

    fn heard_from_store(&mut self, from: FromStore) {
        let problem = match from {
            FromStore::Saved(problem) => problem,
            FromStore::Read(Read { found, problem }) => {
                self.shared
                    .drive(|machine, now| machine.tokens_read(now, found));
                problem
            }
        };
        if let Some(problem) = problem {
            tracing::warn!(?problem, "token store");
            self.publish(&ServerEvent::Problem(problem));
        }
    }

    /// What the application hears.
    fn tell(&self, output: Output) {
        let event = match output {
            Output::Connection(connection) => ServerEvent::Connection(self.shared.told(connection)),
            Output::Event { event, body } => match ServerEvent::decode(event, body.clone()) {
                Ok(event) => event,
                Err(why) => unreadable(event, body, &why.to_string()),
            },
            Output::Unreadable { event, body, why } => unreadable(event, body, &why.to_string()),
            Output::UnreadableFrame { frame, why } => {
                tracing::warn!(frame, %why, "a frame can't be read");
                let why = why.to_string().into();
                ServerEvent::Problem(Problem::UnreadableFrame { frame, why })
            }
            Output::Gap {
                stream,
                missing,
                from,
                to,
            } => ServerEvent::Gap(Gap {
                stream,
                missing,
                from,
                to,
            }),
            Output::StreamLost { stream, fault } => ServerEvent::StreamLost { stream, fault },
            Output::State { room, tick, data } => ServerEvent::State { room, tick, data },
            Output::SignedIn(identity) => ServerEvent::SignedIn(identity),
            Output::SignedOut(fault) => ServerEvent::SignedOut(fault),
            Output::Connect
            | Output::TakeOver
            | Output::CloseOther(_)
            | Output::Close(_)
            | Output::Answer { .. }
            | Output::ReadTokens
            | Output::Tokens(_)
            | Output::Fault(_)
            | Output::Mismatch { .. } => return,
        };
        self.publish(&event);
    }

    fn publish(&self, event: &ServerEvent) {
        self.shared.subscribers.publish(event);
    }
}

/// Why the machine gives a connection up with this close code.
fn gave_up(code: u16) -> &'static str {
    if code == CloseCode::HandshakeTimeout.number() {
        "the server did not answer in time"
    } else if code == CloseCode::HeartbeatMissed.number() {
        "the server was silent for too long"
    } else {
        "what the server sent was not understood"
    }
}

fn unreadable(event: u16, body: bytes::Bytes, why: &str) -> ServerEvent {
    tracing::warn!(event, why, "an event can't be read");
    ServerEvent::Problem(Problem::Unreadable {
        event,
        body,
        why: why.into(),
    })
}

impl Drop for Task {
    fn drop(&mut self) {
        self.shared.abandon();
    }
}
