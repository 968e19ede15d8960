//! Callbacks that panic, and events that come before anybody listens.

use std::sync::Arc;

use parking_lot::Mutex;
use pitturu_client::types::chat::{JoinRoom, MessageSent};
use pitturu_client::types::system::{Echo, Echoed, Resume};
use pitturu_client::{Client, ConnectionState, Events, MemoryTokens, Problem, ServerEvent};
use pitturu_protocol::codec;
use pitturu_protocol::events::{EVENTS, Event};
use pitturu_protocol::frame::ServerFrame;
use pitturu_protocol::types::inbox::InboxAdded;
use pitturu_protocol::types::system::Resumed;
use serde::Serialize;
use tokio::time::timeout;

use crate::server::{PATIENCE, Peer, ROOM, Server, message, view};
use crate::{options, tokens};

async fn next(events: &mut Events) -> ServerEvent {
    let event = timeout(PATIENCE, events.next()).await;
    event.expect("an event").expect("the client lives")
}

async fn next_message(events: &mut Events) -> u64 {
    loop {
        if let ServerEvent::MessageSent(sent) = next(events).await {
            return sent.msg.seq;
        }
    }
}

/// Waits until the client has taken everything that was said before.
async fn taken(client: &Client, peer: &mut Peer) {
    let echo = client.call(Echo { data: vec![1] }).send();
    let (call, _, _) = peer.call::<Echo>().await;
    let reply = Echoed {
        data: Vec::new(),
        now: 0,
    };
    peer.reply(call, &reply).await;
    timeout(PATIENCE, echo).await.unwrap().unwrap();
}

async fn in_room(server: &Server) -> (Client, Peer) {
    let kept = MemoryTokens::new(tokens(1));
    let client = Client::connect(options(server).tokens(kept)).unwrap();
    let (mut peer, _) = server.welcome().await;
    let join = client.room(ROOM).join().send();
    let (call, _, _) = peer.call::<JoinRoom>().await;
    peer.reply(call, &view(0, 0)).await;
    join.await.unwrap();
    (client, peer)
}

#[tokio::test]
async fn what_comes_before_anybody_listens_is_heard_by_the_first_who_does() {
    let server = Server::start().await;
    let (client, mut peer) = in_room(&server).await;
    for seq in 1..=31 {
        peer.say(&message(seq)).await;
    }
    taken(&client, &mut peer).await;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let guard = {
        let heard = Arc::clone(&heard);
        client.on::<MessageSent>(move |sent| heard.lock().push(sent.msg.seq))
    };
    peer.say(&message(32)).await;
    taken(&client, &mut peer).await;
    assert_eq!(*heard.lock(), (1..=32).collect::<Vec<u64>>());
    drop(guard);

    let (client, mut peer) = in_room(&server).await;
    for seq in 1..=31 {
        peer.say(&message(seq)).await;
    }
    taken(&client, &mut peer).await;
    let mut events = client.events();
    for seq in 1..=31 {
        assert_eq!(next_message(&mut events).await, seq);
    }
}

#[tokio::test]
async fn a_callback_that_panics_keeps_nobody_else_from_hearing() {
    let server = Server::start().await;
    let (client, mut peer) = in_room(&server).await;
    let mut events = client.events();
    let bad = client.on_any(|_| panic!("on purpose"));
    let heard = Arc::new(Mutex::new(Vec::new()));
    let good = {
        let heard = Arc::clone(&heard);
        client.on::<MessageSent>(move |sent| heard.lock().push(sent.msg.seq))
    };
    for seq in 1..=3 {
        peer.say(&message(seq)).await;
    }
    taken(&client, &mut peer).await;
    assert_eq!(*heard.lock(), [1, 2, 3]);
    assert_eq!(*client.connection().borrow(), ConnectionState::Online);
    let (mut messages, mut told) = (0, 0);
    while let Some(event) = events.try_next() {
        match event {
            ServerEvent::MessageSent(_) => messages += 1,
            ServerEvent::Problem(problem) => {
                assert_eq!(problem, Problem::CallbackPanicked);
                told += 1;
            }
            _ => {}
        }
    }
    assert_eq!(messages, 3);
    assert!(told >= 3);
    drop((bad, good));
}

/// The fields that say where an entry belongs; the rest of what it needs is missing.
#[derive(Serialize)]
struct Bare {
    room: pitturu_client::RoomId,
    seq: u64,
    rev: u64,
    msg: Numbered,
}

#[derive(Serialize)]
struct Numbered {
    seq: u64,
}

#[tokio::test]
async fn an_event_that_can_not_be_read_is_told_and_the_next_ones_come() {
    for event in EVENTS {
        let server = Server::start().await;
        let (client, mut peer) = in_room(&server).await;
        let mut events = client.events();
        let body = codec::encode(&Bare {
            room: ROOM,
            seq: 1,
            rev: 1,
            msg: Numbered { seq: 1 },
        });
        let unreadable = ServerFrame::Event {
            event: event.number,
            body: &body,
        };
        peer.say(&unreadable.encode()).await;
        taken(&client, &mut peer).await;
        let mut told = false;
        while let Some(came) = events.try_next() {
            if let ServerEvent::Problem(Problem::Unreadable { event: number, .. }) = came {
                told |= number == event.number;
            }
        }
        // The inbox is not followed here, and what belongs to it is dropped.
        let ignored = event.number == InboxAdded::NUMBER;
        assert!(told || ignored, "{} is told", event.name);
        assert_eq!(client.stats().welcomes, 1, "{}", event.name);
        let seq = if event.number == MessageSent::NUMBER {
            2
        } else {
            1
        };
        peer.say(&message(seq)).await;
        assert_eq!(next_message(&mut events).await, seq, "{}", event.name);
    }
}

#[tokio::test]
async fn an_inbox_entry_that_can_not_be_read_is_stepped_over_for_good() {
    let server = Server::start().await;
    let kept = MemoryTokens::new(tokens(1));
    let resume = Resume {
        epoch: None,
        inbox: Some(0),
        rooms: Vec::new(),
    };
    let client = Client::connect(options(&server).tokens(kept).resume(resume)).unwrap();
    let mut events = client.events();
    let (mut peer, _) = server.welcome().await;
    let (call, _, _) = peer.call::<Resume>().await;
    let resumed = Resumed {
        inbox: 1,
        rooms: Vec::new(),
    };
    peer.reply(call, &resumed).await;
    let body = codec::encode(&Bare {
        room: ROOM,
        seq: 1,
        rev: 0,
        msg: Numbered { seq: 0 },
    });
    let unreadable = ServerFrame::Event {
        event: InboxAdded::NUMBER,
        body: &body,
    };
    peer.say(&unreadable.encode()).await;
    loop {
        if let ServerEvent::Problem(Problem::Unreadable { event, .. }) = next(&mut events).await {
            assert_eq!(event, InboxAdded::NUMBER);
            break;
        }
    }
    drop(peer);
    let (mut peer, _) = server.welcome().await;
    let (_, resume, _) = peer.call::<Resume>().await;
    assert_eq!(resume.inbox, Some(1), "it is not asked for again");
}
