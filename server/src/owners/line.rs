//! The durable line: what was decided and is told once it is durable.

use std::collections::VecDeque;

/// What was decided, in order. Nothing leaves it before everything ahead of it is durable, so what is told is in the order in
/// which it was decided, whichever part of it had to be stored.
#[derive(Debug)]
pub struct DurableLine<T> {
    /// The oldest first. True: durable, or nothing had to be stored for it.
    decided: VecDeque<(bool, T)>,
}

impl<T> Default for DurableLine<T> {
    fn default() -> Self {
        Self {
            decided: VecDeque::new(),
        }
    }
}

impl<T> DurableLine<T> {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.decided.is_empty()
    }

    /// Puts a decision in line; `is_durable` when nothing has to be stored for it.
    pub fn push(&mut self, decision: T, is_durable: bool) {
        self.decided.push_back((is_durable, decision));
    }

    /// The newest in line.
    pub fn last_mut(&mut self) -> Option<&mut T> {
        self.decided.back_mut().map(|(_, decision)| decision)
    }

    /// The oldest decision that was not durable is. The store reports in the order in which writes were handed over.
    pub fn written(&mut self) {
        if let Some((is_durable, _)) = self.decided.iter_mut().find(|(durable, _)| !durable) {
            *is_durable = true;
        }
    }

    /// The next decision to tell.
    pub fn next_durable(&mut self) -> Option<T> {
        self.decided
            .pop_front_if(|(is_durable, _)| *is_durable)
            .map(|(_, decision)| decision)
    }

    /// Gives the memory back in which nothing waits: a burst leaves as much as it took, and there are many entities that rest.
    pub fn shrink(&mut self) {
        if self.decided.is_empty() {
            self.decided = VecDeque::new();
        }
    }

    /// Takes everything, durable or not: the incarnation has ended.
    pub fn take_all(&mut self) -> impl Iterator<Item = T> + use<T> {
        std::mem::take(&mut self.decided)
            .into_iter()
            .map(|(_, decision)| decision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_passes_what_is_not_durable() {
        let mut line = DurableLine::default();
        line.push("first", false);
        line.push("needs nothing", true);
        line.push("last", false);
        assert_eq!(line.next_durable(), None);
        line.written();
        assert_eq!(line.next_durable(), Some("first"));
        assert_eq!(line.next_durable(), Some("needs nothing"));
        assert_eq!(line.next_durable(), None);
        line.push("behind", true);
        assert_eq!(line.take_all().collect::<Vec<_>>(), ["last", "behind"]);
        assert!(line.is_empty());
    }
}
