//! Which way to take to a server that takes WebSocket and QUIC: pure, with the clock as an argument.

use std::time::{Duration, Instant};

use crate::transport_choice::{Transport, TransportPreference};

/// How long QUIC is ahead of WebSocket when both are tried: with a round trip of 80 ms it is open before WebSocket begins. Where UDP
/// is blocked, it is what a client is online later than by WebSocket alone.
pub(super) const HEAD_START: Duration = Duration::from_millis(200);

/// How long a connection may take to open where there is another one.
pub(super) const OPENS_WITHIN: Duration = Duration::from_secs(3);

/// After so long on WebSocket the better way is looked for, so that it does not make the beginning slower.
const LOOKS_AFTER: Duration = Duration::from_secs(1);

/// A connection that is lost sooner is a failure of its way.
const LASTS: Duration = Duration::from_secs(10);

/// Losses in a row after which QUIC is left alone.
const LOSSES_MAX: u32 = 2;

/// How long QUIC is left alone after a failure; it doubles with each one after another.
const LEFT_ALONE: Duration = Duration::from_secs(5 * 60);

/// The longest of these times.
const LEFT_ALONE_MAX: Duration = Duration::from_secs(60 * 60);

/// Silence, while the server owes an answer, after which the connection may be gone.
const SILENCE: Duration = Duration::from_secs(3);

/// How long after a move that came to nothing the next one is tried.
const MOVES_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// Least time between two doubts of that kind: a server that is slow shall not get twice the connections.
const DOUBTS_EVERY: Duration = Duration::from_secs(30);

/// What is known of QUIC to one server.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Memory {
    left_alone_until: Option<Instant>,
    failures: u32,
    losses: u32,
}

impl Memory {
    fn failed(&mut self, now: Instant) {
        let doubled = LEFT_ALONE.saturating_mul(1 << self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        self.losses = 0;
        self.left_alone_until = Some(now + doubled.min(LEFT_ALONE_MAX));
    }

    /// When QUIC may be tried again.
    fn due(&self, now: Instant) -> Instant {
        self.left_alone_until.map_or(now, |until| until.max(now))
    }
}

/// The state of one client's choice.
#[derive(Debug)]
pub(super) struct Policy {
    preference: TransportPreference,
    pub(super) memory: Memory,
    /// When the present connection opened, and over what.
    open: Option<(Transport, Instant)>,
    doubted_at: Option<Instant>,
    /// No other connection is opened beside the present one before, unless that is doubted.
    not_before: Option<Instant>,
}

impl Policy {
    pub(super) const fn new(preference: TransportPreference, memory: Memory) -> Self {
        Self {
            preference,
            memory,
            open: None,
            doubted_at: None,
            not_before: None,
        }
    }

    /// A connection beside the present one was opened, and nothing came of it.
    pub(super) fn moved_nowhere(&mut self, now: Instant) {
        self.not_before = Some(now + MOVES_AGAIN_AFTER);
    }

    /// The application wants this from now on.
    pub(super) fn prefer(&mut self, preference: TransportPreference) {
        self.preference = preference;
        self.not_before = None;
        if preference == TransportPreference::Quic {
            self.memory.left_alone_until = None;
        }
    }

    /// What the present connection goes over.
    pub(super) fn transport(&self) -> Option<Transport> {
        self.open.map(|(transport, _)| transport)
    }

    /// Whether QUIC is tried for a connection that begins now.
    pub(super) fn tries_quic(&self, now: Instant) -> bool {
        match self.preference {
            TransportPreference::Auto => self.memory.due(now) <= now,
            TransportPreference::WebSocket => false,
            TransportPreference::Quic => true,
        }
    }

    /// A connection is the present one from now on.
    pub(super) fn opened(&mut self, transport: Transport, now: Instant) {
        self.open = Some((transport, now));
    }

