//! Signing in under attack, from outside.

use std::time::{Duration, Instant};

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::types::accounts::{Login, Register, SignedIn};

use crate::crowd::{self, Light};
use crate::launch::Server;
use crate::neighbour::Neighbours;
use crate::player::Player;

const PASSWORD: &str = "correct horse battery";

fn register(player: &mut Player, username: &str) -> SignedIn {
    player
        .call(&Register {
            username: username.to_owned(),
            password: PASSWORD.to_owned(),
            name: None,
            email: None,
            device: None,
        })
        .expect("the name is free")
}

fn login(player: &mut Player, username: &str, password: &str) -> Result<SignedIn, Fault> {
    player.call(&Login {
        username: username.to_owned(),
        password: password.to_owned(),
        device: None,
        known: None,
    })
}

#[test]
fn twenty_wrong_passwords_lock_out_for_longer_and_longer() {
    let server = Server::start(&[
        "accounts.bcrypt_cost=4",
        "accounts.lockout_delay_first=50ms",
    ]);
    register(&mut Player::connect(server.ws), "victim");
    for username in ["victim", "nobody"] {
        let mut guesser = Player::connect(server.ws);
        let mut delays = Vec::new();
        let mut wrong = 0;
        while wrong < 20 {
            let fault = login(&mut guesser, username, "wrong password").expect_err("it is wrong");
            match fault.code {
                Code::WrongCredentials => wrong += 1,
                Code::LockedOut => {
                    wrong += 1;
                    let wait = fault.retry_after_ms.expect("how long to wait");
                    delays.push(wait);
                    std::thread::sleep(Duration::from_millis(wait.min(200)));
                }
                other => panic!("{other:?}"),
            }
        }
        println!("{username}: locked out for {delays:?} ms");
        assert!(delays.len() >= 5, "{delays:?}");
        let longest = delays.iter().max().expect("there are some");
        assert!(
            *longest >= 4 * delays[0],
            "the delays do not grow: {delays:?}"
        );
    }
}

#[test]
fn known_and_unknown_names_take_the_same_time() {
    let server = Server::start(&[
        "accounts.lockout_name_free=1000",
        "accounts.lockout_address_free=100000",
    ]);
    register(&mut Player::connect(server.ws), "known");
    let mut guesser = Player::connect(server.ws);
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..40 {
        for (username, times) in ["known", "unknown"].into_iter().zip(&mut times) {
            let began = Instant::now();
            let fault = login(&mut guesser, username, "wrong password").expect_err("it is wrong");
            times.push(began.elapsed());
            assert_eq!(fault.code, Code::WrongCredentials);
        }
    }
    let [known, unknown] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64()
    });
    println!(
        "median of a wrong password: {:.1} ms for a known name, {:.1} ms for an unknown one",
        known * 1e3,
        unknown * 1e3
    );
    let ratio = known.max(unknown) / known.min(unknown);
    assert!(ratio < 1.25, "the two differ by a factor of {ratio:.2}");
}

#[test]
fn a_login_storm_does_not_slow_chat_down() {
    let server = Server::start(&[
        "accounts.bcrypt_cost=10",
        "limits.chat_per_second=1000",
        "limits.chat_burst=1000",
    ]);
    let address = server.ws;
    for number in 0..8 {
        register(&mut Player::connect(address), &format!("stormer{number}"));
    }
    Neighbours::start(address).endure("login storm", move || {
        let signed_in = crowd::runtime().block_on(async move {
            let logins = (0..16).map(|number| async move {
                let mut player = Light::connect(address).await;
                let login = Login {
                    username: format!("stormer{}", number % 8),
                    password: PASSWORD.to_owned(),
                    device: None,
                    known: None,
                };
                player.call(&login).await.is_ok()
            });
            let outcomes = futures_util::future::join_all(logins).await;
            outcomes.into_iter().filter(|ok| *ok).count()
        });
        assert!(signed_in > 0, "the storm does not reach the passwords");
    });
}
