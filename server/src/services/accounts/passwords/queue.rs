//! Whose turn it is: each network that waits has one turn after the other, and gives it to its first in rank.
//!
//! | when | what happens |
//! |---|---|
//! | a turn comes | the network's best rank goes, in it whoever came first; the network's next turn comes after one of each other network |
//! | a network has its share waiting | a better rank takes the place of the network's newest of the worst; others are refused |
//! | the queue is full | the network with the most waiting gives its last place to one that has fewer even with it; where none has, a worse rank gives one to a better; otherwise the newcomer is refused |

use std::collections::{HashMap, VecDeque};

use crate::connections::caller::Caller;
use crate::connections::network::Network;

/// What goes first within a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// Somebody who has shown to belong to the account: by a session, a token of it, or a reset token.
    Known,
    /// Somebody who says so.
    SignIn,
    /// An account that is to be.
    Registration,
}

const RANKS: usize = Rank::Registration as usize + 1;

/// Who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// Where the call came from.
    pub network: Network,
    /// What it is.
    pub rank: Rank,
}

impl Asker {
    /// The caller, in this rank.
    pub fn of(caller: &Caller, rank: Rank) -> Self {
        Self {
            network: Network::of(caller.address.ip()),
            rank,
        }
    }
}

/// How many may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// In all.
    pub(super) total: usize,
    /// Of one network.
    pub(super) network: usize,
}

/// Which bound a refusal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// The asker's network has its share.
    Network,
    /// There is no room at all.
    Queue,
}

/// What became of somebody who wants to wait.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pushed<T> {
    /// Waits.
    Waits,
    /// Waits, in the place of another.
    Instead(T, Full),
    /// Can't wait.
    Refused(T, Full),
}

/// Those who wait.
#[derive(Debug)]
pub(super) struct Queue<T> {
    bounds: Bounds,
    lanes: HashMap<Network, Lane<T>>,
    /// The networks of `lanes`, the next turn first.
    turns: VecDeque<Network>,
    waiting: usize,
}

/// Those who wait of one network, by rank, each in the order in which they came.
#[derive(Debug)]
struct Lane<T>([VecDeque<T>; RANKS]);

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| VecDeque::new()))
    }
}

impl<T> Lane<T> {
    fn len(&self) -> usize {
        self.0.iter().map(VecDeque::len).sum()
    }

    fn first(&mut self) -> Option<T> {
        self.0.iter_mut().find_map(VecDeque::pop_front)
    }

    /// The newest of the worst rank.
    fn last(&mut self) -> Option<T> {
        self.0.iter_mut().rev().find_map(VecDeque::pop_back)
    }

    fn has_worse(&self, rank: Rank) -> bool {
        self.0[rank as usize + 1..]
            .iter()
            .any(|rank| !rank.is_empty())
    }
}

impl<T> Queue<T> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            lanes: HashMap::new(),
            turns: VecDeque::new(),
            waiting: 0,
        }
    }

    /// How many wait.
    pub(super) const fn len(&self) -> usize {
        self.waiting
    }

    /// Lets somebody wait, if there is room. Those who `have_left` give their places first.
    pub(super) fn push(
        &mut self,
        asker: Asker,
        item: T,
        have_left: impl Fn(&T) -> bool,
    ) -> Pushed<T> {
        if self.is_full(asker.network) {
            self.forget(have_left);
        }
        let displaced = if self.of(asker.network) >= self.bounds.network {
            Some((self.worse_in(asker), Full::Network))
        } else if self.waiting >= self.bounds.total {
            Some((self.other_for(asker), Full::Queue))
        } else {
            None
        };
        let pushed = match displaced {
            None => Pushed::Waits,
            Some((None, why)) => return Pushed::Refused(item, why),
            Some((Some(network), why)) => match self.displace(network) {
                Some(other) => Pushed::Instead(other, why),
                None => return Pushed::Refused(item, why),
            },
        };
        let lane = self.lanes.entry(asker.network).or_insert_with(|| {
            self.turns.push_back(asker.network);
            Lane::default()
        });
        lane.0[asker.rank as usize].push_back(item);
        self.waiting += 1;
        pushed
    }

    /// Who is next.
    pub(super) fn take(&mut self) -> Option<T> {
        let network = self.turns.pop_front()?;
        let lane = self.lanes.get_mut(&network)?;
        let first = lane.first();
        self.waiting -= usize::from(first.is_some());
        if lane.len() == 0 {
            self.lanes.remove(&network);
        } else {
            self.turns.push_back(network);
        }
        first
    }

    fn of(&self, network: Network) -> usize {
        self.lanes.get(&network).map_or(0, Lane::len)
    }

    fn is_full(&self, network: Network) -> bool {
        self.waiting >= self.bounds.total || self.of(network) >= self.bounds.network
    }

    fn forget(&mut self, have_left: impl Fn(&T) -> bool) {
        for rank in self.lanes.values_mut().flat_map(|lane| &mut lane.0) {
            let before = rank.len();
            rank.retain(|item| !have_left(item));
            self.waiting -= before - rank.len();
        }
        self.lanes.retain(|_, lane| lane.len() > 0);
        self.turns
            .retain(|network| self.lanes.contains_key(network));
    }

    /// The asker's own network, if somebody of a worse rank waits there.
    fn worse_in(&self, asker: Asker) -> Option<Network> {
        let lane = self.lanes.get(&asker.network)?;
        lane.has_worse(asker.rank).then_some(asker.network)
    }

    /// The network that has to give the asker's a place.
    fn other_for(&self, asker: Asker) -> Option<Network> {
        let fair = self.of(asker.network) + 1;
        self.heaviest(|lane| lane.len() > fair)
            .or_else(|| self.heaviest(|lane| lane.has_worse(asker.rank)))
    }

    /// Of the networks that `may_give`, the one with the most waiting; of several, the one whose turn comes last.
    fn heaviest(&self, may_give: impl Fn(&Lane<T>) -> bool) -> Option<Network> {
        let lanes = self
            .turns
            .iter()
            .filter_map(|network| Some((network, self.lanes.get(network)?)))
            .filter(|(_, lane)| may_give(lane));
        lanes
            .max_by_key(|(_, lane)| lane.len())
            .map(|(network, _)| *network)
    }

    fn displace(&mut self, network: Network) -> Option<T> {
        let lane = self.lanes.get_mut(&network)?;
        let last = lane.last()?;
        self.waiting -= 1;
        if lane.len() == 0 {
            self.lanes.remove(&network);
            self.turns.retain(|&other| other != network);
        }
        Some(last)
    }
}

#[cfg(test)]
mod tests;
