//! A refusal rests on what was decided before. Until that is durable it may come to nothing, so nobody is told of it, not by a
//! refusal either: over the calls of rooms and those of a player's own entity.

use std::time::Duration;

use pitturu_protocol::codes::{Code, Fault};
use pitturu_protocol::frame::CallId;
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::chat::BanMember;
use pitturu_protocol::types::friends::{
    AcceptFriend, BlockPlayer, RemoveFriend, RequestFriend, UnblockPlayer,
};
use pitturu_protocol::types::points::SpendPoints;
use pitturu_store::entities::EntityId;

use super::super::keys::earn;
use super::super::world::{Client, Raw, World};
use super::known::{about_rooms, calls};
use super::say;
use crate::chat::store::entity;
use crate::connections::link::memory::Options;
use crate::players;

/// Long enough for a call to be decided.
const DECIDED: Duration = Duration::from_millis(30);

/// What is answered to `second`, made when `first` is decided; then the store refuses `first`.
async fn answered_behind_a_failure(
    world: &World,
    of: EntityId,
    (first_by, first): (&mut Client, &Raw),
    second: impl AsyncFnOnce(&mut Client) -> CallId,
    second_by: Option<&mut Client>,
) -> Result<Vec<u8>, Fault> {
    world.entities.fail_late(of);
    let (failing, frame) = first_by.encode_raw(first, "first");
    first_by.peer.send(frame).await;
    while !world.entities.has_failed_late() {
        tokio::task::yield_now().await;
    }
    let answer = match second_by {
        Some(other) => {
            let call = second(other).await;
            tokio::time::sleep(DECIDED).await;
            world.entities.release_failure();
            other.answer_in_any_order(call).await
        }
        None => {
            let call = second(first_by).await;
            tokio::time::sleep(DECIDED).await;
            world.entities.release_failure();
            first_by.answer_in_any_order(call).await
        }
    };
    let failed = first_by.answer_in_any_order(failing).await;
    let code = failed.err().map(|fault| fault.code);
    assert_eq!(code, Some(Code::StorageUnavailable), "the first has failed");
    answer
}

#[tokio::test]
async fn a_ban_that_comes_to_nothing_refuses_no_call_of_a_room() {
    let world = World::new().await;
    let (mut owner, _) = world.guest("owner", Options::default()).await;
    let (mut member, signed_in) = world.guest("member", Options::default()).await;
    let user = signed_in.identity.user;
    for info in about_rooms() {
        let name = info.name;
        let room = owner.create_room().await;
        member.join(room).await;
        member.call(&say(room, "said")).await.unwrap();
        let ban = BanMember {
            room,
            user,
            until: None,
            reason: None,
        };
        let raw = calls(name, room, user).swap_remove(0);
        let second = async |client: &mut Client| {
            let (call, frame) = client.encode_raw(&raw, "second");
            client.peer.send(frame).await;
            call
        };
        let by = (&mut owner, &Raw::of(&ban));
        let answer =
            answered_behind_a_failure(&world, entity(room), by, second, Some(&mut member)).await;
        let code = answer.err().map(|fault| fault.code);
        let tells = matches!(
            code,
            Some(Code::Banned | Code::NotAMember | Code::RoomNotFound)
        );
        assert!(!tells, "{name} tells of the ban: {code:?}");
        // The same once the ban is there. Closing is no right.
        owner.call(&ban).await.unwrap();
        let refused = member.call_raw(&raw, "third").await;
        let is_refused = name == "CloseRoom" || refused.is_err();
        assert!(is_refused, "{name}");
    }
}

#[tokio::test]
async fn what_comes_to_nothing_refuses_no_call_of_a_player() {
    let world = World::new().await;
    let (mut admin, _) = world.registered("root").await;
    let (mut one, signed_in) = world.guest("one", Options::default()).await;
    let (mut other, of_other) = world.guest("other", Options::default()).await;
    let [user, other_user]: [UserId; 2] = [signed_in, of_other].map(|who| who.identity.user);
    earn(&mut admin, &mut one, user).await;
    let spend = SpendPoints {
        amount: 80,
        reference: None,
    };
    let (request, remove) = (
        RequestFriend { user: other_user },
        RemoveFriend { user: other_user },
    );
    let (block, unblock) = (
        BlockPlayer { user: other_user },
        UnblockPlayer { user: other_user },
    );
    other.call(&RequestFriend { user }).await.unwrap();
    one.call(&AcceptFriend { user: other_user }).await.unwrap();
    for (first, second, told) in [
        (Raw::of(&remove), Raw::of(&remove), Code::NotFriends),
        (Raw::of(&block), Raw::of(&request), Code::Blocked),
        (Raw::of(&spend), Raw::of(&spend), Code::NotEnoughPoints),
    ] {
        let made = async |client: &mut Client| {
            let (call, frame) = client.encode_raw(&second, "second");
            client.peer.send(frame).await;
            call
        };
        let by = (&mut one, &first);
        let of = players::entity(user);
        let answer = answered_behind_a_failure(&world, of, by, made, None).await;
        let code = answer.err().map(|fault| fault.code);
        assert_ne!(code, Some(told), "a refusal tells of what has not happened");
        one.call_raw(&first, &format!("{told:?} 1")).await.unwrap();
        let refused = one.call_raw(&second, &format!("{told:?} 2")).await;
        assert_eq!(refused.err().map(|fault| fault.code), Some(told));
        if told == Code::Blocked {
            one.call(&unblock).await.unwrap();
        }
    }
}
