//! What is decided: every row, and how a commit changes them. Nothing here waits, fails halfway or knows of threads.

use std::collections::BTreeMap;
use std::sync::Arc;

use pitturu_protocol::ids::UserId;

use crate::StoreError;
use crate::entities::{
    Applied, Bounds, Claimed, Commit, EntityId, Entry, Fence, Glance, Head, KeyedRequest,
    KeyedResult, List, Loaded, LoadedPart, Numbered, PAGE_ROWS_MAX, Part, Row, RowKey, RowRange,
    STREAMS, Signal, Space, Span, StreamHead, Undelivered,
};

/// How long it is known that an entity has ended, in milliseconds.
const ENDED_KNOWN_MS: u64 = 48 * 60 * 60 * 1_000;

/// Rows that one piece of a removal takes: few, so that tests with few rows see several pieces.
pub(super) const PIECE_ROWS: usize = 16;

type Results = BTreeMap<(EntityId, UserId, Arc<str>), KeyedResult>;

/// One entity.
#[derive(Clone, Debug, Default)]
struct Stored {
    head: Head,
    rows: BTreeMap<RowKey, Vec<u8>>,
    /// Also what is before the first, until it is trimmed.
    streams: [BTreeMap<u64, Vec<u8>>; STREAMS],
    applied: BTreeMap<EntityId, Applied>,
}

/// Everything that the store holds.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    entities: BTreeMap<EntityId, Stored>,
    lists: BTreeMap<(List, RowKey), Vec<u8>>,
    claims: BTreeMap<(Space, RowKey), EntityId>,
    /// The generation that is written, and the one before it.
    results: [Results; 2],
    /// Results that are kept for good.
    lasting: Results,
    signals: BTreeMap<(EntityId, u64, u16), Signal>,
}

/// Writing.
impl State {
    /// Carries a commit out, or refuses it and changes nothing. Its fence is the caller's to check.
    pub(super) fn apply(&mut self, commit: Commit) -> Result<(), StoreError> {
        let head = self.head_after(&commit)?;
        let first_before = self
            .entities
            .get(&commit.entity)
            .map(|stored| stored.head.streams.map(|stream| stream.first))
            .unwrap_or([1; STREAMS]);
        let stored = self.entities.entry(commit.entity).or_default();
        stored.head = head;
        for (key, row) in commit.rows {
            put_or_remove(&mut stored.rows, key, row);
        }
        for entry in commit.entries {
            let stream = usize::from(entry.stream);
            if entry.number >= first_before[stream] {
                stored.streams[stream].insert(entry.number, entry.row);
            }
        }
        for (stream, number) in commit.dropped {
            stored.streams[usize::from(stream)].remove(&number);
        }
        if let Some(applied) = commit.applied {
            let known = stored.applied.entry(applied.from).or_insert(applied);
            let is_newer = applied.version > known.version;
            if is_newer || applied.incarnation != known.incarnation {
                *known = applied;
            }
        }
        for (list, key, row) in commit.lists {
            put_or_remove(&mut self.lists, (list, key), row);
        }
        for result in commit.results {
            let key = (commit.entity, result.user, result.key.clone());
            let results = match result.request {
                KeyedRequest::Whole(_) => &mut self.lasting,
                KeyedRequest::Hash(_) => &mut self.results[0],
            };
            results.insert(key, result);
        }
        for (index, signal) in (0..=u16::MAX).zip(commit.signals) {
            self.signals
                .insert((commit.entity, commit.version, index), signal);
        }
        Ok(())
    }

