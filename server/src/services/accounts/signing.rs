//! Access tokens: JWTs signed with keys that are replaced with time. What signs follows from the stored key and a master key, which the
//! store has not.

use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use parking_lot::RwLock;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{SessionId, UserId};
use pitturu_protocol::limits::TOKEN_BYTES_MAX;
use pitturu_protocol::types::accounts::Role;
use pitturu_store::StoreError;
use pitturu_store::auth_keys::{AuthKeys, Secret, SigningKeyRow};
use serde::{Deserialize, Serialize};

use super::masters::Masters;
use super::tokens;
use crate::random::random_bytes;

/// How access tokens are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SigningConfig {
    /// Life of an access token in milliseconds, in whole seconds.
    pub access_life_ms: u64,
    /// Age at which a signing key is replaced.
    pub key_age_max_ms: u64,
    /// Replaces the key at the start, whatever its age.
    pub rotate_at_start: bool,
}

impl Default for SigningConfig {
    fn default() -> Self {
        Self {
            access_life_ms: 15 * 60 * 1_000,
            key_age_max_ms: 30 * 24 * 60 * 60 * 1_000,
            rotate_at_start: false,
        }
    }
}

/// What an access token says. Times are in seconds, as JWTs have them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The player.
    pub sub: UserId,
    /// The session.
    pub sid: SessionId,
    /// Role when the token was made.
    pub role: Role,
    /// Whether the account had no name and password then.
    pub guest: bool,
    /// When it was made.
    pub iat: u64,
    /// When it runs out.
    pub exp: u64,
    /// Its own name.
    pub jti: String,
}

/// The keys, newest last. One process loads them at its start and after each change of its own; the next
/// [`SigningKeys::maintain`] sees changes made by others.
pub struct SigningKeys {
    store: Arc<dyn AuthKeys>,
    masters: Masters,
    config: SigningConfig,
    keys: RwLock<Vec<Key>>,
}

struct Key {
    row: SigningKeyRow,
    encoding: EncodingKey,
    /// One for each master key, newest first.
    decoding: Vec<DecodingKey>,
}

impl Key {
    fn new(row: SigningKeyRow, masters: &Masters) -> Self {
        let derived = |master| tokens::derived(master, b"sign", &row.secret.0);
        let decoding = masters.all();
        let decoding = decoding.iter().map(derived);
        Self {
            encoding: EncodingKey::from_secret(&derived(&masters.newest())),
            decoding: decoding.map(|key| DecodingKey::from_secret(&key)).collect(),
            row,
        }
    }

    /// From when on no token signed with the key is good.
    fn useless_at(&self) -> Option<u64> {
        self.row
            .retired_at
            .map(|retired_at| retired_at.saturating_add(self.row.life_ms))
    }
}

impl SigningKeys {
    /// Loads the keys, makes the first one, and replaces one that is too old.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn open(
        store: Arc<dyn AuthKeys>,
        masters: Masters,
        config: SigningConfig,
        now: u64,
    ) -> Result<Self, StoreError> {
        let keys = Self {
            store,
            masters,
            config,
            keys: RwLock::default(),
        };
        keys.reload().await?;
        if config.rotate_at_start {
            keys.rotate(now).await?;
        }
        keys.maintain(now).await?;
        Ok(keys)
    }

    /// Replaces a key that is too old and deletes those that no good token can name. To be called now and then.
    ///
    /// # Errors
    /// Those of the store; what was done stays done.
    pub async fn maintain(&self, now: u64) -> Result<(), StoreError> {
        self.reload().await?;
        let newest = self.newest_row();
        match newest {
            Some(row) if now.saturating_sub(row.created_at) < self.config.key_age_max_ms => {
                if row.life_ms < self.config.access_life_ms {
                    self.store
                        .raise_signing_key_life(row.kid, self.config.access_life_ms)
                        .await?;
                }
            }
            _ => self.rotate(now).await?,
        }
        for kid in self.useless(now) {
            self.store.delete_signing_key(kid).await?;
        }
        self.reload().await
    }

    /// Makes a new key. Tokens signed with the old ones stay good for their time.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn rotate(&self, now: u64) -> Result<(), StoreError> {
        let key = SigningKeyRow {
            kid: tokens::to_hex(&random_bytes::<8>()),
            secret: Secret(random_bytes()),
            created_at: now,
            retired_at: None,
            life_ms: self.config.access_life_ms,
        };
        let newest = self.newest_row().map(|row| row.kid);
        if self.store.rotate_signing_key(key, newest).await? {
            tracing::info!("made a new key for access tokens");
        }
        self.reload().await
    }

    /// Signs an access token and returns it with its end in milliseconds.
    pub fn sign(
        &self,
        user: UserId,
        session: SessionId,
        role: Role,
        guest: bool,
        now: u64,
    ) -> Result<(String, u64), Fault> {
        let iat = now / 1_000;
        let exp = iat + (self.config.access_life_ms / 1_000).max(1);
        let claims = Claims {
            sub: user,
            sid: session,
            role,
            guest,
            iat,
            exp,
            jti: tokens::to_hex(&random_bytes::<12>()),
        };
        let keys = self.read();
        let key = keys.last().ok_or_else(|| Fault::of(Code::Internal))?;
        let header = Header {
            kid: Some(key.row.kid.clone()),
            ..Header::new(Algorithm::HS256)
        };
        let token = jsonwebtoken::encode(&header, &claims, &key.encoding).map_err(|error| {
            tracing::error!(%error, "an access token could not be signed");
            Fault::of(Code::Internal)
        })?;
        Ok((token, exp * 1_000))
    }

    /// What a token says, when one of these keys signed it and its time has not run out. Whether its session still exists
    /// is another question.
    ///
    /// # Errors
    /// [`Code::TokenInvalid`], [`Code::TokenExpired`].
    pub fn verify(&self, token: &str, now: u64) -> Result<Claims, Fault> {
        let invalid = || Fault::of(Code::TokenInvalid);
        if token.len() > TOKEN_BYTES_MAX {
            return Err(invalid());
        }
        let kid = jsonwebtoken::decode_header(token)
            .ok()
            .and_then(|header| header.kid)
            .ok_or_else(invalid)?;
        let keys = self.read();
        let key = keys
            .iter()
            .find(|key| key.row.kid == kid && key.useless_at().is_none_or(|at| now < at));
        let Some(key) = key else {
            return Err(invalid());
        };
        // The library would ask the system for the time.
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        let mut decoded = key
            .decoding
            .iter()
            .map(|key| jsonwebtoken::decode::<Claims>(token, key, &validation));
        let claims = decoded.find_map(Result::ok).ok_or_else(invalid)?.claims;
        if now >= claims.exp.saturating_mul(1_000) {
            return Err(Fault::of(Code::TokenExpired));
        }
        Ok(claims)
    }

    async fn reload(&self) -> Result<(), StoreError> {
        let mut rows = self.store.signing_keys().await?;
        rows.sort_by_key(|row| (row.retired_at.is_none(), row.created_at));
        *self.keys.write() = rows
            .into_iter()
            .map(|row| Key::new(row, &self.masters))
            .collect();
        Ok(())
    }

    fn useless(&self, now: u64) -> Vec<String> {
        self.read()
            .iter()
            .filter(|key| key.useless_at().is_some_and(|at| at <= now))
            .map(|key| key.row.kid.clone())
            .collect()
    }

    fn newest_row(&self) -> Option<SigningKeyRow> {
        self.read().last().map(|key| key.row.clone())
    }

    fn read(&self) -> parking_lot::RwLockReadGuard<'_, Vec<Key>> {
        self.keys.read()
    }
}
