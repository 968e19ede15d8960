//! Items: the catalogue, what players own, and purchases.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::items::{
    BuyItem, GrantItem, Inventory, ItemChange, ItemChanges, ItemChangesFrom, Items, ListInventory,
    ListItemChanges, ListItems, OwnedItem, Purchased, TakeItem, UseItem,
};
use pitturu_rules::game_data::Game;
use pitturu_rules::items::orders::Bought;
use pitturu_rules::items::{ChangeRow, Item, ItemRefusal, Outcome};
use pitturu_rules::pages::{Page, page_items};
use pitturu_rules::points::PointsRefusal;
use pitturu_store::entities::PAGE_ROWS_MAX;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use crate::connections::caller::Caller;
use crate::players::command::{Ask, ItemsAsk, ItemsWish};
use crate::services::players_access::PlayersAccess;

/// Most changes that one page looks through.
const LOOKED_THROUGH_MAX: u64 = 5_000;

/// How long a purchase waits for the item's stock. The stock has answered a few milliseconds after the order, unless a process has ended
/// in between.
const ORDER_WAIT: Duration = Duration::from_secs(5);

/// The first pause between two looks at an order; each further one is longer, up to the last.
const ORDER_PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(250));

/// The calls of [`pitturu_protocol::types::items`].
pub struct ItemsService {
    players: PlayersAccess,
    game: Arc<Game>,
}

impl ItemsService {
    /// Items of these players.
    pub const fn new(players: PlayersAccess, game: Arc<Game>) -> Self {
        Self { players, game }
    }

    /// [`ListItems`].
    pub async fn list_items(&self, _: &Caller, request: ListItems) -> Result<Items, Fault> {
        let limit = page_items(request.limit)?;
        let after = request.after.as_deref();
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let found = self
            .game
            .data
            .items
            .range::<str, _>((after, Bound::Unbounded));
        let found: Vec<(&str, &Item)> = found
            .take(limit + 1)
            .map(|(name, item)| (name.as_str(), item))
            .collect();
        let is_last = found.len() <= limit;
        let shown = &found[..found.len().min(limit)];
        let names: Vec<&str> = shown.iter().map(|(name, _)| *name).collect();
        let sold = self.players.store.sold(&names).await?;
        let infos = shown.iter().zip(sold);
        let infos = infos.map(|((name, item), sold)| item.info(name, sold));
        let (items, is_cut) = Page::of(limit, infos).into_parts();
        let next = items.last().map(|info| info.item.clone());
        let next = next.filter(|_| is_cut || !is_last);
        Ok(Items { items, next })
    }

    /// [`ListInventory`].
    pub async fn list_inventory(
        &self,
        caller: &Caller,
        request: ListInventory,
    ) -> Result<Inventory, Fault> {
        let user = self.players.whose(caller, request.user).await?;
        let limit = page_items(request.limit)?;
        // Read before the items: what changes meanwhile is then told with a later number.
        let (head, _) = self.players.store.items_head(user).await?;
        let mut page = Page::new(limit);
        let mut after = request.after;
        loop {
            let found = self
                .players
                .store
                .owned_items(user, after.as_deref(), PAGE_ROWS_MAX)
                .await?;
            let is_last = found.len() < PAGE_ROWS_MAX;
            for (name, row) in found {
                let row = row.at(caller.now);
                if row.count > 0 && !page.push(row.shown(&name)) {
                    return Ok(inventory(page, head.changes, after));
                }
                after = Some(name);
            }
            if is_last {
                return Ok(inventory(page, head.changes, None));
            }
        }
    }

    /// [`ListItemChanges`].
    pub async fn list_changes(
        &self,
        caller: &Caller,
        request: ListItemChanges,
    ) -> Result<ItemChanges, Fault> {
        let user = self.players.whose(caller, request.user).await?;
        let is_told_who = self.players.is_told_who(caller).await?;
        let limit = page_items(request.limit)?;
        let (head, _) = self.players.store.items_head(user).await?;
        let newest = ItemChangesFrom::Before(head.changes.saturating_add(1));
        let mut from = request.from.unwrap_or(newest);
        let mut page = Page::new(limit);
        let mut looked_through = 0;
        loop {
            let changes = self.changes_page(user, head.changes, from).await?;
            if changes.is_empty() {
                return Ok(item_changes(page, None));
            }
            looked_through += changes.len() as u64;
            for (number, row) in changes {
                let is_wanted = request.item.as_ref().is_none_or(|item| *item == row.item);
                if is_wanted {
                    let mut change = row.shown(number);
                    change.by = change.by.filter(|_| is_told_who);
                    if !page.push(change) {
                        return Ok(item_changes(page, Some(from)));
                    }
                }
                from = match from {
                    ItemChangesFrom::After(_) => ItemChangesFrom::After(number),
                    ItemChangesFrom::Before(_) => ItemChangesFrom::Before(number),
                };
            }
            if looked_through >= LOOKED_THROUGH_MAX {
                return Ok(item_changes(page, Some(from)));
            }
        }
    }

