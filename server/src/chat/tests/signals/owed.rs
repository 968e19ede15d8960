//! Signals that wait for long: their sender can't be loaded, there are more than one page, or their target has no room.

use std::time::{Duration, Instant};

use super::process::Act;
use super::{World, check};
use crate::io_threads::IoThreads;
use crate::players;
use crate::players::tests::{PATIENCE, user};

/// When a batch is sent again, and a moment more.
const SENT_AGAIN: Duration = Duration::from_millis(1_500);

async fn until(what: impl Fn() -> bool) {
    let began = Instant::now();
    while !what() {
        assert!(began.elapsed() < PATIENCE, "it does not come");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_can_not_be_loaded_is_loaded_again() {
    let (io_threads, _threads) = IoThreads::start(2).unwrap();
    let mut world = World::new(&io_threads, 1, "loads fail".to_owned());
    world.process.store.fail_look_ups(true);
    let acts = [Act::Create(1), Act::Request(1, 2), Act::Invite(1, 1)];
    for act in acts {
        world.act(vec![act]).await;
    }
    // Both senders are told to go on, and can't.
    world.process = world
        .process
        .restarted_with(|store| store.memory().fail_loads(4));
    check::until_applied(&world).await;
    world.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_a_page_of_signals_comes_in_order() {
    let (io_threads, _threads) = IoThreads::start(2).unwrap();
    for acts_after in [false, true] {
        let mut world = World::new(&io_threads, 1, "many".to_owned());
        world.process.store.fail_look_ups(true);
        for _ in 0..600 {
            world.process.begin(Act::Request(1, 2));
            world.process.begin(Act::Remove(1, 2));
        }
        let player = players::entity(user(1));
        until(|| world.process.store.decided().contains_key(&(player, 1_200))).await;
        world.process = world.process.restarted();
        if acts_after {
            world.act(vec![Act::Request(1, 2)]).await;
        }
        check::until_applied(&world).await;
        world.check().await;
    }
}

/// What was handed over and is not durable counts as applied, whatever is refused after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_finds_no_room_leaves_known_what_is_on_its_way() {
    let (io_threads, _threads) = IoThreads::start(2).unwrap();
    let mut world = World::new(&io_threads, 1, "no room".to_owned());
    world.act(vec![Act::Create(1)]).await;
    let store = &world.process.store;
    store.hold_next_applied(players::entity(user(2)));
    // The second call's signals wait behind those of the first, and come with them when those are sent again.
    let invited = world.process.call(Act::Invite(1, 2), "invite");
    let kicked = world.process.call(Act::Kick(1, 2), "kick");
    let (invited, kicked) = tokio::join!(invited, kicked);
    world.note("invite", invited, Act::Invite(1, 2));
    world.note("kick", kicked, Act::Kick(1, 2));
    let store = &world.process.store;
    until(|| store.holds_applied()).await;
    tokio::time::sleep(SENT_AGAIN).await;
    store.memory().refuse_reservations(None);
    tokio::time::sleep(SENT_AGAIN).await;
    store.memory().release_writer();
    check::until_applied(&world).await;
    world.check().await;
}
