//! Items: what players buy with points, own and use up.
//!
//! Which items there are, and what they cost, is written by the game's team; see `docs/items.md`. Every change of what a player owns has a
//! number, dense from 1 for each player, and is kept. The key of a call that changes something is good for ever, as for points.

use serde::{Deserialize, Serialize};

use crate::ids::UserId;

/// An item of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ItemInfo {
    /// What it is called in every call.
    pub item: String,
    /// What one costs, in points; absent if it is not for sale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<u64>,
    /// Whether it is used up by [`UseItem`].
    pub consumable: bool,
    /// For how long one is owned, in milliseconds; absent for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasts_ms: Option<u64>,
    /// Most that one player may own.
    pub most: u64,
    /// How many are left for all players; absent if there is no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<u64>,
}

/// The catalogue, in the order of the names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListItems {
    /// The last item of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// At most 200; 50 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Reply to [`ListItems`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Items {
    /// The items.
    pub items: Vec<ItemInfo>,
    /// The last item of the page, if more follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What a player owns of an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OwnedItem {
    /// The item.
    pub item: String,
    /// How many; 0 if there are none any more.
    pub count: u64,
    /// Until when, in milliseconds since 1970; absent for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

/// What a player owns, in the order of the names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListInventory {
    /// The player; the caller when absent. What another one owns is for services and admins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// The last item of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// At most 200; 50 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Reply to [`ListInventory`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Inventory {
    /// What the player owns. What has run out is left out.
    pub items: Vec<OwnedItem>,
    /// Number of the newest change; 0 before the first.
    pub head: u64,
    /// The last item of the page, if more follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Why a player owns more or less of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ItemReason {
    /// Bought with points.
    Bought,
    /// Used up by the player.
    Used,
    /// Given by an admin or a service.
    Granted,
    /// Taken by an admin or a service.
    Taken,
    /// Given by a rule.
    Rewarded,
}

/// A change of what a player owns. It never changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ItemChange {
    /// Its number, dense from 1 for each player.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// The item.
    pub item: String,
    /// How many more, or, below 0, fewer. What has run out counts with what comes next: nothing is written when a time ends.
    pub change: i64,
    /// What the player owns after it.
    pub owned: OwnedItem,
    /// Why.
    pub reason: ItemReason,
    /// The movement of points that paid for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub movement: Option<u64>,
    /// The key of the call that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The admin or service who made it, which admins and services are told and players are not; absent if the player did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<UserId>,
    /// What is said of it: the words of the admin or service, which the player reads as well, or the rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What has changed of what the caller owns, or, for services and admins, of what another player owns. A page looks through at most 5,000
/// changes, so that it may have fewer than asked for, or none, though there are more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ListItemChanges {
    /// The player; the caller when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// From where on: absent for the newest, newest first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<ItemChangesFrom>,
    /// Only those of this item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// At most 200; 50 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Where a page of changes begins, and in which direction it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ItemChangesFrom {
    /// Behind this number, oldest first; 0 for the first.
    After(u64),
    /// Before this number, newest first.
    Before(u64),
}

/// Reply to [`ListItemChanges`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ItemChanges {
    /// In the order asked for.
    pub changes: Vec<ItemChange>,
    /// Where the next page begins; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<ItemChangesFrom>,
}

/// The caller buys an item with points: the points and the item change hands at once, or neither. The key is the purchase's id: a purchase
/// that came to nothing because the item was sold out comes to nothing under the same key again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BuyItem {
    /// The item.
    pub item: String,
    /// How many, 1 to 1,000,000.
    pub count: u64,
    /// What the player was told that one costs. If it costs something else by now, the purchase is refused with `price_changed`.
    pub price: u64,
}

/// Reply to [`BuyItem`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Purchased {
    /// The change of what the player owns.
    pub change: ItemChange,
    /// How many points it has cost.
    pub points: u64,
    /// What the wallet had after it.
    pub balance: i64,
}

/// The caller uses up something consumable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UseItem {
    /// The item.
    pub item: String,
    /// How many, 1 to 1,000,000.
    pub count: u64,
}

/// Gives a player an item. What is left for sale stays the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GrantItem {
    /// The player.
    pub user: UserId,
    /// The item.
    pub item: String,
    /// How many, 1 to 1,000,000.
    pub count: u64,
    /// Why, at most 512 bytes, for the player to read. An admin has to say it; a service may leave it empty.
    pub note: String,
}

/// Takes an item from a player. What is left for sale stays the same, and no points come back: see
/// [`RefundPoints`](super::points::RefundPoints).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TakeItem {
    /// The player.
    pub user: UserId,
    /// The item; also one that the catalogue has no more.
    pub item: String,
    /// How many, 1 to 1,000,000. Of an item that lasts for a time: how many of those times.
    pub count: u64,
    /// Why, at most 512 bytes, for the player to read. An admin has to say it; a service may leave it empty.
    pub note: String,
}

/// What the player owns has changed, on every connection of the player. A slow connection gets the newest: whoever has to know each change
/// reads from the number that they hold by [`ListItemChanges`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct InventoryChanged {
    /// The newest change.
    pub change: ItemChange,
}
