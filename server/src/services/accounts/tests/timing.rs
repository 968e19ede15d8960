use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use pitturu_protocol::codes::Code;
use pitturu_protocol::types::accounts::RequestPasswordReset;

use super::{Caller, PASSWORD, World, code, login};
use crate::services::accounts::lockout::LockoutConfig;
use crate::services::accounts::passwords::PasswordConfig;

/// Medians of the two may differ by this factor. A leak differs by far more: bcrypt takes thousands of times as long as
/// everything else.
const RATIO_MAX: f64 = 1.35;

fn ratio(mut one: Vec<Duration>, mut other: Vec<Duration>) -> f64 {
    one.sort();
    other.sort();
    let (one, other) = (
        one[one.len() / 2].as_secs_f64(),
        other[other.len() / 2].as_secs_f64(),
    );
    (one / other).max(other / one)
}

#[tokio::test]
async fn known_and_unknown_names_take_the_same_time() {
    let mut config = super::config();
    config.passwords = PasswordConfig {
        cost: 6,
        threads: 1,
    };
    config.lockout = LockoutConfig {
        name_failures_free: u32::MAX - 1,
        name_total_free: u32::MAX - 1,
        address_failures_free: u32::MAX - 1,
        ..LockoutConfig::default()
    };
    let world = World::with(config).await;
    world.register("known").await;
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..150 {
        for (name, times) in ["known", "unknown"].into_iter().zip(&mut times) {
            let start = Instant::now();
            assert_eq!(
                code(world.login(name, "wrong password").await),
                Code::WrongCredentials
            );
            times.push(start.elapsed());
        }
    }
    let [known, unknown] = times;
    let ratio = ratio(known, unknown);
    assert!(ratio < RATIO_MAX, "medians differ by a factor of {ratio}");
}

#[tokio::test]
async fn a_reset_is_asked_for_in_the_same_time() {
    let world = World::new().await;
    for n in 0..60 {
        world.register(&format!("known{n}")).await;
    }
    let mut times = [Vec::new(), Vec::new()];
    for n in 0..60_u32 {
        for (kind, times) in ["known", "other"].into_iter().zip(&mut times) {
            let request = RequestPasswordReset {
                username: format!("{kind}{n}"),
            };
            let caller = Caller {
                address: std::net::Ipv4Addr::from(n).into(),
                ..world.anyone()
            };
            let start = Instant::now();
            world
                .accounts
                .request_password_reset(&caller, request)
                .await
                .unwrap();
            times.push(start.elapsed());
        }
    }
    assert_eq!(world.recorder.deliveries.lock().unwrap().len(), 60);
    let [known, unknown] = times;
    let ratio = ratio(known, unknown);
    assert!(ratio < 1.6, "medians differ by a factor of {ratio}");
}

#[tokio::test]
async fn a_login_whose_password_nobody_looked_at_leaves_nothing_behind() {
    for _ in 0..100 {
        let world = World::new().await;
        world.register("ana").await;
        let caller = world.anyone();
        let attempts = (0..20).map(|_| {
            let attempt = world
                .accounts
                .login(&caller, login("ana", "wrong password"));
            attempt.now_or_never()
        });
        // On a busy machine the thread for passwords is now and then done before the caller is gone. What was looked at counts.
        let looked_at = attempts.flatten().count();
        if looked_at < 3 {
            world.login("ana", PASSWORD).await.unwrap();
            return;
        }
    }
    panic!("each time too many were looked at");
}
