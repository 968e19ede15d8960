//! What all clients share: who there is, where the server is, and what is to be done now.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use pitturu_protocol::ids::UserId;
use tokio::sync::watch;

use super::calls::PersonNo;
use super::state::{Known, State};

/// Somebody who calls.
#[derive(Clone, Debug)]
pub struct Person {
    /// Who they are to the server.
    pub user: UserId,
    /// What they sign in with.
    pub token: String,
}

/// Where the server is, and which of its processes that is.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// Where to connect.
    pub address: SocketAddr,
    /// Counts from 1.
    pub number: u32,
}

/// What clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// New calls, and old ones.
    Move,
    /// Only what was sent and not answered.
    Settle,
    /// Nothing any more.
    Stop,
}

/// What all clients share.
pub struct World {
    /// Services first, then the players.
    pub people: Vec<Person>,
    /// How many of them are services.
    pub services: u32,
    /// How many of the players get four fifths of the movements.
    pub busy: u32,
    /// Seed of the run.
    pub seed: u64,
    /// Movements to be acknowledged.
    pub goal: u64,
    /// What clients change.
    pub state: Mutex<State>,
    /// The server.
    pub process: watch::Sender<Option<Process>>,
    by_user: HashMap<UserId, PersonNo>,
    phase: AtomicU8,
    clock_offset_ms: AtomicI64,
}

impl World {
    /// A world of these people, in which nothing has happened.
    pub fn new(
        people: Vec<Person>,
        (services, busy): (u32, u32),
        seed: u64,
        goal: u64,
        process: Process,
    ) -> Self {
        let known = vec![Known::default(); people.len()];
        let numbered = (0..).zip(&people);
        Self {
            by_user: numbered
                .map(|(number, person)| (person.user, number))
                .collect(),
            people,
            services,
            busy,
            seed,
            goal,
            state: Mutex::new(State {
                known,
                ..State::default()
            }),
            process: watch::Sender::new(Some(process)),
            phase: AtomicU8::new(Phase::Move as u8),
            clock_offset_ms: AtomicI64::new(0),
        }
    }

    /// Who a person is to the server.
    pub fn user(&self, person: PersonNo) -> UserId {
        self.people[person as usize].user
    }

    /// The person with this id.
    pub fn person(&self, user: UserId) -> Option<PersonNo> {
        self.by_user.get(&user).copied()
    }

    /// The numbers of all players.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "people are counted by 32 bits"
    )]
    pub const fn players(&self) -> std::ops::Range<PersonNo> {
        self.services..self.people.len() as u32
    }

    /// What clients do.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Move,
            1 => Phase::Settle,
            _ => Phase::Stop,
        }
    }

    /// Has clients do something else.
    pub fn turn_to(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// The server's wall clock, in milliseconds since 1970.
    pub fn now(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = since.map_or(0, |since| since.as_millis());
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        now.saturating_add_signed(self.clock_offset_ms.load(Ordering::Relaxed))
    }

    /// How far the server's clock is ahead.
    pub fn set_clock(&self, offset_ms: i64) {
        self.clock_offset_ms.store(offset_ms, Ordering::Relaxed);
    }

    /// Notes what is wrong.
    pub fn violation(&self, rule: &'static str, subject: &str, message: String) {
        self.state.lock().violation(rule, subject, message);
    }
}
