//! Leaderboards through a session: scores, places, followers, and what a restart leaves.

mod changed;
mod load;
mod seasons;
mod shared;

use std::time::Duration;

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_protocol::limits::BOARDS_FOLLOWED_MAX;
use pitturu_protocol::types::accounts::{LoginGuest, Logout};
use pitturu_protocol::types::audit_log::{AuditAct, ListAuditLog};
use pitturu_protocol::types::boards::{
    BoardDirection, BoardOperator, FollowBoard, GetScore, ListBoards, ListFriendScores, ListPlaces,
    ListScoresAround, ListSeasons, ListTopScores, PlayerScore, RankChanged, RemoveScore,
    ScoreEntry, ScoreSubmitted, Scores, SubmitScore, UnfollowBoard,
};
use pitturu_protocol::types::friends::{AcceptFriend, RequestFriend};

use super::world::{Client, Raw, World};
use crate::connections::link::memory::Options;

const GAME: &str = "
[boards.best]
operator = 'best'
[boards.lap]
operator = 'latest'
direction = 'lower'
entries_max = 2
[boards.sum]
operator = 'sum'
";

pub(super) fn submit(board: &str, user: UserId, score: i64) -> SubmitScore {
    SubmitScore {
        board: board.to_owned(),
        user,
        score,
        metadata: None,
    }
}

fn top(board: &str) -> ListTopScores {
    ListTopScores {
        board: board.to_owned(),
        season: None,
        offset: None,
        limit: None,
    }
}

fn get(board: &str, user: Option<UserId>) -> GetScore {
    GetScore {
        board: board.to_owned(),
        season: None,
        user,
    }
}

fn code<T>(outcome: Result<T, Fault>) -> (Code, Option<String>) {
    match outcome {
        Ok(_) => panic!("it is carried out"),
        Err(fault) => (fault.code, fault.field),
    }
}

struct Scene {
    world: World,
    admin: Client,
    players: Vec<Client>,
    users: Vec<UserId>,
}

impl Scene {
    async fn new() -> Self {
        Self::of(GAME, 4).await
    }

    /// So many players of this game.
    async fn of(game: &'static str, count: usize) -> Self {
        let world = World::with_game(game).await;
        let (admin, _) = world.registered("root").await;
        let (mut players, mut users) = (Vec::new(), Vec::new());
        for number in 0..count {
            let name = format!("player {number}");
            let (player, signed_in) = world.guest(&name, Options::default()).await;
            players.push(player);
            users.push(signed_in.identity.user);
        }
        Self {
            world,
            admin,
            players,
            users,
        }
    }

    async fn submit(&mut self, board: &str, player: usize, score: i64) -> ScoreSubmitted {
        let request = submit(board, self.users[player], score);
        self.admin.call(&request).await.expect("it is in range")
    }

    async fn top(&mut self, board: &str) -> Vec<(usize, i64, u32)> {
        let scores: Scores = self.players[0].call(&top(board)).await.expect("a board");
        assert_eq!((scores.season, scores.more), (0, false));
        assert_eq!(scores.count as usize, scores.entries.len());
        let place = |entry: &ScoreEntry| {
            let player = self.users.iter().position(|user| *user == entry.user);
            let player = player.expect("one of these");
            assert_eq!(entry.name, format!("player {player}"));
            (player, entry.score, entry.rank)
        };
        scores.entries.iter().map(place).collect()
    }
}

