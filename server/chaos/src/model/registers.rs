//! A register: something that has one value at a time, of which writers are told when they have written it.

use super::actions::Action;

/// One write.
#[derive(Clone, Debug)]
pub(super) struct Write<V> {
    /// What was written.
    pub value: V,
    /// It did not take effect before this line.
    pub begins: usize,
    /// It took effect before this line, if it did.
    pub ends: usize,
    /// Whether it took effect for sure.
    pub is_sure: bool,
}

impl<V> Write<V> {
    /// What an action wrote, unless it was refused.
    pub(super) fn of(action: &Action, value: V) -> Option<Self> {
        (!action.is_refused()).then_some(Self {
            value,
            begins: action.begins,
            ends: action.ends,
            is_sure: action.is_done(),
        })
    }

    /// What was there before anybody wrote.
    pub(super) const fn first(value: V) -> Self {
        Self {
            value,
            begins: 0,
            ends: 0,
            is_sure: true,
        }
    }
}

/// Whether the register may hold `value` after these writes: some write of it may have been the last.
pub(super) fn may_hold<V: PartialEq>(writes: &[Write<V>], value: &V) -> bool {
    writes
        .iter()
        .filter(|write| write.value == *value)
        .any(|write| {
            !writes
                .iter()
                .any(|later| later.is_sure && later.value != *value && later.begins > write.ends)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(value: u8, begins: usize, ends: usize, is_sure: bool) -> Write<u8> {
        Write {
            value,
            begins,
            ends,
            is_sure,
        }
    }

    #[test]
    fn only_what_may_be_the_last_write_is_held() {
        let writes = [
            Write::first(0),
            write(1, 10, 20, true),
            write(2, 30, 40, true),
        ];
        assert!(may_hold(&writes, &2));
        assert!(!may_hold(&writes, &1));
        assert!(!may_hold(&writes, &0));
        assert!(!may_hold(&writes, &3));
    }

    #[test]
    fn writes_at_the_same_time_may_come_in_either_order() {
        let writes = [write(1, 10, 30, true), write(2, 20, 40, true)];
        assert!(may_hold(&writes, &1) && may_hold(&writes, &2));
    }

    #[test]
    fn an_unsure_write_may_come_late_or_never() {
        let unbounded = [write(1, 10, usize::MAX, false), write(2, 30, 40, true)];
        assert!(may_hold(&unbounded, &1) && may_hold(&unbounded, &2));
        let bounded = [write(1, 10, 25, false), write(2, 30, 40, true)];
        assert!(!may_hold(&bounded, &1));
    }
}
