//! Seasons of leaderboards by a clock of the test's: resets in time zones, a clock that steps, and what happens when one has ended.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

use pitturu_protocol::codes::Fault;
use pitturu_protocol::ids::{ConnectionId, UserId};
use pitturu_protocol::types::accounts::{Identity, SignedIn};
use pitturu_protocol::types::boards::{
    GetScore, ListPlaces, ListSeasons, ListTopScores, RemoveScore, ScoreSubmitted,
};
use pitturu_protocol::types::inbox::InboxEntry;
use pitturu_rules::boards::{Definitions, SeasonOf};
use pitturu_store::clock::Steady;
use pitturu_store::entities::KeyedRequest;

use super::super::world::World;
use super::submit;
use crate::boards;
use crate::connections::caller::{Caller, IdempotencyKey};
use crate::connections::link::memory::Options;
use crate::players;
use crate::services::boards::{BoardService, closing};

/// Times are in the year 2100, so that nothing is over by the clock of the machine.
const GAME: &str = "
[boards.seoul]
operator = 'sum'
reset = { every = 'day', at = '00:00', zone = 'Asia/Seoul' }
places_told = 3
[boards.york]
operator = 'sum'
reset = { every = 'day', at = '00:00', zone = 'America/New_York' }
places_told = 3
seasons_kept = 2
";

const MINUTE: u64 = 60_000;
pub(super) const HOUR: u64 = 60 * MINUTE;
pub(super) const DAY: u64 = 24 * HOUR;

/// The first moment of 2100 in UTC.
pub(super) const YEAR_2100: u64 = 4_102_444_800_000;

pub(super) struct Scene {
    pub(super) world: World,
    admin: Identity,
    pub(super) users: Vec<UserId>,
    keys: u32,
}

impl Scene {
    async fn new(players: usize) -> Self {
        Self::of(GAME, players).await
    }

    /// So many players of this game.
    pub(super) async fn of(game: &'static str, players: usize) -> Self {
        let world = World::with_game(game).await;
        let (_, SignedIn { identity, .. }) = world.registered("root").await;
        let mut users = Vec::new();
        for number in 0..players {
            let name = format!("player {number}");
            let (_, signed_in) = world.guest(&name, Options::default()).await;
            users.push(signed_in.identity.user);
        }
        Self {
            world,
            admin: identity,
            users,
            keys: 0,
        }
    }

    pub(super) fn boards(&self) -> &BoardService {
        &self.world.context.services.boards
    }

    fn key(&mut self) -> String {
        self.keys += 1;
        format!("score {}", self.keys)
    }

    /// A call of the admin at this moment, under this key.
    pub(super) fn caller(&self, now: u64, key: Option<&str>) -> Caller {
        Caller {
            conn: ConnectionId::from_bytes([7; 10]),
            call: 1,
            identity: Some(self.admin.clone()),
            address: Ipv4Addr::LOCALHOST.into(),
            now,
            steady: Steady::now(),
            key: key.map(|key| IdempotencyKey {
                key: key.into(),
                method: 123,
                request: KeyedRequest::Hash([1; 16]),
                first_head: None,
            }),
        }
    }

    pub(super) async fn submit(
        &self,
        board: &str,
        player: usize,
        score: i64,
        now: u64,
        key: Option<&str>,
    ) -> Result<ScoreSubmitted, Fault> {
        let caller = self.caller(now, key);
        let request = submit(board, self.users[player], score);
        self.boards().submit(&caller, request).await
    }

    /// Closes what is over at this moment.
    pub(super) async fn close(&self, now: u64) {
        let parts = self.boards().parts();
        let due = closing::due(parts, now).await.expect("the store reads");
        closing::close(parts, due, now).await;
    }

    /// The scores of a season, by player.
    pub(super) async fn scores(&self, board: &str, season: u64, now: u64) -> BTreeMap<UserId, i64> {
        let request = ListTopScores {
            board: board.to_owned(),
            season: Some(season),
            offset: None,
            limit: Some(200),
        };
        match self.boards().top(&self.caller(now, None), request).await {
            Ok(scores) => scores
                .entries
                .iter()
                .map(|it| (it.user, it.score))
                .collect(),
            Err(fault) => {
                assert_eq!(fault.field.as_deref(), Some("season"));
                BTreeMap::new()
            }
        }
    }

    /// Which places each player was told: board, season, rank.
    pub(super) async fn told(&self) -> HashMap<UserId, Vec<(String, u64, u32)>> {
        let services = &self.world.context.services;
        crate::players::tests::until_quiet(services.players.entities()).await;
        let mut told = HashMap::new();
        for user in &self.users {
            let entries = services.players.inbox_after(*user, 0, 1_000).await;
            let places = entries
                .unwrap()
                .into_iter()
                .filter_map(|added| match added.entry {
                    InboxEntry::SeasonPlaced {
                        board,
                        season,
                        rank,
                        ..
                    } => Some((board, season, rank)),
                    _ => None,
                });
            told.insert(*user, places.collect());
        }
        told
    }
}

