//! How players are stored: their rows, and what anyone reads of them.
//!
//! Stream 0 of a player's entity is the inbox, stream 1 the ledger of points; see `points`, and `items` for what is owned. Its rows are account, sessions and reset tokens, how the player stands to others,
//! with two numbers of them for whoever asks before a request, and the list of rooms. A user name, or a guest's secret, leads to the
//! player by a claim; see `accounts`.

mod accounts;
mod erasure;
pub(super) mod items;
pub(super) mod points;

use std::sync::Arc;

use pitturu_protocol::codec;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::ranges::Ranged as _;
use pitturu_protocol::types::friends::FriendState;
use pitturu_protocol::types::inbox::InboxAdded;
use pitturu_rules::friends::{FRIENDS_MAX, Other, Relation, Relations, Standing};
use pitturu_rules::game_data::Game;
use pitturu_rules::lists::{InboxMark, InboxMarks, Offer, Offers};
use pitturu_store::StoreError;
use pitturu_store::entities::{
    Applied, Bounds, Entities, EntityId, LoadedPart, PAGE_ROWS_MAX, Part, Row, RowKey, RowRange,
    Span, StreamHead,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub(super) use self::accounts::{
    account_lists, account_row, erased_row, reset_row, session_row, void_row,
};
use super::entity;
use super::names::Names;
use super::player::Player;
use crate::owners::answering::Loaded;
use crate::owners::journal::Journal;

/// The stream of the inbox.
pub(super) const INBOX: u8 = 0;

/// Rows of relations: the other player.
const RELATIONS: &[u8] = b"f";

/// The row of what others have to know before a request.
const COUNTS: &[u8] = b"c";

/// Rows of the list of rooms that are the player's own: room.
const ROOMS: &[u8] = b"o";

/// Rows of rooms that others offer: room.
const OFFERS: &[u8] = b"p";

/// Rows of what is kept of entries of the inbox beside them: sequence.
const INBOX_MARKS: &[u8] = b"i";

/// How one player stands to another, as lists show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FriendRow {
    /// The other player.
    pub user: UserId,
    /// How they stand.
    pub state: FriendState,
    /// Since when, in milliseconds since 1970.
    pub since: u64,
}

impl FriendRow {
    /// What a relation shows.
    pub const fn of(user: UserId, relation: Relation) -> Self {
        Self {
            user,
            state: relation.standing.state(),
            since: relation.since,
        }
    }
}

/// Whether one player blocks another, as of some moment.
#[derive(Clone, Copy, Debug)]
pub struct Blocking {
    /// The player.
    pub user: UserId,
    /// The player's entity.
    pub entity: EntityId,
    /// Whether they block the other.
    pub blocks: bool,
    /// The version of the entity that this counts, at least: signals up to there say nothing new. None: nothing is stored of it.
    pub applied: Option<Applied>,
}

/// What others have to know before a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct CountsRow {
    #[serde(rename = "f")]
    friends: u32,
    #[serde(rename = "r")]
    received: u32,
}

fn relation_key(other: UserId) -> RowKey {
    [RELATIONS, other.as_bytes()].concat()
}

fn room_key(room: RoomId) -> RowKey {
    [ROOMS, room.as_bytes()].concat()
}

fn offer_key(room: RoomId) -> RowKey {
    [OFFERS, room.as_bytes()].concat()
}

/// The row of an entry's mark, as a change of a commit.
pub(super) fn mark_row(seq: u64, mark: Option<&InboxMark>) -> (RowKey, Option<Vec<u8>>) {
    let key = [INBOX_MARKS, &seq.to_be_bytes()].concat();
    (key, mark.map(codec::encode))
}

/// The row of a room that another player offers, as a change of a commit.
pub(super) fn offer_row(room: RoomId, offer: Option<&Offer>) -> (RowKey, Option<Vec<u8>>) {
    (offer_key(room), offer.map(codec::encode))
}

fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, StoreError> {
    codec::decode(bytes).map_err(|error| {
        tracing::error!(what, %error, "a stored row is damaged");
        StoreError::damaged(format!("{what}: {error}"))
    })
}

/// The row of a relation, as a change of a commit.
pub(super) fn relation_row(other: UserId, row: Option<&Relation>) -> (RowKey, Option<Vec<u8>>) {
    (relation_key(other), row.map(codec::encode))
}

/// The row of the counts, as a change of a commit.
pub(super) fn counts_row(relations: &Relations) -> (RowKey, Option<Vec<u8>>) {
    let counts = relations.counts();
    let row = CountsRow {
        friends: counts.friends,
        received: counts.received,
    };
    (COUNTS.to_vec(), Some(codec::encode(&row)))
}

/// The row of a room among the player's own, as a change of a commit.
pub(super) fn room_row(room: RoomId, is_listed: bool) -> (RowKey, Option<Vec<u8>>) {
    (room_key(room), is_listed.then(Vec::new))
}

/// The players of a store, and display names in memory. Clones share both.
#[derive(Clone)]
pub struct PlayerStore {
    entities: Arc<dyn Entities>,
    names: Arc<Names>,
}

