//! Resets of leaderboards while scores come on many connections and the clock steps: each score is in one season, each place told and
//! rewarded once.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futures_util::future::join_all;
use pitturu_protocol::codec;
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::boards::{ListTopScores, ScoreSubmitted};
use pitturu_protocol::types::inbox::InboxEntry;
use pitturu_protocol::types::points::GetWallet;
use pitturu_rules::boards::{Definitions, SeasonOf};
use pitturu_store::clock::{now_ms, shift_here};

use super::super::world::{Came, Client, Raw};
use super::seasons::{DAY, HOUR, YEAR_2100};
use super::{Scene, submit};
use crate::services::boards::closing;

/// What a place gives is told from what any other gives: the digits of a wallet are counts of places.
const GAME: &str = "
[boards.seoul]
operator = 'sum'
reset = { every = 'day', at = '00:00', zone = 'Asia/Seoul' }
places_told = 3
[boards.york]
operator = 'sum'
reset = { every = 'day', at = '00:00', zone = 'America/New_York' }
places_told = 3

[rewards.rules.seoul_1]
on = { places = { board = 'seoul', from = 1, to = 1 } }
points = 1
[rewards.rules.seoul_2]
on = { places = { board = 'seoul', from = 2, to = 3 } }
points = 10
[rewards.rules.york_1]
on = { places = { board = 'york', from = 1, to = 1 } }
points = 100
[rewards.rules.york_2]
on = { places = { board = 'york', from = 2, to = 3 } }
points = 1000
";

const BOARDS: [&str; 2] = ["seoul", "york"];

const PLAYERS: usize = 10;

const CONNECTIONS: usize = 6;

/// Calls of a connection that are under way together.
const PIPELINED: usize = 16;

/// Calls of ten that repeat an earlier one.
const REPEATED: u32 = 4;

/// How long the load goes on between two steps of the clock.
const STEP: Duration = Duration::from_millis(120);

/// As long as seasons that are over are closed meanwhile.
const UNTIL_CLOSED: Duration = Duration::from_millis(1_300);

/// Noon in UTC on the days of 2100 on which New York puts its clocks forward and back: March 14 and November 7.
const CLOCK_CHANGES: [u64; 2] = [
    YEAR_2100 + 72 * DAY + 12 * HOUR,
    YEAR_2100 + 310 * DAY + 12 * HOUR,
];

/// Where the clock goes around each reset, in milliseconds from it, and for how long.
const STEPS: [(i64, Duration); 12] = [
    (-60_000, STEP),
    (-80, STEP),
    (-2_000, STEP),
    (1_000, STEP),
    (-500, STEP),
    (-60, STEP),
    (2_500, STEP),
    (-1_000, STEP),
    // Beyond the moment when a season is closed, and back before its end.
    (5_500, UNTIL_CLOSED),
    (-3_000, STEP),
    (9_000, UNTIL_CLOSED),
    (-40, STEP),
];

fn season(board: &str, at: u64) -> SeasonOf {
    let game: pitturu_rules::game_data::GameData = toml::from_str(GAME).unwrap();
    let definitions = Definitions::new(&game.boards).unwrap();
    definitions.season_at(board, at).unwrap()
}

fn end_of(of: &SeasonOf) -> u64 {
    of.season.ends_at.unwrap()
}

/// Sets the clock of this thread.
fn set_clock(at: u64) {
    shift_here(0);
    shift_here(i64::try_from(at).unwrap() - i64::try_from(now_ms()).unwrap());
}

/// One score, whose number is its key, and what was answered.
struct Score {
    board: &'static str,
    player: usize,
    score: i64,
    answer: Option<ScoreSubmitted>,
    answers: usize,
}

/// What was submitted, by all connections.
struct Scores {
    users: Vec<UserId>,
    all: Vec<Score>,
    random: fastrand::Rng,
}

