use std::net::{IpAddr, Ipv6Addr};

use futures_util::future::join_all;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::types::accounts::{
    ChangePassword, Login, Logout, RequestPasswordReset, SignedIn, UpgradeGuest,
};

use super::{Caller, MINUTE, PASSWORD, World, code, login};
use crate::connections::address::Address;
use crate::services::accounts::lockout::LockoutConfig;

const SECRET: &str = "0123456789abcdef";

/// An address in a network of its own.
fn elsewhere(number: u16) -> Address {
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, number, 0, 0, 0, 1)).into()
}

impl World {
    async fn login_from(&self, address: Address, request: Login) -> Result<SignedIn, Fault> {
        let caller = Caller {
            address,
            ..self.anyone()
        };
        self.accounts.login(&caller, request).await
    }

    /// A stranger's burst.
    async fn guess(&self, address: Address, username: &str, times: usize) {
        for _ in 0..times {
            let wrong = login(username, "wrong password");
            self.login_from(address, wrong).await.unwrap_err();
        }
    }
}

#[tokio::test]
async fn twenty_wrong_passwords_wait_longer_and_longer_for_known_and_unknown() {
    let mut world = World::new().await;
    world.register("known").await;
    let start = world.now;
    let mut answers = Vec::new();
    for name in ["known", "unknown"] {
        world.now = start;
        let mut faults = Vec::new();
        for _ in 0..20 {
            let fault = world.login(name, "wrong password").await.unwrap_err();
            world.now += fault.retry_after_ms.unwrap_or(0);
            faults.push((fault.code, fault.message, fault.retry_after_ms));
        }
        answers.push(faults);
    }
    assert_eq!(answers[0], answers[1]);
    let waits: Vec<_> = answers[0].iter().filter_map(|(_, _, wait)| *wait).collect();
    assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000]);
}

#[tokio::test]
async fn refused_attempts_extend_nothing_and_success_erases_nothing() {
    let mut world = World::new().await;
    world.register("ana").await;
    world.now += 1;
    world.guess(elsewhere(1), "ana", 6).await;
    let refused = world.login_from(elsewhere(1), login("ana", PASSWORD)).await;
    assert_eq!(refused.unwrap_err().retry_after_ms, Some(1_000));
    world.guess(elsewhere(1), "ana", 50).await;
    world.now += 1_000;
    let login_now = world.login_from(elsewhere(1), login("ana", PASSWORD)).await;
    login_now.unwrap();
    world.guess(elsewhere(1), "ana", 1).await;
    let unknown = Login {
        device: None,
        ..login("ana", PASSWORD)
    };
    let refused = world.login_from(elsewhere(1), unknown).await;
    assert_eq!(refused.unwrap_err().retry_after_ms, Some(2_000));
}

#[tokio::test]
async fn a_strangers_burst_holds_nobody_up_elsewhere() {
    let world = World::new().await;
    world.register("ana").await;
    world.guess(elsewhere(1), "ana", 16).await;
    let request = login("ana", PASSWORD);
    world
        .login_from(elsewhere(2), request.clone())
        .await
        .unwrap();
    let near = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 9, 9, 9, 9)).into();
    let same_network = world.login_from(near, request).await;
    assert_eq!(
        code(same_network),
        Code::LockedOut,
        "one /64 is one customer"
    );
}

#[tokio::test]
async fn a_known_device_passes_the_locks_of_name_and_network() {
    let mut config = super::config();
    config.lockout = LockoutConfig {
        address_failures_free: 10,
        ..LockoutConfig::default()
    };
    let world = World::with(config).await;
    let here = world.anyone().address;
    let ana = world.register("ana").await;
    let refreshed = world.refresh(&ana.refresh).await.unwrap();
    let bob = world.register("bob").await;
    let caller = world.signed_in(&ana.identity);
    world.accounts.logout(&caller, Logout {}).await.unwrap();
    for number in 0..30 {
        world.guess(elsewhere(number), "ana", 6).await;
    }
    for n in 0..12 {
        world.guess(here, &format!("name{n}"), 1).await;
    }
    let plain = Login {
        device: None,
        ..login("ana", PASSWORD)
    };
    for address in [here, elsewhere(99)] {
        let refused = world.login_from(address, plain.clone()).await;
        assert_eq!(code(refused), Code::LockedOut);
        let others = Login {
            known: Some(bob.refresh.clone()),
            ..plain.clone()
        };
        let refused = world.login_from(address, others).await;
        assert_eq!(code(refused), Code::LockedOut, "another account's");
        for token in [&ana.refresh, &refreshed.refresh] {
            let known = Login {
                known: Some(token.clone()),
                ..plain.clone()
            };
            world.login_from(address, known).await.unwrap();
        }
    }
    // Guessing there is held up as well.
    let wrong = Login {
        password: "wrong password".to_owned(),
        known: Some(ana.refresh.clone()),
        ..plain.clone()
    };
    for _ in 0..6 {
        let refused = world.login_from(here, wrong.clone()).await;
        assert_eq!(code(refused), Code::WrongCredentials);
    }
    assert_eq!(code(world.login_from(here, wrong).await), Code::LockedOut);
    let forged = Login {
        known: Some(ana.refresh.replace(".0.", ".7.")),
        ..plain
    };
    assert_eq!(code(world.login_from(here, forged).await), Code::LockedOut);
}

