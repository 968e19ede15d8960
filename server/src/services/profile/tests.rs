use pitturu_protocol::codes::Code;
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::profile::{FindPlayer, GetProfile, GetProfiles, UpdateProfile};

use super::ProfileService;
use crate::services::accounts::tests::{Told, World, code, keyed};

fn service(world: &World) -> ProfileService {
    ProfileService::new(world.players.clone(), world.player_owners.clone())
}

#[tokio::test]
async fn a_profile_is_updated_field_by_field() {
    let world = World::new().await;
    let profiles = service(&world);
    let ana = world.register("Ana").await;
    let caller = world.signed_in(&ana.identity);
    let user = ana.identity.user;
    let own = profiles
        .get_profile(&caller, GetProfile { user: None })
        .await
        .unwrap();
    assert_eq!(
        (own.user, own.name.as_str(), own.username.as_deref()),
        (user, "Ana", Some("Ana"))
    );
    assert_eq!(
        profiles.display_name(user).await.unwrap().as_deref(),
        Some("Ana")
    );

    let text = |text: &str| Some(text.to_owned());
    let update = UpdateProfile {
        name: text("아나"),
        avatar: text("pic/1"),
        bio: text("안녕\n!"),
        language: text("ko"),
    };
    let updated = profiles.update_profile(&caller, update).await.unwrap();
    assert_eq!(updated.name, "아나");
    assert_eq!(
        world.recorder.take(),
        [Told::Renamed(user, "아나".to_owned())]
    );
    assert_eq!(
        profiles.display_name(user).await.unwrap().as_deref(),
        Some("아나")
    );
    let update = UpdateProfile {
        avatar: text(""),
        ..UpdateProfile::default()
    };
    let updated = profiles.update_profile(&caller, update).await.unwrap();
    assert_eq!(updated.avatar, None);
    assert_eq!(updated.bio.as_deref(), Some("안녕\n!"));
    assert!(world.recorder.take().is_empty(), "the name is as it was");
    let ben = world.register("ben").await;
    let seen = profiles
        .get_profile(
            &world.signed_in(&ben.identity),
            GetProfile { user: Some(user) },
        )
        .await;
    assert_eq!(seen.unwrap(), updated);
}

#[tokio::test]
async fn a_repeated_update_does_not_undo_a_later_one() {
    let world = World::new().await;
    let profiles = service(&world);
    let ana = world.register("ana").await;
    let named = |name: &str| UpdateProfile {
        name: Some(name.to_owned()),
        ..UpdateProfile::default()
    };
    let caller = keyed(world.signed_in(&ana.identity), "p", &named("One"));
    profiles
        .update_profile(&caller, named("One"))
        .await
        .unwrap();
    profiles
        .update_profile(&world.signed_in(&ana.identity), named("Two"))
        .await
        .unwrap();
    let again = profiles
        .update_profile(&caller, named("One"))
        .await
        .unwrap();
    assert_eq!(again.name, "One", "the first result");
    assert_eq!(
        profiles
            .display_name(ana.identity.user)
            .await
            .unwrap()
            .as_deref(),
        Some("Two")
    );
    let caller = keyed(world.signed_in(&ana.identity), "p", &named("Three"));
    assert_eq!(
        code(profiles.update_profile(&caller, named("Three")).await),
        Code::KeyReused
    );
}

#[tokio::test]
async fn players_are_found_by_name_and_in_batches() {
    let world = World::new().await;
    let profiles = service(&world);
    let ana = world.register("Ana").await;
    let guest = world.guest("0123456789abcdef").await;
    let caller = world.signed_in(&ana.identity);
    let find = |name: &str| FindPlayer {
        username: name.to_owned(),
    };
    let found = profiles.find_player(&caller, find("ａｎａ")).await.unwrap();
    assert_eq!(found.user, ana.identity.user);
    assert_eq!(
        code(profiles.find_player(&caller, find("nobody")).await),
        Code::NotFound
    );
    assert_eq!(
        code(profiles.find_player(&caller, find("not a name")).await),
        Code::InvalidArgument
    );
    let nobody = UserId::from_bytes([5; 10]);
    let users = vec![guest.identity.user, nobody, ana.identity.user];
    let batch = profiles
        .get_profiles(&caller, GetProfiles { users })
        .await
        .unwrap()
        .profiles;
    let users: Vec<_> = batch.iter().map(|profile| profile.user).collect();
    assert_eq!(users, [guest.identity.user, ana.identity.user]);
    assert!(batch[0].name.starts_with("Guest "));
    assert_eq!(batch[0].username, None);
    let many = GetProfiles {
        users: vec![nobody; 101],
    };
    assert_eq!(
        code(profiles.get_profiles(&caller, many).await),
        Code::InvalidArgument
    );
    let unknown = profiles
        .get_profile(&caller, GetProfile { user: Some(nobody) })
        .await;
    assert_eq!(code(unknown), Code::NotFound);
    assert_eq!(profiles.display_name(nobody).await.unwrap(), None);
}
