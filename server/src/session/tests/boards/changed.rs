//! Leaderboards whose rules in the file are others after a restart.

use pitturu_protocol::types::boards::{
    BoardDirection, BoardOperator, BoardSeason, ListBoards, ListSeasons,
};

use super::seasons::{DAY, Scene, YEAR_2100};
use crate::services::boards::closing;

impl Scene {
    /// The server starts again with this file, and does what it does at its start.
    async fn restarted_with(mut self, game: &'static str, now: u64) -> Self {
        self.world = self.world.restarted_with(game).await;
        let parts = self.boards().parts();
        let open = closing::superseded(parts, now).await;
        closing::close(parts, open.expect("the store reads"), now).await;
        self
    }

    /// The seasons of the leaderboard `it`.
    async fn seasons(&self, now: u64) -> Vec<BoardSeason> {
        let list = ListSeasons {
            board: "it".to_owned(),
            before: None,
            limit: None,
        };
        let caller = self.caller(now, None);
        let seasons = self.boards().seasons(&caller, list).await;
        seasons.expect("there is such a leaderboard").seasons
    }

    /// The places in season `number` of `it` that players were told.
    async fn places(&self, number: u64) -> Vec<Option<u32>> {
        let told = self.told().await;
        let of = |user| {
            let mut places = told[user].iter().filter(|(_, season, _)| *season == number);
            let place = places.next().map(|(_, _, rank)| *rank);
            assert_eq!(places.next(), None, "a place is told once");
            place
        };
        self.users.iter().map(of).collect()
    }
}

const ONE_DATE: &str = "
[boards.it]
operator = 'best'
places_told = 2
reset = { every = 'dates', dates = ['2100-01-10'], at = '00:00', zone = 'UTC' }
";

const TWO_DATES: &str = "
[boards.it]
operator = 'best'
places_told = 2
reset = { every = 'dates', dates = ['2100-01-10', '2100-02-01'], at = '00:00', zone = 'UTC' }
";

const A_LATER_DATE: &str = "
[boards.it]
operator = 'best'
places_told = 2
reset = { every = 'dates', dates = ['2100-01-10', '2100-03-01'], at = '00:00', zone = 'UTC' }
";

const NEVER: &str = "
[boards.it]
operator = 'best'
places_told = 2
";

const DAILY: &str = "
[boards.it]
operator = 'best'
places_told = 2
reset = { every = 'day', at = '00:00', zone = 'UTC' }
";

const LOWEST_SUM: &str = "
[boards.it]
operator = 'sum'
direction = 'lower'
";

/// The file gets the next date when it is near: the running season had no end until then.
#[tokio::test]
async fn a_date_that_is_added_ends_the_running_season() {
    let scene = Scene::of(ONE_DATE, 2).await;
    let (second, end) = (YEAR_2100 + 9 * DAY, YEAR_2100 + 31 * DAY);
    let before = scene.submit("it", 0, 5, second + DAY, None).await.unwrap();
    let scene = scene.restarted_with(TWO_DATES, second + 2 * DAY).await;
    let after = scene.submit("it", 1, 7, end - 1, None).await.unwrap();
    assert_eq!((before.season, after.season), (1, 1));
    let listed = scene.seasons(end - 1).await;
    assert_eq!((listed[0].ends_at, listed[0].ended), (Some(end), false));
    scene.close(end + 4_000).await;
    assert_eq!(scene.places(1).await, [None, None]);
    scene.close(end + 6_000).await;
    assert_eq!(scene.places(1).await, [Some(2), Some(1)]);
    let next = scene.submit("it", 0, 1, end + 7_000, None).await.unwrap();
    assert_eq!(next.season, 2);
}

/// The date of a reset that is still to come is put off.
#[tokio::test]
async fn a_date_that_is_put_off_lets_the_running_season_go_on() {
    let scene = Scene::of(TWO_DATES, 1).await;
    let (second, first_end) = (YEAR_2100 + 9 * DAY, YEAR_2100 + 31 * DAY);
    let end = YEAR_2100 + 59 * DAY;
    scene.submit("it", 0, 5, second + DAY, None).await.unwrap();
    let scene = scene.restarted_with(A_LATER_DATE, second + 2 * DAY).await;
    scene.close(first_end + 6_000).await;
    let after = scene.submit("it", 0, 7, first_end + DAY, None).await;
    assert_eq!(after.unwrap().season, 1);
    assert_eq!(scene.places(1).await, [None]);
    scene.close(end + 6_000).await;
    assert_eq!(scene.places(1).await, [Some(1)]);
}

/// The first season of all rules has begun with 1970.
#[tokio::test]
async fn a_leaderboard_that_was_never_reset_is_closed_when_it_gets_resets() {
    let scene = Scene::of(NEVER, 2).await;
    for player in [0, 1] {
        let submitted = scene.submit("it", player, 5, YEAR_2100, None).await;
        assert_eq!(submitted.unwrap().season, 0);
    }
    let scene = scene.restarted_with(DAILY, YEAR_2100 + DAY).await;
    let listed = scene.seasons(YEAR_2100 + DAY).await;
    assert!(listed[0].ended, "{listed:?}");
    assert_eq!(scene.places(0).await, [Some(1), Some(2)]);
    let next = scene.submit("it", 0, 1, YEAR_2100 + DAY, None).await;
    assert!(next.unwrap().season > 40_000);
}

/// What scores do is the season's to its end: so it is shown.
#[tokio::test]
async fn a_running_season_shows_by_what_it_goes() {
    let scene = Scene::of(NEVER, 2).await;
    let now = YEAR_2100;
    scene.submit("it", 0, 5, now, None).await.unwrap();
    let scene = scene.restarted_with(LOWEST_SUM, now).await;
    let better = scene.submit("it", 1, 9, now, None).await.unwrap();
    let caller = scene.caller(now, None);
    let boards = scene.boards().list_boards(&caller, ListBoards::default());
    let shown = boards.await.unwrap().boards.remove(0);
    assert_eq!(better.rank, 1, "higher is better");
    assert_eq!(
        (shown.operator, shown.direction),
        (BoardOperator::Best, BoardDirection::Higher)
    );
}
