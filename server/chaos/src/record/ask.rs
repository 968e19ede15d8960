//! What players ask.

use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::chat::MemberRole;

/// What a player asks. Reads that nothing is concluded from are not written down.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// A message, of which no two have the same text.
    Send { room: RoomId, text: String },
    /// Another text for a message, of which no two are the same either.
    Edit {
        room: RoomId,
        seq: u64,
        text: String,
    },
    /// The end of a message.
    Delete { room: RoomId, seq: u64 },
    /// A reaction, or its end.
    React {
        room: RoomId,
        seq: u64,
        emoji: String,
        on: bool,
    },
    /// A room of one's own.
    Create { name: String },
    /// The room of two players.
    Direct { peer: UserId },
    /// To be a member.
    Join { room: RoomId },
    /// To be in the room that is known by this handle, whichever that is.
    Enter { handle: &'static str },
    /// To follow a room, from a cursor or from now on.
    Open {
        room: RoomId,
        from: Option<(u64, u64)>,
    },
    /// To follow it no longer.
    Close { room: RoomId },
    /// To follow rooms again after a reconnect.
    Resume { rooms: Vec<RoomId> },
    /// To be no member.
    Leave { room: RoomId },
    /// To let somebody in.
    Invite { room: RoomId, user: UserId },
    /// To put somebody out. No two reasons are the same.
    Kick {
        room: RoomId,
        user: UserId,
        reason: String,
    },
    /// To keep somebody out. No two reasons are the same.
    Ban {
        room: RoomId,
        user: UserId,
        reason: String,
    },
    /// To keep them out no longer.
    Unban { room: RoomId, user: UserId },
    /// To silence somebody. No two times are the same.
    Mute {
        room: RoomId,
        user: UserId,
        until: u64,
    },
    /// Another role.
    Role {
        room: RoomId,
        user: UserId,
        role: MemberRole,
    },
    /// Another topic, of which no two are the same.
    Topic { room: RoomId, topic: String },
    /// A read marker.
    Mark { room: RoomId, seq: u64 },
    /// A page of messages.
    History { room: RoomId },
    /// Friendship.
    Befriend { user: UserId },
    /// Yes to it.
    Accept { user: UserId },
    /// The end of it.
    Unfriend { user: UserId },
    /// A block.
    Block { user: UserId },
    /// Its end.
    Unblock { user: UserId },
    /// To spend points.
    Spend { amount: u64 },
    /// To give points to somebody. No two notes are the same.
    Give {
        user: UserId,
        amount: u64,
        note: String,
    },
    /// To have a player own points.
    Grant {
        user: UserId,
        amount: u64,
        note: String,
    },
    /// To take points from a player.
    Deduct {
        user: UserId,
        amount: u64,
        note: String,
    },
    /// To set points aside until then.
    Aside {
        user: UserId,
        amount: u64,
        until: u64,
    },
    /// To have points spent that were set aside; all if no amount is given.
    Post {
        user: UserId,
        movement: u64,
        amount: Option<u64>,
    },
    /// To free points that were set aside.
    Void { user: UserId, movement: u64 },
    /// To give back what was spent; all that is left if no amount is given.
    Refund {
        user: UserId,
        movement: u64,
        amount: Option<u64>,
        note: String,
    },
    /// What the own wallet has.
    Wallet,
    /// The own movements behind this number.
    Movements { after: u64 },
    /// To buy an item.
    Buy {
        item: &'static str,
        count: u64,
        price: u64,
    },
    /// To use it up.
    Use { item: &'static str, count: u64 },
    /// To have a player own an item.
    GiveItem {
        user: UserId,
        item: &'static str,
        count: u64,
        note: String,
    },
    /// To have it noted that a player has played.
    Play {
        user: UserId,
        game: &'static str,
        won: bool,
    },
    /// To have a score taken. No two are submitted with the same words.
    Score {
        board: &'static str,
        user: UserId,
        score: i64,
        words: String,
    },
    /// To see a leaderboard.
    Look { board: &'static str, look: Look },
    /// To hear of its changes.
    Follow { board: &'static str },
}

/// What of a leaderboard is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Everybody on it.
    All,
    /// A player, and who is next to them.
    Around(UserId),
    /// A player.
    One(UserId),
}

impl Ask {
    /// The room that it is about.
    pub fn room(&self) -> Option<RoomId> {
        match self {
            Self::Send { room, .. }
            | Self::Edit { room, .. }
            | Self::Delete { room, .. }
            | Self::React { room, .. }
            | Self::Join { room }
            | Self::Open { room, .. }
            | Self::Close { room }
            | Self::Leave { room }
            | Self::Invite { room, .. }
            | Self::Kick { room, .. }
            | Self::Ban { room, .. }
            | Self::Unban { room, .. }
            | Self::Mute { room, .. }
            | Self::Role { room, .. }
            | Self::Topic { room, .. }
            | Self::Mark { room, .. }
            | Self::History { room } => Some(*room),
            _ => None,
        }
    }

    /// The other player whom it is about.
    pub fn user(&self) -> Option<UserId> {
        match self {
            Self::Direct { peer: user }
            | Self::Invite { user, .. }
            | Self::Kick { user, .. }
            | Self::Ban { user, .. }
            | Self::Unban { user, .. }
            | Self::Mute { user, .. }
            | Self::Role { user, .. }
            | Self::Befriend { user }
            | Self::Accept { user }
            | Self::Unfriend { user }
            | Self::Block { user }
            | Self::Unblock { user }
            | Self::Give { user, .. }
            | Self::Grant { user, .. }
            | Self::Deduct { user, .. }
            | Self::Aside { user, .. }
            | Self::Post { user, .. }
            | Self::Void { user, .. }
            | Self::Refund { user, .. }
            | Self::GiveItem { user, .. }
            | Self::Play { user, .. }
            | Self::Score { user, .. } => Some(*user),
            _ => None,
        }
    }

    /// Whether the caller may be following the room of the answer, or the room, once it was asked.
    pub fn may_open(&self, room: RoomId) -> bool {
        match self {
            Self::Create { .. } | Self::Direct { .. } | Self::Enter { .. } => true,
            Self::Join { room: asked } | Self::Open { room: asked, .. } => *asked == room,
            Self::Resume { rooms } => rooms.contains(&room),
            _ => false,
        }
    }

    /// Its name in reports.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Send { .. } => "send",
            Self::Edit { .. } => "edit",
            Self::Delete { .. } => "delete",
            Self::React { .. } => "react",
            Self::Create { .. } => "create",
            Self::Direct { .. } => "direct",
            Self::Join { .. } => "join",
            Self::Enter { .. } => "enter",
            Self::Open { .. } => "open",
            Self::Close { .. } => "close",
            Self::Resume { .. } => "resume",
            Self::Leave { .. } => "leave",
            Self::Invite { .. } => "invite",
            Self::Kick { .. } => "kick",
            Self::Ban { .. } => "ban",
            Self::Unban { .. } => "unban",
            Self::Mute { .. } => "mute",
            Self::Role { .. } => "role",
            Self::Topic { .. } => "topic",
            Self::Mark { .. } => "mark read",
            Self::History { .. } => "history",
            Self::Befriend { .. } => "request friend",
            Self::Accept { .. } => "accept friend",
            Self::Unfriend { .. } => "remove friend",
            Self::Block { .. } => "block",
            Self::Unblock { .. } => "unblock",
            Self::Spend { .. } => "spend points",
            Self::Give { .. } => "give points",
            Self::Grant { .. } => "grant points",
            Self::Deduct { .. } => "deduct points",
            Self::Aside { .. } => "set points aside",
            Self::Post { .. } => "post points",
            Self::Void { .. } => "void points",
            Self::Refund { .. } => "refund points",
            Self::Wallet => "wallet",
            Self::Movements { .. } => "movements",
            Self::Buy { .. } => "buy item",
            Self::Use { .. } => "use item",
            Self::GiveItem { .. } => "grant item",
            Self::Play { .. } => "record play",
            Self::Score { .. } => "submit score",
            Self::Look { .. } => "look at a leaderboard",
            Self::Follow { .. } => "follow a leaderboard",
        }
    }

    /// Whether it may find done what it asks for. The server keeps no result of a call that changes nothing, and a repetition of it
    /// may act.
    pub const fn may_change_nothing(&self) -> bool {
        matches!(
            self,
            Self::React { .. }
                | Self::Leave { .. }
                | Self::Invite { .. }
                | Self::Ban { .. }
                | Self::Unban { .. }
                | Self::Mute { .. }
                | Self::Role { .. }
                | Self::Topic { .. }
                | Self::Mark { .. }
                | Self::Befriend { .. }
                | Self::Accept { .. }
                | Self::Unfriend { .. }
                | Self::Block { .. }
                | Self::Unblock { .. }
        )
    }

    /// Whether it changes something that outlives the connection.
    pub const fn writes(&self) -> bool {
        !matches!(
            self,
            Self::Open { .. }
                | Self::Close { .. }
                | Self::Resume { .. }
                | Self::History { .. }
                | Self::Wallet
                | Self::Movements { .. }
                | Self::Look { .. }
                | Self::Follow { .. }
        )
    }
}
