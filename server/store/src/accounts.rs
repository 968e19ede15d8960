//! Accounts, sessions, reset tokens and keys: rows, and the port that keeps them.

use std::fmt;

use async_trait::async_trait;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::{SessionId, UserId};
use pitturu_protocol::types::accounts::Role;
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::keyed::{KeyUse, Stored};

/// Most sessions of one account. A further sign-in ends the one that was used longest ago.
pub const SESSIONS_MAX: usize = 50;

/// A value that logs don't show.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hidden<T>(pub T);

impl<T> fmt::Debug for Hidden<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hidden")
    }
}

/// SHA-256 of a secret.
pub type SecretHash = [u8; 32];

/// An account with its profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountRow {
    /// The player.
    pub user: UserId,
    /// What a named account has and a guest has not.
    #[serde(default)]
    pub login: Option<Login>,
    /// Of a guest: hash of the device's secret. Kept when the guest becomes a named account.
    #[serde(default)]
    pub guest_secret: Option<SecretHash>,
    /// Role.
    pub role: Role,
    /// When it was created.
    pub created_at: u64,
    /// What the player shows of themselves.
    pub profile: ProfileRow,
}

impl AccountRow {
    /// Whether the account has no name and password yet.
    pub const fn guest(&self) -> bool {
        self.login.is_none()
    }

    /// User name, once the account has one.
    pub fn username(&self) -> Option<&str> {
        self.login.as_ref().map(|login| login.username.as_str())
    }
}

/// Name and password of an account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Login {
    /// User name as the player wrote it.
    pub username: String,
    /// Its folded form, which no other account has.
    pub folded: String,
    /// bcrypt hash.
    pub password: Hidden<String>,
    /// Counts password changes. A reset token is good for the count that it was made at.
    pub version: u64,
    /// Address for password resets.
    #[serde(default)]
    pub email: Option<String>,
}

/// What players show of themselves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProfileRow {
    /// Display name.
    pub name: String,
    /// Address or key of a picture.
    #[serde(default)]
    pub avatar: Option<String>,
    /// A few words.
    #[serde(default)]
    pub bio: Option<String>,
    /// Language tag.
    #[serde(default)]
    pub language: Option<String>,
}

/// Changes to a profile. Outer `None`: stays as it is; inner `None`: is cleared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProfileChange {
    /// Display name.
    pub name: Option<String>,
    /// Picture.
    pub avatar: Option<Option<String>>,
    /// A few words.
    pub bio: Option<Option<String>>,
    /// Language tag.
    pub language: Option<Option<String>>,
}

/// One signed-in device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SessionRow {
    /// The session.
    pub session: SessionId,
    /// What the device called itself.
    #[serde(default)]
    pub device: Option<String>,
    /// Network address of its last sign-in or refresh.
    pub address: String,
    /// When it signed in.
    pub created_at: u64,
    /// When it last refreshed.
    pub used_at: u64,
    /// When its refresh token runs out.
    pub expires_at: u64,
    /// Counts refreshes, from 0. Only the refresh token of this generation is good.
    pub generation: u64,
    /// Hash of that token's secret.
    pub refresh: SecretHash,
}

/// Tokens that a call gave out, as far as they are stored: enough to derive them again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The player.
    pub user: UserId,
    /// The session.
    pub session: SessionId,
    /// Generation of the refresh token.
    pub generation: u64,
    /// Whether the call created the account.
    pub created: bool,
}

/// Whose device's secret it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestRow {
    /// The player.
    pub user: UserId,
    /// Whether the account has got a name and password, so that the secret no longer signs in.
    pub retired: bool,
}

/// A reset token that has been given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetRow {
    /// For whom, and at which count of password changes. Absent when it was asked for with an unknown name.
    pub account: Option<(UserId, u64)>,
    /// What the token is derived from.
    pub nonce: [u8; 16],
    /// When it runs out.
    pub expires_at: u64,
}

/// A key that signs access tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SigningKeyRow {
    /// Its name in the tokens.
    pub kid: String,
    /// The key.
    pub secret: Hidden<[u8; 32]>,
    /// When it was made.
    pub created_at: u64,
    /// When another took over.
    #[serde(default)]
    pub retired_at: Option<u64>,
    /// Longest life of a token signed with it.
    pub life_ms: u64,
}

