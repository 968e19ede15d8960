//! Decisions that share a commit.

use pitturu_protocol::types::boards::{ListPlaces, ListSeasons};

use super::{Scene, submit};

#[tokio::test]
async fn scores_that_share_a_commit_are_in_all_lists() {
    let mut scene = Scene::new().await;
    let held = scene.world.hold_writes().await;
    let mut calls = Vec::new();
    for (user, score) in scene.users.iter().zip(1..) {
        let request = submit("best", *user, score);
        calls.push(scene.admin.begin(&request).await);
    }
    crate::session::tests::let_others_run().await;
    drop(held);
    for call in calls {
        let taken = scene.admin.answer_in_any_order(call).await;
        taken.expect("it is in range");
    }
    let seasons = ListSeasons {
        board: "best".to_owned(),
        before: None,
        limit: None,
    };
    let seasons = scene.admin.call(&seasons).await.unwrap().seasons;
    assert_eq!(seasons.len(), 1);
    let list = ListPlaces {
        user: None,
        ended: None,
        after: None,
        limit: None,
    };
    for player in &mut scene.players {
        let places = player.call(&list).await.unwrap();
        assert_eq!(places.places.len(), 1);
    }
}