fn definitions() -> Definitions {
    let game: pitturu_rules::game_data::GameData = toml::from_str(GAME).unwrap();
    Definitions::new(&game.boards).unwrap()
}

fn season(board: &str, at: u64) -> SeasonOf {
    definitions().season_at(board, at).unwrap()
}

/// The days in New York on which clocks are put forward and back, and one on which they are not.
fn resets() -> Vec<(&'static str, SeasonOf)> {
    // March 14, November 7, and July 1 of 2100.
    let days = [
        YEAR_2100 + 72 * DAY,
        YEAR_2100 + 310 * DAY,
        YEAR_2100 + 181 * DAY,
    ];
    let mut resets = Vec::new();
    for day in days {
        for board in ["seoul", "york"] {
            resets.push((board, season(board, day + 12 * HOUR)));
        }
    }
    resets
}

#[test]
fn the_days_are_those_on_which_clocks_change() {
    let hours: Vec<_> = resets()
        .iter()
        .filter(|(board, _)| *board == "york")
        .map(|(_, of)| (of.season.ends_at.unwrap() - of.season.starts_at) / HOUR)
        .collect();
    assert_eq!(hours, [23, 25, 24]);
}

#[tokio::test]
async fn each_score_is_in_one_season_and_each_place_told_once() {
    let mut scene = Scene::new(4).await;
    let mut sums: HashMap<UserId, i64> = HashMap::new();
    for (board, of) in resets() {
        let end = of.season.ends_at.unwrap();
        // Over the reset, back over it, forward again, and beyond the moment when the season is closed and back.
        let steps: [i64; 12] = [
            -3_000, -1, 0, 1, -2_000, 2_000, -1, 6_000, -1_000, 7_000, -500, 8_000,
        ];
        let mut earlier: Vec<(usize, i64, String, ScoreSubmitted)> = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            let now = end.checked_add_signed(step).unwrap();
            if step > 5_000 {
                scene.close(now).await;
            }
            let (player, score) = (number % 4, 1 << number);
            let key = scene.key();
            let first = scene
                .submit(board, player, score, now, Some(&key))
                .await
                .unwrap();
            *sums.entry(scene.users[player]).or_default() += score;
            earlier.push((player, score, key, first));
            for (player, score, key, first) in &earlier {
                let again = scene.submit(board, *player, *score, now, Some(key)).await;
                assert_eq!(again.as_ref(), Ok(first), "{board} {of:?} {step}");
            }
        }
        scene.close(end + 9_000).await;
        let later = end + 10_000;
        let (number, mut found) = (of.season.number, HashMap::new());
        for season in number - 1..=number + 3 {
            for (user, score) in scene.scores(board, season, later).await {
                *found.entry(user).or_default() += score;
            }
        }
        assert_eq!(found, std::mem::take(&mut sums), "{board} {of:?}");
        let of_it = scene.scores(board, number, later).await;
        assert_eq!(
            of_it.values().sum::<i64>(),
            0b11,
            "what came before the reset"
        );
        for (user, told) in scene.told().await {
            let of_season = told
                .iter()
                .filter(|(it, at, _)| it == board && *at == number);
            let ranks: Vec<_> = of_season.map(|(_, _, rank)| *rank).collect();
            // The later power of two is the greater one.
            let at = scene.users.iter().position(|it| *it == user).unwrap();
            let expected: &[u32] = [&[2][..], &[1], &[], &[]][at];
            assert_eq!(ranks, expected, "{board} {of:?} player {at}");
        }
    }
}

#[tokio::test]
async fn a_repetition_after_a_reset_and_a_restart_counts_once() {
    let mut scene = Scene::new(1).await;
    let of = season("seoul", YEAR_2100);
    let end = of.season.ends_at.unwrap();
    let before = scene
        .submit("seoul", 0, 5, end - 1, Some("k"))
        .await
        .unwrap();
    scene.world = scene.world.restarted().await;
    let after = scene
        .submit("seoul", 0, 5, end + 1, Some("k"))
        .await
        .unwrap();
    assert_eq!(after, before);
    scene.close(end + 6_000).await;
    scene.world = scene.world.restarted().await;
    let day_after = scene
        .submit("seoul", 0, 5, end + 30 * HOUR, Some("k"))
        .await
        .unwrap();
    assert_eq!(day_after, before);
    assert_eq!(
        scene
            .scores("seoul", of.season.number, end + DAY)
            .await
            .len(),
        1
    );
    assert!(
        scene
            .scores("seoul", of.season.number + 1, end + DAY)
            .await
            .is_empty()
    );
    // The other way round: decided after the reset, and repeated by a clock that was set back.
    let later = scene
        .submit("seoul", 0, 7, end + 2_000, Some("l"))
        .await
        .unwrap();
    scene.world = scene.world.restarted().await;
    let back = scene
        .submit("seoul", 0, 7, end - 2_000, Some("l"))
        .await
        .unwrap();
    assert_eq!(back, later);
    assert_eq!(later.season, of.season.number + 1);
}

