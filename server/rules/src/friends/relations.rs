//! How one player stands to others: what the player asks, and what others' entities tell.

use std::collections::BTreeMap;

use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::friends::FriendState;
use pitturu_protocol::types::inbox::InboxEntry;

use super::refusal::{BLOCKS_MAX, FRIEND_REQUESTS_MAX, FRIENDS_MAX, FriendLimit, FriendRefusal};
use super::rows::{EndedWhy, FriendCounts, FriendIds, FriendSignal, Relation, RequestId, Standing};

/// The commit that a command's effects go into.
#[derive(Clone, Copy, Debug)]
pub struct Commit<'a> {
    /// Version of the player's log that it will have. A request is numbered by it.
    pub version: u64,
    /// The player's display name.
    pub name: &'a str,
    /// Now, in milliseconds since 1970.
    pub at: u64,
}

/// What was read of another player before a command. It may be old: the other decides again when the signal comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Other {
    /// The other player.
    pub user: UserId,
    /// Whether there is such a player.
    pub exists: bool,
    /// Whether the other lets the caller reach them; see [`Relations::may_reach`].
    pub reachable: bool,
    /// Whether the other can have one more friend.
    pub room_for_friend: bool,
}

impl Other {
    /// There is no such player.
    pub const fn missing(user: UserId) -> Self {
        Self {
            user,
            exists: false,
            reachable: true,
            room_for_friend: true,
        }
    }
}

/// What a command or a signal changes, all in one atomic commit.
#[derive(Debug, Default, PartialEq)]
pub struct FriendEffects {
    /// The player's rows that changed, by the other player; `None` is removed. A later one replaces an earlier one.
    pub rows: Vec<(UserId, Option<Relation>)>,
    /// What to tell other players' entities, in this order.
    pub signals: Vec<(UserId, FriendSignal)>,
    /// Entries for the player's own inbox.
    pub inbox: Vec<InboxEntry>,
    /// Players with whom a friendship began or ended: what the two see of each other's presence has to be worked out anew.
    pub friendships: Vec<UserId>,
    /// Players whom the player blocks from now on, or no longer: their direct room has to hear of it.
    pub blocks: Vec<(UserId, bool)>,
}

impl FriendEffects {
    fn end(&mut self, other: UserId, id: RequestId, why: EndedWhy) {
        self.signals.push((other, FriendSignal::Ended { id, why }));
    }
}

/// The bounds that hold. Tests set smaller ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Caps {
    pub(super) friends: u32,
    /// Sent, and received.
    pub(super) requests: u32,
    pub(super) blocks: u32,
}

impl Caps {
    pub(super) const PRODUCT: Self = Self {
        friends: FRIENDS_MAX,
        requests: FRIEND_REQUESTS_MAX,
        blocks: BLOCKS_MAX,
    };
}

/// How one player stands to all others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Relations {
    user: UserId,
    rows: BTreeMap<UserId, Relation>,
    counts: FriendCounts,
    pub(super) caps: Caps,
}

impl Relations {
    /// The relations of `user`, as they are stored.
    pub fn load(user: UserId, rows: impl IntoIterator<Item = (UserId, Relation)>) -> Self {
        let rows: BTreeMap<_, _> = rows.into_iter().collect();
        let mut counts = FriendCounts::default();
        for row in rows.values() {
            *counts.of(row.standing.state()) += 1;
        }
        Self {
            user,
            rows,
            counts,
            caps: Caps::PRODUCT,
        }
    }

    /// How the player stands to `other`.
    pub fn get(&self, other: UserId) -> Option<Relation> {
        self.rows.get(&other).copied()
    }

    /// All rows, in the order of ids.
    pub fn rows(&self) -> impl Iterator<Item = (UserId, Relation)> {
        self.rows.iter().map(|(&other, &row)| (other, row))
    }

    /// How many rows there are in each state.
    pub const fn counts(&self) -> FriendCounts {
        self.counts
    }

