//! Who hears the events: queues that are read as streams, and callbacks.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use futures_util::Stream;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::event::{Overflow, ServerEvent};

/// Events that a subscriber's queue holds before the client stops taking more of the streams for it.
pub const EVENTS_QUEUED_MAX: usize = 1024;

type Callback = Arc<dyn Fn(&ServerEvent) + Send + Sync>;

#[derive(Default)]
struct Queue {
    events: VecDeque<ServerEvent>,
    waker: Option<Waker>,
    ended: bool,
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

    fn push(&self, event: &ServerEvent) {
        let mut queue = self.queue();
        if queue.events.len() >= EVENTS_QUEUED_MAX {
            match event.overflow() {
                Overflow::Keep => {}
                Overflow::Drop => return,
                Overflow::Replace(_) => {
                    let key = event.overflow();
                    queue.events.retain(|queued| queued.overflow() != key);
                }
            }
        }
        queue.events.push_back(event.clone());
        if let Some(waker) = queue.waker.take() {
            waker.wake();
        }
    }
}

/// All subscribers of one client.
#[derive(Default)]
pub(crate) struct Subscribers {
    queues: Mutex<Vec<Weak<Subscriber>>>,
    callbacks: Mutex<Vec<(u64, Callback)>>,
    next_id: AtomicU64,
    drained: Arc<Notify>,
}

impl Subscribers {
    /// Hands the event to everybody.
    pub(crate) fn publish(&self, event: &ServerEvent) {
        let callbacks: Vec<Callback> = lock(&self.callbacks)
            .iter()
            .map(|(_, callback)| Arc::clone(callback))
            .collect();
        for callback in callbacks {
            let call = std::panic::AssertUnwindSafe(|| callback(event));
            if std::panic::catch_unwind(call).is_err() {
                tracing::error!("a callback for events panicked");
            }
        }
        lock(&self.queues).retain(|queue| match queue.upgrade() {
            Some(subscriber) => {
                subscriber.push(event);
                true
            }
            None => false,
        });
    }

    /// Whether somebody does not keep up. Once it has been so, everybody has to be half empty before it is over.
    pub(crate) fn is_behind(&self, was_behind: bool) -> bool {
        let most = if was_behind {
            EVENTS_QUEUED_MAX / 2
        } else {
            EVENTS_QUEUED_MAX - 1
        };
        lock(&self.queues)
            .iter()
            .filter_map(Weak::upgrade)
            .any(|subscriber| subscriber.queue().events.len() > most)
    }

    /// Waits until a queue has become half empty.
    pub(crate) async fn drained(&self) {
        self.drained.notified().await;
    }

    pub(crate) fn events(&self) -> Events {
        let subscriber = Arc::new(Subscriber {
            queue: Mutex::default(),
            drained: Arc::clone(&self.drained),
        });
        lock(&self.queues).push(Arc::downgrade(&subscriber));
        Events { subscriber }
    }

    pub(crate) fn on(self: &Arc<Self>, callback: Callback) -> Subscription {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        lock(&self.callbacks).push((id, callback));
        Subscription {
            id,
            subscribers: Arc::downgrade(self),
        }
    }

    /// No more events will come.
    pub(crate) fn end(&self) {
        lock(&self.callbacks).clear();
        for subscriber in lock(&self.queues).iter().filter_map(Weak::upgrade) {
            let mut queue = subscriber.queue();
            queue.ended = true;
            if let Some(waker) = queue.waker.take() {
                waker.wake();
            }
        }
    }
}

/// The events of a client, from the moment of [`Client::events`](crate::Client::events) on. Ends when the client does.
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
        let mut queue = self.subscriber.queue();
        let event = queue.events.pop_front();
        self.note_drained(&queue);
        event
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<Option<ServerEvent>> {
        let mut queue = self.subscriber.queue();
        match queue.events.pop_front() {
            Some(event) => {
                self.note_drained(&queue);
                Poll::Ready(Some(event))
            }
            None if queue.ended => Poll::Ready(None),
            None => {
                queue.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn note_drained(&self, queue: &Queue) {
        if queue.events.len() == EVENTS_QUEUED_MAX / 2 {
            self.subscriber.drained.notify_one();
        }
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
        self.subscriber.drained.notify_one();
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events")
            .field("waiting", &self.subscriber.queue().events.len())
            .finish()
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
            lock(&subscribers.callbacks).retain(|(id, _)| *id != self.id);
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

/// A panic in a callback leaves nothing half done behind these locks.
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
        let guard = subscribers.on(Arc::new(|_| panic!("on purpose")));
        subscribers.publish(&typing());
        assert_eq!(events.try_next(), Some(typing()));
        drop(guard);
        assert!(lock(&subscribers.callbacks).is_empty());
    }
}
