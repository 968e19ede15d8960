//! Sessions with the real services, over a transport in memory.
//!
//! Everything runs on the test's thread but the store and the shards' timers, so a driver has done all it can when its
//! client goes on.

mod automod;
mod blocks;
mod boards;
mod clock;
mod cut;
mod documented;
mod ending;
mod epoch;
mod faulty;
mod inbox;
mod integers;
mod items;
mod keys;
mod limits;
mod openings;
mod order;
mod pages;
mod points;
mod presence;
mod reads;
mod reasons;
mod reported;
mod resume;
mod rights;
mod roles;
mod sign_in;
mod texts;
mod told;
mod world;

use std::time::Duration;

use pitturu_protocol::codec;
use pitturu_protocol::codes::{CloseCode, Code, Fault};
use pitturu_protocol::events::Event as _;
use pitturu_protocol::frame::{ClientFrame, call};
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::limits::CALLS_IN_FLIGHT_MAX;
use pitturu_protocol::server::Timing;
use pitturu_protocol::types::accounts::{LoginGuest, RevokeSession};
use pitturu_protocol::types::chat::{
    BanMember, CloseRoom, CreateRoom, DeleteRoom, EditMessage, EphemeralSent, JoinRoom, KickMember,
    LeaveRoom, MessageSent, OpenRoom, ReadHistory, RoomKind, RoomLost, SendEphemeral,
};
use pitturu_protocol::types::friends::RequestFriend;
use pitturu_protocol::types::inbox::InboxAdded;
use pitturu_protocol::types::profile::GetProfiles;
use pitturu_protocol::types::system::{Echo, Echoed, Goaway, GoawayReason, Resume, StreamPosition};
use pitturu_store::StoreError;
use pitturu_store::clock::Steady;

use self::world::{Came, Client, World, message};
use super::SessionConfig;
use crate::chat::store::entity;
use crate::connections::link::memory::{Inline, Options};
use crate::connections::link::{CloseReason, LinkError};

const ROOM: RoomId = RoomId::from_bytes([1; 10]);

const PROTOCOL_ERROR: CloseReason = CloseReason::Protocol(CloseCode::ProtocolError);

/// Longest wait for what has to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Turns that a driver gets to do what it must not.
const TURNS: usize = 100;

/// From now on.
const fn open(room: RoomId) -> OpenRoom {
    OpenRoom {
        room,
        seq: None,
        rev: None,
    }
}

/// The inbox, from its beginning.
fn inbox() -> Resume {
    Resume {
        epoch: None,
        inbox: Some(0),
        rooms: Vec::new(),
    }
}

fn echo() -> Echo {
    Echo {
        data: b"echo".to_vec(),
    }
}

fn input(seq: u64) -> Vec<u8> {
    ClientFrame::Input {
        room: ROOM,
        seq,
        data: b"left",
    }
    .encode()
}

async fn let_others_run() {
    for _ in 0..TURNS {
        tokio::task::yield_now().await;
    }
}

async fn answers_calls(client: &mut Client) {
    let echoed = client.call(&echo()).await.expect("an echo");
    assert_eq!(echoed.data, echo().data);
}

#[tokio::test]
async fn hello_is_welcomed_and_calls_get_their_replies() {
    let world = World::new().await;
    let mut client = world.connect(Options::default());
    let welcome = client.hello().await;
    assert_eq!((welcome.identity, welcome.refused), (None, None));
    assert_eq!(welcome.limits.calls as usize, CALLS_IN_FLIGHT_MAX);
    let (first, mut both) = client.encode(&echo());
    let (second, frame) = client.encode(&echo());
    both.extend(frame);
    client.peer.send(both).await;
    for call in [first, second] {
        let Some(Came::Reply(answered, body)) = client.answer().await else {
            panic!("no reply");
        };
        let echoed: Echoed = codec::decode(&body).expect("an echo");
        assert_eq!((answered, echoed.data), (call, echo().data));
    }
}

