//! What players do with what the game gives them: points, items, leaderboards.

use pitturu_protocol::types::boards::{
    FollowBoard, GetScore, ListScoresAround, ListTopScores, Scores,
};
use pitturu_protocol::types::items::{BuyItem, UseItem};
use pitturu_protocol::types::points::{
    GetWallet, GivePoints, ListMovements, Movement, MovementsFrom, SpendPoints,
};

use super::Worker;
use crate::game::{BOARDS, Board, ITEMS, POTION};
use crate::record::{Ask, Look, Outcome, Reply};

/// Movements of one page of history.
const PAGE: u32 = 40;

/// More than the players of a round.
const EVERYBODY: u32 = 200;

pub(super) fn moved<M>(_: &M, movement: Movement) -> Reply {
    Reply::Moved(Box::new(movement))
}

fn scores<M>(_: &M, scores: Scores) -> Reply {
    Reply::Scores(Box::new(scores))
}

impl Worker<'_> {
    /// Spends some, gives some away, at times more than there is, or looks at what there is.
    pub(super) async fn points(&mut self) {
        match self.rng.u8(..10) {
            0..=3 => self.spend().await,
            4..=7 => self.give().await,
            8 => {
                self.call(Ask::Wallet, GetWallet::default(), |_, wallet| {
                    Reply::Wallet(wallet)
                })
                .await;
            }
            _ => self.movements().await,
        }
    }

    async fn spend(&mut self) {
        let amount = self.rng.u64(1..60);
        let request = SpendPoints {
            amount,
            reference: None,
        };
        let outcome = self.call(Ask::Spend { amount }, request, moved).await;
        self.remember_spent(&outcome);
    }

    async fn give(&mut self) {
        let amount = self.rng.u64(1..60);
        let user = self.other().user;
        let note = format!("g{}", self.world.number());
        let ask = Ask::Give {
            user,
            amount,
            note: note.clone(),
        };
        let request = GivePoints {
            user,
            amount,
            note: Some(note),
        };
        self.call(ask, request, moved).await;
    }

    fn remember_spent(&self, outcome: &Outcome) {
        let spent = match outcome {
            Outcome::Done(Reply::Moved(movement)) => (movement.number, movement.amount),
            Outcome::Done(Reply::Bought(bought)) => {
                (bought.change.movement.unwrap_or(0), bought.points)
            }
            _ => return,
        };
        let mut all = self.world.spent.lock();
        all.push((self.player.user, spent.0, spent.1));
    }

    async fn movements(&mut self) {
        let after = self.rng.u64(..60);
        let request = ListMovements {
            from: Some(MovementsFrom::After(after)),
            limit: Some(PAGE),
            ..ListMovements::default()
        };
        self.call(Ask::Movements { after }, request, |_, page| {
            Reply::Movements(page.movements)
        })
        .await;
    }

    /// Buys something, or uses it up, at times more than there is.
    pub(super) async fn items(&mut self) {
        if self.rng.u8(..3) == 0 {
            let count = self.rng.u64(1..3);
            let request = UseItem {
                item: POTION.to_owned(),
                count,
            };
            let ask = Ask::Use {
                item: POTION,
                count,
            };
            self.call(ask, request, |_, change| Reply::Item(Box::new(change)))
                .await;
            return;
        }
        let item = ITEMS[self.rng.usize(..ITEMS.len())];
        let count = self.rng.u64(1..3);
        let request = BuyItem {
            item: item.name.to_owned(),
            count,
            price: item.price,
        };
        let ask = Ask::Buy {
            item: item.name,
            count,
            price: item.price,
        };
        let outcome = self
            .call(ask, request, |_, bought| Reply::Bought(Box::new(bought)))
            .await;
        self.remember_spent(&outcome);
    }

    /// Looks at a leaderboard, or follows it.
    pub(super) async fn boards(&mut self) {
        let board = &BOARDS[self.rng.usize(..BOARDS.len())];
        let somebody = match self.rng.bool() {
            true => self.player.user,
            false => self.other().user,
        };
        match self.rng.u8(..10) {
            0..=3 => self.look(board, Look::All).await,
            4..=5 => self.look(board, Look::Around(somebody)).await,
            6..=7 => self.look(board, Look::One(somebody)).await,
            _ => {
                self.follow(board).await;
            }
        }
    }

    async fn look(&mut self, board: &'static Board, look: Look) {
        let (name, ask) = (
            board.name.to_owned(),
            Ask::Look {
                board: board.name,
                look,
            },
        );
        match look {
            Look::All => {
                let request = ListTopScores {
                    board: name,
                    season: None,
                    offset: None,
                    limit: Some(EVERYBODY),
                };
                self.call(ask, request, scores).await;
            }
            Look::Around(user) => {
                let request = ListScoresAround {
                    board: name,
                    season: None,
                    user: Some(user),
                    before: Some(self.rng.u32(..4)),
                    after: Some(self.rng.u32(..4)),
                };
                self.call(ask, request, scores).await;
            }
            Look::One(user) => {
                let request = GetScore {
                    board: name,
                    season: None,
                    user: Some(user),
                };
                self.call(ask, request, |_, score| {
                    Reply::Scores(Box::new(Scores {
                        season: score.season,
                        count: score.count,
                        entries: vec![score.entry],
                        more: false,
                    }))
                })
                .await;
            }
        }
    }

    /// Follows a leaderboard on the connection that there is.
    pub(super) async fn follow(&mut self, board: &'static Board) -> Outcome {
        let request = FollowBoard {
            board: board.name.to_owned(),
        };
        let ask = Ask::Follow { board: board.name };
        self.call(ask, request, |_, standing| {
            Reply::Standing(Box::new(standing))
        })
        .await
    }
}
