//! The game that the server of a round knows: its items, its rules of rewards and its leaderboards, as its team would have written
//! them, and once more as the model has to know them.

use pitturu_protocol::types::boards::BoardOperator;

/// What the server reads at its start.
pub const FILE: &str = r#"
[items.potion]
price = 3
consumable = true
most = 9

[items.hat]
price = 11
stock = 60

[items.pass]
price = 4
lasts_hours = 5

[items.crown]

[rewards]
zone = "Asia/Seoul"
points_per_day = 60

[rewards.rules.first]
on = "first_play"
points = 20

[rewards.rules.streak]
on = { streak = 2 }
points = 15

[rewards.rules.win]
on = "win"
game = "chess"
points = 6
per_day = 5

[rewards.rules.gold]
on = { places = { board = "sum", from = 1, to = 1 } }
points = 9
item = "crown"

[rewards.rules.silver]
on = { places = { board = "sum", from = 2, to = 3 } }
points = 4

[rewards.rules.swift]
on = { places = { board = "latest", from = 1, to = 2 } }
points = 5

[boards.best]
operator = "best"

[boards.sum]
operator = "sum"
reset = { every = "day", at = "00:00", zone = "UTC" }
seasons_kept = 100
places_told = 3

[boards.latest]
operator = "latest"
direction = "lower"
reset = { every = "day", at = "00:00", zone = "Asia/Seoul" }
seasons_kept = 100
places_told = 2
"#;

/// The wall clock goes through days, so what is kept for a day would go in a round.
pub const SETTINGS: &[&str] = &["store.keys_kept=365d", "accounts.refresh_life=365d"];

/// A day in milliseconds.
pub const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// How much clocks in Seoul are ahead of UTC, in milliseconds. They are never put forward or back.
pub const SEOUL_MS: u64 = 9 * 60 * 60 * 1_000;

/// An item that is for sale.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    /// Its name.
    pub name: &'static str,
    /// What one costs.
    pub price: u64,
    /// Most of one player.
    pub most: u64,
    /// How many are sold to all players.
    pub stock: Option<u64>,
    /// For how long one is owned, in milliseconds; absent for good.
    pub lasts_ms: Option<u64>,
}

/// The items that are for sale.
pub const ITEMS: &[Item] = &[
    Item {
        name: "potion",
        price: 3,
        most: 9,
        stock: None,
        lasts_ms: None,
    },
    Item {
        name: "hat",
        price: 11,
        most: u64::MAX,
        stock: Some(60),
        lasts_ms: None,
    },
    Item {
        name: "pass",
        price: 4,
        most: u64::MAX,
        stock: None,
        lasts_ms: Some(5 * 60 * 60 * 1_000),
    },
];

/// The item that is used up.
pub const POTION: &str = "potion";

/// The item that the best of a season get.
pub const CROWN: &str = "crown";

/// The item with this name, if it is for sale.
pub fn item(name: &str) -> Option<&'static Item> {
    ITEMS.iter().find(|item| item.name == name)
}

/// The game whose winners are rewarded.
pub const CHESS: &str = "chess";

/// Most points that rules give one player on one day, places aside.
pub const POINTS_PER_DAY: u64 = 60;

/// A rule, in the order of the names.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its name.
    pub name: &'static str,
    /// What it gives for.
    pub on: On,
    /// How many points.
    pub points: u64,
    /// Most times for one player on one day.
    pub per_day: Option<u32>,
}

/// What a rule gives for.
#[derive(Clone, Copy, Debug)]
pub enum On {
    /// The first game on a day.
    FirstPlay,
    /// The first game on the last of so many days in a row, and of so many more.
    Streak(u32),
    /// A game of chess that is won.
    Win,
}

/// The rules about games that are played.
pub const RULES: &[Rule] = &[
    Rule {
        name: "first",
        on: On::FirstPlay,
        points: 20,
        per_day: None,
    },
    Rule {
        name: "streak",
        on: On::Streak(2),
        points: 15,
        per_day: None,
    },
    Rule {
        name: "win",
        on: On::Win,
        points: 6,
        per_day: Some(5),
    },
];

/// A leaderboard.
#[derive(Clone, Copy, Debug)]
pub struct Board {
    /// Its name.
    pub name: &'static str,
    /// What a score does.
    pub operator: BoardOperator,
    /// Whether lower scores are the better ones.
    pub lower: bool,
    /// The rule and its points for each place that is told, the first at 0.
    pub places: &'static [(&'static str, u64)],
}

/// The leaderboards.
pub const BOARDS: &[Board] = &[
    Board {
        name: "best",
        operator: BoardOperator::Best,
        lower: false,
        places: &[],
    },
    Board {
        name: "sum",
        operator: BoardOperator::Sum,
        lower: false,
        places: &[("gold", 9), ("silver", 4), ("silver", 4)],
    },
    Board {
        name: "latest",
        operator: BoardOperator::Latest,
        lower: true,
        places: &[("swift", 5), ("swift", 5)],
    },
];

/// The leaderboard with this name.
pub fn board(name: &str) -> Option<&'static Board> {
    BOARDS.iter().find(|board| board.name == name)
}

impl Board {
    /// A score as a number of which the greater is the better.
    pub const fn worth(&self, score: i64) -> i64 {
        if self.lower { -score } else { score }
    }
}
