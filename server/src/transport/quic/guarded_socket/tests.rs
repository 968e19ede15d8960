use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

const STEP: Duration = Duration::from_millis(1);

const PER_SECOND: u32 = 2_000;
const BURST: f64 = 1_000.0;

/// The beginning of an Initial of version 1 with a token of so many bytes, whose length is written in the shortest way.
fn initial(token_bytes: u16) -> Vec<u8> {
    let mut packet = vec![0xc3, 0, 0, 0, 1, 8];
    packet.extend([7; 8]);
    packet.push(4);
    packet.extend([9; 4]);
    if token_bytes < 64 {
        packet.push(u8::try_from(token_bytes).unwrap());
    } else {
        packet.extend((0x4000 | token_bytes).to_be_bytes());
    }
    packet.extend(vec![1; token_bytes.into()]);
    packet.resize(1_200, 0);
    packet
}

fn address(last: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

/// How many of `count` first packets are admitted that come evenly within a time.
fn admitted(admission: &mut Admission, count: u32, from: Instant, within: Duration) -> u32 {
    let each = within / count;
    let admit = |number| admission.admit(First::WithoutToken, address(1), from + each * number);
    (0..count).map(admit).map(u32::from).sum()
}

#[test]
fn first_packets_are_known_by_their_header() {
    assert_eq!(First::of(&initial(0)), Some(First::WithoutToken));
    for token in [1, 63, 64, 900] {
        assert_eq!(
            First::of(&initial(token)),
            Some(First::WithToken),
            "{token}"
        );
    }
    // Short headers, 0-RTT, handshakes, retries.
    for first in [0x40, 0x00, 0xd0, 0xe0, 0xf0] {
        let mut packet = initial(0);
        packet[0] = first;
        assert_eq!(First::of(&packet), None, "{first:x}");
    }
    // Whatever another version means by it is answered, and without a token of ours.
    for first in [0xc0, 0xd0, 0xff] {
        let mut packet = initial(9);
        packet[0] = first;
        packet[4] = 2;
        assert_eq!(First::of(&packet), Some(First::WithoutToken));
    }
    assert_eq!(First::of(&[]), None);
    let cut: Vec<_> = (1..19)
        .map(|bytes| First::of(&initial(5)[..bytes]))
        .collect();
    assert_eq!(cut, [Some(First::WithoutToken); 18]);
}

#[test]
fn as_many_as_a_burst_and_then_the_rate() {
    let now = Instant::now();
    let mut admission = Admission::new(PER_SECOND, now);
    // Of one network: half of the burst, then what comes back, then a few of the places that are kept.
    let flood = admitted(&mut admission, 100_000, now, Duration::from_secs(2));
    let expected = BURST / 2.0 + 2.0 * f64::from(PER_SECOND);
    let kept = 2.0 / QUIET.as_secs_f64() + 1.0;
    assert!(
        (expected - 1.0..=expected + kept).contains(&f64::from(flood)),
        "{flood}"
    );
    // Tokens are another matter.
    let later = now + Duration::from_secs(2);
    assert!(admission.admit(First::WithToken, address(1), later));
    // After a pause everything is there again.
    let rested = later + Duration::from_secs(5);
    assert_eq!(admitted(&mut admission, 500, rested, STEP), 500);
}

#[test]
fn a_flood_from_one_network_leaves_places_for_others() {
    let now = Instant::now();
    let mut admission = Admission::new(PER_SECOND, now);
    let mut quiet = 0;
    for number in 0..20_000 {
        let now = now + STEP / 20 * number;
        admission.admit(First::WithoutToken, address(1), now);
        if number % 200 == 0 {
            // Nobody shares a place with the flood but by chance.
            let from = address(u8::try_from(2 + number / 200).unwrap());
            quiet += u32::from(admission.admit(First::WithoutToken, from, now));
        }
    }
    assert!(quiet >= 98, "{quiet} of 100");
}

#[test]
fn a_flood_from_everywhere_is_bounded() {
    let now = Instant::now();
    let mut admission = Admission::new(PER_SECOND, now);
    let from = |number: u32| IpAddr::from(Ipv4Addr::from(number.wrapping_mul(2_654_435_761)));
    let admit =
        |number| admission.admit(First::WithoutToken, from(number), now + STEP / 50 * number);
    let admitted: u32 = (0..50_000).map(admit).map(u32::from).sum();
    assert!(
        f64::from(admitted) <= BURST + f64::from(PER_SECOND) + 1.0,
        "{admitted}"
    );
}

fn meta(len: usize, stride: usize) -> RecvMeta {
    RecvMeta {
        len,
        stride,
        ..RecvMeta::default()
    }
}

proptest! {
    #[test]
    fn what_is_kept_of_packets_that_came_together_is_whole(
        keeps in proptest::collection::vec(any::<bool>(), 1..20),
        stride in 1_usize..50,
        last in 1_usize..50,
    ) {
        let count = keeps.len();
        let packets: Vec<Vec<u8>> = (0..count)
            .map(|number| vec![u8::try_from(number).unwrap(); if number + 1 == count { last.min(stride) } else { stride }])
            .collect();
        let mut buf = packets.concat();
        let mut meta = meta(buf.len(), stride);
        retain(&mut buf, &mut meta, |packet| keeps[usize::from(packet[0])]);
        let kept = packets.iter().zip(&keeps).filter(|(_, keep)| **keep);
        let expected: Vec<u8> = kept.flat_map(|(packet, _)| packet.clone()).collect();
        prop_assert_eq!(&buf[..meta.len], &expected[..]);
    }

    #[test]
    fn no_packet_is_too_odd_to_be_looked_at(packet in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = First::of(&packet);
    }
}
