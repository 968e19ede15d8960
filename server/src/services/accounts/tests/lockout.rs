use std::net::IpAddr;

use futures_util::future::join_all;
use pitturu_protocol::codes::Code;
use pitturu_protocol::types::accounts::ChangePassword;

use super::{Caller, PASSWORD, World, code, login};
use crate::services::accounts::lockout::LockoutConfig;

#[tokio::test]
async fn twenty_wrong_passwords_wait_longer_and_longer_for_known_and_unknown() {
    let world = World::new().await;
    world.register("known").await;
    let mut answers = Vec::new();
    for name in ["known", "unknown"] {
        let mut faults = Vec::new();
        for _ in 0..20 {
            let fault = world.login(name, "wrong password").await.unwrap_err();
            faults.push((fault.code, fault.message, fault.retry_after_ms));
        }
        answers.push(faults);
    }
    assert_eq!(answers[0], answers[1]);
    let waits: Vec<_> = answers[0].iter().filter_map(|(_, _, wait)| *wait).collect();
    assert_eq!(waits.len(), 14);
    assert!(
        waits.is_sorted() && waits[13] >= 100 * waits[0],
        "{waits:?}"
    );
    assert!(
        answers[0][..6]
            .iter()
            .all(|(code, ..)| *code == Code::WrongCredentials)
    );
    assert!(
        answers[0][6..]
            .iter()
            .all(|(code, ..)| *code == Code::LockedOut)
    );
}

#[tokio::test]
async fn the_right_password_is_refused_while_locked_and_clears_afterwards() {
    let mut world = World::new().await;
    world.register("ana").await;
    let mut wait = 0;
    for _ in 0..8 {
        let fault = world.login("ana", "wrong password").await.unwrap_err();
        wait = fault.retry_after_ms.unwrap_or(0);
    }
    assert_eq!(code(world.login("ANA", PASSWORD).await), Code::LockedOut);
    world.now += wait * 2;
    world.login("ana", PASSWORD).await.unwrap();
    for _ in 0..5 {
        assert_eq!(
            code(world.login("ana", "wrong password").await),
            Code::WrongCredentials
        );
    }
}

#[tokio::test]
async fn one_address_is_delayed_over_all_names() {
    let mut config = super::config();
    config.lockout = LockoutConfig {
        address_failures_free: 10,
        ..LockoutConfig::default()
    };
    let world = World::with(config).await;
    world.register("ana").await;
    for n in 0..11 {
        world
            .login(&format!("name{n}"), "wrong password")
            .await
            .unwrap_err();
    }
    assert_eq!(code(world.login("ana", PASSWORD).await), Code::LockedOut);
    let elsewhere = Caller {
        address: "2001:db8::1".parse::<IpAddr>().unwrap(),
        ..world.anyone()
    };
    world
        .accounts
        .login(&elsewhere, login("ana", PASSWORD))
        .await
        .unwrap();
}

#[tokio::test]
async fn right_passwords_never_lock_an_address() {
    let mut config = super::config();
    config.lockout = LockoutConfig {
        address_failures_free: 3,
        ..LockoutConfig::default()
    };
    let world = World::with(config).await;
    world.register("ana").await;
    for _ in 0..20 {
        world.login("ana", PASSWORD).await.unwrap();
    }
}

#[tokio::test]
async fn guesses_at_the_same_moment_are_all_counted() {
    let world = World::new().await;
    world.register("ana").await;
    let results = join_all((0..50).map(|n| {
        let password = format!("guess number {n}");
        let world = &world;
        async move { world.login("ana", &password).await }
    }))
    .await;
    let codes: Vec<_> = results.into_iter().map(code).collect();
    assert_eq!(
        codes
            .iter()
            .filter(|&&code| code == Code::WrongCredentials)
            .count(),
        6
    );
}

#[tokio::test]
async fn guesses_through_a_signed_in_connection_count_as_well() {
    let world = World::new().await;
    let ana = world.register("ana").await;
    let caller = world.signed_in(&ana.identity);
    let guess = ChangePassword {
        old: "wrong password".to_owned(),
        new: "new password".to_owned(),
    };
    for _ in 0..6 {
        let result = world.accounts.change_password(&caller, guess.clone()).await;
        assert_eq!(code(result), Code::WrongCredentials);
    }
    assert_eq!(
        code(world.accounts.change_password(&caller, guess).await),
        Code::LockedOut
    );
    assert_eq!(code(world.login("ana", PASSWORD).await), Code::LockedOut);
}