/// A presented refresh token and the session's state after it, for [`Accounts::rotate`].
#[derive(Clone, Debug, PartialEq)]
pub struct Rotation {
    /// The player named in the token.
    pub user: UserId,
    /// The session named in the token.
    pub session: SessionId,
    /// The generation named in the token.
    pub generation: u64,
    /// Hash of the token's secret.
    pub presented: SecretHash,
    /// Whether this server made the token, whatever its generation.
    pub genuine: bool,
    /// Hash of the next generation's secret.
    pub next: SecretHash,
    /// Network address of the caller.
    pub address: String,
    /// Now.
    pub now: u64,
    /// When the next token runs out.
    pub expires_at: u64,
}

/// What became of a [`Rotation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rotated {
    /// The session has moved on to this grant.
    Done(Grant),
    /// The token was used before. The session has been ended.
    Reused,
}

/// A new password, for [`Accounts::set_password`].
#[derive(Clone, Debug, PartialEq)]
pub struct PasswordChange {
    /// The player.
    pub user: UserId,
    /// Count of password changes that this one rests on.
    pub version: u64,
    /// The new hash.
    pub password: Hidden<String>,
    /// Ends all sessions but this one; none at all when `None`.
    pub end_sessions: Option<Option<SessionId>>,
    /// Reset token that is used up.
    pub reset: Option<SecretHash>,
}

/// Why a write was refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// The store's own fault.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// Another account has the name.
    #[error("another account has the name")]
    NameTaken,
    /// Another account has the device secret, or had it.
    #[error("another account has the device secret")]
    SecretTaken,
    /// There is no such account.
    #[error("there is no such account")]
    NoAccount,
    /// The account has a name and a password.
    #[error("the account has a name and a password")]
    NotAGuest,
    /// There is no such session.
    #[error("there is no such session")]
    NoSession,
    /// The session's refresh token has run out.
    #[error("the refresh token has run out")]
    SessionExpired,
    /// The token is none that this server made.
    #[error("not a token of this server")]
    WrongToken,
    /// The password has been changed since the write was prepared, or the reset token used up.
    #[error("the password was changed in the meantime")]
    PasswordMoved,
    /// There would be no admin left.
    #[error("the last admin keeps the role")]
    LastAdmin,
}

impl From<AccountError> for Fault {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Store(error) => error.into(),
            AccountError::KeyReused => Self::of(Code::KeyReused),
            AccountError::NameTaken => Self::of(Code::UsernameTaken),
            AccountError::SecretTaken => Self::of(Code::WrongCredentials),
            AccountError::NoAccount => Self::of(Code::NotFound),
            AccountError::NotAGuest => Self::of(Code::NotAGuest),
            AccountError::NoSession | AccountError::WrongToken | AccountError::PasswordMoved => {
                Self::of(Code::TokenInvalid)
            }
            AccountError::SessionExpired => Self::of(Code::TokenExpired),
            AccountError::LastAdmin => Self::invalid("role", error.to_string()),
        }
    }
}

