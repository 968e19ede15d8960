use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

/// A packet of this kind of IPv4, told apart by its last bytes.
fn packet(protocol: u8, number: u32) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 32, 0, 0, 0, 0, 64, protocol, 0, 0];
    packet.extend_from_slice(&[10, 0, 0, 2, 10, 0, 0, 1]);
    packet.extend_from_slice(&[0, 1, 0, 2, 0, 12, 0, 0]);
    packet.extend_from_slice(&number.to_be_bytes());
    packet
}

fn udp(number: u32) -> Vec<u8> {
    packet(17, number)
}

fn tcp(number: u32) -> Vec<u8> {
    packet(6, number)
}

/// What leaves, each with when and its number.
fn all(schedule: &mut Schedule) -> Vec<(Duration, u32)> {
    std::iter::from_fn(|| {
        let due = schedule.next_due()?;
        let packet = schedule.give(due)?;
        let number = packet.last_chunk().copied().map(u32::from_be_bytes);
        Some((due, number.unwrap()))
    })
    .collect()
}

fn numbers(schedule: &mut Schedule) -> Vec<u32> {
    all(schedule)
        .into_iter()
        .map(|(_, number)| number)
        .collect()
}

#[test]
fn a_packet_leaves_after_the_delay_and_not_before() {
    let conditions = Conditions {
        delay: 40 * MS,
        ..Conditions::default()
    };
    let mut schedule = Schedule::new(conditions, 0);
    assert_eq!(schedule.next_due(), None);
    assert_eq!(schedule.take(3 * MS, udp(1)), Taken::Held);
    assert_eq!(schedule.next_due(), Some(43 * MS));
    assert_eq!(schedule.give(42 * MS), None);
    assert_eq!(schedule.give(43 * MS), Some(udp(1)));
    assert_eq!(schedule.give(99 * MS), None);
}

#[test]
fn jitter_stays_in_its_bounds_and_keeps_the_order() {
    let conditions = Conditions {
        delay: 10 * MS,
        jitter: 20 * MS,
        ..Conditions::default()
    };
    let mut schedule = Schedule::new(conditions, 0);
    for number in 0..1_000 {
        schedule.take(number * MS, udp(number));
    }
    let left = all(&mut schedule);
    let numbers: Vec<u32> = left.iter().map(|&(_, number)| number).collect();
    assert_eq!(numbers, (0..1_000).collect::<Vec<_>>());
    let late = |&(due, number): &(Duration, u32)| due - number * MS;
    assert!(left.iter().all(|it| (10 * MS..30 * MS).contains(&late(it))));
    let (least, most) = (left.iter().map(late).min(), left.iter().map(late).max());
    assert!(least.unwrap() < 20 * MS && most.unwrap() > 25 * MS);
}

/// Numbers of UDP packets, of 10,000, that don't arrive.
fn lost(seed: u64, salt: u64, with_tcp: bool) -> Vec<u32> {
    let conditions = Conditions {
        loss: 0.05,
        seed,
        ..Conditions::default()
    };
    let mut schedule = Schedule::new(conditions, salt);
    (0..10_000)
        .filter(|&number| {
            if with_tcp && number % 3 == 0 {
                schedule.take(Duration::ZERO, tcp(number));
            }
            schedule.take(Duration::ZERO, udp(number)) == Taken::Dropped
        })
        .collect()
}

#[test]
fn the_seed_decides_who_is_lost() {
    let mut all = Vec::new();
    for seed in 0..20 {
        let lost_ones = lost(seed, 1, false);
        // Four standard deviations of a binomial distribution are 87.
        assert!((413..=587).contains(&lost_ones.len()), "{seed}");
        assert_eq!(lost_ones, lost(seed, 1, false));
        assert_eq!(lost_ones, lost(seed, 1, true), "TCP moves UDP's fate");
        assert_ne!(lost_ones, lost(seed, 2, false), "both ways are alike");
        assert!(!all.contains(&lost_ones), "two seeds are alike");
        all.push(lost_ones);
    }
}

