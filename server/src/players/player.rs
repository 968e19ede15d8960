//! What a player's entity has in memory.

use std::sync::Arc;

use pitturu_protocol::ids::UserId;
use pitturu_rules::accounts::Account;
use pitturu_rules::friends::Relations;
use pitturu_rules::game_data::Game;
use pitturu_rules::items::Inventory;
use pitturu_rules::lists::{InboxMarks, Offers};
use pitturu_rules::points::Wallet;
use pitturu_rules::rewards::RewardsRow;
use pitturu_store::entities::StreamHead;

/// A player's entity in memory.
#[derive(Debug)]
pub struct Player {
    /// Whose.
    pub user: UserId,
    /// The account, if there is one.
    pub account: Account,
    /// How the player stands to others.
    pub relations: Relations,
    /// Where the inbox stands.
    pub inbox: StreamHead,
    /// Which entries it keeps.
    pub marks: InboxMarks,
    /// The rooms that others offer.
    pub offers: Offers,
    /// The player's points.
    pub wallet: Wallet,
    /// The player's items.
    pub inventory: Inventory,
    /// What is kept of the player's rewards.
    pub rewards: RewardsRow,
    /// What the game's team has written.
    pub game: Arc<Game>,
}
