//! Lists of a player that others can write to: what they hold of others, and what is left for the player's own.

use pitturu_protocol::codes::Code;
use pitturu_protocol::ids::UserId;
use pitturu_protocol::types::chat::{
    BanMember, InviteToRoom, JoinRoom, KickMember, LeaveRoom, MemberRole, MuteMember, OpenDirect,
    RoomKind, SetMemberRole, UnbanMember,
};
use pitturu_protocol::types::friends::{
    BlockPlayer, FriendState, ListFriends, RemoveFriend, RequestFriend, UnblockPlayer,
};
use pitturu_protocol::types::inbox::{InboxAdded, InboxEntry};
use pitturu_protocol::types::system::Resume;
use pitturu_store::clock::shift_here;

use super::super::world::{Client, World};
use super::{create, guest, my_rooms, room_of, say, settle};

/// The entries of an inbox, read from its beginning.
async fn inbox(world: &World, user: UserId) -> Vec<InboxAdded> {
    settle(world).await;
    let mut entries = Vec::new();
    loop {
        let after = entries.last().map_or(0, |entry: &InboxAdded| entry.seq);
        let players = &world.context.services.players;
        let page = players.inbox_after(user, after, 200).await.unwrap();
        if page.is_empty() {
            return entries;
        }
        entries.extend(page);
    }
}

/// The player who has caused an entry.
fn by(entry: &InboxEntry) -> Option<UserId> {
    match entry {
        InboxEntry::FriendRequested { user, .. }
        | InboxEntry::FriendAccepted { user, .. }
        | InboxEntry::FriendRemoved { user }
        | InboxEntry::DirectOpened { user, .. }
        | InboxEntry::PointsReceived { user, .. }
        | InboxEntry::PointsReturned { user, .. } => Some(*user),
        InboxEntry::RoomInvited { by, .. }
        | InboxEntry::RoomKicked { by, .. }
        | InboxEntry::RoomBanned { by, .. }
        | InboxEntry::RoomMuted { by, .. }
        | InboxEntry::RoomRoleChanged { by, .. }
        | InboxEntry::RoomDeleted { by, .. } => Some(*by),
        InboxEntry::SeasonPlaced { .. }
        | InboxEntry::RoleChanged { .. }
        | InboxEntry::Suspended { .. }
        | InboxEntry::Muted { .. }
        | InboxEntry::Unmuted
        | InboxEntry::ProfileReset { .. }
        | InboxEntry::Unknown => None,
    }
}

#[tokio::test]
async fn what_others_do_takes_nothing_of_ones_own_rooms() {
    let world = World::new().await;
    let (mut victim, user) = guest(&world, "victim").await;
    for number in 0..3 {
        let (mut hostile, _) = guest(&world, &format!("hostile {number}")).await;
        hostile.call(&OpenDirect { user }).await.unwrap();
        for _ in 0..70 {
            let room = room_of(&mut hostile, RoomKind::Private).await;
            hostile.call(&InviteToRoom { room, user }).await.unwrap();
            // A hundred rooms are the most for one player here.
        }
    }
    let listed = my_rooms(&world, &mut victim).await;
    assert!(listed.len() < 100, "{} rooms of others", listed.len());
    let mut own = Vec::new();
    for _ in 0..100 {
        own.push(room_of(&mut victim, RoomKind::Private).await);
    }
    settle(&world).await;
    let more = victim.call(&create(RoomKind::Private, "one more")).await;
    assert_eq!(more.err().map(|fault| fault.code), Some(Code::LimitReached));
    victim.call(&LeaveRoom { room: own[0] }).await.unwrap();
    settle(&world).await;
    let invited = listed.iter().find(|mine| mine.me.is_none()).unwrap();
    let room = invited.info.room;
    let joined = victim.call(&JoinRoom { room }).await;
    joined.expect("an invitation can be taken up");
}

