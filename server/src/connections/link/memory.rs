//! A transport in memory, for tests: what networks and sockets do now and then, it does when it is told to.
//!
//! [`pair`] makes both ends. Nothing happens between them by itself: a message or datagram lies in its queue until the
//! other end takes it, so a test may look at the queues and change them meanwhile.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{Broadcast, CloseReason, InlineWrite, InlineWriter, Link, LinkError, Received};

/// Datagrams that each direction holds. What comes on top is lost.
pub(crate) const DATAGRAMS_MAX: usize = 16;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a pair behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Messages that each direction holds. Beyond it the sender waits.
    pub(crate) messages_max: usize,
    /// Longest datagram in bytes, if there are any.
    pub(crate) datagram_bytes_max: Option<usize>,
    /// What the link's inline writer takes, if there is one.
    pub(crate) inline: Option<Inline>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            messages_max: 128,
            datagram_bytes_max: Some(1_200),
            inline: Some(Inline::All),
        }
    }
}

/// What an inline writer takes of each message for which there is room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inline {
    All,
    /// So many bytes, or all that there are.
    Part(usize),
    Nothing,
}

#[derive(Debug)]
struct State {
    options: Options,
    to_server: VecDeque<Bytes>,
    datagrams_to_server: VecDeque<Bytes>,
    /// Sent by the driver and not handed over yet.
    unsent: VecDeque<Bytes>,
    to_client: VecDeque<Bytes>,
    datagrams_to_client: VecDeque<Bytes>,
    datagrams_dropped: usize,
    /// The beginning of a message of which the inline writer took a part.
    partial_write: Option<Bytes>,
    taken_inline: usize,
    /// What the link meets once it has read what came before.
    ended: Option<LinkError>,
    closed: Option<CloseReason>,
    is_link_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl State {
    fn has_room_to_client(&self) -> bool {
        self.to_client.len() < self.options.messages_max
    }

    /// Why nothing can be sent any more. A peer that broke the rules still gets what explains it.
    fn send_error(&self) -> Option<LinkError> {
        match &self.ended {
            Some(LinkError::Violation { .. }) | None => None,
            error => error.clone(),
        }
    }
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// The link did something that the client may wait for.
    changed: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics")
    }
}

/// The server's end.
#[derive(Debug)]
pub(crate) struct MemoryLink(Arc<Shared>);

/// The client's end, in the hands of a test. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct MemoryPeer(Arc<Shared>);

/// The part of a [`MemoryLink`] that writes past its driver go through.
#[derive(Debug)]
struct MemoryWriter(Arc<Shared>);

/// The two ends of a new connection.
pub(crate) fn pair(options: Options) -> (MemoryLink, MemoryPeer) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            options,
            to_server: VecDeque::new(),
            datagrams_to_server: VecDeque::new(),
            unsent: VecDeque::new(),
            to_client: VecDeque::new(),
            datagrams_to_client: VecDeque::new(),
            datagrams_dropped: 0,
            partial_write: None,
            taken_inline: 0,
            ended: None,
            closed: None,
            is_link_gone: false,
            reader: None,
            writer: None,
        }),
        changed: Notify::new(),
    });
    (MemoryLink(Arc::clone(&shared)), MemoryPeer(shared))
}

impl Link for MemoryLink {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, LinkError>> {
        let mut state = self.0.lock();
        if let Some(error @ LinkError::Io(_)) = &state.ended {
            return Poll::Ready(Err(error.clone()));
        }
        // Nothing holds a datagram up, so it overtakes the messages.
        let received = match state.datagrams_to_server.pop_front() {
            Some(datagram) => Some(Received::Datagram(datagram)),
            None => state.to_server.pop_front().map(Received::Message),
        };
        if let Some(received) = received {
            self.0.changed.notify_waiters();
            return Poll::Ready(Ok(received));
        }
        if let Some(error) = &state.ended {
            return Poll::Ready(Err(error.clone()));
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.poll_flush(cx)
    }

    fn send(&mut self, message: Bytes) -> Result<(), LinkError> {
        let mut state = self.0.lock();
        if let Some(error) = state.send_error() {
            return Err(error);
        }
        assert_eq!(state.partial_write, None, "a message inside of another one");
        state.unsent.push_back(message);
        Ok(())
    }

