//! Accounts: who may sign in, and as whom.
//!
//! - `sign_in`: register, log in, refresh, authenticate; `grants`: the tokens that come of it; `creation`: claiming a name or secret, and the account that it leads
//!   to; `devices`: the sessions of an account; `credentials`: passwords, reset tokens and roles;
//! - [`passwords`]: bcrypt apart from everything else; [`lockout`]: delays that grow with wrong passwords, `known_devices`: who
//!   need not wait for what strangers have tried;
//! - [`signing`]: access tokens and their keys; [`tokens`]: refresh and reset tokens; [`reset_delivery`]: how a reset token
//!   reaches its player.
//!
//! What is decided of an account is decided by the player's entity, which also tells the connections. Here is what goes before:
//! what is asked for is checked, passwords are hashed, tokens are derived.
//!
//! A key of a call without a signed-in player belongs to whom the call is about: the account with the name, secret or token. Its
//! result is at that player's entity, as those of the player's own keys are.

mod creation;
mod credentials;
pub(super) mod devices;
mod grants;
mod known_devices;
mod lock_outs;
pub mod lockout;
pub mod masters;
pub mod passwords;
pub mod reset_delivery;
mod sign_in;
pub mod signing;
pub mod ticks;
pub mod tokens;

#[cfg(test)]
pub(super) mod tests;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use pitturu_metrics::table;
use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::accounts::Role;
use pitturu_store::StoreError;
use pitturu_store::auth_keys::AuthKeys;
use pitturu_store::entities::KeyedRequest;
use pitturu_store::master_keys::MasterKeysError;
use pitturu_text::username::Username;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use tracing::field::display;
use tracing::info;

use self::lock_outs::LockOutNotes;
use self::lockout::{Lockout, LockoutConfig};
use self::masters::Masters;
use self::passwords::{PasswordConfig, Passwords};
use self::reset_delivery::ResetDelivery;
use self::signing::{SigningConfig, SigningKeys};
use self::ticks::Ticks;
use self::tokens::TokenMaker;
use super::deletions::Deletions;
use crate::connections::caller::{Caller, IdempotencyKey};
use crate::log_lines::PASSWORDS_REFUSED;
use crate::players::PlayerOwners;
use crate::players::audit_log::AuditLogOwner;
use crate::players::command::{AccountAsk, Ask};
use crate::players::staff::StaffOwner;
use crate::players::store::PlayerStore;

/// How often a reset token may be asked for one name, and from one network. More are refused, for names that nobody has as well: nobody
/// can fill a player's mailbox, and no single network can keep a player from asking.
const RESET_REQUESTS: LockoutConfig = LockoutConfig {
    name_failures_free: 3,
    name_total_free: 12,
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
    /// How long the deletion of an account can be taken back, in milliseconds.
    pub deletion_grace_ms: u64,
    /// User names that become admins when they register or log in. Register them before the server is open to others:
    /// whoever has the name is the admin. Names taken from this list keep their role until an admin changes it, and the
    /// list gives none to a player whose role an admin has changed.
    pub admins: Vec<Username>,
    /// The clock of delays.
    pub ticks: Ticks,
}

impl AccountsConfig {
    /// How accounts end.
    pub fn deletions(&self) -> Deletions {
        Deletions::new(self.deletion_grace_ms, self.admin_names())
    }

    /// The names that make whoever has them an admin, folded.
    pub fn admin_names(&self) -> HashSet<String> {
        self.admins.iter().map(|name| name.folded.clone()).collect()
    }
}

impl Default for AccountsConfig {
    fn default() -> Self {
        Self {
            passwords: PasswordConfig::default(),
            signing: SigningConfig::default(),
            lockout: LockoutConfig::default(),
            refresh_life_ms: 90 * 24 * 60 * 60 * 1_000,
            reset_life_ms: 60 * 60 * 1_000,
            deletion_grace_ms: 30 * 24 * 60 * 60 * 1_000,
            admins: Vec::new(),
            ticks: Ticks::default(),
        }
    }
}