#[tokio::test]
async fn scores_are_ranked_and_are_there_after_a_restart() {
    let mut scene = Scene::new().await;
    for (player, score) in [(0, 5), (1, 7), (2, 5), (3, -1)] {
        scene.submit("best", player, score).await;
    }
    let better = scene.submit("best", 3, 9).await;
    assert_eq!(
        (better.rank, better.rank_before, better.changed),
        (1, Some(4), true)
    );
    let worse = scene.submit("best", 3, 8).await;
    assert_eq!((worse.score, worse.rank, worse.changed), (9, 1, false));
    for (board, scores) in [("sum", [2, 3]), ("lap", [90, 80])] {
        for score in scores {
            scene.submit(board, 0, score).await;
        }
    }
    let ranked = [(3, 9, 1), (1, 7, 2), (0, 5, 3), (2, 5, 4)];
    assert_eq!(scene.top("best").await, ranked);
    assert_eq!(scene.top("sum").await, [(0, 5, 1)]);
    assert_eq!(scene.top("lap").await, [(0, 80, 1)]);

    let around = ListScoresAround {
        board: "best".to_owned(),
        season: None,
        user: Some(scene.users[1]),
        before: Some(0),
        after: Some(1),
    };
    let around = scene.players[0].call(&around).await.unwrap();
    let places: Vec<_> = around.entries.iter().map(|entry| entry.rank).collect();
    assert_eq!(places, [2, 3]);

    let own: PlayerScore = scene.players[1].call(&get("best", None)).await.unwrap();
    assert_eq!(
        (own.entry.rank, own.percentile, own.count, own.by),
        (2, 5_000, 4, None)
    );
    let by = scene
        .admin
        .call(&get("best", Some(scene.users[1])))
        .await
        .unwrap()
        .by;
    assert!(by.is_some(), "an admin sees who has submitted it");

    let boards = scene.players[0].call(&ListBoards::default()).await.unwrap();
    let names: Vec<_> = boards.boards.iter().map(|it| it.board.as_str()).collect();
    assert_eq!(names, ["best", "lap", "sum"]);
    let lap = &boards.boards[1];
    assert_eq!(
        (lap.operator, lap.direction),
        (BoardOperator::Latest, BoardDirection::Lower)
    );
    assert_eq!(
        (lap.entries_max, lap.season.count, lap.season.ended),
        (2, 1, false)
    );
    let behind = ListBoards {
        after: Some("best".to_owned()),
        limit: Some(1),
    };
    let page = scene.players[0].call(&behind).await.unwrap();
    assert_eq!((page.boards[0].board.as_str(), page.more), ("lap", true));

    scene.world = scene.world.restarted().await;
    let (again, signed_in) = scene.world.guest("player 0", Options::default()).await;
    assert_eq!(signed_in.identity.user, scene.users[0]);
    scene.players[0] = again;
    assert_eq!(scene.top("best").await, ranked);
    let mut places = scene.players[0].call(&ListPlaces::default()).await.unwrap();
    let found: Vec<_> = places
        .places
        .drain(..)
        .map(|it| (it.board, it.rank, it.score))
        .collect();
    let place = |board: &str, rank, score| (board.to_owned(), rank, score);
    assert_eq!(
        found,
        [place("best", 3, 5), place("lap", 1, 80), place("sum", 1, 5)]
    );
    assert_eq!(places.next, None);
    let seasons = ListSeasons {
        board: "best".to_owned(),
        before: None,
        limit: None,
    };
    let seasons = scene.players[0].call(&seasons).await.unwrap();
    assert_eq!(
        (seasons.seasons[0].number, seasons.seasons[0].count),
        (0, 4)
    );
}

#[tokio::test]
async fn friends_see_each_other_with_their_ranks_among_all() {
    let mut scene = Scene::new().await;
    for (player, score) in [(0, 1), (1, 2), (2, 3)] {
        scene.submit("best", player, score).await;
    }
    let [one, other] = [scene.users[0], scene.users[2]];
    scene.players[0]
        .call(&RequestFriend { user: other })
        .await
        .unwrap();
    scene.players[2]
        .call(&AcceptFriend { user: one })
        .await
        .unwrap();
    let list = |offset, limit| ListFriendScores {
        board: "best".to_owned(),
        season: None,
        offset: Some(offset),
        limit: Some(limit),
    };
    for (offset, limit, ranks, more) in [
        (0, 2, &[1, 3][..], false),
        (0, 1, &[1], true),
        (1, 1, &[3], false),
        (5, 1, &[], false),
    ] {
        let scores = scene.players[0].call(&list(offset, limit)).await.unwrap();
        let found: Vec<_> = scores.entries.iter().map(|entry| entry.rank).collect();
        assert_eq!(
            (found.as_slice(), scores.more, scores.count),
            (ranks, more, 3)
        );
    }
}

