//! What is stored of accounts and sessions, and what calls bring: MessagePack maps.

use std::fmt;

use pitturu_protocol::ids::{SessionId, UserId};
use pitturu_protocol::types::accounts::Role;
use serde::{Deserialize, Serialize};

use super::sanctions::Sanctions;
use super::staff::Shown;

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

/// Random bytes that make one token differ from all others.
pub type Nonce = [u8; 16];

/// What one account has and no other: before there is the account, it is claimed for the account's entity.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// A folded user name.
    Name(String),
    /// A guest's secret.
    Secret(SecretHash),
}

impl Claim {
    /// The claim's own bytes among those of its kind.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Name(folded) => folded.as_bytes(),
            Self::Secret(hash) => hash,
        }
    }

    /// Whether this account has what is claimed.
    pub fn is_of(&self, account: &AccountRow) -> bool {
        match self {
            Self::Name(folded) => {
                let login = account.login.as_ref();
                login.is_some_and(|login| login.folded == *folded)
            }
            Self::Secret(hash) => account.guest_secret == Some(*hash),
        }
    }
}

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
    /// Whether an admin has given or taken a role: the configuration gives none any more.
    #[serde(default)]
    pub is_role_decided: bool,
    /// When it was created.
    pub created_at: u64,
    /// What the player shows of themselves.
    pub profile: ProfileRow,
    /// What the staff has decided against the player.
    #[serde(default, skip_serializing_if = "Sanctions::is_empty")]
    pub sanctions: Sanctions,
    /// That the account ends, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Deletion>,
}

/// The end of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletion {
    /// When everything personal is erased, in milliseconds since 1970.
    pub erase_at: u64,
    /// Whether that has begun, and nothing takes it back any more.
    #[serde(default)]
    pub has_begun: bool,
}

impl AccountRow {
    /// Whether the player is being erased: then there is no such player any more.
    pub fn is_ending(&self) -> bool {
        self.deletion.is_some_and(|deletion| deletion.has_begun)
    }

    /// The role that the account shows; the staff knows better.
    pub const fn shown_role(&self) -> Shown {
        Shown {
            user: self.user,
            role: self.role,
        }
    }

    /// Whether the account has no name and password yet.
    pub const fn guest(&self) -> bool {
        self.login.is_none()
    }

    /// User name, once the account has one.
    pub fn username(&self) -> Option<&str> {
        self.login.as_ref().map(|login| login.username.as_str())
    }

    /// The count of password changes; guests have none.
    pub fn version(&self) -> Option<u64> {
        self.login.as_ref().map(|login| login.version)
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

impl ProfileChange {
    /// Whether others are to see something else: a player who is muted everywhere may not have them.
    pub const fn has_words(&self) -> bool {
        self.name.is_some() || self.avatar.is_some() || self.bio.is_some()
    }
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
    /// When it last refreshed: to be shown.
    pub used_at: u64,
    /// Place in the order in which the account's sessions were last used. A clock would do for as long as nobody sets it. The
    /// account gives it.
    pub number: u64,
    /// When its refresh token runs out.
    pub expires_at: u64,
    /// Counts refreshes, from 0. Only the refresh token of this generation is good.
    pub generation: u64,
    /// Hash of that token's secret.
    pub refresh: SecretHash,
    /// What was drawn for that token. It goes into the [`Grant`] of the call that gave the token out and is stored nowhere else, so it
    /// is forgotten when a repetition no longer gets the token; all zeros from then on.
    #[serde(skip)]
    pub nonce: Nonce,
}

/// Tokens that a call gave out, as far as they are stored: enough to derive them again with a key that the store has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The player.
    pub user: UserId,
    /// The session.
    pub session: SessionId,
    /// Generation of the refresh token.
    pub generation: u64,
    /// What was drawn for the refresh token.
    pub nonce: Nonce,
    /// Hash of the refresh token's secret, which tells the master key that it was made with.
    pub refresh: SecretHash,
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
    /// Count of password changes that it is good for.
    pub version: u64,
    /// What the token is derived from.
    pub nonce: Nonce,
    /// When it runs out.
    pub expires_at: u64,
    /// Place in the order in which the account's tokens were made. The account gives it.
    pub number: u64,
    /// The admin who was given it. It is good as long as they are one. None: it went to the player.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_by: Option<UserId>,
}

/// A presented refresh token and the session's state after it, for [`Account::rotate`](super::Account::rotate).
#[derive(Clone, Debug, PartialEq)]
pub struct Rotation {
    /// The session named in the token.
    pub session: SessionId,
    /// The generation named in the token.
    pub generation: u64,
    /// Hash of the token's secret.
    pub presented: SecretHash,
    /// Whether this server made the token, as far as it can tell: it can't for tokens whose master key it keeps no longer. A token of an
    /// earlier generation ends the session only if it is.
    pub genuine: bool,
    /// What is drawn for the next generation's token.
    pub nonce: Nonce,
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

/// A new password, for
/// [`Account::set_password`](super::Account::set_password).
#[derive(Clone, Debug, PartialEq)]
pub struct PasswordChange {
    /// Count of password changes that this one rests on.
    pub version: u64,
    /// The new hash.
    pub password: Hidden<String>,
    /// Ends all sessions but this one; none at all when `None`.
    pub end_sessions: Option<Option<SessionId>>,
    /// Reset token that is used up.
    pub reset: Option<SecretHash>,
}
