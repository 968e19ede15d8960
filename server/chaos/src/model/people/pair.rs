//! Two players as the protocol says: each has a side of their own, follows what the other side says, and is told of it later.

use std::collections::VecDeque;

use pitturu_protocol::types::friends::FriendState;

/// A request for friendship. No two have the same number.
pub(super) type RequestNo = usize;

/// One of the two, or the way that begins there.
pub(super) type SideNo = usize;

/// What one player's side holds of the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Side {
    #[default]
    Nothing,
    Requested(RequestNo),
    Received(RequestNo),
    /// By one request, or by two that crossed.
    Friends(RequestNo, Option<RequestNo>),
    Blocked,
}

impl Side {
    /// What a list shows of it.
    pub(super) const fn listed(self) -> Option<FriendState> {
        match self {
            Self::Nothing => None,
            Self::Requested(_) => Some(FriendState::Requested),
            Self::Received(_) => Some(FriendState::Received),
            Self::Friends(..) => Some(FriendState::Friend),
            Self::Blocked => Some(FriendState::Blocked),
        }
    }

    /// The requests that it rests on.
    fn requests(self) -> impl Iterator<Item = RequestNo> {
        let (one, other) = match self {
            Self::Nothing | Self::Blocked => (None, None),
            Self::Requested(one) | Self::Received(one) => (Some(one), None),
            Self::Friends(one, other) => (Some(one), other),
        };
        one.into_iter().chain(other)
    }

    fn rests_on(self, request: RequestNo) -> bool {
        self.requests().any(|one| one == request)
    }
}

/// What one side tells the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Told {
    Requested(RequestNo),
    Accepted(RequestNo),
    Ended(RequestNo),
}

/// What a player asks of their side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Befriend,
    Accept,
    Unfriend,
    Block,
    Unblock,
}

/// What a side says to a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Said {
    /// How the two stand, as far as this side knows.
    Stands(FriendState),
    Done,
    /// There is nothing that could be accepted, ended or taken back.
    Nothing,
    Blocked,
}

/// Two players, and what is on its way between them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Pair {
    pub(super) sides: [Side; 2],
    /// What each side has told, and the other has not followed yet.
    ways: [VecDeque<Told>; 2],
}

impl Pair {
    /// How much is on its way from a side.
    pub(super) fn waiting(&self, from: SideNo) -> usize {
        self.ways[from].len()
    }

    /// A side decides. Whether something has changed, and what it says. `request` is a number for a request.
    pub(super) fn decide(&mut self, side: SideNo, wish: Wish, request: RequestNo) -> (bool, Said) {
        let held = self.sides[side];
        let is = match (wish, held) {
            (Wish::Befriend, Side::Nothing) => Side::Requested(request),
            (Wish::Befriend | Wish::Accept, Side::Received(asked)) => Side::Friends(asked, None),
            (Wish::Befriend, Side::Requested(_)) => {
                return (false, Said::Stands(FriendState::Requested));
            }
            (Wish::Befriend | Wish::Accept, Side::Friends(..)) => {
                return (false, Said::Stands(FriendState::Friend));
            }
            (Wish::Befriend | Wish::Accept, Side::Blocked) => return (false, Said::Blocked),
            (Wish::Block, Side::Blocked) => return (false, Said::Done),
            (Wish::Block, _) => Side::Blocked,
            (Wish::Unblock, Side::Blocked) => Side::Nothing,
            (Wish::Unfriend, Side::Requested(_) | Side::Received(_) | Side::Friends(..)) => {
                Side::Nothing
            }
            (Wish::Accept, Side::Nothing | Side::Requested(_))
            | (Wish::Unblock, _)
            | (Wish::Unfriend, Side::Nothing | Side::Blocked) => return (false, Said::Nothing),
        };
        match is {
            Side::Requested(request) => self.ways[side].push_back(Told::Requested(request)),
            Side::Friends(asked, _) => self.ways[side].push_back(Told::Accepted(asked)),
            _ => self.ways[side].extend(held.requests().map(Told::Ended)),
        }
        self.sides[side] = is;
        self.skip_ends();
        let said = match is {
            Side::Requested(_) => Said::Stands(FriendState::Requested),
            Side::Friends(..) => Said::Stands(FriendState::Friend),
            _ => Said::Done,
        };
        (true, said)
    }

    /// The other side follows the next of what this one has told. Whether there was something.
    pub(super) fn follow(&mut self, from: SideNo) -> bool {
        let Some(told) = self.ways[from].pop_front() else {
            return false;
        };
        let side = 1 - from;
        let held = self.sides[side];
        let mut end = |request| self.ways[side].push_back(Told::Ended(request));
        let is = match (told, held) {
            (Told::Requested(request), Side::Blocked) => {
                end(request);
                held
            }
            (Told::Requested(request) | Told::Accepted(request), _) if held.rests_on(request) => {
                match (told, held) {
                    (Told::Accepted(_), Side::Requested(_)) => Side::Friends(request, None),
                    _ => held,
                }
            }
            (Told::Requested(request), Side::Requested(own)) => Side::Friends(own, Some(request)),
            (Told::Requested(request), _) => Side::Received(request),
            (Told::Accepted(request), _) => {
                end(request);
                held
            }
            (Told::Ended(request), _) if held.rests_on(request) => {
                held.requests().filter(|one| *one != request).for_each(end);
                Side::Nothing
            }
            (Told::Ended(_), _) => held,
        };
        self.sides[side] = is;
        self.skip_ends();
        true
    }

    /// Takes out what is told of requests that the other side does not rest on and will not: it changes nothing, and pairs that
    /// differ by it only are the same.
    fn skip_ends(&mut self) {
        for from in 0..2 {
            let held = self.sides[1 - from];
            let mut coming: Vec<RequestNo> = held.requests().collect();
            self.ways[from].retain(|told| match told {
                Told::Requested(request) | Told::Accepted(request) => {
                    coming.push(*request);
                    true
                }
                Told::Ended(request) => coming.contains(request),
            });
        }
    }
}