    /// Whether `other` may reach the player: ask for friendship, invite, open a direct room, write to the inbox, see
    /// presence. Where both have to let each other, both are asked.
    pub fn may_reach(&self, other: UserId) -> bool {
        self.get(other)
            .is_none_or(|row| row.standing != Standing::Blocked)
    }

    /// What this player's entity answers to one who wants to know before a command.
    pub fn seen_by(&self, caller: UserId) -> Other {
        Other {
            user: self.user,
            exists: true,
            reachable: self.may_reach(caller),
            room_for_friend: self.has_room_for_friend(),
        }
    }

    /// Asks for friendship; accepts when the other has asked. What already stands is returned as it is.
    ///
    /// # Errors
    /// [`FriendRefusal::Yourself`], `NoPlayer`, `Blocked`, `Limit`.
    pub fn request(
        &mut self,
        commit: &Commit<'_>,
        other: &Other,
        effects: &mut FriendEffects,
    ) -> Result<Relation, FriendRefusal> {
        self.check_exists(other)?;
        if !other.reachable || !self.may_reach(other.user) {
            return Err(FriendRefusal::Blocked);
        }
        if let Some(row) = self.get(other.user) {
            return match row.standing {
                Standing::Received { id, .. } => self.befriend(commit, other, id, effects),
                _ => Ok(row),
            };
        }
        if !self.has_room_for_friend() {
            return Err(FriendLimit::Friends.into());
        }
        if self.counts.requested >= self.caps.requests {
            return Err(FriendLimit::Sent.into());
        }
        let id = RequestId {
            from: self.user,
            number: commit.version,
        };
        let signal = FriendSignal::Requested {
            id,
            name: commit.name.to_owned(),
            at: commit.at,
        };
        effects.signals.push((other.user, signal));
        let row = Relation {
            standing: Standing::Requested { id },
            since: commit.at,
        };
        self.set(other.user, Some(row), effects);
        Ok(row)
    }

    /// Agrees to a request of `other`. An existing friendship is returned as it is.
    ///
    /// # Errors
    /// [`FriendRefusal::NotFriends`], `Blocked`, `Limit`.
    pub fn accept(
        &mut self,
        commit: &Commit<'_>,
        other: &Other,
        effects: &mut FriendEffects,
    ) -> Result<Relation, FriendRefusal> {
        match self.get(other.user) {
            Some(row) => match row.standing {
                Standing::Received { .. } if !other.reachable => Err(FriendRefusal::Blocked),
                Standing::Received { id, .. } => self.befriend(commit, other, id, effects),
                Standing::Friends { .. } => Ok(row),
                Standing::Blocked => Err(FriendRefusal::Blocked),
                Standing::Requested { .. } => Err(FriendRefusal::NotFriends),
            },
            None => Err(FriendRefusal::NotFriends),
        }
    }

    /// Ends a friendship, takes an own request back or declines one of `other`, and returns what it was.
    ///
    /// # Errors
    /// [`FriendRefusal::NotFriends`]; a block is not ended so.
    pub fn remove(
        &mut self,
        other: UserId,
        effects: &mut FriendEffects,
    ) -> Result<FriendState, FriendRefusal> {
        let row = self.get(other).ok_or(FriendRefusal::NotFriends)?;
        let why = match row.standing {
            Standing::Requested { .. } => EndedWhy::Cancelled,
            Standing::Received { .. } => EndedWhy::Declined,
            Standing::Friends { .. } => EndedWhy::Removed,
            Standing::Blocked => return Err(FriendRefusal::NotFriends),
        };
        for id in row.standing.ids() {
            effects.end(other, id, why);
        }
        self.set(other, None, effects);
        Ok(row.standing.state())
    }

    /// Blocks `other`, which ends what is between the two, and returns what was there before.
    ///
    /// # Errors
    /// [`FriendRefusal::Yourself`], `NoPlayer`, `Limit`.
    pub fn block(
        &mut self,
        commit: &Commit<'_>,
        other: &Other,
        effects: &mut FriendEffects,
    ) -> Result<Option<FriendState>, FriendRefusal> {
        self.check_exists(other)?;
        let before = self.get(other.user).map(|row| row.standing);
        if before != Some(Standing::Blocked) {
            if self.counts.blocked >= self.caps.blocks {
                return Err(FriendLimit::Blocks.into());
            }
            for id in before.iter().flat_map(Standing::ids) {
                effects.end(other.user, id, EndedWhy::Blocked);
            }
            let row = Relation {
                standing: Standing::Blocked,
                since: commit.at,
            };
            self.set(other.user, Some(row), effects);
        }
        Ok(before.map(|standing| standing.state()))
    }

