//! A process that floods a UDP address with what clients of QUIC begin with. It is told on standard input when to begin, and says on
//! standard output what it has sent.

use std::io::{self, BufRead, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, Socket, Type};

use crate::clock::{self, SECOND};
use crate::link::{Answer, FirstFlights};

mod process;

pub use process::{Flooder, FlooderError};

/// First packets that are made before the flood, and sent in turn. A server has forgotten one, or refused it, when it comes again.
const PACKETS: usize = 16_384;

/// Sockets of those who wait for an answer.
const LISTENERS: usize = 8;

/// Time between two looks at what is due.
const TICK: Duration = Duration::from_millis(1);

/// A flood that is late by more than this leaves out what it has missed: it is no burst.
const LATE_MAX: u64 = SECOND / 50;

/// Bytes that the kernel keeps of answers that nobody reads, or as few as it allows.
const UNREAD_BYTES: usize = 2048;

/// What is said when everything is ready.
const READY: &str = "ready";

/// What is sent, and from where.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Args)]
pub struct Flood {
    /// First packets of clients that are never heard of again, per second.
    #[arg(long, default_value_t = 10_000.0)]
    pub initials: f64,
    /// Handshakes per second that are begun, show whose their address is where that is asked for, and are not finished.
    #[arg(long, default_value_t = 0.0)]
    pub handshakes: f64,
    /// UDP ports that the first packets come from.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub ports: u16,
    /// Loopback addresses that these ports and the handshakes are spread over.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=250))]
    pub addresses: u8,
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sent {
    /// First packets and handshakes that were begun.
    pub begun: u64,
    /// Of handshakes: how many have shown whose their address is.
    pub shown: u64,
    /// Packets that the kernel did not take.
    pub refused: u64,
    /// How long it took.
    pub seconds: f64,
}

/// Makes everything ready, waits for a line with the seconds to flood for, and says what was sent.
pub fn work(to: SocketAddr, flood: &Flood) -> io::Result<()> {
    let mut flooding = Flooding::new(to, flood)?;
    say(READY)?;
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Ok(());
    }
    let seconds: u64 = line.trim().parse().map_err(io::Error::other)?;
    let sent = flooding.run(seconds * SECOND)?;
    say(&serde_json::to_string(&sent)?)
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

struct Flooding {
    packets: Vec<Vec<u8>>,
    ports: Vec<UdpSocket>,
    listeners: Vec<UdpSocket>,
    flights: FirstFlights,
    initials: Pace,
    handshakes: Pace,
    sent: Sent,
}

impl Flooding {
    fn new(to: SocketAddr, flood: &Flood) -> io::Result<Self> {
        let sockets = |count: usize, keeps: Option<usize>| -> io::Result<Vec<UdpSocket>> {
            let addresses = (0..flood.addresses).cycle();
            addresses
                .take(count)
                .map(|last| socket(last, to, keeps))
                .collect()
        };
        let mut flights = FirstFlights::default();
        let count = if flood.initials > 0.0 { PACKETS } else { 0 };
        let packets = (0..count)
            .map(|_| flights.packet())
            .collect::<io::Result<_>>()?;
        Ok(Self {
            packets,
            ports: sockets(flood.ports.into(), Some(UNREAD_BYTES))?,
            listeners: sockets(LISTENERS.max(flood.addresses.into()), None)?,
            flights,
            initials: Pace::new(flood.initials),
            handshakes: Pace::new(flood.handshakes),
            sent: Sent::default(),
        })
    }

    fn run(&mut self, nanoseconds: u64) -> io::Result<Sent> {
        let start = clock::now();
        let mut passed = 0;
        while passed < nanoseconds {
            for number in self.initials.due(passed) {
                self.send_initial(number);
            }
            for number in self.handshakes.due(passed) {
                self.begin_handshake(number)?;
            }
            if self.handshakes.is_any() {
                self.answer();
            }
            std::thread::sleep(TICK);
            passed = clock::now() - start;
        }
        self.sent.seconds = passed as f64 / SECOND as f64;
        Ok(self.sent)
    }