    /// QUIC did not open.
    pub(super) fn quic_failed(&mut self, now: Instant) {
        self.memory.failed(now);
    }

    /// The client has closed the present connection: that says nothing of its way.
    pub(super) fn left(&mut self) {
        self.open = None;
    }

    /// The present connection is gone, not by the client's own will.
    pub(super) fn lost(&mut self, now: Instant) {
        let Some((Transport::Quic, since)) = self.open.take() else {
            return;
        };
        if now.saturating_duration_since(since) >= LASTS {
            self.memory = Memory::default();
            return;
        }
        self.memory.losses += 1;
        if self.memory.losses >= LOSSES_MAX {
            self.memory.failed(now);
        }
    }

    /// When another way is to be opened beside the present one, and which: one that is better, or one that was asked for.
    pub(super) fn moves(&self, now: Instant) -> Option<(Instant, Transport)> {
        let (transport, since) = self.open?;
        let (at, to) = self.wants(transport, since, now)?;
        Some((
            self.not_before.map_or(at, |not_before| not_before.max(at)),
            to,
        ))
    }

    fn wants(
        &self,
        transport: Transport,
        since: Instant,
        now: Instant,
    ) -> Option<(Instant, Transport)> {
        match (transport, self.preference) {
            (Transport::WebSocket, TransportPreference::Auto) => {
                let at = (since + LOOKS_AFTER).max(self.memory.due(now));
                Some((at, Transport::Quic))
            }
            (Transport::WebSocket, TransportPreference::Quic) => {
                let again = self.memory.left_alone_until.is_some();
                let at = if again { self.memory.due(now) } else { since };
                Some((at, Transport::Quic))
            }
            (Transport::Quic, TransportPreference::WebSocket) => {
                Some((since, Transport::WebSocket))
            }
            _ => None,
        }
    }

    /// When the present connection is doubted, if the server has owed an answer and said nothing since `silent_since`; and what is
    /// tried beside it.
    pub(super) fn doubts(&self, silent_since: Instant) -> Option<(Instant, Transport)> {
        let other = match self.open?.0 {
            Transport::WebSocket => Transport::Quic,
            Transport::Quic => Transport::WebSocket,
        };
        let at = silent_since + SILENCE;
        let earliest = self.doubted_at.map(|doubted| doubted + DOUBTS_EVERY);
        let at = earliest.map_or(at, |earliest| earliest.max(at));
        let is_allowed = match (other, self.preference) {
            (Transport::Quic, TransportPreference::Auto) => self.memory.due(at) <= at,
            (Transport::Quic, preference) => preference == TransportPreference::Quic,
            (Transport::WebSocket, _) => true,
        };
        is_allowed.then_some((at, other))
    }

