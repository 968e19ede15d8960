//! Points among the rows of a player. Stream 1 is the ledger. Beside it are rows of what is pending, what was given back, and the last day
//! on which something moved; and a list of the days of all players.

use pitturu_protocol::codec;
use pitturu_protocol::ids::UserId;
use pitturu_rules::points::{
    Books, DayRow, EntryRow, PendingRow, PointsEffects, RefundedRow, Wallet,
};
use pitturu_store::StoreError;
use pitturu_store::entities::{
    Bounds, Commit, EntityId, Entry, List, LoadedPart, PAGE_ROWS_MAX, Part, Row, RowKey, RowRange,
    Span,
};
use serde::{Deserialize, Serialize};

use super::super::entity;
use super::{PlayerStore, decode};

/// The stream of the ledger.
const LEDGER: u8 = 1;

/// Rows of points.
const POINTS: &[u8] = b"w";

/// Among them those of what is pending: number.
const PENDING: u8 = b'p';

/// Those of what was given back: number.
const REFUNDED: u8 = b'r';

/// The last day on which something moved.
const DAY: u8 = b'd';

/// Days of all players: day, player.
const DAYS: List = List(4);

/// Players who ever moved points.
const WALLETS: List = List(5);

#[derive(Serialize, Deserialize)]
struct LastDayRow {
    #[serde(rename = "d")]
    day: u64,
    #[serde(rename = "o")]
    opening: Books,
}

fn key(family: u8, number: u64) -> RowKey {
    [POINTS, &[family], &number.to_be_bytes()].concat()
}

fn day_key(day: u64, user: UserId) -> RowKey {
    [&day.to_be_bytes()[..], user.as_bytes()].concat()
}

/// What of a player is loaded for points.
pub(super) fn parts() -> [Part; 2] {
    [
        Part::Rows(RowRange::prefix(POINTS)),
        Part::Newest(LEDGER, Bounds::rows(1)),
    ]
}

/// The wallet of what was loaded of [`parts`]; an empty one of nothing.
pub(super) fn load(user: UserId, parts: &[LoadedPart]) -> Result<Wallet, StoreError> {
    let (rows, newest) = match parts {
        [LoadedPart::Rows(rows), LoadedPart::Newest(newest)] => {
            (rows.as_slice(), newest.as_slice())
        }
        _ => (&[][..], &[][..]),
    };
    let newest = newest.last().map(|(number, row)| {
        let line: EntryRow = decode("movement", row)?;
        Ok::<_, StoreError>((*number, line.books))
    });
    let mut pending: Vec<(u64, PendingRow)> = Vec::new();
    let mut refunded: Vec<(u64, RefundedRow)> = Vec::new();
    let mut day = None;
    for (key, row) in rows {
        let number = key.last_chunk().copied().map(u64::from_be_bytes);
        match (key.get(POINTS.len()), number) {
            (Some(&PENDING), Some(number)) => pending.push((number, decode("pending", row)?)),
            (Some(&REFUNDED), Some(number)) => refunded.push((number, decode("refunded", row)?)),
            (Some(&DAY), Some(_)) => {
                let row: LastDayRow = decode("day", row)?;
                day = Some((row.day, row.opening));
            }
            _ => return Err(StoreError::damaged("a key of points is none")),
        }
    }
    Ok(Wallet::load(
        user,
        newest.transpose()?,
        pending,
        refunded,
        day,
    ))
}

/// Puts what has changed into a commit.
pub(in crate::players) fn put(commit: &mut Commit, user: UserId, effects: &PointsEffects) {
    let entries = effects.entries.iter().map(|(number, row)| Entry {
        stream: LEDGER,
        number: *number,
        row: codec::encode(row),
    });
    commit.entries.extend(entries);
    if effects
        .entries
        .first()
        .is_some_and(|(number, _)| *number == 1)
    {
        let wallet = (WALLETS, user.as_bytes().to_vec(), Some(Vec::new()));
        commit.lists.push(wallet);
    }
    let pending = effects.pending.iter();
    let pending =
        pending.map(|(number, row)| (key(PENDING, *number), row.as_ref().map(codec::encode)));
    commit.rows.extend(pending);
    let refunded = effects.refunded.iter();
    let refunded = refunded.map(|(number, row)| (key(REFUNDED, *number), Some(codec::encode(row))));
    commit.rows.extend(refunded);
    for (day, row) in &effects.days {
        let encoded = Some(codec::encode(row));
        commit.lists.push((DAYS, day_key(*day, user), encoded));
        if row.closing.is_none() {
            let last = LastDayRow {
                day: *day,
                opening: row.opening,
            };
            commit.rows.push((key(DAY, 0), Some(codec::encode(&last))));
        }
    }
}

