//! What is asked of a player's entity.

use pitturu_protocol::ids::{ConnectionId, ID_BYTES, RoomId, SessionId, UserId};
use pitturu_protocol::types::accounts::Role;
use pitturu_protocol::types::audit_log::AuditAct;
use pitturu_protocol::types::inbox::InboxEntry;
use pitturu_rules::accounts::{
    AccountRow, Claim, Login, PasswordChange, ProfileChange, ResetRow, Rotation, Sanction,
    SecretHash, SessionRow,
};
use pitturu_rules::friends::Other;
use pitturu_rules::items::ChangeRow as ItemsRow;
use pitturu_rules::points;
use pitturu_rules::rewards::Play;

use crate::connections::address::Address;
use crate::connections::caller::Caller;

/// What is asked.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Ask another player for friendship, or accept theirs. The second part is the caller's display name. Answers a `FriendRow`.
    Request(Other, String),
    /// Agree to a request. Answers a `FriendRow`.
    Accept(Other, String),
    /// End what is between the two. Answers a `FriendState`.
    Remove(UserId),
    /// Block another player. Answers what was there before, an `Option<FriendState>`.
    Block(Other),
    /// Take a block back.
    Unblock(UserId),
    /// Put an entry into the inbox.
    Tell(InboxEntry),
    /// These rooms have ended: they leave the list of rooms.
    ForgetRooms(Vec<RoomId>),
    /// Something of the points. Answers a `Movement`.
    Points(Box<PointsAsk>),
    /// Something of the items. What it answers is said at each wish.
    Items(Box<ItemsAsk>),
    /// Something of the account, by a call from there.
    Account(Box<AccountAsk>, Origin),
    /// Forget another player, whose account is erased: what tells of their doing leaves inbox and list of rooms, and these movements, which
    /// are of gifts between the two, get their lines without what was said. Answers `()`.
    ForgetPlayer(UserId, Vec<Line>),
}

/// A line of a ledger under its number.
pub type Line = (u64, points::EntryRow);

/// What stays of a player's books when the account is erased, without what was said: lines under their numbers.
#[derive(Clone, Debug, Default)]
pub struct Redacted {
    /// Of the ledger.
    pub movements: Vec<Line>,
    /// Of the changes of items.
    pub items: Vec<(u64, ItemsRow)>,
}

/// Where a call comes from.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// The connection, which still gets its answer when its session ends.
    pub conn: ConnectionId,
    /// Who is signed in on it.
    pub user: Option<UserId>,
    /// Network address of its other end.
    pub address: Option<Address>,
}

impl Origin {
    /// The server itself.
    pub const SERVER: Self = Self {
        conn: ConnectionId::from_bytes([0; ID_BYTES]),
        user: None,
        address: None,
    };
}

impl From<&Caller> for Origin {
    fn from(caller: &Caller) -> Self {
        Self {
            conn: caller.conn,
            user: caller.identity.as_ref().map(|identity| identity.user),
            address: Some(caller.address),
        }
    }
}

/// What is asked of a player's books.
#[derive(Clone, Debug)]
pub struct PointsAsk {
    /// What.
    pub wish: PointsWish,
    /// The key of the call, which is the movement's id.
    pub id: Option<String>,
    /// The admin or service who asks, if it is not the player.
    pub by: Option<UserId>,
    /// What it is for.
    pub reference: Option<String>,
    /// What is said of it.
    pub note: Option<String>,
}

/// What is to be done with points.
#[derive(Clone, Debug)]
pub enum PointsWish {
    /// Move so many in this way.
    Flow(points::Flow, u64),
    /// Give back what was spent by this movement, so many or what is left.
    Refund(u64, Box<points::Entry>, Option<u64>),
    /// Give some to another player.
    Give(PointsGift),
    /// Set so many aside until this time.
    SetAside(u64, u64),
    /// Spend what was set aside by this movement, so many or all.
    Post(u64, Option<u64>),
    /// Free what was set aside by this movement.
    Void(u64),
}

/// What a player wants to give to another.
#[derive(Clone, Debug)]
pub struct PointsGift {
    /// To whom.
    pub to: Other,
    /// How many points.
    pub amount: u64,
    /// Whether the word filter allows the note.
    pub is_note_allowed: bool,
}

