//! What a server that is newer, older or wrong says, and options that no client can be made with.

use pitturu_client::types::chat::OpenRoom;
use pitturu_client::types::system::{Resume, Resumed, RoomCursor};
use pitturu_client::{
    BackOff, Client, ClientOptions, Code, Fault, InvalidOptions, MemoryTokens, Problem,
    ServerEvent, Stream,
};
use pitturu_protocol::frame::ServerFrame;
use tokio::time::timeout;

use crate::server::{PATIENCE, ROOM, Server};
use crate::{options, tokens};

/// A client that follows its inbox and one room.
fn follower(server: &Server) -> ClientOptions {
    let room = RoomCursor {
        room: ROOM,
        seq: 0,
        rev: 0,
    };
    let kept = MemoryTokens::new(tokens(1));
    options(server).tokens(kept).resume(Resume {
        epoch: None,
        inbox: Some(0),
        rooms: vec![room],
    })
}

#[tokio::test]
async fn a_resume_that_is_refused_for_good_loses_the_streams_and_not_the_connection() {
    for code in [
        Code::Unknown(999),
        Code::InvalidArgument,
        Code::UnknownMethod,
    ] {
        let server = Server::start().await;
        let client = Client::connect(follower(&server)).unwrap();
        let mut events = client.events();
        let (mut peer, _) = server.welcome().await;
        let (call, _, _) = peer.call::<Resume>().await;
        let refusal = Fault::of(code);
        peer.fault(call, refusal.clone()).await;
        let (call, again, _) = peer.call::<Resume>().await;
        assert_eq!((again.inbox, again.rooms), (Some(0), Vec::new()));
        peer.fault(call, refusal.clone()).await;
        let (call, _, _) = peer.call::<OpenRoom>().await;
        peer.fault(call, refusal.clone()).await;
        timeout(PATIENCE, client.online()).await.unwrap().unwrap();
        let (mut lost, mut told) = (Vec::new(), 0);
        while let Some(event) = events.try_next() {
            match event {
                ServerEvent::StreamLost { stream, fault } => {
                    assert_eq!(fault, refusal);
                    lost.push(stream);
                }
                ServerEvent::Problem(Problem::Mismatch { .. }) => told += 1,
                _ => {}
            }
        }
        assert_eq!(lost, [Stream::Inbox, Stream::Room(ROOM)], "{code:?}");
        assert!(told > 0, "{code:?}");
        assert_eq!(client.stats().welcomes, 1, "{code:?}");
    }
}

#[tokio::test]
async fn a_resume_without_the_room_loses_the_room_and_not_the_connection() {
    let server = Server::start().await;
    let client = Client::connect(follower(&server)).unwrap();
    let mut events = client.events();
    let (mut peer, _) = server.welcome().await;
    let (call, _, _) = peer.call::<Resume>().await;
    let reply = Resumed {
        inbox: 0,
        rooms: Vec::new(),
    };
    peer.reply(call, &reply).await;
    timeout(PATIENCE, client.online()).await.unwrap().unwrap();
    let lost = std::iter::from_fn(|| events.try_next()).find_map(|event| match event {
        ServerEvent::StreamLost { stream, .. } => Some(stream),
        _ => None,
    });
    assert_eq!(lost, Some(Stream::Room(ROOM)));
}

#[tokio::test]
async fn a_welcome_of_another_version_is_told_and_does_not_connect() {
    let server = Server::start().await;
    let client = Client::connect(options(&server)).unwrap();
    let mut events = client.events();
    let mut peer = server.accept().await;
    peer.hello().await;
    let mut welcome = crate::server::welcome(false, None);
    let (frame, _) = ServerFrame::read(&welcome).unwrap();
    let ServerFrame::Welcome(mut newer) = frame else {
        panic!("a welcome is made");
    };
    newer.v = 2;
    welcome = ServerFrame::Welcome(newer).encode();
    peer.say(&welcome).await;
    let told = timeout(PATIENCE, async {
        loop {
            if let Some(ServerEvent::Problem(Problem::Mismatch { why })) = events.next().await {
                return why;
            }
        }
    });
    assert!(told.await.unwrap().contains("version 2"));
    assert_eq!(peer.closed().await, Some(4300));
    assert_eq!(client.stats().welcomes, 0);
}

#[tokio::test]
async fn a_back_off_that_storms_a_server_or_never_ends_is_refused() {
    let with = |base_ms, cap_ms| {
        let back_off = BackOff { base_ms, cap_ms };
        let options = ClientOptions::new("ws://127.0.0.1:9").back_off(back_off);
        (back_off, Client::new(options).map(drop))
    };
    for (base_ms, cap_ms) in [(0, 0), (0, 1_000), (1_000_000_000, 1), (1, u64::MAX)] {
        let (back_off, made) = with(base_ms, cap_ms);
        assert_eq!(made, Err(InvalidOptions::BackOff(back_off)));
    }
    assert_eq!(with(1, 1).1, Ok(()));
}
