//! Gifts: what may be given, and said with it.

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::points::{GivePoints, Movement};

use super::super::world::{Client, LISTED_WORD};
use super::{Scene, wallet};
use crate::connections::link::memory::Options;

/// A player with 100 points, and a friend.
async fn scene() -> (Scene, Client, UserId) {
    let mut scene = Scene::new().await;
    scene.grant(100).await;
    let (friend, signed_in) = scene.world.guest("friend", Options::default()).await;
    (scene, friend, signed_in.identity.user)
}

fn give(user: UserId, amount: u64, note: Option<&str>) -> GivePoints {
    GivePoints {
        user,
        amount,
        note: note.map(str::to_owned),
    }
}

/// What a refusal says, and which field it names.
fn refusal(outcome: Result<Movement, Fault>) -> (Code, Option<String>, String) {
    let fault = outcome.expect_err("it is refused");
    (fault.code, fault.field, fault.message)
}

#[tokio::test]
async fn a_note_with_a_listed_word_is_no_gift() {
    let (mut scene, mut friend, user) = scene().await;
    let rude = format!("you {}!", LISTED_WORD.to_uppercase());
    let refused = scene
        .player
        .call_under(&give(user, 5, Some(&rude)), "k")
        .await;
    let (code, field, _) = refusal(refused);
    assert_eq!((code, field.as_deref()), (Code::TextRefused, Some("note")));
    assert_eq!(scene.wallet().await.balance, 100);
    // A refusal is not kept: the gift may be made under the same key in other words.
    let kind = give(user, 5, Some("for you"));
    let given = scene.player.call_under(&kind, "k").await.unwrap();
    assert_eq!(
        (given.balance, given.note.as_deref()),
        (95, Some("for you"))
    );
    assert_eq!(wallet(&mut friend).await.balance, 5);
}

const NO_GIFTS: &str = "
[points.gifts]
enabled = false
";

const LARGE_GIFTS: &str = "
[points.gifts]
least = 10
";

#[tokio::test]
async fn a_game_says_what_may_be_given() {
    let (mut scene, friend, user) = scene().await;
    let given = scene.player.call_under(&give(user, 9, None), "nine").await;
    assert!(given.is_ok(), "a game that says nothing has gifts");
    drop((scene.admin, scene.player, friend));
    let mut world = scene.world;
    let small = "a gift is 10 points or more".to_owned();
    let small = (Code::InvalidArgument, Some("amount".to_owned()), small);
    let none = (Code::GiftsOff, None, Code::GiftsOff.advice().to_owned());
    for (game, due, left) in [(LARGE_GIFTS, small, 81), (NO_GIFTS, none, 81)] {
        world = world.restarted_with(game).await;
        let (mut player, _) = world.guest("player", Options::default()).await;
        let again = player.call_under(&give(user, 9, None), "nine").await;
        assert_eq!(again, given, "what was given stays so");
        let refused = player.call_under(&give(user, 9, None), "small").await;
        assert_eq!(refusal(refused), due);
        let large = player.call_under(&give(user, 10, None), game).await;
        assert_eq!(large.is_ok(), game == LARGE_GIFTS);
        assert_eq!(wallet(&mut player).await.balance, left);
    }
}
