//! The named points at which the process can be ended.

/// Points at which the process can die while it writes.
pub(super) const OF_WRITES: &[&str] = &[
    "owner.decided",
    "owner.handed_over",
    "store.group",
    "store.commit",
    "store.synced",
    "store.reported",
    "owner.reported",
    "room.durable",
    "room.told",
    "signal.sent",
    "signal.applied",
    "signal.answered",
];

/// Points at which it can die while it recovers from a failure, or starts.
pub(super) const OF_RECOVERY: &[&str] = &["store.reopen", "store.reopened", "store.repeated"];

/// Points at which it can die while it makes a backup.
pub(super) const OF_BACKUPS: &[&str] = &["backup.copied", "backup.checked", "backup.written"];