impl Scores {
    /// The next call: a score of its own, or one that was submitted before or is under way.
    fn draw(&mut self) -> (usize, Raw) {
        let repeats = self.random.u32(..10) < REPEATED && !self.all.is_empty();
        let number = match repeats {
            // The youngest, most of which are under way, or any.
            true if self.random.bool() => {
                self.random.usize(self.all.len() / 20 * 19..self.all.len())
            }
            true => self.random.usize(..self.all.len()),
            false => {
                let board = BOARDS[self.random.usize(..BOARDS.len())];
                self.all.push(Score {
                    board,
                    player: self.random.usize(..self.users.len()),
                    score: self.random.i64(1..1_000),
                    answer: None,
                    answers: 0,
                });
                self.all.len() - 1
            }
        };
        let score = &self.all[number];
        let request = submit(score.board, self.users[score.player], score.score);
        (number, Raw::of(&request))
    }

    fn answered(&mut self, number: usize, answer: &ScoreSubmitted) {
        let score = &mut self.all[number];
        score.answers += 1;
        let first = score.answer.get_or_insert_with(|| answer.clone());
        assert_eq!(first, answer, "score {number} was answered before");
    }

    /// What each player has on a leaderboard by the answers, by season.
    fn by_season(&self, board: &str) -> BTreeMap<u64, BTreeMap<UserId, i64>> {
        let mut seasons: BTreeMap<u64, BTreeMap<UserId, i64>> = BTreeMap::new();
        for score in self.all.iter().filter(|score| score.board == board) {
            let answer = score.answer.as_ref().expect("each was answered");
            let of_season = seasons.entry(answer.season).or_default();
            *of_season.entry(self.users[score.player]).or_default() += score.score;
        }
        seasons
    }
}

/// Submits on one connection until it is over.
async fn submit_on(client: &mut Client, scores: &RefCell<Scores>, is_over: &Cell<bool>) {
    while !is_over.get() {
        let mut under_way = HashMap::new();
        for _ in 0..PIPELINED {
            let (number, raw) = scores.borrow_mut().draw();
            let (call, frame) = client.encode_raw(&raw, &format!("score {number}"));
            client.peer.send(frame).await;
            under_way.insert(call, number);
        }
        while !under_way.is_empty() {
            match client.answer().await {
                Some(Came::Reply(call, body)) => {
                    let number = under_way.remove(&call).expect("a call under way");
                    let answer = codec::decode(&body).expect("a reply");
                    scores.borrow_mut().answered(number, &answer);
                }
                other => panic!("a score is not taken: {other:?}"),
            }
        }
    }
}

impl Scene {
    /// The scores of a season from the best on.
    async fn scores(&mut self, board: &str, season: u64) -> Vec<(UserId, i64)> {
        let request = ListTopScores {
            board: board.to_owned(),
            season: Some(season),
            offset: None,
            limit: Some(200),
        };
        match self.admin.call(&request).await {
            Ok(scores) => scores
                .entries
                .iter()
                .map(|it| (it.user, it.score))
                .collect(),
            Err(fault) => {
                assert_eq!(fault.field.as_deref(), Some("season"));
                Vec::new()
            }
        }
    }

    /// The places that a player was told: leaderboard, season, rank.
    async fn told(&self, user: UserId) -> Vec<(String, u64, u32)> {
        let services = &self.world.context.services;
        let entries = services.players.inbox_after(user, 0, 1_000).await;
        let place = |entry| match entry {
            InboxEntry::SeasonPlaced {
                board,
                season,
                rank,
                ..
            } => Some((board, season, rank)),
            _ => None,
        };
        let mut told: Vec<_> = entries
            .unwrap()
            .into_iter()
            .filter_map(|added| place(added.entry))
            .collect();
        told.sort();
        told
    }

