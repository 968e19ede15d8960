//! Accounts: who may sign in, and as whom.
//!
//! - `sign_in`: register, log in, refresh, authenticate; `devices`: the sessions of an account;
//!   `credentials`: passwords, reset tokens and roles;
//! - [`passwords`]: bcrypt apart from everything else; [`lockout`]:
//!   delays that grow with wrong passwords;
//! - [`signing`]: access tokens and their keys; [`tokens`]: refresh and reset tokens; [`reset_delivery`]: how a reset token
//!   reaches its player.

mod credentials;
mod devices;
pub mod lockout;
pub mod passwords;
pub mod reset_delivery;
mod sign_in;
pub mod signing;
pub mod tokens;

#[cfg(test)]
pub(super) mod tests;

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::accounts::Role;
use pitturu_rules::names;
use pitturu_store::StoreError;
use pitturu_store::accounts::{Accounts, SecretHash};
use pitturu_store::keyed::KeyUse;
use sha2::{Digest, Sha256};

use self::lockout::{Lockout, LockoutConfig};
use self::passwords::{PasswordConfig, Passwords};
use self::reset_delivery::ResetDelivery;
use self::signing::{SigningConfig, SigningKeys};
use self::tokens::TokenMaker;
use crate::connections::caller::{Caller, IdempotencyKey};
use crate::connections::session_notifier::SessionNotifier;
use crate::players::PlayerOwners;
use crate::random::random_bytes;

/// Reset tokens looked at in one step of maintenance.
const SWEEP_ROWS: usize = 1_000;

/// How often a reset token may be asked for one name, and from one address. More requests are answered as always, and
/// nothing is sent: nobody can fill a player's mailbox.
const RESET_REQUESTS: LockoutConfig = LockoutConfig {
    name_failures_free: 3,
    address_failures_free: 50,
    delay_first_ms: 10 * 60 * 1_000,
    delay_max_ms: 60 * 60 * 1_000,
};

/// How accounts are kept.
#[derive(Clone, Debug)]
pub struct AccountsConfig {
    /// Passwords.
    pub passwords: PasswordConfig,
    /// Access tokens.
    pub signing: SigningConfig,
    /// Delays after wrong passwords.
    pub lockout: LockoutConfig,
    /// Life of a refresh token in milliseconds, counted from its making: a session that is used goes on.
    pub refresh_life_ms: u64,
    /// Life of a reset token in milliseconds.
    pub reset_life_ms: u64,
    /// User names that become admins when they register or log in. Register them before the server is open to others:
    /// whoever has the name is the admin. Names taken from this list keep their role until an admin changes it.
    pub admins: Vec<String>,
}

impl Default for AccountsConfig {
    fn default() -> Self {
        Self {
            passwords: PasswordConfig::default(),
            signing: SigningConfig::default(),
            lockout: LockoutConfig::default(),
            refresh_life_ms: 90 * 24 * 60 * 60 * 1_000,
            reset_life_ms: 60 * 60 * 1_000,
            admins: Vec::new(),
        }
    }
}

/// Why the service can't start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store's own fault.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The threads for passwords can't be started.
    #[error("the threads for passwords cannot be started: {0}")]
    Passwords(#[from] std::io::Error),
    /// A name in [`AccountsConfig::admins`] is none.
    #[error("{0:?} in the list of admins is not a user name")]
    Admin(String),
}

/// The calls of [`pitturu_protocol::types::accounts`].
pub struct AccountService {
    store: Arc<dyn Accounts>,
    notifier: Arc<dyn SessionNotifier>,
    players: PlayerOwners,
    reset_delivery: Option<Arc<dyn ResetDelivery>>,
    passwords: Passwords,
    lockout: Lockout,
    reset_requests: Lockout,
    keys: SigningKeys,
    tokens: TokenMaker,
    admins: HashSet<String>,
    swept: Mutex<Option<SecretHash>>,
    config: AccountsConfig,
}

impl AccountService {
    /// Loads keys and starts the threads for passwords. Without a delivery no reset tokens can be asked for.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(
        store: Arc<dyn Accounts>,
        notifier: Arc<dyn SessionNotifier>,
        players: PlayerOwners,
        reset_delivery: Option<Arc<dyn ResetDelivery>>,
        config: AccountsConfig,
        now: u64,
    ) -> Result<Self, OpenError> {
        let admins = config
            .admins
            .iter()
            .map(|name| {
                names::Username::parse(name)
                    .map(|name| name.folded)
                    .map_err(|_| OpenError::Admin(name.clone()))
            })
            .collect::<Result<_, _>>()?;
        let keys = SigningKeys::open(Arc::clone(&store), config.signing, now).await?;
        let master = store.secret("opaque_tokens", random_bytes()).await?;
        Ok(Self {
            notifier,
            players,
            reset_delivery,
            passwords: Passwords::start(config.passwords)?,
            lockout: Lockout::new(config.lockout),
            reset_requests: Lockout::new(RESET_REQUESTS),
            keys,
            tokens: TokenMaker::new(master),
            admins,
            swept: Mutex::new(None),
            store,
            config,
        })
    }

    /// Replaces and deletes signing keys and removes reset tokens that have run out. To be called every minute or so.
    ///
    /// # Errors
    /// Those of the store; what was done stays done.
    pub async fn maintain(&self, now: u64) -> Result<(), StoreError> {
        self.keys.maintain(now).await?;
        let after = *self.swept.lock();
        let next = self.store.sweep_resets(after, SWEEP_ROWS, now).await?;
        *self.swept.lock() = next;
        Ok(())
    }

    /// Makes a new signing key now. Tokens signed with the old ones stay good for their time.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn rotate_signing_key(&self, now: u64) -> Result<(), StoreError> {
        self.keys.rotate(now).await
    }

    /// The role that the configuration gives to this folded name.
    fn configured_role(&self, folded: &str) -> Option<Role> {
        self.admins.contains(folded).then_some(Role::Admin)
    }
}

/// The caller's key with the hash of the whole request. Not for requests with passwords.
pub(super) fn keyed(caller: &Caller, scope: Option<UserId>) -> Option<KeyUse> {
    caller
        .key
        .as_ref()
        .map(|key| key_use(key, scope, key.request_hash, caller.now))
}

/// The caller's key for a request whose passwords the caller has blanked: a fast hash of them must not reach the store,
/// because it could be searched much faster than bcrypt. They are compared with the stored bcrypt hash instead.
fn keyed_without_passwords<M: Method>(
    caller: &Caller,
    scope: Option<UserId>,
    request: &M,
) -> Option<KeyUse> {
    let key = caller.key.as_ref()?;
    let digest = Sha256::digest(codec::encode(request));
    let mut hash = [0; 16];
    hash.copy_from_slice(&digest[..16]);
    Some(key_use(key, scope, hash, caller.now))
}

fn key_use(key: &IdempotencyKey, scope: Option<UserId>, request_hash: [u8; 16], at: u64) -> KeyUse {
    KeyUse {
        scope,
        key: key.key.clone(),
        method: key.method,
        request_hash,
        at,
    }
}

fn locked_out(wait_ms: u64) -> Fault {
    metrics::counter!("pitturu_lockouts_total").increment(1);
    Fault::of(Code::LockedOut).retry_after_ms(wait_ms)
}
