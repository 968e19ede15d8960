//! Attempts under one key, which wait for each other.
//!
//! A call goes on when its connection is gone, so that its turn ends only when what it asked for is decided and durable.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use pitturu_protocol::ids::UserId;
use tokio::sync::OwnedMutexGuard;

type KeyId = (UserId, String);

/// The keys under which calls are under way.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    under_way: Arc<Mutex<HashMap<KeyId, Arc<tokio::sync::Mutex<()>>>>>,
}

/// A key's turn. The next attempt has it when this is dropped.
#[derive(Debug)]
pub(super) struct Attempt {
    under_way: Arc<Mutex<HashMap<KeyId, Arc<tokio::sync::Mutex<()>>>>>,
    id: KeyId,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Attempts {
    /// Waits until no other attempt under this key is under way. What it has brought about is durable then.
    pub(super) async fn begin(&self, user: UserId, key: &str) -> Attempt {
        let id = (user, key.to_owned());
        let turns = Arc::clone(self.under_way.lock().entry(id.clone()).or_default());
        // It is there before the wait: an attempt that is given up while it waits cleans up as well.
        let mut attempt = Attempt {
            under_way: Arc::clone(&self.under_way),
            id,
            turn: None,
        };
        attempt.turn = Some(turns.lock_owned().await);
        attempt
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let mut under_way = self.under_way.lock();
        self.turn = None;
        // One is the map's own: nobody has a turn or waits for one.
        let is_last = under_way
            .get(&self.id)
            .is_some_and(|turns| Arc::strong_count(turns) == 1);
        if is_last {
            under_way.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn attempts_under_one_key_come_one_after_the_other() {
        let attempts = Attempts::default();
        let user = UserId::from_bytes([1; 10]);
        let first = attempts.begin(user, "k").await;
        let other = attempts.begin(user, "other").await;
        let moment = Duration::from_millis(10);
        let second = tokio::time::timeout(moment, attempts.begin(user, "k")).await;
        assert!(second.is_err(), "it has its turn beside another");
        drop(first);
        drop(attempts.begin(user, "k").await);
        drop(other);
        assert!(attempts.under_way.lock().is_empty());
    }
}