    fn send_initial(&mut self, number: usize) {
        let packet = &self.packets[number % self.packets.len()];
        let port = &self.ports[number % self.ports.len()];
        count(
            &port.send(packet),
            &mut self.sent.begun,
            &mut self.sent.refused,
        );
    }

    fn begin_handshake(&mut self, number: usize) -> io::Result<()> {
        let packet = self.flights.begin()?;
        let port = &self.listeners[number % self.listeners.len()];
        count(
            &port.send(&packet),
            &mut self.sent.begun,
            &mut self.sent.refused,
        );
        Ok(())
    }

    fn answer(&mut self) {
        let mut bytes = [0; 2048];
        for port in &self.listeners {
            // Until there is nothing more. What nobody listens to is an error as well, and the flood goes on.
            while let Ok(length) = port.recv(&mut bytes) {
                if let Answer::Token(packet) = self.flights.answer(&bytes[..length]) {
                    count(
                        &port.send(&packet),
                        &mut self.sent.shown,
                        &mut self.sent.refused,
                    );
                }
            }
        }
    }
}

fn count(outcome: &io::Result<usize>, sent: &mut u64, refused: &mut u64) {
    match outcome {
        Ok(_) => *sent += 1,
        Err(_) => *refused += 1,
    }
}

/// A socket for the flood alone, which waits for nothing.
fn socket(last: u8, to: SocketAddr, keeps: Option<usize>) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM, Some(Protocol::UDP))?;
    if let Some(bytes) = keeps {
        socket.set_recv_buffer_size(bytes)?;
    }
    if to.is_ipv4() && to.ip().is_loopback() {
        let from = IpAddr::V4(Ipv4Addr::new(127, 0, 2, 1 + last));
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    socket.connect(&to.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// What is due at a steady rate.
struct Pace {
    per_second: f64,
    /// Of what was due, how many were sent or left out.
    passed: usize,
}

impl Pace {
    const fn new(per_second: f64) -> Self {
        Self {
            per_second,
            passed: 0,
        }
    }

    fn is_any(&self) -> bool {
        self.per_second > 0.0
    }

    /// Numbers of those to send so long after the beginning.
    fn due(&mut self, nanoseconds: u64) -> std::ops::Range<usize> {
        let until = self.at(nanoseconds);
        let late = self.at(nanoseconds.saturating_sub(LATE_MAX));
        let from = self.passed.max(late);
        self.passed = until;
        from.min(until)..until
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn at(&self, nanoseconds: u64) -> usize {
        // A rate of a million for an hour is far below 2^53.
        (nanoseconds as f64 / SECOND as f64 * self.per_second.max(0.0)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: u64 = SECOND / 1_000;

    #[test]
    fn a_pace_is_kept_and_nothing_is_made_up_for() {
        let mut pace = Pace::new(10_000.0);
        assert_eq!(pace.due(MILLISECOND), 0..10);
        assert_eq!(pace.due(3 * MILLISECOND), 10..30);
        // Half a second too late: the last fiftieth of a second is sent.
        assert_eq!(pace.due(500 * MILLISECOND), 4_800..5_000);
        assert_eq!(pace.due(500 * MILLISECOND), 5_000..5_000);
        assert!(Pace::new(0.0).due(SECOND).is_empty());
    }

    #[test]
    fn first_packets_and_handshakes_arrive_from_many_ports() {
        let sink = UdpSocket::bind("127.0.0.1:0").unwrap();
        sink.set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let flood = Flood {
            initials: 500.0,
            handshakes: 100.0,
            ports: 16,
            addresses: 4,
        };
        let to = sink.local_addr().unwrap();
        let mut flooding = Flooding::new(to, &flood).unwrap();
        let flooding = std::thread::spawn(move || flooding.run(SECOND / 5).unwrap());
        let mut froms = std::collections::HashSet::new();
        let mut packet = [0; 2048];
        for _ in 0..50 {
            let (length, from) = sink.recv_from(&mut packet).unwrap();
            assert!(length >= 1200, "{length}");
            froms.insert(from);
        }
        assert!(froms.len() > 8, "{froms:?}");
        let sent = flooding.join().unwrap();
        assert!(sent.begun >= 50, "{sent:?}");
        assert_eq!((sent.shown, sent.refused), (0, 0));
    }
}
