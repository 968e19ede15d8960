//! What a server of the game does, signed in as a service.

use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::boards::SubmitScore;
use pitturu_protocol::types::items::GrantItem;
use pitturu_protocol::types::points::{
    DeductPoints, GrantPoints, PostPoints, RefundPoints, SetPointsAside, VoidPoints,
};
use pitturu_protocol::types::rewards::{PlayOutcome, RecordPlay};

use super::Worker;
use super::game::moved;
use crate::game::{BOARDS, Board, CHESS, POTION};
use crate::record::{Ask, Outcome, Reply};

/// Longest time for which points are set aside, in milliseconds.
const ASIDE_MS_MAX: u64 = 6_000;

/// Most points of one grant: so few that wallets come to be empty.
const GRANT_MAX: u64 = 120;

/// Greatest score of the leaderboard that keeps the best: so small that scores are equal now and then.
const BEST_MAX: i64 = 400;

impl Worker<'_> {
    pub(super) async fn serve(&mut self) {
        let user = self.other().user;
        match self.rng.u8(..20) {
            0..=8 => {
                let board = &BOARDS[self.rng.usize(..BOARDS.len())];
                self.submit(board, user).await;
            }
            9..=12 => self.record_play(user).await,
            13..=14 => self.grant_points(user).await,
            15..=16 => self.set_aside(user).await,
            17 => self.end_aside().await,
            18 => self.refund().await,
            _ => self.grant_item(user).await,
        }
    }

    pub(super) async fn submit(&mut self, board: &'static Board, user: UserId) -> Outcome {
        let words = format!("s{}", self.world.number());
        let score = match board.name {
            "best" => self.rng.i64(-BEST_MAX..BEST_MAX),
            "sum" => self.rng.i64(1..1_000),
            _ => self.rng.i64(-1_000_000_000..1_000_000_000),
        };
        let request = SubmitScore {
            board: board.name.to_owned(),
            user,
            score,
            metadata: Some(words.clone()),
        };
        let ask = Ask::Score {
            board: board.name,
            user,
            score,
            words,
        };
        self.call(ask, request, |_, submitted| Reply::Score(submitted))
            .await
    }

    async fn record_play(&mut self, user: UserId) {
        let game = match self.rng.u8(..4) {
            0 => "go",
            _ => CHESS,
        };
        let won = self.rng.bool();
        let outcome = match won {
            true => PlayOutcome::Won,
            false => PlayOutcome::Lost,
        };
        let request = RecordPlay {
            user,
            game: game.to_owned(),
            outcome,
        };
        let ask = Ask::Play { user, game, won };
        self.call(ask, request, |_, played| Reply::Played(Box::new(played)))
            .await;
    }

    async fn grant_points(&mut self, user: UserId) {
        let note = format!("n{}", self.world.number());
        if self.rng.u8(..4) == 0 {
            let amount = self.rng.u64(1..30);
            let ask = Ask::Deduct {
                user,
                amount,
                note: note.clone(),
            };
            let request = DeductPoints {
                user,
                amount,
                reference: None,
                note,
            };
            self.call(ask, request, moved).await;
            return;
        }
        let amount = self.rng.u64(1..GRANT_MAX);
        let ask = Ask::Grant {
            user,
            amount,
            note: note.clone(),
        };
        let request = GrantPoints {
            user,
            amount,
            reference: None,
            note,
        };
        self.call(ask, request, moved).await;
    }

    async fn set_aside(&mut self, user: UserId) {
        let amount = self.rng.u64(1..60);
        let until = self.world.now() + self.rng.u64(50..ASIDE_MS_MAX);
        let ask = Ask::Aside {
            user,
            amount,
            until,
        };
        let request = SetPointsAside {
            user,
            amount,
            until,
            reference: None,
            note: None,
        };
        let outcome = self.call(ask, request, moved).await;
        if let Outcome::Done(Reply::Moved(movement)) = outcome {
            let aside = (user, movement.number, movement.amount);
            self.world.aside.lock().push(aside);
        }
    }

    /// Has points spent that are set aside, or frees them.
    async fn end_aside(&mut self) {
        let aside = {
            let mut all = self.world.aside.lock();
            match all.is_empty() {
                true => return,
                false => {
                    let one = self.rng.usize(..all.len());
                    // Two calls about the same one meet now and then.
                    match self.rng.u8(..4) {
                        0 => all[one],
                        _ => all.swap_remove(one),
                    }
                }
            }
        };
        let (user, movement, aside) = aside;
        if self.rng.u8(..3) == 0 {
            let ask = Ask::Void { user, movement };
            self.call(ask, VoidPoints { user, movement }, moved).await;
            return;
        }
        let amount = self.rng.bool().then(|| self.rng.u64(1..=aside));
        let ask = Ask::Post {
            user,
            movement,
            amount,
        };
        let request = PostPoints {
            user,
            movement,
            amount,
        };
        self.call(ask, request, moved).await;
    }

    async fn refund(&mut self) {
        let spent = {
            let all = self.world.spent.lock();
            match all.is_empty() {
                true => return,
                false => all[self.rng.usize(..all.len())],
            }
        };
        let (user, movement, spent) = spent;
        let amount = self.rng.bool().then(|| self.rng.u64(1..=spent));
        let note = format!("n{}", self.world.number());
        let ask = Ask::Refund {
            user,
            movement,
            amount,
            note: note.clone(),
        };
        let request = RefundPoints {
            user,
            movement,
            amount,
            note,
        };
        self.call(ask, request, moved).await;
    }

    async fn grant_item(&mut self, user: UserId) {
        let note = format!("n{}", self.world.number());
        let count = self.rng.u64(1..3);
        let ask = Ask::GiveItem {
            user,
            item: POTION,
            count,
            note: note.clone(),
        };
        let request = GrantItem {
            user,
            item: POTION.to_owned(),
            count,
            note,
        };
        self.call(ask, request, |_, change| Reply::Item(Box::new(change)))
            .await;
    }
}
