use futures_util::future::join_all;
use pitturu_protocol::codec;
use pitturu_protocol::codes::Code;
use pitturu_protocol::types::accounts::RefreshTokens;

use super::{DAY, Told, World, code, keyed};
use crate::services::accounts::tokens;

fn request(refresh: &str) -> RefreshTokens {
    RefreshTokens {
        refresh: refresh.to_owned(),
    }
}

#[tokio::test]
async fn each_refresh_gives_new_tokens_and_slides_the_end() {
    let mut world = World::new().await;
    let mut tokens = world.register("ana").await;
    for _ in 0..5 {
        world.now += 80 * DAY;
        assert_eq!(code(world.identify(&tokens).await), Code::TokenExpired);
        let next = world.refresh(&tokens.refresh).await.unwrap();
        assert_ne!(next.refresh, tokens.refresh);
        assert_eq!(next.identity.session, tokens.identity.session);
        assert_eq!(next.refresh_expires_at, world.now + 90 * DAY);
        assert!(!next.created);
        tokens = next;
    }
    world.now += 90 * DAY;
    assert_eq!(
        code(world.refresh(&tokens.refresh).await),
        Code::TokenExpired
    );
}

#[tokio::test]
async fn a_token_used_twice_ends_the_whole_session() {
    let world = World::new().await;
    let first = world.register("ana").await;
    let other = world.login("ana", super::PASSWORD).await.unwrap();
    let second = world.refresh(&first.refresh).await.unwrap();
    assert_eq!(
        code(world.refresh(&first.refresh).await),
        Code::RefreshReused
    );
    let ended = Told::Ended(first.identity.user, first.identity.session);
    assert_eq!(world.recorder.take(), [ended]);
    assert_eq!(
        code(world.refresh(&second.refresh).await),
        Code::TokenInvalid
    );
    assert_eq!(code(world.identify(&second).await), Code::TokenInvalid);
    world
        .refresh(&other.refresh)
        .await
        .expect("other sessions go on");
}

#[tokio::test]
async fn an_early_generation_counts_as_reuse_too() {
    let world = World::new().await;
    let first = world.register("ana").await;
    let second = world.refresh(&first.refresh).await.unwrap();
    let third = world.refresh(&second.refresh).await.unwrap();
    assert_eq!(
        code(world.refresh(&first.refresh).await),
        Code::RefreshReused
    );
    assert_eq!(
        code(world.refresh(&third.refresh).await),
        Code::TokenInvalid
    );
}

#[tokio::test]
async fn the_same_key_gets_the_same_tokens() {
    let mut world = World::new().await;
    let first = world.register("ana").await;
    let request = request(&first.refresh);
    let caller = keyed(world.anyone(), "r1", &request);
    let second = world
        .accounts
        .refresh_tokens(&caller, request.clone())
        .await
        .unwrap();
    world.restart().await;
    let again = world
        .accounts
        .refresh_tokens(&caller, request.clone())
        .await
        .unwrap();
    assert_eq!(second.refresh, again.refresh);
    assert_ne!(second.access, again.access);
    for access in [&second, &again] {
        world.identify(access).await.expect("both are good");
    }
    assert_eq!(second.refresh_expires_at, again.refresh_expires_at);
    assert!(world.recorder.take().is_empty());

    let third = world.refresh(&second.refresh).await.unwrap();
    let late = world
        .accounts
        .refresh_tokens(&caller, request.clone())
        .await;
    assert_eq!(
        code(late),
        Code::TokenInvalid,
        "a late repetition is no theft"
    );
    let fourth = world.refresh(&third.refresh).await.unwrap();

    let other = super::RefreshTokens {
        refresh: fourth.refresh.clone(),
    };
    let caller = keyed(world.anyone(), "r1", &other);
    assert_eq!(
        code(world.accounts.refresh_tokens(&caller, other).await),
        Code::KeyReused
    );
    let caller = keyed(world.anyone(), "r2", &request);
    assert_eq!(
        code(world.accounts.refresh_tokens(&caller, request).await),
        Code::RefreshReused
    );
}

