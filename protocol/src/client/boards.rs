//! Leaderboards that are followed: the server tells a connection of them, so each later connection follows them again.

use crate::codec;
use crate::codes::Fault;
use crate::events::Event;
use crate::types::boards::{BoardStanding, FollowBoard, RankChanged, UnfollowBoard};

use super::calls::{Owner, Pending};
use super::request::Consequence;
use super::{ClientConnection, Output};

impl ClientConnection {
    /// Follows on this connection what was followed on the one before.
    pub(super) fn follow_boards(&mut self) {
        self.calls.end_owned(|owner| owner == Owner::Follow);
        for board in self.boards.clone() {
            self.calls.follow(&FollowBoard { board });
        }
    }

    /// How the leaderboard stands now. What happened while nobody was told is in it.
    pub(super) fn follows_board_again(&mut self, pending: &Pending, body: &[u8]) {
        if let Consequence::Follows(board) = &pending.consequence
            && !self.boards.contains(board)
        {
            // Ended while this was under way.
            let board = board.clone();
            self.calls.add(Owner::Close, &UnfollowBoard { board }, None);
            return;
        }
        let standing: BoardStanding = match codec::decode(body) {
            Ok(standing) => standing,
            Err(why) => {
                let why = format!("the reply can't be read: {why}");
                return self.forget_board(pending, &why);
            }
        };
        let body = codec::encode(&RankChanged { standing }).into();
        if self.is_news(self.present(), RankChanged::NUMBER, &body) {
            self.outputs.push_back(Output::Event {
                event: RankChanged::NUMBER,
                body,
            });
        }
    }

    pub(super) fn board_refused(&mut self, pending: &Pending, fault: &Fault) {
        self.forget_board(pending, &fault.to_string());
    }

    fn forget_board(&mut self, pending: &Pending, why: &str) {
        if let Consequence::Follows(board) = &pending.consequence {
            self.boards.remove(board);
            self.mismatch(format!(
                "the server does not let the leaderboard {board} be followed again: {why}"
            ));
        }
    }
}
