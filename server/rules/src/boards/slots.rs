//! A sorted list of slots that knows each one's position.
//!
//! Three levels of fixed height: groups of chunks of slots, each level sorted and with counts. A position is the sum of the
//! counts before it, which lie side by side in memory: a few thousand additions at ten million slots. A slot is four bytes;
//! its key is asked of whoever owns it, and only the least key of a chunk is kept here, so that a search asks for no more
//! than one chunk's worth of keys.
//!
//! A chunk holds what it needs and little more: it grows and shrinks by [`STEP`], is cut in halves when it is full, and takes
//! up its neighbour when both have become small. Growing never moves more than one chunk and the heads around it: there is
//! no moment at which the whole list is copied, as there is when a hash table doubles.

use std::ops::Range;

/// Most slots of a chunk.
const CHUNK_SLOTS_MAX: usize = 256;

/// Slots by which a chunk's room grows and shrinks: 64 bytes, so that allocators add nothing.
const STEP: usize = 16;

/// Most chunks of a group.
const GROUP_CHUNKS_MAX: usize = 128;

/// Slots of a chunk, and chunks of a group, that were made in bulk, in quarters of the most: the first inserts find room.
const BULK_QUARTERS: usize = 3;

/// A neighbour is taken up when both together have no more than this part of the most, so that the next insert does not
/// cut them again.
const MERGED_PART: usize = 2;

/// A sorted list of slots. Keys are unique; `key_of` is to give the same key for a slot as long as the slot is listed.
#[derive(Clone, Debug)]
pub(super) struct SlotList<K> {
    groups: Vec<Group<K>>,
    len: usize,
}

#[derive(Clone, Debug)]
struct Group<K> {
    /// No key of the group is less, and each key of the group before it is.
    floor: K,
    len: usize,
    chunks: Vec<Chunk<K>>,
}

#[derive(Clone, Debug)]
struct Chunk<K> {
    /// No key of the chunk is less, and each key of the chunk before it is.
    floor: K,
    slots: Vec<u32>,
}

/// Where a key is, or would be.
struct Place {
    group: usize,
    chunk: usize,
    /// Index in the chunk: of the key, or of the first that is greater.
    index: usize,
    found: bool,
}

impl<K: Copy + Ord> SlotList<K> {
    /// An empty list.
    pub(super) const fn new() -> Self {
        Self {
            groups: Vec::new(),
            len: 0,
        }
    }

    /// The list of these slots, which are sorted by key.
    pub(super) fn from_sorted(
        slots: impl IntoIterator<Item = u32>,
        key_of: impl Fn(u32) -> K,
    ) -> Self {
        let mut list = Self::new();
        let mut slots = slots.into_iter();
        loop {
            let mut chunk = Vec::new();
            for slot in slots.by_ref().take(CHUNK_SLOTS_MAX * BULK_QUARTERS / 4) {
                make_room(&mut chunk);
                chunk.push(slot);
            }
            let Some(&first) = chunk.first() else {
                return list;
            };
            list.push_chunk(Chunk {
                floor: key_of(first),
                slots: chunk,
            });
        }
    }

    fn push_chunk(&mut self, chunk: Chunk<K>) {
        let len = chunk.slots.len();
        self.len += len;
        match self.groups.last_mut() {
            Some(group) if group.chunks.len() < GROUP_CHUNKS_MAX * BULK_QUARTERS / 4 => {
                group.len += len;
                group.chunks.push(chunk);
            }
            _ => self.groups.push(Group {
                floor: chunk.floor,
                len,
                chunks: vec![chunk],
            }),
        }
    }

    /// How many slots there are.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// The slot with this key.
    pub(super) fn find(&self, key: &K, key_of: impl Fn(u32) -> K) -> Option<u32> {
        let place = self.locate(key, key_of)?;
        let chunk = &self.groups[place.group].chunks[place.chunk];
        place.found.then(|| chunk.slots[place.index])
    }

    /// How many keys are less than this one, which need not be there.
    pub(super) fn position(&self, key: &K, key_of: impl Fn(u32) -> K) -> usize {
        self.locate(key, key_of)
            .map_or(0, |place| self.position_of(&place))
    }

    /// The slot with so many before it.
    pub(super) fn at(&self, position: usize) -> Option<u32> {
        self.range(position..position.saturating_add(1)).next()
    }

