//! What is told is what was decided: nobody sees a decision that the store then refuses, in whatever is told before it.
//!
//! The store's writer is held while one decision follows the other. The first becomes durable, the second is refused.

use std::time::Duration;

use pitturu_protocol::codec;
use pitturu_protocol::codes::Code;
use pitturu_protocol::events::Event;
use pitturu_protocol::frame::CallId;
use pitturu_protocol::ids::RoomId;
use pitturu_protocol::methods::Method;
use pitturu_protocol::types::chat::{
    CloseRoom, JoinRoom, KickMember, ListMembers, MarkRead, MessageSent, OpenRoom, ReadMarkerMoved,
    RoomInfo, RoomUpdated, RoomView, UpdateRoom,
};
use pitturu_protocol::types::presence::RoomPresence;
use pitturu_protocol::types::system::StreamPosition;

use super::world::{Came, Client, World, message};
use super::{PATIENCE, open, until_now};
use crate::connections::link::memory::Options;

/// Longer than until presence is told.
const PRESENCE_TOLD: Duration = Duration::from_millis(1_500);

fn rename(room: RoomId, name: &str) -> UpdateRoom {
    UpdateRoom {
        room,
        name: Some(name.to_owned()),
        topic: None,
        slow_mode_ms: None,
        retention: None,
    }
}

