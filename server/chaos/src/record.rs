//! What players asked, and what they were told, in the order in which this process saw it.

mod ask;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pitturu_protocol::codes::Code;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::boards::{BoardStanding, ScoreSubmitted, Scores};
use pitturu_protocol::types::chat::{LostReason, Message, RoomInfo};
use pitturu_protocol::types::friends::FriendState;
use pitturu_protocol::types::inbox::InboxEntry;
use pitturu_protocol::types::items::{ItemChange, Purchased};
use pitturu_protocol::types::points::{Movement, Wallet};
use pitturu_protocol::types::rewards::PlayRecorded;

pub use self::ask::{Ask, Look};

/// A player's place in the list of players.
pub type PlayerNo = usize;

/// Number of one call of the round. A repetition under the same key is a call of its own.
pub type CallNo = u64;

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
    /// What a wallet has.
    Wallet(Wallet),
    /// Some movements.
    Movements(Vec<Movement>),
    /// A purchase.
    Bought(Box<Purchased>),
    /// A change of what is owned.
    Item(Box<ItemChange>),
    /// What there was for a game played.
    Played(Box<PlayRecorded>),
    /// A score that was taken.
    Score(ScoreSubmitted),
    /// A part of a leaderboard.
    Scores(Box<Scores>),
    /// A leaderboard at a glance.
    Standing(Box<BoardStanding>),
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
    /// What the wallet has.
    Wallet(Wallet),
    /// A change of what is owned.
    Item(Box<ItemChange>),
    /// A leaderboard that is followed.
    Standing(Box<BoardStanding>),
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

    /// What a player was told of a leaderboard last, by whatever.
    pub fn standing(&self, player: PlayerNo, board: &str) -> Option<BoardStanding> {
        let lines = self.lines.lock();
        let lines = lines.iter().rev().filter(|line| line.player == player);
        let mut standings = lines.filter_map(|line| match &line.what {
            What::Heard(Heard::Standing(standing))
            | What::Answered(_, Outcome::Done(Reply::Standing(standing))) => Some(standing),
            _ => None,
        });
        let last = standings.find(|standing| standing.board == board);
        last.map(|standing| BoardStanding::clone(standing))
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