impl PlayerStore {
    /// The players among these entities.
    pub fn new(entities: Arc<dyn Entities>) -> Self {
        Self {
            entities,
            names: Arc::default(),
        }
    }

    /// Display names that were read. Whoever decides another one has it forgotten.
    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// The entities underneath.
    pub fn entities(&self) -> &Arc<dyn Entities> {
        &self.entities
    }

    /// A player's entity as its owner takes it up.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn load(&self, user: UserId, game: Arc<Game>) -> Result<Loaded<Player>, StoreError> {
        let entity = entity(user);
        // Before the read: a failure in between makes the fence old, not the state.
        let fence = self.entities.fence();
        let families = [RELATIONS, INBOX_MARKS, OFFERS];
        let mut parts = families
            .map(|family| Part::Rows(RowRange::prefix(family)))
            .to_vec();
        parts.push(items::part());
        parts.extend(points::parts());
        parts.extend(accounts::parts());
        let loaded = self.entities.load(entity, parts).await?;
        let Some(loaded) = loaded else {
            let (inventory, rewards) = items::load(None)?;
            return Ok(Loaded {
                journal: Journal::begin(entity, fence),
                state: Player {
                    user,
                    account: accounts::load(user, &[])?,
                    relations: Relations::load(user, []),
                    inbox: StreamHead::default(),
                    marks: InboxMarks::default(),
                    offers: Offers::default(),
                    wallet: points::load(user, &[])?,
                    inventory,
                    rewards,
                    game,
                },
                undelivered: Vec::new(),
            });
        };
        let (rows, marks, offers, items, wallet, account) = match loaded.parts.as_slice() {
            [
                LoadedPart::Rows(rows),
                LoadedPart::Rows(marks),
                LoadedPart::Rows(offers),
                items @ LoadedPart::Rows(_),
                points @ LoadedPart::Rows(_),
                ledger @ LoadedPart::Newest(_),
                account @ ..,
            ] => (
                relations(rows)?,
                inbox_marks(marks)?,
                room_offers(offers)?,
                items::load(Some(items))?,
                points::load(user, &[points.clone(), ledger.clone()])?,
                account,
            ),
            _ => return Err(StoreError::damaged("a player was loaded in other parts")),
        };
        let (inventory, rewards) = items;
        Ok(Loaded {
            journal: Journal::of(entity, &loaded),
            state: Player {
                user,
                account: accounts::load(user, account)?,
                relations: Relations::load(user, rows),
                inbox: loaded.head.streams[usize::from(INBOX)],
                marks,
                offers,
                wallet,
                inventory,
                rewards,
                game,
            },
            undelivered: loaded.undelivered,
        })
    }

    /// What `caller` may know of `other` before asking. `exists`: whether there is such a player.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn other(
        &self,
        caller: UserId,
        other: UserId,
        exists: bool,
    ) -> Result<Other, StoreError> {
        let of_other = |key| (entity(other), key);
        let wanted = vec![of_other(relation_key(caller)), of_other(COUNTS.to_vec())];
        let found = self.entities.rows_of(wanted).await?;
        let [relation, counts] = found.as_slice() else {
            return Err(StoreError::damaged("other rows than asked for"));
        };
        let relation: Option<Relation> = optional("relation", relation.as_deref())?;
        let counts: CountsRow = optional("counts", counts.as_deref())?.unwrap_or_default();
        Ok(Other {
            user: other,
            exists,
            reachable: !is_block(relation),
            room_for_friend: counts.friends < FRIENDS_MAX,
        })
    }

    /// Whether one of the two has blocked the other.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn blocked_either(&self, one: UserId, other: UserId) -> Result<bool, StoreError> {
        let wanted = vec![
            (entity(one), relation_key(other)),
            (entity(other), relation_key(one)),
        ];
        for row in self.entities.rows_of(wanted).await? {
            if is_block(optional("relation", row.as_deref())?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Which of two players blocks the other, and as of which version of theirs.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn blocks_between(&self, pair: [UserId; 2]) -> Result<Vec<Blocking>, StoreError> {
        let keys = pair.map(relation_key).to_vec();
        let glances = self.entities.glances(pair.map(entity).to_vec(), keys);
        let mut sides = Vec::new();
        for (user, glance) in pair.into_iter().zip(glances.await?) {
            let from = entity(user);
            let mut side = Blocking {
                user,
                entity: from,
                blocks: false,
                applied: None,
            };
            if let Some(glance) = glance {
                // One of the two rows would be of the player's own self, and is not there.
                for row in &glance.rows {
                    side.blocks |= is_block(optional("relation", row.as_deref())?);
                }
                side.applied = Some(Applied {
                    from,
                    incarnation: glance.head.incarnation,
                    version: glance.head.version,
                });
            }
            sides.push(side);
        }
        Ok(sides)
    }

    /// How a player stands to others, in the order of their ids: those in this state, or all.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn friends(
        &self,
        user: UserId,
        state: Option<FriendState>,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<FriendRow>, StoreError> {
        let mut page = Vec::new();
        let mut after = after.map(relation_key);
        loop {
            let range = RowRange::prefix(RELATIONS).after(after.take());
            let bounds = Bounds::rows(PAGE_ROWS_MAX);
            let rows = self.entities.rows(entity(user), range, bounds).await?;
            let is_last = rows.len() < PAGE_ROWS_MAX;
            after = rows.last().map(|(key, _)| key.clone());
            let shown = relations(&rows)?.into_iter();
            let shown = shown.map(|(other, relation)| FriendRow::of(other, relation));
            page.extend(shown.filter(|row| state.is_none_or(|state| state == row.state)));
            if page.len() >= limit || is_last {
                page.truncate(limit);
                return Ok(page);
            }
        }
    }

    /// Where a player's inbox stands.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn inbox(&self, user: UserId) -> Result<StreamHead, StoreError> {
        let glances = self
            .entities
            .glances(vec![entity(user)], Vec::new())
            .await?;
        let head = glances.into_iter().flatten().next();
        Ok(head.map_or_else(StreamHead::default, |glance| {
            glance.head.streams[usize::from(INBOX)]
        }))
    }

    /// The oldest kept entries of an inbox after `after`, oldest first. A first entry later than `after + 1` means a gap.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn inbox_after(
        &self,
        user: UserId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<InboxAdded>, StoreError> {
        let (span, bounds) = (Span::After(after), Bounds::rows(limit));
        let found = self.entities.entries(entity(user), INBOX, span, bounds);
        let found = found.await?;
        let entry = |row: &Vec<u8>| {
            // Older entries may hold more than clients can read.
            let mut entry: InboxAdded = decode("inbox", row)?;
            entry.clamp();
            Ok(entry)
        };
        found.iter().map(|(_, row)| entry(row)).collect()
    }

    /// The rooms of a player's list, in the order of their ids: the player's own and those that others offer. Some may have ended.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn rooms(
        &self,
        user: UserId,
        after: Option<RoomId>,
        limit: usize,
    ) -> Result<Vec<RoomId>, StoreError> {
        let mut rooms = self.own_rooms(user, after, limit).await?;
        rooms.extend(self.offered_rooms(user, after, limit).await?);
        rooms.sort_unstable();
        rooms.dedup();
        rooms.truncate(limit);
        Ok(rooms)
    }

    /// The rooms of a player's list that count against the player's limit, in the order of their ids.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn own_rooms(
        &self,
        user: UserId,
        after: Option<RoomId>,
        limit: usize,
    ) -> Result<Vec<RoomId>, StoreError> {
        self.listed(user, ROOMS, after.map(room_key), limit).await
    }

    /// The rooms that others offer a player, in the order of their ids.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn offered_rooms(
        &self,
        user: UserId,
        after: Option<RoomId>,
        limit: usize,
    ) -> Result<Vec<RoomId>, StoreError> {
        self.listed(user, OFFERS, after.map(offer_key), limit).await
    }

    async fn listed(
        &self,
        user: UserId,
        family: &[u8],
        after: Option<RowKey>,
        limit: usize,
    ) -> Result<Vec<RoomId>, StoreError> {
        let range = RowRange::prefix(family).after(after);
        let rows = self.entities.rows(entity(user), range, Bounds::rows(limit));
        Ok(rows.await?.iter().filter_map(room_of).collect())
    }
}