    /// Where the entity stands after this commit, if it may be carried out.
    fn head_after(&self, commit: &Commit) -> Result<Head, StoreError> {
        let mut head = match self.entities.get(&commit.entity) {
            Some(stored) => stored.head,
            None => Head {
                incarnation: commit.incarnation,
                ..Head::default()
            },
        };
        if head.ended_at.is_some() {
            return Err(StoreError::Conflict("the entity has ended"));
        }
        if commit.incarnation != head.incarnation {
            return Err(StoreError::Conflict("another incarnation"));
        }
        if commit.version != head.version + 1 {
            return Err(StoreError::Conflict("not the next version"));
        }
        if commit.signals.len() > usize::from(u16::MAX) + 1 {
            return Err(StoreError::Conflict(
                "more signals than one commit may have",
            ));
        }
        head.version = commit.version;
        head.ended_at = commit.ends_at;
        for Entry { stream, number, .. } in &commit.entries {
            let stream = stream_of(&mut head, *stream)?;
            if *number > stream.head + 1 {
                return Err(StoreError::Conflict("the entry is not the next one"));
            }
            stream.head = stream.head.max(*number);
        }
        for (stream, _) in &commit.dropped {
            stream_of(&mut head, *stream)?;
        }
        for (stream, first) in &commit.firsts {
            let stream = stream_of(&mut head, *stream)?;
            stream.first = stream.first.max((*first).min(stream.head + 1));
        }
        Ok(head)
    }

    /// Removes a piece of these rows. True when there are more.
    pub(super) fn remove(&mut self, entity: EntityId, range: &RowRange) -> bool {
        let Some(stored) = self.entities.get_mut(&entity) else {
            return false;
        };
        let mut keys = stored.rows.keys().filter(|key| is_in(key, range)).cloned();
        let piece: Vec<RowKey> = keys.by_ref().take(PIECE_ROWS).collect();
        let more = keys.next().is_some();
        for key in piece {
            stored.rows.remove(&key);
        }
        more
    }

    /// Removes a piece of what is before the first of each stream. True when there is more.
    pub(super) fn trim(&mut self, entity: EntityId) -> bool {
        let Some(stored) = self.entities.get_mut(&entity) else {
            return false;
        };
        let mut more = false;
        for (rows, head) in stored.streams.iter_mut().zip(stored.head.streams) {
            for _ in 0..PIECE_ROWS {
                if rows
                    .keys()
                    .next()
                    .is_some_and(|number| *number < head.first)
                {
                    rows.pop_first();
                }
            }
            more |= rows
                .keys()
                .next()
                .is_some_and(|number| *number < head.first);
        }
        more
    }

    /// Removes a piece of the first ended entity that has rows, or forgets those that ended long ago. True when there is more.
    pub(super) fn sweep(&mut self, now: u64) -> bool {
        let mut ended = self
            .entities
            .values_mut()
            .filter(|stored| stored.head.ended_at.is_some());
        if let Some(stored) = ended.find(|stored| stored.has_rows()) {
            stored.remove_some();
            return true;
        }
        let signals = &self.signals;
        self.entities.retain(|entity, stored| {
            let is_old = stored
                .head
                .ended_at
                .is_some_and(|ended_at| ended_at < now.saturating_sub(ENDED_KNOWN_MS));
            !is_old || signals_of(signals, *entity).next().is_some()
        });
        false
    }

    /// These signals wait no longer.
    pub(super) fn deliver(&mut self, entity: EntityId, signals: &[(u64, u16)]) {
        for (version, index) in signals {
            self.signals.remove(&(entity, *version, *index));
        }
    }

    pub(super) fn claim(
        &mut self,
        space: Space,
        key: RowKey,
        entity: EntityId,
        instead_of: Option<EntityId>,
    ) -> Claimed {
        let holder = self.claims.entry((space, key)).or_insert(entity);
        if *holder != entity && instead_of != Some(*holder) {
            return Claimed::Held(*holder);
        }
        *holder = entity;
        Claimed::Done
    }

    pub(super) fn release(&mut self, space: Space, key: RowKey, entity: EntityId) {
        let key = (space, key);
        if self.claims.get(&key) == Some(&entity) {
            self.claims.remove(&key);
        }
    }

