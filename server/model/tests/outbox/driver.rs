//! What `session/driver.rs` does with the outbox, and nothing else of it.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use pitturu_model::connections::outbox::{Cut, Outbox};
use pitturu_model::sync::Mutex;
use pitturu_protocol::frame::CallId;
use shuttle::sync::mpsc::Sender;

use crate::socket::{From, Link, frame};
use crate::{EVENTS, STREAM, number_of};

/// Threads that may wake the driver.
pub(crate) const THREADS: usize = 8;

shuttle::thread_local! {
    /// The number of this thread.
    pub(crate) static THREAD: Cell<usize> = Cell::new(0);
}

/// When the driver is in its turn, and who has woken it. Looked at by the test alone, so these are no points at which another
/// thread may go on.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Odd within a turn.
    turn: AtomicUsize,
    wakes: [AtomicUsize; THREADS],
}

impl Watch {
    fn passes(&self) {
        self.turn.fetch_add(1, Ordering::Relaxed);
    }

    /// Whoever comes within a turn, and is done before it ends, has not woken the driver: it looks once more anyhow.
    pub(crate) fn assert_wakes_only_a_sleeper<T>(&self, come: impl FnOnce() -> T) -> T {
        let wakes = &self.wakes[THREAD.with(Cell::get)];
        let now = || {
            (
                self.turn.load(Ordering::Relaxed),
                wakes.load(Ordering::Relaxed),
            )
        };
        let (turn, woken) = now();
        let outcome = come();
        let within = turn % 2 == 1 && now().0 == turn;
        assert!(
            !within || now().1 == woken,
            "a driver in its turn was woken"
        );
        outcome
    }
}

/// Wakes the driver's thread, and counts by whom.
struct Counting(Waker, Arc<Watch>);

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.1.wakes[THREAD.with(Cell::get)].fetch_add(1, Ordering::Relaxed);
        self.0.wake_by_ref();
    }
}

/// What the client calls.
#[derive(Debug, Default)]
pub(crate) struct Calls(Mutex<Coming>);

#[derive(Debug, Default)]
struct Coming {
    calls: VecDeque<CallId>,
    waits: Option<Waker>,
}

impl Calls {
    /// The client makes a call.
    pub(crate) fn make(&self, call: CallId) {
        let waits = {
            let mut coming = self.0.lock();
            coming.calls.push_back(call);
            coming.waits.take()
        };
        if let Some(waker) = waits {
            waker.wake();
        }
    }

    fn poll_receive(&self, cx: &Context<'_>) -> Poll<CallId> {
        let mut coming = self.0.lock();
        if let Some(call) = coming.calls.pop_front() {
            return Poll::Ready(call);
        }
        coming.waits = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// The driver of one connection.
pub(crate) struct Driver {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) link: Link,
    pub(crate) watch: Arc<Watch>,
    /// Where calls come from.
    pub(crate) calls: Arc<Calls>,
    /// Who answers them.
    pub(crate) room: Sender<CallId>,
    /// Calls without an answer.
    pub(crate) open: Vec<CallId>,
    /// How many there may be before the driver reads on.
    pub(crate) open_max: usize,
    /// Where the stream that was cut goes on.
    pub(crate) behind: Option<u8>,
}

impl Driver {
    /// Serves the connection until it is closed.
    pub(crate) fn serve(mut self) {
        shuttle::future::block_on(poll_fn(|cx| {
            let counting = Counting(cx.waker().clone(), Arc::clone(&self.watch));
            self.turn(&Context::from_waker(&Waker::from(Arc::new(counting))))
        }));
        assert!(
            self.open.is_empty(),
            "the driver has not learnt that {:?} were answered",
            self.open
        );
        shuttle::future::block_on(poll_fn(|cx| self.poll_last_write(cx)));
    }

    fn turn(&mut self, cx: &Context<'_>) -> Poll<()> {
        if let Some(rest) = self.outbox.begin_turn(cx) {
            self.link.send_rest(&rest);
        }
        self.watch.passes();
        loop {
            let look = self.outbox.snapshot(Bytes::new());
            for call in look.answered {
                let place = self.open.iter().position(|&open| open == call);
                self.open.swap_remove(place.expect("each is answered once"));
            }
            let mut is_above = look.is_above_high_water;
            if look.is_queued || self.link.has_unsent() {
                let sent = self.write(cx, look.is_queued);
                is_above = is_above && (!sent || self.outbox.is_above_high_water());
            }
            if look.has_streams || self.behind.is_some() {
                self.read_streams();
            }
            let is_drained = self.read_calls(cx, is_above);
            self.watch.passes();
            if look.closing.is_some() {
                return Poll::Ready(());
            }
            if self.outbox.end_turn(self.link.has_unsent(), !is_drained) {
                return Poll::Pending;
            }
            self.watch.passes();
        }
    }

    /// True: something was sent.
    fn write(&mut self, cx: &Context<'_>, mut is_queued: bool) -> bool {
        let mut sent = false;
        while self.link.poll_flush(cx).is_ready() && is_queued {
            let (batch, is_more) = self.outbox.take_batch_of_some();
            is_queued = is_more;
            let Some(batch) = batch else {
                break;
            };
            sent = true;
            self.link.send(&batch);
        }
        sent
    }

    /// True: no call is left to read, and the next one wakes the driver.
    fn read_calls(&mut self, cx: &Context<'_>, is_above: bool) -> bool {
        while !is_above && self.open.len() < self.open_max {
            let Poll::Ready(call) = self.calls.poll_receive(cx) else {
                return true;
            };
            self.open.push(call);
            self.room.send(call).expect("somebody answers");
        }
        false
    }

    /// The rest of a stream that was cut comes from elsewhere, as far as there is room.
    fn read_streams(&mut self) {
        while let Some(Cut { room, cursor, .. }) = self.outbox.take_cut() {
            if room == STREAM {
                self.behind = Some(number_of(cursor));
            } else {
                let told = frame(From::Cut, number_of(cursor));
                self.outbox.control(told);
            }
        }
        while let Some(last) = self.behind.filter(|&last| last < EVENTS) {
            if self
                .outbox
                .catch_up(&frame(From::Stream, last + 1))
                .is_err()
            {
                return;
            }
            self.behind = Some(last + 1);
        }
        self.behind = None;
    }

    fn poll_last_write(&mut self, cx: &Context<'_>) -> Poll<()> {
        loop {
            std::task::ready!(self.link.poll_flush(cx));
            match self.outbox.take_batch() {
                Some(batch) => self.link.send(&batch),
                None => return Poll::Ready(()),
            }
        }
    }
}