/// Sends a call and waits until the room has decided it: `writes` says whether it hands a commit over.
async fn decided<M: Method>(
    world: &World,
    client: &mut Client,
    request: &M,
    writes: bool,
) -> CallId {
    let commits = world.entities.commits();
    let call = client.begin(request).await;
    client.peer.until_unread(0).await;
    let wait = async {
        while writes && world.entities.commits() == commits {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    waited.expect("it hands a commit over");
    call
}

/// The answer to a call and the events of one kind that came before it.
async fn answer_and<E: Event>(
    client: &mut Client,
    call: CallId,
) -> (Result<Vec<u8>, Code>, Vec<E>) {
    let mut events = Vec::new();
    loop {
        match client.next().await {
            Some(Came::Event(event, body)) if event == E::NUMBER => {
                events.push(codec::decode(&body).unwrap());
            }
            Some(Came::Reply(answered, body)) if answered == call => return (Ok(body), events),
            Some(Came::Fault(answered, fault)) if answered == call => {
                return (Err(fault.code), events);
            }
            Some(_) => {}
            None => panic!("the connection stays"),
        }
    }
}

/// The events of one kind that have come to a client by now.
async fn events<E: Event>(client: &mut Client) -> Vec<E> {
    let call = client.begin(&super::echo()).await;
    let (echoed, events) = answer_and(client, call).await;
    echoed.unwrap();
    events
}

/// A room that three players have open, and one who has not joined it.
async fn room(world: &World) -> ([Client; 3], Client, RoomId) {
    let (mut owner, _) = world.guest("owner", Options::default()).await;
    let room = owner.create_room().await;
    let (mut one, _) = world.guest("one", Options::default()).await;
    one.join(room).await;
    let (mut two, _) = world.guest("two", Options::default()).await;
    two.join(room).await;
    let (stranger, _) = world.guest("stranger", Options::default()).await;
    for client in [&mut owner, &mut one, &mut two] {
        until_now(client).await;
    }
    ([owner, one, two], stranger, room)
}

#[tokio::test]
async fn settings_are_told_as_they_were_decided() {
    let world = World::new().await;
    let ([mut owner, mut one, _two], _stranger, room) = room(&world).await;
    let held = world.hold_writes().await;
    world.entities.spoil_behind(1);
    let first = decided(&world, &mut owner, &rename(room, "first"), true).await;
    let second = decided(&world, &mut owner, &rename(room, "second"), true).await;
    drop(held);
    let (reply, mut told) = answer_and::<RoomUpdated>(&mut owner, first).await;
    let info: RoomInfo = codec::decode(&reply.unwrap()).unwrap();
    assert_eq!(info.name, "first");
    let (refused, more) = answer_and::<RoomUpdated>(&mut owner, second).await;
    assert_eq!(refused, Err(Code::Unavailable));
    told.extend(more);
    told.extend(events(&mut owner).await);
    for told in [told, events(&mut one).await] {
        let names: Vec<&str> = told.iter().map(|told| told.info.name.as_str()).collect();
        assert_eq!(names, ["first"]);
    }
    let view = owner.call(&open(room)).await.unwrap();
    assert_eq!(view.info.name, "first");
}

#[tokio::test]
async fn members_are_counted_as_they_were_decided() {
    let world = World::new().await;
    let ([mut owner, mut one, _two], mut stranger, room) = room(&world).await;
    let (_elsewhere, signed_in) = world.guest("two", Options::default()).await;
    let kick = KickMember {
        room,
        user: signed_in.identity.user,
        reason: None,
    };
    // Presence is due, and told while the kick is decided and not durable.
    let view = stranger.call(&JoinRoom { room }).await.unwrap();
    assert_eq!(view.info.members, 4);
    until_now(&mut owner).await;
    let held = world.hold_writes().await;
    world.entities.spoil_behind(0);
    let kicks = decided(&world, &mut owner, &kick, true).await;
    // What a page shows of members waits for the kick.
    let lists = ListMembers {
        room,
        online: false,
        after: None,
        limit: None,
    };
    let lists = decided(&world, &mut one, &lists, false).await;
    tokio::time::sleep(PRESENCE_TOLD).await;
    let mut told = events::<RoomPresence>(&mut stranger).await;
    drop(held);
    assert!(!told.is_empty(), "presence is told meanwhile");
    let (refused, more) = answer_and::<RoomPresence>(&mut owner, kicks).await;
    assert_eq!(refused, Err(Code::Unavailable));
    told.extend(more);
    let (refused, more) = answer_and::<RoomPresence>(&mut one, lists).await;
    assert_eq!(refused, Err(Code::Unavailable));
    told.extend(more);
    // The next life tells as well what the one before it may not have told.
    tokio::time::sleep(PRESENCE_TOLD).await;
    for client in [&mut owner, &mut one, &mut stranger] {
        let more = events::<RoomPresence>(client).await;
        assert!(!more.is_empty(), "presence is told");
        told.extend(more);
    }
    for told in &told {
        assert_eq!(told.members, 4, "{told:?}");
    }
}

#[tokio::test]
async fn read_markers_are_told_as_they_were_decided() {
    let world = World::new().await;
    let ([mut owner, mut one, _two], _stranger, room) = room(&world).await;
    for _ in 0..3 {
        owner.call(&message(room)).await.unwrap();
    }
    let (mut elsewhere, signed_in) = world.guest("one", Options::default()).await;
    let view = elsewhere.call(&open(room)).await.unwrap();
    assert_eq!((view.info.head, view.me.read), (3, 0));
    let held = world.hold_writes().await;
    world.entities.spoil_behind(1);
    let first = decided(&world, &mut one, &MarkRead { room, seq: 1 }, true).await;
    let second = decided(&world, &mut one, &MarkRead { room, seq: 3 }, true).await;
    drop(held);
    let (reply, _) = answer_and::<ReadMarkerMoved>(&mut one, first).await;
    reply.unwrap();
    let (refused, _) = answer_and::<ReadMarkerMoved>(&mut one, second).await;
    assert_eq!(refused, Err(Code::Unavailable));
    let told = events::<ReadMarkerMoved>(&mut elsewhere).await;
    let expected = ReadMarkerMoved {
        room,
        user: signed_in.identity.user,
        read: 1,
    };
    assert_eq!(told, [expected]);
    let view = elsewhere.call(&open(room)).await.unwrap();
    assert_eq!(view.me.read, 1);
}

/// What an opening shows was decided with it: before the second update, which is refused. One behind that is refused as well.
#[tokio::test]
async fn a_view_is_shown_as_it_was_decided() {
    for joins in [false, true] {
        let world = World::new().await;
        let ([mut owner, mut one, mut two], mut stranger, room) = room(&world).await;
        let held = world.hold_writes().await;
        // An update and a join pass, or the update alone.
        world.entities.spoil_behind(1 + usize::from(joins));
        let first = decided(&world, &mut owner, &rename(room, "first"), true).await;
        let reader = if joins { &mut stranger } else { &mut one };
        let opens = if joins {
            decided(&world, reader, &JoinRoom { room }, true).await
        } else {
            decided(&world, reader, &open(room), false).await
        };
        let second = decided(&world, &mut owner, &rename(room, "second"), true).await;
        let behind = decided(&world, &mut two, &open(room), false).await;
        super::let_others_run().await;
        drop(held);
        let (view, _) = answer_and::<RoomUpdated>(reader, opens).await;
        let view: RoomView = codec::decode(&view.unwrap()).unwrap();
        assert_eq!(view.info.name, "first", "{joins}");
        assert_eq!(view.info.members, 3 + u32::from(joins));
        let (reply, _) = answer_and::<RoomUpdated>(&mut owner, first).await;
        reply.unwrap();
        let (refused, _) = answer_and::<RoomUpdated>(&mut owner, second).await;
        assert_eq!(refused, Err(Code::Unavailable), "{joins}");
        let (refused, told) = answer_and::<RoomUpdated>(&mut two, behind).await;
        assert_eq!(refused, Err(Code::Unavailable), "{joins}");
        assert!(told.iter().all(|told| told.info.name == "first"));
        let view = two.call(&open(room)).await.unwrap();
        assert_eq!(view.info.name, "first");
    }
}

/// What is durable can be read before the room has heard that it is. A page has none of it: the room tells it to whoever has the
/// room open then, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_is_ahead_of_what_the_room_has_told() {
    /// More than one page of a back-fill.
    const BEFORE: u64 = 201;
    let world = World::new().await;
    let (mut ana, _) = world.guest("ana", Options::default()).await;
    let room = ana.create_room().await;
    for _ in 0..BEFORE {
        ana.call(&message(room)).await.expect("it is stored");
    }
    let (mut bob, _) = world.guest("bob", Options::default()).await;
    bob.join(room).await;
    let from_the_beginning = OpenRoom {
        seq: Some(0),
        rev: Some(0),
        ..open(room)
    };
    bob.call(&from_the_beginning).await.expect("he is a member");
    let mut heard = Vec::new();
    let first_page = heard_until_position(&mut bob, &mut heard).await;
    assert!(!first_page.live, "there is another page");

    world.entities.hold_reports();
    ana.begin(&message(room)).await;
    let store = &world.context.services.room_store;
    let newest = async || store.messages_after(room, BEFORE, 1, 1).await;
    while newest().await.expect("it is read").is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut position = first_page;
    while !position.live {
        bob.ack(room, &position).await;
        position = heard_until_position(&mut bob, &mut heard).await;
    }
    assert_eq!(heard.last(), Some(&BEFORE));

    // One who closes the room and opens it again from now on is told the same end: where the room stands is in the answer, which may
    // have been decided after the reports, and all that is newer comes once.
    bob.begin(&CloseRoom { room }).await;
    let opens = decided(&world, &mut bob, &open(room), false).await;
    world.entities.release_reports();
    ana.begin(&message(room)).await;
    let mut stands_at = None;
    let newest = BEFORE + 2;
    while stands_at.is_none() || heard.last() != Some(&newest) && stands_at != Some(newest) {
        let came = bob.next().await.expect("he is connected");
        heard.extend(seq_of(&came));
        if let Came::Reply(call, body) = came
            && call == opens
        {
            let view: RoomView = codec::decode(&body).expect("the answer");
            stands_at = Some(view.info.head);
        }
    }
    let stands_at = stands_at.expect("it was answered");
    assert!((BEFORE..=newest).contains(&stands_at), "{stands_at}");
    assert!(heard.is_sorted_by(|one, next| one < next), "{heard:?}");
    // What he had not been told before he closed is in the answer.
    let missing: Vec<u64> = (1..=newest).filter(|seq| !heard.contains(seq)).collect();
    let in_the_answer = |seq: &u64| (BEFORE + 1..=stands_at).contains(seq);
    assert!(
        missing.iter().all(in_the_answer),
        "{missing:?}, {stands_at}"
    );
}

/// The sequence of a message's event.
fn seq_of(came: &Came) -> Option<u64> {
    match came {
        Came::Event(MessageSent::NUMBER, body) => {
            let sent: MessageSent = codec::decode(body).expect("the event");
            Some(sent.msg.seq)
        }
        _ => None,
    }
}

/// Notes messages until it is told where the stream stands.
async fn heard_until_position(client: &mut Client, heard: &mut Vec<u64>) -> StreamPosition {
    loop {
        let came = client.next().await.expect("the connection is up");
        heard.extend(seq_of(&came));
        if let Some(position) = position_of(&came) {
            return position;
        }
    }
}

fn position_of(came: &Came) -> Option<StreamPosition> {
    match came {
        Came::Event(StreamPosition::NUMBER, body) => Some(codec::decode(body).expect("the event")),
        _ => None,
    }
}
