//! Delays that grow with wrong passwords: leaky buckets.
//!
//! | bucket | what it holds up |
//! |---|---|
//! | a name and a network | guesses at one account from one place |
//! | a name, whatever the network | guesses at one account from many places; twenty times as many are free |
//! | a network, whatever the name | guesses at many accounts from one place |
//! | a known device of an account | guesses there; it passes the three above |
//!
//! A wrong password raises its buckets, and every bucket leaks. What is refused raises nothing, and a right password takes nothing
//! out that others have put in. Attempts whose password is still being looked at are no failures, but together with these they
//! may not be more than are free: the others wait for their outcome, so that guesses side by side don't slip past. Names count whether or not an account has
//! them. Buckets live in memory: a restart forgets them.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use crate::connections::network::Network;

/// Most buckets of each kind that are remembered. Those that were raised longest ago are forgotten first.
pub const LOCKOUT_ENTRIES_MAX: usize = 100_000;

/// Most sign-ins that wait for the outcome of others on the same name or from the same network. More are told to come back.
const WAITING_MAX: usize = 1_024;

/// Most of them from one network, strangers and known devices each for themselves.
const WAITING_PER_NETWORK_MAX: usize = WAITING_MAX / 8;

/// What they are told to wait, in milliseconds.
const COME_BACK_MS: u64 = 1_000;

/// A bucket that many networks or names share has delays shorter by this factor and leaks faster by it: who shares it with an attacker goes on
/// soon.
const SHARED: u64 = 10;

/// How delays grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockoutConfig {
    /// Wrong passwords for one name from one network before the first delay.
    pub name_failures_free: u32,
    /// Wrong passwords for one name from all networks before the first delay.
    pub name_total_free: u32,
    /// Wrong passwords from one network before the first delay. Larger than for a name, because players share addresses.
    pub address_failures_free: u32,
    /// First delay in milliseconds; each further wrong password doubles it.
    pub delay_first_ms: u64,
    /// Longest delay in milliseconds, and the time in which one wrong password leaks away. Both are a tenth of this for a name from all networks and
    /// for a network.
    pub delay_max_ms: u64,
}

impl Default for LockoutConfig {
    fn default() -> Self {
        Self {
            name_failures_free: 5,
            name_total_free: 100,
            address_failures_free: 50,
            delay_first_ms: 1_000,
            delay_max_ms: 15 * 60 * 1_000,
        }
    }
}

/// The name of a bucket: a hash, so that long names take no more memory than short ones.
type Id = [u8; 16];

/// Holds up guesses.
#[derive(Debug)]
pub struct Lockout {
    config: LockoutConfig,
    entries_max: usize,
    tables: Mutex<Tables>,
    /// Rings when the outcome of an attempt is known.
    settled: Notify,
}

#[derive(Debug, Default)]
struct Tables {
    /// By [`Kind`].
    buckets: [Table; 4],
    waiting: HashMap<Party, usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    NameHere,
    Name,
    Network,
    Device,
}

/// Who waits together: those of one network, and the kind of their first bucket.
type Party = (Network, Kind);

/// Why an attempt may not go on now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// For so many milliseconds.
    For(u64),
    /// Until the outcome of others is known.
    ByOthers,
}

/// An attempt that may go on. Dropped without [`Attempt::failed`] it has raised nothing: the password was right, or nobody has
/// looked at it.
#[derive(Debug)]
#[must_use]
pub struct Attempt<'a> {
    lockout: &'a Lockout,
    buckets: Vec<(Kind, Id)>,
}

impl Attempt<'_> {
    /// The password was wrong. `now`: milliseconds of the clock that [`Lockout::admit`] was asked by.
    pub fn failed(self, now: u64) {
        let lockout = self.lockout;
        let mut tables = lockout.tables.lock();
        for &(kind, id) in &self.buckets {
            let rule = lockout.rule(kind);
            tables.buckets[kind as usize].raise(id, &rule, now, lockout.entries_max);
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut tables = self.lockout.tables.lock();
        for &(kind, id) in &self.buckets {
            tables.buckets[kind as usize].settle(id);
        }
        drop(tables);
        self.lockout.settled.notify_waiters();
    }
}

impl Lockout {
    /// Empty buckets.
    pub fn new(config: LockoutConfig) -> Self {
        Self::with_capacity(config, LOCKOUT_ENTRIES_MAX)
    }