fn room_of((key, _): &Row) -> Option<RoomId> {
    key.last_chunk().copied().map(RoomId::from_bytes)
}

fn inbox_marks(rows: &[Row]) -> Result<InboxMarks, StoreError> {
    let mut marks = Vec::with_capacity(rows.len());
    for (key, row) in rows {
        let seq = key.last_chunk().copied().map(u64::from_be_bytes);
        let seq = seq.ok_or_else(|| StoreError::damaged("a key of marks is none"))?;
        marks.push((seq, decode("inbox mark", row)?));
    }
    Ok(InboxMarks::load(marks))
}

fn room_offers(rows: &[Row]) -> Result<Offers, StoreError> {
    let mut offers = Vec::with_capacity(rows.len());
    for row in rows {
        let room = room_of(row).ok_or_else(|| StoreError::damaged("a key of offers is none"))?;
        offers.push((room, decode("offer", &row.1)?));
    }
    Ok(Offers::load(offers))
}

fn relations(rows: &[Row]) -> Result<Vec<(UserId, Relation)>, StoreError> {
    let relation = |(key, row): &Row| {
        let other = key.last_chunk().copied().map(UserId::from_bytes);
        let other = other.ok_or_else(|| StoreError::damaged("a key of relations is none"))?;
        Ok((other, decode("relation", row)?))
    };
    rows.iter().map(relation).collect()
}

fn optional<T: DeserializeOwned>(what: &str, row: Option<&[u8]>) -> Result<Option<T>, StoreError> {
    row.map(|row| decode(what, row)).transpose()
}

fn is_block(relation: Option<Relation>) -> bool {
    relation.is_some_and(|relation| relation.standing == Standing::Blocked)
}
