//! Who hears the events: queues that are read as streams, and callbacks.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use futures_util::Stream;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::event::{Overflow, ServerEvent};
use crate::foreign::{Foreign, guarded};
use crate::problem::Problem;

/// Events that a subscriber's queue holds before the client stops taking more of the streams for it.
pub const EVENTS_QUEUED_MAX: usize = 1024;

type Call = Box<dyn Fn(&ServerEvent) + Send + Sync>;

/// A callback, and what came before it was there.
struct Callback {
    id: u64,
    call: Foreign<Call>,
    /// The kind of event that it is called with; absent for all.
    kind: Option<u16>,
    replay: Mutex<VecDeque<ServerEvent>>,
}

impl Callback {
    fn wants(&self, event: &ServerEvent) -> bool {
        self.kind.is_none_or(|kind| kind == event.kind())
    }
}

/// What came before anybody listened, newest last.
#[derive(Default)]
struct Backlog {
    events: VecDeque<ServerEvent>,
    dropped: u64,
    /// Somebody listens, or has listened, to everything: nothing is kept any more.
    over: bool,
}

impl Backlog {
    fn keep(&mut self, event: &ServerEvent) {
        match event.overflow() {
            Overflow::Drop => return,
            Overflow::Replace(_) => {
                let key = event.overflow();
                self.events.retain(|kept| kept.overflow() != key);
            }
            Overflow::Keep => {}
        }
        if self.events.len() >= EVENTS_QUEUED_MAX {
            self.events.pop_front();
            self.dropped += 1;
        }
        self.events.push_back(event.clone());
    }

    /// Everything, for whoever is the first to listen to everything.
    fn take(&mut self) -> VecDeque<ServerEvent> {
        self.over = true;
        let mut events = std::mem::take(&mut self.events);
        if self.dropped > 0 {
            let count = std::mem::take(&mut self.dropped);
            events.push_front(ServerEvent::Problem(Problem::EventsDropped { count }));
        }
        events
    }

    /// What is of one kind.
    fn take_kind(&mut self, kind: u16) -> VecDeque<ServerEvent> {
        let kept = std::mem::take(&mut self.events);
        let (taken, left) = kept.into_iter().partition(|event| event.kind() == kind);
        self.events = left;
        taken
    }
}

/// Who listens.
#[derive(Default)]
struct Audience {
    queues: Vec<Weak<Subscriber>>,
    callbacks: Vec<Arc<Callback>>,
    backlog: Backlog,
    next_id: u64,
    ended: bool,
}

impl Audience {
    /// Who reads a queue. The last to let go of a queue drops a waker, so these are let go of without the lock.
    fn readers(&mut self) -> Vec<Arc<Subscriber>> {
        let mut readers = Vec::new();
        self.queues
            .retain(|queue| queue.upgrade().map(|reader| readers.push(reader)).is_some());
        readers
    }
}

#[derive(Default)]
struct Queue {
    events: VecDeque<ServerEvent>,
    waker: Option<Foreign<Waker>>,
    ended: bool,
}

