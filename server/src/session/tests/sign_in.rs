//! Signing in: what comes first, and passwords from many networks at once.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pitturu_protocol::types::accounts::{Login, Register};
use pitturu_protocol::types::points::{Wallet, WalletChanged};

use super::PATIENCE;
use super::world::{Client, World};
use crate::connections::link::memory::{Inline, Options};
use crate::connections::network::Network;
use crate::connections::session_notifier::SessionNotifier as _;
use crate::services::accounts::passwords::{Asker, Rank};

/// Networks of the flood.
const NETWORKS: u8 = 10;

/// Registrations that each has waiting.
const EACH: usize = 20;

const PASSWORD: &str = "a good password";

fn address(network: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, network).into()
}

async fn greeted(world: &World, network: u8) -> Client {
    let mut client = world.connect_from(address(network), Options::default());
    client.hello().await;
    client
}

async fn until(holds: impl Fn() -> bool) {
    let holds = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, holds)
        .await
        .expect("it comes");
}

/// A player is listed before the session has been looked at once more, and the welcome comes after that.
#[tokio::test]
async fn what_is_told_of_a_player_comes_behind_the_welcome() {
    for inline in [None, Some(Inline::All)] {
        let world = World::new().await;
        let (_twin, signed_in) = world.guest("twin", Options::default()).await;
        let user = signed_in.identity.user;
        let registry = Arc::clone(&world.context.services.registry);
        for _ in 0..20 {
            let options = Options {
                inline,
                ..Options::default()
            };
            let mut client = world.connect(options);
            let telling = {
                let registry = Arc::clone(&registry);
                tokio::spawn(async move {
                    while registry.connections_of(user).len() < 2 {
                        tokio::task::yield_now().await;
                    }
                    let wallet = Wallet {
                        balance: 1,
                        available: 1,
                        head: 1,
                    };
                    registry.wallet_changed(user, wallet);
                })
            };
            let welcome = client.hello_with(Some(&signed_in.access), None).await;
            assert!(welcome.identity.is_some());
            telling.await.expect("it is told");
            assert_eq!(client.event::<WalletChanged>().await.wallet.balance, 1);
            drop(client);
            until(|| registry.connections_of(user).len() == 1).await;
        }
    }
}

#[tokio::test]
async fn registrations_from_many_networks_keep_no_other_network_from_its_turn() {
    let world = World::new().await;
    world.registered("victim").await;
    let passwords = world.context.services.accounts.passwords();
    let asker = |network, rank| Asker {
        network: Network::of(address(network)),
        rank,
    };
    let held = passwords.hold(asker(100, Rank::Known));
    until(|| passwords.waiting() == 0).await;

    let answered = Arc::new(AtomicUsize::new(0));
    for number in 0..usize::from(NETWORKS) * EACH {
        let network = u8::try_from(number / EACH).expect("few");
        let mut client = greeted(&world, network).await;
        let answered = Arc::clone(&answered);
        tokio::spawn(async move {
            let register = Register {
                username: format!("flood{number}"),
                password: PASSWORD.to_owned(),
                name: None,
                email: None,
                device: None,
            };
            client.call(&register).await.expect("its turn comes");
            answered.fetch_add(1, Ordering::SeqCst);
        });
    }
    let flood = usize::from(NETWORKS) * EACH;
    until(|| passwords.waiting() == flood).await;

    let mut victim = greeted(&world, 200).await;
    let login = Login {
        username: "victim".to_owned(),
        password: PASSWORD.to_owned(),
        device: None,
        known: None,
    };
    let call = victim.begin(&login).await;
    until(|| passwords.waiting() == flood + 1).await;
    // The next turn of the same network: at most one more of each other has come before it.
    let next = passwords.hold(asker(200, Rank::Registration));
    drop(held);
    victim
        .answer_to(call)
        .await
        .expect("the right password gets in");
    until(|| passwords.waiting() <= flood - 2 * usize::from(NETWORKS)).await;
    assert_eq!(passwords.waiting(), flood - 2 * usize::from(NETWORKS));
    assert!(answered.load(Ordering::SeqCst) <= 2 * usize::from(NETWORKS));

    drop(next);
    until(|| answered.load(Ordering::SeqCst) == flood).await;
}