    /// Takes a block back.
    ///
    /// # Errors
    /// [`FriendRefusal::NotBlocked`].
    pub fn unblock(
        &mut self,
        other: UserId,
        effects: &mut FriendEffects,
    ) -> Result<(), FriendRefusal> {
        if self.may_reach(other) {
            return Err(FriendRefusal::NotBlocked);
        }
        self.set(other, None, effects);
        Ok(())
    }

    /// Ends everything that is between the player and others, blocks too.
    pub fn end_all(&mut self, effects: &mut FriendEffects) {
        let all: Vec<(UserId, Relation)> = self.rows().collect();
        for (other, row) in all {
            // Each is what it was read as, so neither is refused.
            match row.standing {
                Standing::Blocked => drop(self.unblock(other, effects)),
                _ => drop(self.remove(other, effects)),
            }
        }
    }

    /// Applies a signal of `from`, which is applied once and after those that `from` sent before it.
    pub fn apply(&mut self, from: UserId, signal: FriendSignal, effects: &mut FriendEffects) {
        match signal {
            FriendSignal::Requested { id, name, at } => {
                if id.from == from {
                    self.asked(from, id, name, at, effects);
                }
            }
            FriendSignal::Accepted { id, name, at } => {
                self.accepted(from, id, name, at, effects);
            }
            FriendSignal::Ended { id, .. } => self.ended(from, id, effects),
        }
    }

    /// The other asks: a request to answer, or an agreement if this player has asked as well.
    fn asked(
        &mut self,
        from: UserId,
        id: RequestId,
        name: String,
        at: u64,
        effects: &mut FriendEffects,
    ) {
        let row = self.get(from);
        match row.map(|row| row.standing) {
            Some(Standing::Blocked) => effects.end(from, id, EndedWhy::Refused),
            Some(Standing::Requested { id: own }) => {
                if !self.has_room_for_friend() {
                    // The own request is left: the other ends it on hearing that the one it crossed has ended.
                    return effects.end(from, id, EndedWhy::Refused);
                }
                let asked = row.map_or(at, |row| row.since);
                let row = Relation {
                    standing: Standing::Friends {
                        ids: FriendIds::crossed(own, id),
                    },
                    since: at.max(asked),
                };
                self.set(from, Some(row), effects);
                let entry = InboxEntry::FriendAccepted { user: from, name };
                effects.inbox.push(entry);
            }
            Some(standing) if standing.ids().any(|held| held == id) => {}
            before => {
                if before.is_some() {
                    // Who asks anew has ended what was there before, and said so first. That it is still here means that
                    // the other was restored or lost its rows: what it asks now is what stands.
                    self.set(from, None, effects);
                }
                let number = self.received().map(|(number, ..)| number).max();
                let number = number.map_or(1, |newest| newest + 1);
                if self.counts.received >= self.caps.requests {
                    self.drop_oldest_request(effects);
                }
                let row = Relation {
                    standing: Standing::Received { id, number },
                    since: at,
                };
                self.set(from, Some(row), effects);
                let entry = InboxEntry::FriendRequested { user: from, name };
                effects.inbox.push(entry);
            }
        }
    }

    /// Lets go of the request that has waited longest, so that a full list keeps nobody from asking.
    fn drop_oldest_request(&mut self, effects: &mut FriendEffects) {
        if let Some((_, other, id)) = self.received().min_by_key(|(number, ..)| *number) {
            effects.end(other, id, EndedWhy::Refused);
            self.set(other, None, effects);
        }
    }

