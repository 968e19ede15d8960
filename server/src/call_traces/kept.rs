//! Calls that are traced, as long as they have no answer.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use dashmap::DashMap;
use parking_lot::Mutex;
use pitturu_metrics::labels::EntityKind;
use pitturu_metrics::table;
use pitturu_protocol::codes::Code;
use pitturu_protocol::ids::{ID_BYTES, UserId};
use tokio::sync::mpsc;

use super::{CallRead, Work};
use crate::random::random_bytes;

mod steps;

pub use self::steps::Noted;
use self::steps::Steps;

/// Most traced calls without an answer. Further ones are not traced, and counted as dropped.
pub const UNANSWERED_MAX: usize = 4_096;

/// The part of the room that a call goes to. Others are numbered from here on.
const ROOM: u16 = 0;

/// Which share of the calls is traced, of [`u32::MAX`]. 0: none, and nothing is decided for a call.
static SHARE: AtomicU32 = AtomicU32::new(0);

/// Where traces go that have ended.
static ENDED: Mutex<Option<mpsc::Sender<Trace>>> = Mutex::new(None);

static UNANSWERED: LazyLock<DashMap<u32, Unanswered>> = LazyLock::new(DashMap::new);

static NUMBERS: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static CURRENT: Cell<CallTrace> = const { Cell::new(CallTrace::NONE) };
    static DRAWN: Cell<u64> = Cell::new(u64::from_be_bytes(random_bytes()) | 1);
}

/// A traced call that has ended.
#[derive(Debug)]
pub struct Trace {
    /// The call.
    pub read: CallRead,
    /// When it was read.
    pub began: SystemTime,
    /// How long it took until its answer was on its way.
    pub took: Duration,
    /// The fault that it was answered with. Absent: a reply, or no answer.
    pub fault: Option<Code>,
    /// Whether anybody was there to be answered.
    pub is_answered: bool,
    /// What happened, by when after its beginning.
    pub steps: Vec<Noted>,
    /// Steps that were too many to be noted.
    pub left_out: u32,
}

#[derive(Debug)]
struct Unanswered {
    read: CallRead,
    began: SystemTime,
    since: Instant,
    steps: Steps,
    parts: u16,
    answered: Option<Option<Code>>,
}

impl Unanswered {
    fn into_trace(self) -> Trace {
        // Whoever is not answered is told nothing after what was noted last.
        let took = match self.answered {
            Some(_) => self.since.elapsed(),
            None => self.steps.last_noted().max(self.read.ago),
        };
        let (steps, left_out) = self.steps.into_noted(took);
        Trace {
            read: self.read,
            began: self.began,
            took,
            fault: self.answered.flatten(),
            is_answered: self.answered.is_some(),
            steps,
            left_out,
        }
    }
}

/// Begins to trace this share of the calls, from 0 to 1, if [`open`] has said where they go.
pub fn set_share(share: f64) {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share lies between 0 and 1"
    )]
    let share = (share.clamp(0.0, 1.0) * f64::from(u32::MAX)).ceil() as u32;
    let is_open = ENDED.lock().is_some();
    SHARE.store(if is_open { share } else { 0 }, Ordering::Relaxed);
}

/// Says where traces go that have ended: what finds no room there is dropped and counted.
pub fn open(to: mpsc::Sender<Trace>) {
    *ENDED.lock() = Some(to);
}

/// Traces nothing further.
pub fn shut() {
    ENDED.lock().take();
    set_share(0.0);
    UNANSWERED.clear();
}

/// Ends traces of calls that nobody answers any more: those whose connection had gone.
pub fn finish_old(age: Duration) {
    let is_old = |unanswered: &Unanswered| unanswered.since.elapsed() >= age;
    let old: Vec<u32> = UNANSWERED
        .iter()
        .filter(|entry| is_old(entry.value()))
        .map(|entry| *entry.key())
        .collect();
    for number in old {
        CallTrace(number).finish();
    }
}

/// The call for which this thread works.
pub fn current() -> CallTrace {
    CURRENT.get()
}

/// A step of the current call that belongs to no entity.
pub fn step(name: &'static str) -> Step {
    let part = current().another();
    part.note(|steps, part, after| steps.begin(part, name, after));
    Step(part)
}

/// Names a call that is traced, or none: 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallTrace(u32);

/// What one entity does for a call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Part {
    trace: CallTrace,
    number: u16,
}

impl CallTrace {
    /// Not traced.
    pub const NONE: Self = Self(0);

    /// Decides whether a call is traced, and begins with it.
    #[inline]
    pub fn begin(read: impl FnOnce() -> CallRead) -> Self {
        let share = SHARE.load(Ordering::Relaxed);
        if share == 0 || (share != u32::MAX && draw() >= share) {
            return Self::NONE;
        }
        Self::begin_with(read())
    }

    #[cold]
    fn begin_with(read: CallRead) -> Self {
        if UNANSWERED.len() >= UNANSWERED_MAX {
            table::TRACES_DROPPED.increment();
            return Self::NONE;
        }
        let (now, wall) = (Instant::now(), SystemTime::now());
        let unanswered = Unanswered {
            read,
            began: wall.checked_sub(read.ago).unwrap_or(wall),
            since: now.checked_sub(read.ago).unwrap_or(now),
            steps: Steps::default(),
            parts: ROOM,
            answered: None,
        };
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        // It has gone round once in so many traces.
        let number = number.max(1);
        UNANSWERED.insert(number, unanswered);
        Self(number)
    }

