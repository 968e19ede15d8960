//! The loop of one connection: it reads when there is room to answer, writes when the socket takes it, keeps the heartbeat,
//! and reads streams on.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use pitturu_metrics::labels::ConnectionEnd;
use pitturu_metrics::table;
use pitturu_protocol::codes::CloseCode;
use pitturu_protocol::frame::{CallId, ServerFrame};
use pitturu_protocol::ids::ConnectionId;
use pitturu_protocol::server::{ServerConnection, TimerAction, Violation};
use pitturu_store::clock::{Steady, now_ms};
use tokio::time::{Instant, Sleep};
use tracing::info;

use self::reading::Reading;
use super::backfill::Backfill;
use super::calls::Work;
use super::rates::CachedBuckets;
use super::{SessionConfig, SessionContext};
use crate::connections::call::PendingCall;
use crate::connections::connection::Connection;
use crate::connections::link::{CloseReason, Link, LinkError, Peer};
use crate::connections::outbox::DriverView;
use crate::log_lines::{CLOSED, OPENED};
use crate::random::random_bytes;

mod reading;

/// Frames handled before other connections get their turn.
const FRAMES_PER_TURN: usize = 32;

/// Idle connections are woken together at multiples of this, for their pings: each by itself would wake the process.
const SHARED_MS: u64 = 250;

/// What is due sooner than this is not put off.
const SHARED_FROM_MS: u64 = 4 * SHARED_MS;

/// Serves one connection until it ends.
///
/// The future is most of what an idle connection costs. It holds the driver once, because the driver is made before it and
/// not in it, and the goodbye lies apart.
pub fn serve<L: Link>(
    link: L,
    peer: Peer,
    context: Arc<SessionContext>,
) -> impl Future<Output = ()> + Send + 'static {
    let config = context.config.get();
    let connection = Arc::new(Connection::new(
        ConnectionId::from_bytes(random_bytes()),
        peer,
        config.outbox_bytes,
        Arc::clone(&context.services.automod),
    ));
    connection.outbox.await_welcome();
    note_opened(&connection);
    context.services.registry.add(Arc::clone(&connection));
    let guard = Leave {
        connection: Arc::clone(&connection),
        context: Arc::clone(&context),
    };
    let mut driver = Driver::new(link, connection, context, config);
    async move {
        let ended = poll_fn(|cx| driver.poll(cx)).await;
        let goodbye = driver.end(ended);
        // Whoever reads no more would seem to be there for as long as the goodbye waits for them.
        drop(guard);
        if let Some(reason) = goodbye {
            Box::pin(driver.say_goodbye(reason)).await;
        }
    }
}

/// The line of a connection's begin.
fn note_opened(connection: &Connection) {
    let peer = &connection.peer;
    if OPENED.admit() {
        info!(
            conn = %connection.id,
            transport = *peer.transport,
            encrypted = peer.secure,
            address = %peer.address,
            "connection opened"
        );
    }
}

/// Takes the connection out of the registry and its rooms, also when its task is dropped.
struct Leave {
    connection: Arc<Connection>,
    context: Arc<SessionContext>,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.connection.outbox.set_inline_writer(None);
        self.context.services.registry.remove(&self.connection);
    }
}

fn count_end(end: ConnectionEnd) {
    table::CONNECTIONS_CLOSED.at(end).increment();
}

/// Why a connection ended.
enum Ended {
    /// The peer or the network.
    Link(LinkError),
    /// The server.
    Close(CloseCode),
    /// The peer broke the protocol.
    Violation(Violation),
}

/// Frames read in the present second.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    second: u64,
    frames: u32,
}

struct Driver<L> {
    link: L,
    machine: ServerConnection,
    /// When the connection began.
    since: Steady,
    connection: Arc<Connection>,
    context: Arc<SessionContext>,
    /// What held when the connection began.
    config: Arc<SessionConfig>,
    timer: Pin<Box<Sleep>>,
    /// What is left of the message being read.
    unread: Bytes,
    /// A call to finish before anything else is read.
    sequential: Option<Work>,
    concurrent: Vec<(CallId, tokio::task::JoinHandle<()>)>,
    reads: Vec<PendingCall>,
    backfill: Backfill,
    buckets: CachedBuckets,
    refusals: u32,
    window: Window,
    /// The timer was set anew and has to be polled.
    is_timer_set: bool,
    /// The connection is to be closed for its silence, unless what has arrived says otherwise.
    is_overdue: bool,
    was_blocked: bool,
    unflushed: bool,
}