    /// The slots at these positions, as far as there are any.
    pub(super) fn range(&self, positions: Range<usize>) -> impl Iterator<Item = u32> + '_ {
        let end = positions.end.min(self.len);
        let wanted = end.saturating_sub(positions.start);
        let mut before = positions.start.min(self.len);
        let group = pass(&self.groups, &mut before, |group| group.len);
        let (chunks, later) = match self.groups[group..].split_first() {
            Some((group, later)) => {
                let chunk = pass(&group.chunks, &mut before, |chunk| chunk.slots.len());
                (&group.chunks[chunk..], later)
            }
            None => (&[][..], &[][..]),
        };
        chunks
            .iter()
            .chain(later.iter().flat_map(|group| &group.chunks))
            .scan(before, |skipped, chunk| {
                Some(&chunk.slots[std::mem::take(skipped)..])
            })
            .flatten()
            .copied()
            .take(wanted)
    }

    /// Lists a slot under this key, which no other has, and says how many are before it.
    pub(super) fn insert(&mut self, slot: u32, key: K, key_of: impl Fn(u32) -> K) -> usize {
        self.split_full(&key, &key_of);
        let Some(place) = self.locate(&key, key_of) else {
            self.push_chunk(Chunk {
                floor: key,
                slots: vec![slot],
            });
            return 0;
        };
        let position = self.position_of(&place);
        self.len += 1;
        let group = &mut self.groups[place.group];
        group.len += 1;
        group.floor = group.floor.min(key);
        let chunk = &mut group.chunks[place.chunk];
        chunk.floor = chunk.floor.min(key);
        make_room(&mut chunk.slots);
        chunk.slots.insert(place.index, slot);
        position
    }

    /// Cuts the chunk that this key belongs to, and its group, if they are full. Before the insert, for a floor is asked of a
    /// slot that is listed: the new slot's key may not be known yet to whoever owns it.
    fn split_full(&mut self, key: &K, key_of: impl Fn(u32) -> K) {
        let Some((group_index, chunk_index)) = self.chunk_for(key) else {
            return;
        };
        let group = &mut self.groups[group_index];
        let chunk = &mut group.chunks[chunk_index];
        if chunk.slots.len() < CHUNK_SLOTS_MAX {
            return;
        }
        let upper = chunk.slots.split_off(CHUNK_SLOTS_MAX / 2);
        chunk.slots.shrink_to_fit();
        let floor = key_of(upper[0]);
        let upper = Chunk {
            floor,
            slots: upper,
        };
        group.chunks.insert(chunk_index + 1, upper);
        if group.chunks.len() < GROUP_CHUNKS_MAX {
            return;
        }
        let chunks = group.chunks.split_off(GROUP_CHUNKS_MAX / 2);
        let len = chunks.iter().map(|chunk| chunk.slots.len()).sum();
        group.len -= len;
        let floor = chunks[0].floor;
        self.groups
            .insert(group_index + 1, Group { floor, len, chunks });
    }

    /// Takes the slot with this key out, and says how many were before it.
    pub(super) fn remove(&mut self, key: &K, key_of: impl Fn(u32) -> K) -> Option<(usize, u32)> {
        let place = self.locate(key, key_of).filter(|place| place.found)?;
        let position = self.position_of(&place);
        self.len -= 1;
        let group = &mut self.groups[place.group];
        group.len -= 1;
        let slot = group.chunks[place.chunk].slots.remove(place.index);
        group.tidy(place.chunk);
        self.tidy(place.group);
        Some((position, slot))
    }

    /// Takes up the group after this one if both are small, and drops this one if it is empty.
    fn tidy(&mut self, index: usize) {
        if self.groups[index].chunks.is_empty() {
            self.groups.remove(index);
            return;
        }
        let chunks = self.groups[index].chunks.len();
        let next = self.groups.get(index + 1).map(|group| group.chunks.len());
        if next.is_some_and(|next| chunks + next <= GROUP_CHUNKS_MAX / MERGED_PART) {
            let next = self.groups.remove(index + 1);
            let group = &mut self.groups[index];
            group.len += next.len;
            group.chunks.extend(next.chunks);
        }
    }

    /// Group and chunk in which this key is, or would be.
    fn chunk_for(&self, key: &K) -> Option<(usize, usize)> {
        let group = last_at_most(&self.groups, |group| group.floor <= *key);
        let chunks = &self.groups.get(group)?.chunks;
        Some((group, last_at_most(chunks, |chunk| chunk.floor <= *key)))
    }

    fn locate(&self, key: &K, key_of: impl Fn(u32) -> K) -> Option<Place> {
        let (group, chunk) = self.chunk_for(key)?;
        let slots = &self.groups[group].chunks[chunk].slots;
        let (index, found) = match slots.binary_search_by_key(key, |&slot| key_of(slot)) {
            Ok(index) => (index, true),
            Err(index) => (index, false),
        };
        Some(Place {
            group,
            chunk,
            index,
            found,
        })
    }

    fn position_of(&self, place: &Place) -> usize {
        let groups = self.groups[..place.group].iter().map(|group| group.len);
        let chunks = self.groups[place.group].chunks[..place.chunk]
            .iter()
            .map(|chunk| chunk.slots.len());
        groups.sum::<usize>() + chunks.sum::<usize>() + place.index
    }

    /// Bytes that the list has allocated.
    pub(super) fn bytes(&self) -> usize {
        let chunks = self.groups.iter().flat_map(|group| &group.chunks);
        let slots: usize = chunks.map(|chunk| chunk.slots.capacity()).sum();
        let heads: usize = self
            .groups
            .iter()
            .map(|group| group.chunks.capacity())
            .sum();
        slots * size_of::<u32>()
            + heads * size_of::<Chunk<K>>()
            + self.groups.capacity() * size_of::<Group<K>>()
    }

    /// Whether everything that is promised above holds.
    #[cfg(test)]
    pub(super) fn check(&self, key_of: impl Fn(u32) -> K) {
        let mut last = None;
        let mut len = 0;
        for group in &self.groups {
            assert!(!group.chunks.is_empty() && group.chunks.len() <= GROUP_CHUNKS_MAX);
            assert!(last.is_none_or(|last| last < group.floor));
            let of_chunks: usize = group.chunks.iter().map(|chunk| chunk.slots.len()).sum();
            assert_eq!(group.len, of_chunks);
            len += group.len;
            for chunk in &group.chunks {
                assert!(!chunk.slots.is_empty() && chunk.slots.len() <= CHUNK_SLOTS_MAX);
                assert!(chunk.slots.capacity() < chunk.slots.len() + 2 * STEP);
                assert!(last.is_none_or(|last| last < chunk.floor));
                assert!(group.floor <= chunk.floor && chunk.floor <= key_of(chunk.slots[0]));
                for &slot in &chunk.slots {
                    assert!(last.is_none_or(|last| last < key_of(slot)));
                    last = Some(key_of(slot));
                }
            }
        }
        assert_eq!(self.len, len);
    }
}

