//! Delays that grow with wrong passwords, for each account name and for each address.
//!
//! An attempt is counted when it is admitted, so guesses that run side by side don't slip past, and refused attempts
//! count as well, so hammering makes the wait longer. Names count whether or not an account has them. The counters
//! live in memory: a restart forgets them.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::connections::network::Network;

/// Most names, and most addresses, that are remembered. The ones whose last attempt is oldest are forgotten first.
pub const LOCKOUT_ENTRIES_MAX: usize = 100_000;

/// How delays grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockoutConfig {
    /// Wrong passwords for one name before the first delay.
    pub name_failures_free: u32,
    /// Wrong passwords from one address (IPv6: from one /64) before the first delay. Larger than for a name, because
    /// players share addresses.
    pub address_failures_free: u32,
    /// First delay; each further attempt doubles it.
    pub delay_first_ms: u64,
    /// Longest delay. Also the time without attempts after which one failure is forgotten.
    pub delay_max_ms: u64,
}

impl Default for LockoutConfig {
    fn default() -> Self {
        Self {
            name_failures_free: 5,
            address_failures_free: 50,
            delay_first_ms: 1_000,
            delay_max_ms: 15 * 60 * 1_000,
        }
    }
}

/// Counts attempts at passwords.
#[derive(Debug)]
pub struct Lockout {
    config: LockoutConfig,
    entries_max: usize,
    counters: Mutex<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    names: Table,
    addresses: Table,
}

/// An attempt that may go on. It stays counted as a failure unless [`Lockout::succeeded`] or [`Lockout::undo`] is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Attempt {
    name: Bucket,
    address: Bucket,
}

/// The name of a counter: a hash, so that long names take no more memory than short ones.
type Bucket = [u8; 16];

impl Lockout {
    /// Empty counters.
    pub fn new(config: LockoutConfig) -> Self {
        Self::with_capacity(config, LOCKOUT_ENTRIES_MAX)
    }

    fn with_capacity(config: LockoutConfig, entries_max: usize) -> Self {
        Self {
            config,
            entries_max,
            counters: Mutex::default(),
        }
    }

    /// Counts an attempt on a folded name from an address. Refused: how many milliseconds to wait. An attempt that the
    /// address's delay refuses doesn't count against the name, so that one hostile address can't keep a player out. `now` is
    /// in milliseconds on the clock for intervals.
    pub fn admit(&self, folded: &str, address: IpAddr, now: u64) -> Result<Attempt, u64> {
        let attempt = Attempt {
            name: bucket(folded.as_bytes()),
            address: address_bucket(address),
        };
        let config = &self.config;
        let mut counters = self.lock();
        counters.addresses.attempt(
            attempt.address,
            config.address_failures_free,
            config,
            now,
            self.entries_max,
        )?;
        counters.names.attempt(
            attempt.name,
            config.name_failures_free,
            config,
            now,
            self.entries_max,
        )?;
        Ok(attempt)
    }

    /// The password was right: the name is free of failures, and the attempt doesn't count against the address.
    pub fn succeeded(&self, attempt: Attempt) {
        let mut counters = self.lock();
        counters.names.remove(attempt.name);
        counters
            .addresses
            .undo(attempt.address, self.config.address_failures_free);
    }

    /// The password was not looked at: the attempt doesn't count.
    pub fn undo(&self, attempt: Attempt) {
        let mut counters = self.lock();
        counters
            .names
            .undo(attempt.name, self.config.name_failures_free);
        counters
            .addresses
            .undo(attempt.address, self.config.address_failures_free);
    }

    /// Forgets the failures of a name, after its password was reset.
    pub fn clear(&self, folded: &str) {
        self.lock().names.remove(bucket(folded.as_bytes()));
    }

    fn lock(&self) -> parking_lot::MutexGuard<'_, Counters> {
        self.counters.lock()
    }
}

/// Counters of one kind, and the order in which they were last used.
#[derive(Debug, Default)]
struct Table {
    entries: HashMap<Bucket, Entry>,
    order: BTreeMap<u64, Bucket>,
    stamps: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    failures: u32,
    locked_until: u64,
    /// Last change of `failures`, from which forgetting is reckoned.
    since: u64,
    stamp: u64,
}

