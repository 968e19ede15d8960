//! Rate limits of calls, by class: per player once signed in, per network before.

use std::hash::{Hash, Hasher};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use governor::clock::{Clock, DefaultClock, Reference};
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{NotUntil, Quota, RateLimiter};
use parking_lot::RwLock;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_protocol::methods::Rate;

use crate::connections::network::Network;

/// Who a limit counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RateKey {
    /// A signed-in player, over all connections.
    User(UserId),
    /// A server of the game, or an admin, in the same way: what they read and change has an allowance of its own, for it is about many
    /// players.
    Service(UserId),
    /// Everybody of one network who is not signed in.
    Address(Network),
}

/// How much one class allows: a steady rate, and a burst after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Calls per second in the long run.
    pub per_second: NonZeroU32,
    /// Calls at once after a pause.
    pub burst: NonZeroU32,
}

impl Allowance {
    /// An allowance of so many calls; zero is taken as one.
    pub fn new(per_second: u32, burst: u32) -> Self {
        let at_least_one = |value| NonZeroU32::new(value).unwrap_or(NonZeroU32::MIN);
        Self {
            per_second: at_least_one(per_second),
            burst: at_least_one(burst),
        }
    }
}

/// The allowances of all classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowances {
    /// [`Rate::Free`].
    pub free: Allowance,
    /// [`Rate::Read`].
    pub read: Allowance,
    /// [`Rate::Write`].
    pub write: Allowance,
    /// [`Rate::Chat`].
    pub chat: Allowance,
    /// [`Rate::SignIn`].
    pub sign_in: Allowance,
    /// [`Rate::Read`] and [`Rate::Write`] together, of [`RateKey::Service`].
    pub service: Allowance,
}

impl Default for Allowances {
    fn default() -> Self {
        Self {
            free: Allowance::new(500, 1_000),
            read: Allowance::new(50, 200),
            write: Allowance::new(20, 100),
            chat: Allowance::new(20, 100),
            sign_in: Allowance::new(20, 100),
            service: Allowance::new(2_000, 4_000),
        }
    }
}

/// Number of limiters: one for each [`Rate`], and one for services.
const CLASSES: usize = 6;

/// A caller's buckets are kept for so many nanoseconds after the last of them is full again.
const KEPT_NS: u64 = 1_000_000_000;

const NANOS_PER_SECOND: u64 = 1_000_000_000;
const NANOS_PER_MILLISECOND: u64 = 1_000_000;

/// Longest time that a refused call is told to wait for those before it, in nanoseconds.
const TURN_MAX_NS: u64 = 10_000_000_000;

const fn class(who: RateKey, rate: Rate) -> usize {
    match (who, rate) {
        (RateKey::Service(_), Rate::Read | Rate::Write) => 5,
        (_, Rate::Free) => 0,
        (_, Rate::Read) => 1,
        (_, Rate::Write) => 2,
        (_, Rate::Chat) => 3,
        (_, Rate::SignIn) => 4,
    }
}

/// What one caller has used up: for each class, when the allowance will be full again, in the limiter's nanoseconds. Behind that, for each
/// class, until when refused calls were told to wait.
#[derive(Clone, Debug, Default)]
struct Buckets(Arc<[AtomicU64; 2 * CLASSES]>);

impl PartialEq for Buckets {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Buckets {}

impl Hash for Buckets {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

/// Where the limiter of one class finds its bucket.
#[derive(Debug)]
struct Place(usize);

impl StateStore for Place {
    type Key = Buckets;

    fn measure_and_replace<T, F, E>(&self, buckets: &Buckets, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let full_at = &buckets.0[self.0];
        let mut held = full_at.load(Ordering::Acquire);
        loop {
            let before = (held != 0).then(|| Nanos::from(held));
            let (outcome, after) = decide(before)?;
            match full_at.compare_exchange_weak(
                held,
                after.into(),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Ok(outcome),
                Err(present) => held = present,
            }
        }
    }
}

type Limiter = RateLimiter<Buckets, Place, DefaultClock>;

/// Whom a connection's calls count for at present, so that its next call need not look for their buckets.
#[derive(Clone, Debug, Default)]
pub struct CachedBuckets(Option<Held>);

#[derive(Clone, Debug)]
struct Held {
    generation: u64,
    limiters: Arc<Limiters>,
    who: RateKey,
    buckets: Buckets,
}

/// How much each caller may call, which may become another amount while the server runs.
#[derive(Debug)]
pub struct Rates {
    /// Counts the amounts there have been. Calls look here alone, at what is hardly ever written: a lock that each of them takes would be
    /// where all threads meet.
    generation: AtomicU64,
    used: RwLock<Arc<Limiters>>,
}

impl Rates {
    /// Limiters that have seen nobody yet.
    pub fn new(allowances: &Allowances) -> Self {
        Self::of(Limiters::new(allowances))
    }

    fn of(limiters: Limiters) -> Self {
        Self {
            generation: AtomicU64::new(0),
            used: RwLock::new(Arc::new(limiters)),
        }
    }

    /// Goes on with other allowances. Everybody begins with a full burst of them; the same as before change nothing.
    pub fn replace(&self, allowances: &Allowances) {
        let mut used = self.used.write();
        let limiters = Limiters::new(allowances);
        if used.allowances != limiters.allowances {
            *used = Arc::new(limiters);
            self.generation.fetch_add(1, Ordering::Release);
        }
    }