    /// The open requests of others: their place in the order in which they came, who asks, and what names the request.
    fn received(&self) -> impl Iterator<Item = (u64, UserId, RequestId)> {
        let rows = self.rows.iter();
        rows.filter_map(|(other, row)| match row.standing {
            Standing::Received { id, number } => Some((number, *other, id)),
            _ => None,
        })
    }

    /// The other agrees to a request, which may be over by now.
    fn accepted(
        &mut self,
        from: UserId,
        id: RequestId,
        name: String,
        at: u64,
        effects: &mut FriendEffects,
    ) {
        match self.get(from).map(|row| row.standing) {
            Some(Standing::Requested { id: own }) if own == id => {
                if !self.has_room_for_friend() {
                    effects.end(from, id, EndedWhy::Refused);
                    return self.lose(from, effects);
                }
                let row = Relation {
                    standing: Standing::Friends {
                        ids: FriendIds::accepted(id),
                    },
                    since: at,
                };
                self.set(from, Some(row), effects);
                let entry = InboxEntry::FriendAccepted { user: from, name };
                effects.inbox.push(entry);
            }
            Some(standing) if standing.ids().any(|held| held == id) => {}
            // Who leaves a request tells the other, so this is said twice, unless the request was lost with the player's rows.
            _ => effects.end(from, id, EndedWhy::Refused),
        }
    }

    /// The other has ended, declined or refused a request.
    fn ended(&mut self, from: UserId, id: RequestId, effects: &mut FriendEffects) {
        let Some(row) = self.get(from) else {
            return;
        };
        if !row.standing.ids().any(|held| held == id) {
            return;
        }
        for crossed in row.standing.ids().filter(|&held| held != id) {
            effects.end(from, crossed, EndedWhy::Removed);
        }
        self.lose(from, effects);
    }

    /// Removes a row without the player having asked for it, and tells the player.
    fn lose(&mut self, other: UserId, effects: &mut FriendEffects) {
        self.set(other, None, effects);
        let entry = InboxEntry::FriendRemoved { user: other };
        effects.inbox.push(entry);
    }

    fn befriend(
        &mut self,
        commit: &Commit<'_>,
        other: &Other,
        id: RequestId,
        effects: &mut FriendEffects,
    ) -> Result<Relation, FriendRefusal> {
        if !self.has_room_for_friend() {
            return Err(FriendLimit::Friends.into());
        }
        if !other.room_for_friend {
            return Err(FriendLimit::TheirFriends.into());
        }
        let signal = FriendSignal::Accepted {
            id,
            name: commit.name.to_owned(),
            at: commit.at,
        };
        effects.signals.push((other.user, signal));
        let row = Relation {
            standing: Standing::Friends {
                ids: FriendIds::accepted(id),
            },
            since: commit.at,
        };
        self.set(other.user, Some(row), effects);
        Ok(row)
    }

    fn check_exists(&self, other: &Other) -> Result<(), FriendRefusal> {
        if other.user == self.user {
            return Err(FriendRefusal::Yourself);
        }
        if !other.exists {
            return Err(FriendRefusal::NoPlayer);
        }
        Ok(())
    }

    const fn has_room_for_friend(&self) -> bool {
        self.counts.friends < self.caps.friends
    }

    /// Puts, replaces or removes a row, and keeps the counts.
    fn set(&mut self, other: UserId, row: Option<Relation>, effects: &mut FriendEffects) {
        let before = match row {
            Some(row) => self.rows.insert(other, row),
            None => self.rows.remove(&other),
        };
        let [was, is] = [before, row].map(|row| row.map(|row| row.standing.state()));
        for (state, step) in [(was, -1), (is, 1)] {
            if let Some(state) = state {
                let count = self.counts.of(state);
                *count = count.saturating_add_signed(step);
            }
        }
        let begins_or_ends = |state| (was == Some(state)) != (is == Some(state));
        if begins_or_ends(FriendState::Friend) && !effects.friendships.contains(&other) {
            effects.friendships.push(other);
        }
        if begins_or_ends(FriendState::Blocked) {
            let blocks = is == Some(FriendState::Blocked);
            effects.blocks.push((other, blocks));
        }
        effects.rows.push((other, row));
    }
}
