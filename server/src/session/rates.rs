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
pub struct CachedBuckets(Option<(RateKey, Buckets)>);

/// The limiters of one process.
#[derive(Debug)]
pub struct Rates {
    limiters: [Limiter; CLASSES],
    /// What each limiter allows.
    allowances: [Allowance; CLASSES],
    buckets: DashMap<RateKey, Buckets>,
    clock: DefaultClock,
    start: <DefaultClock as Clock>::Instant,
}

impl Rates {
    /// Limiters that have seen nobody yet.
    pub fn new(allowances: &Allowances) -> Self {
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

    /// Counts one call, or refuses it with the time to wait. `cached` is the connection's own.
    pub fn admit(&self, cached: &mut CachedBuckets, who: RateKey, rate: Rate) -> Result<(), Fault> {
        let buckets = self.cached(cached, who);
        let class = class(who, rate);
        self.limiters[class]
            .check_key(buckets)
            .map_err(|refused| self.refusal(buckets, class, &refused))
    }

    /// Counts what a call takes beyond one, or as much of it as the whole burst.
    pub fn admit_more(
        &self,
        cached: &mut CachedBuckets,
        who: RateKey,
        rate: Rate,
        calls: NonZeroU32,
    ) -> Result<(), Fault> {
        let buckets = self.cached(cached, who);
        let class = class(who, rate);
        let calls = calls.min(self.allowances[class].burst);
        match self.limiters[class].check_key_n(buckets, calls) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(refused)) => Err(self.refusal(buckets, class, &refused)),
            // No burst is that large.
            Err(_) => Err(Fault::of(Code::RateLimited)),
        }
    }

    fn cached<'a>(&self, cached: &'a mut CachedBuckets, who: RateKey) -> &'a Buckets {
        let held = cached.0.take_if(|(held, _)| *held != who);
        drop(held);
        let (_, buckets) = cached.0.get_or_insert_with(|| (who, self.buckets(who)));
        buckets
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

    /// Forgets those whose allowance is full again and whom no connection holds. Call every minute, so that memory
    /// follows the number of active callers.
    pub fn forget_idle(&self) {
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
mod tests {
    use super::*;

    fn user(byte: u8) -> RateKey {
        RateKey::User(UserId::from_bytes([byte; 10]))
    }

    fn three_at_once() -> Rates {
        Rates::new(&Allowances {
            chat: Allowance::new(1, 3),
            ..Allowances::default()
        })
    }

    #[test]
    fn a_burst_passes_and_then_each_caller_waits_alone() {
        let rates = three_at_once();
        let (mut one, mut other) = (CachedBuckets::default(), CachedBuckets::default());
        for _ in 0..3 {
            rates
                .admit(&mut one, user(1), Rate::Chat)
                .expect("within the burst");
        }
        let fault = rates
            .admit(&mut one, user(1), Rate::Chat)
            .expect_err("beyond the burst");
        assert_eq!(fault.code, Code::RateLimited);
        assert!(
            fault
                .retry_after_ms
                .is_some_and(|wait| wait > 0 && wait <= 1_001)
        );
        rates
            .admit(&mut other, user(2), Rate::Chat)
            .expect("has its own burst");
        rates
            .admit(&mut one, user(1), Rate::Read)
            .expect("another class");
    }

    #[test]
    fn a_player_has_one_allowance_over_all_connections_also_after_they_end() {
        let rates = three_at_once();
        let mut connections = [CachedBuckets::default(), CachedBuckets::default()];
        for connection in [0, 1, 0] {
            rates
                .admit(&mut connections[connection], user(1), Rate::Chat)
                .expect("within the burst");
        }
        for connection in &mut connections {
            rates
                .admit(connection, user(1), Rate::Chat)
                .expect_err("the burst was used up by both");
        }
        drop(connections);
        rates.forget_idle();
        rates
            .admit(&mut CachedBuckets::default(), user(1), Rate::Chat)
            .expect_err("a new connection brings no new burst");
    }

    #[test]
    fn calls_that_are_refused_together_are_told_to_come_one_after_the_other() {
        let rates = Rates::new(&Allowances {
            chat: Allowance::new(10, 3),
            ..Allowances::default()
        });
        let mut connection = CachedBuckets::default();
        let mut admit = || rates.admit(&mut connection, user(1), Rate::Chat);
        for _ in 0..3 {
            admit().expect("within the burst");
        }
        let mut told = Vec::new();
        for _ in 0..200 {
            let refused = admit().expect_err("nothing has come back yet");
            told.push(refused.retry_after_ms.expect("it says how long"));
        }
        // Ten in a second, as many as will be let through.
        for (before, after) in told.iter().zip(&told[10..]).take(80) {
            let apart = after - before;
            assert!((500..=1_000).contains(&apart), "{told:?}");
        }
        let longest = told.iter().max().unwrap();
        assert!(*longest <= 10_001, "{told:?}");
    }

    /// One server of a game speaks for all of its players.
    #[test]
    fn what_a_service_reads_and_changes_has_an_allowance_of_its_own() {
        let rates = Rates::new(&Allowances {
            read: Allowance::new(1, 1),
            write: Allowance::new(1, 1),
            chat: Allowance::new(1, 1),
            service: Allowance::new(1, 4),
            ..Allowances::default()
        });
        let mut connection = CachedBuckets::default();
        let service = RateKey::Service(UserId::from_bytes([1; 10]));
        for rate in [Rate::Write, Rate::Read, Rate::Write, Rate::Read] {
            rates
                .admit(&mut connection, service, rate)
                .expect("within its burst");
        }
        for rate in [Rate::Write, Rate::Read] {
            let refused = rates.admit(&mut connection, service, rate);
            assert_eq!(refused.unwrap_err().code, Code::RateLimited);
        }
        let mut chat = || rates.admit(&mut connection, service, Rate::Chat);
        chat().expect("the first message");
        chat().expect_err("in rooms it is a player like any other");
    }

    #[test]
    fn a_connection_counts_for_whoever_is_signed_in() {
        let rates = three_at_once();
        let mut connection = CachedBuckets::default();
        for who in [user(1), user(2)] {
            for _ in 0..3 {
                rates
                    .admit(&mut connection, who, Rate::Chat)
                    .expect("within the burst of each");
            }
        }
        rates
            .admit(&mut connection, user(1), Rate::Chat)
            .expect_err("the first one's burst was used up");
    }

    #[test]
    fn callers_are_forgotten_once_nobody_holds_them_and_they_have_waited() {
        let rates = three_at_once();
        let mut connection = CachedBuckets::default();
        rates
            .admit(&mut connection, user(1), Rate::Chat)
            .expect("the first call");
        let buckets = rates.buckets(user(1));
        for full_at in buckets.0.iter() {
            full_at.store(0, Ordering::Release);
        }
        drop(buckets);
        // So long ago that what was used up has come back.
        let rates = Rates {
            start: rates.start.saturating_sub(Nanos::from(2 * KEPT_NS)),
            ..rates
        };
        rates.forget_idle();
        assert_eq!(rates.buckets.len(), 1, "the connection holds it");
        drop(connection);
        rates.forget_idle();
        assert_eq!(rates.buckets.len(), 0);
    }

    #[test]
    fn a_call_that_counts_as_several_takes_them_from_the_burst() {
        let rates = three_at_once();
        let mut connection = CachedBuckets::default();
        let two = NonZeroU32::new(2).unwrap();
        let mut more = |calls| rates.admit_more(&mut connection, user(1), Rate::Chat, calls);
        more(two).expect("within the burst");
        let fault = more(two).expect_err("one is left");
        assert_eq!(fault.code, Code::RateLimited);
        assert!(fault.retry_after_ms.is_some());
        more(NonZeroU32::MIN).expect("the last one");
        let mut other = CachedBuckets::default();
        let many = NonZeroU32::MAX;
        rates
            .admit_more(&mut other, user(2), Rate::Chat, many)
            .expect("what is more than any burst takes all of it");
        rates
            .admit(&mut other, user(2), Rate::Chat)
            .expect_err("nothing is left");
    }

    #[test]
    fn the_addresses_of_one_network_have_one_allowance() {
        let rates = three_at_once();
        let admit = |text: &str| {
            let who = RateKey::Address(Network::of(text.parse().unwrap()));
            rates.admit(&mut CachedBuckets::default(), who, Rate::Chat)
        };
        for host in ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:1"] {
            admit(host).expect("within the burst");
        }
        admit("2001:db8::3").expect_err("one customer has them all");
        admit("2001:db8:0:1::1").expect("another customer");
        for host in ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1"] {
            admit(host).expect("within the burst");
        }
        admit("::ffff:192.0.2.1").expect_err("the same address");
        admit("192.0.2.2").expect("another address");
    }

    #[test]
    fn calls_at_the_same_time_are_all_counted() {
        let rates = Rates::new(&Allowances {
            chat: Allowance::new(1, 1_000),
            ..Allowances::default()
        });
        let admitted = AtomicU64::new(0);
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    let mut connection = CachedBuckets::default();
                    for _ in 0..400 {
                        let outcome = rates.admit(&mut connection, user(1), Rate::Chat);
                        admitted.fetch_add(u64::from(outcome.is_ok()), Ordering::Relaxed);
                    }
                });
            }
        });
        // A whole second would have to pass for each one above the burst.
        let admitted = admitted.into_inner();
        assert!((1_000..1_600).contains(&admitted), "{admitted}");
    }
}