/// Why the service can't start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store's own fault.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A new master key can't be written.
    #[error(transparent)]
    Masters(#[from] MasterKeysError),
    /// The threads for passwords can't be started.
    #[error("the threads for passwords cannot be started: {0}")]
    Passwords(#[from] std::io::Error),
}

/// Why keys were not replaced.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The store's own fault.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A new master key can't be written.
    #[error(transparent)]
    Masters(#[from] MasterKeysError),
}

/// The keys behind tokens.
pub struct Keys {
    /// Those of the store, which sign access tokens.
    pub signing: Arc<dyn AuthKeys>,
    /// Those that the store has not.
    pub masters: Masters,
}

/// The players' entities, and what is stored of them.
#[derive(Clone)]
pub struct Players {
    store: PlayerStore,
    owners: PlayerOwners,
    /// How long a creator waits for the account of another one.
    grace: Duration,
}

/// What a keyed call has brought about, and whether an earlier one had.
#[derive(Clone, Copy, Debug)]
struct Stored<T> {
    value: T,
    is_repeated: bool,
}

impl Players {
    /// The players of this store, with their owners.
    pub const fn new(store: PlayerStore, owners: PlayerOwners) -> Self {
        Self {
            store,
            owners,
            grace: creation::GRACE,
        }
    }

    /// Has a player's entity decide something of the account.
    async fn ask<T: DeserializeOwned>(
        &self,
        user: UserId,
        caller: &Caller,
        ask: AccountAsk,
        key: Option<(UserId, IdempotencyKey)>,
    ) -> Result<Stored<T>, Fault> {
        let ask = Ask::Account(Box::new(ask), caller.into());
        let answered = self.owners.ask_under(user, ask, key, caller.now).await?;
        Ok(Stored {
            value: decode(&answered.body)?,
            is_repeated: answered.is_repeated,
        })
    }
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    codec::decode(body).map_err(|error| {
        tracing::error!(%error, "a stored result is another call's");
        Fault::of(Code::Internal)
    })
}

/// The calls of [`pitturu_protocol::types::accounts`].
pub struct AccountService {
    players: Players,
    staff: StaffOwner,
    reset_delivery: Option<Arc<dyn ResetDelivery>>,
    passwords: Passwords,
    lockout: Lockout,
    lock_outs: LockOutNotes,
    reset_requests: Lockout,
    keys: SigningKeys,
    masters: Masters,
    tokens: TokenMaker,
    deletions: Deletions,
    admins: HashSet<String>,
    ticks: Ticks,
    config: AccountsConfig,
}

impl AccountService {
    /// Loads keys and starts the threads for passwords. Without a delivery no reset tokens can be asked for.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(
        keys: Keys,
        players: Players,
        (staff, audit_log): (StaffOwner, AuditLogOwner),
        reset_delivery: Option<Arc<dyn ResetDelivery>>,
        (config, deletions): (AccountsConfig, Deletions),
        now: u64,
    ) -> Result<Self, OpenError> {
        let admins = config.admin_names();
        let masters = keys.masters;
        if config.signing.rotate_at_start {
            masters.rotate(now, config.refresh_life_ms).await?;
        }
        let keys = SigningKeys::open(keys.signing, masters.clone(), config.signing, now).await?;
        Ok(Self {
            players,
            staff,
            reset_delivery,
            passwords: Passwords::start(config.passwords)?,
            lockout: Lockout::new(config.lockout),
            lock_outs: LockOutNotes::new(audit_log),
            reset_requests: Lockout::new(RESET_REQUESTS),
            keys,
            tokens: TokenMaker::new(masters.clone()),
            masters,
            deletions,
            admins,
            ticks: config.ticks.clone(),
            config,
        })
    }

    /// Replaces master and signing keys that are too old, and deletes those that are good for nothing. To be called every minute or so.
    ///
    /// # Errors
    /// [`RotateError`]; what was done stays done.
    pub async fn maintain(&self, now: u64) -> Result<(), RotateError> {
        let age_max_ms = self.config.signing.key_age_max_ms;
        if self.masters.is_older(age_max_ms, now) {
            let kept_ms = self.config.refresh_life_ms;
            self.masters.rotate(now, kept_ms).await?;
        }
        Ok(self.keys.maintain(now).await?)
    }

    /// Makes a new master key and a new signing key now. Tokens made with the old ones stay good for their time.
    ///
    /// # Errors
    /// [`RotateError`].
    pub async fn rotate_keys(&self, now: u64) -> Result<(), RotateError> {
        self.masters
            .rotate(now, self.config.refresh_life_ms)
            .await?;
        Ok(self.keys.rotate(now).await?)
    }

    /// The threads for passwords.
    #[cfg(test)]
    pub(crate) const fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    /// Too many wrong passwords for the player, if there is one of that name.
    fn locked_out(&self, caller: &Caller, user: Option<UserId>, wait_ms: u64) -> Fault {
        table::LOCKOUTS.increment();
        self.lock_outs.note(caller, user);
        if PASSWORDS_REFUSED.admit() {
            let user = user.map(display);
            info!(conn = %caller.conn, call = caller.call, user, address = %caller.address, wait_ms, "locked out");
        }
        Fault::of(Code::LockedOut).retry_after_ms(wait_ms)
    }

    /// The role that the configuration gives to whoever has this folded name. None by that of somebody whose account was erased: a name
    /// that is free again is for anybody.
    async fn configured_role(&self, folded: &str) -> Result<Option<Role>, Fault> {
        let is_admin =
            self.admins.contains(folded) && !self.players.store.is_name_spent(folded).await?;
        Ok(is_admin.then_some(Role::Admin))
    }
}

/// The caller's key for a request whose passwords the caller has blanked: a fast hash of them must not reach the store,
/// because it could be searched much faster than bcrypt. They are compared with the stored bcrypt hash instead.
fn key_without_passwords<M: Method>(caller: &Caller, request: &M) -> Option<IdempotencyKey> {
    let key = caller.key.clone()?;
    let digest = Sha256::digest(codec::encode(request));
    let mut request_hash = [0; 16];
    request_hash.copy_from_slice(&digest[..16]);
    Some(IdempotencyKey {
        request: KeyedRequest::Hash(request_hash),
        ..key
    })
}

/// An empty text is none.
fn given(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
}

/// Another code for what an entity has refused with this one.
fn instead(fault: Fault, code: Code, other: Code) -> Fault {
    if fault.code == code {
        Fault::of(other)
    } else {
        fault
    }
}

/// A password that is not the player's, if there is one of that name.
fn wrong_password(caller: &Caller, user: Option<UserId>) -> Fault {
    table::WRONG_PASSWORDS.increment();
    if PASSWORDS_REFUSED.admit() {
        let user = user.map(display);
        info!(conn = %caller.conn, call = caller.call, user, address = %caller.address, "wrong password");
    }
    Fault::of(Code::WrongCredentials)
}