#[tokio::test]
async fn an_invitation_is_declined_and_a_block_removes_what_there_is() {
    let world = World::new().await;
    let (mut victim, user) = guest(&world, "victim").await;
    let (mut hostile, of_hostile) = guest(&world, "hostile").await;
    let (mut friend, _) = guest(&world, "friend").await;
    let kept = room_of(&mut friend, RoomKind::Private).await;
    friend
        .call(&InviteToRoom { room: kept, user })
        .await
        .unwrap();
    let declined = room_of(&mut friend, RoomKind::Private).await;
    let invite = InviteToRoom {
        room: declined,
        user,
    };
    friend.call(&invite).await.unwrap();
    victim.call(&LeaveRoom { room: declined }).await.unwrap();
    for _ in 0..3 {
        let room = room_of(&mut hostile, RoomKind::Private).await;
        hostile.call(&InviteToRoom { room, user }).await.unwrap();
    }
    hostile.call(&OpenDirect { user }).await.unwrap();
    hostile.call(&RequestFriend { user }).await.unwrap();
    let rooms = |listed: &[pitturu_protocol::types::chat::MyRoom]| {
        let rooms = listed.iter().map(|mine| mine.info.room);
        rooms.collect::<Vec<_>>()
    };
    let listed = rooms(&my_rooms(&world, &mut victim).await);
    assert_eq!(listed.len(), 5, "{listed:?}");
    assert!(!listed.contains(&declined));
    victim
        .call(&BlockPlayer { user: of_hostile })
        .await
        .unwrap();
    let listed = rooms(&my_rooms(&world, &mut victim).await);
    assert_eq!(listed, [kept]);
    let entries = inbox(&world, user).await;
    let of_hostile = entries
        .iter()
        .filter(|added| by(&added.entry) == Some(of_hostile));
    assert_eq!(of_hostile.count(), 0);
    assert_eq!(entries.len(), 2, "{entries:?}");
    // What is left is read on over the gaps.
    let resume = Resume {
        epoch: None,
        inbox: Some(0),
        rooms: Vec::new(),
    };
    victim.begin(&resume).await;
    for entry in entries {
        assert_eq!(victim.event::<InboxAdded>().await, entry);
    }
}

/// Everything that a player can do to a stranger by calls that are allowed.
async fn pester(hostile: &mut Client, user: UserId, random: &mut fastrand::Rng) {
    let room = room_of(hostile, RoomKind::Public).await;
    let reason = || Some("words ".repeat(80));
    for _ in 0..random.usize(1..20) {
        match random.u8(..7) {
            0 => drop(hostile.call(&InviteToRoom { room, user }).await),
            1 => {
                let kick = KickMember {
                    room,
                    user,
                    reason: reason(),
                };
                drop(hostile.call(&kick).await);
            }
            2 => {
                let ban = BanMember {
                    room,
                    user,
                    until: None,
                    reason: reason(),
                };
                drop(hostile.call(&ban).await);
            }
            3 => drop(hostile.call(&UnbanMember { room, user }).await),
            4 => drop(hostile.call(&RequestFriend { user }).await),
            5 => drop(hostile.call(&RemoveFriend { user }).await),
            _ => drop(hostile.call(&OpenDirect { user }).await),
        }
    }
    drop(hostile.call(&LeaveRoom { room }).await);
}

#[tokio::test]
async fn nobody_pushes_out_of_an_inbox_what_others_have_put_there() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let world = World::new().await;
    let (mut victim, user) = guest(&world, "victim").await;
    let (mut honest, of_honest) = guest(&world, "honest").await;
    honest.call(&RequestFriend { user }).await.unwrap();
    settle(&world).await;
    let hostile = guest(&world, "hostile").await;
    let (mut hostile, of_hostile) = hostile;
    // A member of the hostile one's room can be pestered there as well.
    let room = room_of(&mut hostile, RoomKind::Public).await;
    victim.call(&JoinRoom { room }).await.unwrap();
    for round in 0..600_u64 {
        let until = pitturu_store::clock::now_ms() + 1_000_000 + round;
        hostile
            .call(&MuteMember { room, user, until })
            .await
            .unwrap();
        let role = [MemberRole::Moderator, MemberRole::Member][usize::from(round % 2 == 1)];
        let set = SetMemberRole { room, user, role };
        hostile.call(&set).await.unwrap();
        if round % 20 == 0 {
            pester(&mut hostile, user, &mut random).await;
        }
    }
    let entries = inbox(&world, user).await;
    let count = |who| {
        let of = entries.iter().filter(|added| by(&added.entry) == Some(who));
        of.count()
    };
    assert_eq!(count(of_honest), 1, "{} entries", entries.len());
    assert!(count(of_hostile) < 50, "{} entries", count(of_hostile));
    // Nor does a ban of somebody who has nothing to do with the room tell them anything.
    let (mut other, of_other) = guest(&world, "other").await;
    let ban = BanMember {
        room,
        user: of_other,
        until: None,
        reason: Some("words".into()),
    };
    for _ in 0..3 {
        hostile.call(&ban).await.unwrap();
    }
    assert_eq!(inbox(&world, of_other).await, []);
    assert_eq!(my_rooms(&world, &mut other).await, []);
    let received = ListFriends {
        state: Some(FriendState::Received),
        after: None,
        limit: None,
    };
    let received = victim.call(&received).await.unwrap().friends;
    assert!(received.iter().any(|friend| friend.user == of_honest));
}