#[tokio::test]
async fn a_reset_with_calls_under_way_takes_each_key_once() {
    let scene = std::sync::Arc::new(Scene::new(1).await);
    let of = season("york", YEAR_2100 + 72 * DAY + 12 * HOUR);
    let end = of.season.ends_at.unwrap();
    let mut attempts = Vec::new();
    for number in 0..40_u64 {
        for attempt in 0..3 {
            let scene = std::sync::Arc::clone(&scene);
            attempts.push(tokio::spawn(async move {
                let key = format!("{number}");
                // The attempts of one key are read on both sides of the reset.
                let now = end - 2 + (number + 2 * attempt) % 4;
                let done = scene.submit("york", 0, 1, now, Some(&key)).await.unwrap();
                (number, done)
            }));
        }
    }
    let mut results: HashMap<u64, ScoreSubmitted> = HashMap::new();
    for attempt in attempts {
        let (number, done) = attempt.await.unwrap();
        let first = results.entry(number).or_insert_with(|| done.clone());
        assert_eq!(*first, done, "key {number}");
    }
    let mut sum = 0;
    for number in [of.season.number, of.season.number + 1] {
        let scores = scene.scores("york", number, end + 10).await;
        sum += scores.values().sum::<i64>();
    }
    assert_eq!(sum, 40);
}

#[tokio::test]
async fn what_has_ended_stays_to_be_seen_until_newer_seasons_are_kept() {
    let mut scene = Scene::new(2).await;
    let mut of = season("york", YEAR_2100);
    let first = of.season.number;
    for player in [0, 1, 0] {
        let now = of.season.starts_at + HOUR;
        scene.submit("york", player, 3, now, None).await.unwrap();
        let end = of.season.ends_at.unwrap();
        scene.close(end + 6_000).await;
        of = season("york", end);
    }
    let now = of.season.starts_at + 2 * HOUR;
    closing::remove_old(scene.boards().parts(), "york", now).await;
    let caller = scene.caller(now, None);
    let list = ListSeasons {
        board: "york".to_owned(),
        before: None,
        limit: None,
    };
    let seasons = scene.boards().seasons(&caller, list).await.unwrap();
    let found = seasons
        .seasons
        .iter()
        .map(|it| (it.number - first, it.count, it.ended));
    assert_eq!(found.collect::<Vec<_>>(), [(2, 1, true), (1, 1, true)]);
    let places = |user, ended| ListPlaces {
        user: Some(user),
        ended,
        ..ListPlaces::default()
    };
    let [one, other] = [scene.users[0], scene.users[1]];
    for (user, ended, numbers) in [
        (one, Some(true), &[first + 2][..]),
        (other, Some(true), &[first + 1]),
        (one, None, &[]),
    ] {
        let found = scene
            .boards()
            .places(&caller, places(user, ended))
            .await
            .unwrap();
        let found: Vec<_> = found.places.iter().map(|it| it.season.number).collect();
        assert_eq!(found, numbers);
    }
    let get = |season| GetScore {
        board: "york".to_owned(),
        season: Some(season),
        user: Some(one),
    };
    let kept = scene.boards().score(&caller, get(first + 2)).await.unwrap();
    assert_eq!((kept.entry.rank, kept.count), (1, 1));
    scene.boards().score(&caller, get(first)).await.unwrap_err();
    // What was removed of a season that has ended changes what is shown of it, and no place that was told.
    let remove = RemoveScore {
        board: "york".to_owned(),
        season: Some(first + 2),
        user: one,
        note: "a bot".to_owned(),
    };
    scene.boards().remove(&caller, remove).await.unwrap();
    assert_eq!(scene.told().await[&one].len(), 2);
    // It sends on whoever comes with a score, after a restart too.
    scene.world = scene.world.restarted().await;
    let old = season("york", YEAR_2100);
    let late = old.season.starts_at + HOUR;
    let sent_on = scene.submit("york", 0, 1, late, None).await.unwrap();
    assert!(sent_on.season > first + 2, "{sent_on:?}");
    let entity = boards::entity(old.id());
    assert_ne!(entity.kind(), players::PLAYER);
}