    fn with_capacity(config: LockoutConfig, entries_max: usize) -> Self {
        Self {
            config,
            entries_max,
            tables: Mutex::default(),
            settled: Notify::new(),
        }
    }

    /// Lets an attempt on a folded name from an address go on, at once or when the outcome of those before it is known. `now` tells the milliseconds of a
    /// clock that is never set back.
    ///
    /// # Errors
    /// How many milliseconds to wait.
    pub async fn admit(
        &self,
        folded: &str,
        address: IpAddr,
        now: impl Fn() -> u64,
    ) -> Result<Attempt<'_>, u64> {
        let party = (Network::of(address), Kind::NameHere);
        self.pass(buckets_of(folded, address), party, now).await
    }

    /// The same for a device that the account knows, whatever strangers have done to its name or network. `device` tells it from all other
    /// devices of all accounts; `address` is where it is.
    ///
    /// # Errors
    /// How many milliseconds to wait.
    pub async fn admit_device(
        &self,
        device: &[&[u8]],
        address: IpAddr,
        now: impl Fn() -> u64,
    ) -> Result<Attempt<'_>, u64> {
        let party = (Network::of(address), Kind::Device);
        let buckets = vec![(Kind::Device, id(device))];
        self.pass(buckets, party, now).await
    }

    /// Forgets what was tried on a name from the caller's own network, after its password was reset.
    pub fn forgive(&self, folded: &str, address: IpAddr) {
        let (kind, id) = buckets_of(folded, address)[0];
        self.tables.lock().buckets[kind as usize].remove(id);
    }

    async fn pass(
        &self,
        buckets: Vec<(Kind, Id)>,
        party: Party,
        now: impl Fn() -> u64,
    ) -> Result<Attempt<'_>, u64> {
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            // From here on no outcome goes unheard.
            settled.as_mut().enable();
            match self.try_pass(&buckets, now()) {
                Ok(()) => {
                    return Ok(Attempt {
                        lockout: self,
                        buckets,
                    });
                }
                Err(Held::For(wait_ms)) => return Err(wait_ms),
                Err(Held::ByOthers) => {}
            }
            let _place = Place::take(self, party).ok_or(COME_BACK_MS)?;
            settled.await;
        }
    }

    /// Takes the attempt into all of its buckets, or into none.
    fn try_pass(&self, buckets: &[(Kind, Id)], now: u64) -> Result<(), Held> {
        let mut tables = self.tables.lock();
        let held = buckets.iter().filter_map(|&(kind, id)| {
            let rule = self.rule(kind);
            tables.buckets[kind as usize].held(id, &rule, now)
        });
        let longest = held.reduce(|one, other| match (one, other) {
            (Held::For(one), Held::For(other)) => Held::For(one.max(other)),
            (Held::For(wait), _) | (_, Held::For(wait)) => Held::For(wait),
            _ => Held::ByOthers,
        });
        match longest {
            Some(held) => Err(held),
            None => {
                for &(kind, id) in buckets {
                    tables.buckets[kind as usize].begin(id);
                }
                Ok(())
            }
        }
    }

    fn rule(&self, kind: Kind) -> Rule {
        let config = &self.config;
        let (free, shared) = match kind {
            Kind::NameHere | Kind::Device => (config.name_failures_free, 1),
            Kind::Name => (config.name_total_free, SHARED),
            Kind::Network => (config.address_failures_free, SHARED),
        };
        let delay_max_ms = (config.delay_max_ms / shared).max(1);
        Rule {
            free,
            delay_first_ms: config.delay_first_ms.min(delay_max_ms),
            delay_max_ms,
        }
    }
}

/// A place among those who wait.
struct Place<'a>(&'a Lockout, Party);

impl<'a> Place<'a> {
    fn take(lockout: &'a Lockout, party: Party) -> Option<Self> {
        let mut tables = lockout.tables.lock();
        let waiting = &mut tables.waiting;
        let of_party = waiting.get(&party).copied().unwrap_or(0);
        if of_party >= WAITING_PER_NETWORK_MAX || waiting.values().sum::<usize>() >= WAITING_MAX {
            return None;
        }
        waiting.insert(party, of_party + 1);
        Some(Self(lockout, party))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let waiting = &mut self.0.tables.lock().waiting;
        if let Some(of_party) = waiting.get_mut(&self.1) {
            *of_party -= 1;
            if *of_party == 0 {
                waiting.remove(&self.1);
            }
        }
    }
}