#[tokio::test]
async fn of_fifty_refreshes_at_once_exactly_one_wins() {
    let world = World::new().await;
    let tokens = world.register("ana").await;
    let results = join_all((0..50).map(|_| world.refresh(&tokens.refresh))).await;
    let won: Vec<_> = results.iter().flatten().collect();
    assert_eq!(won.len(), 1);
    let codes: Vec<_> = results
        .into_iter()
        .filter(Result::is_err)
        .map(code)
        .collect();
    assert_eq!(
        codes
            .iter()
            .filter(|&&code| code == Code::RefreshReused)
            .count(),
        1
    );
    assert_eq!(
        codes
            .iter()
            .filter(|&&code| code == Code::TokenInvalid)
            .count(),
        48
    );
}

#[tokio::test]
async fn of_fifty_repetitions_at_once_all_get_the_same() {
    let world = World::new().await;
    let tokens = world.register("ana").await;
    let request = request(&tokens.refresh);
    let caller = keyed(world.anyone(), "r1", &request);
    let calls = (0..50).map(|_| world.accounts.refresh_tokens(&caller, request.clone()));
    let results: Vec<_> = join_all(calls)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert!(
        results
            .iter()
            .all(|tokens| tokens.refresh == results[0].refresh)
    );
    world.refresh(&results[0].refresh).await.unwrap();
}

#[tokio::test]
async fn garbage_for_a_real_session_does_not_end_it() {
    let world = World::new().await;
    let first = world.register("ana").await;
    let second = world.refresh(&first.refresh).await.unwrap();
    let (start, _) = second.refresh.rsplit_once('.').unwrap();
    let other_generations = ["0", "1", "2", "9007199254740991"].map(|generation| {
        let (session, _) = start.rsplit_once('.').unwrap();
        format!("{session}.{generation}.{}", "ab".repeat(32))
    });
    let refresh_of_another = world.register("ben").await.refresh;
    let foreign_secret = format!("{start}.{}", refresh_of_another.rsplit_once('.').unwrap().1);
    for garbage in other_generations.into_iter().chain([
        foreign_secret,
        format!("{start}."),
        start.to_owned(),
        String::new(),
        "x".repeat(60_000),
        second.access.clone(),
    ]) {
        assert_eq!(
            code(world.refresh(&garbage).await),
            Code::TokenInvalid,
            "{garbage}"
        );
    }
    assert!(world.recorder.take().is_empty());
    world
        .refresh(&second.refresh)
        .await
        .expect("the session goes on");
}

#[tokio::test]
async fn tokens_are_not_in_the_store() {
    let mut world = World::new().await;
    let request = super::register("ana");
    let caller = keyed(world.anyone(), "key", &request);
    let first = world.accounts.register(&caller, request).await.unwrap();
    let request = super::RefreshTokens {
        refresh: first.refresh.clone(),
    };
    let caller = keyed(world.anyone(), "key2", &request);
    let second = world
        .accounts
        .refresh_tokens(&caller, request)
        .await
        .unwrap();
    let guest_secret = "a secret of a device";
    world.guest(guest_secret).await;
    world.restart().await;
    world.store.engine().close();
    let mut secrets: Vec<Vec<u8>> = vec![super::PASSWORD.into(), guest_secret.into()];
    let hashed = codec::encode(&tokens::hash_of(guest_secret.as_bytes()));
    let mut seen = false;
    for refresh in [&first.refresh, &second.refresh] {
        let hex = refresh.rsplit_once('.').unwrap().1;
        let raw: Vec<u8> = (0..32)
            .map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap())
            .collect();
        let row: [u8; 32] = raw.as_slice().try_into().unwrap();
        secrets.extend([hex.into(), raw, codec::encode(&row)]);
    }
    let mut folders = vec![world.dir.path().to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let content = std::fs::read(&path).unwrap();
            let holds =
                |secret: &[u8]| content.windows(secret.len()).any(|window| window == secret);
            seen |= holds(&hashed);
            for secret in &secrets {
                assert!(!holds(secret), "{} holds a secret", path.display());
            }
        }
    }
    assert!(seen, "the hash of the guest's secret is what is stored");
}
