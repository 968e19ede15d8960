//! What is asked of a season.

use std::sync::Arc;

use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::boards::ScoreEntry;
use pitturu_rules::audit_log::Note;
use pitturu_rules::boards::{Direction, Operator, SeasonOf, Submission};
use serde::{Deserialize, Serialize};

/// What is asked, and of which season: one of which nothing is stored yet learns by it which it is.
#[derive(Debug)]
pub struct Ask {
    /// The season.
    pub of: Arc<SeasonOf>,
    /// What.
    pub wish: Wish,
}

/// What is asked.
#[derive(Debug)]
pub enum Wish {
    /// Take a score. Answers an `Option<ScoreSubmitted>`: none if the season is over.
    Submit {
        /// The score.
        submission: Box<Submission>,
        /// The call has a key: what it was answered is kept, also where nothing changes.
        has_key: bool,
    },
    /// Take a player off the board. Answers an `Option<bool>`: none if the season is over, and only a running one is meant; true if it is done.
    Remove {
        /// The player.
        player: UserId,
        /// Not if the season is over.
        only_running: bool,
        /// What the audit log keeps of it; absent if the player is erased.
        note: Option<Box<Note>>,
    },
    /// Look at it. Answers a `Seen`.
    Look(Look),
    /// Go on with its end, by force if it never comes otherwise. Answers a `Closing`.
    Close {
        /// By force.
        is_forced: bool,
    },
    /// Go on removing what is kept no longer. Answers a `Closing`.
    Clear,
}

/// What of a season is looked at.
#[derive(Debug)]
pub enum Look {
    /// The best after so many, at most so many.
    Top(u32, u32),
    /// A player, and so many better and worse ones; nobody if the player has no score.
    Around(UserId, u32, u32),
    /// These players, the best first.
    Among(Vec<UserId>),
    /// The best few, and these players.
    Glance(Vec<UserId>),
}

/// What was seen of a season. Entries have no names: a season does not know them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Players who have a score.
    pub count: u32,
    /// Whether it was closed.
    pub is_closed: bool,
    /// What a score does in it.
    pub operator: Operator,
    /// Which scores are better in it.
    pub direction: Direction,
    /// When it ends, in milliseconds since 1970: lists may know an earlier answer.
    pub ends_at: Option<u64>,
    /// What was asked for, or the best few.
    pub entries: Vec<ScoreEntry>,
    /// Of a glance the players that were asked for and have a score, the best first.
    pub own: Vec<ScoreEntry>,
}
