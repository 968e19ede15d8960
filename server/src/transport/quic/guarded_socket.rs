//! The UDP socket under the endpoint. Floods of first packets stop here, before they cost more than to be received.
//!
//! For each first packet the endpoint derives keys, and answers or shakes hands: twenty times and more of what it costs to receive
//! one. All of them together get no more of the thread that receives for everybody than they are worth to those who play. What is
//! above that is dropped, as a full network does it, and a client that means it sends again.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pitturu_metrics::table;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

use crate::connections::network::Network;

/// As many first packets as come in half a second are passed on at once, after a while without. Half of them are kept for networks
/// that have been quiet.
const BURST_SECONDS: f64 = 0.5;

/// How long a network is not called quiet after one of its packets got a place that was kept.
const QUIET: Duration = Duration::from_millis(100);

/// Networks share these places by chance, so that what is kept of them is bounded.
const NETWORKS: usize = 4_096;

/// What the first byte says of a packet with a long header, and that it is an Initial of version 1.
const LONG_HEADER: u8 = 0x80;
const KIND: u8 = 0x30;
const VERSION_1: [u8; 4] = [0, 0, 0, 1];

/// Passes packets on, floods aside.
pub(super) struct GuardedSocket {
    socket: Arc<dyn AsyncUdpSocket>,
    admission: Mutex<Admission>,
}

impl fmt::Debug for GuardedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedSocket")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

impl GuardedSocket {
    /// Passes on so many first packets per second. Those of clients that show what they were given for their address count apart: no
    /// flood from elsewhere takes their places.
    pub(super) fn new(socket: Arc<dyn AsyncUdpSocket>, per_second: u32) -> Self {
        Self {
            socket,
            admission: Mutex::new(Admission::new(per_second, Instant::now())),
        }
    }

    /// Takes first packets that come too fast out of what was received.
    fn guard(&self, bufs: &mut [IoSliceMut<'_>], metas: &mut [RecvMeta]) {
        // Looked at for first packets alone: those who play pay for one byte.
        let mut admission = None;
        let mut dropped = 0;
        for (buf, meta) in bufs.iter_mut().zip(metas) {
            let network = meta.addr.ip();
            retain(buf, meta, |packet| {
                let Some(first) = First::of(packet) else {
                    return true;
                };
                let (admission, now) =
                    admission.get_or_insert_with(|| (self.admission.lock(), Instant::now()));
                let is_admitted = admission.admit(first, network, *now);
                dropped += u64::from(!is_admitted);
                is_admitted
            });
        }
        if dropped > 0 {
            table::QUIC_FIRST_PACKETS_DROPPED.add(dropped);
        }
    }
}

impl AsyncUdpSocket for GuardedSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(self.socket.poll_recv(cx, bufs, meta))?;
        self.guard(bufs, &mut meta[..count]);
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

/// Keeps those of the packets that were received together. What is left may be nothing, which the endpoint passes over.
fn retain(buf: &mut [u8], meta: &mut RecvMeta, mut keep: impl FnMut(&[u8]) -> bool) {
    let (mut from, mut kept) = (0, 0);
    while from < meta.len {
        let to = meta.len.min(from + meta.stride.max(1));
        if keep(&buf[from..to]) {
            if kept < from {
                buf.copy_within(from..to, kept);
            }
            kept += to - from;
        }
        from = to;
    }
    meta.len = kept;
}

/// A packet for which the endpoint has work though it may know nobody whom it is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    /// The client shows something for its address.
    WithToken,
    WithoutToken,
}

impl First {
    fn of(packet: &[u8]) -> Option<Self> {
        let first = *packet.first()?;
        if first & LONG_HEADER == 0 {
            return None;
        }
        let is_known = packet.get(1..5) == Some(&VERSION_1);
        if is_known && first & KIND != 0 {
            return None;
        }
        match token_bytes(packet) {
            Some(1..) if is_known => Some(Self::WithToken),
            _ => Some(Self::WithoutToken),
        }
    }
}

/// The length of an Initial's token, or at least whether there is one. It stands behind two connection ids.
fn token_bytes(packet: &[u8]) -> Option<u64> {
    let mut rest = packet.get(5..)?;
    for _ in 0..2 {
        let (&length, behind) = rest.split_first()?;
        rest = behind.get(usize::from(length)..)?;
    }
    let (&length, behind) = rest.split_first()?;
    // The two highest bits say how long the number is.
    let more = behind.get(..(1 << (length >> 6)) - 1)?;
    let highest = u64::from(length & 0x3f);
    Some(
        more.iter()
            .fold(highest, |value, byte| (value << 8) | u64::from(*byte)),
    )
}

/// Who gets to the endpoint.
struct Admission {
    with_token: Budget,
    without_token: Budget,
    /// When a network was last given a place that was kept for quiet ones. Nobody outside knows which networks share one.
    heard: Box<[Option<Instant>]>,
    hasher: RandomState,
}

impl Admission {
    fn new(per_second: u32, now: Instant) -> Self {
        Self {
            with_token: Budget::full(per_second, now),
            without_token: Budget::full(per_second, now),
            heard: vec![None; NETWORKS].into(),
            hasher: RandomState::new(),
        }
    }

    fn admit(&mut self, first: First, address: IpAddr, now: Instant) -> bool {
        let budget = match first {
            First::WithToken => &mut self.with_token,
            First::WithoutToken => &mut self.without_token,
        };
        budget.refill(now);
        if budget.free < 1.0 {
            return false;
        }
        if budget.free <= budget.burst() / 2.0 {
            let hash = self.hasher.hash_one(Network::of(address));
            let place = usize::try_from(hash % NETWORKS as u64).expect("a number of networks");
            let heard = &mut self.heard[place];
            if heard.is_some_and(|heard| now.saturating_duration_since(heard) < QUIET) {
                return false;
            }
            *heard = Some(now);
        }
        budget.free -= 1.0;
        true
    }
}

/// Places that come back with time.
struct Budget {
    per_second: f64,
    free: f64,
    at: Instant,
}

impl Budget {
    fn full(per_second: u32, at: Instant) -> Self {
        let mut budget = Self {
            per_second: per_second.into(),
            free: 0.0,
            at,
        };
        budget.free = budget.burst();
        budget
    }

    fn burst(&self) -> f64 {
        // However few they are, some can be kept.
        (self.per_second * BURST_SECONDS).max(4.0)
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.free = self.burst().min(self.free + passed * self.per_second);
        self.at = now;
    }
}

#[cfg(test)]
mod tests;
