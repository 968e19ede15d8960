//! Proxies in front: which they are, and whom they bring. Nobody else is believed.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;
use tracing::warn;

use crate::connections::address::Address;
use crate::log_lines::FORWARDED_DISPUTED;

mod forwarded;
pub mod proxy_protocol;

/// The networks of the proxies in front, and how they say whom a connection is from.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    networks: Vec<IpNet>,
    speak_proxy_protocol: bool,
}

impl Proxies {
    /// Proxies in these networks. They say whom they bring by the PROXY protocol, or by headers of the request.
    pub const fn new(networks: Vec<IpNet>, speak_proxy_protocol: bool) -> Self {
        Self {
            networks,
            speak_proxy_protocol,
        }
    }

    /// Whether this is the address of a proxy.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks
            .iter()
            .any(|network| network.contains(&address))
    }

    /// Whether a connection of theirs begins with a header of the PROXY protocol.
    pub const fn speak_proxy_protocol(&self) -> bool {
        self.speak_proxy_protocol
    }

    /// Whom the request is from that `proxy` passes on. The proxy itself, if it does not say.
    pub fn player(&self, proxy: IpAddr, headers: &HeaderMap) -> IpAddr {
        let told = forwarded::read(headers, proxy, |address| self.contains(address));
        if told.is_disputed && FORWARDED_DISPUTED.admit() {
            let proxy = Address::from(proxy);
            warn!(
                %proxy,
                "the headers Forwarded and X-Forwarded-For name two addresses, so neither is believed: have the proxy remove \
                 the one that it does not write"
            );
        }
        told.address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_those_of_the_networks() {
        let networks = ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"];
        let networks = networks.map(|text| text.parse().unwrap()).to_vec();
        let proxies = Proxies::new(networks, false);
        for (text, is_proxy) in [
            ("10.255.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("11.0.0.1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(proxies.contains(text.parse().unwrap()), is_proxy, "{text}");
        }
        assert!(!Proxies::default().contains("127.0.0.1".parse().unwrap()));
    }
}
