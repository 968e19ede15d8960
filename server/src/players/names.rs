//! Display names in memory, for everybody who shows them.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use pitturu_protocol::ids::UserId;

/// Most display names that are remembered: one half of them young, one half old.
const NAMES_REMEMBERED_MAX: usize = 20_000;

/// Display names that were read lately.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<Generations>);

/// Display names in two generations: when the young one is full it becomes the old one, and what was old is forgotten.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<UserId, Arc<str>>,
    old: HashMap<UserId, Arc<str>>,
    /// Counts changes of names, so that a name read before a change is not remembered after it.
    epoch: u64,
}

impl Names {
    /// The name, if it is remembered, and what [`Self::put`] needs if it is not.
    pub(super) fn get(&self, user: UserId) -> (Option<Arc<str>>, u64) {
        let mut names = self.0.lock();
        let epoch = names.epoch;
        (names.get(user), epoch)
    }

    /// Remembers a name that was read, unless one has changed since.
    pub(super) fn put(&self, user: UserId, name: Arc<str>, epoch: u64) {
        self.0.lock().put(user, name, epoch);
    }

    /// A player's name has changed. To be called when that is durable.
    pub(super) fn forget(&self, user: UserId) {
        self.0.lock().forget(user);
    }
}

impl Generations {
    fn get(&mut self, user: UserId) -> Option<Arc<str>> {
        if let Some(name) = self.young.get(&user) {
            return Some(Arc::clone(name));
        }
        let name = self.old.remove(&user)?;
        self.put(user, Arc::clone(&name), self.epoch);
        Some(name)
    }

    fn put(&mut self, user: UserId, name: Arc<str>, epoch: u64) {
        if epoch != self.epoch {
            return;
        }
        if self.young.len() >= NAMES_REMEMBERED_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(user, name);
    }

    fn forget(&mut self, user: UserId) {
        self.epoch += 1;
        self.young.remove(&user);
        self.old.remove(&user);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembered_names_are_bounded_and_used_ones_stay() {
        let mut names = Generations::default();
        let user = |n: u64| {
            let mut bytes = [0; 10];
            bytes[2..].copy_from_slice(&n.to_be_bytes());
            UserId::from_bytes(bytes)
        };
        names.put(user(0), "first".into(), 0);
        for n in 1..100_000 {
            names.put(user(n), "x".into(), 0);
            assert_eq!(names.get(user(0)).as_deref(), Some("first"));
        }
        assert!(names.young.len() + names.old.len() <= NAMES_REMEMBERED_MAX);
        names.forget(user(0));
        assert_eq!(names.get(user(0)), None);
        names.put(user(0), "read before the change".into(), 0);
        assert_eq!(names.get(user(0)), None);
    }
}