#[tokio::test]
async fn what_is_forged_unknown_or_out_of_range_is_refused_and_changes_nothing() {
    let mut scene = Scene::new().await;
    let users = scene.users.clone();
    scene.submit("sum", 0, (1 << 53) - 1).await;
    for player in [0, 1] {
        scene.submit("lap", player, 1).await;
    }
    let nobody = UserId::from_bytes([9; 10]);
    let long = SubmitScore {
        metadata: Some("x".repeat(257)),
        ..submit("best", users[0], 1)
    };
    let field = |name: &str| Some(name.to_owned());
    for (request, refused) in [
        (submit("none", users[0], 1), (Code::BoardNotFound, None)),
        (submit("best", nobody, 1), (Code::NotFound, None)),
        (
            submit("sum", users[0], 1),
            (Code::InvalidArgument, field("score")),
        ),
        (submit("lap", users[2], 1), (Code::BoardFull, None)),
        (long, (Code::InvalidArgument, field("metadata"))),
    ] {
        assert_eq!(
            code(scene.admin.call(&request).await),
            refused,
            "{request:?}"
        );
    }
    let forged = scene.players[0].call(&submit("best", users[0], 1)).await;
    assert_eq!(code(forged).0, Code::Forbidden);
    let remove = RemoveScore {
        board: "best".to_owned(),
        season: None,
        user: users[0],
        note: "a bot".to_owned(),
    };
    assert_eq!(
        code(scene.players[0].call(&remove).await).0,
        Code::Forbidden
    );
    assert_eq!(code(scene.admin.call(&remove).await).0, Code::NotFound);
    assert!(scene.top("best").await.is_empty());
    assert_eq!(scene.top("sum").await, [(0, (1 << 53) - 1, 1)]);
    assert_eq!(scene.top("lap").await, [(0, 1, 1), (1, 1, 2)]);

    let season = ListTopScores {
        season: Some(1),
        ..top("best")
    };
    let refused = code(scene.players[0].call(&season).await);
    assert_eq!(refused, (Code::BoardNotFound, field("season")));
    assert_eq!(
        code(scene.players[3].call(&get("sum", None)).await).0,
        Code::NotFound
    );
    let bad = ListPlaces {
        after: Some("x".to_owned()),
        ..ListPlaces::default()
    };
    let refused = scene.players[0].call(&bad).await.unwrap_err();
    assert_eq!(refused.code, Code::InvalidArgument);
}

#[tokio::test]
async fn a_key_brings_the_first_result_also_where_nothing_changed() {
    let mut scene = Scene::new().await;
    let user = scene.users[0];
    scene.submit("lap", 0, 5).await;
    // It changes nothing; a later one does, and a repetition of the first must not undo that.
    let same = Raw::of(&submit("lap", user, 5));
    let first = scene.admin.call_raw(&same, "a").await.unwrap();
    scene.submit("lap", 0, 7).await;
    assert_eq!(scene.admin.call_raw(&same, "a").await.unwrap(), first);
    assert_eq!(scene.top("lap").await, [(0, 7, 1)]);

    let add = Raw::of(&submit("sum", user, 10));
    let first = scene.admin.call_raw(&add, "b").await.unwrap();
    assert_eq!(scene.admin.call_raw(&add, "b").await.unwrap(), first);
    let other = Raw::of(&submit("sum", user, 11));
    let reused = scene
        .admin
        .call_raw(&other, "b")
        .await
        .map_err(|it| it.code);
    assert_eq!(reused, Err(Code::KeyReused));
    scene.world = scene.world.restarted().await;
    scene.admin = scene.world.signed_in("root").await;
    assert_eq!(scene.admin.call_raw(&add, "b").await.unwrap(), first);
    let (player, _) = scene.world.guest("player 0", Options::default()).await;
    scene.players[0] = player;
    assert_eq!(scene.top("sum").await, [(0, 10, 1)]);
}

