//! Decisions on their way to the disk. One commit may hold several: what is decided while a commit waits for the disk joins it.

use std::ops::Range;

use pitturu_protocol::codes::Fault;
use pitturu_protocol::ids::UserId;
use pitturu_store::clock::Steady;
use pitturu_store::entities::{Applied, Commit, KeyedResult, OpenCommit, Signal};
use pitturu_store::reservation::Reservation;
use smallvec::{SmallVec, smallvec};

use super::{Asker, Decisions};
use crate::call_traces::Part;
use crate::connections::caller::IdempotencyKey;
use crate::owners::keys::Keys;
use crate::owners::signals::Batch;

/// Who hears that a decision is durable.
#[derive(Debug)]
pub(super) enum Answer {
    /// A call's result, and its key with whose it is.
    Call(Asker, Option<(UserId, IdempotencyKey)>, Vec<u8>),
    /// What the rules have refused, resting on what was decided before.
    Refused(Asker, Option<(UserId, IdempotencyKey)>, Fault),
    /// That signals are applied.
    Applied(Batch),
}

impl Answer {
    /// What is answered to a call: what was decided, or why not.
    pub(super) fn of(
        to: Asker,
        key: Option<(UserId, IdempotencyKey)>,
        decided: Result<Vec<u8>, Fault>,
    ) -> Self {
        match decided {
            Ok(body) => Self::Call(to, key, body),
            Err(fault) => Self::Refused(to, key, fault),
        }
    }

    /// What is noted of it.
    pub(super) fn part(&self) -> Part {
        match self {
            Self::Call(to, ..) | Self::Refused(to, ..) => to.part(),
            Self::Applied(_) => Part::NONE,
        }
    }
}

/// Decisions that go into one commit at most.
const JOINED_MAX: usize = 64;

/// What is told of a decision.
#[derive(Debug)]
pub(super) struct Decided<N> {
    pub(super) answer: Answer,
    pub(super) news: N,
    /// Its own among the signals of the commit.
    pub(super) signals: Range<usize>,
}

/// A commit on its way to the disk.
#[derive(Debug)]
pub(super) struct Pending<N> {
    /// 0: nothing is stored.
    pub(super) version: u64,
    pub(super) signals: Vec<Signal>,
    pub(super) decided: SmallVec<[Decided<N>; 1]>,
    /// Takes further decisions, until the store begins with it.
    pub(super) open: Option<OpenCommit>,
}

impl<N> Pending<N> {
    /// What needs no commit.
    pub(super) fn stored_nothing(answer: Answer) -> Self
    where
        N: Default,
    {
        let decided = smallvec![Decided {
            answer,
            news: N::default(),
            signals: 0..0,
        }];
        Self {
            version: 0,
            signals: Vec::new(),
            decided,
            open: None,
        }
    }

    /// Takes a decision into the commit, unless the store has begun with it, or it holds many: then the room comes back.
    pub(super) fn join<D: Decisions<News = N>>(
        &mut self,
        reservation: Reservation,
        put: &mut Option<Put<'_, D>>,
    ) -> Result<(), Reservation> {
        let open = self.open.as_ref();
        let Some(open) = open.filter(|_| self.decided.len() < JOINED_MAX) else {
            return Err(reservation);
        };
        let (mut decided, signals) = (None, &mut self.signals);
        open.join(reservation, |commit| {
            decided = put.take().map(|put| put.into(commit));
            signals.extend_from_slice(&commit.signals[signals.len()..]);
        })?;
        self.decided.extend(decided);
        Ok(())
    }
}

/// What a decision leaves beside what the rules change.
#[derive(Default)]
pub(super) struct Noted {
    pub(super) result: Option<KeyedResult>,
    pub(super) applied: Option<Applied>,
    /// It may go into a commit that is on its way.
    pub(super) may_join: bool,
}

/// A decision, to be put into a commit.
pub(super) struct Put<'a, D: Decisions> {
    pub(super) state: &'a mut D,
    pub(super) environment: &'a D::Environment,
    pub(super) effects: D::Effects,
    pub(super) noted: Noted,
    pub(super) answer: Answer,
    pub(super) now: u64,
}

impl<D: Decisions> Put<'_, D> {
    /// Makes a commit of its own of it, and what is to be told of that.
    pub(super) fn into_commit(self, mut commit: Commit) -> (OpenCommit, Pending<D::News>) {
        let may_join = self.noted.may_join;
        let decided = self.into(&mut commit);
        let (version, signals) = (commit.version, commit.signals.clone());
        let commit = OpenCommit::from(commit);
        let pending = Pending {
            version,
            signals,
            decided: smallvec![decided],
            open: may_join.then(|| commit.clone()),
        };
        (commit, pending)
    }

    fn into(self, commit: &mut Commit) -> Decided<D::News> {
        commit.results.extend(self.noted.result);
        commit.applied = commit.applied.or(self.noted.applied);
        let first = commit.signals.len();
        let news = self
            .state
            .put(self.environment, self.effects, self.now, commit);
        Decided {
            answer: self.answer,
            news,
            signals: first..commit.signals.len(),
        }
    }
}

/// What outlives a life.
#[derive(Debug, Default)]
pub struct Kept {
    /// Whether others are still to be told something by the next life.
    pub(super) owes: bool,
    /// Keys of calls that were answered a moment ago. Of some the store has no result.
    pub(super) keys: Keys<Asker>,
    pub(super) remembers_until: Steady,
}
