//! Calls whose outcome is asked for again: after a store that could not be read.

use super::{Scene, buy};

#[tokio::test]
async fn an_order_that_can_not_be_read_for_a_moment_is_not_refused() {
    let mut scene = Scene::new().await;
    scene.points(100).await;
    scene.world.entities.fail_point_reads(3);
    let hat = scene.play(&buy("hat", 1, 30)).await.unwrap();
    assert!(!scene.world.entities.fails_point_reads());
    assert_eq!((hat.points, hat.balance), (30, 70));
}
