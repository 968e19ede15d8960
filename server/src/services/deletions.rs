//! When accounts are erased that somebody wants to be deleted.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::Notify;

/// When accounts are erased that somebody wants to be deleted.
#[derive(Clone, Debug)]
pub struct Deletions {
    grace_ms: u64,
    /// User names, folded, by which the configuration makes admins.
    admin_names: Arc<HashSet<String>>,
    due: Arc<Notify>,
}

impl Deletions {
    /// Deletions that can be taken back for so many milliseconds. By these folded names the configuration makes admins.
    pub fn new(grace_ms: u64, admin_names: HashSet<String>) -> Self {
        Self {
            grace_ms,
            admin_names: Arc::new(admin_names),
            due: Arc::default(),
        }
    }

    /// When an account is erased whose deletion is asked for now.
    pub const fn erase_at(&self, now: u64, at_once: bool) -> u64 {
        match at_once {
            true => now,
            false => now.saturating_add(self.grace_ms),
        }
    }

    /// An account is to be erased at this time.
    pub fn asked(&self, erase_at: u64, now: u64) {
        if erase_at <= now {
            self.due.notify_one();
        }
    }

    /// Waits until one is due that was asked for without a time of grace.
    pub(super) async fn come_due(&self) {
        self.due.notified().await;
    }

    /// Whether the configuration makes whoever has this folded name an admin.
    pub(super) fn makes_admin(&self, folded: &str) -> bool {
        self.admin_names.contains(folded)
    }
}