impl<L: Link> Driver<L> {
    fn new(
        link: L,
        connection: Arc<Connection>,
        context: Arc<SessionContext>,
        config: Arc<SessionConfig>,
    ) -> Self {
        let phase = u64::from_be_bytes(random_bytes());
        let now = Steady::now();
        let machine = ServerConnection::new(config.timing, now.as_ms(), phase);
        let mut driver = Self {
            link,
            machine,
            since: now,
            connection,
            context,
            config,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            unread: Bytes::new(),
            sequential: None,
            concurrent: Vec::new(),
            reads: Vec::new(),
            backfill: Backfill::default(),
            buckets: CachedBuckets::default(),
            refusals: 0,
            window: Window::default(),
            is_timer_set: true,
            is_overdue: false,
            was_blocked: false,
            unflushed: false,
        };
        driver
            .connection
            .outbox
            .set_inline_writer(driver.link.take_inline_writer());
        driver.set_timer(now);
        driver
    }

    fn set_timer(&mut self, now: Steady) {
        let expires = self.connection.expires().map_or(u64::MAX, Steady::as_ms);
        let next_window = if self.window_is_full(now) {
            (self.window.second + 1) * 1_000
        } else {
            u64::MAX
        };
        let now = now.as_ms();
        let mut at = self.machine.next_at().min(expires).min(next_window);
        if at.saturating_sub(now) >= SHARED_FROM_MS && at < u64::MAX - SHARED_MS {
            at = at.next_multiple_of(SHARED_MS);
        }
        let wait = at.saturating_sub(now);
        let deadline = Instant::now() + Duration::from_millis(wait.min(60_000));
        self.timer.as_mut().reset(deadline);
        self.is_timer_set = true;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let mut reading = Reading::default();
        match self.turn(cx, &mut reading) {
            Ok(()) => Poll::Pending,
            Err(ended) => {
                if let Some(work) = self.sequential.take() {
                    // What it has stored may have to be told to other connections: it ends without this one.
                    tokio::spawn(work);
                }
                let replies = reading.replies.take();
                self.connection.outbox.snapshot(replies);
                Poll::Ready(ended)
            }
        }
    }

    /// Goes on until the connection has nothing to do, or others have to get their turn. The link is asked for
    /// messages until it has none, and then not again: it wakes the connection when the next one comes.
    fn turn(&mut self, cx: &mut Context<'_>, reading: &mut Reading) -> Result<(), Ended> {
        if let Some(rest) = self.connection.outbox.begin_turn(cx) {
            self.link.send_rest(rest);
            self.unflushed = true;
        }
        let mut now = Steady::now();
        // Whoever polls now is the one to wake.
        self.is_timer_set = true;
        loop {
            let replies = reading.replies.take();
            let view = self.connection.outbox.snapshot(replies);
            self.settle(&view);
            if self.is_timer_set {
                self.poll_time(cx)?;
            }
            let mut above = view.is_above_high_water;
            if view.is_queued || self.unflushed {
                let sent = self.poll_write(cx, view.is_queued)?;
                above = above && (!sent || self.connection.outbox.is_above_high_water());
            }
            let is_next = self.poll_sequential(cx, now);
            if self.sequential.is_none() {
                if view.has_streams || self.backfill.is_at_work() {
                    self.backfill.poll(cx, &self.connection, &self.context);
                }
                self.read_frames(cx, now, above, reading)?;
            }
            if let Some(code) = view.closing {
                return Err(Ended::Close(code));
            }
            if std::mem::take(&mut self.is_overdue) {
                // Everything that had arrived is read, or as much as shows that the client is alive.
                if let Some(code) = self.ask(now) {
                    return Err(Ended::Close(code));
                }
                self.set_timer(now);
            }
            if is_next || self.is_timer_set || !reading.replies.is_empty() {
                now = Steady::now();
            } else {
                let (unsent, waits) = (self.link.has_unsent(), !reading.is_drained);
                if self.connection.outbox.end_turn(unsent, waits) {
                    break;
                }
            }
        }
        if reading.frames >= FRAMES_PER_TURN {
            // The turn goes on when the others have had theirs.
            cx.waker().wake_by_ref();
        }
        Ok(())
    }

    /// Settles what was answered, so that the next calls may come.
    fn settle(&mut self, view: &DriverView) {
        for &call in &view.answered {
            self.machine.answered(call);
            self.reads.retain(|held| held.number != call);
            self.concurrent.retain(|(held, _)| *held != call);
        }
        if let Some(inbox) = &view.inbox_from {
            self.backfill.follow_inbox(**inbox);
        }
    }