#[tokio::test]
async fn a_device_is_known_by_its_secret_or_its_name_where_it_is_signed_in() {
    let world = World::new().await;
    let here = world.anyone().address;
    let guest = world.guest(SECRET).await;
    let upgrade = UpgradeGuest {
        username: "ana".to_owned(),
        password: PASSWORD.to_owned(),
        email: None,
    };
    let caller = world.signed_in(&guest.identity);
    world
        .accounts
        .upgrade_guest(&caller, upgrade)
        .await
        .unwrap();
    let tablet = login("ana", PASSWORD);
    world.login_from(here, tablet.clone()).await.unwrap();
    let wrong = Login {
        device: None,
        ..login("ana", "wrong password")
    };
    for number in 0..40 {
        for _ in 0..6 {
            let address = if number == 0 { here } else { elsewhere(number) };
            world.login_from(address, wrong.clone()).await.unwrap_err();
        }
    }
    let plain = Login {
        device: None,
        ..tablet.clone()
    };
    assert_eq!(
        code(world.login_from(here, plain.clone()).await),
        Code::LockedOut
    );
    world.login_from(here, tablet.clone()).await.unwrap();
    let away = world.login_from(elsewhere(99), tablet).await;
    assert_eq!(
        code(away),
        Code::LockedOut,
        "anybody can call a device this"
    );
    let known = Login {
        known: Some(SECRET.to_owned()),
        ..plain
    };
    world.login_from(elsewhere(99), known).await.unwrap();
}

#[tokio::test]
async fn one_address_is_delayed_over_all_names_and_recovers() {
    let mut config = super::config();
    config.lockout = LockoutConfig {
        address_failures_free: 10,
        ..LockoutConfig::default()
    };
    let mut world = World::with(config).await;
    let here = world.anyone().address;
    world.register("ana").await;
    for n in 0..11 {
        world.guess(here, &format!("name{n}"), 1).await;
    }
    let refused = world.login("ana", PASSWORD).await.unwrap_err();
    assert_eq!(
        (refused.code, refused.retry_after_ms),
        (Code::LockedOut, Some(1_000))
    );
    world.now += 1_000;
    world.login("ana", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn right_passwords_never_lock_and_wait_for_each_other() {
    let mut config = super::config();
    config.lockout = LockoutConfig {
        name_failures_free: 1,
        address_failures_free: 2,
        ..LockoutConfig::default()
    };
    let world = World::with(config).await;
    world.register("ana").await;
    let signed_in = join_all((0..20).map(|_| world.login("ana", PASSWORD))).await;
    assert!(signed_in.iter().all(Result::is_ok), "{signed_in:?}");
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
    let codes = results.into_iter().map(code);
    let wrong = codes.filter(|&code| code == Code::WrongCredentials);
    assert_eq!(wrong.count(), 6);
}

#[tokio::test]
async fn guesses_through_a_signed_in_connection_are_held_up_there() {
    let world = World::new().await;
    let ana = world.register("ana").await;
    let caller = world.signed_in(&ana.identity);
    let change = |old: &str| ChangePassword {
        old: old.to_owned(),
        new: "new password".to_owned(),
    };
    for _ in 0..6 {
        let result = world
            .accounts
            .change_password(&caller, change("wrong password"));
        assert_eq!(code(result.await), Code::WrongCredentials);
    }
    let right = world
        .accounts
        .change_password(&caller, change(PASSWORD))
        .await;
    assert_eq!(code(right), Code::LockedOut);
    // Whoever has got hold of one device locks no other one.
    let other = world.login("ana", PASSWORD).await.unwrap();
    let caller = world.signed_in(&other.identity);
    world.guess(caller.address, "ana", 20).await;
    let changed = world
        .accounts
        .change_password(&caller, change(PASSWORD))
        .await;
    changed.unwrap();
}

#[tokio::test]
async fn resets_beyond_the_limit_are_refused_alike_for_known_and_unknown() {
    let mut world = World::new().await;
    world.register("ana").await;
    let ask = |username: &str| RequestPasswordReset {
        username: username.to_owned(),
    };
    let from = |world: &World, address| Caller {
        address,
        ..world.anyone()
    };
    let mut answers = Vec::new();
    for name in ["ana", "nobody"] {
        let caller = from(&world, elsewhere(1));
        let mut answered = Vec::new();
        for _ in 0..8 {
            answered.push(
                world
                    .accounts
                    .request_password_reset(&caller, ask(name))
                    .await,
            );
        }
        answers.push(answered);
    }
    assert_eq!(answers[0], answers[1]);
    let refused: Vec<_> = answers[0]
        .iter()
        .filter_map(|answer| answer.as_ref().err())
        .collect();
    assert_eq!(refused.len(), 4, "{answers:?}");
    assert!(
        refused
            .iter()
            .all(|fault| fault.code == Code::RateLimited
                && fault.retry_after_ms == Some(10 * MINUTE))
    );
    // The player asks elsewhere, and here after the time that was said.
    let caller = from(&world, elsewhere(2));
    world
        .accounts
        .request_password_reset(&caller, ask("ana"))
        .await
        .unwrap();
    world.now += 10 * MINUTE;
    let caller = from(&world, elsewhere(1));
    world
        .accounts
        .request_password_reset(&caller, ask("ana"))
        .await
        .unwrap();
    assert_eq!(world.recorder.deliveries.lock().unwrap().len(), 6);
}
