//! What the game has given: points, items, leaderboards.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use pitturu_protocol::ids::UserId;
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::accounts::Login;
use pitturu_protocol::types::boards::{BoardSeason, ListSeasons, ListTopScores, ScoreEntry};
use pitturu_protocol::types::items::{
    ItemChange, ItemChangesFrom, ListInventory, ListItemChanges, ListItems,
};
use pitturu_protocol::types::points::{
    AccountDay, GetWallet, ListMovements, ListPointsDays, Movement, MovementsFrom,
};
use tokio::time::{Instant, sleep};

use super::{Audit, Auditor, PAGE, PATIENCE, PlayerAudit, Unreadable};
use crate::game::{BOARDS, DAY_MS};
use crate::players::World;
use crate::raw::{Follows, one_call};
use crate::server::{ADMIN, ADMIN_PASSWORD};

/// A season of a leaderboard.
#[derive(Debug)]
pub struct SeasonAudit {
    /// What is said of it.
    pub info: BoardSeason,
    /// How many are said to be on it.
    pub count: u32,
    /// Everybody on it, the best first.
    pub entries: Vec<ScoreEntry>,
}

impl Auditor<'_> {
    /// What a player has, and how it came to be.
    pub(super) async fn belongings(&self, seen: &mut PlayerAudit) -> Result<(), Unreadable> {
        seen.own_movements = self.movements(None).await?;
        let wallet = GetWallet::default();
        seen.wallet = Some(self.call(&wallet, Follows::Nothing).await?);
        seen.own_changes = self.changes(None).await?;
        let owned = ListInventory::default();
        seen.owned = self.call(&owned, Follows::Nothing).await?.items;
        Ok(())
    }

    /// Every movement of a player's points, or of the caller's own.
    pub(super) async fn movements(
        &self,
        user: Option<UserId>,
    ) -> Result<Vec<Movement>, Unreadable> {
        let mut movements = Vec::new();
        let mut from = Some(MovementsFrom::After(0));
        while from.is_some() {
            let request = ListMovements {
                user,
                from,
                limit: Some(PAGE),
                ..ListMovements::default()
            };
            let page = self.call(&request, Follows::Nothing).await?;
            movements.extend(page.movements);
            from = page.next;
        }
        Ok(movements)
    }

    /// Every change of what a player owns, or the caller.
    pub(super) async fn changes(
        &self,
        user: Option<UserId>,
    ) -> Result<Vec<ItemChange>, Unreadable> {
        let mut changes = Vec::new();
        let mut from = Some(ItemChangesFrom::After(0));
        while from.is_some() {
            let request = ListItemChanges {
                user,
                from,
                limit: Some(PAGE),
                ..ListItemChanges::default()
            };
            let page = self.call(&request, Follows::Nothing).await?;
            changes.extend(page.changes);
            from = page.next;
        }
        Ok(changes)
    }

    /// The leaderboards, and what is left of items.
    pub(super) async fn game(&self, audit: &mut Audit) -> Result<(), Unreadable> {
        let items = self.call(&ListItems::default(), Follows::Nothing).await?;
        for item in items.items {
            if let Some(left) = item.left {
                audit.left.insert(item.item, left);
            }
        }
        for board in BOARDS {
            for info in self.seasons(board.name).await? {
                let season = self.season(board.name, info).await?;
                let number = season.info.number;
                audit.seasons.insert((board.name, number), season);
            }
        }
        Ok(())
    }

    async fn seasons(&self, board: &str) -> Result<Vec<BoardSeason>, Unreadable> {
        let request = ListSeasons {
            board: board.to_owned(),
            before: None,
            limit: Some(PAGE),
        };
        Ok(self.call(&request, Follows::Nothing).await?.seasons)
    }

    async fn season(&self, board: &str, info: BoardSeason) -> Result<SeasonAudit, Unreadable> {
        let request = ListTopScores {
            board: board.to_owned(),
            season: Some(info.number),
            offset: None,
            limit: Some(PAGE),
        };
        let scores = self.call(&request, Follows::Nothing).await?;
        Ok(SeasonAudit {
            info,
            count: scores.count,
            entries: scores.entries,
        })
    }
}

/// Waits until every season that is over has been closed.
///
/// # Errors
/// [`Unreadable`]: one is not, within the time.
pub async fn seasons_end(world: &World, address: SocketAddr) -> Result<(), Unreadable> {
    let auditor = Auditor::begin(&world.players[0], address).await?;
    let began = Instant::now();
    loop {
        let mut open = Vec::new();
        for board in BOARDS {
            let seasons = auditor.seasons(board.name).await?;
            let over = seasons.into_iter().filter(|season| {
                let is_over = season.ends_at.is_some_and(|end| end < world.now());
                is_over && !season.ended
            });
            open.extend(over.map(|season| format!("{} {season:?}", board.name)));
        }
        if open.is_empty() {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            return Err(auditor.missing(&format!("the end of {}", open.join(", "))));
        }
        sleep(super::LOOK_AGAIN).await;
    }
}

/// What all accounts gave and got on the days of these movements, as an admin is told.
pub(super) async fn days(
    world: &World,
    address: SocketAddr,
    players: &[PlayerAudit],
) -> Result<BTreeMap<u64, Vec<AccountDay>>, Unreadable> {
    let missing = |what: &str| Unreadable::Missing {
        player: ADMIN.to_owned(),
        what: what.to_owned(),
    };
    let key = |what: &str| format!("{:-<32}", format!("admin-{:x}-{what}", world.seed));
    let login = Login {
        username: ADMIN.to_owned(),
        password: ADMIN_PASSWORD.to_owned(),
        device: None,
        known: None,
    };
    let signed_in = one_call(address, None, &login, &key("login")).await;
    let token = match signed_in {
        Some(Ok(signed_in)) => signed_in.access,
        _ => return Err(missing("a sign-in")),
    };
    let times = players.iter().flat_map(|player| &player.movements);
    let times = times.map(|movement| movement.at / DAY_MS);
    let (first, last) = (times.clone().min(), times.max());
    let mut days = BTreeMap::new();
    for day in first.unwrap_or(1)..=last.unwrap_or(0) {
        let request = ListPointsDays {
            day: u32::try_from(day).unwrap_or(u32::MAX),
            after: None,
        };
        let token = Some(token.clone());
        let page = one_call(address, token, &request, &key("days")).await;
        let page = match page {
            Some(Ok(page)) if page.next.is_none() => page,
            _ => return Err(missing(ListPointsDays::NAME)),
        };
        days.insert(day, page.accounts);
    }
    Ok(days)
}