    /// Everything is closed that is over, and everybody has heard of it.
    async fn until_quiet(&self) {
        let services = &self.world.context.services;
        let (parts, now) = (services.boards.parts(), now_ms());
        let due = closing::due(parts, now).await.expect("the store reads");
        closing::close(parts, due, now).await;
        crate::players::tests::until_quiet(services.players.entities()).await;
    }
}

/// What a place gives by the file.
fn reward(board: &str, rank: u32) -> i64 {
    match (board, rank) {
        ("seoul", 1) => 1,
        ("seoul", _) => 10,
        (_, 1) => 100,
        _ => 1_000,
    }
}

/// Scores on many connections while the clock goes over both midnights, back and forth.
async fn submit_over(scene: &Scene, ends: [u64; 2]) -> Scores {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(scene.world.signed_in("root").await);
    }
    let scores = RefCell::new(Scores {
        users: scene.users.clone(),
        all: Vec::new(),
        random: fastrand::Rng::with_seed(4),
    });
    let is_over = Cell::new(false);
    let submitting = clients
        .iter_mut()
        .map(|client| submit_on(client, &scores, &is_over));
    let stepping = async {
        for end in ends {
            for (step, time) in STEPS {
                set_clock(end.checked_add_signed(step).unwrap());
                tokio::time::sleep(time).await;
            }
        }
        // Back over both.
        set_clock(ends[0] - 1_000);
        tokio::time::sleep(STEP).await;
        is_over.set(true);
    };
    tokio::join!(join_all(submitting), stepping);
    scores.into_inner()
}

async fn check(scene: &mut Scene, scores: &Scores, over: [&SeasonOf; 2]) {
    let mut places: BTreeMap<UserId, Vec<(String, u64, u32)>> = BTreeMap::new();
    for of in over {
        let (board, number) = (of.board.as_str(), of.season.number);
        let mut expected = scores.by_season(board);
        assert!(expected.len() > 1, "the load has met no reset of {board}");
        for season in number - 2..=number + 4 {
            let found = scene.scores(board, season).await;
            for ((user, _), rank) in found.iter().zip(1..=3) {
                // Only what is closed tells.
                if season <= number {
                    let place = (board.to_owned(), season, rank);
                    places.entry(*user).or_default().push(place);
                }
            }
            let found: BTreeMap<_, _> = found.into_iter().collect();
            let of_season = expected.remove(&season).unwrap_or_default();
            assert_eq!(found, of_season, "{board} {season}");
        }
        assert!(expected.is_empty(), "{board}: {:?}", expected.keys());
    }
    assert!(!places.is_empty(), "somebody has a place");
    for (player, user) in scene.users.clone().into_iter().enumerate() {
        let mut expected = places.remove(&user).unwrap_or_default();
        expected.sort();
        assert_eq!(scene.told(user).await, expected, "player {player}");
        let wallet = scene.players[player].call(&GetWallet::default()).await;
        let rewards = expected.iter().map(|(board, _, rank)| reward(board, *rank));
        assert_eq!(
            wallet.unwrap().balance,
            rewards.sum::<i64>(),
            "player {player}"
        );
    }
}

#[tokio::test]
async fn under_load_each_score_is_in_one_season_and_each_place_is_rewarded_once() {
    for noon in CLOCK_CHANGES {
        // Midnight in Seoul comes first: it is 15:00 in UTC.
        let over = BOARDS.map(|board| season(board, noon));
        let ends = [end_of(&over[0]), end_of(&over[1])];
        set_clock(ends[0] - HOUR);
        let mut scene = Scene::of(GAME, PLAYERS).await;
        let scores = submit_over(&scene, ends).await;
        let repeats = scores.all.iter().filter(|score| score.answers > 1).count();
        assert!(repeats > 100, "{repeats} of {} repeated", scores.all.len());
        // Seoul's next midnight is yet to come.
        set_clock(ends[1] + HOUR);
        scene.until_quiet().await;
        check(&mut scene, &scores, [&over[0], &over[1]]).await;
    }
    shift_here(0);
}
