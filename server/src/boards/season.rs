//! A season in memory.

use std::sync::Arc;

use pitturu_protocol::ids::BoardId;
use pitturu_rules::boards::{Definitions, SeasonBoard};

/// A season in memory.
#[derive(Debug)]
pub struct LiveSeason {
    pub(super) id: BoardId,
    pub(super) definitions: Arc<Definitions>,
    /// None: nothing is stored of it, and nobody has said which one it is.
    pub(super) board: Option<SeasonBoard>,
}