/// How one kind of bucket fills and leaks.
#[derive(Clone, Copy, Debug)]
struct Rule {
    free: u32,
    delay_first_ms: u64,
    /// Also the time in which one failure leaks away.
    delay_max_ms: u64,
}

impl Rule {
    fn delay_ms(&self, failures: u32) -> u64 {
        let Some(doublings) = failures.checked_sub(self.free.saturating_add(1)) else {
            return 0;
        };
        self.delay_first_ms
            .checked_shl(doublings)
            .filter(|delay| delay >> doublings == self.delay_first_ms)
            .unwrap_or(u64::MAX)
            .min(self.delay_max_ms)
    }

    /// Failures beyond this make no longer delay and are not counted, so that they need not leak either.
    fn failures_max(&self) -> u32 {
        let doublings = self.delay_max_ms / self.delay_first_ms.max(1);
        let doublings = doublings.max(1).ilog2() + 1;
        self.free.saturating_add(1 + doublings)
    }
}

/// Buckets of one kind, and the order in which they were last raised.
#[derive(Debug, Default)]
struct Table {
    raised: HashMap<Id, Bucket>,
    order: BTreeMap<u64, Id>,
    stamps: u64,
    /// Attempts whose outcome is not known. At most one for each connection.
    pending: HashMap<Id, u32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    failures: u32,
    /// From when on the next failure leaks.
    leaks_from: u64,
    /// The newest failure.
    last_at: u64,
    stamp: u64,
}

impl Bucket {
    fn leaked(mut self, rule: &Rule, now: u64) -> Self {
        let leaks = now.saturating_sub(self.leaks_from) / rule.delay_max_ms;
        self.failures = self
            .failures
            .saturating_sub(u32::try_from(leaks).unwrap_or(u32::MAX));
        self.leaks_from = self
            .leaks_from
            .saturating_add(leaks.saturating_mul(rule.delay_max_ms));
        self
    }
}

impl Table {
    fn held(&self, id: Id, rule: &Rule, now: u64) -> Option<Held> {
        let pending = self.pending.get(&id).copied().unwrap_or(0);
        let bucket = self.raised.get(&id).copied().unwrap_or_default();
        let bucket = bucket.leaked(rule, now);
        let next_at = bucket
            .last_at
            .saturating_add(rule.delay_ms(bucket.failures));
        if bucket.failures > rule.free && now < next_at {
            return Some(Held::For(next_at - now));
        }
        let at_once = rule.free.saturating_sub(bucket.failures).max(1);
        (pending >= at_once).then_some(Held::ByOthers)
    }

    fn begin(&mut self, id: Id) {
        *self.pending.entry(id).or_default() += 1;
    }

    fn settle(&mut self, id: Id) {
        if let Some(pending) = self.pending.get_mut(&id) {
            *pending -= 1;
            if *pending == 0 {
                self.pending.remove(&id);
            }
        }
    }

    fn raise(&mut self, id: Id, rule: &Rule, now: u64, entries_max: usize) {
        let bucket = self.raised.get(&id).copied();
        let mut bucket = bucket.map_or_else(
            || Bucket {
                leaks_from: now,
                ..Bucket::default()
            },
            |bucket| bucket.leaked(rule, now),
        );
        if bucket.failures == 0 {
            bucket.leaks_from = now;
        }
        bucket.failures = bucket.failures.saturating_add(1).min(rule.failures_max());
        bucket.last_at = now;
        self.stamps += 1;
        self.order.remove(&bucket.stamp);
        bucket.stamp = self.stamps;
        self.order.insert(bucket.stamp, id);
        self.raised.insert(id, bucket);
        while self.raised.len() > entries_max {
            let Some((_, oldest)) = self.order.pop_first() else {
                break;
            };
            self.raised.remove(&oldest);
        }
    }

    fn remove(&mut self, id: Id) {
        if let Some(bucket) = self.raised.remove(&id) {
            self.order.remove(&bucket.stamp);
        }
    }
}

fn buckets_of(folded: &str, address: IpAddr) -> Vec<(Kind, Id)> {
    let network = Network::of(address).first().to_string();
    let (name, network) = (folded.as_bytes(), network.as_bytes());
    vec![
        (Kind::NameHere, id(&[name, network])),
        (Kind::Name, id(&[name])),
        (Kind::Network, id(&[network])),
    ]
}

fn id(parts: &[&[u8]]) -> Id {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    *digest.first_chunk().expect("it is longer")
}

#[cfg(test)]
mod tests;
