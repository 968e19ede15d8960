//! Days, streaks and caps, over zones and changes of the clock.

use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::rewards::{PlayOutcome, Reward};

use super::data::Days;
use super::given::{Given, Play, RewardsRow};
use crate::game_data::{Game, GameData};
use crate::items::{Inventory, ItemsCommit, ItemsEffects};
use crate::points::{PointsAccount, PointsEffects, Wallet};

const HOUR_MS: u64 = 60 * 60 * 1_000;
const DAY_MS: u64 = 24 * HOUR_MS;

struct Player {
    game: Game,
    wallet: Wallet,
    inventory: Inventory,
    row: RewardsRow,
}

impl Player {
    fn of(text: &str) -> Self {
        let data: GameData = toml::from_str(text).expect("game data");
        Self {
            game: Game::of(data).expect("it can be followed"),
            wallet: Wallet::load(UserId::from_bytes([1; 10]), None, [], [], None),
            inventory: Inventory::default(),
            row: RewardsRow::default(),
        }
    }

    fn with<T>(&mut self, give: impl FnOnce(&mut Given<'_>, &mut RewardsRow, &Days) -> T) -> T {
        let (mut points, mut items) = (PointsEffects::default(), ItemsEffects::default());
        let mut given = Given {
            data: &self.game.data.rewards,
            catalogue: &self.game.data.items,
            wallet: &mut self.wallet,
            inventory: &mut self.inventory,
            points: &mut points,
            items: &mut items,
        };
        give(&mut given, &mut self.row, &self.game.days)
    }

    /// The rules that gave for a game played, and how many points.
    fn play(&mut self, at: u64, outcome: PlayOutcome) -> Vec<(String, u64)> {
        self.play_of("chess", at, outcome)
    }

    fn play_of(&mut self, game: &str, at: u64, outcome: PlayOutcome) -> Vec<(String, u64)> {
        let commit = ItemsCommit {
            at,
            ..ItemsCommit::default()
        };
        let play = Play {
            game: game.to_owned(),
            outcome,
        };
        let rewards = self.with(|given, row, days| given.play(row, days, &commit, &play));
        let given = rewards.into_iter();
        given.map(|reward| (reward.rule, reward.points)).collect()
    }

    fn balance(&self) -> i64 {
        self.wallet.books().of(PointsAccount::Wallet).balance()
    }
}

fn named(given: &[(&str, u64)]) -> Vec<(String, u64)> {
    let given = given.iter();
    given
        .map(|(rule, points)| ((*rule).to_owned(), *points))
        .collect()
}

const STREAKS: &str = "
[rewards]
zone = 'America/New_York'
[rewards.rules.first]
on = 'first_play'
points = 1
[rewards.rules.three]
on = { streak = 3 }
points = 10
";

/// 2026-10-31 12:00 in New York, the day before clocks are put back.
const NOON: u64 = 1_793_462_400_000;

#[test]
fn a_streak_goes_over_days_of_25_and_23_hours() {
    // 2026-11-01 has 25 hours, 2027-03-14 has 23.
    for noon in [NOON, 1_805_040_000_000] {
        let mut player = Player::of(STREAKS);
        let both = named(&[("first", 1), ("three", 10)]);
        let one = named(&[("first", 1)]);
        assert_eq!(player.play(noon, PlayOutcome::Lost), one);
        assert_eq!(player.play(noon + HOUR_MS, PlayOutcome::Lost), []);
        // Just before and after midnight of a day that is not 24 hours long.
        let days = player.game.days.clone();
        for day in 1..7 {
            let season = days.numbered_after(noon, day);
            let last = season.ends_at.unwrap() - 1;
            let expected = if day % 3 == 2 { &both } else { &one };
            assert_eq!(
                player.play(season.starts_at, PlayOutcome::Won),
                *expected,
                "{day}"
            );
            assert_eq!(player.play(last, PlayOutcome::Won), [], "{day}");
        }
        assert_eq!(player.row.streak, 7);
        // A day is left out.
        let after = days.numbered_after(noon, 8).starts_at;
        assert_eq!(player.play(after, PlayOutcome::Won), one);
        assert_eq!(player.row.streak, 1);
    }
}

#[test]
fn a_clock_that_is_set_back_begins_no_day_again() {
    let mut player = Player::of(STREAKS);
    assert_eq!(player.play(NOON, PlayOutcome::Won).len(), 1);
    assert_eq!(player.play(NOON + DAY_MS, PlayOutcome::Won).len(), 1);
    for back in [0, NOON, NOON - 5 * DAY_MS, NOON + DAY_MS] {
        assert_eq!(player.play(back, PlayOutcome::Won), [], "{back}");
    }
    assert_eq!(player.play(NOON + 2 * DAY_MS, PlayOutcome::Won).len(), 2);
    assert_eq!(player.balance(), 13);
}

/// What else was played on the day before it does not matter.
#[test]
fn a_rule_of_one_game_gives_for_the_first_time_that_it_is_played_on_a_day() {
    let text = "
        [rewards.rules.first_chess]
        on = 'first_play'
        game = 'chess'
        points = 20
        [rewards.rules.two_days]
        on = { streak = 2 }
        game = 'chess'
        points = 100
    ";
    let mut player = Player::of(text);
    let chess = named(&[("first_chess", 20)]);
    let both = named(&[("first_chess", 20), ("two_days", 100)]);
    for (day, given) in [(0, chess), (1, both)] {
        let now = NOON + day * DAY_MS;
        assert_eq!(player.play_of("go", now, PlayOutcome::Won), []);
        assert_eq!(player.play_of("chess", now, PlayOutcome::Won), given);
        assert_eq!(player.play_of("chess", now, PlayOutcome::Won), []);
    }
}

#[test]
fn caps_hold_for_each_rule_and_for_all_points_of_a_day() {
    let text = "
        [rewards]
        points_per_day = 25
        [rewards.rules.play]
        on = 'play'
        points = 10
        per_day = 4
        [rewards.rules.win]
        on = 'win'
        points = 4
        per_day = 1
    ";
    let mut player = Player::of(text);
    let mut points = Vec::new();
    for _ in 0..6 {
        let given = player.play(NOON, PlayOutcome::Won);
        points.push(given.iter().map(|(_, points)| points).sum::<u64>());
    }
    assert_eq!(points, [14, 10, 1, 0, 0, 0]);
    assert_eq!(
        player.play(NOON + DAY_MS, PlayOutcome::Won).len(),
        2,
        "a new day"
    );
    assert_eq!(player.row.on(9_999_999), RewardsRow::default());
}

#[test]
fn places_give_what_is_theirs() {
    let text = "
        [boards.weekly]
        operator = 'best'
        places_told = 10
        [items.crown]
        most = 1
        [rewards.rules.best]
        on = { places = { board = 'weekly', from = 1, to = 1 } }
        points = 100
        item = 'crown'
        [rewards.rules.ten]
        on = { places = { board = 'weekly', from = 1, to = 10 } }
        points = 7
    ";
    let mut player = Player::of(text);
    let commit = ItemsCommit::default();
    let mut place =
        |board: &str, rank| player.with(|given, _, _| given.place(&commit, board, 7, rank));
    let crown = Reward {
        rule: "best".to_owned(),
        points: 100,
        item: Some("crown".to_owned()),
        count: 1,
    };
    let ten = Reward {
        rule: "ten".to_owned(),
        points: 7,
        item: None,
        count: 0,
    };
    assert_eq!(place("weekly", 1), [crown.clone(), ten.clone()]);
    // Only one crown can be owned: the points are given all the same.
    let without = Reward {
        item: None,
        count: 0,
        ..crown
    };
    assert_eq!(place("weekly", 1), [without, ten.clone()]);
    assert_eq!(place("weekly", 10), [ten]);
    assert_eq!(place("weekly", 11), []);
    assert_eq!(place("daily", 1), []);
    assert_eq!(player.balance(), 221);
}

#[test]
fn rules_that_cannot_be_followed_are_refused_with_their_place() {
    let wrong = [
        ("on = 'play'", "points"),
        ("on = 'play'\ncount = 2\npoints = 1", "count"),
        ("on = 'play'\npoints = 1\nper_day = 0", "per_day"),
        ("on = { streak = 1 }\npoints = 1", "on.streak"),
        ("on = 'win'\ngame = 'Chess'\npoints = 1", "game"),
        ("on = 'win'\nitem = 'sword'", "item"),
        (
            "on = { places = { board = 'no', from = 1, to = 2 } }\npoints = 1",
            "on.places.board",
        ),
        (
            "on = { places = { board = 'a', from = 2, to = 1 } }\npoints = 1",
            "on.places",
        ),
        (
            "on = { places = { board = 'a', from = 0, to = 1 } }\npoints = 1",
            "on.places",
        ),
        (
            "on = { places = { board = 'a', from = 1, to = 10 } }\npoints = 1",
            "on.places.to",
        ),
    ];
    for (text, field) in wrong {
        let text =
            format!("[boards.a]\noperator = 'sum'\nplaces_told = 9\n[rewards.rules.r]\n{text}");
        let data: GameData = toml::from_str(&text).unwrap();
        let mistakes = Game::of(data).expect_err("it can't be followed");
        let places: Vec<&str> = mistakes.iter().map(|it| it.place.as_str()).collect();
        assert!(
            places.contains(&format!("rewards.rules.r.{field}").as_str()),
            "{places:?}"
        );
    }
    let data: GameData = toml::from_str("[rewards]\nzone = 'Mars/Base'").unwrap();
    let mistakes = Game::of(data).expect_err("there is no such zone");
    assert_eq!(mistakes[0].place, "rewards.zone");
}

/// What docs/items.md says of a zone that is changed while players play.
#[test]
fn another_zone_may_count_a_day_ahead_or_behind() {
    let in_seoul = STREAKS.replace("America/New_York", "Asia/Seoul");
    let player = |text: &str, played: u64| {
        let mut player = Player::of(text);
        assert_eq!(
            player.play(played, PlayOutcome::Lost),
            named(&[("first", 1)])
        );
        player
    };
    let moved_to = |player: &mut Player, text: &str| player.game = Player::of(text).game;
    // 08:00 in New York, 21:00 in Seoul, on one date, which New York counts as one day more.
    let instant = NOON - 4 * HOUR_MS;
    let mut behind = player(STREAKS, instant);
    moved_to(&mut behind, &in_seoul);
    for hours in [1, 4] {
        assert_eq!(
            behind.play(instant + hours * HOUR_MS, PlayOutcome::Lost),
            []
        );
    }
    let next = behind.play(instant + DAY_MS + 4 * HOUR_MS, PlayOutcome::Lost);
    assert_eq!((next, behind.row.streak), (named(&[("first", 1)]), 2));
    let mut ahead = player(&in_seoul, instant);
    moved_to(&mut ahead, STREAKS);
    let again = ahead.play(instant + HOUR_MS, PlayOutcome::Lost);
    assert_eq!((again, ahead.row.streak), (named(&[("first", 1)]), 2));
    let mut ended = player(&in_seoul, instant - DAY_MS);
    moved_to(&mut ended, STREAKS);
    ended.play(instant, PlayOutcome::Lost);
    assert_eq!(ended.row.streak, 1);
}
