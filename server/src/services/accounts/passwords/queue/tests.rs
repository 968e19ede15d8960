use std::net::Ipv4Addr;

use super::Rank::{Known, Registration, SignIn};
use super::*;

fn asker(network: u8, rank: Rank) -> Asker {
    let network = Network::of(Ipv4Addr::new(192, 0, 2, network).into());
    Asker { network, rank }
}

/// A queue whose items are numbers; those from 1,000 on have left.
fn queue(total: usize, network: usize) -> Queue<u32> {
    Queue::new(Bounds { total, network })
}

fn push(queue: &mut Queue<u32>, network: u8, rank: Rank, item: u32) -> Pushed<u32> {
    let pushed = queue.push(asker(network, rank), item, |&item| item >= 1_000);
    check(queue);
    pushed
}

fn drain(queue: &mut Queue<u32>) -> Vec<u32> {
    let mut order = Vec::new();
    while let Some(item) = queue.take() {
        check(queue);
        order.push(item);
    }
    assert_eq!(queue.len(), 0);
    order
}

/// Counts and turns are those of the lanes.
fn check(queue: &Queue<u32>) {
    assert_eq!(
        queue.waiting,
        queue.lanes.values().map(Lane::len).sum::<usize>()
    );
    assert_eq!(queue.turns.len(), queue.lanes.len());
    assert!(queue.turns.iter().all(|network| queue.of(*network) > 0));
    assert!(queue.waiting <= queue.bounds.total);
    assert!(
        queue
            .lanes
            .values()
            .all(|lane| lane.len() <= queue.bounds.network)
    );
}

#[test]
fn networks_take_turns_however_much_each_has_waiting() {
    let mut queue = queue(100, 50);
    for n in 0..5 {
        push(&mut queue, 1, SignIn, 10 + n);
    }
    for n in 0..3 {
        push(&mut queue, 2, SignIn, 20 + n);
    }
    push(&mut queue, 3, SignIn, 30);
    assert_eq!(drain(&mut queue), [10, 20, 30, 11, 21, 12, 22, 13, 14]);
}

#[test]
fn who_comes_late_waits_for_one_of_each_other_network() {
    let mut queue = queue(1_000, 50);
    for n in 0..40 {
        for network in 1..=20 {
            push(&mut queue, network, SignIn, n * 20 + u32::from(network));
        }
    }
    push(&mut queue, 99, SignIn, 999);
    let order = drain(&mut queue);
    assert_eq!(order.iter().position(|&item| item == 999), Some(20));
}

#[test]
fn a_network_that_comes_back_has_no_turn_before_the_others() {
    let mut queue = queue(100, 50);
    for item in [10, 11] {
        push(&mut queue, 1, SignIn, item);
    }
    push(&mut queue, 2, SignIn, 20);
    assert_eq!(queue.take(), Some(10));
    assert_eq!(queue.take(), Some(20));
    push(&mut queue, 2, Known, 21);
    assert_eq!(drain(&mut queue), [11, 21]);
}

#[test]
fn within_a_network_the_known_go_first_and_registrations_last() {
    let mut queue = queue(100, 50);
    for (rank, item) in [
        (Registration, 30),
        (SignIn, 20),
        (Known, 10),
        (Registration, 31),
        (SignIn, 21),
        (Known, 11),
    ] {
        push(&mut queue, 1, rank, item);
    }
    push(&mut queue, 2, Registration, 99);
    assert_eq!(
        drain(&mut queue),
        [10, 99, 11, 20, 21, 30, 31],
        "a rank takes no other network's turn"
    );
}

#[test]
fn a_network_has_its_share_and_a_better_rank_takes_a_place_in_it() {
    let mut queue = queue(100, 3);
    for item in [30, 31] {
        push(&mut queue, 1, Registration, item);
    }
    assert_eq!(push(&mut queue, 1, SignIn, 20), Pushed::Waits);
    assert_eq!(
        push(&mut queue, 1, Registration, 32),
        Pushed::Refused(32, Full::Network)
    );
    assert_eq!(
        push(&mut queue, 1, SignIn, 21),
        Pushed::Instead(31, Full::Network)
    );
    assert_eq!(
        push(&mut queue, 1, Known, 10),
        Pushed::Instead(30, Full::Network)
    );
    assert_eq!(
        push(&mut queue, 1, Known, 11),
        Pushed::Instead(21, Full::Network)
    );
    assert_eq!(
        push(&mut queue, 1, SignIn, 22),
        Pushed::Refused(22, Full::Network)
    );
    assert_eq!(push(&mut queue, 2, Registration, 99), Pushed::Waits);
    assert_eq!(drain(&mut queue), [10, 99, 11, 20]);
}

#[test]
fn a_full_queue_takes_from_the_network_with_the_most_waiting() {
    let mut queue = queue(6, 5);
    for n in 0..4 {
        push(&mut queue, 1, Known, 10 + n);
    }
    for n in 0..2 {
        push(&mut queue, 2, SignIn, 20 + n);
    }
    assert_eq!(
        push(&mut queue, 3, Registration, 30),
        Pushed::Instead(13, Full::Queue)
    );
    assert_eq!(
        push(&mut queue, 3, Registration, 31),
        Pushed::Instead(12, Full::Queue)
    );
    assert_eq!(
        push(&mut queue, 3, Registration, 32),
        Pushed::Refused(32, Full::Queue),
        "all have as many"
    );
    assert_eq!(
        push(&mut queue, 2, Known, 22),
        Pushed::Instead(31, Full::Queue),
        "a better rank than a worse one's"
    );
    assert_eq!(
        push(&mut queue, 1, SignIn, 14),
        Pushed::Instead(30, Full::Queue),
        "one more would be as many as the most have"
    );
    assert_eq!(drain(&mut queue), [10, 22, 11, 20, 14, 21]);
}

#[test]
fn registrations_from_everywhere_leave_room_for_sign_ins_and_these_for_the_known() {
    let mut queue = queue(50, 10);
    for network in 0..50 {
        push(&mut queue, network, Registration, network.into());
    }
    assert_eq!(
        push(&mut queue, 100, Registration, 100),
        Pushed::Refused(100, Full::Queue)
    );
    for network in 100..150 {
        let pushed = push(&mut queue, network, SignIn, network.into());
        assert!(matches!(pushed, Pushed::Instead(..50, Full::Queue)));
    }
    assert_eq!(
        push(&mut queue, 150, SignIn, 150),
        Pushed::Refused(150, Full::Queue)
    );
    let pushed = push(&mut queue, 150, Known, 150);
    assert_eq!(
        pushed,
        Pushed::Instead(149, Full::Queue),
        "whose turn is the last"
    );
}

#[test]
fn who_has_left_gives_a_place_before_anybody_else() {
    let mut queue = queue(4, 2);
    push(&mut queue, 1, SignIn, 1_000);
    push(&mut queue, 1, SignIn, 10);
    assert_eq!(push(&mut queue, 1, SignIn, 11), Pushed::Waits);
    push(&mut queue, 2, SignIn, 1_001);
    push(&mut queue, 2, SignIn, 1_002);
    assert_eq!(push(&mut queue, 3, SignIn, 30), Pushed::Waits);
    assert_eq!(push(&mut queue, 2, SignIn, 20), Pushed::Waits);
    assert_eq!(drain(&mut queue), [10, 30, 20, 11]);
}
