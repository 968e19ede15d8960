//! A bad network for tests: two network namespaces, joined by a link that delays, loses, reorders, repeats and limits packets.
//!
//! [`LossyLink`] makes them. Programs that are started in a [`Namespace`], and sockets that are opened in it, are those of real
//! programs: whatever they send goes through the kernel to a TUN device, from there to the [`Schedule`] of its [`Way`], and on to
//! the TUN device of the other side. What happens to a packet is decided by the [`Conditions`], which may change at any time, and by
//! their seed: the same packets with the same seed meet the same fate.
//!
//! [`packet`] and [`Schedule`] are pure: packets and times come in, packets and times come out.
//!
//! Linux only. It takes the right to make network namespaces and TUN devices: see [`OpenError`].

mod conditions;
mod left_out;
mod link;
mod namespace;
pub mod packet;
mod relay;
mod schedule;

pub use conditions::{Conditions, Pass};
pub use left_out::open_or_leave_out;
pub use link::{CLIENT, LossyLink, OpenError, SERVER};
pub use namespace::Namespace;
pub use relay::Way;
pub use schedule::{Counts, Schedule, Taken};