    /// Forgets the older generation of results, and begins a new one.
    pub(super) fn turn_results(&mut self) {
        self.results.swap(0, 1);
        self.results[0].clear();
    }
}

/// Reading.
impl State {
    pub(super) fn load(&self, entity: EntityId, parts: &[Part], fence: Fence) -> Option<Loaded> {
        let stored = self.entities.get(&entity)?;
        let live = self.live(entity);
        let load_part = |part: &Part| match part {
            Part::Rows(range) => LoadedPart::Rows(live.map_or_else(Vec::new, |stored| {
                page(stored.rows_in(range), Bounds::ALL, usize::MAX)
            })),
            Part::Newest(stream, bounds) => {
                LoadedPart::Newest(live.map_or_else(Vec::new, |stored| {
                    stored.entries(*stream, Span::Before(u64::MAX), *bounds, usize::MAX)
                }))
            }
        };
        Some(Loaded {
            fence,
            head: stored.head,
            parts: parts.iter().map(load_part).collect(),
            undelivered: self.undelivered_after(entity, None).collect(),
        })
    }

    pub(super) fn glance(&self, entity: EntityId, keys: &[RowKey]) -> Option<Glance> {
        let stored = self.live(entity)?;
        let newest = stored.entries(0, Span::Before(u64::MAX), Bounds::rows(1), 1);
        Some(Glance {
            head: stored.head,
            rows: keys
                .iter()
                .map(|key| stored.rows.get(key).cloned())
                .collect(),
            newest: newest.into_iter().next(),
        })
    }

    pub(super) fn row(&self, entity: EntityId, key: &RowKey) -> Option<Vec<u8>> {
        self.live(entity)?.rows.get(key).cloned()
    }

    pub(super) fn rows(&self, entity: EntityId, range: &RowRange, bounds: Bounds) -> Vec<Row> {
        self.live(entity).map_or_else(Vec::new, |stored| {
            page(stored.rows_in(range), bounds, PAGE_ROWS_MAX)
        })
    }

    pub(super) fn entries(
        &self,
        entity: EntityId,
        stream: u8,
        span: Span,
        bounds: Bounds,
    ) -> Vec<Numbered> {
        self.live(entity).map_or_else(Vec::new, |stored| {
            stored.entries(stream, span, bounds, PAGE_ROWS_MAX)
        })
    }

    pub(super) fn recall(&self, entity: EntityId, user: UserId, key: &str) -> Option<KeyedResult> {
        let key = (entity, user, Arc::from(key));
        self.results
            .iter()
            .chain([&self.lasting])
            .find_map(|results| results.get(&key))
            .cloned()
    }

    pub(super) fn list(&self, list: List, range: &RowRange, bounds: Bounds) -> Vec<Row> {
        let found = self
            .lists
            .iter()
            .filter(|((of, key), _)| *of == list && is_in(key, range))
            .map(|((_, key), row)| (key.clone(), row));
        page(found, bounds, PAGE_ROWS_MAX)
    }

    pub(super) fn claimed(&self, space: Space, key: &[u8]) -> Option<EntityId> {
        self.claims.get(&(space, key.to_vec())).copied()
    }

    pub(super) fn applied(&self, target: EntityId, from: EntityId) -> Option<Applied> {
        self.live(target)?.applied.get(&from).copied()
    }

    pub(super) fn undelivered(
        &self,
        entity: EntityId,
        after: Option<(u64, u16)>,
        limit: usize,
    ) -> Vec<Undelivered> {
        self.undelivered_after(entity, after)
            .take(limit.min(PAGE_ROWS_MAX))
            .collect()
    }

    fn undelivered_after(
        &self,
        entity: EntityId,
        after: Option<(u64, u16)>,
    ) -> impl Iterator<Item = Undelivered> {
        signals_of(&self.signals, entity)
            .filter(move |((_, version, index), _)| {
                after.is_none_or(|after| (*version, *index) > after)
            })
            .map(|(&(_, version, index), signal)| Undelivered {
                version,
                index,
                signal: signal.clone(),
            })
    }

