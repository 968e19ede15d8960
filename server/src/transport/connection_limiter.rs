//! Who is connected: the limits in total and per address, and the wait until all have gone.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use pitturu_metrics::labels::HandshakeRefusal;
use tokio::sync::Notify;

use crate::connections::network::Network;

/// Counts connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ConnectionLimiter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    total_max: AtomicUsize,
    per_address_max: AtomicUsize,
    total: AtomicUsize,
    over_tcp_max: AtomicUsize,
    over_tcp: AtomicUsize,
    by_address: DashMap<Network, usize>,
    gone: Notify,
}

/// Why a connection has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The server has as many connections as it may.
    #[error("the server has as many connections as it may")]
    Total,
    /// The address has as many connections as it may.
    #[error("the address has as many connections as it may")]
    Address,
}

impl Full {
    /// Label in metrics.
    pub const fn label(self) -> HandshakeRefusal {
        match self {
            Self::Total => HandshakeRefusal::Full,
            Self::Address => HandshakeRefusal::AddressFull,
        }
    }
}

/// A place among all connections, of one that is not counted to an address yet. Given back when dropped.
#[derive(Debug)]
pub struct Entered {
    shared: Arc<Shared>,
    is_over_tcp: bool,
}

/// A connection's permit, given back when dropped.
#[derive(Debug)]
pub struct ConnectionPermit {
    entered: Entered,
    address: Network,
}

impl ConnectionLimiter {
    /// Limits in total and per address. Addresses count by their [`Network`].
    pub fn new(total_max: usize, per_address_max: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                total_max: AtomicUsize::new(total_max),
                per_address_max: AtomicUsize::new(per_address_max),
                total: AtomicUsize::new(0),
                over_tcp_max: AtomicUsize::new(usize::MAX),
                over_tcp: AtomicUsize::new(0),
                by_address: DashMap::new(),
                gone: Notify::new(),
            }),
        }
    }

    /// Goes on with other limits. Connections that there are stay, be they too many now.
    pub fn set_limits(&self, total_max: usize, per_address_max: usize) {
        let shared = &self.shared;
        shared.total_max.store(total_max, Ordering::Release);
        let of_address = &shared.per_address_max;
        of_address.store(per_address_max, Ordering::Release);
    }

    /// Goes on with another limit of connections over TCP, each of which is an open file.
    pub fn set_over_tcp_max(&self, over_tcp_max: usize) {
        let most = &self.shared.over_tcp_max;
        most.store(over_tcp_max, Ordering::Release);
    }

    /// Takes a place for a connection from `address` that shares its socket with others.
    pub fn admit(&self, address: IpAddr) -> Result<ConnectionPermit, Full> {
        self.enter()?.count_to(address)
    }

    /// Takes a place for a connection over TCP of which it is not known yet whom it is from.
    pub fn enter_over_tcp(&self) -> Result<Entered, Full> {
        let mut entered = self.enter()?;
        let shared = &self.shared;
        take(&shared.over_tcp, &shared.over_tcp_max)?;
        entered.is_over_tcp = true;
        Ok(entered)
    }

    fn enter(&self) -> Result<Entered, Full> {
        let shared = &self.shared;
        take(&shared.total, &shared.total_max)?;
        Ok(Entered {
            shared: Arc::clone(shared),
            is_over_tcp: false,
        })
    }

    /// Whether [`admit`](Self::admit) would refuse now.
    pub fn check(&self, address: IpAddr) -> Result<(), Full> {
        let shared = &self.shared;
        let (total_max, per_address_max) = shared.limits();
        if self.count() >= total_max {
            return Err(Full::Total);
        }
        match shared.by_address.get(&Network::of(address)) {
            Some(count) if *count >= per_address_max => Err(Full::Address),
            _ => Ok(()),
        }
    }

    /// How many there are, those still in their handshake included.
    pub fn count(&self) -> usize {
        self.shared.total.load(Ordering::Acquire)
    }

    /// Returns when there are none left.
    pub async fn wait_empty(&self) {
        loop {
            let gone = self.shared.gone.notified();
            if self.count() == 0 {
                return;
            }
            gone.await;
        }
    }
}

/// Counts one more, if there is room for it.
fn take(count: &AtomicUsize, most: &AtomicUsize) -> Result<(), Full> {
    let most = most.load(Ordering::Acquire);
    let taken = count.fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
        (count < most).then_some(count + 1)
    });
    taken.map(drop).map_err(|_| Full::Total)
}

impl Entered {
    /// Counts the connection to `address`, which is known now.
    pub fn count_to(self, address: IpAddr) -> Result<ConnectionPermit, Full> {
        let address = Network::of(address);
        let (_, per_address_max) = self.shared.limits();
        {
            let mut count = self.shared.by_address.entry(address).or_insert(0);
            if *count >= per_address_max {
                return Err(Full::Address);
            }
            *count += 1;
        }
        Ok(ConnectionPermit {
            entered: self,
            address,
        })
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if self.is_over_tcp {
            self.shared.over_tcp.fetch_sub(1, Ordering::AcqRel);
        }
        self.shared.leave();
    }
}

