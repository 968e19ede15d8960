//! Whom an address stands for, wherever something is counted by address.

use std::net::{IpAddr, Ipv6Addr};

/// What one customer has of the network: an IPv4 address, also when it comes as IPv6, or an IPv6 /64, which one customer
/// owns whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network(IpAddr);

impl Network {
    /// The network that the address belongs to.
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => {
                let network = u128::from(v6) & !u128::from(u64::MAX);
                IpAddr::V6(Ipv6Addr::from(network))
            }
            v4 => v4,
        })
    }

    /// Its first address.
    pub const fn first(self) -> IpAddr {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_what_one_customer_has() {
        let network = |text: &str| Network::of(text.parse().unwrap());
        for (one, other) in [
            ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff"),
            ("192.0.2.1", "::ffff:192.0.2.1"),
            ("::1", "::2"),
        ] {
            assert_eq!(network(one), network(other));
        }
        for (one, other) in [
            ("2001:db8::1", "2001:db8:0:1::1"),
            ("192.0.2.1", "192.0.2.2"),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.2"),
            ("::ffff:192.0.2.1", "::c000:201"),
        ] {
            assert_ne!(network(one), network(other));
        }
    }
}
