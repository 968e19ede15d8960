//! What a way does to packets.

use std::time::Duration;

/// What one way of a link does to packets. By default nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Conditions {
    /// How long each packet is on its way.
    pub delay: Duration,
    /// How much longer it may take, each packet by chance. It keeps the order.
    pub jitter: Duration,
    /// Which part of the packets is lost, from 0 to 1.
    pub loss: f64,
    /// Which part of the packets is set back by [`Self::reorder_by`], so that later ones overtake them; from 0 to 1.
    pub reorder: f64,
    /// How much longer a packet takes that is set back.
    pub reorder_by: Duration,
    /// Which part of the packets arrives twice, from 0 to 1.
    pub duplicate: f64,
    /// Bits per second that the way carries; none: any number. Packets wait for each other.
    pub rate: Option<u64>,
    /// Bytes that may wait for a way with a [`Self::rate`]; what comes beyond them is lost.
    pub queue: u64,
    /// Decides what happens to which packet.
    pub seed: u64,
    /// What passes at all.
    pub pass: Pass,
}

/// What passes a way at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pass {
    /// Everything.
    #[default]
    Everything,
    /// Everything but UDP, which vanishes.
    NoUdp,
    /// Everything but UDP, which is answered at once by "port unreachable", as a firewall near the sender does.
    RefusedUdp,
    /// Everything but TCP, which vanishes.
    NoTcp,
    /// Nothing, and nobody is told: what is under way is lost as well.
    Nothing,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: 0.0,
            reorder: 0.0,
            reorder_by: Duration::from_millis(10),
            duplicate: 0.0,
            rate: None,
            queue: 64 * 1024,
            seed: 0,
            pass: Pass::default(),
        }
    }
}