    /// Counts one call, or refuses it with the time to wait. `cached` is the connection's own.
    pub fn admit(&self, cached: &mut CachedBuckets, who: RateKey, rate: Rate) -> Result<(), Fault> {
        let held = self.held(cached, who);
        held.limiters.admit(&held.buckets, class(who, rate))
    }

    /// Counts what a call takes beyond one, or as much of it as the whole burst.
    pub fn admit_more(
        &self,
        cached: &mut CachedBuckets,
        who: RateKey,
        rate: Rate,
        calls: NonZeroU32,
    ) -> Result<(), Fault> {
        let held = self.held(cached, who);
        held.limiters
            .admit_more(&held.buckets, class(who, rate), calls)
    }

    fn held<'a>(&self, cached: &'a mut CachedBuckets, who: RateKey) -> &'a Held {
        let generation = self.generation.load(Ordering::Acquire);
        let is_old = |held: &mut Held| held.who != who || held.generation != generation;
        drop(cached.0.take_if(is_old));
        cached.0.get_or_insert_with(|| {
            let used = self.used.read();
            Held {
                // Under the lock, so that both are of one time.
                generation: self.generation.load(Ordering::Acquire),
                limiters: Arc::clone(&used),
                who,
                buckets: used.buckets(who),
            }
        })
    }

    /// Forgets those whose allowance is full again and whom no connection holds. Call every minute, so that memory
    /// follows the number of active callers.
    pub fn forget_idle(&self) {
        let used = Arc::clone(&self.used.read());
        used.forget_idle();
    }
}

/// The limiters of all classes, and what each caller has used up.
#[derive(Debug)]
struct Limiters {
    limiters: [Limiter; CLASSES],
    /// What each limiter allows.
    allowances: [Allowance; CLASSES],
    buckets: DashMap<RateKey, Buckets>,
    clock: DefaultClock,
    start: <DefaultClock as Clock>::Instant,
}

impl Limiters {
    fn new(allowances: &Allowances) -> Self {
        let clock = DefaultClock::default();
        let start = clock.now();
        // In the order of their classes.
        let classes = [
            allowances.free,
            allowances.read,
            allowances.write,
            allowances.chat,
            allowances.sign_in,
            allowances.service,
        ];
        let limiter = |class: usize| {
            let Allowance { per_second, burst } = classes[class];
            let quota = Quota::per_second(per_second).allow_burst(burst);
            RateLimiter::new(quota, Place(class), clock.clone())
        };
        Self {
            limiters: std::array::from_fn(limiter),
            allowances: classes,
            buckets: DashMap::new(),
            clock,
            start,
        }
    }

    fn admit(&self, buckets: &Buckets, class: usize) -> Result<(), Fault> {
        self.limiters[class]
            .check_key(buckets)
            .map_err(|refused| self.refusal(buckets, class, &refused))
    }

    fn admit_more(&self, buckets: &Buckets, class: usize, calls: NonZeroU32) -> Result<(), Fault> {
        let calls = calls.min(self.allowances[class].burst);
        match self.limiters[class].check_key_n(buckets, calls) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(refused)) => Err(self.refusal(buckets, class, &refused)),
            // No burst is that large.
            Err(_) => Err(Fault::of(Code::RateLimited)),
        }
    }

    /// Each refused call is told a time of its own, one after the other: if all that wait came at the same time, all but one would be refused
    /// again, and a client that does as it is told would look like a flood.
    fn refusal(
        &self,
        buckets: &Buckets,
        class: usize,
        refused: &NotUntil<<DefaultClock as Clock>::Instant>,
    ) -> Fault {
        let instant = self.clock.now();
        let now: u64 = instant.duration_since(self.start).into();
        let wait = refused.wait_time_from(instant).as_nanos();
        let free_at = now.saturating_add(u64::try_from(wait).unwrap_or(u64::MAX));
        let every = NANOS_PER_SECOND / u64::from(self.allowances[class].per_second.get());
        let turn = |told: u64| {
            let turn = told.saturating_add(every).min(now + TURN_MAX_NS);
            turn.max(free_at)
        };
        let told = &buckets.0[CLASSES + class];
        let before =
            told.fetch_update(Ordering::AcqRel, Ordering::Acquire, |told| Some(turn(told)));
        let (Ok(before) | Err(before)) = before;
        let wait = turn(before).saturating_sub(now) / NANOS_PER_MILLISECOND;
        Fault::of(Code::RateLimited).retry_after_ms(wait.saturating_add(1))
    }

    fn buckets(&self, who: RateKey) -> Buckets {
        self.buckets.entry(who).or_default().clone()
    }

    fn forget_idle(&self) {
        let now: u64 = self.clock.now().duration_since(self.start).into();
        self.buckets.retain(|_, buckets| {
            let is_full = |full_at: &AtomicU64| {
                full_at.load(Ordering::Acquire).saturating_add(KEPT_NS) <= now
            };
            Arc::strong_count(&buckets.0) > 1 || !buckets.0.iter().all(is_full)
        });
        self.buckets.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests;