    /// Whether anything is noted.
    #[inline]
    pub const fn is_on(self) -> bool {
        self.0 != 0
    }

    fn with<T>(self, note: impl FnOnce(&mut Unanswered) -> T) -> Option<T> {
        if !self.is_on() {
            return None;
        }
        UNANSWERED
            .get_mut(&self.0)
            .map(|mut unanswered| note(&mut unanswered))
    }

    /// Notes who has signed in by it.
    pub fn signed_in(self, user: UserId) {
        self.with(|unanswered| unanswered.read.user = Some(user));
    }

    /// Notes that it was answered, and with which fault. What is still being delivered belongs to it.
    #[inline]
    pub fn ended(self, fault: Option<Code>) {
        if self.is_on() {
            self.end(fault);
        }
    }

    fn end(self, fault: Option<Code>) {
        let is_over = self.with(|unanswered| {
            unanswered.answered.get_or_insert(fault);
            !unanswered.steps.is_delivering()
        });
        if is_over == Some(true) {
            self.finish();
        }
    }

    fn finish(self) {
        let Some((_, unanswered)) = UNANSWERED.remove(&self.0) else {
            return;
        };
        let trace = unanswered.into_trace();
        let ended = ENDED.lock();
        if ended
            .as_ref()
            .is_some_and(|ended| ended.try_send(trace).is_err())
        {
            table::TRACES_DROPPED.increment();
        }
    }

    /// What the room does that the call goes to.
    #[inline]
    pub const fn room(self) -> Part {
        Part {
            trace: self,
            number: ROOM,
        }
    }

    /// What a further entity does.
    #[inline]
    pub fn another(self) -> Part {
        let next = self.with(|unanswered| {
            unanswered.parts = unanswered.parts.saturating_add(1);
            unanswered.parts
        });
        Part {
            trace: self,
            number: next.unwrap_or_default(),
        }
    }

    /// Makes it the current one while the work is polled.
    #[inline]
    pub fn carried_by(self, work: Work) -> Work {
        match self.is_on() {
            true => Box::pin(Carried { trace: self, work }),
            false => work,
        }
    }
}

/// A number in which every bit is as likely as not.
fn draw() -> u32 {
    let mut drawn = DRAWN.get();
    drawn ^= drawn << 13;
    drawn ^= drawn >> 7;
    drawn ^= drawn << 17;
    DRAWN.set(drawn);
    (drawn >> 32) as u32
}

impl Part {
    /// Nothing is noted of it.
    pub const NONE: Self = CallTrace::NONE.room();

    fn note(self, note: impl FnOnce(&mut Steps, u16, Duration)) {
        self.trace.with(|unanswered| {
            let after = unanswered.since.elapsed();
            note(&mut unanswered.steps, self.number, after);
        });
    }

    /// It waits for its owner.
    #[inline]
    pub fn sent(self, kind: EntityKind, id: impl Into<[u8; ID_BYTES]>) {
        if self.trace.is_on() {
            let id = id.into();
            self.note(|steps, part, after| steps.send(part, kind, id, after));
        }
    }

    /// It waits for the entity to be loaded.
    #[inline]
    pub fn loading(self) {
        self.note(|steps, part, after| steps.begin(part, "load", after));
    }

    /// The owner has begun with it.
    #[inline]
    pub fn taken(self) {
        self.note(|steps, part, after| steps.begin(part, "decide", after));
    }

    /// It is decided, and waits for the disk: for its own commit, or for what was decided before.
    #[inline]
    pub fn decided(self, stores: bool) {
        let name = if stores { "commit" } else { "durable.wait" };
        self.note(|steps, part, after| steps.begin(part, name, after));
    }

    /// It is durable, with all that it rests on.
    #[inline]
    pub fn durable(self) {
        self.note(Steps::end);
    }

    /// Its answer waits until others have applied what they are told by it.
    #[inline]
    pub fn held(self) {
        self.note(|steps, part, after| steps.begin(part, "signals.wait", after));
    }

    /// Whoever asked has the answer.
    #[inline]
    pub fn over(self) {
        self.note(Steps::end);
    }
}

/// A step of a call that lasts as long as this is kept.
#[derive(Debug)]
pub struct Step(Part);

impl Drop for Step {
    fn drop(&mut self) {
        self.0.over();
    }
}

/// Calls that are told to the followers of an entity in this turn.
#[derive(Debug, Default)]
pub struct Delivering(Vec<Part>);

impl Delivering {
    /// A call is told with the others of this turn.
    #[inline]
    pub fn begin(&mut self, part: Part) {
        if part.trace.is_on() {
            part.note(Steps::begin_delivery);
            self.0.push(part);
        }
    }

    /// All were told: so many followers.
    #[inline]
    pub fn end(&mut self, followers: usize) {
        for part in self.0.drain(..) {
            part.note(|steps, part, after| steps.end_delivery(part, followers, after));
            let is_over = part.trace.with(|unanswered| {
                unanswered.answered.is_some() && !unanswered.steps.is_delivering()
            });
            if is_over == Some(true) {
                part.trace.finish();
            }
        }
    }
}

/// Work for a traced call.
struct Carried {
    trace: CallTrace,
    work: Work,
}

impl Future for Carried {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let _outer = Entered(CURRENT.replace(self.trace));
        self.work.as_mut().poll(cx)
    }
}

/// Puts back which call was the current one, also when the work panics.
struct Entered(CallTrace);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}