/// What is asked of a player's items.
#[derive(Clone, Debug)]
pub struct ItemsAsk {
    /// What.
    pub wish: ItemsWish,
    /// The key of the call, which names the change.
    pub id: Option<String>,
    /// The admin or service who asks, if it is not the player.
    pub by: Option<UserId>,
    /// What is said of it.
    pub note: Option<String>,
}

/// What is to be done with items.
#[derive(Clone, Debug)]
pub enum ItemsWish {
    /// Buy so many at this price. Answers a `Bought`.
    Buy {
        /// The item.
        item: String,
        /// How many.
        count: u64,
        /// What the player was told that one costs.
        price: u64,
    },
    /// Use so many up. Answers an `ItemChange`, like those below.
    Use {
        /// The item.
        item: String,
        /// How many.
        count: u64,
    },
    /// Give so many to the player.
    Give {
        /// The item.
        item: String,
        /// How many.
        count: u64,
    },
    /// Take so many from the player.
    Take {
        /// The item.
        item: String,
        /// How many.
        count: u64,
    },
    /// Give what there is for a game played. Answers a `PlayRecorded`.
    Played(Play),
}

/// What is asked of an account.
#[derive(Clone, Debug)]
pub enum AccountAsk {
    /// Create it with its first session. Answers a `Grant`.
    Create(Box<AccountRow>, SessionRow),
    /// Make sure that a claim leads to no account. Answers whether it will not, a `bool`.
    Void(Claim),
    /// Add a session. Answers a `Grant`.
    OpenSession {
        /// Count of password changes that was looked at.
        version: Option<u64>,
        /// The session.
        session: SessionRow,
        /// A role that the configuration gives.
        role: Option<Role>,
    },
    /// Exchange a refresh token. Answers a `Rotated`.
    Rotate(Rotation),
    /// End a session. Answers `()`.
    EndSession(SessionId),
    /// End a session, if it is there. Answers `()`.
    LogOut(SessionId),
    /// End all sessions. Answers whether there were any, a `bool`.
    EndSessions,
    /// Set a password. Answers a `UserId`.
    SetPassword(PasswordChange),
    /// Give a guest a name, a password, and the role that the configuration gives. Answers a `UserId`.
    Upgrade(Login, SessionId, Option<Role>),
    /// Keep a reset token. Answers a `ResetRow`.
    AddReset(SecretHash, ResetRow),
    /// Commit as much as if a reset token were kept, and keep none: there is no such account. Answers the `ResetRow`.
    AddNoReset(ResetRow),
    /// Change the profile. Answers a `ProfileRow`.
    UpdateProfile(ProfileChange),
    /// Do what the staff, or a rule, has decided about the player.
    Moderate(Moderation),
    /// Go on with the end of the account.
    End(AccountEnd),
}

/// The steps in which an account ends.
#[derive(Clone, Debug)]
pub enum AccountEnd {
    /// Have it erased at this time, for a reason if an admin asks for it. Answers when it will be, a `u64`.
    Delete(u64, Option<String>),
    /// Begin to erase it: friendships, requests and blocks end. Answers `()`.
    Begin,
    /// Erase it, and everything personal beside it; these lines of the books say nothing any more. The last step. Answers `()`.
    Erase(Redacted),
}

/// What the staff decides about a player, or the server by a rule.
#[derive(Clone, Debug)]
pub enum Moderation {
    /// Change the profile in place of the player, who is told why. Answers a `ProfileRow`.
    ResetProfile(ProfileChange, String),
    /// Suspend the player. Answers whether it has, a `bool`: a rule does not, where one is in force.
    Suspend(Sanction),
    /// End a suspension. Answers whether there was one, a `bool`.
    LiftSuspension,
    /// Mute the player everywhere. Answers whether it has, a `bool`: a rule does not, where one is in force.
    Mute(Sanction),
    /// End a mute. Answers whether there was one, a `bool`.
    Unmute,
}

impl Moderation {
    /// What it is in the audit log, and in logs.
    pub const fn act(&self) -> AuditAct {
        match self {
            Self::ResetProfile(..) => AuditAct::ProfileReset,
            Self::Suspend(_) => AuditAct::Suspended,
            Self::LiftSuspension => AuditAct::SuspensionLifted,
            Self::Mute(_) => AuditAct::Muted,
            Self::Unmute => AuditAct::Unmuted,
        }
    }
}
