//! Accounts, sign-in and sessions.

use serde::{Deserialize, Serialize};

use crate::ids::{SessionId, UserId};

/// What a player may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Plays and chats.
    Player,
    /// Keeps order in every room that is not direct.
    Moderator,
    /// A server of the game: gives players points, items and scores. In rooms it is a player like any other.
    Service,
    /// Everything.
    Admin,
}

impl Role {
    /// Whether whoever has this role may act on somebody who has that one: moderators on players, admins on everybody but admins.
    pub const fn acts_on(self, other: Self) -> bool {
        match self {
            Self::Admin => !matches!(other, Self::Admin),
            Self::Moderator => matches!(other, Self::Player),
            Self::Player | Self::Service => false,
        }
    }

    /// Whether whoever has it keeps order in rooms that are not direct.
    pub const fn keeps_order(self) -> bool {
        match self {
            Self::Player | Self::Service => false,
            Self::Moderator | Self::Admin => true,
        }
    }

    /// Whether whoever has it gives players points, items and scores.
    pub const fn gives(self) -> bool {
        match self {
            Self::Player | Self::Moderator => false,
            Self::Service | Self::Admin => true,
        }
    }
}

/// Creates an account with name and password, and signs in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Register {
    /// 3 to 32 letters, digits, `_`, `-` or `.`, of any script; unique without regard to case.
    pub username: String,
    /// 8 characters to 72 bytes.
    pub password: String,
    /// Display name; the user name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// For password resets. Not shown to others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// What the list of sessions calls this device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

/// Signs in with name and password.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Login {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
    /// What the list of sessions calls this device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Shows that this device was signed in to the account before: a refresh token that it got, also one that was used or whose session
    /// has ended, or the secret of the guest that became the account. Wrong passwords of strangers don't hold such a device up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<String>,
}

/// Signs in with a secret that only this device knows; creates the account when it is new.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LoginGuest {
    /// 16 to 128 random characters that the client drew once and keeps.
    pub secret: String,
    /// Display name of a new account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the list of sessions calls this device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

/// Exchanges a refresh token for new tokens. The old one is used up; when it is used again under another
/// idempotency key, the whole session is ended. On a signed-in connection it prolongs the sign-in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RefreshTokens {
    /// The refresh token.
    pub refresh: String,
}

/// Signs this connection in with an access token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Authenticate {
    /// The access token.
    pub access: String,
}

/// Who a connection speaks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Identity {
    /// The player.
    pub user: UserId,
    /// The sign-in.
    pub session: SessionId,
    /// The player's role.
    pub role: Role,
    /// Whether the account has no name and password yet.
    pub guest: bool,
    /// When the connection closes unless it refreshes.
    pub expires_at: u64,
}

/// A successful sign-in. The connection is signed in from here on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SignedIn {
    /// Who.
    pub identity: Identity,
    /// Access token for hello, good until `identity.expires_at`.
    pub access: String,
    /// Refresh token, good for one use.
    pub refresh: String,
    /// When the refresh token runs out.
    pub refresh_expires_at: u64,
    /// Whether the account was created by this call.
    pub created: bool,
}

/// Gives a guest account a name and a password. The device's secret signs in no longer, and all other sessions of the account end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UpgradeGuest {
    /// As in [`Register`].
    pub username: String,
    /// As in [`Register`].
    pub password: String,
    /// As in [`Register`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
}

/// The caller's own account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GetAccount {}

/// An account as its owner sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Account {
    /// The player.
    pub user: UserId,
    /// User name, once the account has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Address for password resets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Role.
    pub role: Role,
    /// Whether the account has no name and password yet.
    pub guest: bool,
    /// When it was created.
    pub created_at: u64,
}

/// Ends this session: its tokens are void and its connections are signed out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Logout {}

/// Ends all sessions of the account, this one included.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogoutEverywhere {}

/// Ends the account: all sessions end, this one included, and at the time of the reply everything personal is erased for good. Until
/// then signing in again takes it back. Whoever has a role above a player's is refused: an admin takes it away first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeleteAccount {
    /// The password. Guests, who have none, leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// Everything that the server keeps about a player, as JSON, by pages. In rooms that the player has left or is kept out of only admins find
/// it, who ask about others: it takes a look at every room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExportPlayer {
    /// The player; the caller when absent. Others are for admins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// `next` of the page before; absent for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Reply to [`ExportPlayer`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlayerExport {
    /// A JSON array of objects, each with one key, which says what it is. It may be empty and yet have a next page.
    pub records: String,
    /// Position for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Reply to [`DeleteAccount`] and `DeletePlayer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AccountDeletion {
    /// When the account is erased, unless the player signs in before.
    pub erase_at: u64,
}

/// The sessions of the account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListSessions {}

/// Reply to [`ListSessions`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Sessions {
    /// Newest use first.
    pub sessions: Vec<Session>,
}

/// One signed-in device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Session {
    /// The session.
    pub session: SessionId,
    /// What the device called itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Network address of its last sign-in or refresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// When it signed in.
    pub created_at: u64,
    /// When it last refreshed.
    pub used_at: u64,
    /// Whether it is the caller's.
    pub current: bool,
}

/// Ends one session of the account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RevokeSession {
    /// The session.
    pub session: SessionId,
}

/// Changes the password and ends all other sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ChangePassword {
    /// The present password.
    pub old: String,
    /// The new one, as in [`Register`].
    pub new: String,
}

/// Asks for a reset token, which reaches the player by the way that the operator set up. The answer is the same
/// whether or not the account exists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RequestPasswordReset {
    /// User name.
    pub username: String,
}

/// Sets a new password by a reset token and ends all sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ResetPassword {
    /// The reset token, good for one use.
    pub token: String,
    /// The new password, as in [`Register`].
    pub password: String,
}

/// Makes a reset token for a player who is no admin, for support staff and game back ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct IssuePasswordReset {
    /// The player.
    pub user: UserId,
}

/// Reply to [`IssuePasswordReset`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PasswordReset {
    /// The reset token.
    pub token: String,
    /// When it runs out.
    pub expires_at: u64,
}

/// Sets a player's role. Calls of admins go by it from the answer on; the player's account, tokens and open connections follow, mostly
/// before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SetRole {
    /// The player.
    pub user: UserId,
    /// The new role.
    pub role: Role,
}
