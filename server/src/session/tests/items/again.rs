//! Calls whose outcome is asked for again: after a store that could not be read, after a restart, on another day.

use pitturu_protocol::codes::Code;
use pitturu_protocol::types::accounts::Login;
use pitturu_protocol::types::rewards::{PlayOutcome, RecordPlay};
use pitturu_store::clock::shift_here;

use super::{Scene, buy, code};
use crate::connections::link::memory::Options;

const DAY_MS: i64 = 86_400_000;

#[tokio::test]
async fn an_order_that_can_not_be_read_for_a_moment_is_not_refused() {
    let mut scene = Scene::new().await;
    scene.points(100).await;
    scene.world.entities.fail_point_reads(3);
    let hat = scene.play(&buy("hat", 1, 30)).await.unwrap();
    assert!(!scene.world.entities.fails_point_reads());
    assert_eq!((hat.points, hat.balance), (30, 70));
}

#[tokio::test]
async fn a_game_that_gave_nothing_gives_nothing_on_another_day_either() {
    let mut scene = Scene::new().await;
    scene.record("chess", PlayOutcome::Lost).await;
    let play = RecordPlay {
        user: scene.user,
        game: "chess".to_owned(),
        outcome: PlayOutcome::Lost,
    };
    let key = "a lost game";
    let first = scene.service.call_under(&play, key).await.unwrap();
    assert_eq!((first.streak, first.rewards.as_slice()), (1, [].as_slice()));

    let Scene { world, .. } = scene;
    let world = world.restarted().await;
    shift_here(DAY_MS);
    let mut service = world.greeted(Options::default()).await;
    let login = Login {
        username: "gameserver".to_owned(),
        password: "a good password".to_owned(),
        device: None,
        known: None,
    };
    service.call(&login).await.unwrap();
    let again = service.call_under(&play, key).await;
    let won = RecordPlay {
        outcome: PlayOutcome::Won,
        ..play.clone()
    };
    let other = service.call_under(&won, key).await;
    shift_here(0);
    assert_eq!(again.unwrap(), first);
    assert_eq!(code(other), Some(Code::KeyReused));
}