#[tokio::test]
async fn a_client_that_breaks_the_protocol_is_told_why_and_closed() {
    let world = World::new().await;
    let broken = [
        vec![0xc1],
        Vec::new(),
        world::hello(),
        call(0, &echo(), None),
    ];
    for message in broken {
        let mut client = world.greeted(Options::default()).await;
        client.peer.send(message).await;
        let (fault, reason) = client.farewell().await;
        assert_eq!(fault.map(|fault| fault.code), Some(Code::BadRequest));
        assert_eq!(reason, Some(PROTOCOL_ERROR));
    }
    let mut early = world.connect(Options::default());
    early.peer.send(call(1, &echo(), None)).await;
    let (fault, reason) = early.farewell().await;
    assert_eq!((fault.is_some(), reason), (true, Some(PROTOCOL_ERROR)));
}

#[tokio::test]
async fn a_client_that_breaks_the_transport_is_closed_with_the_transports_number() {
    let world = World::new().await;
    let mut client = world.greeted(Options::default()).await;
    client.peer.end(LinkError::Violation {
        reason: "a test",
        close: 77,
    });
    let closed = (None, Some(CloseReason::Transport(77)));
    assert_eq!(client.farewell().await, closed);
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off_after_a_while() {
    let world = World::with(SessionConfig {
        close_timeout: Duration::from_millis(20),
        ..SessionConfig::default()
    })
    .await;
    let narrow = Options {
        messages_max: 1,
        ..Options::default()
    };
    let mut client = world.greeted(narrow).await;
    for _ in 0..3 {
        client.begin(&echo()).await;
        client.peer.until_unread(0).await;
    }
    client.peer.send(vec![0xc1]).await;
    assert_eq!(client.peer.closed().await, None);
}

#[tokio::test]
async fn datagrams_before_hello_are_dropped() {
    let world = World::new().await;
    let mut client = world.connect(Options::default());
    for datagram in [input(1), call(1, &echo(), None), vec![0xc1], Vec::new()] {
        client.peer.send_datagram(datagram);
    }
    client.peer.until_unread(0).await;
    client.hello().await;
    answers_calls(&mut client).await;
}

#[tokio::test]
async fn input_comes_by_message_and_by_datagram_however_those_arrive() {
    let world = World::new().await;
    let mut client = world.greeted(Options::default()).await;
    client.peer.send(input(1)).await;
    for seq in 2..=6 {
        client.peer.send_datagram(input(seq));
    }
    client.peer.change_datagrams(|on_their_way| {
        on_their_way.remove(1);
        on_their_way.swap(0, 3);
        on_their_way.push_back(on_their_way[1].clone());
    });
    client.peer.until_unread(0).await;
    answers_calls(&mut client).await;
}

#[tokio::test]
async fn anything_but_one_input_in_a_datagram_is_a_violation() {
    let world = World::new().await;
    let two = [input(1), input(2)].concat();
    let pong = ClientFrame::Pong { nonce: 1 }.encode();
    for datagram in [call(1, &echo(), None), two, pong, vec![0xc1], Vec::new()] {
        let mut client = world.greeted(Options::default()).await;
        client.peer.send_datagram(datagram);
        let (fault, reason) = client.farewell().await;
        assert_eq!(fault.map(|fault| fault.code), Some(Code::BadRequest));
        assert_eq!(reason, Some(PROTOCOL_ERROR));
    }
}

/// Two frames fit into a second, and three are sent: so the third is read in another one, whenever they are sent.
#[tokio::test]
async fn a_datagram_counts_as_a_frame_of_the_second() {
    let world = World::with(SessionConfig {
        frames_per_second: 2,
        ..SessionConfig::default()
    })
    .await;
    let began = Steady::now().as_ms() / 1_000;
    let mut client = world.greeted(Options::default()).await;
    client.peer.send_datagram(input(1));
    answers_calls(&mut client).await;
    assert!(Steady::now().as_ms() / 1_000 > began);
}

#[tokio::test]
async fn a_slow_reader_is_cut_and_reads_on_from_the_store() {
    for inline in [None, Some(Inline::All), Some(Inline::Part(100))] {
        let world = World::with(SessionConfig {
            outbox_bytes: 4 * 1024,
            ..SessionConfig::default()
        })
        .await;
        let (mut speaker, _) = world.guest("speaker", Options::default()).await;
        let room = speaker.create_room().await;
        let options = Options {
            messages_max: 2,
            inline,
            ..Options::default()
        };
        let (mut slow, _) = world.guest("slow", options).await;
        slow.join(room).await;
        let sent = 40;
        for seq in 1..=sent {
            let reply = speaker.call(&message(room)).await.expect("it is sent");
            assert_eq!(reply.seq, seq);
        }
        let (mut seen, mut live) = (0, false);
        while !live {
            match slow.next().await {
                Some(Came::Event(event, body)) if event == MessageSent::NUMBER => {
                    let event: MessageSent = codec::decode(&body).expect("the event's type");
                    assert_eq!(event.msg.seq, seen + 1, "in order, each once");
                    seen += 1;
                }
                Some(Came::Event(event, body)) if event == StreamPosition::NUMBER => {
                    let position: StreamPosition = codec::decode(&body).expect("its type");
                    assert_eq!(position.seq, seen);
                    slow.ack(room, &position).await;
                    live = position.live;
                }
                Some(_) => {}
                None => panic!("a slow reader is not disconnected"),
            }
        }
        assert_eq!(seen, sent);
    }
}

#[tokio::test]
async fn what_an_inline_writer_leaves_is_sent_by_the_driver() {
    let world = World::new().await;
    let (mut speaker, _) = world.guest("speaker", Options::default()).await;
    let room = speaker.create_room().await;
    let (mut listener, _) = world.guest("listener", Options::default()).await;
    listener.join(room).await;
    for inline in [Inline::All, Inline::Part(3), Inline::Nothing, Inline::All] {
        listener.peer.set_inline(inline);
        let before = listener.peer.taken_inline();
        for text in ["one", "two"] {
            let said = SendEphemeral {
                room,
                text: text.to_owned(),
            };
            speaker.call(&said).await.expect("it is said");
        }
        for text in ["one", "two"] {
            assert_eq!(listener.event::<EphemeralSent>().await.text, text);
        }
        let is_taken = listener.peer.taken_inline() > before;
        assert_eq!(is_taken, inline != Inline::Nothing, "{inline:?}");
    }
}

#[tokio::test]
async fn pings_come_until_a_client_is_silent_for_too_long() {
    let world = World::with(SessionConfig {
        timing: Timing {
            ping_ms: 250,
            ..Timing::default()
        },
        ..SessionConfig::default()
    })
    .await;
    let mut client = world.greeted(Options::default()).await;
    let mut last = None;
    for _ in 0..3 {
        let Some(Came::Ping(nonce)) = client.next().await else {
            panic!("no ping");
        };
        assert!(last.is_none_or(|last: u32| nonce == last.wrapping_add(1)));
        last = Some(nonce);
        client.peer.send(ClientFrame::Pong { nonce }.encode()).await;
    }
    let missed = CloseReason::Protocol(CloseCode::HeartbeatMissed);
    assert_eq!(client.farewell().await, (None, Some(missed)));
}

#[tokio::test]
async fn whoever_says_no_hello_is_closed() {
    let world = World::with(SessionConfig {
        timing: Timing {
            hello_ms: 20,
            ..Timing::default()
        },
        ..SessionConfig::default()
    })
    .await;
    let mut client = world.connect(Options::default());
    let too_late = CloseReason::Protocol(CloseCode::HandshakeTimeout);
    assert_eq!(client.farewell().await, (None, Some(too_late)));
}

#[tokio::test]
async fn a_connection_that_ends_leaves_the_registry() {
    let world = World::new().await;
    let reset = std::io::ErrorKind::ConnectionReset;
    for error in [LinkError::Closed(Some(7)), LinkError::Io(reset)] {
        let (mut client, signed_in) = world.guest("ana", Options::default()).await;
        client.create_room().await;
        let user = signed_in.identity.user;
        assert_eq!(
            world.context.services.registry.connections_of(user).len(),
            1
        );
        client.peer.end(error);
        assert_eq!(client.peer.closed().await, None, "nobody is told");
        assert_eq!(
            world.context.services.registry.connections_of(user).len(),
            0
        );
        assert_eq!(world.context.services.registry.player_count(), 0);
    }
}

#[tokio::test]
async fn everybody_is_sent_away_with_a_reason() {
    let world = World::new().await;
    let mut greeted = world.greeted(Options::default()).await;
    let (mut guest, _) = world.guest("ana", Options::default()).await;
    let goaway = Goaway {
        reason: GoawayReason::Shutdown,
        reconnect: true,
        within_ms: 5_000,
    };
    world
        .context
        .services
        .registry
        .goaway(&goaway, CloseCode::ShuttingDown);
    for client in [&mut greeted, &mut guest] {
        assert_eq!(client.answer().await, Some(Came::Goaway(goaway.clone())));
        let reason = CloseReason::Protocol(CloseCode::ShuttingDown);
        assert_eq!(client.farewell().await, (None, Some(reason)));
    }
}

#[tokio::test]
async fn no_more_calls_are_read_than_may_be_unanswered() {
    let world = World::new().await;
    let (mut client, _) = world.guest("ana", Options::default()).await;
    // The room is not in memory, so the calls wait until it has been read.
    let held = world.hold_reads().await;
    let beyond = 6;
    for _ in 0..CALLS_IN_FLIGHT_MAX + beyond {
        client.begin(&message(ROOM)).await;
    }
    client.peer.until_unread(beyond).await;
    let_others_run().await;
    assert_eq!(client.peer.unread(), beyond);
    drop(held);
    for _ in 0..CALLS_IN_FLIGHT_MAX + beyond {
        let Some(Came::Fault(_, fault)) = client.answer().await else {
            panic!("there is no such room");
        };
        assert_eq!(fault.code, Code::RoomNotFound);
    }
    assert_eq!(client.peer.unread(), 0);
}

#[tokio::test]
async fn a_read_that_is_cancelled_is_answered_at_once_and_only_once() {
    let world = World::new().await;
    let (mut client, _) = world.guest("ana", Options::default()).await;
    let held = world.hold_reads().await;
    let profiles = GetProfiles {
        users: vec![UserId::from_bytes([9; 10])],
    };
    let cancelled = client.begin(&profiles).await;
    client.peer.until_unread(0).await;
    let cancel = ClientFrame::Cancel { call: cancelled };
    client.peer.send(cancel.encode()).await;
    match client.answer().await {
        Some(Came::Fault(call, fault)) => {
            assert_eq!((call, fault.code), (cancelled, Code::Cancelled));
        }
        other => panic!("no fault but {other:?}"),
    }
    drop(held);
    // A second answer to the first call would come in its place.
    for _ in 0..3 {
        let found = client.call(&profiles).await.expect("a read");
        assert!(found.profiles.is_empty());
    }
    client.peer.send(cancel.encode()).await;
    answers_calls(&mut client).await;
}

#[tokio::test]
async fn what_the_store_has_no_room_for_has_not_happened() {
    let world = World::new().await;
    let (mut owner, _) = world.guest("owner", Options::default()).await;
    let room = owner.create_room().await;
    let (mut member, signed_in) = world.guest("member", Options::default()).await;
    member.join(room).await;
    let (mut stranger, _) = world.guest("stranger", Options::default()).await;
    owner.call(&message(room)).await.expect("it is sent");
    assert_eq!(member.event::<MessageSent>().await.msg.seq, 1);
    let loads = world.entities.loads(entity(room));
    let broken = StoreError::unavailable("a test");
    for (refusal, code) in [
        (StoreError::Busy, Code::Overloaded),
        (broken, Code::StorageUnavailable),
    ] {
        world.entities.refuse(Some(refusal));
        let code_of = |fault: Option<Fault>| fault.map(|fault| fault.code);
        for _ in 0..10 {
            let sent = owner.call(&message(room)).await;
            assert_eq!(code_of(sent.err()), Some(code));
        }
        let joined = stranger.call(&JoinRoom { room }).await;
        assert_eq!(code_of(joined.err()), Some(code));
        let edit = EditMessage {
            room,
            seq: 1,
            text: "changed".to_owned(),
        };
        assert_eq!(code_of(owner.call(&edit).await.err()), Some(code));
        let kick = KickMember {
            room,
            user: signed_in.identity.user,
            reason: None,
        };
        assert_eq!(code_of(owner.call(&kick).await.err()), Some(code));
        let other_room = CreateRoom {
            kind: RoomKind::Public,
            name: "Other".to_owned(),
            topic: None,
            slow_mode_ms: None,
            retention: None,
        };
        assert_eq!(code_of(stranger.call(&other_room).await.err()), Some(code));
        // What needs no room goes on.
        let said = SendEphemeral {
            room,
            text: "still here".to_owned(),
        };
        owner.call(&said).await.expect("it is not stored");
        assert_eq!(member.event::<EphemeralSent>().await.text, "still here");
    }
    world.entities.refuse(None);
    let sent = owner.call(&message(room)).await.expect("it is sent");
    assert_eq!(sent.seq, 2, "nothing that was refused took a place");
    assert_eq!(member.event::<MessageSent>().await.msg.seq, 2);
    let read = ReadHistory {
        room,
        from: None,
        limit: None,
    };
    let history = member.call(&read).await.expect("a member still");
    assert_eq!(history.messages.len(), 2);
    assert_eq!(history.messages[0].text, message(room).text);
    let open = OpenRoom {
        room,
        seq: None,
        rev: None,
    };
    let refused = stranger.call(&open).await.err().map(|fault| fault.code);
    assert_eq!(refused, Some(Code::NotAMember));
    let again = world.entities.loads(entity(room));
    assert_eq!(again, loads, "it is not loaded again");
}

#[tokio::test]
async fn followers_outlive_a_store_that_fails_writes_and_then_loads() {
    let world = World::new().await;
    let (mut owner, _) = world.guest("owner", Options::default()).await;
    let room = owner.create_room().await;
    let (mut member, _) = world.guest("member", Options::default()).await;
    member.join(room).await;
    world.entities.fail(entity(room), 1, 2);
    let failed = owner.call(&message(room)).await.err();
    let failed = failed.map(|fault| fault.code);
    assert_eq!(failed, Some(Code::StorageUnavailable));
    let sent = loop {
        match owner.call(&message(room)).await {
            Ok(sent) => break sent.seq,
            Err(fault) => assert_eq!(fault.code, Code::StorageUnavailable),
        }
    };
    assert_eq!(sent, 1, "the failed one took no place");
    let heard = tokio::time::timeout(PATIENCE, member.event::<MessageSent>());
    assert_eq!(heard.await.expect("it still follows").msg.seq, 1);
}

/// Bans a player from a room.
async fn ban(owner: &mut Client, room: RoomId, user: UserId) {
    let ban = BanMember {
        room,
        user,
        until: None,
        reason: None,
    };
    owner.call(&ban).await.expect("the owner may");
}

/// Opens a room from its first message and reads up to the end of the first page.
async fn first_page(client: &mut Client, room: RoomId) -> StreamPosition {
    let from_the_first = OpenRoom {
        room,
        seq: Some(0),
        rev: Some(0),
    };
    client.call(&from_the_first).await.expect("a member may");
    let page = client.event::<StreamPosition>().await;
    assert!(!page.live, "there is more");
    page
}

/// A room with more messages than fit into a page and into memory, of which the reader has had the first page.
async fn room_with_a_page_read(world: &World) -> (Client, Client, UserId, RoomId, StreamPosition) {
    let (mut owner, _) = world.guest("owner", Options::default()).await;
    let room = owner.create_room().await;
    let (mut reader, signed_in) = world.guest("reader", Options::default()).await;
    reader.join(room).await;
    reader.call(&CloseRoom { room }).await.expect("it is open");
    for _ in 0..250 {
        owner.call(&message(room)).await.expect("it is sent");
    }
    let page = first_page(&mut reader, room).await;
    (owner, reader, signed_in.identity.user, room, page)
}

/// Everything that comes to a client until it has an answer to a call made now.
async fn until_now(client: &mut Client) -> Vec<u16> {
    let call = client.begin(&echo()).await;
    let mut events = Vec::new();
    loop {
        match client.next().await {
            Some(Came::Event(event, _)) => events.push(event),
            Some(Came::Reply(answered, _)) if answered == call => return events,
            Some(_) => {}
            None => panic!("the connection stays"),
        }
    }
}

#[tokio::test]
async fn whoever_loses_a_room_reads_no_further_page_of_it() {
    for way in ["ban", "leave", "close", "delete"] {
        let world = World::with(SessionConfig::default()).await;
        let (mut owner, mut reader, user, room, page) = room_with_a_page_read(&world).await;
        match way {
            "ban" => ban(&mut owner, room, user).await,
            "leave" => drop(reader.call(&LeaveRoom { room }).await.expect("it may")),
            "close" => drop(reader.call(&CloseRoom { room }).await.expect("it may")),
            _ => drop(
                owner
                    .call(&DeleteRoom { room })
                    .await
                    .expect("the owner may"),
            ),
        }
        if way != "close" {
            reader.event::<RoomLost>().await;
        }
        owner.call(&message(room)).await.ok();
        reader.ack(room, &page).await;
        // Reads that begin after the page would have been read, if it were.
        for _ in 0..10 {
            let profiles = GetProfiles { users: vec![user] };
            let call = reader.begin(&profiles).await;
            loop {
                match reader.next().await {
                    Some(Came::Event(event, _)) => {
                        assert_ne!(event, MessageSent::NUMBER, "{way}");
                    }
                    Some(Came::Reply(answered, _)) if answered == call => break,
                    Some(_) => {}
                    None => panic!("the connection stays"),
                }
            }
        }
    }
}

#[tokio::test]
async fn an_acknowledgement_of_an_earlier_opening_moves_nothing() {
    let world = World::new().await;
    let (_owner, mut reader, _, room, old) = room_with_a_page_read(&world).await;
    reader.call(&CloseRoom { room }).await.expect("it is open");
    let again = first_page(&mut reader, room).await;
    assert_eq!(again.seq, old.seq);
    // Both acknowledgements name the same place: the page after it comes once.
    reader.ack(room, &old).await;
    reader.ack(room, &again).await;
    let mut last = again.seq;
    loop {
        match reader.next().await {
            Some(Came::Event(event, body)) if event == MessageSent::NUMBER => {
                let event: MessageSent = codec::decode(&body).expect("the event's type");
                assert_eq!(event.msg.seq, last + 1);
                last = event.msg.seq;
            }
            Some(Came::Event(event, body)) if event == StreamPosition::NUMBER => {
                let position: StreamPosition = codec::decode(&body).expect("its type");
                if position.live {
                    break;
                }
                reader.ack(room, &position).await;
            }
            Some(_) => {}
            None => panic!("the connection stays"),
        }
    }
    assert_eq!(last, 250);
}

#[tokio::test]
async fn opening_and_closing_in_one_message_leaves_a_room_closed() {
    let world = World::new().await;
    let (mut owner, _) = world.guest("owner", Options::default()).await;
    let room = owner.create_room().await;
    let (mut reader, _) = world.guest("reader", Options::default()).await;
    reader.join(room).await;
    reader.call(&CloseRoom { room }).await.expect("it is open");
    for _ in 0..10 {
        // A message before them keeps both waiting for the disk.
        let (_, mut frames) = reader.encode(&message(room));
        let open = OpenRoom {
            room,
            seq: None,
            rev: None,
        };
        frames.extend(reader.encode(&open).1);
        let (close, frame) = reader.encode(&CloseRoom { room });
        frames.extend(frame);
        reader.peer.send(frames).await;
        while !matches!(reader.answer().await, Some(Came::Reply(call, _)) if call == close) {}
        until_now(&mut reader).await;
        owner.call(&message(room)).await.expect("it is sent");
        let came = until_now(&mut reader).await;
        assert!(!came.contains(&MessageSent::NUMBER), "{came:?}");
    }
}

#[tokio::test]
async fn a_session_that_is_ended_goes_though_its_ender_goes_first() {
    let world = World::new().await;
    let (mut ender, _) = world.guest("both", Options::default()).await;
    let (mut other, signed_in) = world.guest("both", Options::default()).await;
    let revoke = RevokeSession {
        session: signed_in.identity.session,
    };
    let held = world.hold_writes().await;
    ender.begin(&revoke).await;
    ender.peer.until_unread(0).await;
    // The end of a link is not noticed while nothing is read; that the server closes is.
    let user = signed_in.identity.user;
    let connections = world.context.services.registry.connections_of(user);
    connections[0].outbox.close(CloseCode::ShuttingDown);
    let closed = CloseReason::Protocol(CloseCode::ShuttingDown);
    assert_eq!(ender.peer.closed().await, Some(closed));
    drop(held);
    let ended = CloseReason::Protocol(CloseCode::SessionEnded);
    let farewell = tokio::time::timeout(PATIENCE, other.farewell());
    assert_eq!(farewell.await.expect("it is ended"), (None, Some(ended)));
}

#[tokio::test]
async fn a_sign_in_that_outlives_its_connection_lists_nobody() {
    let world = World::new().await;
    let mut client = world.greeted(Options::default()).await;
    let login = LoginGuest {
        secret: "a secret of 32 bytes or a bit more".to_owned(),
        name: Some("Ana".to_owned()),
        device: None,
    };
    let held = world.hold_writes().await;
    client.begin(&login).await;
    client.peer.until_unread(0).await;
    let goaway = Goaway {
        reason: GoawayReason::Shutdown,
        reconnect: true,
        within_ms: 0,
    };
    let registry = &world.context.services.registry;
    registry.goaway(&goaway, CloseCode::ShuttingDown);
    let closed = CloseReason::Protocol(CloseCode::ShuttingDown);
    assert_eq!(client.peer.closed().await, Some(closed));
    drop(held);
    // Its writes were handed over before this one's.
    let (mut after, _) = world.guest("after", Options::default()).await;
    answers_calls(&mut after).await;
    let_others_run().await;
    assert_eq!(registry.player_count(), 1);
}

#[tokio::test]
async fn nobody_hears_of_the_inbox_of_who_was_signed_in_before() {
    let world = World::new().await;
    let (mut client, before) = world.guest("before", Options::default()).await;
    let before = before.identity.user;
    let resume = Resume {
        epoch: None,
        inbox: Some(0),
        rooms: Vec::new(),
    };
    client.call(&resume).await.expect("the inbox is followed");
    // As when a password is reset on another connection of a player who is signed in here.
    let registry = &world.context.services.registry;
    for connection in registry.connections_of(before) {
        registry.sign_out(&connection);
    }
    let login = LoginGuest {
        secret: "after---------------------------".to_owned(),
        name: Some("After".to_owned()),
        device: None,
    };
    let after = client.call(&login).await.expect("a guest is welcome");
    let (mut friend, _) = world.guest("friend", Options::default()).await;
    for user in [before, after.identity.user] {
        let request = RequestFriend { user };
        friend.call(&request).await.expect("both are there");
    }
    for _ in 0..10 {
        let profiles = GetProfiles {
            users: vec![before],
        };
        let call = client.begin(&profiles).await;
        loop {
            match client.next().await {
                Some(Came::Event(event, _)) => assert_ne!(event, InboxAdded::NUMBER),
                Some(Came::Reply(answered, _)) if answered == call => break,
                Some(_) => {}
                None => panic!("the connection stays"),
            }
        }
    }
}