    fn poll_time(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Steady::now();
            // What may have arrived is read before anybody is declared dead.
            self.is_overdue = self.ask(now).is_some();
            let expired = self.connection.expires();
            if expired.is_some_and(|expires| expires <= now) {
                return Err(Ended::Close(CloseCode::TokenExpired));
            }
            self.set_timer(now);
            if self.is_overdue {
                break;
            }
        }
        self.is_timer_set = false;
        Ok(())
    }

    /// Does what is due but for closing, and returns why to close.
    fn ask(&mut self, now: Steady) -> Option<CloseCode> {
        match self.machine.due(now.as_ms()) {
            TimerAction::Nothing => None,
            TimerAction::Ping(nonce) => {
                let frame = ServerFrame::Ping {
                    nonce,
                    now: now_ms(),
                }
                .encode();
                self.connection.outbox.control(frame.into());
                // A connection that rests holds no memory for what it may call later.
                self.buckets = CachedBuckets::default();
                None
            }
            TimerAction::Close(code) => Some(code),
        }
    }

    /// Sends what is queued. True: something was sent.
    fn poll_write(&mut self, cx: &mut Context<'_>, mut is_queued: bool) -> Result<bool, Ended> {
        let mut sent = false;
        loop {
            match self.link.poll_ready(cx) {
                Poll::Pending => {
                    self.was_blocked = true;
                    return Ok(sent);
                }
                Poll::Ready(Err(error)) => return Err(Ended::Link(error)),
                Poll::Ready(Ok(())) => {}
            }
            if std::mem::take(&mut self.was_blocked) {
                self.machine.alive();
            }
            if !is_queued {
                break;
            }
            let (batch, is_more) = self.connection.outbox.take_batch_of_some();
            is_queued = is_more;
            let Some(batch) = batch else {
                break;
            };
            sent = true;
            self.unflushed = true;
            if let Err(error) = self.link.send(batch) {
                return Err(Ended::Link(error));
            }
        }
        if self.unflushed {
            match self.link.poll_flush(cx) {
                Poll::Pending => self.was_blocked = true,
                Poll::Ready(Err(error)) => return Err(Ended::Link(error)),
                Poll::Ready(Ok(())) => {
                    self.unflushed = false;
                    if std::mem::take(&mut self.was_blocked) {
                        self.machine.alive();
                    }
                }
            }
        }
        Ok(sent)
    }

    /// True: the call that others wait for is done.
    fn poll_sequential(&mut self, cx: &mut Context<'_>, now: Steady) -> bool {
        let Some(work) = self.sequential.as_mut() else {
            return false;
        };
        if work.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.sequential = None;
        if self.connection.user().is_none() {
            self.backfill.clear();
        }
        self.set_timer(now);
        true
    }

    /// Notes how the connection has ended, and says what the client is to be told. Nothing, if nobody is left to be told.
    fn end(&self, ended: Ended) -> Option<CloseReason> {
        let reason = match ended {
            Ended::Link(error) => {
                self.note_closed(&error);
                match error {
                    LinkError::Violation { close, .. } => CloseReason::Transport(close),
                    LinkError::Closed(_) => {
                        count_end(ConnectionEnd::ByClient);
                        return None;
                    }
                    LinkError::Io(_) => {
                        count_end(ConnectionEnd::Lost);
                        return None;
                    }
                }
            }
            Ended::Close(code) => {
                self.note_closed(&code.name());
                CloseReason::Protocol(code)
            }
            Ended::Violation(violation) => {
                self.note_closed(&format_args!(
                    "{}: {}",
                    violation.close.name(),
                    violation.fault
                ));
                let frame = ServerFrame::Fault {
                    call: 0,
                    fault: violation.fault,
                };
                self.connection.outbox.control(frame.encode().into());
                CloseReason::Protocol(violation.close)
            }
        };
        count_end(ConnectionEnd::of_number(reason.number()));
        Some(reason)
    }

    /// Sends what still can be sent, says why, and closes.
    async fn say_goodbye(&mut self, reason: CloseReason) {
        let within = self.config.close_timeout;
        let goodbye = async {
            match poll_fn(|cx| self.poll_last_write(cx)).await {
                Err(LinkError::Closed(_) | LinkError::Io(_)) => {}
                // Whoever takes no more messages may still hear why.
                Ok(()) | Err(LinkError::Violation { .. }) => {
                    poll_fn(|cx| self.link.poll_close(cx, reason)).await;
                }
            }
        };
        if tokio::time::timeout(within, goodbye).await.is_err() {
            self.link.close_now(reason);
        }
    }

    /// The line of a connection's end: of the client's or the network's, or the server's.
    fn note_closed(&self, reason: &dyn fmt::Display) {
        let connection = &self.connection;
        let player = connection.player();
        let identity = player.as_ref().map(|player| &player.identity);
        let lasted_ms = Steady::now().as_ms().saturating_sub(self.since.as_ms());
        if CLOSED.admit() {
            info!(
                conn = %connection.id,
                user = identity.map(|identity| display(identity.user)),
                session = identity.map(|identity| display(identity.session)),
                transport = *connection.peer.transport,
                %reason,
                lasted_s = lasted_ms / 1_000,
                "connection closed"
            );
        }
    }

    fn poll_last_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        loop {
            std::task::ready!(self.link.poll_ready(cx))?;
            match self.connection.outbox.take_batch() {
                Some(batch) => self.link.send(batch)?,
                None => return self.link.poll_flush(cx),
            }
        }
    }
}