impl Shared {
    /// In total and per address.
    fn limits(&self) -> (usize, usize) {
        let total = self.total_max.load(Ordering::Acquire);
        (total, self.per_address_max.load(Ordering::Acquire))
    }

    fn leave(&self) {
        if self.total.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.gone.notify_waiters();
        }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let by_address = &self.entered.shared.by_address;
        if let Some(mut count) = by_address.get_mut(&self.address) {
            *count -= 1;
        }
        by_address.remove_if(&self.address, |_, count| *count == 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_are_limited_and_come_back() {
        let connections = ConnectionLimiter::new(3, 2);
        let a1 = connections.admit(address("10.0.0.1")).unwrap();
        let _a2 = connections.admit(address("::ffff:10.0.0.1")).unwrap();
        assert_eq!(connections.check(address("10.0.0.1")), Err(Full::Address));
        assert_eq!(
            connections.admit(address("10.0.0.1")).unwrap_err(),
            Full::Address
        );
        assert_eq!(connections.check(address("10.0.0.2")), Ok(()));
        let _b = connections.admit(address("10.0.0.2")).unwrap();
        assert_eq!(connections.check(address("10.0.0.3")), Err(Full::Total));
        assert_eq!(
            connections.admit(address("10.0.0.3")).unwrap_err(),
            Full::Total
        );
        drop(a1);
        assert_eq!(connections.count(), 2);
        let _a3 = connections.admit(address("10.0.0.1")).unwrap();
    }

    #[test]
    fn who_is_not_known_yet_counts_in_total() {
        let connections = ConnectionLimiter::new(2, 1);
        let one = connections.enter_over_tcp().unwrap();
        let other = connections.enter_over_tcp().unwrap();
        assert_eq!(connections.enter_over_tcp().unwrap_err(), Full::Total);
        let one = one.count_to(address("10.0.0.1")).unwrap();
        assert_eq!(
            other.count_to(address("10.0.0.1")).unwrap_err(),
            Full::Address
        );
        assert_eq!(connections.count(), 1, "the refused one has left");
        drop(connections.enter_over_tcp().unwrap());
        drop(one);
        assert_eq!(connections.count(), 0);
        assert!(connections.shared.by_address.is_empty());
    }

    #[test]
    fn connections_over_tcp_have_a_limit_of_their_own() {
        let connections = ConnectionLimiter::new(3, 3);
        connections.set_over_tcp_max(1);
        let one = connections.enter_over_tcp().unwrap();
        assert_eq!(connections.enter_over_tcp().unwrap_err(), Full::Total);
        let _shared = connections.admit(address("10.0.0.1")).unwrap();
        assert_eq!(connections.count(), 2, "the refused one has left");
        drop(one.count_to(address("10.0.0.1")).unwrap());
        let _other = connections.enter_over_tcp().unwrap();
        connections.set_over_tcp_max(2);
        let _last = connections.enter_over_tcp().unwrap();
        assert_eq!(
            connections.admit(address("10.0.0.2")).unwrap_err(),
            Full::Total
        );
    }

    #[test]
    fn other_limits_hold_for_those_who_come() {
        let connections = ConnectionLimiter::new(2, 1);
        let _a = connections.admit(address("10.0.0.1")).unwrap();
        connections.set_limits(2, 2);
        let _b = connections.admit(address("10.0.0.1")).unwrap();
        connections.set_limits(1, 2);
        assert_eq!(connections.check(address("10.0.0.2")), Err(Full::Total));
        assert_eq!(connections.count(), 2, "nobody is sent away");
        connections.set_limits(3, 2);
        let _c = connections.admit(address("10.0.0.2")).unwrap();
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let connections = ConnectionLimiter::new(10, 1);
        let _first = connections.admit(address("2001:db8::1")).unwrap();
        assert_eq!(
            connections.admit(address("2001:db8::2:1")).unwrap_err(),
            Full::Address
        );
        let _other = connections.admit(address("2001:db8:0:1::1")).unwrap();
    }

    #[test]
    fn addresses_that_left_are_forgotten() {
        let connections = ConnectionLimiter::new(10, 10);
        for host in 0..=255 {
            drop(connections.admit(IpAddr::from([10, 0, 0, host])).unwrap());
        }
        assert!(connections.shared.by_address.is_empty());
    }

    #[tokio::test]
    async fn the_wait_ends_with_the_last() {
        let connections = ConnectionLimiter::new(10, 10);
        let permit = connections.admit(address("10.0.0.1")).unwrap();
        let waiting = tokio::spawn({
            let connections = connections.clone();
            async move { connections.wait_empty().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(permit);
        waiting.await.unwrap();
    }
}