impl Table {
    fn attempt(
        &mut self,
        bucket: Bucket,
        free: u32,
        config: &LockoutConfig,
        now: u64,
        entries_max: usize,
    ) -> Result<(), u64> {
        let mut entry = self.entries.get(&bucket).map_or(
            Entry {
                failures: 0,
                locked_until: 0,
                since: now,
                stamp: 0,
            },
            |entry| entry.decayed(config, now),
        );
        let locked = now < entry.locked_until;
        entry.failures = entry
            .failures
            .saturating_add(1)
            .min(failures_max(free, config));
        let delay = delay_ms(entry.failures, free, config);
        if delay > 0 {
            entry.locked_until = entry.locked_until.max(now.saturating_add(delay));
        }
        entry.since = now.max(entry.locked_until);
        self.stamps += 1;
        self.order.remove(&entry.stamp);
        entry.stamp = self.stamps;
        self.order.insert(entry.stamp, bucket);
        self.entries.insert(bucket, entry);
        while self.entries.len() > entries_max {
            let Some((_, oldest)) = self.order.pop_first() else {
                break;
            };
            self.entries.remove(&oldest);
        }
        if locked {
            Err(entry.locked_until - now)
        } else {
            Ok(())
        }
    }

    fn undo(&mut self, bucket: Bucket, free: u32) {
        let Some(entry) = self.entries.get_mut(&bucket) else {
            return;
        };
        entry.failures = entry.failures.saturating_sub(1);
        if entry.failures <= free {
            entry.locked_until = 0;
        }
        if entry.failures == 0 {
            self.remove(bucket);
        }
    }

    fn remove(&mut self, bucket: Bucket) {
        if let Some(entry) = self.entries.remove(&bucket) {
            self.order.remove(&entry.stamp);
        }
    }
}

impl Entry {
    /// The entry with one failure forgotten for each whole `delay_max_ms` of quiet.
    fn decayed(mut self, config: &LockoutConfig, now: u64) -> Self {
        let quiet = now.saturating_sub(self.since) / config.delay_max_ms.max(1);
        self.failures = self
            .failures
            .saturating_sub(u32::try_from(quiet).unwrap_or(u32::MAX));
        self
    }
}

fn delay_ms(failures: u32, free: u32, config: &LockoutConfig) -> u64 {
    let Some(doublings) = failures.checked_sub(free + 1) else {
        return 0;
    };
    config
        .delay_first_ms
        .checked_shl(doublings)
        .filter(|delay| delay >> doublings == config.delay_first_ms)
        .unwrap_or(u64::MAX)
        .min(config.delay_max_ms)
}

/// Failures beyond this make no longer delay and are not counted, so that they need not be forgotten either.
fn failures_max(free: u32, config: &LockoutConfig) -> u32 {
    let doublings = (config.delay_max_ms / config.delay_first_ms.max(1))
        .max(1)
        .ilog2()
        + 1;
    free.saturating_add(1 + doublings)
}

fn bucket(name: &[u8]) -> Bucket {
    let digest = Sha256::digest(name);
    let mut bucket = Bucket::default();
    bucket.copy_from_slice(&digest[..16]);
    bucket
}

