//! The master keys in use, which may be replaced at any time.

use std::sync::Arc;

use parking_lot::RwLock;
use pitturu_rules::accounts::Hidden;
use pitturu_store::master_keys::{MasterKeys, MasterKeysError};

use crate::random::random_bytes;

/// Shares the master keys among those who sign and derive.
#[derive(Clone, Debug)]
pub struct Masters(Arc<RwLock<MasterKeys>>);

impl Masters {
    /// These keys.
    pub fn new(keys: MasterKeys) -> Self {
        Self(Arc::new(RwLock::new(keys)))
    }

    /// The key for what is new.
    pub fn newest(&self) -> Hidden<[u8; 32]> {
        Hidden(self.0.read().newest().secret.0)
    }

    /// All keys, newest first.
    pub fn all(&self) -> Vec<Hidden<[u8; 32]>> {
        let keys = self.0.read();
        keys.all().map(|key| Hidden(key.secret.0)).collect()
    }

    /// Whether the newest key has this age in milliseconds.
    pub fn is_older(&self, age_ms: u64, now: u64) -> bool {
        now.saturating_sub(self.0.read().newest().created_at) >= age_ms
    }

    /// Draws a new key, and keeps the others for `kept_ms` milliseconds after they were replaced. It writes a file: off the threads that
    /// serve.
    ///
    /// # Errors
    /// [`MasterKeysError::Io`]: the keys are as they were.
    pub async fn rotate(&self, now: u64, kept_ms: u64) -> Result<(), MasterKeysError> {
        let keys = Arc::clone(&self.0);
        let rotate = move || {
            let mut rotated = keys.read().clone();
            rotated.add(random_bytes(), now, kept_ms)?;
            *keys.write() = rotated;
            Ok(())
        };
        let done = tokio::task::spawn_blocking(rotate);
        done.await.expect("it does not panic")?;
        tracing::info!("made a new master key");
        Ok(())
    }
}
