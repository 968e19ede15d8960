//! Rate limits of calls, by class: per player once signed in, per network address before.

use std::net::IpAddr;
use std::num::NonZeroU32;

use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_protocol::methods::Rate;

/// Who a limit counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// A signed-in player, over all connections.
    User(UserId),
    /// Everybody at one address who is not signed in.
    Address(IpAddr),
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
}

impl Default for Allowances {
    fn default() -> Self {
        Self {
            free: Allowance::new(500, 1_000),
            read: Allowance::new(50, 200),
            write: Allowance::new(20, 100),
            chat: Allowance::new(20, 100),
            sign_in: Allowance::new(20, 100),
        }
    }
}

type Limiter = RateLimiter<Who, DefaultKeyedStateStore<Who>, DefaultClock>;

/// The limiters of one process.
#[derive(Debug)]
pub struct Rates {
    free: Limiter,
    read: Limiter,
    write: Limiter,
    chat: Limiter,
    sign_in: Limiter,
    clock: DefaultClock,
}

impl Rates {
    /// Limiters that have seen nobody yet.
    pub fn new(allowances: &Allowances) -> Self {
        let limiter = |allowance: Allowance| {
            RateLimiter::keyed(Quota::per_second(allowance.per_second).allow_burst(allowance.burst))
        };
        Self {
            free: limiter(allowances.free),
            read: limiter(allowances.read),
            write: limiter(allowances.write),
            chat: limiter(allowances.chat),
            sign_in: limiter(allowances.sign_in),
            clock: DefaultClock::default(),
        }
    }

    fn limiter(&self, rate: Rate) -> &Limiter {
        match rate {
            Rate::Free => &self.free,
            Rate::Read => &self.read,
            Rate::Write => &self.write,
            Rate::Chat => &self.chat,
            Rate::SignIn => &self.sign_in,
        }
    }

    /// Counts one call, or refuses it with the time to wait.
    pub fn admit(&self, who: Who, rate: Rate) -> Result<(), Fault> {
        self.limiter(rate).check_key(&who).map_err(|refused| {
            let wait = refused.wait_time_from(self.clock.now());
            let milliseconds = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            Fault::of(Code::RateLimited).retry_after_ms(milliseconds.saturating_add(1))
        })
    }

    /// Forgets those whose allowance is full again. Call every minute, so that memory follows the number of
    /// active callers.
    pub fn forget_idle(&self) {
        for rate in [
            Rate::Free,
            Rate::Read,
            Rate::Write,
            Rate::Chat,
            Rate::SignIn,
        ] {
            self.limiter(rate).retain_recent();
            self.limiter(rate).shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_each_caller_waits_alone() {
        let rates = Rates::new(&Allowances {
            chat: Allowance::new(1, 3),
            ..Allowances::default()
        });
        let one = Who::User(UserId::from_bytes([1; 10]));
        let other = Who::User(UserId::from_bytes([2; 10]));
        for _ in 0..3 {
            rates.admit(one, Rate::Chat).expect("within the burst");
        }
        let fault = rates.admit(one, Rate::Chat).expect_err("beyond the burst");
        assert_eq!(fault.code, Code::RateLimited);
        assert!(
            fault
                .retry_after_ms
                .is_some_and(|wait| wait > 0 && wait <= 1_001)
        );
        rates.admit(other, Rate::Chat).expect("has its own burst");
        rates.admit(one, Rate::Read).expect("another class");
    }
}
