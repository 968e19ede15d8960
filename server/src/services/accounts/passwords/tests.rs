use std::net::Ipv4Addr;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::connections::network::Network;

fn network(n: u8) -> Network {
    Network::of(Ipv4Addr::new(192, 0, 2, n).into())
}

fn stranger() -> Asker {
    Asker {
        network: network(0),
        rank: Rank::SignIn,
    }
}

async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

fn passwords(threads: usize) -> Passwords {
    Passwords::start(PasswordConfig { cost: 4, threads }).unwrap()
}

#[tokio::test]
async fn a_password_fits_its_own_hash_and_no_other() {
    let passwords = passwords(1);
    let hash = passwords.hash(stranger(), "correct horse").await.unwrap();
    assert_eq!(
        passwords
            .verify(stranger(), "correct horse", Some(&hash))
            .await,
        Ok(true)
    );
    assert_eq!(
        passwords
            .verify(stranger(), "correct horsf", Some(&hash))
            .await,
        Ok(false)
    );
    assert_eq!(
        passwords
            .verify(stranger(), "nobody's password", None)
            .await,
        Ok(false)
    );
}

#[tokio::test]
async fn all_72_bytes_count_and_longer_is_never_right() {
    let passwords = passwords(1);
    let longest = "x".repeat(72);
    let hash = passwords.hash(stranger(), &longest).await.unwrap();
    assert_eq!(
        passwords.verify(stranger(), &longest, Some(&hash)).await,
        Ok(true)
    );
    assert_eq!(
        passwords
            .verify(stranger(), &longest[..71], Some(&hash))
            .await,
        Ok(false)
    );
    assert_eq!(
        passwords
            .verify(stranger(), &format!("{longest}x"), Some(&hash))
            .await,
        Ok(false)
    );
    assert_eq!(
        passwords
            .verify(stranger(), "nul\0nul\0", Some(&hash))
            .await,
        Ok(false)
    );
}

#[tokio::test]
async fn a_hash_that_is_none_is_a_fault_and_the_thread_goes_on() {
    let passwords = passwords(1);
    let fault = passwords
        .verify(stranger(), "correct horse", Some("no hash"))
        .await
        .unwrap_err();
    assert_eq!(fault.code, Code::Internal);
    passwords.hash(stranger(), "correct horse").await.unwrap();
}

/// Asks for so many passwords at once; gives the calls that wait, and the refusals.
fn storm(
    passwords: &Passwords,
    asker: Asker,
    calls: usize,
) -> (
    Vec<impl Future<Output = Result<bool, Fault>> + '_>,
    Vec<Fault>,
) {
    let calls = (0..calls).map(|_| Box::pin(passwords.verify(asker, "password", None)));
    let mut context = Context::from_waker(Waker::noop());
    let (mut waiting, mut refused) = (Vec::new(), Vec::new());
    for mut call in calls {
        match call.as_mut().poll(&mut context) {
            Poll::Pending => waiting.push(call),
            Poll::Ready(Err(fault)) => refused.push(fault),
            Poll::Ready(Ok(_)) => panic!("the thread is busy"),
        }
    }
    (waiting, refused)
}

#[tokio::test]
async fn a_storm_of_one_network_is_refused_with_a_time_to_wait_and_others_are_not() {
    let passwords = passwords(1);
    let bounds = passwords.config.bounds();
    let held = passwords.hold(stranger());
    until(|| passwords.waiting() == 0).await;
    let (waiting, refused) = storm(&passwords, stranger(), bounds.network + 50);
    assert_eq!((waiting.len(), refused.len()), (bounds.network, 50));
    for fault in refused {
        assert_eq!(fault.code, Code::Overloaded);
        assert!(fault.message.contains("of this network"));
        assert!(fault.retry_after_ms.unwrap() >= 100);
    }
    let other = Asker {
        network: network(1),
        ..stranger()
    };
    let (others, refused) = storm(&passwords, other, 10);
    assert_eq!((others.len(), refused.len()), (10, 0));
    drop(waiting);
    let (again, refused) = storm(&passwords, stranger(), bounds.network);
    assert_eq!(refused, [], "those who left are forgotten");
    drop(held);
    for call in others.into_iter().chain(again) {
        assert_eq!(call.await, Ok(false));
    }
}

#[tokio::test]
async fn who_has_to_give_a_place_is_told_so() {
    let passwords = passwords(1);
    let bounds = passwords.config.bounds();
    let held = passwords.hold(stranger());
    until(|| passwords.waiting() == 0).await;
    let mut calls = Vec::new();
    for n in 0..NETWORK_SHARE {
        let asker = Asker {
            network: network(1 + u8::try_from(n).unwrap()),
            rank: Rank::SignIn,
        };
        let (waiting, refused) = storm(&passwords, asker, bounds.network);
        assert_eq!(refused, []);
        calls.push(waiting);
    }
    assert_eq!(passwords.waiting(), bounds.total);
    let (mut waiting, refused) = storm(&passwords, stranger(), 1);
    assert_eq!(refused, []);
    let displaced = calls.pop().unwrap().pop().unwrap().await.unwrap_err();
    assert_eq!(displaced.code, Code::Overloaded);
    assert!(!displaced.message.contains("of this network"));
    assert!(displaced.retry_after_ms.unwrap() >= 100);
    drop(held);
    assert_eq!(waiting.pop().unwrap().await, Ok(false));
}

#[test]
fn the_last_who_waits_has_an_answer_before_it_is_given_up() {
    for cost in 4..=31 {
        for threads in [0, 1, 2, 8, 64] {
            let config = PasswordConfig { cost, threads };
            let Bounds { total, network } = config.bounds();
            assert!((WAITING_MIN..=WAITING_MAX).contains(&total));
            assert!((1..=total / 2).contains(&network));
            let is_soon = config.time_of_ms(total) <= WAIT_MAX_MS;
            assert!(is_soon || total == WAITING_MIN, "{config:?}: {total}");
        }
    }
    let usual = PasswordConfig {
        cost: 10,
        threads: 1,
    };
    let bounds = usual.bounds();
    assert_eq!((bounds.total, bounds.network), (250, 62));
}

#[test]
fn the_threads_end_with_the_last_clone() {
    let passwords = passwords(2);
    let waiting = Arc::downgrade(&passwords.threads.0);
    drop(passwords);
    for _ in 0..500 {
        if waiting.strong_count() == 0 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("threads still run");
}

#[test]
fn the_cost_of_a_hash_is_seen() {
    let passwords = passwords(1);
    assert!(!passwords.outdated(&bcrypt::hash("x", 4).unwrap()));
    assert!(passwords.outdated(&bcrypt::hash("x", 5).unwrap()));
}

#[test]
fn a_cost_out_of_range_is_refused() {
    assert!(
        Passwords::start(PasswordConfig {
            cost: 3,
            threads: 1
        })
        .is_err()
    );
    assert!(
        Passwords::start(PasswordConfig {
            cost: 32,
            threads: 1
        })
        .is_err()
    );
}