impl<K> Group<K> {
    /// Gives room back, takes up the chunk after this one if both are small, and drops this one if it is empty.
    fn tidy(&mut self, index: usize) {
        let len = self.chunks[index].slots.len();
        if len == 0 {
            self.chunks.remove(index);
            return;
        }
        let next = self.chunks.get(index + 1).map(|chunk| chunk.slots.len());
        if next.is_some_and(|next| len + next <= CHUNK_SLOTS_MAX / MERGED_PART) {
            let next = self.chunks.remove(index + 1);
            let slots = &mut self.chunks[index].slots;
            slots.reserve_exact(next.slots.len());
            slots.extend(next.slots);
        }
        let slots = &mut self.chunks[index].slots;
        if slots.capacity() >= slots.len() + 2 * STEP {
            slots.shrink_to(slots.len().next_multiple_of(STEP));
        }
    }
}

/// The last of these that is true, or the first if none is; those that are come first.
fn last_at_most<T>(items: &[T], is: impl Fn(&T) -> bool) -> usize {
    items.partition_point(is).saturating_sub(1)
}

/// The index of the item in which what comes after so many others lies; `before` is then counted from its beginning.
fn pass<T>(items: &[T], before: &mut usize, len: impl Fn(&T) -> usize) -> usize {
    let holds = |item: &T| {
        let len = len(item);
        let holds = *before < len;
        if !holds {
            *before -= len;
        }
        holds
    };
    items.iter().position(holds).unwrap_or(items.len())
}

/// Room for one more, without the doubling of a vector.
fn make_room(slots: &mut Vec<u32>) {
    if slots.len() == slots.capacity() {
        slots.reserve_exact(STEP);
    }
}