#[tokio::test]
async fn a_score_is_taken_off_the_board_and_out_of_the_players_list() {
    let mut scene = Scene::new().await;
    scene.submit("best", 0, 1).await;
    scene.submit("best", 1, 2).await;
    let remove = RemoveScore {
        board: "best".to_owned(),
        season: None,
        user: scene.users[1],
        note: "a bot".to_owned(),
    };
    let removal = Raw::of(&remove);
    scene.admin.call_raw(&removal, "r").await.unwrap();
    scene.admin.call_raw(&removal, "r").await.unwrap();
    assert_eq!(scene.top("best").await, [(0, 1, 1)]);
    let places = scene.players[1].call(&ListPlaces::default()).await.unwrap();
    assert!(places.places.is_empty());
    assert_eq!(scene.submit("best", 1, 3).await.rank_before, None);
    let named = RemoveScore {
        season: Some(0),
        ..remove
    };
    scene.admin.call(&named).await.unwrap();
    assert_eq!(code(scene.admin.call(&named).await).0, Code::NotFound);

    // Each that has removed one is an act of the staff; a repetition is none.
    let list = ListAuditLog {
        user: Some(scene.users[1]),
        ..ListAuditLog::default()
    };
    let removed = loop {
        let log = scene.admin.call(&list).await.expect("an admin may");
        let entries = log.entries.into_iter();
        let removed = entries.filter(|record| record.entry.act == AuditAct::ScoreRemoved);
        let removed: Vec<_> = removed.collect();
        if removed.len() > 1 {
            break removed;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(removed.len(), 2, "{removed:?}");
    for record in removed {
        let (entry, details) = (record.entry, record.details.expect("a reason"));
        assert_eq!(
            (entry.board.as_deref(), entry.season),
            (Some("best"), Some(0))
        );
        assert_eq!(details.reason.as_deref(), Some("a bot"));
    }
}

#[tokio::test]
async fn followers_hear_of_changes_and_of_their_own_place() {
    let mut scene = Scene::new().await;
    let board = || "best".to_owned();
    scene.submit("best", 0, 1).await;
    let standing = scene.players[0]
        .call(&FollowBoard { board: board() })
        .await
        .unwrap();
    assert_eq!(
        (standing.count, standing.own.map(|own| own.rank)),
        (1, Some(1))
    );
    scene.submit("best", 1, 2).await;
    let changed = loop {
        let RankChanged { standing } = scene.players[0].event().await;
        if standing.count == 2 {
            break standing;
        }
    };
    assert_eq!((changed.board.as_str(), changed.season), ("best", 0));
    let top: Vec<_> = changed
        .top
        .iter()
        .map(|it| (it.name.as_str(), it.rank))
        .collect();
    assert_eq!(top, [("player 1", 1), ("player 0", 2)]);
    assert_eq!(changed.own.map(|own| (own.rank, own.score)), Some((2, 1)));
    scene.players[0]
        .call(&UnfollowBoard { board: board() })
        .await
        .unwrap();
    let refused = scene.players[0]
        .call(&FollowBoard {
            board: "none".to_owned(),
        })
        .await;
    assert_eq!(code(refused).0, Code::BoardNotFound);
    let boards = &scene.world.context.services.boards;
    assert!(
        boards
            .parts()
            .following
            .boards_of(&scene.users[0])
            .is_empty()
    );
}

#[tokio::test]
async fn whoever_is_refused_a_leaderboard_does_not_follow_it() {
    let mut scene = Scene::new().await;
    let follow = FollowBoard {
        board: "best".to_owned(),
    };
    let followed = |scene: &Scene| {
        let boards = &scene.world.context.services.boards;
        boards.parts().following.boards_of(&scene.users[0])
    };
    let definitions = &scene.world.context.services.boards.parts().definitions;
    let season = definitions.season_at("best", 0).expect("a leaderboard");
    let season = crate::boards::entity(season.id());
    scene.world.entities.fail(season, 0, 1);
    let refused = scene.players[0].call(&follow).await;
    assert_eq!(code(refused).0, Code::StorageUnavailable);
    assert!(followed(&scene).is_empty());
    scene.players[0].call(&follow).await.unwrap();
    assert_eq!(followed(&scene), ["best"]);
}

/// What one player has followed on a connection is no limit of the next one's.
#[tokio::test]
async fn whoever_signs_in_next_on_a_connection_follows_as_many() {
    let mut game = String::new();
    for number in 0..2 * BOARDS_FOLLOWED_MAX {
        game += &format!("[boards.b{number}]\noperator = 'best'\n");
    }
    let world = World::with_game(game.leak()).await;
    let (mut client, _) = world.guest("one", Options::default()).await;
    let follow = |number| FollowBoard {
        board: format!("b{number}"),
    };
    for number in 0..BOARDS_FOLLOWED_MAX {
        client.call(&follow(number)).await.unwrap();
    }
    let more = client.call(&follow(BOARDS_FOLLOWED_MAX)).await;
    assert_eq!(code(more).0, Code::LimitReached);
    client.call(&Logout {}).await.unwrap();
    let login = LoginGuest {
        secret: "another player's secret, long enough".to_owned(),
        name: None,
        device: None,
    };
    client.call(&login).await.unwrap();
    for number in BOARDS_FOLLOWED_MAX..2 * BOARDS_FOLLOWED_MAX {
        client.call(&follow(number)).await.unwrap();
    }
    let more = client.call(&follow(0)).await;
    assert_eq!(code(more).0, Code::LimitReached);
}