#[test]
fn losses_of_neighbours_are_independent() {
    let mut pairs = 0;
    for seed in 0..20 {
        let lost = lost(seed, 0, false);
        pairs += lost
            .windows(2)
            .filter(|pair| pair[0] + 1 == pair[1])
            .count();
    }
    // 20 × 10,000 × 0.05² are 500, with a standard deviation of about 23.
    assert!((380..=620).contains(&pairs), "{pairs}");
}

#[test]
fn one_condition_leaves_the_decisions_of_the_others() {
    let fates = |conditions: Conditions| {
        let mut schedule = Schedule::new(conditions, 0);
        for number in 0..500 {
            schedule.take(Duration::ZERO, udp(number));
        }
        let mut numbers = numbers(&mut schedule);
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    };
    let only_loss = Conditions {
        loss: 0.3,
        ..Conditions::default()
    };
    let only_lost = fates(only_loss.clone());
    let everything = Conditions {
        jitter: 5 * MS,
        reorder: 0.5,
        duplicate: 0.5,
        delay: MS,
        ..only_loss
    };
    assert_eq!(only_lost, fates(everything));
}

#[test]
fn what_is_set_back_is_overtaken_and_the_rest_keeps_its_order() {
    let conditions = Conditions {
        reorder: 0.2,
        reorder_by: 5 * MS,
        ..Conditions::default()
    };
    let mut schedule = Schedule::new(conditions, 0);
    for number in 0..1_000 {
        schedule.take(number * MS, udp(number));
    }
    let left = all(&mut schedule);
    let late = left.iter().filter(|&&(due, number)| due != number * MS);
    let late: Vec<_> = late.copied().collect();
    assert_eq!(late.len() as u64, schedule.counts().set_back);
    assert!((130..=270).contains(&late.len()), "{}", late.len());
    assert!(
        late.iter()
            .all(|&(due, number)| due == number * MS + 5 * MS)
    );
    let in_time = left.iter().filter(|&&(due, number)| due == number * MS);
    assert!(in_time.clone().is_sorted_by_key(|&(_, number)| number));
    assert!(!left.iter().is_sorted_by_key(|&(_, number)| number));
}

#[test]
fn what_is_repeated_arrives_twice() {
    let conditions = Conditions {
        duplicate: 0.5,
        ..Conditions::default()
    };
    let mut schedule = Schedule::new(conditions, 0);
    for number in 0..1_000 {
        schedule.take(number * MS, udp(number));
    }
    let numbers = numbers(&mut schedule);
    let counts = schedule.counts();
    assert_eq!(numbers.len() as u64, 1_000 + counts.duplicated);
    assert!((400..=600).contains(&counts.duplicated));
    assert!(numbers.is_sorted());
    assert_eq!(
        (counts.taken, counts.delivered),
        (1_000, numbers.len() as u64)
    );
    assert_eq!(counts.delivered_bytes, 32 * counts.delivered);
}

#[test]
fn packets_wait_for_each_other_and_the_queue_is_bounded() {
    // One packet of 32 bytes takes 1 ms, and four fit into the queue.
    let conditions = Conditions {
        rate: Some(256_000),
        queue: 128,
        delay: 10 * MS,
        ..Conditions::default()
    };
    let mut schedule = Schedule::new(conditions, 0);
    let taken: Vec<bool> = (0..6)
        .map(|number| schedule.take(Duration::ZERO, udp(number)) == Taken::Held)
        .collect();
    assert_eq!(taken, [true, true, true, true, false, false]);
    assert_eq!(schedule.take(MS, udp(6)), Taken::Held);
    assert_eq!(schedule.take(MS, udp(7)), Taken::Dropped);
    let left = all(&mut schedule);
    let times: Vec<Duration> = left.iter().map(|&(due, _)| due).collect();
    assert_eq!(times, [11 * MS, 12 * MS, 13 * MS, 14 * MS, 15 * MS]);
    assert_eq!(left.last(), Some(&(15 * MS, 6)));
    assert_eq!(schedule.counts().overflowed, 3);
    // After a rest nothing waits.
    schedule.take(100 * MS, udp(8));
    assert_eq!(schedule.next_due(), Some(111 * MS));
}