impl Queue {
    /// The next event; `None` when none will come.
    fn next(&mut self) -> Poll<Option<ServerEvent>> {
        match self.events.pop_front() {
            Some(event) => Poll::Ready(Some(event)),
            None if self.ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

/// Wakes who waits for events. Whoever is woken may read at once.
fn wake_all(wakers: Vec<Foreign<Waker>>) {
    for waker in wakers {
        waker.used(Waker::wake);
    }
}

struct Subscriber {
    queue: Mutex<Queue>,
    /// Woken when the queue has become half empty.
    drained: Arc<Notify>,
}

impl Subscriber {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }

    /// Returns who is to be woken.
    fn push(&self, event: &ServerEvent) -> Option<Foreign<Waker>> {
        let mut queue = self.queue();
        if queue.events.len() >= EVENTS_QUEUED_MAX {
            match event.overflow() {
                Overflow::Keep => {}
                Overflow::Drop => return None,
                Overflow::Replace(_) => {
                    let key = event.overflow();
                    queue.events.retain(|queued| queued.overflow() != key);
                }
            }
        }
        queue.events.push_back(event.clone());
        queue.waker.take()
    }

    /// No more events will come. Returns who is to be woken.
    fn end(&self) -> Option<Foreign<Waker>> {
        let mut queue = self.queue();
        queue.ended = true;
        queue.waker.take()
    }
}

/// All subscribers of one client.
#[derive(Default)]
pub(crate) struct Subscribers {
    audience: Mutex<Audience>,
    drained: Arc<Notify>,
}

impl Subscribers {
    /// Hands the event to everybody, or keeps it until somebody listens.
    pub(crate) fn publish(&self, event: &ServerEvent) {
        let callbacks = lock(&self.audience).callbacks.clone();
        let mut panicked = false;
        let mut heard = false;
        for callback in &callbacks {
            panicked |= !self.catch_up(callback);
            if callback.wants(event) {
                heard = true;
                panicked |= !self.call(callback, event);
            }
        }
        self.enqueue(event, heard, callbacks.last().map(|callback| callback.id));
        // Whoever panics over this as well is not told again.
        if panicked && !matches!(event, ServerEvent::Problem(_)) {
            self.publish(&ServerEvent::Problem(Problem::CallbackPanicked));
        }
    }

    /// Hands the event to those who read queues. Without any listener it is kept; a callback that was added after `newest` has not
    /// been called.
    fn enqueue(&self, event: &ServerEvent, heard: bool, newest: Option<u64>) {
        let mut guard = lock(&self.audience);
        let audience = &mut *guard;
        let readers = audience.readers();
        let pushed = readers.iter().filter_map(|reader| reader.push(event));
        let wakers = pushed.collect();
        let late = audience
            .callbacks
            .iter()
            .filter(|callback| newest.is_none_or(|newest| callback.id > newest))
            .find(|callback| callback.wants(event));
        match late {
            Some(callback) => lock(&callback.replay).push_back(event.clone()),
            None if !heard && !audience.backlog.over => audience.backlog.keep(event),
            None => {}
        }
        drop(guard);
        wake_all(wakers);
    }

    /// Gives new callbacks what came before them.
    pub(crate) fn replay(&self) {
        let callbacks = lock(&self.audience).callbacks.clone();
        if callbacks.iter().any(|callback| !self.catch_up(callback)) {
            self.publish(&ServerEvent::Problem(Problem::CallbackPanicked));
        }
    }

    /// Returns whether nothing panicked.
    fn catch_up(&self, callback: &Callback) -> bool {
        let mut fine = true;
        loop {
            let next = lock(&callback.replay).pop_front();
            match next {
                Some(event) => fine &= self.call(callback, &event),
                None => return fine,
            }
        }
    }

    /// Returns whether it did not panic. A callback that has been ended meanwhile is not called.
    fn call(&self, callback: &Callback, event: &ServerEvent) -> bool {
        let is_there = |held: &Arc<Callback>| held.id == callback.id;
        if !lock(&self.audience).callbacks.iter().any(is_there) {
            return true;
        }
        let fine = guarded(|| (callback.call)(event)).is_some();
        if !fine {
            tracing::error!("a callback for events panicked");
        }
        fine
    }

    /// Whether somebody does not keep up. Once it has been so, everybody has to be half empty before it is over.
    pub(crate) fn is_behind(&self, was_behind: bool) -> bool {
        let most = if was_behind {
            EVENTS_QUEUED_MAX / 2
        } else {
            EVENTS_QUEUED_MAX - 1
        };
        let readers = lock(&self.audience).readers();
        readers
            .iter()
            .any(|reader| reader.queue().events.len() > most)
    }

    /// Waits until a queue has become half empty, or a callback is new.
    pub(crate) async fn drained(&self) {
        self.drained.notified().await;
    }

    pub(crate) fn events(&self) -> Events {
        let mut audience = lock(&self.audience);
        let queue = Queue {
            events: audience.backlog.take(),
            waker: None,
            ended: audience.ended,
        };
        let subscriber = Arc::new(Subscriber {
            queue: Mutex::new(queue),
            drained: Arc::clone(&self.drained),
        });
        audience.queues.push(Arc::downgrade(&subscriber));
        Events { subscriber }
    }

    /// `kind`: the only kind of event that `call` does something with.
    pub(crate) fn on(self: &Arc<Self>, kind: Option<u16>, call: Call) -> Subscription {
        let call = Foreign::new(call);
        let mut audience = lock(&self.audience);
        if audience.ended {
            drop(audience);
            return Subscription {
                id: 0,
                subscribers: Weak::new(),
            };
        }
        let id = audience.next_id;
        audience.next_id += 1;
        let before = match kind {
            Some(kind) => audience.backlog.take_kind(kind),
            None => audience.backlog.take(),
        };
        let replay = Mutex::new(before);
        audience.callbacks.push(Arc::new(Callback {
            id,
            call,
            kind,
            replay,
        }));
        drop(audience);
        notify(&self.drained);
        Subscription {
            id,
            subscribers: Arc::downgrade(self),
        }
    }

    /// No more events will come.
    pub(crate) fn end(&self) {
        let mut audience = lock(&self.audience);
        audience.ended = true;
        let callbacks = std::mem::take(&mut audience.callbacks);
        let readers = audience.readers();
        let wakers = readers.iter().filter_map(|reader| reader.end()).collect();
        drop(audience);
        wake_all(wakers);
        drop(callbacks);
    }
}

/// The events of a client, from the moment of [`Client::events`](crate::Client::events) on; for the first who listens, from the
/// client's beginning on. Ends when the client does.
///
/// Up to [`EVENTS_QUEUED_MAX`] events wait here. A reader that is further behind loses no entry of a stream: the client
/// stops taking entries from the server, for all its readers, and takes them up again where it stopped as soon as the reader
/// has read on. Of events that tell the latest state of something, the newest is kept; typing and ephemeral messages are dropped. Calls are
/// answered all the while, so a reader may await calls of its own. A reader that reads no more must be dropped.
pub struct Events {
    subscriber: Arc<Subscriber>,
}

impl Events {
    /// The next event; `None` once the client has ended.
    pub async fn next(&mut self) -> Option<ServerEvent> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    /// The next event, if one waits.
    pub fn try_next(&mut self) -> Option<ServerEvent> {
        match self.read(None) {
            Poll::Ready(event) => event,
            Poll::Pending => None,
        }
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<Option<ServerEvent>> {
        match self.read(None) {
            Poll::Pending => self.read(Some(Foreign::new(cx.waker().clone()))),
            ready => ready,
        }
    }

    /// The next event. Without one, `waker` will be woken.
    fn read(&mut self, waker: Option<Foreign<Waker>>) -> Poll<Option<ServerEvent>> {
        let mut queue = self.subscriber.queue();
        let next = queue.next();
        let unused = match (&next, waker) {
            (Poll::Pending, Some(waker)) => queue.waker.replace(waker),
            (_, waker) => waker,
        };
        let is_half_empty = queue.events.len() == EVENTS_QUEUED_MAX / 2;
        drop(queue);
        drop(unused);
        if is_half_empty && matches!(next, Poll::Ready(Some(_))) {
            notify(&self.subscriber.drained);
        }
        next
    }
}

impl Stream for Events {
    type Item = ServerEvent;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ServerEvent>> {
        self.get_mut().poll(cx)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        notify(&self.subscriber.drained);
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let waiting = self.subscriber.queue().events.len();
        f.debug_struct("Events").field("waiting", &waiting).finish()
    }
}

/// Keeps a callback of [`Client::on`](crate::Client::on). Dropping it ends the callback.
#[must_use = "dropping it ends the callback"]
pub struct Subscription {
    id: u64,
    subscribers: Weak<Subscribers>,
}

impl Subscription {
    /// Lets the callback live for as long as the client.
    pub fn forever(mut self) {
        self.subscribers = Weak::new();
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(subscribers) = self.subscribers.upgrade() {
            let mut audience = lock(&subscribers.audience);
            let mut held = audience.callbacks.iter();
            let at = held.position(|held| held.id == self.id);
            let ended = at.map(|at| audience.callbacks.remove(at));
            drop(audience);
            drop(ended);
        }
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription")
            .field("id", &self.id)
            .finish()
    }
}

/// Wakes who waits for it: the client's task, in an executor that need not be tokio's.
pub(crate) fn notify(waiting: &Notify) {
    guarded(|| waiting.notify_one());
}

/// No foreign code runs behind these locks, so a panic leaves nothing half done there.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

#[cfg(test)]
mod tests {
    use pitturu_protocol::ids::{RoomId, UserId};
    use pitturu_protocol::types::chat::{EphemeralSent, MessageDeleted, TypingStarted};
    use pitturu_protocol::types::presence::RoomPresence;

    use super::*;

    fn entry(rev: u64) -> ServerEvent {
        ServerEvent::MessageDeleted(MessageDeleted {
            room: RoomId::from_bytes([0; 10]),
            rev,
            seq: 1,
            by: UserId::from_bytes([0; 10]),
            at: 0,
        })
    }

    fn online(room: u8, online: u32) -> ServerEvent {
        ServerEvent::RoomPresence(RoomPresence {
            room: RoomId::from_bytes([room; 10]),
            online,
            members: 0,
            users: None,
        })
    }

    fn typing() -> ServerEvent {
        ServerEvent::TypingStarted(TypingStarted {
            room: RoomId::from_bytes([0; 10]),
            user: UserId::from_bytes([0; 10]),
            name: String::new(),
        })
    }

    fn said() -> ServerEvent {
        ServerEvent::EphemeralSent(EphemeralSent {
            room: RoomId::from_bytes([0; 10]),
            from: UserId::from_bytes([0; 10]),
            name: String::new(),
            text: "o/".to_owned(),
            at: 0,
        })
    }

    #[test]
    fn a_full_queue_keeps_entries_replaces_states_and_drops_the_volatile() {
        let subscribers = Subscribers::default();
        let mut events = subscribers.events();
        for rev in 0..1023 {
            subscribers.publish(&entry(rev));
        }
        assert!(!subscribers.is_behind(false));
        subscribers.publish(&online(1, 1));
        assert!(subscribers.is_behind(false));
        subscribers.publish(&online(2, 1));
        for count in 2..500 {
            subscribers.publish(&online(1, count));
            subscribers.publish(&typing());
            subscribers.publish(&said());
        }
        subscribers.publish(&entry(1023));
        let seen: Vec<ServerEvent> = std::iter::from_fn(|| events.try_next()).collect();
        let entries: Vec<&ServerEvent> = seen
            .iter()
            .filter(|event| matches!(event, ServerEvent::MessageDeleted(_)))
            .collect();
        assert_eq!(entries.len(), 1024);
        assert!(
            entries
                .iter()
                .enumerate()
                .all(|(rev, event)| **event == entry(rev as u64))
        );
        assert_eq!(seen.len(), 1026);
        assert!(seen.contains(&online(1, 499)) && seen.contains(&online(2, 1)));
    }

    #[test]
    fn a_reader_is_behind_until_half_is_read_or_it_is_dropped() {
        let subscribers = Subscribers::default();
        let mut events = subscribers.events();
        for rev in 0..1024 {
            subscribers.publish(&entry(rev));
        }
        assert!(subscribers.is_behind(false));
        for _ in 0..511 {
            events.try_next();
        }
        assert!(subscribers.is_behind(true));
        events.try_next();
        assert!(!subscribers.is_behind(true));
        for rev in 0..1024 {
            subscribers.publish(&entry(rev));
        }
        assert!(subscribers.is_behind(false));
        drop(events);
        assert!(!subscribers.is_behind(true));
    }

    #[test]
    fn a_callback_that_panics_hurts_nobody_and_a_dropped_guard_ends_it() {
        let subscribers = Arc::new(Subscribers::default());
        let mut events = subscribers.events();
        let guard = subscribers.on(None, Box::new(|_| panic!("on purpose")));
        subscribers.publish(&typing());
        assert_eq!(events.try_next(), Some(typing()));
        let told = ServerEvent::Problem(Problem::CallbackPanicked);
        assert_eq!(events.try_next(), Some(told));
        assert_eq!(events.try_next(), None);
        drop(guard);
        assert!(lock(&subscribers.audience).callbacks.is_empty());
    }

    #[test]
    fn the_first_reader_gets_what_came_before_and_no_other_does() {
        let subscribers = Subscribers::default();
        for rev in 0..3 {
            subscribers.publish(&entry(rev));
        }
        subscribers.publish(&online(1, 1));
        subscribers.publish(&typing());
        subscribers.publish(&online(1, 2));
        let mut first = subscribers.events();
        let mut second = subscribers.events();
        subscribers.publish(&entry(3));
        let seen: Vec<ServerEvent> = std::iter::from_fn(|| first.try_next()).collect();
        let expected = [entry(0), entry(1), entry(2), online(1, 2), entry(3)];
        assert_eq!(seen, expected);
        assert_eq!(second.try_next(), Some(entry(3)));
        assert_eq!(second.try_next(), None);
        drop((first, second));
        subscribers.publish(&entry(4));
        assert_eq!(
            subscribers.events().try_next(),
            None,
            "nobody is the first any more"
        );
    }

    #[test]
    fn each_kind_waits_for_its_first_callback() {
        let subscribers = Arc::new(Subscribers::default());
        subscribers.publish(&entry(0));
        subscribers.publish(&online(1, 1));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let listen = |kind: Option<u16>| {
            let heard = Arc::clone(&heard);
            subscribers.on(
                kind,
                Box::new(move |event| heard.lock().push(event.clone())),
            )
        };
        let deleted = listen(Some(entry(0).kind()));
        subscribers.publish(&entry(1));
        assert_eq!(*heard.lock(), [entry(0), entry(1)]);
        heard.lock().clear();
        let presence = listen(Some(online(1, 1).kind()));
        subscribers.replay();
        assert_eq!(*heard.lock(), [online(1, 1)]);
        drop((deleted, presence));
    }

    #[test]
    fn what_nobody_listens_to_is_bounded_and_its_loss_is_told() {
        let subscribers = Subscribers::default();
        let total = EVENTS_QUEUED_MAX as u64 + 30;
        for rev in 0..total {
            subscribers.publish(&entry(rev));
        }
        assert!(!subscribers.is_behind(false), "calls and streams go on");
        let mut events = subscribers.events();
        let told = ServerEvent::Problem(Problem::EventsDropped { count: 30 });
        assert_eq!(events.try_next(), Some(told));
        for rev in 30..total {
            assert_eq!(events.try_next(), Some(entry(rev)));
        }
        assert_eq!(events.try_next(), None);
    }

    #[test]
    fn who_begins_to_read_after_the_end_reads_what_was_kept_and_the_end() {
        let subscribers = Subscribers::default();
        subscribers.publish(&entry(0));
        subscribers.end();
        let mut events = subscribers.events();
        let mut next = || futures_util::FutureExt::now_or_never(events.next());
        assert_eq!(next(), Some(Some(entry(0))));
        assert_eq!(next(), Some(None));
    }
}