    /// The next changes in this direction. Numbers are dense, so those before one are found by counting back.
    async fn changes_page(
        &self,
        user: UserId,
        head: u64,
        from: ItemChangesFrom,
    ) -> Result<Vec<(u64, ChangeRow)>, Fault> {
        let rows = PAGE_ROWS_MAX as u64;
        match from {
            ItemChangesFrom::After(number) => Ok(self
                .players
                .store
                .item_changes(user, number, PAGE_ROWS_MAX)
                .await?),
            ItemChangesFrom::Before(number) => {
                let last = number.saturating_sub(1).min(head);
                let after = last.saturating_sub(rows);
                let wanted = usize::try_from(last - after).unwrap_or(PAGE_ROWS_MAX);
                let mut changes = match wanted {
                    0 => Vec::new(),
                    wanted => self.players.store.item_changes(user, after, wanted).await?,
                };
                changes.reverse();
                Ok(changes)
            }
        }
    }

    /// [`BuyItem`].
    pub async fn buy(&self, caller: &Caller, request: BuyItem) -> Result<Purchased, Fault> {
        let user = caller.user()?;
        let BuyItem { item, count, price } = request;
        let wish = ItemsWish::Buy { item, count, price };
        match self.change(caller, user, wish, (None, None)).await? {
            Bought::Purchased(purchased) => Ok(purchased),
            Bought::Ordered(order) => self.outcome(user, order).await,
        }
    }

    /// What comes of an order, which the item's stock decides.
    async fn outcome(&self, user: UserId, order: u64) -> Result<Purchased, Fault> {
        let until = Instant::now() + ORDER_WAIT;
        let (mut pause, longest) = ORDER_PAUSES;
        loop {
            // Whatever keeps it from being read, the order stands: nobody may be told that nothing has changed.
            let row = self.players.store.order(user, order).await.ok().flatten();
            let refusal = match row.and_then(|row| row.outcome) {
                Some(Outcome::Purchased(purchased)) => return Ok(purchased),
                Some(Outcome::SoldOut { left }) => ItemRefusal::SoldOut { left },
                Some(Outcome::NotEnoughPoints { available }) => {
                    ItemRefusal::Points(PointsRefusal::NotEnough { available })
                }
                Some(Outcome::NotTaken) => {
                    let what = "the player could own no more when it was their turn";
                    return Err(Fault::new(Code::LimitReached, what));
                }
                None if Instant::now() < until => {
                    sleep(pause).await;
                    pause = (pause * 2).min(longest);
                    continue;
                }
                // The order stands: a repetition finds what came of it.
                None => return Err(Fault::of(Code::Deadline)),
            };
            return Err(refusal.into());
        }
    }

    /// [`UseItem`].
    pub async fn use_up(&self, caller: &Caller, request: UseItem) -> Result<ItemChange, Fault> {
        let UseItem { item, count } = request;
        let wish = ItemsWish::Use { item, count };
        self.change(caller, caller.user()?, wish, (None, None))
            .await
    }

    /// [`GrantItem`].
    pub async fn grant(&self, caller: &Caller, request: GrantItem) -> Result<ItemChange, Fault> {
        let by = self.players.giver(caller, &request.note).await?;
        let GrantItem { item, count, .. } = request;
        let wish = ItemsWish::Give { item, count };
        let said = (Some(by), Some(request.note));
        self.change(caller, request.user, wish, said).await
    }

    /// [`TakeItem`].
    pub async fn take(&self, caller: &Caller, request: TakeItem) -> Result<ItemChange, Fault> {
        let by = self.players.giver(caller, &request.note).await?;
        let TakeItem { item, count, .. } = request;
        let wish = ItemsWish::Take { item, count };
        let said = (Some(by), Some(request.note));
        self.change(caller, request.user, wish, said).await
    }

    /// Has a player's entity change what the player owns. `by`: the admin or service who does it, also where they do it for themselves.
    async fn change<T: DeserializeOwned>(
        &self,
        caller: &Caller,
        user: UserId,
        wish: ItemsWish,
        (by, note): (Option<UserId>, Option<String>),
    ) -> Result<T, Fault> {
        let ask = Ask::Items(Box::new(ItemsAsk {
            wish,
            id: caller.key.as_ref().map(|key| key.key.to_string()),
            by,
            note: note.filter(|note| !note.is_empty()),
        }));
        self.players.decide(caller, user, ask).await
    }
}

fn inventory(page: Page<OwnedItem>, head: u64, next: Option<String>) -> Inventory {
    let (items, _) = page.into_parts();
    Inventory { items, head, next }
}

fn item_changes(page: Page<ItemChange>, next: Option<ItemChangesFrom>) -> ItemChanges {
    let (changes, _) = page.into_parts();
    ItemChanges { changes, next }
}