/// The counter of the address's network.
fn address_bucket(address: IpAddr) -> Bucket {
    match Network::of(address).first() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn lockout() -> Lockout {
        Lockout::new(LockoutConfig {
            address_failures_free: 1_000,
            ..LockoutConfig::default()
        })
    }

    #[test]
    fn twenty_in_a_row_wait_longer_and_longer() {
        let lockout = lockout();
        let waits: Vec<u64> = (0..20)
            .filter_map(|at| lockout.admit("ana", HERE, at).err())
            .collect();
        assert_eq!(
            waits.len(),
            14,
            "five are free and the sixth begins the delays"
        );
        assert!(waits.is_sorted_by(|a, b| a <= b), "{waits:?}");
        assert_eq!(waits[0], 2_000);
        assert_eq!(waits[13], 900_000);
        assert!(
            lockout.admit("ben", HERE, 20).is_ok(),
            "another name is free"
        );
    }

    #[test]
    fn whoever_waits_is_admitted_after_each_delay_and_the_delay_doubles() {
        let lockout = lockout();
        let mut now = 0;
        for _ in 0..5 {
            lockout.admit("ana", HERE, now).map(drop).expect("free");
        }
        let mut delay = 1_000;
        for _ in 0..11 {
            lockout.admit("ana", HERE, now).map(drop).expect("waited");
            now += delay;
            delay = (delay * 2).min(900_000);
        }
        assert_eq!(delay, 900_000);
    }

    #[test]
    fn success_clears_the_name_and_takes_only_itself_from_the_address() {
        let config = LockoutConfig {
            address_failures_free: 6,
            ..LockoutConfig::default()
        };
        let lockout = Lockout::new(config);
        for _ in 0..4 {
            lockout.admit("ana", HERE, 0).map(drop).expect("free");
        }
        let attempt = lockout.admit("ana", HERE, 0).expect("free");
        lockout.succeeded(attempt);
        for _ in 0..3 {
            lockout
                .admit("ana", HERE, 0)
                .map(drop)
                .expect("the name is clear");
        }
        let wait = lockout
            .admit("zoe", HERE, 0)
            .expect_err("the address has its own count");
        assert_eq!(wait, 2_000);
    }

    #[test]
    fn failures_are_forgotten_with_time() {
        let lockout = lockout();
        for _ in 0..20 {
            lockout.admit("ana", HERE, 0).map(drop).ok();
        }
        assert!(lockout.admit("ana", HERE, 899_999).is_err());
        let long_after = 900_000 * 20;
        for _ in 0..5 {
            lockout
                .admit("ana", HERE, long_after)
                .map(drop)
                .expect("all forgotten");
        }
    }

    #[test]
    fn one_guess_per_longest_delay_is_all_that_patience_buys() {
        let lockout = lockout();
        for _ in 0..20 {
            lockout.admit("ana", HERE, 0).map(drop).ok();
        }
        let mut now = 0;
        let mut admitted = 0;
        while now < 900_000 * 50 {
            now += 10_000;
            if lockout.admit("ana", HERE, now).is_ok() {
                admitted += 1;
            }
        }
        assert!(admitted <= 50, "{admitted}");
    }

    #[test]
    fn concurrent_guesses_do_not_slip_past() {
        let lockout = Arc::new(lockout());
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let lockout = Arc::clone(&lockout);
                std::thread::spawn(move || {
                    (0..50)
                        .filter(|_| lockout.admit("ana", HERE, 0).is_ok())
                        .count()
                })
            })
            .collect();
        let admitted: usize = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum();
        assert_eq!(admitted, 6);
    }

    #[test]
    fn addresses_are_one_customer_each() {
        let parse = |text: &str| address_bucket(text.parse().unwrap());
        assert_eq!(parse("2001:db8::1"), parse("2001:db8::ffff:1"));
        assert_ne!(parse("2001:db8::1"), parse("2001:db8:0:1::1"));
        assert_eq!(parse("192.0.2.1"), parse("::ffff:192.0.2.1"));
        assert_ne!(parse("192.0.2.1"), parse("192.0.2.2"));
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_go_first() {
        let lockout = Lockout::with_capacity(LockoutConfig::default(), 10);
        for n in 0..1_000_u64 {
            let address = IpAddr::V4(u32::try_from(n).unwrap().into());
            lockout.admit("ana", address, 0).map(drop).ok();
            lockout
                .admit(&format!("name{n}"), address, 0)
                .map(drop)
                .ok();
        }
        let counters = lockout.lock();
        assert_eq!(counters.names.entries.len(), 10);
        assert_eq!(counters.names.order.len(), 10);
        assert_eq!(counters.addresses.entries.len(), 10);
        assert!(
            counters.names.entries.contains_key(&bucket(b"ana")),
            "used again and again"
        );
    }

    #[test]
    fn any_configuration_counts_without_overflow() {
        for (first, max) in [
            (0, 0),
            (1, u64::MAX / 2),
            (u64::MAX / 4, u64::MAX / 4),
            (1_000, 1),
        ] {
            let lockout = Lockout::new(LockoutConfig {
                name_failures_free: 0,
                address_failures_free: u32::MAX - 1,
                delay_first_ms: first,
                delay_max_ms: max,
            });
            for now in 0..200 {
                lockout.admit("ana", HERE, now).map(drop).ok();
            }
        }
    }
}
