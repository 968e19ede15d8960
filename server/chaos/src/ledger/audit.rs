//! Comparing what the server has with the model, while nothing is in flight.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;

use super::calls::PersonNo;
use super::model::Model;
use super::queries::{
    check_live_page, check_live_wallet, compare_day, compare_history, compare_wallet,
};
use super::reader::{Reader, read_all};
use super::refusals::is_justified;
use super::world::World;

/// One history in so many is read by the player, the others by an admin.
const READ_BY_PLAYERS: u64 = 8;

/// Compares.
pub struct Auditor {
    world: Arc<World>,
    /// All books, as far as they were read.
    pub model: Model,
    /// How much was compared, by what it is.
    pub compared: BTreeMap<&'static str, u64>,
    rng: Rng,
}

impl Auditor {
    /// An auditor who has seen nothing.
    pub fn new(world: Arc<World>) -> Self {
        Self {
            model: Model::new(world.people.len()),
            compared: BTreeMap::new(),
            rng: Rng::with_seed(world.seed.wrapping_add(2)),
            world,
        }
    }

    /// Counts what was compared.
    pub fn count(&mut self, what: &'static str, count: u64) {
        *self.compared.entry(what).or_default() += count;
    }

    /// Reads what is new of every player's books, and compares all that was told, with so many histories by random filters.
    ///
    /// # Errors
    /// What could not be read.
    pub async fn look(&mut self, queries: u64) -> Result<(), String> {
        let players = self.world.players();
        let from = players.map(|player| (player, self.model.books[player as usize].head()));
        self.read(from.collect()).await?;
        self.count("times that nothing was in flight", 1);
        self.model.check_settled(&self.world);
        self.check_told();
        self.query(queries).await
    }

    /// Reads everything from the beginning: no line has changed. And every wallet.
    ///
    /// # Errors
    /// What could not be read.
    pub async fn look_again(&mut self) -> Result<(), String> {
        let players = self.world.players();
        let lines = self.model.lines();
        self.read(players.clone().map(|player| (player, 0)).collect())
            .await?;
        if self.model.lines() != lines {
            let message = format!("{lines} lines became {}", self.model.lines());
            self.world
                .violation("nothing moves by itself", "all books", message);
        }
        let mut reader = Reader::connect(&self.world, 0).await?;
        for player in players {
            self.wallet(&mut reader, player).await;
        }
        Ok(())
    }

    async fn read(&mut self, from: Vec<(PersonNo, u64)>) -> Result<(), String> {
        let mut pages = read_all(&self.world, &from);
        while let Some(page) = pages.recv().await {
            let (player, movements) = page?;
            self.count("lines read", movements.len() as u64);
            self.model.take(&self.world, player, &movements);
        }
        Ok(())
    }

    /// What was told while points moved, by what is known now.
    fn check_told(&mut self) {
        let mut state = self.world.state.lock();
        let (pages, wallets) = (
            std::mem::take(&mut state.pages),
            std::mem::take(&mut state.wallets),
        );
        let refusals = std::mem::take(&mut state.refusals);
        let mut wrong = Vec::new();
        for page in &pages {
            if let Err(message) = check_live_page(&self.model, page) {
                wrong.push(("pages show a part of the history", message));
            }
        }
        for wallet in &wallets {
            if let Err(message) = check_live_wallet(&self.model, wallet) {
                wrong.push(("wallets are of one moment", message));
            }
        }
        for refusal in &refusals {
            if !is_justified(&self.model, &state, refusal) {
                let call = state.calls[refusal.call as usize];
                let message = format!("{call:?}: {refusal:?}");
                wrong.push(("refusals have a reason", message));
            }
        }
        for (rule, message) in wrong {
            state.violation(rule, "while points moved", message);
        }
        drop(state);
        self.count("pages read while points moved", pages.len() as u64);
        self.count("wallets seen while points moved", wallets.len() as u64);
        self.count("refusals judged", refusals.len() as u64);
    }

    async fn query(&mut self, queries: u64) -> Result<(), String> {
        let mut admin = Reader::connect(&self.world, 0).await?;
        for number in 0..queries {
            let player = self.world.any_player(&mut self.rng);
            let compared = match number % READ_BY_PLAYERS {
                0 => {
                    let mut own = Reader::connect(&self.world, player).await?;
                    compare_history(&self.model, &mut own, (player, None), &mut self.rng).await
                }
                _ => {
                    let whose = (player, Some(self.world.user(player)));
                    compare_history(&self.model, &mut admin, whose, &mut self.rng).await
                }
            };
            match compared {
                Ok(pages) => {
                    self.count("histories by random filters", 1);
                    self.count("pages of these", pages);
                }
                Err(message) => {
                    self.world.violation("histories agree", "a filter", message);
                }
            }
            self.wallet(&mut admin, player).await;
        }
        let days: Vec<u64> = self.model.days.keys().copied().collect();
        let beside = days.iter().next_back().map(|day| day + 1);
        for day in days.into_iter().chain(beside) {
            self.count("days", 1);
            if let Err(message) = compare_day(&self.model, &mut admin, day).await {
                self.world.violation("days add up", "a day", message);
            }
        }
        Ok(())
    }

    async fn wallet(&mut self, reader: &mut Reader, player: PersonNo) {
        self.count("wallets", 1);
        let compared = compare_wallet(&self.world, &self.model, reader, player);
        if let Err(message) = compared.await {
            self.world.violation("wallets agree", "a wallet", message);
        }
    }

    /// What `pitturu ledger verify` says of the same books.
    pub fn compare_figures(&self, said: &str) {
        let (wallets, lines) = (self.model.wallets(), self.model.lines());
        let due = format!("{wallets} wallets, {lines} movements");
        if said.lines().next() != Some(due.as_str()) {
            let message = format!("due was {due:?}, it says {said}");
            self.world
                .violation("pitturu ledger verify", "its figures", message);
        }
    }
}
