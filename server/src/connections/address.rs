//! Network addresses of players. They reach the log by [`Address`] alone, which shows as much of itself as the operator wants.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicU8, Ordering};

/// How much of addresses the log shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Shown {
    /// All of them.
    Full,
    /// The network: of IPv4 the /24, of IPv6 the /64.
    #[default]
    Network,
    /// Nothing.
    None,
}

/// As in the log of this process, of which there is one.
static SHOWN: AtomicU8 = AtomicU8::new(Shown::Network as u8);

/// Has the log of this process show so much of addresses from now on.
pub fn show(shown: Shown) {
    SHOWN.store(shown as u8, Ordering::Relaxed);
}

/// Where somebody connects from. To show it or to print it for debugging gives what the operator allows.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address(IpAddr);

impl Address {
    /// The address itself, to count by, to store or to tell its owner.
    pub const fn ip(self) -> IpAddr {
        self.0
    }

    fn write(self, shown: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const FULL: u8 = Shown::Full as u8;
        const NETWORK: u8 = Shown::Network as u8;
        match (shown, self.0) {
            (FULL, address) => fmt::Display::fmt(&address, f),
            (NETWORK, IpAddr::V4(v4)) => {
                let [a, b, c, _] = v4.octets();
                write!(f, "{}/24", Ipv4Addr::new(a, b, c, 0))
            }
            (NETWORK, IpAddr::V6(v6)) => {
                let network = u128::from(v6) & !u128::from(u64::MAX);
                write!(f, "{}/64", Ipv6Addr::from(network))
            }
            _ => f.write_str("hidden"),
        }
    }
}

impl From<IpAddr> for Address {
    /// IPv4 that comes as IPv6 is IPv4.
    fn from(address: IpAddr) -> Self {
        Self(address.to_canonical())
    }
}

impl From<Ipv4Addr> for Address {
    fn from(address: Ipv4Addr) -> Self {
        Self(address.into())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(SHOWN.load(Ordering::Relaxed), f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct As(Address, Shown);

    impl fmt::Display for As {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.write(self.1 as u8, f)
        }
    }

    #[test]
    fn as_much_is_shown_as_is_allowed() {
        for (text, full, network) in [
            ("192.0.2.77", "192.0.2.77", "192.0.2.0/24"),
            ("::ffff:192.0.2.77", "192.0.2.77", "192.0.2.0/24"),
            (
                "2001:db8:1:2:3:4:5:6",
                "2001:db8:1:2:3:4:5:6",
                "2001:db8:1:2::/64",
            ),
            ("::1", "::1", "::/64"),
        ] {
            let address = Address::from(text.parse::<IpAddr>().unwrap());
            assert_eq!(As(address, Shown::Full).to_string(), full);
            assert_eq!(As(address, Shown::Network).to_string(), network);
            assert_eq!(As(address, Shown::None).to_string(), "hidden");
        }
    }
}
