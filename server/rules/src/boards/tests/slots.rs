//! The sorted list of slots against a sorted vector, large enough for groups to be cut and to be taken up.

use crate::boards::slots::SlotList;

/// Keys by slot: any order but that of slots.
fn key_of(slot: u32) -> u64 {
    u64::from(slot).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

struct Pair {
    list: SlotList<u64>,
    model: Vec<(u64, u32)>,
}

impl Pair {
    fn insert(&mut self, slot: u32) {
        let key = key_of(slot);
        let Err(index) = self.model.binary_search(&(key, slot)) else {
            return;
        };
        self.model.insert(index, (key, slot));
        assert_eq!(self.list.position(&key, key_of), index);
        assert_eq!(self.list.insert(slot, key, key_of), index);
    }

    fn remove(&mut self, slot: u32) {
        let key = key_of(slot);
        let removed = self.list.remove(&key, key_of);
        match self.model.binary_search(&(key, slot)) {
            Ok(index) => {
                self.model.remove(index);
                assert_eq!(removed, Some((index, slot)));
            }
            Err(_) => assert_eq!(removed, None),
        }
        assert_eq!(self.list.find(&key, key_of), None);
    }

    fn check(&self) {
        self.list.check(key_of);
        assert_eq!(self.list.len(), self.model.len());
        let slots = self.model.iter().map(|&(_, slot)| slot);
        assert!(self.list.range(0..usize::MAX).eq(slots));
        let len = self.model.len();
        for position in [0, 1, len / 3, len / 2, len.saturating_sub(1), len, len + 1] {
            let at = self.model.get(position).map(|&(_, slot)| slot);
            assert_eq!(self.list.at(position), at);
            if let Some(slot) = at {
                assert_eq!(self.list.find(&key_of(slot), key_of), at);
            }
            let some = self
                .list
                .range(position..position + 700)
                .collect::<Vec<_>>();
            let end = (position + 700).min(len);
            let model = self.model.get(position..end).unwrap_or_default();
            assert!(model.iter().map(|&(_, slot)| slot).eq(some));
        }
    }
}

#[test]
fn a_list_agrees_with_a_sorted_vector_while_it_grows_and_shrinks() {
    const SLOTS: u32 = 80_000;
    let mut random = fastrand::Rng::with_seed(11);
    let mut pair = Pair {
        list: SlotList::new(),
        model: Vec::new(),
    };
    pair.check();
    // Groups are cut at 64 × 128 slots or more: there are several.
    for step in 0..160_000 {
        pair.insert(random.u32(..SLOTS));
        if step % 4 == 0 {
            pair.remove(random.u32(..SLOTS));
        }
        if step % 20_000 == 0 {
            pair.check();
        }
    }
    pair.check();
    let at_most = pair.list.bytes();
    for step in 0..400_000 {
        pair.remove(random.u32(..SLOTS));
        if step % 50_000 == 0 {
            pair.check();
        }
    }
    pair.check();
    assert!(pair.model.len() < 1_000 && pair.list.bytes() < at_most / 20);
    for slot in 0..SLOTS {
        pair.remove(slot);
    }
    pair.check();
    assert_eq!(pair.list.len(), 0);
    for slot in 0..1_000 {
        pair.insert(slot);
    }
    pair.check();
}

#[test]
fn a_list_made_in_bulk_is_that_of_single_inserts() {
    for len in [0_u32, 1, 191, 192, 193, 18_432, 18_433, 50_000] {
        let mut model: Vec<_> = (0..len).map(|slot| (key_of(slot), slot)).collect();
        model.sort_unstable();
        let slots = model.iter().map(|&(_, slot)| slot);
        let list = SlotList::from_sorted(slots, key_of);
        let mut pair = Pair { list, model };
        pair.check();
        for slot in len..len + 600 {
            pair.insert(slot);
        }
        for slot in (0..len).step_by(3) {
            pair.remove(slot);
        }
        pair.check();
    }
}

#[test]
fn ascending_and_descending_keys_leave_no_holes() {
    // Best scores come in at one end: neither end may leave chunks that are nearly empty.
    for descending in [false, true] {
        let mut list = SlotList::new();
        let key_of = |slot: u32| {
            if descending {
                -i64::from(slot)
            } else {
                slot.into()
            }
        };
        for slot in 0..50_000 {
            list.insert(slot, key_of(slot), key_of);
        }
        list.check(key_of);
        assert_eq!(list.len(), 50_000);
        assert!(list.bytes() < 50_000 * 6);
        let mut slots: Vec<_> = list.range(0..50_000).collect();
        if descending {
            slots.reverse();
        }
        assert!(slots.into_iter().eq(0..50_000));
    }
}
