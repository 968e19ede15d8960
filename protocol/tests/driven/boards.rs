//! Leaderboards that are followed, over connections that come and go.

use pitturu_protocol::client::Output;
use pitturu_protocol::codec;
use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::events::Event;
use pitturu_protocol::frame;
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::boards::{BoardStanding, FollowBoard, RankChanged, UnfollowBoard};
use pitturu_protocol::types::system::Done;

use crate::machine::{Called, Driven, identity, player, welcome};

fn follow(board: &str) -> FollowBoard {
    FollowBoard {
        board: board.into(),
    }
}

fn standing(count: u32) -> BoardStanding {
    BoardStanding {
        board: "weekly".into(),
        season: 0,
        count,
        top: Vec::new(),
        own: None,
    }
}

/// Follows two leaderboards and no longer one of them.
fn following() -> Driven {
    let mut driven = Driven::online(player());
    for board in ["weekly", "daily"] {
        driven.call(&follow(board), None);
        let call = driven.called::<FollowBoard>();
        driven.receive(&frame::reply(call, &standing(1)));
    }
    let unfollow = UnfollowBoard {
        board: "daily".into(),
    };
    driven.call(&unfollow, None);
    let call = driven.called::<UnfollowBoard>();
    driven.receive(&frame::reply(call, &Done {}));
    driven.outputs();
    driven
}

fn boards(calls: &[Called]) -> Vec<(u16, String)> {
    #[derive(serde::Deserialize)]
    struct Board {
        board: Option<String>,
    }
    let calls = calls.iter().map(|one| {
        let Board { board } = codec::decode(&one.body).unwrap();
        (one.method, board.unwrap_or_default())
    });
    calls.collect()
}

fn told(driven: &mut Driven) -> Vec<u32> {
    let outputs = driven.outputs().into_iter();
    let told = outputs.filter_map(|output| match output {
        Output::Event { event, body } if event == RankChanged::NUMBER => {
            let changed: RankChanged = codec::decode(&body).unwrap();
            Some(changed.standing.count)
        }
        _ => None,
    });
    told.collect()
}

#[test]
fn each_later_connection_follows_again_and_tells_how_things_stand() {
    let mut driven = following();
    driven.reconnect();
    driven.receive(&welcome(Some(identity(1))));
    // The calls were sent behind the hello.
    driven.machine.disconnected(driven.now, None);
    let said = driven.reconnect();
    driven.receive(&welcome(Some(identity(1))));
    let expected = (FollowBoard::NUMBER, "weekly".to_owned());
    assert_eq!(boards(&said.calls), std::slice::from_ref(&expected));
    driven.receive(&frame::reply(said.calls[0].call, &standing(7)));
    assert_eq!(told(&mut driven), [7]);
    // So does the next connection of a handover.
    assert!(driven.machine.hand_over(driven.now));
    while driven.machine.transmit_other().is_some() {}
    let next = bytes::Bytes::from(welcome(Some(identity(1))));
    driven.machine.other_received(driven.now, &next);
    let calls = driven.said().calls;
    assert_eq!(boards(&calls), [expected]);
    driven.receive(&frame::reply(calls[0].call, &standing(8)));
    assert_eq!(told(&mut driven), [8]);
}

#[test]
fn another_player_follows_nothing() {
    let mut driven = following();
    driven.reconnect();
    driven.receive(&welcome(Some(identity(2))));
    driven.outputs();
    let said = driven.reconnect();
    assert_eq!(boards(&said.calls), []);
}

#[test]
fn a_leaderboard_that_is_refused_again_is_told_and_asked_for_no_more() {
    let mut driven = following();
    let said = driven.reconnect();
    driven.receive(&welcome(Some(identity(1))));
    driven.outputs();
    driven.fault(said.calls[0].call, Fault::of(Code::NotFound));
    assert!(matches!(&driven.outputs()[..], [Output::Mismatch { .. }]));
    assert_eq!(boards(&driven.reconnect().calls), []);
}

#[test]
fn one_that_is_no_longer_followed_while_it_waits_is_ended() {
    let mut driven = following();
    let said = driven.reconnect();
    driven.receive(&welcome(Some(identity(1))));
    let later = Fault::of(Code::Overloaded).retry_after_ms(100);
    driven.fault(said.calls[0].call, later);
    let unfollow = UnfollowBoard {
        board: "weekly".into(),
    };
    driven.call(&unfollow, None);
    let call = driven.called::<UnfollowBoard>();
    driven.receive(&frame::reply(call, &Done {}));
    driven.outputs();
    driven.pass(1_000);
    let call = driven.called::<FollowBoard>();
    driven.receive(&frame::reply(call, &standing(9)));
    assert_eq!(told(&mut driven), [] as [u32; 0]);
    driven.called::<UnfollowBoard>();
}
