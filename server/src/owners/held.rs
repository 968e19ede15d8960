//! Answers that are durable, and held until another entity has applied what the call tells it: whoever hears the answer finds the
//! other in line with it.

use std::collections::BTreeSet;

use pitturu_store::clock::Steady;
use pitturu_store::entities::EntityId;

use super::signals::Receipt;

/// How long an answer is held at most, in milliseconds.
const HOLD_MS: u64 = 250;

#[derive(Debug)]
struct Held<T> {
    /// Whose answer is missing.
    by: BTreeSet<EntityId>,
    version: u64,
    until: Steady,
    answer: T,
}

/// The answers that an entity holds.
#[derive(Debug)]
pub struct HeldAnswers<T> {
    held: Vec<Held<T>>,
}

impl<T> Default for HeldAnswers<T> {
    fn default() -> Self {
        Self { held: Vec::new() }
    }
}

impl<T> HeldAnswers<T> {
    /// Holds an answer until each of these has applied the signals of this version, or can't now, or it has taken too long.
    pub fn hold(&mut self, by: BTreeSet<EntityId>, version: u64, now: Steady, answer: T) {
        self.held.push(Held {
            by,
            version,
            until: now.after_ms(HOLD_MS),
            answer,
        });
    }

    /// Whether none is held.
    pub const fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The answers that waited for this.
    pub fn answered(&mut self, receipt: &Receipt) -> Vec<T> {
        for held in &mut self.held {
            if receipt.up_to.is_none_or(|up_to| up_to >= held.version) {
                held.by.remove(&receipt.by);
            }
        }
        self.take(|held| held.by.is_empty())
    }

    /// The answers that have waited long enough.
    pub fn overdue(&mut self, now: Steady) -> Vec<T> {
        self.take(|held| now >= held.until)
    }

    /// All answers: this life has ended.
    pub fn take_all(&mut self) -> Vec<T> {
        self.take(|_| true)
    }

    fn take(&mut self, is_over: impl Fn(&Held<T>) -> bool) -> Vec<T> {
        let over = self.held.extract_if(.., |held| is_over(held));
        over.map(|held| held.answer).collect()
    }
}

#[cfg(test)]
mod tests {
    use pitturu_store::entities::Kind;

    use super::*;

    fn entity(number: u8) -> EntityId {
        EntityId::new(Kind(number), [number; 10])
    }

    fn receipt(by: u8, up_to: Option<u64>) -> Receipt {
        Receipt {
            to: entity(1),
            by: entity(by),
            up_to,
        }
    }

    #[test]
    fn an_answer_waits_for_its_own_target_and_version() {
        let mut held = HeldAnswers::default();
        let by = |numbers: &[u8]| numbers.iter().map(|number| entity(*number)).collect();
        held.hold(by(&[2]), 5, Steady::at_ms(0), "five");
        held.hold(by(&[2]), 6, Steady::at_ms(0), "six");
        held.hold(by(&[3]), 5, Steady::at_ms(10), "other");
        assert!(held.answered(&receipt(2, Some(4))).is_empty());
        assert!(held.answered(&receipt(4, Some(9))).is_empty());
        assert_eq!(held.answered(&receipt(2, Some(5))), ["five"]);
        assert_eq!(held.answered(&receipt(2, None)), ["six"], "it can't now");
        assert!(held.overdue(Steady::at_ms(HOLD_MS + 9)).is_empty());
        assert_eq!(held.overdue(Steady::at_ms(HOLD_MS + 10)), ["other"]);
        assert!(held.is_empty());
        held.hold(by(&[2, 3]), 5, Steady::at_ms(0), "both");
        assert!(held.answered(&receipt(3, Some(7))).is_empty());
        assert_eq!(held.answered(&receipt(2, Some(5))), ["both"]);
    }
}