    /// The present connection is doubted now.
    pub(super) fn doubted(&mut self, now: Instant) {
        self.doubted_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(preference: TransportPreference) -> (Policy, Instant) {
        (Policy::new(preference, Memory::default()), Instant::now())
    }

    #[test]
    fn what_fails_is_left_alone_twice_as_long_each_time_up_to_an_hour() {
        let (mut policy, mut now) = policy(TransportPreference::Auto);
        assert!(policy.tries_quic(now));
        for minutes in [5, 10, 20, 40, 60, 60] {
            policy.quic_failed(now);
            let until = now + Duration::from_secs(minutes * 60);
            assert!(!policy.tries_quic(until - Duration::from_millis(1)));
            assert!(policy.tries_quic(until));
            now = until;
        }
        // One that lasts is as if nothing had been.
        policy.opened(Transport::Quic, now);
        policy.lost(now + LASTS);
        assert!(policy.tries_quic(now));
        policy.quic_failed(now);
        assert!(policy.tries_quic(now + LEFT_ALONE));
    }

    #[test]
    fn two_short_connections_in_a_row_are_a_failure_and_those_of_websocket_none() {
        let (mut policy, now) = policy(TransportPreference::Auto);
        for _ in 0..3 {
            policy.opened(Transport::WebSocket, now);
            policy.lost(now);
        }
        policy.opened(Transport::Quic, now);
        policy.lost(now + LASTS / 2);
        assert!(policy.tries_quic(now + LASTS));
        policy.opened(Transport::Quic, now + LASTS);
        policy.lost(now + LASTS + LASTS / 2);
        assert!(!policy.tries_quic(now + 2 * LASTS));
        // Neither is what the client closes itself.
        policy.memory = Memory::default();
        for _ in 0..3 {
            policy.opened(Transport::Quic, now);
            policy.left();
            assert!(policy.transport().is_none() && policy.tries_quic(now));
        }
        // Nothing was open.
        policy.lost(now + 2 * LASTS);
    }

    #[test]
    fn a_client_moves_to_what_is_better_or_asked_for_and_not_back() {
        let (mut policy, now) = policy(TransportPreference::Auto);
        assert_eq!(policy.moves(now), None);
        policy.opened(Transport::WebSocket, now);
        let better = (now + LOOKS_AFTER, Transport::Quic);
        assert_eq!(policy.moves(now), Some(better));
        policy.quic_failed(now);
        let later = (now + LEFT_ALONE, Transport::Quic);
        assert_eq!(policy.moves(now), Some(later));
        policy.prefer(TransportPreference::WebSocket);
        assert_eq!(policy.moves(now), None);
        policy.opened(Transport::Quic, now);
        assert_eq!(policy.moves(now), Some((now, Transport::WebSocket)));
        policy.prefer(TransportPreference::Auto);
        assert_eq!(policy.moves(now), None);
        // Asked for, it is tried at once, and again when a failure has been left alone for long enough.
        policy.opened(Transport::WebSocket, now);
        policy.prefer(TransportPreference::Quic);
        assert_eq!(policy.moves(now), Some((now, Transport::Quic)));
        policy.quic_failed(now);
        assert!(policy.tries_quic(now));
        assert_eq!(
            policy.moves(now),
            Some((now + 2 * LEFT_ALONE, Transport::Quic))
        );
    }

    #[test]
    fn a_move_that_came_to_nothing_is_tried_again_after_half_a_minute() {
        let (mut policy, now) = policy(TransportPreference::Auto);
        policy.opened(Transport::WebSocket, now);
        policy.moved_nowhere(now + LOOKS_AFTER);
        let again = now + LOOKS_AFTER + MOVES_AGAIN_AFTER;
        assert_eq!(policy.moves(now), Some((again, Transport::Quic)));
        policy.quic_failed(now);
        assert_eq!(policy.moves(now), Some((now + LEFT_ALONE, Transport::Quic)));
        // Whoever asks for it does not wait.
        policy.prefer(TransportPreference::Quic);
        assert_eq!(policy.moves(now), Some((now, Transport::Quic)));
    }

    #[test]
    fn silence_is_doubted_at_most_every_half_minute_and_only_with_another_way() {
        let (mut policy, now) = policy(TransportPreference::Auto);
        assert_eq!(policy.doubts(now), None);
        policy.opened(Transport::Quic, now);
        let other = |at| Some((at, Transport::WebSocket));
        assert_eq!(policy.doubts(now), other(now + SILENCE));
        policy.doubted(now + SILENCE);
        let next = now + SILENCE + DOUBTS_EVERY;
        assert_eq!(policy.doubts(now + SILENCE), other(next));
        assert_eq!(policy.doubts(next), other(next + SILENCE));
        policy.opened(Transport::WebSocket, now);
        assert_eq!(policy.doubts(next), Some((next + SILENCE, Transport::Quic)));
        policy.quic_failed(next);
        assert_eq!(policy.doubts(next), None);
        policy.prefer(TransportPreference::WebSocket);
        assert_eq!(policy.doubts(next + 2 * LEFT_ALONE), None);
    }
}