#[test]
fn what_may_not_pass_vanishes_or_is_refused_and_the_rest_passes() {
    for (pass, udp_taken, tcp_taken) in [
        (Pass::Everything, Taken::Held, Taken::Held),
        (Pass::NoUdp, Taken::Dropped, Taken::Held),
        (
            Pass::RefusedUdp,
            Taken::Refused(packet::port_unreachable(&udp(1)).unwrap()),
            Taken::Held,
        ),
        (Pass::NoTcp, Taken::Held, Taken::Dropped),
        (Pass::Nothing, Taken::Dropped, Taken::Dropped),
    ] {
        let mut schedule = Schedule::new(Conditions::default(), 0);
        schedule.change(Conditions {
            pass,
            ..Conditions::default()
        });
        assert_eq!(schedule.take(MS, udp(1)), udp_taken, "{pass:?}");
        assert_eq!(schedule.take(MS, tcp(1)), tcp_taken, "{pass:?}");
        let counts = schedule.counts();
        let ends = counts.blocked + counts.refused + schedule.held.len() as u64;
        assert_eq!((counts.taken, ends), (2, 2), "{pass:?}");
    }
}

#[test]
fn a_cut_takes_what_is_under_way() {
    let with = |pass| Conditions {
        delay: 10 * MS,
        pass,
        ..Conditions::default()
    };
    let mut schedule = Schedule::new(with(Pass::Everything), 0);
    schedule.take(MS, udp(1));
    schedule.change(with(Pass::NoUdp));
    assert_eq!(schedule.next_due(), Some(11 * MS), "that is no cut");
    schedule.change(with(Pass::Nothing));
    assert_eq!(schedule.next_due(), None);
    assert_eq!(schedule.counts().blocked, 1);
    schedule.change(with(Pass::Everything));
    schedule.take(5 * MS, udp(2));
    assert_eq!(numbers(&mut schedule), [2]);
}

proptest! {
    /// Whatever the conditions are, each packet has one end, and nothing leaves before it could have come.
    #[test]
    fn every_packet_has_one_end(
        seed: u64,
        chances in prop::array::uniform3(0.0..=1.0_f64),
        times in prop::array::uniform3(0..50_u32),
        rate in prop::option::of(1_000..1_000_000_u64),
        queue in 0..2_000_u64,
        gaps in prop::collection::vec(0..20_u32, 1..100),
    ) {
        let [loss, reorder, duplicate] = chances;
        let [delay, jitter, reorder_by] = times.map(|time| time * MS);
        let conditions = Conditions {
            delay, jitter, loss, reorder, reorder_by, duplicate, rate, queue, seed, pass: Pass::Everything,
        };
        let mut schedule = Schedule::new(conditions, seed);
        let (mut now, mut came, mut held) = (Duration::ZERO, Vec::new(), 0);
        for (number, gap) in (0_u32..).zip(&gaps) {
            now += *gap * MS;
            came.push(now);
            held += u64::from(schedule.take(now, udp(number)) == Taken::Held);
        }
        let left = all(&mut schedule);
        let counts = schedule.counts();
        prop_assert_eq!(counts.taken, held + counts.lost + counts.overflowed);
        prop_assert_eq!(left.len() as u64, held + counts.duplicated);
        prop_assert_eq!(counts.delivered, left.len() as u64);
        prop_assert!(left.is_sorted_by_key(|&(due, _)| due));
        for (due, number) in left {
            let came = came[usize::try_from(number).unwrap()];
            prop_assert!(due >= came + delay);
        }
    }
}
