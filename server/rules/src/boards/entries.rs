//! Where a board keeps its entries: slots of 29 bytes in pages, used again once they are free.

use std::collections::BTreeMap;

use pitturu_protocol::ids::{ID_BYTES, UserId};

/// Entries of a page: about 32 KiB, a size that allocators have.
const PAGE: usize = 1_129;

/// Bytes of a score: 54 bits hold the scores of both signs, see [`SCORE_MAX`](super::SCORE_MAX).
const SCORE_BYTES: usize = 7;

/// Bytes of a number and of a time.
const U48_BYTES: usize = 6;

/// Greatest number and time that fit into an entry.
pub(super) const U48_MAX: u64 = (1 << 48) - 1;

/// An entry without its metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) player: UserId,
    pub(super) score: i64,
    pub(super) number: u64,
    pub(super) at: u64,
}

/// [`Kept`] in as few bytes as it has information: at millions of entries, alignment would cost more than unpacking.
#[derive(Clone, Copy, Debug)]
struct Packed {
    player: [u8; ID_BYTES],
    score: [u8; SCORE_BYTES],
    number: [u8; U48_BYTES],
    at: [u8; U48_BYTES],
}

impl Packed {
    fn new(kept: &Kept) -> Self {
        Self {
            player: *kept.player.as_bytes(),
            score: first_bytes(kept.score.to_le_bytes()),
            number: first_bytes(kept.number.to_le_bytes()),
            at: first_bytes(kept.at.to_le_bytes()),
        }
    }

    fn score(&self) -> i64 {
        // The upper seven bytes of eight: shifting them down repeats the sign.
        let mut bytes = [0; 8];
        bytes[8 - SCORE_BYTES..].copy_from_slice(&self.score);
        i64::from_le_bytes(bytes) >> (8 * (8 - SCORE_BYTES))
    }
}

fn first_bytes<const N: usize>(bytes: [u8; 8]) -> [u8; N] {
    std::array::from_fn(|index| bytes[index])
}

fn from_u48(bytes: [u8; U48_BYTES]) -> u64 {
    let mut all = [0; 8];
    all[..U48_BYTES].copy_from_slice(&bytes);
    u64::from_le_bytes(all)
}

/// Entries by slot. A slot is an entry's for as long as the entry is there.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries {
    /// Full but for the last one.
    pages: Vec<Vec<Packed>>,
    /// Slots whose entries were taken out.
    free: Vec<u32>,
    /// Metadata of those that have any.
    metadata: BTreeMap<u32, Box<[u8]>>,
}

impl Entries {
    /// Puts an entry into a free slot.
    pub(super) fn add(&mut self, kept: &Kept) -> u32 {
        let packed = Packed::new(kept);
        if let Some(slot) = self.free.pop() {
            *self.packed_mut(slot) = packed;
            return slot;
        }
        if self.pages.last().is_none_or(|page| page.len() == PAGE) {
            self.pages.push(Vec::new());
        }
        let index = self.pages.len() - 1;
        let page = &mut self.pages[index];
        if page.len() == page.capacity() {
            // Small boards are many, so a page begins small.
            let more = page.len().max(4).min(PAGE - page.len());
            page.reserve_exact(more);
        }
        page.push(packed);
        u32::try_from(index * PAGE + page.len() - 1).expect("a board has fewer entries than 2^32")
    }

    /// Replaces the entry of this slot.
    pub(super) fn set(&mut self, slot: u32, kept: &Kept) {
        *self.packed_mut(slot) = Packed::new(kept);
    }

    /// Frees a slot, with its metadata.
    pub(super) fn free(&mut self, slot: u32) {
        self.metadata.remove(&slot);
        self.free.push(slot);
    }

    /// Replaces the metadata of this slot; none is none.
    pub(super) fn set_metadata(&mut self, slot: u32, metadata: &[u8]) {
        if metadata.is_empty() {
            self.metadata.remove(&slot);
        } else {
            self.metadata.insert(slot, metadata.into());
        }
    }

    /// The entry of this slot.
    pub(super) fn get(&self, slot: u32) -> Kept {
        let packed = self.packed(slot);
        Kept {
            player: UserId::from_bytes(packed.player),
            score: packed.score(),
            number: from_u48(packed.number),
            at: from_u48(packed.at),
        }
    }

    /// Its player.
    pub(super) fn player(&self, slot: u32) -> UserId {
        UserId::from_bytes(self.packed(slot).player)
    }

    /// Its score, and the number at which it was reached.
    pub(super) fn score(&self, slot: u32) -> (i64, u64) {
        let packed = self.packed(slot);
        (packed.score(), from_u48(packed.number))
    }

    /// Its metadata, empty if it has none.
    pub(super) fn metadata(&self, slot: u32) -> &[u8] {
        self.metadata.get(&slot).map_or(&[], |metadata| metadata)
    }

    /// Bytes that are allocated, but for metadata.
    pub(super) fn bytes(&self) -> usize {
        let entries: usize = self.pages.iter().map(Vec::capacity).sum();
        entries * size_of::<Packed>()
            + self.pages.capacity() * size_of::<Vec<Packed>>()
            + self.free.capacity() * size_of::<u32>()
    }

    /// Slots, used and free.
    #[cfg(test)]
    pub(super) fn slots(&self) -> usize {
        self.pages.iter().map(Vec::len).sum()
    }

    fn packed(&self, slot: u32) -> &Packed {
        let slot = slot as usize;
        &self.pages[slot / PAGE][slot % PAGE]
    }

    fn packed_mut(&mut self, slot: u32) -> &mut Packed {
        let slot = slot as usize;
        &mut self.pages[slot / PAGE][slot % PAGE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boards::SCORE_MAX;

    #[test]
    fn an_entry_is_kept_as_it_is() {
        for score in [0, 1, -1, 255, -256, SCORE_MAX, -SCORE_MAX, -SCORE_MAX / 3] {
            for number in [0, 1, 1 << 40, U48_MAX] {
                let kept = Kept {
                    player: UserId::from_bytes([7, 0, 255, 3, 4, 5, 6, 7, 8, 9]),
                    score,
                    number,
                    at: U48_MAX - number,
                };
                let mut entries = Entries::default();
                let slot = entries.add(&kept);
                assert_eq!(entries.get(slot), kept);
                assert_eq!(entries.score(slot), (score, number));
                assert_eq!(entries.player(slot), kept.player);
            }
        }
        assert_eq!(size_of::<Packed>(), 29);
    }

    #[test]
    fn a_free_slot_is_used_again_without_what_it_held() {
        let kept = |byte| Kept {
            player: UserId::from_bytes([byte; ID_BYTES]),
            score: i64::from(byte),
            number: u64::from(byte),
            at: 0,
        };
        let mut entries = Entries::default();
        let first = entries.add(&kept(1));
        entries.set_metadata(first, b"sword");
        let second = entries.add(&kept(2));
        entries.free(first);
        assert_eq!(entries.add(&kept(3)), first);
        assert_eq!(entries.metadata(first), b"");
        assert_eq!(entries.get(second), kept(2));
        assert_eq!(entries.slots(), 2);
        let more: Vec<u32> = (0..2 * PAGE).map(|_| entries.add(&kept(9))).collect();
        assert!(more.iter().all(|&slot| entries.get(slot) == kept(9)));
    }
}