    fn send_rest(&mut self, rest: Bytes) {
        let mut state = self.0.lock();
        assert!(state.unsent.is_empty(), "the rest comes first");
        let beginning = state.partial_write.take().expect("a message has begun");
        state.unsent.push_back([beginning, rest].concat().into());
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let mut state = self.0.lock();
        if let Some(error) = state.send_error() {
            return Poll::Ready(Err(error));
        }
        while state.has_room_to_client() {
            let Some(message) = state.unsent.pop_front() else {
                return Poll::Ready(Ok(()));
            };
            state.to_client.push_back(message);
            self.0.changed.notify_waiters();
        }
        if state.unsent.is_empty() {
            return Poll::Ready(Ok(()));
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    fn has_unsent(&self) -> bool {
        !self.0.lock().unsent.is_empty()
    }

    fn take_inline_writer(&mut self) -> Option<Arc<dyn InlineWriter>> {
        self.0.lock().options.inline?;
        Some(Arc::new(MemoryWriter(Arc::clone(&self.0))))
    }

    fn datagram_bytes_max(&self) -> Option<usize> {
        self.0.lock().options.datagram_bytes_max
    }

    fn send_datagram(&mut self, datagram: Bytes) {
        let mut state = self.0.lock();
        let fits = Some(datagram.len()) <= state.options.datagram_bytes_max;
        if fits && state.datagrams_to_client.len() < DATAGRAMS_MAX {
            state.datagrams_to_client.push_back(datagram);
        } else {
            state.datagrams_dropped += 1;
        }
        self.0.changed.notify_waiters();
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, reason: CloseReason) -> Poll<()> {
        let flushed = ready!(self.poll_flush(cx));
        if flushed.is_ok() {
            self.0.lock().closed = Some(reason);
        }
        Poll::Ready(())
    }
}

impl Drop for MemoryLink {
    fn drop(&mut self) {
        self.0.lock().is_link_gone = true;
        self.0.changed.notify_waiters();
    }
}

impl InlineWriter for MemoryWriter {
    fn try_send(&self, message: &Broadcast) -> InlineWrite {
        let mut state = self.0.lock();
        assert_eq!(
            state.partial_write, None,
            "nothing goes past the rest of a message"
        );
        assert!(state.unsent.is_empty(), "nothing goes past what waits");
        if !state.has_room_to_client() || state.ended.is_some() || state.is_link_gone {
            return InlineWrite::Refused;
        }
        let message = message.message();
        let sent = match state.options.inline {
            Some(Inline::Part(bytes)) if bytes < message.len() => {
                state.partial_write = Some(message.slice(..bytes));
                InlineWrite::Partly(message.slice(bytes..))
            }
            Some(Inline::All | Inline::Part(_)) => {
                state.to_client.push_back(message.clone());
                InlineWrite::Sent
            }
            Some(Inline::Nothing) | None => return InlineWrite::Refused,
        };
        state.taken_inline += 1;
        self.0.changed.notify_waiters();
        sent
    }
}

impl MemoryPeer {
    /// Waits until `look` finds something in the state.
    async fn until<T>(&self, what: &str, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        let wait = async {
            loop {
                let changed = self.0.changed.notified();
                let found = look(&mut self.0.lock());
                if let Some(found) = found {
                    return found;
                }
                changed.await;
            }
        };
        let found = timeout(PATIENCE, wait).await;
        found.unwrap_or_else(|_| panic!("{what} does not come"))
    }

    fn wake_reader(&self) {
        if let Some(reader) = self.0.lock().reader.take() {
            reader.wake();
        }
    }

    fn wake_writer(&self) {
        if let Some(writer) = self.0.lock().writer.take() {
            writer.wake();
        }
    }

    /// Sends a message once there is room.
    pub(crate) async fn send(&self, message: impl Into<Bytes>) {
        let message = message.into();
        self.until("room for a message", |state| {
            let is_room = state.to_server.len() < state.options.messages_max;
            is_room.then(|| state.to_server.push_back(message.clone()))
        })
        .await;
        self.wake_reader();
    }

    /// Sends a datagram.
    pub(crate) fn send_datagram(&self, datagram: impl Into<Bytes>) {
        let datagram = datagram.into();
        self.change_datagrams(|on_their_way| on_their_way.push_back(datagram));
    }

    /// Loses, repeats or reorders datagrams that the server has not read yet. What exceeds the bounds is lost.
    pub(crate) fn change_datagrams(&self, change: impl FnOnce(&mut VecDeque<Bytes>)) {
        let mut state = self.0.lock();
        change(&mut state.datagrams_to_server);
        let bytes_max = state.options.datagram_bytes_max;
        state
            .datagrams_to_server
            .retain(|datagram| Some(datagram.len()) <= bytes_max);
        state.datagrams_to_server.truncate(DATAGRAMS_MAX);
        drop(state);
        self.wake_reader();
    }

    /// The next message; none once the server has closed and everything is read.
    pub(crate) async fn receive(&self) -> Option<Bytes> {
        let received = self
            .until("a message", |state| match state.to_client.pop_front() {
                Some(message) => Some(Some(message)),
                None => state.is_link_gone.then_some(None),
            })
            .await;
        self.wake_writer();
        received
    }

    /// The next datagram, if one has come.
    pub(crate) fn receive_datagram(&self) -> Option<Bytes> {
        self.0.lock().datagrams_to_client.pop_front()
    }

    /// Datagrams that the link was asked to send and did not.
    pub(crate) fn datagrams_dropped(&self) -> usize {
        self.0.lock().datagrams_dropped
    }

    /// Messages and datagrams that the server has not read.
    pub(crate) fn unread(&self) -> usize {
        let state = self.0.lock();
        state.to_server.len() + state.datagrams_to_server.len()
    }

    /// Waits until the server has read all but so many messages and datagrams.
    pub(crate) async fn until_unread(&self, count: usize) {
        self.until("what the server reads", |state| {
            let unread = state.to_server.len() + state.datagrams_to_server.len();
            (unread <= count).then_some(())
        })
        .await;
    }

    /// Messages that have come and were not received.
    pub(crate) fn waiting(&self) -> usize {
        self.0.lock().to_client.len()
    }

    /// Messages of which the inline writer took all or a part.
    pub(crate) fn taken_inline(&self) -> usize {
        self.0.lock().taken_inline
    }

    /// Has the inline writer take this from now on.
    pub(crate) fn set_inline(&self, inline: Inline) {
        self.0.lock().options.inline = Some(inline);
    }

    /// Has the link end with this error: at once when the network fails, else behind what was sent before.
    pub(crate) fn end(&self, error: LinkError) {
        self.0.lock().ended.get_or_insert(error);
        self.wake_reader();
        self.wake_writer();
    }

    /// Waits until the server has let go of the link, and returns the reason that it gave.
    pub(crate) async fn closed(&self) -> Option<CloseReason> {
        self.until("the end", |state| {
            state.is_link_gone.then_some(state.closed)
        })
        .await
    }
}

impl Drop for MemoryPeer {
    fn drop(&mut self) {
        self.end(LinkError::Closed(None));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noop() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    fn datagram(byte: u8) -> Bytes {
        Bytes::from(vec![byte; 3])
    }

    #[test]
    fn datagrams_overtake_and_are_lost_repeated_and_reordered_as_told() {
        let (mut link, peer) = pair(Options::default());
        let mut receive = || match link.poll_receive(&mut noop()) {
            Poll::Ready(Ok(Received::Datagram(datagram))) => Some(datagram[0]),
            Poll::Ready(other) => panic!("{other:?}"),
            Poll::Pending => None,
        };
        for byte in 1..=4 {
            peer.send_datagram(datagram(byte));
        }
        peer.change_datagrams(|on_their_way| {
            on_their_way.remove(1);
            on_their_way.swap(0, 2);
            on_their_way.push_back(on_their_way[0].clone());
        });
        let received: Vec<u8> = std::iter::from_fn(&mut receive).collect();
        assert_eq!(received, [4, 3, 1, 4]);
        for byte in 0..=u8::try_from(DATAGRAMS_MAX).expect("few") {
            peer.send_datagram(datagram(byte));
        }
        peer.send_datagram(vec![0; 1_201]);
        assert_eq!(std::iter::from_fn(&mut receive).count(), DATAGRAMS_MAX);
    }

    #[test]
    fn a_datagram_that_is_too_long_or_too_many_is_dropped_and_counted() {
        let (mut link, peer) = pair(Options {
            datagram_bytes_max: Some(3),
            ..Options::default()
        });
        assert_eq!(link.datagram_bytes_max(), Some(3));
        link.send_datagram(Bytes::from_static(b"long"));
        assert_eq!(
            (peer.receive_datagram(), peer.datagrams_dropped()),
            (None, 1)
        );
        for byte in 0..=u8::try_from(DATAGRAMS_MAX).expect("few") {
            link.send_datagram(datagram(byte));
        }
        assert_eq!(peer.receive_datagram(), Some(datagram(0)));
        assert_eq!(peer.datagrams_dropped(), 2);
        let (mut without, peer) = pair(Options {
            datagram_bytes_max: None,
            ..Options::default()
        });
        without.send_datagram(Bytes::new());
        assert_eq!(
            (peer.receive_datagram(), peer.datagrams_dropped()),
            (None, 1)
        );
    }

    #[test]
    fn a_full_link_waits_and_its_inline_writer_refuses() {
        let (mut link, peer) = pair(Options {
            messages_max: 1,
            ..Options::default()
        });
        let writer = link.take_inline_writer().expect("it has one");
        let message = Broadcast::new(datagram(1));
        assert_eq!(writer.try_send(&message), InlineWrite::Sent);
        assert_eq!(writer.try_send(&message), InlineWrite::Refused);
        assert!(link.poll_ready(&mut noop()).is_ready());
        link.send(datagram(2)).expect("it is open");
        assert!(link.poll_flush(&mut noop()).is_pending() && link.has_unsent());
        assert_eq!((peer.waiting(), peer.taken_inline()), (1, 1));
    }

    #[test]
    fn a_link_ends_behind_what_came_before_unless_the_network_fails() {
        let (mut link, peer) = pair(Options::default());
        peer.send_datagram(datagram(1));
        let closed = LinkError::Closed(Some(7));
        peer.end(closed.clone());
        let first = link.poll_receive(&mut noop());
        assert_eq!(first, Poll::Ready(Ok(Received::Datagram(datagram(1)))));
        assert_eq!(
            link.poll_receive(&mut noop()),
            Poll::Ready(Err(closed.clone()))
        );
        assert_eq!(link.send(Bytes::new()), Err(closed));
        let (mut link, peer) = pair(Options::default());
        peer.send_datagram(datagram(1));
        let failed = LinkError::Io(std::io::ErrorKind::ConnectionReset);
        peer.end(failed.clone());
        assert_eq!(link.poll_receive(&mut noop()), Poll::Ready(Err(failed)));
    }
}
