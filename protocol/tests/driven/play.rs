//! Input and states of games: by datagram where there are some.

use bytes::Bytes;
use pitturu_protocol::client::Output;
use pitturu_protocol::frame::{ClientFrame, ServerFrame};

use crate::machine::{Driven, ROOM, identity, player, welcome};

fn sent_as_message(driven: &mut Driven) -> bool {
    let message = driven.machine.transmit();
    message.is_some_and(|message| {
        let (frame, _) = ClientFrame::read(&message).unwrap();
        matches!(frame, ClientFrame::Input { .. })
    })
}

fn state(tick: u64) -> Vec<u8> {
    ServerFrame::State {
        room: ROOM,
        tick,
        data: b"state",
    }
    .encode()
}

#[test]
fn input_goes_by_datagram_where_it_fits_and_with_the_messages_otherwise() {
    let mut driven = Driven::online(player());
    driven.machine.input(ROOM, 1, b"input");
    assert!(sent_as_message(&mut driven));
    assert_eq!(driven.machine.transmit_datagram(), None);
    driven.machine.set_datagram_bytes_max(Some(100));
    driven.machine.input(ROOM, 2, b"input");
    let datagram = driven.machine.transmit_datagram().unwrap();
    let input = ClientFrame::Input {
        room: ROOM,
        seq: 2,
        data: b"input",
    };
    assert_eq!(datagram, input.encode());
    assert!(!sent_as_message(&mut driven));
    driven.machine.input(ROOM, 3, &[0; 100]);
    assert!(sent_as_message(&mut driven));
    assert_eq!(driven.machine.transmit_datagram(), None);
}

#[test]
fn what_the_network_does_not_take_makes_room_for_what_is_newer() {
    let mut driven = Driven::online(player());
    driven.machine.set_datagram_bytes_max(Some(100));
    for seq in 1..=20 {
        driven.machine.input(ROOM, seq, b"");
    }
    let waiting: Vec<u64> = std::iter::from_fn(|| driven.machine.transmit_datagram())
        .map(|datagram| match ClientFrame::read(&datagram).unwrap() {
            (ClientFrame::Input { seq, .. }, []) => seq,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(waiting, (5..=20).collect::<Vec<_>>());
}

#[test]
fn another_connection_has_no_datagrams_before_its_driver_says_so() {
    let mut driven = Driven::online(player());
    driven.machine.set_datagram_bytes_max(Some(100));
    assert!(driven.machine.hand_over(driven.now));
    while driven.machine.transmit_other().is_some() {}
    let next = Bytes::from(welcome(Some(identity(1))));
    driven.machine.other_received(driven.now, &next);
    driven.outputs();
    driven.said();
    driven.machine.input(ROOM, 1, b"");
    assert!(sent_as_message(&mut driven));
    driven.machine.set_datagram_bytes_max(Some(100));
    driven.machine.input(ROOM, 2, b"");
    driven.machine.disconnected(driven.now, None);
    assert_eq!(driven.machine.transmit_datagram(), None);
    // Without a connection it is lost.
    driven.machine.input(ROOM, 3, b"");
    assert_eq!(driven.machine.transmit_datagram(), None);
    assert!(!sent_as_message(&mut driven));
}

#[test]
fn a_datagram_brings_one_state_or_nothing() {
    let mut driven = Driven::online(player());
    let ping = ServerFrame::Ping { nonce: 1, now: 0 }.encode();
    let two = [state(2), state(3)].concat();
    for bad in [&b""[..], &[0xc1], &ping, &two, &state(1)[..5]] {
        let before = driven.machine.stats().unreadable;
        let datagram = Bytes::copy_from_slice(bad);
        driven.machine.datagram_received(driven.now, &datagram);
        assert_eq!(driven.machine.stats().unreadable, before + 1);
    }
    assert_eq!(driven.outputs(), []);
    assert!(driven.said().calls.is_empty());
    for (tick, is_new) in [(5, true), (4, false), (5, false), (6, true)] {
        let datagram = Bytes::from(state(tick));
        driven.machine.datagram_received(driven.now, &datagram);
        let outputs = driven.outputs();
        assert_eq!(outputs.len(), usize::from(is_new));
        assert!(
            outputs
                .iter()
                .all(|output| matches!(output, Output::State { .. }))
        );
    }
    // A datagram is a sign of life; one that comes when nobody is connected is nobody's.
    driven.machine.disconnected(driven.now, None);
    driven.outputs();
    let datagram = Bytes::from(state(7));
    driven.machine.datagram_received(driven.now, &datagram);
    assert_eq!(driven.outputs(), []);
}