#[tokio::test]
async fn a_direct_room_is_offered_again_by_a_message() {
    let world = World::new().await;
    let (mut one, user) = guest(&world, "one").await;
    let (mut other, of_other) = guest(&world, "other").await;
    let direct = other.call(&OpenDirect { user }).await.unwrap().info.room;
    one.call(&BlockPlayer { user: of_other }).await.unwrap();
    one.call(&UnblockPlayer { user: of_other }).await.unwrap();
    assert_eq!(my_rooms(&world, &mut one).await, []);
    // The end of the block reaches the room a moment after the call.
    while other.call(&say(direct, "hello")).await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let mine = my_rooms(&world, &mut one).await;
    assert_eq!(mine.first().map(|mine| mine.info.room), Some(direct));
    // Once the player has written there it is theirs, and a block leaves it where it is.
    one.call(&say(direct, "hello")).await.unwrap();
    settle(&world).await;
    one.call(&BlockPlayer { user: of_other }).await.unwrap();
    assert_eq!(my_rooms(&world, &mut one).await.len(), 1);
}

/// Further than anything that is listed is old, in milliseconds.
const FORTY_DAYS: i64 = 40 * 24 * 60 * 60 * 1_000;

/// Rooms and requests that were offered while the clock was ahead are no newer for it.
#[tokio::test]
async fn the_oldest_goes_by_order_of_arrival_whatever_the_clock_says() {
    for kind in [RoomKind::Private, RoomKind::Direct] {
        let mut world = World::new().await;
        let (mut victim, user) = guest(&world, "victim").await;
        let (mut one, _) = guest(&world, "one").await;
        // One player's invitations are fewer than all that are listed of a kind.
        let most = if kind == RoomKind::Direct { 50 } else { 5 };
        let mut offered = Vec::new();
        for number in 0..most + 4 {
            if number == most {
                shift_here(0);
                // What was stored keeps its order.
                drop((victim, one));
                world = world.restarted().await;
                (victim, _) = guest(&world, "victim").await;
                (one, _) = guest(&world, "one").await;
            } else if number == 0 {
                shift_here(FORTY_DAYS);
            }
            if kind == RoomKind::Direct {
                let (mut other, _) = guest(&world, &format!("other {number}")).await;
                let view = other.call(&OpenDirect { user }).await.unwrap();
                offered.push(view.info.room);
            } else {
                let room = room_of(&mut one, kind).await;
                one.call(&InviteToRoom { room, user }).await.unwrap();
                offered.push(room);
            }
            settle(&world).await;
        }
        let listed = my_rooms(&world, &mut victim).await;
        let mut listed: Vec<_> = listed.iter().map(|mine| mine.info.room).collect();
        let mut newest = offered.split_off(4);
        listed.sort_unstable();
        newest.sort_unstable();
        assert_eq!(listed, newest, "{kind:?}");
    }
}

#[tokio::test]
async fn the_oldest_request_goes_by_order_of_arrival_whatever_the_clock_says() {
    let mut world = World::new().await;
    let (_, user) = guest(&world, "victim").await;
    let mut asked = Vec::new();
    shift_here(FORTY_DAYS);
    for number in 0..205 {
        if number == 200 {
            shift_here(0);
            world = world.restarted().await;
        }
        let (mut other, of_other) = guest(&world, &format!("other {number}")).await;
        other.call(&RequestFriend { user }).await.unwrap();
        settle(&world).await;
        asked.push(of_other);
    }
    let (mut victim, _) = guest(&world, "victim").await;
    let received = ListFriends {
        state: Some(FriendState::Received),
        after: None,
        limit: Some(200),
    };
    let received = victim.call(&received).await.unwrap().friends;
    let received: Vec<UserId> = received.iter().map(|friend| friend.user).collect();
    let mut newest = asked.split_off(5);
    newest.sort_unstable();
    assert_eq!(received, newest);
}