/// Accounts, sessions, reset tokens and keys.
///
/// A write is durable when it returns. Writes of one account take effect one after the other, and each sees those before
/// it. The stated changes of one write are made together or not at all, and a crash leaves none half made.
///
/// A write with a [`KeyUse`] stores its result in the same commit; the same key then gets that result and changes
/// nothing, and with another request it is [`AccountError::KeyReused`]. Refusals are not stored.
///
/// Uniqueness of names and of device secrets is a conditional insert into a partition of its own (folded name, secret
/// hash), made before the account's rows; a partitioned store may leave a claimed name without an account when the
/// process dies in between, and then lets a later claim take it over. One session is one row, and its rotation a
/// conditional update of that row. Signing keys are one partition.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// The account of a player.
    async fn account(&self, user: UserId) -> Result<Option<AccountRow>, StoreError>;

    /// The accounts of several players, in the order asked for, without those that there are not.
    async fn accounts(&self, users: Vec<UserId>) -> Result<Vec<AccountRow>, StoreError>;

    /// The account with this folded name.
    async fn account_named(&self, folded: &str) -> Result<Option<AccountRow>, StoreError>;

    /// Whose device secret has this hash.
    async fn guest(&self, secret: SecretHash) -> Result<Option<GuestRow>, StoreError>;

    /// What a keyed call of this kind stored before. [`AccountError::KeyReused`] when the key was used for another request.
    async fn recall_grant(&self, key: &KeyUse) -> Result<Option<Grant>, AccountError>;

    /// Whose password a keyed [`Accounts::set_password`] or [`Accounts::upgrade`] set before. [`AccountError::KeyReused`] when
    /// the key was used for another request.
    async fn recall_password(&self, key: &KeyUse) -> Result<Option<UserId>, AccountError>;

    /// Creates an account with its first session.
    async fn create(
        &self,
        account: AccountRow,
        session: SessionRow,
        key: Option<KeyUse>,
    ) -> Result<Stored<Grant>, AccountError>;

    /// Adds a session to an account, for [`SESSIONS_MAX`] removes those that have run out and the one that was used longest ago,
    /// and, when `role` is given, sets the role. The account's password must still be at `version`; guests have none.
    /// The removed sessions that had not run out are returned beside.
    async fn open_session(
        &self,
        user: UserId,
        version: Option<u64>,
        session: SessionRow,
        role: Option<Role>,
        key: Option<KeyUse>,
    ) -> Result<(Stored<Grant>, Vec<SessionId>), AccountError>;

    /// Exchanges a refresh token. A genuine token of an earlier generation ends the session; anything else that doesn't
    /// fit changes nothing. Of several rotations of one generation exactly one is done.
    async fn rotate(
        &self,
        rotation: Rotation,
        key: Option<KeyUse>,
    ) -> Result<Stored<Rotated>, AccountError>;

    /// A session, also when it has run out.
    async fn session(
        &self,
        user: UserId,
        session: SessionId,
    ) -> Result<Option<SessionRow>, StoreError>;

    /// All sessions of a player, also those that have run out.
    async fn sessions(&self, user: UserId) -> Result<Vec<SessionRow>, StoreError>;

    /// Ends a session.
    async fn end_session(
        &self,
        user: UserId,
        session: SessionId,
        key: Option<KeyUse>,
    ) -> Result<Stored<()>, AccountError>;

    /// Ends all sessions of a player but one.
    async fn end_sessions(
        &self,
        user: UserId,
        except: Option<SessionId>,
        key: Option<KeyUse>,
    ) -> Result<Stored<()>, AccountError>;

    /// Sets a password, uses up a reset token and ends sessions. [`AccountError::PasswordMoved`] when the password has
    /// been changed since, or the token is no longer there.
    async fn set_password(
        &self,
        change: PasswordChange,
        key: Option<KeyUse>,
    ) -> Result<Stored<UserId>, AccountError>;

    /// Gives a guest a name and a password, and retires the device's secret.
    async fn upgrade(
        &self,
        user: UserId,
        login: Login,
        role: Option<Role>,
        key: Option<KeyUse>,
    ) -> Result<Stored<UserId>, AccountError>;

    /// Keeps a reset token under its hash. Repeated: the row that the key stored.
    async fn add_reset(
        &self,
        token: SecretHash,
        reset: ResetRow,
        key: Option<KeyUse>,
    ) -> Result<Stored<ResetRow>, AccountError>;

    /// A reset token that has not been used, also when it has run out.
    async fn reset(&self, token: SecretHash) -> Result<Option<ResetRow>, StoreError>;

    /// Removes reset tokens that have run out, of the next `limit` after the position; returns the position for the next
    /// call, `None` after the last.
    async fn sweep_resets(
        &self,
        after: Option<SecretHash>,
        limit: usize,
        now: u64,
    ) -> Result<Option<SecretHash>, StoreError>;

    /// Sets a role. Returns whether it changed.
    async fn set_role(
        &self,
        user: UserId,
        role: Role,
        key: Option<KeyUse>,
    ) -> Result<Stored<bool>, AccountError>;

    /// Changes a profile and returns the whole of it.
    async fn update_profile(
        &self,
        user: UserId,
        change: ProfileChange,
        key: Option<KeyUse>,
    ) -> Result<Stored<ProfileRow>, AccountError>;

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

    /// The secret kept under this name; `fresh` becomes it when there is none.
    async fn secret(
        &self,
        name: &'static str,
        fresh: [u8; 32],
    ) -> Result<Hidden<[u8; 32]>, StoreError>;
}
