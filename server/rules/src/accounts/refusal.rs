//! Limits of accounts and sessions, and why a call is refused.

use pitturu_protocol::codes::{Code, Fault};

/// Most reset tokens of one account. Beyond it the one goes that runs out first: whoever asks in a player's name may use up
/// the player's own, which takes hours, as requests for one name are delayed.
pub const RESETS_MAX: usize = 10;

/// How long a player's entity knows that a claim was void, in milliseconds: longer than any call takes.
pub const VOID_KNOWN_MS: u64 = 48 * 60 * 60 * 1_000;

/// Most void claims that a player's entity knows of. Beyond it a claim stays with the player.
pub const VOIDS_MAX: usize = 32;

/// Why a call was refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountRefusal {
    /// The account is there already: another call, now forgotten, has created it.
    #[error("there is such an account")]
    Exists,
    /// The claim of the name or secret was void before the account was made.
    #[error("another call has taken the name")]
    Void,
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
    /// The player is suspended.
    #[error("the player is suspended")]
    Suspended(#[from] Fault),
    /// The password has been changed since the call was prepared, or the reset token used up.
    #[error("the password was changed in the meantime")]
    PasswordMoved,
    /// The caller is no admin, or no longer.
    #[error("only an admin sets roles")]
    NotAnAdmin,
    /// The player has a role above a player's.
    #[error("the role has to go first: an admin takes it away")]
    HasRole,
    /// The account was erased, or is being erased.
    #[error("the account was deleted")]
    Erased,
    /// It is not to be erased, or not yet.
    #[error("the account is not to be erased now")]
    NotDue,
    /// There would be no admin left.
    #[error("the last admin keeps the role")]
    LastAdmin,
}

impl From<AccountRefusal> for Fault {
    fn from(refusal: AccountRefusal) -> Self {
        match refusal {
            AccountRefusal::Exists => Self::of(Code::UsernameTaken),
            AccountRefusal::Void => Self::new(Code::Unavailable, refusal.to_string()),
            AccountRefusal::NoAccount => Self::of(Code::NotFound),
            AccountRefusal::NotAGuest => Self::of(Code::NotAGuest),
            AccountRefusal::NoSession
            | AccountRefusal::WrongToken
            | AccountRefusal::PasswordMoved => Self::of(Code::TokenInvalid),
            AccountRefusal::SessionExpired => Self::of(Code::TokenExpired),
            AccountRefusal::Suspended(fault) => fault,
            AccountRefusal::NotAnAdmin => Self::of(Code::Forbidden),
            AccountRefusal::HasRole => Self::new(Code::Forbidden, refusal.to_string()),
            AccountRefusal::Erased => Self::new(Code::WrongCredentials, refusal.to_string()),
            AccountRefusal::NotDue => Self::new(Code::Unavailable, refusal.to_string()),
            AccountRefusal::LastAdmin => Self::invalid("role", refusal.to_string()),
        }
    }
}