/// Puts lines that say less than before in their own places.
pub(in crate::players) fn redact(commit: &mut Commit, lines: &[Numbered]) {
    let entries = lines.iter().map(|(number, row)| Entry {
        stream: LEDGER,
        number: *number,
        row: codec::encode(row),
    });
    commit.entries.extend(entries);
}

/// A movement of a player under its number.
pub(crate) type Numbered = (u64, EntryRow);

impl PlayerStore {
    /// The newest movement of a player.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn newest_movement(&self, user: UserId) -> Result<Option<Numbered>, StoreError> {
        let span = Span::Before(u64::MAX);
        Ok(self.movements(user, span, 1).await?.pop())
    }

    /// The movement with this number.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn movement(
        &self,
        user: UserId,
        number: u64,
    ) -> Result<Option<Numbered>, StoreError> {
        let Some(before) = number.checked_sub(1) else {
            return Ok(None);
        };
        let found = self.movements(user, Span::After(before), 1).await?.pop();
        Ok(found.filter(|(found, _)| *found == number))
    }

    /// Movements of a player, oldest first.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn movements(
        &self,
        user: UserId,
        span: Span,
        limit: usize,
    ) -> Result<Vec<Numbered>, StoreError> {
        let bounds = Bounds::rows(limit.min(PAGE_ROWS_MAX));
        let found = self.entities.entries(entity(user), LEDGER, span, bounds);
        let line = |(number, row): &(u64, Vec<u8>)| Ok((*number, decode("movement", row)?));
        found.await?.iter().map(line).collect()
    }

    /// What is pending in a player's books, by the number of its movement.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn pending(&self, user: UserId) -> Result<Vec<(u64, PendingRow)>, StoreError> {
        let range = RowRange::prefix([POINTS, &[PENDING]].concat());
        let rows = self
            .entities
            .rows(entity(user), range, Bounds::rows(PAGE_ROWS_MAX));
        let pending = |(key, row): &Row| {
            let number = key.last_chunk().copied().map(u64::from_be_bytes);
            let number = number.ok_or_else(|| StoreError::damaged("a key of points is none"))?;
            Ok((number, decode("pending", row)?))
        };
        rows.await?.iter().map(pending).collect()
    }

    /// Players who ever moved points, in the order of their ids.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn wallets(
        &self,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<UserId>, StoreError> {
        let range = RowRange::default().after(after.map(|user| user.as_bytes().to_vec()));
        let rows = self
            .entities
            .list(WALLETS, range, Bounds::rows(limit))
            .await?;
        let user = |(key, _): &Row| key.last_chunk().copied().map(UserId::from_bytes);
        let users = rows.iter().map(user).collect::<Option<Vec<_>>>();
        users.ok_or_else(|| StoreError::damaged("a key of wallets is none"))
    }

    /// Tells an entity from one with the same id that ended before; see [`Head::incarnation`](pitturu_store::entities::Head::incarnation).
    ///
    /// # Errors
    /// Those of the store.
    pub async fn incarnation(&self, entity: EntityId) -> Result<Option<u64>, StoreError> {
        let glances = self.entities.glances(vec![entity], Vec::new()).await?;
        let head = glances.into_iter().flatten().next();
        Ok(head.map(|glance| glance.head.incarnation))
    }

    /// The last day on which a player moved points, and the books with which it began.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn last_points_day(&self, user: UserId) -> Result<Option<(u64, Books)>, StoreError> {
        let wanted = vec![(entity(user), key(DAY, 0))];
        let row = self
            .entities
            .rows_of(wanted)
            .await?
            .into_iter()
            .flatten()
            .next();
        let row: Option<LastDayRow> = row.map(|row| decode("day", &row)).transpose()?;
        Ok(row.map(|row| (row.day, row.opening)))
    }

    /// A player's books of one day; none if nothing moved.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn points_day(&self, day: u64, user: UserId) -> Result<Option<DayRow>, StoreError> {
        let range = RowRange::prefix(day_key(day, user));
        let rows = self.entities.list(DAYS, range, Bounds::rows(1)).await?;
        let row = rows.first().map(|(_, row)| decode("day", row));
        row.transpose()
    }

    /// Players who moved points on a day, in the order of their ids, with their books of it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn points_days(
        &self,
        day: u64,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<(UserId, DayRow)>, StoreError> {
        let range = RowRange::prefix(day.to_be_bytes()).after(after.map(|user| day_key(day, user)));
        let rows = self.entities.list(DAYS, range, Bounds::rows(limit)).await?;
        let row = |(key, row): &Row| {
            let user = key.last_chunk().copied().map(UserId::from_bytes);
            let user = user.ok_or_else(|| StoreError::damaged("a key of days is none"))?;
            Ok((user, decode("day", row)?))
        };
        rows.iter().map(row).collect()
    }
}
