//! What clients of QUIC send first, made without sockets: handshakes that begin and are not finished.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use quinn_proto::{
    Connection, ConnectionHandle, DatagramEvent, Endpoint, EndpointConfig, EndpointEvent,
};

use super::{Route, Transport, quic};

/// Handshakes that wait for an answer. What comes for older ones is not answered.
const BEGUN_MAX: usize = 1024;

/// Where clients that are not to hear of a server believe it to be.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

/// Clients that send what real ones do and say no more than they are told to: each is a new one with connection ids of its own.
pub struct FirstFlights {
    endpoint: Endpoint,
    config: quinn::ClientConfig,
    begun: HashMap<ConnectionHandle, Connection>,
    /// The oldest first.
    order: VecDeque<ConnectionHandle>,
}

impl fmt::Debug for FirstFlights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FirstFlights")
            .field("begun", &self.begun.len())
            .finish_non_exhaustive()
    }
}

/// What a server's packet asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It wants to see whose the address is: this shows it.
    Token(Vec<u8>),
    /// Nothing that is answered here: the handshake goes no further.
    Nothing,
}

impl Default for FirstFlights {
    fn default() -> Self {
        Self {
            endpoint: Endpoint::new(Arc::new(EndpointConfig::default()), None, false, None),
            config: quic::config(Route::to(Transport::Quic, NOWHERE)),
            begun: HashMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl FirstFlights {
    /// The first packet of a client that is forgotten at once.
    pub fn packet(&mut self) -> io::Result<Vec<u8>> {
        let (handle, packet, _) = self.connect()?;
        self.forget(handle);
        Ok(packet)
    }

    /// The first packet of a client that answers once.
    pub fn begin(&mut self) -> io::Result<Vec<u8>> {
        let (handle, packet, connection) = self.connect()?;
        self.begun.insert(handle, connection);
        self.order.push_back(handle);
        if self.order.len() > BEGUN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.begun.remove(&oldest);
            self.forget(oldest);
        }
        Ok(packet)
    }

    /// What the client that this packet is for sends next, if that is a part of what comes first. From then on it is silent.
    pub fn answer(&mut self, packet: &[u8]) -> Answer {
        let now = Instant::now();
        let mut out = Vec::new();
        let handled = self
            .endpoint
            .handle(now, NOWHERE, None, None, packet.into(), &mut out);
        let Some(DatagramEvent::ConnectionEvent(handle, event)) = handled else {
            return Answer::Nothing;
        };
        let Some(mut connection) = self.begun.remove(&handle) else {
            return Answer::Nothing;
        };
        self.order.retain(|begun| *begun != handle);
        out.clear();
        if is_retry(packet) {
            connection.handle_event(event);
            // Connection ids of its own that the endpoint is to know are for those who go on.
            while connection.poll_endpoint_events().is_some() {}
            if connection.poll_transmit(now, 1, &mut out).is_none() {
                out.clear();
            }
        }
        self.forget(handle);
        if out.is_empty() {
            Answer::Nothing
        } else {
            Answer::Token(out)
        }
    }

    fn connect(&mut self) -> io::Result<(ConnectionHandle, Vec<u8>, Connection)> {
        let now = Instant::now();
        let (handle, mut connection) = self
            .endpoint
            .connect(now, self.config.clone(), NOWHERE, "localhost")
            .map_err(io::Error::other)?;
        let mut packet = Vec::new();
        match connection.poll_transmit(now, 1, &mut packet) {
            Some(_) => Ok((handle, packet, connection)),
            None => Err(io::Error::other("a client with nothing to say")),
        }
    }

    fn forget(&mut self, handle: ConnectionHandle) {
        self.endpoint.handle_event(handle, EndpointEvent::drained());
    }
}

/// Whether a packet says that the client is to come again with a token.
fn is_retry(packet: &[u8]) -> bool {
    const LONG_HEADER_AND_KIND: u8 = 0b1011_0000;
    packet
        .first()
        .is_some_and(|first| first & LONG_HEADER_AND_KIND == LONG_HEADER_AND_KIND)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The connection id that a first packet is sent to.
    fn destination(packet: &[u8]) -> &[u8] {
        &packet[6..6 + usize::from(packet[5])]
    }

    #[test]
    fn each_first_packet_is_whole_and_of_another_client() {
        let mut flights = FirstFlights::default();
        let packets: Vec<_> = (0..50).map(|_| flights.packet().unwrap()).collect();
        for packet in &packets {
            assert!(packet.len() >= 1200, "{}", packet.len());
            assert_eq!(packet[1..5], [0, 0, 0, 1]);
        }
        let mut ids: Vec<_> = packets.iter().map(|packet| destination(packet)).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), packets.len());
        assert!(flights.begun.is_empty());
    }

    #[test]
    fn those_who_wait_for_an_answer_are_bounded() {
        let mut flights = FirstFlights::default();
        for _ in 0..BEGUN_MAX + 20 {
            flights.begin().unwrap();
        }
        assert_eq!(
            (flights.begun.len(), flights.order.len()),
            (BEGUN_MAX, BEGUN_MAX)
        );
        assert_eq!(flights.answer(&[0xf0; 60]), Answer::Nothing);
        assert_eq!(flights.answer(&[]), Answer::Nothing);
    }
}