    pub(super) fn senders(&self, after: Option<EntityId>, limit: usize) -> Vec<EntityId> {
        let mut senders: Vec<EntityId> = self
            .signals
            .keys()
            .map(|(sender, _, _)| *sender)
            .filter(|sender| after.is_none_or(|after| *sender > after))
            .collect();
        senders.dedup();
        senders.truncate(limit.min(PAGE_ROWS_MAX));
        senders
    }

    /// The entity, if it is known and has not ended.
    fn live(&self, entity: EntityId) -> Option<&Stored> {
        self.entities
            .get(&entity)
            .filter(|stored| stored.head.ended_at.is_none())
    }
}

impl Stored {
    fn rows_in(&self, range: &RowRange) -> impl Iterator<Item = (RowKey, &Vec<u8>)> {
        self.rows
            .iter()
            .filter(|(key, _)| is_in(key, range))
            .map(|(key, row)| (key.clone(), row))
    }

    fn entries(&self, stream: u8, span: Span, bounds: Bounds, rows_max: usize) -> Vec<Numbered> {
        let stream = usize::from(stream);
        let (Some(rows), Some(head)) = (self.streams.get(stream), self.head.streams.get(stream))
        else {
            return Vec::new();
        };
        let kept = rows.range(head.first..).map(|(number, row)| (*number, row));
        match span {
            Span::After(after) => {
                page(kept.filter(|(number, _)| *number > after), bounds, rows_max)
            }
            Span::Before(before) => {
                let newest_first = kept.rev().filter(|(number, _)| *number < before);
                let mut found = page(newest_first, bounds, rows_max);
                found.reverse();
                found
            }
        }
    }

    fn has_rows(&self) -> bool {
        !self.rows.is_empty()
            || !self.applied.is_empty()
            || self.streams.iter().any(|rows| !rows.is_empty())
    }

    fn remove_some(&mut self) {
        for _ in 0..PIECE_ROWS {
            self.rows.pop_first();
            self.applied.pop_first();
            for rows in &mut self.streams {
                rows.pop_first();
            }
        }
    }
}

fn put_or_remove<K: Ord, V>(rows: &mut BTreeMap<K, V>, key: K, row: Option<V>) {
    match row {
        Some(row) => rows.insert(key, row),
        None => rows.remove(&key),
    };
}

fn stream_of(head: &mut Head, stream: u8) -> Result<&mut StreamHead, StoreError> {
    head.streams
        .get_mut(usize::from(stream))
        .ok_or(StoreError::Conflict("there is no such stream"))
}

fn signals_of(
    signals: &BTreeMap<(EntityId, u64, u16), Signal>,
    entity: EntityId,
) -> impl Iterator<Item = (&(EntityId, u64, u16), &Signal)> {
    signals.range((entity, 0, 0)..=(entity, u64::MAX, u16::MAX))
}

fn is_in(key: &RowKey, range: &RowRange) -> bool {
    key.starts_with(&range.prefix)
        && range.after.as_ref().is_none_or(|after| key > after)
        && range.before.as_ref().is_none_or(|before| key < before)
}

/// The first of these rows, as many as the bounds allow: it ends before the row that would exceed one, yet has at least one.
fn page<'a, K>(
    rows: impl Iterator<Item = (K, &'a Vec<u8>)>,
    bounds: Bounds,
    rows_max: usize,
) -> Vec<(K, Vec<u8>)> {
    let rows_max = bounds.rows.min(rows_max).max(1);
    let mut found: Vec<(K, Vec<u8>)> = Vec::new();
    let mut bytes = 0;
    for (key, row) in rows.take(rows_max) {
        bytes += row.len();
        if bytes > bounds.bytes && !found.is_empty() {
            break;
        }
        found.push((key, row.clone()));
    }
    found
}
