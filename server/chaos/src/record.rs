//! What players asked, and what they were told, in the order in which this process saw it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pitturu_protocol::codes::Code;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::chat::{LostReason, MemberRole, Message, RoomInfo};
use pitturu_protocol::types::friends::FriendState;
use pitturu_protocol::types::inbox::InboxEntry;
use pitturu_protocol::types::points::Movement;

/// A player's place in the list of players.
pub type PlayerNo = usize;

/// Number of one call of the round. A repetition under the same key is a call of its own.
pub type CallNo = u64;

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
            | Self::Give { user, .. } => Some(*user),
            _ => None,
        }
    }

    /// Whether the caller may be following the room of the answer, or the room, once it was asked.
    pub fn may_open(&self, room: RoomId) -> bool {
        match self {
            Self::Create { .. } | Self::Direct { .. } => true,
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
            Self::Open { .. } | Self::Close { .. } | Self::Resume { .. } | Self::History { .. }
        )
    }
}

/// What of a successful reply is looked at.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// That it was done.
    Done,
    /// The message's sequence.
    Sent(u64),
    /// The change's revision, if something changed.
    Changed(Option<u64>),
    /// An open room: its id, head and revision.
    View(RoomId, u64, u64),
    /// A read marker, and the unread after it.
    Marker(u64, u64),
    /// Messages with head and revision.
    Page(Vec<Message>, u64, u64),
    /// How two players stand.
    Friend(FriendState),
    /// A movement of points.
    Moved(Box<Movement>),
    /// Settings.
    Info(Box<RoomInfo>),
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is done.
    Done(Reply),
    /// The server says that it is not done.
    Refused(Code),
    /// It never left the client, which had no connection: it is not done.
    Unsent,
    /// Nobody knows: the connection went away, or the time was over.
    Unknown(&'static str),
}

/// What a player hears without asking, and where their connection stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// The room is open from this sequence and revision on. Only connections that see every frame say so.
    Opened(RoomId, u64, u64),
    /// A message.
    Message(RoomId, Message),
    /// A change to a message.
    Change(RoomId, u64, Change),
    /// Messages up to this are missing, as the server said.
    GapMessages(RoomId, u64),
    /// Changes up to this are missing.
    GapChanges(RoomId, u64),
    /// The room is not open any more.
    Lost(RoomId, Option<LostReason>),
    /// Settings of a room.
    Info(Box<RoomInfo>),
    /// An entry of the inbox.
    Inbox(u64, InboxEntry),
    /// Entries of the inbox up to this are missing.
    GapInbox(u64),
    /// The connection is gone.
    Disconnected,
    /// What the SDK found the server to have said or left out against the protocol.
    Mismatch(String),
}

impl Heard {
    /// The room that it is about.
    pub fn room(&self) -> Option<RoomId> {
        match self {
            Self::Opened(room, ..)
            | Self::Message(room, _)
            | Self::Change(room, ..)
            | Self::GapMessages(room, _)
            | Self::GapChanges(room, _)
            | Self::Lost(room, _) => Some(*room),
            Self::Info(info) => Some(info.room),
            _ => None,
        }
    }
}

/// A change to a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Another text.
    Edited { seq: u64, text: String },
    /// Gone.
    Deleted { seq: u64 },
    /// A reaction, and how many there are now.
    Reacted {
        seq: u64,
        user: UserId,
        emoji: String,
        on: bool,
        count: u32,
    },
}

impl Change {
    /// The message.
    pub const fn seq(&self) -> u64 {
        match self {
            Self::Edited { seq, .. } | Self::Deleted { seq } | Self::Reacted { seq, .. } => *seq,
        }
    }
}

/// One line of the record.
#[derive(Clone, Debug)]
pub struct Line {
    /// Since the beginning of the round.
    pub at: Duration,
    /// Whose.
    pub player: PlayerNo,
    /// What.
    pub what: What,
}

/// What a line says.
#[derive(Clone, Debug)]
pub enum What {
    /// A call begins. Calls with the same key are repetitions of one another.
    Asked(CallNo, Ask, String),
    /// A call has ended.
    Answered(CallNo, Outcome),
    /// Something came by itself.
    Heard(Heard),
    /// Something was done to the server or to connections.
    Fault(String),
}

/// A call with its end.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who asked.
    pub player: PlayerNo,
    /// What.
    pub ask: Ask,
    /// Under which key.
    pub key: String,
    /// The place of the asking in the record.
    pub asked: usize,
    /// The place of the answer. A call of unknown outcome may take effect until the server that it went to is gone.
    pub answered: usize,
    /// How it ended.
    pub outcome: Outcome,
}

/// Everything that was asked and told in a round.
pub struct Record {
    began: Instant,
    lines: Mutex<Vec<Line>>,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            lines: Mutex::new(Vec::with_capacity(1 << 16)),
        }
    }
}

impl Record {
    /// Writes a line.
    pub fn write(&self, player: PlayerNo, what: What) {
        let mut lines = self.lines.lock();
        // Looked at under the lock, so that times stand in the order of the lines.
        let at = self.began.elapsed();
        lines.push(Line { at, player, what });
    }

    /// Notes what a player hears.
    pub fn heard(&self, player: PlayerNo, heard: Heard) {
        self.write(player, What::Heard(heard));
    }

    /// Takes all lines.
    pub fn take(&self) -> Vec<Line> {
        std::mem::take(&mut self.lines.lock())
    }
}

/// What a fault's line says when another server has begun to serve.
pub const READY: &str = "the server is ready";

/// All calls of a record by their numbers.
pub fn calls(lines: &[Line]) -> BTreeMap<CallNo, Call> {
    let mut calls: BTreeMap<CallNo, Call> = BTreeMap::new();
    // Calls whose outcome nobody knows, and which may be on their way in the present server.
    let mut unknown: Vec<CallNo> = Vec::new();
    for (place, line) in lines.iter().enumerate() {
        match &line.what {
            What::Asked(number, ask, key) => {
                let call = Call {
                    player: line.player,
                    ask: ask.clone(),
                    key: key.clone(),
                    asked: place,
                    answered: usize::MAX,
                    outcome: Outcome::Unknown("no answer"),
                };
                calls.insert(*number, call);
            }
            What::Answered(number, outcome) => {
                if let Some(call) = calls.get_mut(number) {
                    call.outcome = outcome.clone();
                    match outcome {
                        Outcome::Unknown(_) => unknown.push(*number),
                        _ => call.answered = place,
                    }
                }
            }
            What::Fault(fault) if fault == READY => {
                for number in unknown.drain(..) {
                    if let Some(call) = calls.get_mut(&number) {
                        call.answered = place;
                    }
                }
            }
            What::Heard(_) | What::Fault(_) => {}
        }
    }
    calls
}
