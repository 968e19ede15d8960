//! Idempotency keys that an entity has seen a moment ago.
//!
//! The store keeps results for a day, and a connection's driver asks it before routing. This memory covers what the store
//! can't: calls whose write is in flight, and those that became durable between the driver's look and the call's
//! arrival here.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_store::idempotency::key_id;

use crate::connections::call::PendingCall;
use crate::connections::caller::IdempotencyKey;
use crate::connections::recipient::Recipient;

/// How long a durable result is remembered here, in milliseconds.
pub const REMEMBER_MS: u64 = 20_000;

/// Oldest look at the store that is still trusted, in milliseconds. Half of [`REMEMBER_MS`], so that the two overlap.
pub const LOOK_MS_MAX: u64 = 10_000;

const _: () = assert!(LOOK_MS_MAX * 2 <= REMEMBER_MS);

/// A call that waits for the first one with the same key.
pub type Waiter = (Recipient, PendingCall);

#[derive(Debug)]
enum State {
    InFlight(Vec<Waiter>),
    Done(Bytes),
}

/// What to do with a call.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is the first: carry it out.
    First,
    /// The first one is in flight and will answer this one too.
    Waiting,
    /// The first one's reply.
    Before(Bytes),
}

type KeyId = [u8; 16];

/// The keys of one entity.
#[derive(Debug, Default)]
pub struct Keys {
    states: HashMap<KeyId, ([u8; 16], State)>,
    done: VecDeque<(u64, KeyId)>,
}

impl Keys {
    /// Notes a call. A key that came with another request is refused, and so is one that waited too long on its way here.
    pub fn see(
        &mut self,
        user: UserId,
        key: &IdempotencyKey,
        looked_at: u64,
        now: u64,
        waiter: Waiter,
    ) -> Result<Seen, Fault> {
        let id = key_id(Some(user), &key.key);
        match self.states.get_mut(&id) {
            Some((hash, _)) if *hash != key.request_hash => Err(Fault::of(Code::KeyReused)),
            Some((_, State::InFlight(waiters))) => {
                waiters.push(waiter);
                Ok(Seen::Waiting)
            }
            Some((_, State::Done(reply))) => Ok(Seen::Before(reply.clone())),
            None if now > looked_at + LOOK_MS_MAX => {
                Err(Fault::of(Code::Overloaded).retry_after_ms(100))
            }
            None => {
                let state = (key.request_hash, State::InFlight(Vec::new()));
                self.states.insert(id, state);
                Ok(Seen::First)
            }
        }
    }

    /// The first call is durable. Returns those who wait for its reply.
    pub fn done(&mut self, user: UserId, key: &str, reply: Bytes, now: u64) -> Vec<Waiter> {
        let id = key_id(Some(user), key);
        let Some((_, state)) = self.states.get_mut(&id) else {
            return Vec::new();
        };
        self.done.push_back((now, id));
        match std::mem::replace(state, State::Done(reply)) {
            State::InFlight(waiters) => waiters,
            State::Done(_) => Vec::new(),
        }
    }

    /// The first call was refused. Returns those who wait, to be refused too.
    pub fn refused(&mut self, user: UserId, key: &str) -> Vec<Waiter> {
        match self.states.remove(&key_id(Some(user), key)) {
            Some((_, State::InFlight(waiters))) => waiters,
            _ => Vec::new(),
        }
    }

    /// Forgets what is older than [`REMEMBER_MS`].
    pub fn forget_old(&mut self, now: u64) {
        while self
            .done
            .front()
            .is_some_and(|(at, _)| *at + REMEMBER_MS < now)
        {
            if let Some((_, id)) = self.done.pop_front() {
                self.states.remove(&id);
            }
        }
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }
}
