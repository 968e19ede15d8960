//! The keys behind tokens: those that sign access tokens. Each is worth nothing without a master key, which the store has not
//! ([`master_keys`](crate::master_keys)). Beside them, secrets from which ids of what is stored follow.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::error::StoreError;

/// A key that logs don't show.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub [u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hidden")
    }
}

/// A key that signs access tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SigningKeyRow {
    /// Its name in the tokens.
    pub kid: String,
    /// The key.
    pub secret: Secret,
    /// When it was made, in milliseconds since 1970.
    pub created_at: u64,
    /// When another took over.
    #[serde(default)]
    pub retired_at: Option<u64>,
    /// Longest life of a token signed with it, in milliseconds.
    pub life_ms: u64,
}

/// Signing keys, and named secrets.
///
/// A write is durable when it returns. Writes take effect one after the other, each whole, and each sees those before it: signing keys
/// are one partition, and so is each secret.
///
/// # Errors
/// Those of the store.
#[async_trait]
pub trait AuthKeys: Send + Sync {
    /// All signing keys, oldest first.
    async fn signing_keys(&self) -> Result<Vec<SigningKeyRow>, StoreError>;

    /// Adds a signing key and retires those in use at its `created_at`, if the newest key is still `newest`. Returns whether it was.
    async fn rotate_signing_key(
        &self,
        key: SigningKeyRow,
        newest: Option<String>,
    ) -> Result<bool, StoreError>;

    /// Raises the longest life of tokens signed with a key.
    async fn raise_signing_key_life(&self, kid: String, life_ms: u64) -> Result<(), StoreError>;

    /// Removes a signing key.
    async fn delete_signing_key(&self, kid: String) -> Result<(), StoreError>;

    /// The secret kept under this name; `fresh` becomes it when there is none. It never changes, and whoever has a copy of the store has
    /// it: for ids that nobody outside may tell, never for what signs anybody in.
    async fn secret(&self, name: &'static str, fresh: [u8; 32]) -> Result<Secret, StoreError>;
}
