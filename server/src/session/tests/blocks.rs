//! Who has blocked somebody is not written to any more, whatever happens at that moment.

use std::time::Duration;

use pitturu_protocol::codec;
use pitturu_protocol::codes::Code;
use pitturu_protocol::ids::{RoomId, UserId};
use pitturu_protocol::types::chat::{OpenDirect, RoomView};
use pitturu_protocol::types::friends::{AcceptFriend, BlockPlayer, RequestFriend, UnblockPlayer};

use super::let_others_run;
use super::world::{Client, World, message};
use crate::chat::store::entity;
use crate::connections::link::memory::Options;
use crate::players;

/// Longer than a write takes.
const WHILE: Duration = Duration::from_millis(50);

/// Two players, of whom the first has written to the second.
struct Pair {
    pest: Client,
    pest_user: UserId,
    victim: Client,
    victim_user: UserId,
    room: RoomId,
}

impl Pair {
    async fn new(world: &World, round: usize) -> Self {
        let (mut pest, a) = world
            .guest(&format!("pest{round}"), Options::default())
            .await;
        let (victim, b) = world
            .guest(&format!("victim{round}"), Options::default())
            .await;
        let user = b.identity.user;
        let view = pest.call(&OpenDirect { user }).await.unwrap();
        pest.call(&message(view.info.room)).await.unwrap();
        Self {
            pest,
            pest_user: a.identity.user,
            victim,
            victim_user: user,
            room: view.info.room,
        }
    }

    async fn sent(&mut self) -> Result<(), Code> {
        let sent = self.pest.call(&message(self.room)).await;
        sent.map(drop).map_err(|fault| fault.code)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_that_is_acknowledged_holds_and_so_does_its_end() {
    let world = World::new().await;
    let mut wrong = Vec::new();
    for round in 0..40 {
        let mut pair = Pair::new(&world, round).await;
        let user = pair.pest_user;
        if round % 2 == 0 {
            // The other's entity has to hear of it as well.
            let other = pair.victim_user;
            pair.pest
                .call(&RequestFriend { user: other })
                .await
                .unwrap();
            pair.victim.call(&AcceptFriend { user }).await.unwrap();
        }
        pair.victim.call(&BlockPlayer { user }).await.unwrap();
        let blocked = pair.sent().await;
        pair.victim.call(&UnblockPlayer { user }).await.unwrap();
        let unblocked = pair.sent().await;
        if (blocked, unblocked) != (Err(Code::Blocked), Ok(())) {
            wrong.push((round, blocked, unblocked));
        }
    }
    assert!(wrong.is_empty(), "blocked, then unblocked: {wrong:?}");
}

#[tokio::test]
async fn a_block_holds_though_nothing_can_be_read() {
    let world = World::new().await;
    let mut pair = Pair::new(&world, 0).await;
    let user = pair.pest_user;
    let held = world.hold_writes().await;
    let call = pair.victim.begin(&BlockPlayer { user }).await;
    pair.victim.peer.until_unread(0).await;
    // The call reads what it needs, and its commit is on its way.
    tokio::time::sleep(WHILE).await;
    world.entities.fail_point_reads(1_000);
    drop(held);
    let blocked = pair.victim.answer_to(call).await;
    assert!(blocked.is_ok(), "{blocked:?}");
    assert_eq!(pair.sent().await, Err(Code::Blocked), "at once");
    tokio::time::sleep(2 * WHILE).await;
    world.entities.fail_point_reads(0);
    assert_eq!(pair.sent().await, Err(Code::Blocked), "later");
}

#[tokio::test]
async fn while_one_of_two_blocks_the_other_neither_writes() {
    let world = World::new().await;
    let mut pair = Pair::new(&world, 0).await;
    let (pest, victim) = (pair.pest_user, pair.victim_user);
    let block = |user| BlockPlayer { user };
    let unblock = |user| UnblockPlayer { user };
    pair.victim.call(&block(pest)).await.unwrap();
    pair.pest.call(&block(victim)).await.unwrap();
    pair.victim.call(&unblock(pest)).await.unwrap();
    let room = pair.room;
    for client in [&mut pair.pest, &mut pair.victim] {
        let sent = client.call(&message(room)).await;
        assert_eq!(sent.map_err(|fault| fault.code), Err(Code::Blocked));
    }
    pair.pest.call(&unblock(victim)).await.unwrap();
    assert_eq!(pair.sent().await, Ok(()));
}

/// How a block comes between the beginning and the end of an opening.
#[derive(Clone, Copy, Debug)]
enum Meanwhile {
    /// The caller's list of rooms is being read.
    Listing,
    /// Who has blocked whom was read, and the room is not made yet.
    Making,
}

#[tokio::test]
async fn nobody_writes_to_who_has_blocked_them_in_a_room_made_meanwhile() {
    for meanwhile in [Meanwhile::Listing, Meanwhile::Making] {
        let world = World::new().await;
        let (mut pest, a) = world.guest("pest", Options::default()).await;
        let (mut victim, b) = world.guest("victim", Options::default()).await;
        let (a, b) = (a.identity.user, b.identity.user);
        match meanwhile {
            Meanwhile::Listing => world.entities.hold_rows(Some(players::entity(a))),
            Meanwhile::Making => {
                let pair = [players::entity(a), players::entity(b)];
                world.entities.hold_glances(Some(pair));
            }
        }
        let opening = pest.begin(&OpenDirect { user: b }).await;
        pest.peer.until_unread(0).await;
        tokio::time::sleep(WHILE).await;
        victim.call(&BlockPlayer { user: a }).await.unwrap();
        world.entities.hold_rows(None);
        world.entities.hold_glances(None);
        let Ok(view) = pest.answer_to(opening).await else {
            continue;
        };
        let view: RoomView = codec::decode(&view).unwrap();
        let sent = pest.call(&message(view.info.room)).await;
        let sent = sent.map_err(|fault| fault.code);
        assert_eq!(sent, Err(Code::Blocked), "{meanwhile:?}");
    }
}

#[tokio::test]
async fn a_block_loads_no_room_and_holds_in_one_that_is_loaded_later() {
    let world = World::new().await;
    let pair = Pair::new(&world, 0).await;
    let (_, stranger) = world.guest("stranger", Options::default()).await;
    let (room, user) = (pair.room, pair.pest_user);
    let world = world.restarted().await;
    let (mut victim, _) = world.guest("victim0", Options::default()).await;
    victim.call(&BlockPlayer { user }).await.unwrap();
    let other = stranger.identity.user;
    victim.call(&BlockPlayer { user: other }).await.unwrap();
    let_others_run().await;
    let none = world.context.services.directory.ids();
    let none = none.direct(pair.victim_user, other);
    for room in [room, none] {
        assert_eq!(world.entities.loads(entity(room)), 0, "it is not needed");
    }
    let entities = std::sync::Arc::clone(&world.entities);
    players::tests::until_quiet(&(entities as _)).await;
    let (mut pest, _) = world.guest("pest0", Options::default()).await;
    let sent = pest.call(&message(room)).await;
    assert_eq!(sent.map_err(|fault| fault.code), Err(Code::Blocked));
}
